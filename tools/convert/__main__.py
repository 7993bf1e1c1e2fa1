"""The command `python -m tools.convert`: ONNX to .rknn, and a report of what int8 costs."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec

_NEEDED = ("onnx", "pycocotools")


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry: 0 done, 1 int8 loses too much, 2 wrong arguments or input."""
    for name in _NEEDED:
        if find_spec(name) is None:
            print(
                f"convert: {name} is not installed; install it with: pip install '.[tools]'",
                file=sys.stderr,
            )
            return 2
    # Imported here, since all of it needs these.
    from tools.convert.command import run

    return run(argv)


if __name__ == "__main__":
    # Ends like Ctrl-C does, with its folders removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
