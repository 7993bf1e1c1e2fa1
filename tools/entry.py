"""What every tool does as a process: ends on signals, and says which extra is missing."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from importlib.util import find_spec
from io import TextIOWrapper

EXTRAS = {
    "psutil": "tools",
    "onnx": "tools",
    "pycocotools": "tools",
    "matplotlib": "tools",
    "torch": "train",
}
"""The extra of the project that installs a package."""


def run(main: Callable[[], int]) -> int:
    """A tool's exit code, run as a process of its own.

    SIGINT and SIGTERM raise KeyboardInterrupt, so that a tool removes what it has made. Set here,
    since a process that a script starts in the background inherits SIGINT as ignored.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal may not have every letter of a name
            stream.reconfigure(errors="backslashreplace")
    try:
        code = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has closed the pipe (`| head`). Python flushes stdout once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def missing(*packages: str) -> str | None:
    """What to install when one of these packages is not there: a sentence; None when all are."""
    absent = [name for name in packages if not _installed(name)]
    if not absent:
        return None
    extras = ",".join(sorted({EXTRAS[name] for name in absent}))
    verb = "is" if len(absent) == 1 else "are"
    return f"{' and '.join(absent)} {verb} not installed: pip install 'tritile[{extras}]'"


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # ValueError: an entry of sys.modules without a spec
        return name in sys.modules
