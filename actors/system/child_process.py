"""A forked child process, by its pidfd: signal it, see that it has exited, collect its status."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from actors.system.hang_detector import HangDetector


class ChildProcess:
    """A child of this process. `fd` is readable once it has exited; `reap` closes it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.fd = os.pidfd_open(pid)
        self.hang_detector = HangDetector()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has exited meanwhile."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.fd, number)

    def reap(self) -> int | None:
        """The exit code of a process that has exited, or minus its signal; None while it runs.

        Never waits: a process in uninterruptible sleep outlives its SIGKILL.
        """
        result = os.waitid(os.P_PIDFD, self.fd, os.WEXITED | os.WNOHANG)
        if result is None:
            return None
        os.close(self.fd)
        return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status
