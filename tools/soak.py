"""Run a topology at full speed for a long time, and check that memory and descriptors do not grow.

Plays the topology's files over and over, samples every actor each second, and compares what each
held after the first minute with what it holds at the end.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from actors.config.errors import TopologyError
from actors.config.loading import load
from actors.sources.classify import source_kind
from actors.system.control_socket import ControlError
from actors.system.text import plural

from .entry import missing, run
from .printing import console
from .run_harness import Harness, HarnessError

_EXAMPLE = """\
example:
  tritile soak topology.toml --minutes 60 --set streams.cam0.source=street.mp4

exit: 0 nothing grew, 1 something did or the run failed, 2 wrong arguments or topology
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry: 0 nothing grew, 1 something did or the run failed, 2 wrong input."""
    arguments = parser()
    options = arguments.parse_args(argv)
    if not options.minutes > 0:
        arguments.error(f"--minutes is {options.minutes:g}; give more than 0")
    if absent := missing("psutil"):
        print(f"soak: {absent}", file=sys.stderr)
        return 2
    try:
        return _run(options)
    except TopologyError as error:
        print("\n".join(error.lines()), file=sys.stderr)
        return 2
    except (HarnessError, ControlError) as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(options: argparse.Namespace) -> int:
    from .soak_run import show, soak  # imported here: it needs psutil

    looped = [
        f"streams.{name}.loop=true"
        for name, stream in load(options.topology, options.set).streams.items()
        if source_kind(stream.source) in ("file", "folder", "glob")
    ]
    settings = [part for given in (*options.set, *looped) for part in ("--set", given)]
    with (
        console(stderr=True).status("starting") as status,
        Harness(options.topology, *settings) as harness,
    ):
        result = soak(harness, options.minutes, status.update)
    faults = [fault for process in result.grown for fault in process.faults]
    if result.out_of_order:
        faults.append(
            f"{plural(result.out_of_order, 'frame')} out of order: not the next of the stream"
        )
    if options.json:
        found = {"topology": options.topology.name, **asdict(result), "faults": faults}
        print(json.dumps(found))
    else:
        show(result, faults)
    return 1 if faults else 0


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog="tritile soak",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("topology", type=Path, metavar="TOPOLOGY.toml")
    made.add_argument("--minutes", type=float, default=60.0, help="how long (default: 60)")
    made.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override one value of the topology, as `launch` does (repeatable)",
    )
    made.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return made


if __name__ == "__main__":
    sys.exit(run(main))
