"""One way to read a file and a live source: frames with their times, counts, and the connection."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.sources.contract import Source
from actors.sources.live import LiveSource

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """A frame that was read: `size` is (width, height), the times are of both clocks.

    `source_frame` is its index in a file, `source_name` that of an image (`Source.frame_name`). A
    live source's frames have a `number` instead: how many the source had received before, from 0.
    """

    size: tuple[int, int]
    captured_ns: int
    captured_real_ns: int
    source_frame: int = 0
    source_name: str = ""
    number: int | None = None


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """What a source has counted since it was opened."""

    unreadable: int = 0
    dropped_newer_frame: int = 0
    dropped_no_free_slot: int = 0
    reconnects: int = 0


@dataclass(frozen=True, slots=True)
class SourceState:
    """How a source is: `trouble` is why a live one dropped out last, `remarks` what it gives."""

    name: str = ""
    connected: bool = True
    trouble: str = ""
    remarks: tuple[str, ...] = ()


class Reader:
    """An open source, for one thread. What has a body here is right for a file, which waits."""

    ended = False
    """Whether there will be no more frames."""

    def read(self, slot: NDArray[np.uint8]) -> CapturedFrame | None:
        """The next frame (as for `Source.read`); None when there is none (yet). SourceError."""
        raise NotImplementedError

    def counts(self) -> SourceCounts:
        """All counts; to be read before the frame that was read last is committed."""
        raise NotImplementedError

    def unreadable_text(self) -> str:
        """What could not be decoded last, in one sentence."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the source. May be called again."""
        raise NotImplementedError

    def state(self) -> SourceState:
        """How the source is now."""
        return SourceState()

    def set_room(self, free: bool) -> None:
        """Say whether there is room for a frame."""

    def woken(self) -> None:
        """Clear what woke the caller; before `read`, so that no frame is overlooked."""


class FileReader(Reader):
    """Reads a file, images or the drawn scene."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def read(self, slot: NDArray[np.uint8]) -> CapturedFrame | None:
        """The next frame, see `Reader.read`."""
        source_frame = self._source.position()
        size = self._source.read(slot)
        self.ended = size is None
        if size is None:
            return None
        return CapturedFrame(
            size, time.monotonic_ns(), time.time_ns(), source_frame, self._source.frame_name
        )

    def counts(self) -> SourceCounts:
        """The frames that were passed over."""
        return SourceCounts(self._source.unreadable)

    def unreadable_text(self) -> str:
        """What could not be decoded last, in one sentence."""
        return f"{self._source.last_error} (passed over and counted)"

    def close(self) -> None:
        """Close the file."""
        self._source.close()


class LiveReader(Reader):
    """Reads the newest frame of a live source, which begins to connect at the first read."""

    def __init__(self, source: LiveSource, wake_fd: int) -> None:
        """`source` wakes by writing to the eventfd `wake_fd`, which must not block."""
        self._source = source
        self._wake_fd = wake_fd

    def read(self, slot: NDArray[np.uint8]) -> CapturedFrame | None:
        """The next frame, see `Reader.read`."""
        self._source.start()
        taken = self._source.take(slot)
        self.ended = self._source.ended
        if taken is None:
            return None
        return CapturedFrame(
            taken.size, taken.received_ns, taken.received_real_ns, number=taken.number
        )

    def counts(self) -> SourceCounts:
        """All counts of the source."""
        source = self._source
        return SourceCounts(
            unreadable=source.unreadable,
            dropped_newer_frame=source.dropped_newer_frame,
            dropped_no_free_slot=source.dropped_no_free_slot,
            reconnects=source.reconnects,
        )

    def unreadable_text(self) -> str:
        """That some cannot be decoded: a source may give thousands."""
        return f"{self._source.name}: a frame cannot be decoded; further ones are only counted"

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def state(self) -> SourceState:
        """Its connection, and what it gives."""
        source = self._source
        return SourceState(source.name, source.connected, source.trouble, source.remarks)

    def set_room(self, free: bool) -> None:
        """Say whether there is room for a frame."""
        self._source.set_room(free)

    def woken(self) -> None:
        """Clear the eventfd."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake_fd)
