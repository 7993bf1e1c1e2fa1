"""Make CURVE keys for results that other machines may read: the publisher's and a subscriber's."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from actors.system.keys import KeysError, make

from .entry import run

_EXAMPLE = """\
example:
  tritile make_keys keys laptop
  launch topology.toml --set results.bind=tcp://0.0.0.0:5570 --set results.curve=keys/server
  tritile subscribe tcp://BOARD:5570 --keys keys/laptop     on the laptop, with that folder
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry: 0 made, 2 wrong arguments or a folder that cannot be written."""
    arguments = parser()
    options = arguments.parse_args(argv)
    if not re.fullmatch(r"[A-Za-z0-9_-]+", options.name) or options.name == "server":
        arguments.error(f"{options.name!r} cannot name a subscriber; use letters and digits")
    try:
        client = make(options.folder, options.name)
    except (KeysError, OSError) as error:
        print(f"make_keys: {error}", file=sys.stderr)
        return 2
    server = options.folder / "server"
    if options.json:
        print(json.dumps({"server": str(server), "name": options.name, "client": str(client)}))
        return 0
    print(f"{server}: stays with the publisher (results.curve)")
    print(f"{client}: hand it to {options.name} (--keys)")
    return 0


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog="tritile make_keys",
        description="Make the publisher's CURVE keys, once, and those of a subscriber.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("folder", type=Path, help="where the keys are kept")
    made.add_argument("name", help="the subscriber's name")
    made.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return made


if __name__ == "__main__":
    sys.exit(run(main))
