"""A terminal of a given size: a pseudo terminal to run a command in, and what its screen shows."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence

_TOKEN = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])|\r|\n|[^\x1b\r\n]", re.S)


def run(command: Sequence[str], width: int, height: int = 24, **options: object) -> tuple[int, str]:
    """The command's exit code and all that it wrote to its terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    environment = options.pop("env", os.environ)
    assert isinstance(environment, Mapping)
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**environment, "TERM": "xterm-256color", "COLUMNS": "", "LINES": ""},
        **options,  # type: ignore[call-overload]
    )
    os.close(theirs)
    written = b""
    try:
        while chunk := os.read(ours, 65536):
            written += chunk
    except OSError:
        pass  # EIO: the last process has closed the terminal
    os.close(ours)
    return process.wait(60), written.decode()


def screen(written: str, width: int) -> list[str]:
    """The lines that a terminal shows after this, those that have scrolled away included."""
    lines: list[list[str]] = [[]]
    row = column = 0
    for token in _TOKEN.finditer(written):
        text, (argument, code) = token.group(), token.groups(default="")
        count = int(argument) if argument.isdecimal() else 1
        if text == "\r":
            column = 0
        elif text == "\n":
            row += 1
        elif code == "A":
            row = max(0, row - count)
        elif code == "K":
            lines[row] = [] if argument == "2" else lines[row][:column]
        elif not code:
            if column == width:
                row, column = row + 1, 0
            lines += [[] for _ in range(row + 1 - len(lines))]
            lines[row] += " " * (column + 1 - len(lines[row]))
            lines[row][column] = text
            column += 1
        lines += [[] for _ in range(row + 1 - len(lines))]
    return ["".join(line).rstrip() for line in lines]
