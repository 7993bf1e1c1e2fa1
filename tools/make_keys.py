"""Makes keys for results that other machines may read: `python -m tools.make_keys FOLDER NAME`."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from actors.system.keys import KeysError, make

_EXAMPLE = """\
example:
  python -m tools.make_keys keys laptop
  launch topology.toml --set results.bind=tcp://0.0.0.0:5570 --set results.curve=keys/server
  python -m tools.subscribe tcp://BOARD:5570 --keys keys/laptop     on the laptop, with that folder
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry: 0 made, 2 wrong arguments or a folder that cannot be written."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.make_keys",
        description="Make the publisher's CURVE keys, once, and those of a subscriber.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="where the keys are kept")
    parser.add_argument("name", help="the subscriber's name")
    options = parser.parse_args(argv)
    if not re.fullmatch(r"[A-Za-z0-9_-]+", options.name) or options.name == "server":
        parser.error(f"{options.name!r} is no name for a subscriber; use letters and digits")
    try:
        client = make(options.folder, options.name)
    except (KeysError, OSError) as error:
        print(f"make_keys: {error}", file=sys.stderr)
        return 2
    print(f"{options.folder / 'server'}: stays with the publisher (results.curve)")
    print(f"{client}: hand it to {options.name} (--keys)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
