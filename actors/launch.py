"""The command `launch`: sets its signal handlers first, then runs `launcher.command`.

This module imports next to nothing, so that SIGINT and SIGTERM are handled about as early as
Python allows. What arrives earlier, while the interpreter itself starts, ends the process by the
signal.
"""

from __future__ import annotations

import os
import sys

# What `signal` wraps: that takes twice as long to import as all else here together.
from _signal import SIG_IGN, SIGINT, SIGTERM, signal  # type: ignore[import-not-found]


def main(argv: list[str] | None = None) -> int:
    """Run the command with these arguments (absent: the process's); returns its exit code."""
    for number in (SIGINT, SIGTERM):
        signal(number, _exit)
    from actors.launcher.command import run

    code = run(argv)
    # Python takes its handlers away while it ends, and a signal would then still kill it.
    for number in (SIGINT, SIGTERM):
        signal(number, SIG_IGN)
    return code


def _exit(*_: object) -> None:
    """End with exit code 0 on a signal, until the run has handlers of its own.

    Not by an exception: it would come up in the middle of an import, where pydantic makes an error
    of its own of SystemExit (1 of 100 times), and after a KeyboardInterrupt that has passed through
    an `exec` Python ends by the signal, whatever has caught it (2 of 30 times). There is nothing to
    clean up before the fork server is started, see `launcher.forking`.
    """
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
