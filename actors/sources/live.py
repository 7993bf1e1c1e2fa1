"""A live source: read on its own thread, latest frame only, opened again when it drops out.

The thread decodes every frame into private memory, two buffers in turn: one is being filled, the
other holds the newest frame until it is taken or a newer one comes. So neither the source nor its
reader ever waits for the other, and no old frame waits in a queue. Every frame that came is taken
or counted as dropped, and its number is the count of those before it.

Opening is tried again without end, 0.2 s after the source dropped out, then with twice the pause
each time up to 5 s.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from actors.sources.contract import SourceError, SourceInfo

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0
# A source that delivers nothing for so long has dropped out, whatever its driver thinks.
_STALL_NS = 5_000_000_000
# The thread may be inside FFmpeg or a driver when it should end; `close` waits no longer for it.
_CLOSE_SECONDS = 0.2
_FIRST_FRAME_S = 10.0
_MEASURE_SECONDS = 1.0
# A source whose measured rate is below this share of the stated one is slower than it states.
_SLOW = 0.9


class Connection(Protocol):
    """One open connection, see `actors.sources.feed.Feed`."""

    ended: bool
    size: tuple[int, int]
    fps: float | None
    remarks: tuple[str, ...]

    def grab(self) -> bool:
        """Waits for the next frame; False when the source has dropped out or ended."""

    def retrieve(self, buffer: NDArray[np.uint8]) -> tuple[int, int] | None:
        """Decodes that frame into `buffer`: its (width, height), or None when it cannot be."""

    def close(self) -> None:
        """Closes the connection."""


Connect = Callable[[], Connection]


@dataclass(frozen=True, slots=True)
class LiveFrame:
    """A frame that was taken: its (width, height), and when it was received (both clocks).

    `number` counts the frames that have come since the source was made, from 0.
    """

    size: tuple[int, int]
    number: int
    received_ns: int
    received_real_ns: int


class LiveSource:
    """Latest-only reading of one live source, see the module.

    `start`, `set_room`, `take` and `close` are for one thread; any thread may read the counters,
    which start at 0 with this object.
    """

    def __init__(
        self, name: str, connect: Connect, frame_bytes: int, wake: Callable[[], None]
    ) -> None:
        """`frame_bytes` is the most that a frame may take. `wake` is called on the reading thread
        when `take` has a frame and there is room for it, and when reading has ended."""
        self.name = name
        self.received = 0
        self.dropped_newer_frame = 0
        """Dropped because a newer one came before it was taken."""
        self.dropped_no_free_slot = 0
        """The same, of frames that came while the reader had no room."""
        self.unreadable = 0
        """Frames that could not be decoded; not among those received."""
        self.reconnects = 0
        """How often frames came again after the source had dropped out."""
        self.trouble = ""
        """Why the source dropped out last, or why it cannot be opened, in one sentence."""
        self.remarks: tuple[str, ...] = ()
        self.ended = False
        """True when the source is over and its last frame has been taken."""
        self._connect = connect
        self._wake = wake
        # Touched now, since the first touch of new memory is what costs.
        self._front, self._back = (np.ones(frame_bytes, np.uint8) for _ in range(2))
        self._lock = threading.Lock()
        self._newest: LiveFrame | None = None
        self._newest_had_room = False
        self._room = False
        self._over = False
        self._fault: SourceError | None = None
        self._flowing = False
        self._last_ns = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    # ------------------------------------------------------------ the reader's calls

    def start(self) -> None:
        """Begins to connect. May be called again."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="live source", daemon=True)
            self._thread.start()

    @property
    def connected(self) -> bool:
        """Whether frames are coming in."""
        return self._flowing and time.monotonic_ns() - self._last_ns < _STALL_NS

    def set_room(self, free: bool) -> None:
        """Set whether the reader has room for a frame: the reason of a drop, and when to `wake`."""
        with self._lock:
            self._room = free

    def take(self, slot: NDArray[np.uint8]) -> LiveFrame | None:
        """Copies the newest frame into `slot` (as for `Source.read`); None without a new one.

        Raises SourceError where opening the source again would not help: a frame is larger than
        the memory for it.
        """
        with self._lock:
            taken, self._newest = self._newest, None
            if taken is not None:
                nbytes = taken.size[0] * taken.size[1] * 3
                np.copyto(slot[:nbytes], self._front[:nbytes])
            elif self._fault is not None:
                raise self._fault
            else:
                self.ended = self._over
        return taken

    def close(self) -> None:
        """Closes the source. Returns within 0.2 s; a call that hangs ends with the process."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS)

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        try:
            while not self._stop.is_set():
                before = self.received
                try:
                    connection = self._connect()
                except SourceError as error:
                    self._lose(str(error))
                else:
                    self._serve(connection)
                if self._over:
                    return
                pause = _FIRST_PAUSE if self.received > before else pause
                self._stop.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        except SourceError as error:
            self._fault = error
        except Exception as error:
            self._fault = SourceError(f"{self.name}: {type(error).__name__}: {error}")
        finally:
            self._flowing = False
            self._wake()

    def _serve(self, connection: Connection) -> None:
        """Receive frames until the source drops out."""
        self.remarks = connection.remarks
        good_ns = time.monotonic_ns()
        why = "no more frames come"
        try:
            while not self._stop.is_set() and connection.grab():
                now, real = time.monotonic_ns(), time.time_ns()
                size = connection.retrieve(self._back)
                if size is not None:
                    good_ns = now
                    self._arrived(LiveFrame(size, self.received, now, real))
                    continue
                self.unreadable += 1
                if now - good_ns > _STALL_NS:
                    why = "no frame can be decoded any more"
                    break
            else:
                if time.monotonic_ns() - good_ns > _STALL_NS / 2:
                    why = f"no frame for {(time.monotonic_ns() - good_ns) / 1e9:.0f} s"
        finally:
            connection.close()
        self._over = connection.ended
        self._lose(f"{self.name}: {why}")

    def _arrived(self, frame: LiveFrame) -> None:
        """A frame is in the back buffer: make it the newest."""
        with self._lock:
            if self._newest is not None:
                if self._newest_had_room:
                    self.dropped_newer_frame += 1
                else:
                    self.dropped_no_free_slot += 1
            self._front, self._back = self._back, self._front
            self._newest = frame
            self._newest_had_room = self._room
            self.received += 1
            self._last_ns = frame.received_ns
            if not self._flowing and frame.number > 0:
                self.reconnects += 1
            self._flowing = True
            if self._room:
                self._wake()

    def _lose(self, why: str) -> None:
        self.trouble = why
        self._flowing = False


# ---------------------------------------------------------------- before a run


def inspect_live(name: str, connect: Connect) -> SourceInfo:
    """Connects, takes a frame, measures the rate for a second, and closes.

    SourceError when that does not work within 10 s. It runs on a thread, because not every driver
    has a timeout.
    """
    answer: queue.SimpleQueue[SourceInfo | SourceError] = queue.SimpleQueue()

    def run() -> None:
        try:
            answer.put(_inspect(name, connect))
        except SourceError as error:
            answer.put(error)
        except Exception as error:
            answer.put(SourceError(f"{name}: {type(error).__name__}: {error}"))

    threading.Thread(target=run, name="inspect live source", daemon=True).start()
    try:
        found = answer.get(timeout=_FIRST_FRAME_S + _MEASURE_SECONDS)
    except queue.Empty:
        found = SourceError(f"{name}: no frame came within {_FIRST_FRAME_S:.0f} s; is it sending?")
    if isinstance(found, SourceError):
        raise found
    return found


def _inspect(name: str, connect: Connect) -> SourceInfo:
    connection = connect()
    try:
        width, height = connection.size
        buffer = np.empty(width * height * 3, np.uint8)
        size = None
        while size is None:
            if not connection.grab():
                raise SourceError(f"{name}: it was opened but gives no frame; is it sending?")
            size = connection.retrieve(buffer)
        info = SourceInfo(
            width=size[0],
            height=size[1],
            frame_bytes=size[0] * size[1] * 3,
            fps=connection.fps,
            frames=None,
            live=True,
            sizes=(size,),
            remarks=connection.remarks,
        )
        measured = measure(connection, _MEASURE_SECONDS)
    finally:
        connection.close()
    if measured is None or (info.fps is not None and measured >= _SLOW * info.fps):
        return info
    rate = round(measured, 1)
    if info.fps is None:
        return replace(info, fps=rate)
    slower = f"{name}: it states {info.fps:g} frames/s, and {rate:g} came in the first second"
    return replace(info, fps=rate, remarks=(*info.remarks, slower))


def measure(connection: Connection, seconds: float) -> float | None:
    """Frames per second that come in `seconds`; None when fewer than two come."""
    count, first, last = 0, 0, time.monotonic_ns()
    end = last + int(seconds * 1e9)
    while last < end and connection.grab():
        last = time.monotonic_ns()
        first = first or last
        count += 1
    return (count - 1) * 1e9 / (last - first) if count > 1 and last > first else None
