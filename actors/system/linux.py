"""The few kernel calls that Python has no function for, and the clock that everything uses."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)

now_ns = time.monotonic_ns


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl({option}): {os.strerror(error)}")


def die_with_parent(parent: int) -> None:
    """Have the kernel SIGKILL this process when `parent` ends; exit now if it already has.

    The signal is bound to the *thread* that is the parent, so a process that spawns others must
    do it from its main thread.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent has ended."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def resident_bytes(pid: int) -> int:
    """Resident memory of a process in bytes, shared pages included; 0 when it is gone."""
    try:
        with Path(f"/proc/{pid}/statm").open("rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def cpu_ns(pid: int) -> int:
    """Processor time that a process has used, in nanoseconds (10 ms steps); 0 when it is gone."""
    try:
        with Path(f"/proc/{pid}/stat").open("rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) * (10**9 // os.sysconf("SC_CLK_TCK"))
    except (OSError, IndexError, ValueError):
        return 0


class ThreadTimes(NamedTuple):
    """What the kernel's scheduler counts of a thread, in nanoseconds since it began."""

    ran_ns: int
    waited_ns: int
    """Ready to run and without a processor; a wait is added when it is over."""
    runnable: bool
    """It runs, or waits for a processor, at this moment."""


def thread_times(pid: int, tid: int) -> ThreadTimes | None:
    """The times of a thread (of a process's main thread where both numbers are its pid).

    None when it is gone, or when the kernel keeps no such account (CONFIG_SCHED_INFO).
    """
    folder = Path(f"/proc/{pid}/task/{tid}")
    try:
        ran, waited, _ = (folder / "schedstat").read_bytes().split()
        state = (folder / "stat").read_bytes().rpartition(b")")[2].split()[0]
        return ThreadTimes(int(ran), int(waited), state == b"R")
    except (OSError, IndexError, ValueError):
        return None


def children_of(parent: int) -> list[int]:
    """The processes whose parent is `parent`."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError, IndexError, ValueError):
                fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
                if int(fields[1]) == parent:
                    found.append(int(folder.name))
    return found


def machine_idle() -> tuple[int, int]:
    """Processor time of the whole machine so far: (idle, all), in the kernel's ticks."""
    try:
        with Path("/proc/stat").open("rb") as file:
            ticks = [int(field) for field in file.readline().split()[1:9]]
        return ticks[3] + ticks[4], sum(ticks)
    except (OSError, IndexError, ValueError):
        return 0, 0


def available_bytes() -> int | None:
    """Memory that can be had without swapping (MemAvailable), or None where that is unknown."""
    try:
        with Path("/proc/meminfo").open("rb") as file:
            for line in file:
                if line.startswith(b"MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, IndexError, ValueError):
        pass
    return None


def is_stopped(pid: int) -> bool:
    """True when a process was stopped by a signal (state T in /proc), so not by its own work."""
    try:
        with Path(f"/proc/{pid}/stat").open("rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except (OSError, IndexError):
        return False
