"""The command `tritile convert`: ONNX to .rknn, and a report of what int8 costs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..entry import missing, run
from .errors import ConvertError
from .options import parse, parser

__all__ = ["main", "parser"]


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry: 0 done, 1 int8 loses too much, 2 wrong arguments or input."""
    try:
        options = parse(argv)
    except ConvertError as error:
        print(f"convert: {error}", file=sys.stderr)
        return 2
    if absent := missing("onnx", "pycocotools"):
        print(f"convert: {absent}", file=sys.stderr)
        return 2
    # Imported here: it needs these packages.
    from .command import convert

    return convert(options)


if __name__ == "__main__":
    sys.exit(run(main))
