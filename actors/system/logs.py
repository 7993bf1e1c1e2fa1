"""Sets up logging: one line an event on stderr, with the actor's name.

Actors write to the stderr that the supervisor gave them, a pipe; the supervisor prints what comes
out of it, above its live table on a terminal and as it is elsewhere.
"""

from __future__ import annotations

import logging
import os
import sys


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        mark = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        line = f"{record.name}: {mark}{record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def setup() -> None:
    """Send the root logger's records to stderr, one line each. Once a process.

    TRITILE_LOG=debug in the environment shows more, tracebacks of faults included.
    """
    level = logging.DEBUG if os.environ.get("TRITILE_LOG") == "debug" else logging.INFO
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Libraries log when something is wrong, not when they work.
    for noisy in ("asyncio", "PIL", "matplotlib"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
