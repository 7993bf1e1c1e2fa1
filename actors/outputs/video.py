"""A video file that survives the death of its writer.

The container is fragmented, a frame a fragment, so that what has been written can be played however
the writing ended. A frame reaches the file when the next one is added or the file is closed: `add`
says so by returning how many are in the file for sure. A writer that comes back leaves the file as
it is and begins a part beside it (`out.tritile-part1.mp4`); `join` makes one file of them.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from actors.outputs.video_files import joined, part, parts

Image = npt.NDArray[np.uint8]

# H.264 plays everywhere. Measured, 1080p on one slow x86 core: libx264 ultrafast 17.5 ms a frame
# and 27 kB, MPEG-4 15.1 ms and 34 kB, Motion JPEG 14.6 ms and 51 kB.
_CODECS: tuple[tuple[str, dict[str, str]], ...] = (
    ("libx264", {"preset": "ultrafast", "tune": "zerolatency"}),
    ("mpeg4", {}),
)
_FORMATS = {".mp4": "mp4", ".mkv": "matroska", ".avi": "avi"}
# No index at the end: it would be kept in memory until then, 40 bytes a frame (measured: 6.6 MB in
# an hour of 160,000 frames), and players seek in a fragmented file without it.
_OPTIONS = {
    "mp4": {"movflags": "frag_every_frame+empty_moov+default_base_moof+skip_trailer"},
    # A cluster a frame: Matroska's writer keeps a whole one, 5 s otherwise, in memory.
    "matroska": {"cluster_size_limit": "1"},
}


class VideoFile:
    """Frames of one size, added in order. OSError where the file cannot be written."""

    def __init__(self, path: Path, fps: float) -> None:
        """Continue after what is at `path`, or begin it."""
        self.path = path
        self._rate = Fraction(fps).limit_denominator(60_000)
        self._size: tuple[int, int] | None = None
        self._container: Any = None
        self._stream: Any = None
        self._yuv = np.empty(0, np.uint8)
        self._begun_at = 0
        found = parts(path)
        self.frames = sum(_count(one) for one in found)
        """Frames that are in the file for sure."""
        self._added = self.frames
        self._part = path if not found else part(path, len(found))

    def add(self, image: Image) -> int:
        """Add a frame, (height, width, 3) BGR; how many are in the file for sure by now.

        An image of another size than the first is fitted into that size, with its aspect kept.
        """
        with _oserrors(f"no video can be made of {image.shape[1]}x{image.shape[0]} frames"):
            if self._container is None:
                self._open(image)
            assert self._size is not None
            image = _fitted(image, self._size)
            # cv2 converts in half the time of FFmpeg's scaler, into memory that is there already.
            cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420, dst=self._yuv)
            frame = av.VideoFrame.from_ndarray(self._yuv, format="yuv420p")
            frame.pts = self._added - self._begun_at
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        self.frames = self._added
        self._added += 1
        return self.frames

    def end(self) -> int:
        """Write what is left; how many frames the file and its parts have. No more can be added."""
        if self._container is not None:
            container, self._container = self._container, None
            with _oserrors("its end cannot be written"), contextlib.closing(container):
                for packet in self._stream.encode(None):
                    container.mux(packet)
            self.frames = self._added
        return self.frames

    @property
    def parts(self) -> int:
        """In how many files it is."""
        return len(parts(self.path))

    def join(self) -> None:
        """Make one file of the parts, if there are some. Takes a while: it copies them all."""
        found = parts(self.path)
        if len(found) > 1:
            with _oserrors("its parts cannot be joined"):
                _join(found, self.path)

    def abandon(self) -> None:
        """Close a file that cannot be written any more."""
        container, self._container = self._container, None
        if container is not None:
            with contextlib.suppress(OSError, av.error.FFmpegError):
                container.close()

    def _open(self, image: Image) -> None:
        # H.264 in 4:2:0 has even sides.
        self._size = (image.shape[1] + image.shape[1] % 2, image.shape[0] + image.shape[0] % 2)
        self._yuv = np.empty((self._size[1] * 3 // 2, self._size[0]), np.uint8)
        self._begun_at = self._added
        kind = _FORMATS[self.path.suffix.lower()]
        options = {"flush_packets": "1", **_OPTIONS.get(kind, {})}
        self._container = av.open(str(self._part), "w", format=kind, options=options)
        name, settings = next(codec for codec in _CODECS if codec[0] in av.codecs_available)
        self._stream = self._container.add_stream(name, rate=self._rate, options=dict(settings))
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = "yuv420p"
        # One thread: the other cores have tiles to compute.
        self._stream.codec_context.thread_count = 1


@contextlib.contextmanager
def _oserrors(what: str) -> Iterator[None]:
    """Raise FFmpeg's errors that are not OSErrors as one, with `what` and FFmpeg's reason."""
    try:
        yield
    except OSError:
        raise
    except av.error.FFmpegError as error:
        raise OSError(f"{what}: {error.strerror}") from error


def _packets(path: Path) -> Iterator[Any]:
    """The packets of a video that may end in the middle of one."""
    with contextlib.suppress(av.error.FFmpegError), av.open(str(path)) as container:
        for packet in container.demux(video=0):
            if packet.size:
                yield packet


def _count(path: Path) -> int:
    """Frames in a part, whole ones only."""
    fragments = _fragments(path) if path.suffix.lower() == ".mp4" else 0
    return fragments or sum(1 for _ in _packets(path))


def _fragments(path: Path) -> int:
    """Whole fragments of an MP4 file, each a frame here; 0 for one that is not fragmented.

    Steps from box to box (ISO/IEC 14496-12, 4.2) without reading what is in them: 2 us a frame,
    where reading the packets takes 0.6 ms and an hour's video a minute.
    """
    count, inside = 0, False
    size = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while at + 8 <= size:
            file.seek(at)
            length, kind = struct.unpack(">I4s", file.read(8))
            if length < 8 or at + length > size:
                break
            count += inside and kind == b"mdat"
            inside = kind == b"moof"
            at += length
    return count


def _join(found: list[Path], path: Path) -> None:
    """Copy the parts' packets into one file, which then takes the place of `path`.

    A part may not even have a header, if its writer died before the first frame: it is passed over.
    """
    whole = joined(path)
    with_frames = [one for one in found if any(_packets(one))]
    if not with_frames:
        return
    with av.open(str(with_frames[0])) as first:
        template = first.streams.video[0]
        with av.open(str(whole), "w", format=_FORMATS[path.suffix.lower()]) as output:
            stream = output.add_stream_from_template(template)
            step = 1 / (template.average_rate or Fraction(25))
            number = 0
            for one in with_frames:
                for packet in _packets(one):
                    packet.time_base = step
                    packet.pts = packet.dts = number
                    packet.duration = 1
                    packet.stream = stream
                    output.mux(packet)
                    number += 1
    whole.replace(path)
    for one in found:
        if one != path:
            one.unlink()


def _fitted(image: Image, size: tuple[int, int]) -> Image:
    """The image in `size`: as it is, with its last column or row twice where its side is odd.

    One of another size is resized with its aspect kept, on black.
    """
    across, down = size[0] - image.shape[1], size[1] - image.shape[0]
    if (across, down) == (0, 0):
        return image
    if across == image.shape[1] % 2 and down == image.shape[0] % 2:
        padded = cv2.copyMakeBorder(image, 0, down, 0, across, cv2.BORDER_REPLICATE)
        return np.asarray(padded, np.uint8)
    scale = min(size[0] / image.shape[1], size[1] / image.shape[0])
    width = max(1, round(image.shape[1] * scale))
    height = max(1, round(image.shape[0] * scale))
    fitted = np.zeros((size[1], size[0], 3), np.uint8)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    fitted[top : top + height, left : left + width] = cv2.resize(image, (width, height))
    return fitted
