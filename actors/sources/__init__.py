"""Where pixels come from: video files and images now, cameras and network streams later.

A source decodes one frame after another into memory that the caller owns (a frame slot), and
can be continued at any frame, exactly. `open_source` chooses the kind by the look of the name;
each kind is one module. OpenCV is imported with the kind, not with this package, so that a
process that only passes a `SourceInfo` on stays small.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


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
    """The source's own rate, if it has one."""
    frames: int | None
    """How many there are, if known. A hint: containers lie."""
    live: bool
    """False for files: a live source does not wait."""
    sizes: tuple[tuple[int, int], ...]
    """The distinct frame sizes, the most frequent first, 16 at most."""

    def to_dict(self) -> dict[str, Any]:
        """As plain values that JSON and msgpack can carry."""
        return {**vars(self), "sizes": [list(size) for size in self.sizes]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SourceInfo:
        """The inverse of `to_dict`."""
        return cls(**{**data, "sizes": tuple((w, h) for w, h in data["sizes"])})


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


def inspect(source: str) -> SourceInfo:
    """Opens a source, looks at it, and closes it. Raises SourceError when it cannot be used."""
    opened = open_source(source)
    opened.close()
    return opened.info


def open_source(source: str, *, start: int = 0, loop: bool = False) -> Source:
    """Opens a video file, a folder or a glob of images.

    `start` continues at that frame, with the very pixels that reading from 0 would have given;
    in a long video this may take seconds. `loop` starts at 0 again after the end, for ever.
    Raises SourceError when the source cannot be used.
    """
    if not source:
        raise SourceError("the source is empty; give a video file, a folder or a glob of images")
    kind = kind_of(source)
    if kind == "live":
        raise SourceError(
            f"{source.partition('://')[0]}: cameras, network streams and synthetic sources are "
            "not supported yet; give a video file, a folder or a glob of images"
        )
    _quieten()
    if kind == "images":
        from actors.sources.images import ImageSource

        return ImageSource(source, start=start, loop=loop)
    from actors.sources.video import VideoSource

    return VideoSource(source, start=start, loop=loop)


def kind_of(source: str) -> str:
    """ "live", "images" or "video", by the look of the name and by what lies under it."""
    if "://" in source or source.startswith("/dev/") or source == "synthetic":
        return "live"
    path = Path(source)
    if path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES:
        return "images"
    if any(mark in source for mark in "*?[") and not path.exists():
        return "images"
    return "video"


def _quieten() -> None:
    """Keeps OpenCV and FFmpeg from writing to stderr, unless the user asked them to.

    A damaged file makes them print hundreds of lines; what was lost is counted and named by the
    sources instead. FFmpeg's level is read when the first video is opened.
    """
    import cv2

    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
    if "OPENCV_LOG_LEVEL" not in os.environ:
        # The first is what OpenCV had up to 4.12.
        set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
        set_level(0)  # silent


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
