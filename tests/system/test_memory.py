"""Shared memory: pages, slots, which process may write, and that none can shrink it."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.system import memory
from actors.system.memory import OutOfMemoryError, Pool, check_available, page_aligned, reader, view

PAGE = mmap.PAGESIZE

Own = Callable[[int], int]


@pytest.fixture
def own() -> Iterator[Own]:
    """Closes the descriptors that it is given."""
    fds: list[int] = []

    def keep(fd: int) -> int:
        fds.append(fd)
        return fd

    yield keep
    for fd in fds:
        os.close(fd)


@given(st.integers(1, 10**9))
def test_page_aligned(size: int) -> None:
    aligned = page_aligned(size)
    assert aligned % PAGE == 0
    assert size <= aligned < size + PAGE


def test_memory_is_zeroed_allocated_and_nameless(own: Own) -> None:
    fd = own(memory.create("tritile-test", 5 * PAGE))
    status = os.fstat(fd)
    assert (status.st_size, status.st_blocks * 512, status.st_nlink) == (5 * PAGE, 5 * PAGE, 0)
    assert not os.get_inheritable(fd)
    assert bytes(view(fd, write=False)) == bytes(5 * PAGE)


def test_size_is_sealed(own: Own) -> None:
    fd = own(memory.create("tritile-test", 2 * PAGE))
    for size in (0, PAGE, 3 * PAGE):
        with pytest.raises(PermissionError):
            os.ftruncate(fd, size)
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", 2 * PAGE)
    assert os.fstat(fd).st_size == 2 * PAGE


def test_what_one_writes_all_read(own: Own) -> None:
    fd = own(memory.create("tritile-test", PAGE))
    writable, other = view(fd, write=True), view(own(reader(fd)), write=False)
    writable[100:103] = b"abc"
    assert bytes(other[99:104]) == b"\0abc\0"


def test_who_only_reads_cannot_write(own: Own) -> None:
    fd = own(memory.create("tritile-test", PAGE))
    read_end = own(reader(fd))
    for only_reading in (view(fd, write=False), view(read_end, write=False)):
        assert only_reading.readonly
        with pytest.raises(TypeError):
            only_reading[0] = 1
    with pytest.raises(PermissionError):
        view(read_end, write=True)
    with pytest.raises(OSError):
        os.pwrite(read_end, b"x", 0)
    assert not os.get_inheritable(read_end)


def test_memory_outlives_its_descriptors() -> None:
    fd = memory.create("tritile-test", PAGE)
    mapped = view(fd, write=True)
    os.close(fd)
    mapped[PAGE - 1] = 7
    assert mapped[PAGE - 1] == 7


@pytest.mark.parametrize(
    ("slots", "slot_bytes"), [(1, 1), (1, PAGE), (3, PAGE), (3, PAGE + 1), (5, 640 * 640 * 3)]
)
def test_slots_are_whole_pages_side_by_side(own: Own, slots: int, slot_bytes: int) -> None:
    fd = own(Pool.create("tritile-test", slots, slot_bytes))
    pool = Pool(fd, slots, write=True)
    assert len(pool) == slots
    assert pool.slot_bytes == page_aligned(slot_bytes)
    for slot in range(slots):
        assert len(pool[slot]) == pool.slot_bytes
        pool[slot][0] = pool[slot][-1] = slot + 1
    whole = view(fd, write=False)
    assert len(whole) == slots * pool.slot_bytes
    edges = {slot * pool.slot_bytes: slot + 1 for slot in range(slots)}
    edges |= {(slot + 1) * pool.slot_bytes - 1: slot + 1 for slot in range(slots)}
    assert {at: byte for at, byte in enumerate(bytes(whole)) if byte} == edges


def test_a_pool_for_reading_cannot_be_written(own: Own) -> None:
    fd = own(Pool.create("tritile-test", 2, PAGE))
    pool = Pool(own(reader(fd)), 2, write=False)
    assert all(pool[slot].readonly for slot in range(2))


def test_memory_that_is_not_there_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    mb = 10**6
    monkeypatch.setattr(memory, "available_bytes", lambda: 500 * mb)
    check_available(400 * mb, "the run's frame memory")
    with pytest.raises(OutOfMemoryError) as caught:
        check_available(499 * mb, "the run's frame memory")  # something is left for the others
    assert str(caught.value) == (
        "the run's frame memory needs 499 MB and 500 MB are available; "
        "ask for fewer slots (streams.NAME.slots) or stop other programs"
    )
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    check_available(1 << 60, "nothing is known, so nothing is refused:")


def test_more_than_there_is_on_this_machine() -> None:
    with pytest.raises(OutOfMemoryError):
        check_available(1 << 60, "a test")


def test_an_allocation_that_fails_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, offset: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OutOfMemoryError) as caught:
        memory.create("tritile-cam0", 123_000_000)
    assert str(caught.value) == ("123 MB of shared memory (tritile-cam0): No space left on device")
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208


def test_seals_are_those_of_size(own: Own) -> None:
    f_get_seals, shrink, grow, write = 1034, 0x2, 0x4, 0x8
    seals = fcntl.fcntl(own(memory.create("tritile-test", PAGE)), f_get_seals)
    assert seals & (shrink | grow) == shrink | grow
    assert not seals & write
