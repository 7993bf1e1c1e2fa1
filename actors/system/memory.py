"""Shared memory without a name that could be left behind, and pools of slots in it.

The supervisor makes it with `memfd_create` and hands the descriptors to the actors that it spawns.
No entry in /dev/shm exists: a container's 64 MB limit does not apply, and the kernel frees
everything when the last process goes, however it went.
"""

from __future__ import annotations

import fcntl
import mmap
import os

from actors.system.linux import available_bytes

_PAGE = mmap.PAGESIZE
# Left for other processes when the run's memory is taken: an over-committed memfd ends in the OOM
# killer, not in an error, so it must be refused before.
_RESERVE_BYTES = 64 << 20

# Not in Python's fcntl module before 3.12 on every build; values from linux/fcntl.h.
_F_ADD_SEALS = 1033
_F_SEAL_SHRINK_AND_GROW = 0x0002 | 0x0004


class OutOfMemoryError(Exception):
    """The memory asked for is not there; the message says how much was and what to change."""


def page_aligned(size: int) -> int:
    """`size` in bytes, rounded up to whole pages."""
    return -(-size // _PAGE) * _PAGE


def check_available(size: int, what: str) -> None:
    """Raise OutOfMemoryError when `size` bytes for `what` cannot be had without swapping."""
    free = available_bytes()
    if free is not None and size + _RESERVE_BYTES > free:
        raise OutOfMemoryError(
            f"{what} needs {size / 1e6:.0f} MB and {free / 1e6:.0f} MB are available; "
            "ask for fewer slots (streams.NAME.slots) or stop other programs"
        )


def create(label: str, size: int) -> int:
    """A descriptor of `size` bytes of zeroed shared memory, allocated now and sealed in size.

    Allocated at once because the first touch of a 6 MB slot costs 5 ms (measured), later ones 0.4.
    The seals keep any process from shrinking it, which would kill the others with SIGBUS.
    """
    fd = os.memfd_create(label, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.posix_fallocate(fd, 0, size)
        fcntl.fcntl(fd, _F_ADD_SEALS, _F_SEAL_SHRINK_AND_GROW)
    except OSError as error:
        os.close(fd)
        raise OutOfMemoryError(
            f"{size / 1e6:.0f} MB of shared memory ({label}): {error.strerror}"
        ) from error
    return fd


def reader(fd: int) -> int:
    """A second descriptor of the same memory that can be mapped for reading only."""
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)


def view(fd: int, *, write: bool) -> memoryview:
    """The whole memory behind `fd` as bytes, with every page mapped in before this returns."""
    protection = mmap.PROT_READ | (mmap.PROT_WRITE if write else 0)
    size = os.fstat(fd).st_size
    flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
    return memoryview(mmap.mmap(fd, size, flags=flags, prot=protection))


class Pool:
    """Equal slots in one shared memory: `pool[i]` is slot i's bytes (1-D, `slot_bytes` long)."""

    def __init__(self, fd: int, slots: int, *, write: bool) -> None:
        whole = view(fd, write=write)
        self.slot_bytes = len(whole) // slots
        self._slots = [whole[i * self.slot_bytes : (i + 1) * self.slot_bytes] for i in range(slots)]

    def __len__(self) -> int:
        return len(self._slots)

    def __getitem__(self, slot: int) -> memoryview:
        return self._slots[slot]

    @staticmethod
    def create(label: str, slots: int, slot_bytes: int) -> int:
        """A descriptor of memory for `slots` slots of at least `slot_bytes`, on whole pages."""
        return create(label, slots * page_aligned(slot_bytes))
