"""The command `launch`: sets its signal handlers first, then runs `launcher.command`.

This module imports next to nothing, so that SIGINT and SIGTERM are handled about as early as
Python allows. What arrives earlier, while the interpreter itself starts, ends the process by the
signal.
"""

from __future__ import annotations

import signal
import sys


def main(argv: list[str] | None = None) -> int:
    """Run the command with these arguments (absent: the process's); returns its exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _exit_quietly)
    from actors.launcher.command import run

    return run(argv)


def _exit_quietly(*_: object) -> None:
    """End with exit code 0 on a signal, until the run has handlers of its own.

    Not with KeyboardInterrupt: once it has passed through an `exec`, as of a dataclass that an
    import makes, Python ends by the signal at last, whatever has caught it (2 of 30 times).
    """
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
