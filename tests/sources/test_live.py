"""The reading thread of a live source, with connections made here: what is taken, what is dropped
and why, and what happens when the source drops out. Real streams: see test_network.py."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from actors.sources import live
from actors.sources.contract import SourceError
from actors.sources.live import LiveFrame, LiveSource, inspect_live

SIZE = (8, 4)
BYTES = 8 * 4 * 3


class Connection:
    """Gives a frame for each number put into it, filled with that number; None ends it.

    A frame of another size is put in as (number, size), one that cannot be decoded as "bad".
    """

    ended = False
    size = SIZE
    fps: float | None = 25.0
    remarks: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.frames: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.closed = threading.Event()
        self._frame: object = None

    def put(self, *frames: object) -> None:
        for frame in frames:
            self.frames.put(frame)

    def grab(self) -> bool:
        self._frame = self.frames.get()
        return self._frame is not None

    def retrieve(self, buffer: NDArray[np.uint8]) -> tuple[int, int] | None:
        if self._frame == "bad":
            return None
        number, size = self._frame if isinstance(self._frame, tuple) else (self._frame, SIZE)
        nbytes = size[0] * size[1] * 3
        if nbytes > buffer.nbytes:
            raise SourceError(f"cam: a frame of {size[0]}x{size[1]} is too large")
        buffer[:nbytes] = number
        return size

    def close(self) -> None:
        self.closed.set()


class World:
    """A source over connections that are handed out one after another, and its slot."""

    def __init__(self) -> None:
        self.connections: queue.SimpleQueue[Connection | SourceError] = queue.SimpleQueue()
        self.attempts: list[float] = []
        self.woken = threading.Semaphore(0)
        self.slot = np.zeros(BYTES, np.uint8)
        self.source = LiveSource("cam", self._connect, BYTES, self.woken.release)

    def _connect(self) -> Connection:
        self.attempts.append(time.monotonic())
        connection = self.connections.get()
        if isinstance(connection, SourceError):
            raise connection
        return connection

    def connect(self) -> Connection:
        connection = Connection()
        self.connections.put(connection)
        return connection

    def take(self) -> LiveFrame:
        taken = self.source.take(self.slot)
        assert taken is not None
        return taken

    def counts(self) -> tuple[int, int, int]:
        source = self.source
        return source.received, source.dropped_newer_frame, source.dropped_no_free_slot


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(live, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(live, "_LONGEST_PAUSE", 0.16)
    world = World()
    yield world
    world.connections.put(SourceError("the test is over"))
    world.source.close()


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)


def test_the_newest_frame_is_taken_and_the_others_are_counted(world: World) -> None:
    source, connection = world.source, world.connect()
    assert source.take(world.slot) is None
    source.start()
    source.set_room(True)
    before = time.monotonic_ns()
    connection.put(10)
    assert world.woken.acquire(timeout=5)
    taken = world.take()
    assert (taken.number, taken.size, set(world.slot)) == (0, SIZE, {10})
    assert before < taken.received_ns < time.monotonic_ns()
    assert abs(taken.received_real_ns - time.time_ns()) < 1e9
    assert source.take(world.slot) is None
    connection.put(11, 12, 13)
    until(lambda: source.received == 4)
    taken = world.take()
    assert (taken.number, set(world.slot)) == (3, {13})
    assert world.counts() == (4, 2, 0)


def test_drops_are_counted_by_whether_there_was_room(world: World) -> None:
    source, connection = world.source, world.connect()
    source.start()
    source.set_room(False)
    connection.put(1, 2, 3)
    until(lambda: source.received == 3)
    assert not world.woken.acquire(blocking=False)
    assert world.counts() == (3, 0, 2)
    source.set_room(True)
    connection.put(4)  # the 3 that it replaces came while there was no room
    assert world.woken.acquire(timeout=5)
    assert world.counts() == (4, 0, 3)
    connection.put(5)
    until(lambda: source.received == 5)
    assert world.counts() == (5, 1, 3)
    assert world.take().number == 4
    assert set(world.slot) == {5}


def test_a_frame_that_waited_for_room_is_taken(world: World) -> None:
    source, connection = world.source, world.connect()
    source.start()
    source.set_room(False)
    connection.put(7)
    until(lambda: source.received == 1)
    source.set_room(True)
    assert world.take().number == 0
    assert world.counts() == (1, 0, 0)


def test_a_source_that_drops_out_is_opened_again(world: World) -> None:
    source, connection = world.source, world.connect()
    assert not source.connected
    source.start()
    connection.put(1)
    until(lambda: source.connected)
    connection.put(None)
    until(lambda: not source.connected)
    assert source.trouble == "cam: no more frames come"
    assert connection.closed.wait(5)
    world.connections.put(SourceError("cam: refused"))
    until(lambda: source.trouble == "cam: refused")
    again = world.connect()
    again.put(2)
    until(lambda: source.connected)
    assert (source.reconnects, source.received) == (1, 2)
    taken = world.take()
    assert (taken.number, set(world.slot)) == (1, {2})
    assert world.counts() == (2, 0, 1)


def test_the_first_connection_is_no_reconnect(world: World) -> None:
    world.connections.put(SourceError("cam: refused"))
    world.connect().put(1)
    world.source.start()
    until(lambda: world.source.received == 1)
    assert world.source.reconnects == 0


def test_pauses_double_up_to_a_limit_and_start_anew_after_a_frame(world: World) -> None:
    for _ in range(8):
        world.connections.put(SourceError("cam: refused"))
    connection = world.connect()
    connection.put(1, None)
    world.source.start()
    until(lambda: len(world.attempts) == 10)
    pauses = np.diff(world.attempts)
    assert np.all(pauses >= [0.01, 0.02, 0.04, 0.08, 0.16, 0.16, 0.16, 0.16, 0.01])
    assert pauses[-1] < 0.16


def test_a_connection_without_a_frame_does_not_reset_the_pause(world: World) -> None:
    for _ in range(4):
        world.connect().put(None)
    world.source.start()
    until(lambda: len(world.attempts) == 5)
    assert np.all(np.diff(world.attempts) >= [0.01, 0.02, 0.04, 0.08])


def test_a_source_that_is_silent_counts_as_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_STALL_NS", 50_000_000)
    source, connection = world.source, world.connect()
    source.start()
    connection.put(1)
    until(lambda: source.connected)
    until(lambda: not source.connected)  # while the thread still waits for the next frame
    assert not connection.closed.is_set()
    connection.put(2)
    until(lambda: source.connected)
    time.sleep(0.06)
    connection.put(None)
    until(lambda: source.trouble.startswith("cam: no frame for "))


def test_frames_that_cannot_be_decoded_are_counted_and_passed(world: World) -> None:
    source, connection = world.source, world.connect()
    source.start()
    connection.put("bad", 1, "bad", "bad", 2)
    until(lambda: source.received == 2)
    assert source.unreadable == 3
    assert world.take().number == 1


def test_a_source_of_which_nothing_can_be_decoded_is_opened_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_STALL_NS", 20_000_000)
    connection = world.connect()
    world.source.start()
    connection.put("bad")
    time.sleep(0.03)
    connection.put("bad")
    assert connection.closed.wait(5)
    until(lambda: world.source.trouble == "cam: no frame can be decoded any more")


def test_another_size_is_taken_where_it_fits(world: World) -> None:
    source, connection = world.source, world.connect()
    source.start()
    connection.put(1)
    until(lambda: source.received == 1)
    world.take()
    connection.put(None)
    world.connect().put((2, (4, 4)))
    until(lambda: source.received == 2)
    assert world.take().size == (4, 4)
    assert set(world.slot[: 4 * 4 * 3]) == {2}
    assert set(world.slot[4 * 4 * 3 :]) == {1}


def test_a_frame_that_does_not_fit_ends_the_source_with_a_sentence(world: World) -> None:
    source, connection = world.source, world.connect()
    source.start()
    connection.put(1, (2, (9, 4)))
    assert connection.closed.wait(5)
    until(lambda: not source.connected)
    assert world.take().number == 0  # what came before is still good
    with pytest.raises(SourceError, match=r"^cam: a frame of 9x4 is too large$"):
        source.take(world.slot)


def test_a_fault_in_the_thread_reaches_the_reader(world: World) -> None:
    connection = world.connect()
    world.source.start()
    connection.put("no number")  # numpy refuses to fill the buffer with it
    assert connection.closed.wait(5)
    with pytest.raises(SourceError, match=r"^cam: ValueError: "):
        until(lambda: world.source.take(world.slot) is not None)


def test_a_source_that_is_over_ends_after_its_last_frame(world: World) -> None:
    source, connection = world.source, world.connect()
    connection.ended = True
    source.start()
    connection.put(1, None)
    assert connection.closed.wait(5)
    assert world.woken.acquire(timeout=5)
    assert not source.ended
    assert world.take().number == 0
    assert source.take(world.slot) is None
    assert source.ended
    assert len(world.attempts) == 1


def test_close_does_not_wait_for_what_hangs(world: World) -> None:
    connection = world.connect()
    world.source.start()
    connection.put(1)
    until(lambda: world.source.received == 1)
    began = time.monotonic()
    world.source.close()
    assert time.monotonic() - began < 1
    connection.put(2)  # the driver returns after all
    assert connection.closed.wait(5)


def test_close_during_a_pause_ends_the_thread(world: World) -> None:
    before = set(threading.enumerate())
    world.connections.put(SourceError("cam: refused"))
    world.source.start()
    until(lambda: world.source.trouble != "")
    world.connections.put(SourceError("cam: refused"))
    world.source.close()
    until(lambda: set(threading.enumerate()) <= before)


# ---- looking before a run


class Steady(Connection):
    """Nearly 25 frames a second, but states what it likes."""

    def __init__(self, states: float | None) -> None:
        super().__init__()
        self.fps = states
        self._frame = 1

    def grab(self) -> bool:
        time.sleep(0.04)
        return True


@pytest.mark.parametrize("states", [20.0, 12.0])
def test_look_believes_a_rate_that_is_kept(states: float) -> None:
    info = inspect_live("cam", lambda: Steady(states))
    assert (info.width, info.height, info.frame_bytes, info.sizes) == (8, 4, BYTES, (SIZE,))
    assert (info.fps, info.live, info.frames, info.remarks) == (states, True, None, ())


def test_look_measures_a_rate_that_is_not_stated() -> None:
    info = inspect_live("cam", lambda: Steady(None))
    assert info.fps is not None
    assert 14 < info.fps <= 25
    assert info.remarks == ()


def test_look_tells_of_a_rate_that_is_not_kept() -> None:
    info = inspect_live("cam", lambda: Steady(60.0))
    assert info.fps is not None
    assert 14 < info.fps <= 25
    (remark,) = info.remarks
    assert remark == (f"cam: it states 60 frames/s, and {info.fps:g} came in the first second")


def test_look_fails_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> Connection:
        raise SourceError("cam: refused")

    def silent() -> Connection:
        connection = Connection()
        connection.put("bad", None)
        return connection

    with pytest.raises(SourceError, match=r"^cam: refused$"):
        inspect_live("cam", refused)
    with pytest.raises(SourceError, match=r"^cam: it was opened but gives no frame; "):
        inspect_live("cam", silent)
    monkeypatch.setattr(live, "_FIRST_FRAME_S", 0.1)
    monkeypatch.setattr(live, "_MEASURE_SECONDS", 0.1)
    with pytest.raises(SourceError, match=r"^cam: no frame came within 0 s; "):
        inspect_live("cam", Connection)  # hangs in its first grab
