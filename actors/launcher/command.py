"""Arguments, messages and exit codes of the command `launch`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path

from actors.launcher.about import version

_USUAL = "topology.toml"
_EXAMPLES = """\
examples:
  launch                                the demo: a drawn scene and two models, until Ctrl-C
  launch topology.toml --set streams.cam0.source=street.mp4 --set models.small.path=yolov8n.onnx
  launch topology.toml --check          show the plan, start nothing

exit code: 0 done or stopped, 1 the run failed or an output is incomplete (the last lines say why),
2 the topology is wrong
"""


def run(argv: Sequence[str] | None) -> int:
    """Parse the arguments and run; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal may not have every letter of a name
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(argv)
    # What is needed to run takes a good part of a second to import.
    import zmq

    from actors.config.errors import TopologyError
    from actors.launcher.errors import LaunchError
    from actors.launcher.launcher import launch
    from actors.system.fork_server import ForkServerError
    from actors.system.memory import OutOfMemoryError
    from actors.system.run_directory import RunDirectoryError

    try:
        return launch(
            _find(options.topology),
            options.set,
            frame_limit=options.frames,
            check=options.check,
            overwrite=options.overwrite,
        )
    except TopologyError as error:
        print("\n".join(error.lines()), file=sys.stderr)
        return 2
    except (LaunchError, ForkServerError, RunDirectoryError, OutOfMemoryError) as error:
        print(f"launch: {error}", file=sys.stderr)
    except (OSError, zmq.ZMQError) as error:
        where = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
        print(
            f"launch: the system refused what a run needs: {error.strerror}{where}; "
            "see its limits with ulimit -a",
            file=sys.stderr,
        )
    return 1


def _find(path: Path) -> Path:
    """The topology's file: the package's demo, with a notice, where the usual one is absent."""
    if path != Path(_USUAL) or path.exists():
        return path
    from actors.config.packaged import TOPOLOGY

    print(f"launch: there is no {_USUAL} here; this is the demo of {TOPOLOGY}", file=sys.stderr)
    return TOPOLOGY


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="launch",
        description="Run a topology: capture, tile, detect, merge, publish, render.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=version())
    parser.add_argument(
        "topology",
        type=Path,
        nargs="?",
        default=Path(_USUAL),
        metavar="TOPOLOGY.toml",
        help="what runs where; default: topology.toml in this folder, or else the demo",
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
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace results and videos of an earlier run; without it they are left alone",
    )
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, got {text!r}")
    return int(text)
