"""SIGINT, SIGTERM and SIGHUP: before a run is up they end it, then they are counted."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def exit_on_signal(pid: int) -> None:
    """Until the run is up, SIGINT and SIGTERM kill this process and end this one with exit code 0.

    Why not by an exception: see `actors.launch`.
    """

    def end(*_: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os._exit(0)

    for number in _SIGNALS:
        signal.signal(number, end)


class StopSignals:
    """While a run is up. `count` signals came so far; `fd` is readable after one."""

    def __init__(self) -> None:
        self.count = 0
        self.fd, self._write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._write_end)
        for number in _SIGNALS:
            signal.signal(number, self._note)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # which is what nohup is for
            signal.signal(signal.SIGHUP, self._note)

    def _note(self, *_: object) -> None:
        self.count += 1

    def clear(self) -> None:
        """Empty the pipe, so that `fd` is readable again after the next signal only."""
        os.read(self.fd, 64)
