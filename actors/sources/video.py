"""A video file as a source, decoded by FFmpeg through OpenCV straight into the frame slot.

Frames are identified by their index in the file. While a file is read from its start that is a
count. Two things need more: continuing in the middle, and counting the frames that a damaged place
cost. Both use the timestamps of the file's packets (`_Packets`), which are read without decoding:
the n-th smallest timestamp belongs to frame n.

Seeking alone is not exact. `CAP_PROP_POS_FRAMES` assumes a constant rate and a clean start at any
key frame: at 44 sampled positions of a plain H.264 file it was right, but it missed by several
frames with a variable rate, and gave other pixels with periodic intra refresh. So a seek goes one
key frame further back than needed, the frames from there on must carry exactly the timestamps of
the packets, and whenever anything disagrees the file is decoded from the start instead.

A stream whose frame size changes midway is scaled to its first size by OpenCV 4.13 and newer
(before, the picture was garbage, without any sign that could be seen from here).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from actors.sources.contract import SourceError, SourceInfo, copy_to_slot
from actors.sources.ffmpeg import ffmpeg_options, has_only_sound, only_video, why_not_a_video

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Decoding threads. Measured on two x86 cores, H.264 1080p, milliseconds a frame with conversion to
# BGR, medians of five runs: 1 thread 6.8 wall, 7.1 CPU; 2 threads 5.5 wall, 8.3 CPU; FFmpeg's
# default (as many as there are cores) 5.5 wall, 8.1 CPU. One thread gives 145 frames/s, four times
# what three NPU cores can take, and leaves the most for the rest; 4K needs the second thread.
_ONE_THREAD_PIXELS = 1920 * 1088
# A damaged packet makes one grab fail, as the end of the file does; so does each try at the end,
# at a microsecond apiece. Reading continues after a gap of up to this many packets (a minute).
_TRIES = 2000
# Frames whose timestamps must agree before the packets' timestamps are trusted.
_HEAD = 30
# No file states more, unless it does not know its rate.
_MOST_FPS = 1000
# Containers that store how many frames they hold; others are estimated from the duration.
_COUNTING = frozenset({".mp4", ".m4v", ".mov", ".avi"})


class VideoSource:
    """One video file: see `actors.sources.contract.Source`."""

    def __init__(self, source: str, *, start: int = 0, loop: bool = False) -> None:
        if not Path(source).is_file():
            raise SourceError(
                f"{source}: no such file; give a video file, a folder or a glob of images"
            )
        self._name = source
        self._path = str(Path(source).resolve())  # "a:b.mp4" would be taken for a protocol
        self._loop = loop
        self._threads = 1
        self._packets = _Packets(self._path)
        self.unreadable = 0
        self.last_error: str | None = None
        self.frame_name = ""
        self._open()
        width = int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        if width * height > _ONE_THREAD_PIXELS:
            self._threads = 2
            self._open()
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        # FFmpeg shows the cover picture of a song as a video of 90,000 frames a second.
        if fps > _MOST_FPS and has_only_sound(self._path):
            raise SourceError(f"{source}: {why_not_a_video(self._path)}")
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.info = SourceInfo(
            width=width,
            height=height,
            frame_bytes=width * height * 3,
            fps=fps if 0 < fps <= _MOST_FPS else None,
            frames=int(count) if 0 < count < 1 << 31 else None,
            live=False,
            sizes=((width, height),),
        )
        if not self._ahead():
            raise SourceError(
                f"{source}: no frame of it can be decoded; check that it plays, or convert it: "
                "ffmpeg -i IN -c:v libx264 OUT.mp4"
            )
        if start > 0:
            self._continue_at(start)

    def read(self, slot: NDArray[np.uint8]) -> tuple[int, int] | None:
        """The next frame into `slot`, see `Source.read`."""
        info = self.info
        while self._ahead():
            self._pending = False
            if slot.nbytes >= info.frame_bytes:
                view = slot[: info.frame_bytes].reshape(info.height, info.width, 3)
                ok, image = self._capture.retrieve(view)
            else:
                ok, image = self._capture.retrieve()
            if ok:
                where = f"{self._name} frame {self._at} (the first is {info.width}x{info.height})"
                return copy_to_slot(np.asarray(image, np.uint8), slot, where)
            self._note_lost(self._at, 1)
        return None

    def position(self) -> int:
        """Index of the next frame, see `Source.position`."""
        return self._at if self._ahead() else self._at + 1

    def close(self) -> None:
        """Closes the source. May be called again."""
        self._capture.release()
        self._packets.close()
        self._loop, self._ended, self._pending = False, True, False

    def _open(self) -> None:
        """Opens the file (again) at its first frame."""
        threads = [cv2.CAP_PROP_N_THREADS, self._threads]
        with ffmpeg_options(only_video()):
            self._capture = cv2.VideoCapture(self._path, cv2.CAP_FFMPEG, threads)
        if not self._capture.isOpened():
            raise SourceError(f"{self._name}: {why_not_a_video(self._path)}")
        self._at = -1  # index of the frame that was decoded last
        self._time = 0.0  # its timestamp, milliseconds
        self._head: list[float] = []  # the timestamps of the first frames
        self._pending = False  # whether that frame waits to be fetched by `read`
        self._ended = False

    def _ahead(self) -> bool:
        """Makes sure that a decoded frame is at hand; False at the end."""
        if not self._pending and not self._grab() and self._loop:
            # Opened anew rather than sought: exact for every file, and 25 ms a round.
            self._open()
            self._grab()
        return self._pending

    def _grab(self) -> bool:
        """Decodes the next frame that can be decoded and finds its index; False at the end."""
        failures = None if self._ended else _grab(self._capture)
        if failures is None:
            self._end()
            return False
        now = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        late = self.info.fps is not None and now - self._time > 1500 / self.info.fps
        if failures or late:
            lost = self._gap(now, failures)
            self._note_lost(self._at + 1, lost)
            self._at += lost
        self._at += 1
        self._time = now
        self._pending = True
        if len(self._head) < _HEAD:
            self._head.append(now)
        return True

    def _gap(self, now: float, failures: int) -> int:
        """How many frames are missing before the one at `now`."""
        rank = self._packets.rank(now)
        if rank is None or rank <= self._at or not self._packets.agree(self._head):
            return failures
        return rank - self._at - 1

    def _note_lost(self, first: int, count: int) -> None:
        if count > 0:
            self.unreadable += count
            self.last_error = (
                f"{self._name}: {count} frame{'s are' if count > 1 else ' is'} missing at frame "
                f"{first}; the file is damaged or was cut off there"
            )

    def _end(self) -> None:
        """Counts what a file that was cut off, or whose rest is damaged, does not give."""
        if self._ended:
            return
        self._ended = True
        frames, fps = self.info.frames, self.info.fps
        suffix = Path(self._name).suffix.lower()
        read = self._at + 1
        if frames is None or fps is None or suffix not in _COUNTING or frames - read <= 1:
            return
        if suffix == ".avi":
            # Its count includes empty frames, which mean "as before" and are never given.
            if self._time * fps / 1000 + 1 >= frames - 1:
                return
        else:
            # Cutting without encoding leaves frames before the cut in the file, hidden by an edit
            # list: fewer than lie between two key frames. They do not count as lost.
            packets, first_gop = self._packets.count()
            if packets >= frames and frames - read < first_gop:
                return
        self._note_lost(read, frames - read)

    def _continue_at(self, start: int) -> None:
        """Makes the first frame at or after `start` the next one."""
        # Beyond the last frame comes only the end, and seeking to it is not faster.
        if not self._seek(self._packets.at_most(start)):
            self._open()
        while self._at < start and self._grab():
            pass
        self._pending = self._at >= start
        # What was skipped before `start` was counted by the process that read that far.
        self.unreadable = max(self._at - start, 0)
        self.last_error = self.last_error if self.unreadable else None

    def _seek(self, start: int) -> bool:
        """Jumps to frame `start` if that is proven exact and faster; else the position is lost."""
        key = self._packets.key_before(start)
        if key is None:
            return False
        while len(self._head) < _HEAD:
            if not self._grab():
                return False
        if not self._packets.agree(self._head):
            return False
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self._capture.set(cv2.CAP_PROP_POS_FRAMES, int(key * fps / 1000))
        previous = None
        while self._capture.grab():
            now = self._capture.get(cv2.CAP_PROP_POS_MSEC)
            rank = self._packets.rank(now)
            if rank is None or rank > start or previous not in (None, rank - 1):
                return False
            if rank == start:
                self._at, self._time, self._pending = rank, now, True
                # OpenCV before 5.0 stops when its own count, which after a seek is a guess from
                # the rate, passes the number of frames in the header.
                return self._capture.get(cv2.CAP_PROP_POS_FRAMES) <= rank + 1
            previous = rank
        return False


def _grab(capture: cv2.VideoCapture) -> int | None:
    """Takes the next frame or packet; how many tries failed before it, or None at the end."""
    return next((tries for tries in range(_TRIES) if capture.grab()), None)


class _Packets:
    """The timestamps of a file's packets in the order of display, read as far as needed.

    OpenCV's raw mode reads packets without decoding them: 12 microseconds each, where decoding a
    1080p frame takes 5 ms. Timestamps are milliseconds, computed by OpenCV as for decoded frames,
    so that equal means equal.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._capture: cv2.VideoCapture | None = None
        self._times: list[float] = []
        self._keys: list[float] = []  # of the key frames
        self._sound = True  # no packet was unreadable and no two have the same timestamp
        self._complete = False

    def rank(self, time: float) -> int | None:
        """The index of the frame shown at `time`; None when there is no such frame."""
        while (len(self._times) <= 64 or self._times[-64] <= time) and self._read():
            pass
        index = bisect_left(self._times, time)
        return index if index < len(self._times) and self._times[index] == time else None

    def agree(self, head: list[float]) -> bool:
        """Whether the timestamps can be trusted: those of the first decoded frames are these."""
        return self._sound and self._times[: len(head)] == head

    def at_most(self, index: int) -> int:
        """That index, or the last frame's where it is beyond the end; -1 without frames."""
        while len(self._times) <= index + 64 and self._read():
            pass
        return min(index, len(self._times) - 1)

    def key_before(self, index: int) -> float | None:
        """Where to start decoding for frame `index`: the last key frame but one.

        The last one itself may need frames before it (open groups of pictures, intra refresh).
        None when the frame does not exist, or when starting there would save nothing.
        """
        if not 0 <= self.at_most(index) == index:
            return None
        keys = self._keys[: bisect_right(self._keys, self._times[index])]
        worthwhile = len(keys) > 1 and bisect_left(self._times, keys[-2]) > 2 * _HEAD
        return keys[-2] if worthwhile else None

    def count(self) -> tuple[int, int]:
        """How many packets the file has, and how many of them come before the second key frame."""
        while self._read():
            pass
        second = bisect_left(self._times, self._keys[1]) if len(self._keys) > 1 else None
        return len(self._times), len(self._times) if second is None else second

    def close(self) -> None:
        """Closes the source. May be called again."""
        if self._capture is not None:
            self._capture.release()
        self._complete = True

    def _read(self) -> bool:
        """Reads up to 1000 more packets; False at the end."""
        if self._complete:
            return False
        if self._capture is None:
            with ffmpeg_options(only_video()):
                self._capture = cv2.VideoCapture(self._path, cv2.CAP_FFMPEG)
            self._capture.set(cv2.CAP_PROP_FORMAT, -1)
        for _ in range(1000):
            failures = _grab(self._capture)
            if failures is None:
                self.close()
                break
            self._sound = self._sound and failures == 0
            time = self._capture.get(cv2.CAP_PROP_POS_MSEC)
            self._times.append(time)
            if self._capture.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME):
                self._keys.append(time)
        self._times.sort()
        self._keys.sort()
        self._sound = self._sound and all(a < b for a, b in pairwise(self._times))
        return True
