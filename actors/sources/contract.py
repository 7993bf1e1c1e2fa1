"""What a source is: the values and the protocol that every kind of source shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class SourceError(Exception):
    """A source that cannot be used; the message is one sentence with the place and the remedy."""


@dataclass(frozen=True)
class SourceInfo:
    """What is known about a source before its frames are read. Sizes are (width, height)."""

    width: int
    """Of the first frame, pixels."""
    height: int
    frame_bytes: int
    """What the largest frame takes: width * height * 3."""
    fps: float | None
    """The source's own rate, if it has one; a live source's was measured where it differs."""
    frames: int | None
    """How many there are, if known. A hint: containers lie."""
    live: bool
    """False for files: a live source does not wait."""
    sizes: tuple[tuple[int, int], ...]
    """The distinct frame sizes, the most frequent first, 16 at most."""
    remarks: tuple[str, ...] = ()
    """What the user should know about it, in one sentence each."""


@dataclass(frozen=True)
class SourceRequest:
    """What the user asks of a camera or a drawn scene; None leaves it open."""

    size: tuple[int, int] | None = None
    fps: float | None = None
    fourcc: str | None = None
    seed: int | None = None


class Source(Protocol):
    """Frames in order. One thread uses a source; nothing here is safe for several."""

    info: SourceInfo
    unreadable: int
    """Frames or images that could not be decoded and were passed over."""
    last_error: str | None
    """What was passed over last, in one sentence with its place."""

    def read(self, slot: NDArray[np.uint8]) -> tuple[int, int] | None:
        """Fills `slot` with the next frame and returns its (width, height); None at the end.

        `slot` is one-dimensional, contiguous memory. The frame fills its first
        width * height * 3 bytes as (height, width, 3) BGR. Raises SourceError for a frame that
        is larger than the slot; that frame is then passed.
        """

    def position(self) -> int:
        """Index in the source of the frame that the next `read` returns, counted from 0.

        It starts anew when a source is looped, and has gaps where frames were passed over.
        Asking may decode that frame, since only then is it known that it can be read.
        """

    def close(self) -> None:
        """Lets go of files and decoders. May be called again."""


def place(image: NDArray[np.uint8], slot: NDArray[np.uint8], where: str) -> tuple[int, int]:
    """Copies a decoded frame (height, width, 3) into the slot, unless it was decoded there.

    Returns its (width, height). Raises SourceError, opening with `where`, when it is too large.
    """
    height, width = image.shape[:2]
    if image.nbytes > slot.nbytes:
        raise SourceError(
            f"{where}: a frame of {width}x{height} takes {image.nbytes} bytes and the frame slot "
            f"has {slot.nbytes}; give frames of that size a stream of their own or scale them"
        )
    if image.ctypes.data != slot.ctypes.data:
        slot[: image.nbytes].reshape(image.shape)[...] = image
    return width, height
