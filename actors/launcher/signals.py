"""SIGINT, SIGTERM and SIGHUP while a run is up: counted, and a descriptor that wakes the loop."""

from __future__ import annotations

import os
import signal


class StopSignals:
    """Installs the handlers. `count` signals came so far; `fd` is readable after one."""

    def __init__(self) -> None:
        self.count = 0
        self.fd, self._write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._write_end)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # which is what nohup is for
            signal.signal(signal.SIGHUP, self._note)

    def _note(self, *_: object) -> None:
        self.count += 1

    def clear(self) -> None:
        """Empty the pipe, so that `fd` is readable again after the next signal only."""
        os.read(self.fd, 64)
