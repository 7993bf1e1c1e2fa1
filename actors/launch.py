"""The command `launch`: arguments, signals and exit codes. The run itself is in `run`.

Imports little, so that Ctrl-C ends it quietly from its first line on.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import NoReturn

_USUAL = "topology.toml"
_EXAMPLE = """\
examples:
  launch                                the demo: a drawn scene and two models, until Ctrl-C
  launch topology.toml --set streams.cam0.source=street.mp4 --set models.small.path=yolov8n.onnx
  launch topology.toml --check          show the plan, start nothing

exit: 0 done or stopped, 1 the run failed (the last line says why), 2 the topology is wrong
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry; returns its exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal may not know every letter of a name
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(argv)
    # What is needed to run takes a good part of a second to import.
    from actors.launcher.launcher import launch

    return launch(_found(options.topology), options.set, options.frames, check=options.check)


def _leave(*_: object) -> NoReturn:
    """End quietly on a signal, until the run has handlers of its own.

    Not with KeyboardInterrupt: once it has passed through an `exec`, as of a dataclass that an
    import makes, Python ends by the signal at last, whoever has caught it (2 of 30 times).
    """
    raise SystemExit(0)


def _found(path: Path) -> Path:
    """The topology's file: the package's, and told so, where the usual one is not here."""
    if path != Path(_USUAL) or path.exists():
        return path
    from actors.config.packaged import TOPOLOGY

    print(f"launch: there is no {_USUAL} here; this is the demo of {TOPOLOGY}", file=sys.stderr)
    return TOPOLOGY


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="launch",
        description="Run a topology: capture, tile, detect, merge, publish, render.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "topology",
        type=Path,
        nargs="?",
        default=Path(_USUAL),
        metavar="TOPOLOGY.toml",
        help="what runs where; absent: topology.toml, here or else the one of the package, which "
        "shows a drawn scene and the models that come with it",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override one value, as in --set workers.npu0.core=2 (repeatable)",
    )
    parser.add_argument("--check", action="store_true", help="show the plan and start nothing")
    parser.add_argument(
        "--frames", type=_positive, metavar="N", help="end each source after N frames"
    )
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
