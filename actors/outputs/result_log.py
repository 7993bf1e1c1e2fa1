"""Result log: the published records, one JSON object a line, each once.

What is written is with the kernel at once, so it survives its writer: a merger that was restarted,
and publishes its last frame again because that may not have reached the subscribers, finds it in
the log and does not write it again.

A log that cannot be continued stays as it is, with whole lines up to where it is good: the disk is
full, or it was deleted or replaced in mid-run. One that begins in the middle is never made.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Larger than any seq: the record of a stream's end has none and comes after all its frames.
_NO_SEQ = 1 << 62
# The end of the file in which a stream's last frame is looked for: thousands of records.
_TAIL = 4 << 20


class ResultLogError(Exception):
    """The log cannot be begun or continued; the message is the reason.

    `last_seqs` is the last frame in it by stream, -1 for none; a stream whose end is in it is not
    listed.
    """

    def __init__(self, reason: str, last_seqs: Mapping[str, int]) -> None:
        super().__init__(reason)
        self.last_seqs = last_seqs


class ResultLog:
    """Written a line at a time, so that a reader that follows the file sees whole frames."""

    def __init__(self, path: Path, published: Mapping[str, int]) -> None:
        """Continue after the last whole line of `path`, or begin it while nothing is published.

        `published` is the last frame by stream that an earlier writer has logged for sure, -1 for
        none. ResultLogError when the file cannot be written or lacks these frames.
        """
        self._last = dict(published)
        begun = max(published.values(), default=-1) >= 0
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | (0 if begun else os.O_CREAT)
        try:
            if path.is_file():
                _cut_half_line(path)
                self._last.update(_last_seqs(path, published))
            elif begun and not path.exists():
                self._last = dict.fromkeys(published, -1)
                raise OSError(errno.ENOENT, "it was deleted")
            self._fd = os.open(path, flags, 0o666)
            found = os.fstat(self._fd)
        except OSError as error:
            raise self._error(error) from None
        self._regular = stat.S_ISREG(found.st_mode)
        if any(self._last[stream] < seq for stream, seq in published.items()):
            os.close(self._fd)
            raise self._error(OSError(errno.ENOENT, "records were removed from it"))

    def write(self, record: dict[str, Any]) -> None:
        """Add a record, unless its frame is there already.

        ResultLogError when it cannot be added as a whole; what was there before stays.
        """
        stream, seq = record["stream"], record.get("seq", _NO_SEQ)
        if seq <= self._last.get(stream, -1):
            return
        text = json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"
        line = text.encode(errors="backslashreplace")
        before = os.fstat(self._fd)
        try:
            if self._regular and before.st_nlink == 0:
                self._last = dict.fromkeys(self._last, -1)
                raise OSError(errno.ENOENT, "it was deleted")
            while line:
                line = line[os.write(self._fd, line) :]
        except OSError as error:
            if self._regular:
                os.ftruncate(self._fd, before.st_size)
            raise self._error(error) from None
        self._last[stream] = seq

    def close(self) -> None:
        """Close the file. Called once."""
        os.close(self._fd)

    def _error(self, error: OSError) -> ResultLogError:
        last = {stream: seq for stream, seq in self._last.items() if seq != _NO_SEQ}
        return ResultLogError(error.strerror or str(error), last)


def _cut_half_line(path: Path) -> None:
    """Remove what a killed writer left of its last line."""
    with path.open("rb+") as file:
        size = whole = file.seek(0, 2)
        while size > 0:
            begin = max(0, size - 65536)
            file.seek(begin)
            newline = file.read(size - begin).rfind(b"\n")
            if newline >= 0:
                size = begin + newline + 1
                break
            size = begin
        if size < whole:
            file.truncate(size)


def _last_seqs(path: Path, published: Mapping[str, int]) -> dict[str, int]:
    """By stream, the seq of the last record in the file.

    Only the end of a long file is read: a stream that is not in it may be over for long, and what
    was published of it counts as there.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL))
        lines = file.read().splitlines()
    last = dict(published) if size > _TAIL else dict.fromkeys(published, -1)
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue  # the first line may be cut by where the tail begins
        if isinstance(record, dict) and "stream" in record:
            last[record["stream"]] = record.get("seq", _NO_SEQ)
    return last
