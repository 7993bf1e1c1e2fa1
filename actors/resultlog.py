"""The result log: the published records, one JSON object a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class ResultLog:
    """Written a line at a time and flushed, so a reader that follows the file sees whole frames."""

    def __init__(self, path: Path, *, anew: bool) -> None:
        """Open `path`: empty it, or go on after its last whole line. OSError when it cannot be."""
        if not anew and path.exists():
            _cut_half_line(path)
        self._file = path.open("w" if anew else "a", encoding="utf-8")

    def write(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _cut_half_line(path: Path) -> None:
    """Remove what a killed writer left of its last line."""
    with path.open("rb+") as file:
        size = file.seek(0, 2)
        while size > 0:
            begin = max(0, size - 65536)
            file.seek(begin)
            newline = file.read(size - begin).rfind(b"\n")
            if newline >= 0:
                size = begin + newline + 1
                break
            size = begin
        file.truncate(size)
