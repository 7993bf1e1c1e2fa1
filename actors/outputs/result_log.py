"""The result log: the published records, one JSON object a line, each once.

What is written is with the kernel at once, so it outlives its writer: a merger that came back, and
publishes its last frame again because that may not have reached the subscribers, finds it in the
log and does not write it again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

# Larger than any seq: the record of a stream's end has none and comes after all its frames.
_NO_SEQ = 1 << 62
# The end of the file in which a stream's last frame is looked for: thousands of records.
_TAIL = 4 << 20


class ResultLog:
    """Written a line at a time and flushed, so a reader that follows the file sees whole frames."""

    def __init__(self, path: Path) -> None:
        """Go on after the last whole line of `path`, or begin it. OSError when it cannot be."""
        self._last: dict[str, int] = {}
        if path.is_file():
            _cut_half_line(path)
            self._last = _last_seqs(path)
        self._file = path.open("a", encoding="utf-8")

    def write(self, record: dict[str, Any]) -> None:
        """Add a record, unless its frame is there already."""
        if record.get("seq", _NO_SEQ) <= self._last.get(record["stream"], -1):
            return
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


def _last_seqs(path: Path) -> dict[str, int]:
    """By stream, the seq of the last record near the end of the file."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - _TAIL))
        lines = file.read().splitlines()
    last: dict[str, int] = {}
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue  # the first line may be cut by where the tail begins
        if isinstance(record, dict) and "stream" in record:
            last[record["stream"]] = record.get("seq", _NO_SEQ)
    return last
