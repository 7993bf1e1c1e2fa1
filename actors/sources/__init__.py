"""Where pixels come from: video files, images, cameras, network streams and a drawn scene.

A file decodes one frame after another into memory that the caller owns (a frame slot), and can be
continued at any frame, exactly (`open_source`). A live source does not wait: it is read on a thread
of its own, the newest frame wins, and it is opened again when it drops out (`open_live`). The kind
follows from the look of the name; each is one module. OpenCV is imported with the kind, not with
this package, so that a process that only passes a `SourceInfo` on stays small.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from actors.sources.feed import Feed
    from actors.sources.live import LiveSource

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
class Ask:
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


def inspect(source: str, ask: Ask = Ask()) -> SourceInfo:
    """Opens a source, looks at it, and closes it. Raises SourceError when it cannot be used.

    A live source must give a frame within 10 s, and its rate is measured for another second.
    """
    if is_live(source):
        from actors.sources.live import look

        return look(shown(source), _connector(source, ask))
    if kind_of(source) == "synthetic":
        from actors.sources import synthetic

        return synthetic.look(ask)
    opened = open_source(source)
    opened.close()
    return opened.info


def open_source(source: str, *, start: int = 0, loop: bool = False, ask: Ask = Ask()) -> Source:
    """Opens a video file, a folder or a glob of images, or the drawn scene ("synthetic").

    `start` continues at that frame, with the very pixels that reading from 0 would have given;
    in a long video this may take seconds. `loop` starts at 0 again after the end, for ever; the
    drawn scene has no end. `ask` is for the drawn scene.
    Raises SourceError when the source cannot be used.
    """
    if not source:
        raise SourceError("the source is empty; give a video file, a folder or a glob of images")
    if kind_of(source) == "synthetic":
        from actors.sources.synthetic import SyntheticSource

        return SyntheticSource(ask, start=start)
    quieten()
    if kind_of(source) == "images":
        from actors.sources.images import ImageSource

        return ImageSource(source, start=start, loop=loop)
    from actors.sources.video import VideoSource

    return VideoSource(source, start=start, loop=loop)


def open_live(source: str, ask: Ask, frame_bytes: int, wake: Callable[[], None]) -> LiveSource:
    """A camera or a network stream, whose frames may take `frame_bytes`; not connected yet.

    `wake` is called, on another thread, when there is something to `take`.
    """
    from actors.sources.live import LiveSource

    connect = _connector(source, ask, frame_bytes)
    return LiveSource(shown(source), connect, frame_bytes, wake)


def _connector(source: str, ask: Ask, frame_bytes: int = 0) -> Callable[[], Feed]:
    """What opens a live source (again)."""
    quieten()
    if kind_of(source) == "camera":
        from actors.sources import camera

        return partial(camera.connect, source, ask)
    from actors.sources import network

    return partial(network.connect, source, frame_bytes)


def is_live(source: str) -> bool:
    """Whether the source does not wait for its reader."""
    return kind_of(source) in ("camera", "network")


def shown(source: str) -> str:
    """The source as it may be shown and logged: the password in a URL is hidden."""
    return re.sub(r"(://[^:/@]*):[^/]*@", r"\1:***@", source)


def kind_of(source: str) -> str:
    """ "camera", "network", "synthetic", "images" or "video", by its name and what lies there."""
    if source == "synthetic":
        return "synthetic"
    if "://" in source:
        return "network"
    if source.startswith("/dev/"):
        return "camera"
    path = Path(source)
    if path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES:
        return "images"
    if any(mark in source for mark in "*?[") and not path.exists():
        return "images"
    return "video"


def quieten() -> None:
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
