"""List a camera's modes and measure the frame rate that it really delivers in each.

A camera in the dark lowers its rate, and one on a slow USB port cannot keep it; both state rates
that they cannot deliver. Every mode is opened at its highest rate and its frames are counted as
they arrive, without decoding them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from rich.table import Table

from actors.sources import v4l2
from actors.sources.camera import inspect_camera, open_mode, read_back
from actors.sources.contract import SourceError
from actors.sources.feed import Feed
from actors.sources.ffmpeg import silence_ffmpeg
from actors.sources.live import measure
from actors.sources.v4l2 import Device, Mode

from .entry import run
from .printing import console

_SLOW = 0.9
_EXAMPLE = """\
examples:
  tritile probe_camera
  tritile probe_camera /dev/video0 --seconds 5
"""


@dataclass(frozen=True)
class Measured:
    """A mode and what came of it. `fps` is None when it gave less than two frames."""

    fourcc: str
    width: int
    height: int
    rates: tuple[float, ...]
    nominal_fps: float
    """The rate that the camera stated after it was asked for the mode's highest."""
    measured_fps: float | None
    slow: bool
    note: str


def probe(device: Device, seconds: float) -> Iterator[Measured]:
    """Open every mode of a camera in turn and measure it for so long."""
    for mode in device.modes:
        yield _probe(device.path, mode, seconds)


def _probe(path: str, mode: Mode, seconds: float) -> Measured:
    rate: float | None = None
    nominal, note = mode.fps, ""
    try:
        capture = open_mode(path, mode, mode.fps)
    except SourceError as error:
        note = str(error)
    else:
        got = read_back(capture)
        nominal = got.fps or mode.fps
        if (got.fourcc, got.size) == (mode.fourcc, mode.size):
            feed = Feed(path, capture, nominal)
            # The first frame is late: the sensor has to start.
            rate = measure(feed, seconds) if feed.grab() else None
            note = "" if rate else "it gave no frames"
        else:
            note = "it gave {}x{} {} instead".format(*got.size, got.fourcc)
        capture.release()
    slow = rate is not None and rate < _SLOW * nominal
    if slow:
        note = "slower than stated"
    measured = None if rate is None else round(rate, 2)
    return Measured(mode.fourcc, *mode.size, mode.rates, nominal, measured, slow, note)


def _show(device: Device, measured: Sequence[Measured]) -> None:
    table = Table(title=f"{device.path}  {device.name}", title_justify="left", box=None)
    for column in ("format", "size", "states (frames/s)", "measured", ""):
        table.add_column(column, justify="right" if column == "measured" else "left")
    for mode in measured:
        rates = ", ".join(f"{rate:g}" for rate in mode.rates) or "nothing"
        rate = "-" if mode.measured_fps is None else f"{mode.measured_fps:.1f}"
        style = "yellow" if mode.note else ""
        size = f"{mode.width}x{mode.height}"
        table.add_row(mode.fourcc, size, rates, rate, mode.note, style=style)
    out = console()
    out.print(table)
    if any(mode.slow for mode in measured):
        out.print("A camera is slower than it states in little light, or on a slow USB port.")


def _devices(path: str | None) -> list[Device]:
    """The camera at `path`, or all; SourceError when there is none."""
    if path is not None:
        return [inspect_camera(path)]
    found: list[Device] = []
    problems: list[SourceError] = []
    for candidate in v4l2.paths():
        try:
            found.append(inspect_camera(candidate))
        except SourceError as error:
            problems.append(error)
    if not found:
        raise problems[0] if problems else SourceError("no camera is plugged into this machine")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry: 0 measured, 2 wrong arguments or no camera."""
    arguments = parser()
    options = arguments.parse_args(argv)
    if not 0.2 <= options.seconds <= 600:
        arguments.error(f"--seconds must be from 0.2 to 600, got {options.seconds:g}")
    silence_ffmpeg()
    try:
        devices = _devices(options.device)
    except SourceError as error:
        print(f"probe_camera: {error}", file=sys.stderr)
        return 2
    report = []
    for device in devices:
        measured = list(probe(device, options.seconds))
        if not options.json:
            _show(device, measured)
        modes = [asdict(mode) for mode in measured]
        report.append({"device": device.path, "name": device.name, "modes": modes})
    if options.json:
        print(json.dumps({"seconds": options.seconds, "cameras": report}))
    return 0


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog="tritile probe_camera",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("device", nargs="?", help="as /dev/video0; absent: all cameras")
    made.add_argument("--seconds", type=float, default=2.0, help="for each mode; default 2")
    made.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return made


if __name__ == "__main__":
    sys.exit(run(main))
