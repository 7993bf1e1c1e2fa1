"""The values and the protocol that every kind of source shares.

Imported by the supervisor: no numpy, no OpenCV.
"""

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
    """What is found out about a source before its frames are read. Sizes are (width, height)."""

    width: int
    """Of the first frame, pixels."""
    height: int
    frame_bytes: int
    """Bytes of the largest frame: width * height * 3."""
    fps: float | None
    """The rate that the source states, if it does; of a live source the measured one where it is
    lower. Frames per second."""
    frames: int | None
    """Number of frames, if stated. An estimate: containers are often wrong."""
    live: bool
    """True where frames come whether they are read or not; False for files."""
    sizes: tuple[tuple[int, int], ...]
    """The distinct frame sizes, the most frequent first, 16 at most."""
    remarks: tuple[str, ...] = ()
    """Warnings for the user, one sentence each."""


@dataclass(frozen=True)
class SourceRequest:
    """What the user requests of a camera or a drawn scene; None leaves it open."""

    size: tuple[int, int] | None = None
    fps: float | None = None
    fourcc: str | None = None
    seed: int | None = None


class Source(Protocol):
    """Frames in order, for one thread."""

    info: SourceInfo
    unreadable: int
    """Number of frames or images that could not be decoded and were skipped."""
    last_error: str | None
    """What was skipped last, in one sentence with its place."""

    frame_name: str
    """Of a folder or a glob of images: the file of the frame that was read last. Else ""."""

    def read(self, slot: NDArray[np.uint8]) -> tuple[int, int] | None:
        """Fills `slot` with the next frame and returns its (width, height); None at the end.

        `slot` is one-dimensional, contiguous memory. The frame fills its first
        width * height * 3 bytes as (height, width, 3) BGR. Raises SourceError for a frame that
        is larger than the slot; that frame is then skipped.
        """

    def position(self) -> int:
        """Index in the source of the frame that the next `read` returns, counted from 0.

        It starts again at 0 when a source is looped, and has gaps where frames were skipped.
        The call may decode that frame, since only then is it certain that it can be read.
        """

    def close(self) -> None:
        """Closes files and decoders. May be called again."""


def copy_to_slot(image: NDArray[np.uint8], slot: NDArray[np.uint8], where: str) -> tuple[int, int]:
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
