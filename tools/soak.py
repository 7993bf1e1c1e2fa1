"""A long run at full speed: whether anybody's memory or descriptors grow.

    python -m tools.soak topology.toml --minutes 60

Plays the topology's files over and over, looks at every actor each second, and compares what each
held after the first minute with what it holds at the end: medians of ten looks, since a process's
resident memory moves by some hundred kB from one look to the next.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from actors.client import Result
from actors.config.errors import TopologyError
from actors.config.loading import load
from actors.sources.classify import source_kind
from actors.system.control_socket import ControlError
from tools.run_harness import Harness, HarnessError, pids

WANTED_GROWTH = 0.02
_LOOK_S = 1.0
_LOOKS = 10
_EXAMPLE = """\
example:
  python -m tools.soak topology.toml --minutes 60 --set streams.cam0.source=street.mp4
"""


@dataclass(frozen=True)
class Look:
    """A process at one moment: its identity, resident bytes (shared memory too), descriptors."""

    pid: int
    rss: int
    fds: int


@dataclass(frozen=True)
class Grown:
    """A process after the first minute (or a quarter of a shorter run) and at the end."""

    name: str
    rss_mb: tuple[float, float]
    fds: tuple[int, int]
    restarted: bool

    @property
    def growth(self) -> float:
        """Of the resident memory, as a part of what it was."""
        return self.rss_mb[1] / self.rss_mb[0] - 1

    @property
    def faults(self) -> Iterator[str]:
        """What is not as it should be, a line each."""
        if self.growth > WANTED_GROWTH:
            yield f"{self.name} grew from {self.rss_mb[0]:.1f} to {self.rss_mb[1]:.1f} MB"
        if self.fds[1] > self.fds[0]:
            yield f"{self.name} had {self.fds[0]} descriptors and has {self.fds[1]}"
        if self.restarted:
            yield f"{self.name} was restarted"


@dataclass
class Soaked:
    """What a run gave. `fps` are the first half's and the second half's frames a second."""

    seconds: float
    frames: int
    fps: tuple[float, float]
    grown: list[Grown]
    out_of_order: int


def compare(first: Sequence[Mapping[str, Look]], last: Sequence[Mapping[str, Look]]) -> list[Grown]:
    """Each process of the last looks against the same of the first ones."""

    def median(looks: Sequence[Mapping[str, Look]], name: str, what: str) -> float:
        return float(statistics.median(getattr(at[name], what) for at in looks if name in at))

    return [
        Grown(
            name,
            (median(first, name, "rss") / 1e6, median(last, name, "rss") / 1e6),
            (round(median(first, name, "fds")), round(median(last, name, "fds"))),
            last[-1][name].pid != first[0][name].pid,
        )
        for name in last[-1]
        if any(name in look for look in first)
    ]


def look(harness: Harness) -> dict[str, Look]:
    """All actors and the supervisor now."""
    assert harness.process is not None
    found = {}
    for name, pid in {**pids(harness.status()), "supervisor": harness.process.pid}.items():
        try:
            process = psutil.Process(pid)
            found[name] = Look(pid, process.memory_info().rss, process.num_fds())
        except psutil.Error:
            continue  # it has just ended; the next look sees who came in its place
    return found


class _Reader(threading.Thread):
    """Counts the results while somebody else looks at the actors."""

    def __init__(self, harness: Harness) -> None:
        super().__init__(daemon=True)
        self.frames = self.out_of_order = 0
        self._harness = harness
        self._next: dict[str, int] = {}

    def run(self) -> None:
        with self._harness.subscriber() as results:
            for message in results:
                if isinstance(message, Result):
                    self.frames += 1
                    self.out_of_order += message.seq != self._next.get(message.stream, 0)
                    self._next[message.stream] = message.seq + 1


def soak(harness: Harness, minutes: float, console: Console) -> Soaked:
    """Sample a run for that long. HarnessError or ControlError when the run ends before."""
    reader = _Reader(harness)
    reader.start()
    harness.wait_until_running()
    begin = time.monotonic()
    seconds = minutes * 60
    settled = min(60.0, seconds / 4)
    first: list[dict[str, Look]] = []
    last: list[dict[str, Look]] = []
    half = 0
    with console.status("soaking") as status:
        while (passed := time.monotonic() - begin) < seconds:
            now = look(harness)
            if passed >= settled and len(first) < _LOOKS:
                first.append(now)
            last = [*last, now][-_LOOKS:]
            if passed < seconds / 2:
                half = reader.frames
            status.update(f"{passed / 60:.1f} of {minutes:g} min, {reader.frames} frames")
            time.sleep(_LOOK_S)
    frames = reader.frames
    passed = time.monotonic() - begin
    rates = half / (passed / 2), (frames - half) / (passed / 2)
    return Soaked(passed, frames, rates, compare(first, last), reader.out_of_order)


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry: 0 nothing grew, 1 something did, 2 wrong input."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.soak",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("topology", type=Path, metavar="TOPOLOGY.toml")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args(argv)
    console = Console(stderr=True, highlight=False)
    try:
        streams = load(options.topology, options.set).streams
        looped = [
            f"streams.{name}.loop=true"
            for name, stream in streams.items()
            if source_kind(stream.source) in ("file", "folder", "glob")
        ]
        settings = [part for given in (*options.set, *looped) for part in ("--set", given)]
        with Harness(options.topology, *settings) as harness:
            soaked = soak(harness, options.minutes, console)
    except TopologyError as error:
        print(error, file=sys.stderr)
        return 2
    except (HarnessError, ControlError) as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    faults = [fault for grown in soaked.grown for fault in grown.faults]
    if soaked.out_of_order:
        faults.append(f"{soaked.out_of_order} frames were not the next of their stream")
    if options.json:
        print(json.dumps({"topology": options.topology.name, **asdict(soaked), "faults": faults}))
    else:
        _print(soaked, faults)
    return 1 if faults else 0


def _print(soaked: Soaked, faults: Sequence[str]) -> None:
    console = Console(highlight=False)
    console.print(
        f"{soaked.frames} frames in {soaked.seconds / 60:.1f} min: "
        f"{soaked.fps[0]:.1f} frames/s in the first half, {soaked.fps[1]:.1f} in the second"
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("actor")
    for column in ("MB after 1 min", "at the end", "growth", "descriptors", "at the end"):
        table.add_column(column, justify="right")
    for grown in soaked.grown:
        table.add_row(
            grown.name,
            *(f"{mb:.1f}" for mb in grown.rss_mb),
            f"{grown.growth:+.1%}",
            *map(str, grown.fds),
        )
    console.print(table)
    for fault in faults:
        console.print(fault, style="red")


if __name__ == "__main__":
    sys.exit(main())
