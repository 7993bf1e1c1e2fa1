"""The command `python -m tools.board`, in a checkout only; see the package's docstring."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import board
from ..entry import run
from . import model
from .enter_userland import enter
from .userland import CHIPS, MIRROR, BoardError, build, setup


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry: 0 done, 2 failed; `run` ends as the command that it runs."""
    options = parser().parse_args(argv)
    try:
        done: dict[str, Any] = {}
        if options.do == "setup":
            setup()
        elif options.do == "build":
            fresh = build(options.folder, options.mirror)
            done = {"folder": str(options.folder), "built": fresh}
        elif options.do == "model":
            model.write(
                options.path,
                model.Model(
                    size=tuple(options.size),
                    classes=options.classes,
                    latency_ms=options.latency,
                    chip=options.chip,
                    batch=options.batch,
                ),
            )
            done = {"path": str(options.path)}
        else:
            command = [word for word in options.command if word != "--"] or ["/bin/bash"]
            enter(options.folder, command, options.chip)
    except BoardError as error:
        print(f"board: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({"done": options.do, **done}))
    elif "path" in done:
        print(f"written: {done['path']}")
    elif "folder" in done:
        print(f"{'built' if done['built'] else 'up to date'}: {done['folder']}")
    return 0


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    formatter = argparse.RawDescriptionHelpFormatter
    made = argparse.ArgumentParser(
        prog="python -m tools.board", description=board.__doc__, formatter_class=formatter
    )
    commands = made.add_subparsers(dest="do", required=True)
    preparing = commands.add_parser("setup", help="install the Debian packages that this needs")
    making = commands.add_parser("build", help="make a board, or bring it up to date")
    making.add_argument("folder", type=Path)
    making.add_argument("--mirror", default=MIRROR, help="of Debian")
    writing = commands.add_parser("model", help="write a model for the emulated device")
    writing.add_argument("path", type=Path)
    writing.add_argument("--size", type=int, nargs=2, default=(640, 640), metavar="PIXELS")
    writing.add_argument("--classes", type=int, default=80)
    writing.add_argument("--latency", type=float, default=13.6, metavar="MS")
    writing.add_argument("--chip", choices=CHIPS, default="rk3588")
    writing.add_argument("--batch", type=int, default=1)
    running = commands.add_parser("run", help="run a command on the board")
    running.add_argument("folder", type=Path)
    running.add_argument("--chip", choices=CHIPS, default="rk3588")
    running.add_argument("command", nargs=argparse.REMAINDER)
    for command in (preparing, making, writing):
        command.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return made


if __name__ == "__main__":
    sys.exit(run(main))
