"""Which frames of a stream are in its video and pictures, and what follows after a death.

Plain Python over the words of the shared record, without socket, clock or file; the renderer is the
actor around it. Every method that takes an event returns the actions that follow from it.

A frame is finished, which frees its slot, when it is in every output that is not broken. A picture
is there at once. A frame is in the video for sure when the next one has been added or the file has
been ended; until then it is *pending*, and a renderer that was killed gets it again from the
merger. How many frames the file holds says which of them are in it already: those are finished
without being added again. A picture is written before its frame is added to the video, so that what
is in the video has its picture too, and writing a picture twice changes nothing.

What is finished and how many are rendered stand in one word, so no death parts them. An output that
broke stays broken, also after a death: frames are missing after it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

from actors.dataflow.shared_records import StreamRecord

Output = Literal["video", "pictures"]


class ProgressError(ValueError):
    """An event that is not possible now: nothing was changed."""


@dataclass(frozen=True, slots=True)
class Paint:
    """Action: draw this frame, write it to what is not broken, then call `painted`.

    Its picture is written before it is added to the video.
    """

    seq: int


@dataclass(frozen=True, slots=True)
class Finished:
    """Action: send capture and merger that the frames up to `seq` are finished."""

    seq: int


@dataclass(frozen=True, slots=True)
class EndVideo:
    """Action: write what is left of the video file, then call `ended`."""


@dataclass(frozen=True, slots=True)
class JoinParts:
    """Action: make one file of the video's parts; every frame is in them already."""


@dataclass(frozen=True, slots=True)
class Broken:
    """Action: report that an output cannot be written any more.

    Its first `frames` frames are in it for sure, the last of them `last_seq` (-1: none is).
    """

    output: Output
    reason: str
    frames: int
    last_seq: int


Action = Paint | Finished | EndVideo | JoinParts | Broken


class VideoProgress:
    """One stream's frames on their way into its outputs.

    For each frame:

        event                    state of the frame         actions
        frame(seq)               -> queued                  (a known frame: ignored)
        step, in the file        queued -> finished         Finished
        step, no output is left  queued -> finished         Finished, not counted as rendered
        step                     queued -> being painted    Paint
        painted(n)               being painted -> pending   Finished for those that n says are in
        step, the last is in     pending                    EndVideo
        ended                    pending -> finished        Finished
        broken("video")          pending -> finished        Broken, Finished
    """

    def __init__(self, stream: StreamRecord, *, video: bool, pictures: bool) -> None:
        """Continue after what an earlier incarnation has finished."""
        self._stream = stream
        self._pictures = pictures and not stream.pictures_broken
        self._video = video and not stream.video_broken
        self._in_file: int | None = None if self._video else 0
        """Frames in the file that are not finished; None until the file is opened."""
        self._newest = stream.finished_seq
        self._queue: deque[int] = deque()
        self._painting: int | None = None
        self._pending: deque[int] = deque()
        self._ended = False
        self._closing = False

    @property
    def queued(self) -> int:
        """Frames that wait to be painted."""
        return len(self._queue)

    @property
    def wants_video(self) -> bool:
        """Whether the video file is to be opened, or is open."""
        return self._video

    @property
    def wants_pictures(self) -> bool:
        """Whether pictures are written."""
        return self._pictures

    # ------------------------------------------------------------ events

    def opened(self, frames: int) -> list[Action]:
        """The video file is open and holds this number of frames."""
        if self._in_file is not None:
            raise ProgressError("the video was not to be opened")
        lost = self._stream.rendered - frames
        if lost > 0:
            return self.broken("video", f"{lost} frames that were in it are gone from it")
        self._in_file = -lost
        return []

    def frame(self, seq: int) -> list[Action]:
        """A published frame; it comes again whenever the merger or the renderer was restarted."""
        if seq > self._newest:
            self._newest = seq
            self._queue.append(seq)
        return []

    def step(self) -> list[Action]:
        """The next frame, or the end of the file when there will be no more."""
        if self._in_file is None or self._painting is not None:
            raise ProgressError("a step before the last one is done")
        if self._queue:
            seq = self._queue.popleft()
            if self._in_file > 0 or not (self._video or self._pictures):
                self._in_file = max(0, self._in_file - 1)
                self._pending.append(seq)
                return self._finish(len(self._pending))
            self._painting = seq
            return [Paint(seq)]
        if self._pending and self._pending[-1] + 1 == self._stream.end_seq:
            return [EndVideo()]
        return []

    def painted(self, in_video: int) -> list[Action]:
        """The frame is painted and written to what is not broken.

        `in_video` frames are in the video file for sure; without a sound video it is ignored.
        """
        if self._painting is None:
            raise ProgressError("no frame is being painted")
        known = self._stream.rendered + len(self._pending)
        if self._video and not self._stream.rendered <= in_video <= known + 1:
            raise ProgressError(f"{in_video} frames cannot be in a video of {known + 1}")
        self._pending.append(self._painting)
        self._painting = None
        return self._finish(in_video - self._stream.rendered if self._video else len(self._pending))

    def ended(self) -> list[Action]:
        """The video file has been ended: all that was added is in it."""
        if self._painting is not None:
            raise ProgressError("a frame is being painted")
        self._ended = True
        finished = self._finish(len(self._pending))
        return [*finished, *self._join()] if self._closing else finished

    def broken(self, output: Output, reason: str) -> list[Action]:
        """An output cannot be written; the other one and the run continue without it."""
        stream = self._stream
        if not (self._video if output == "video" else self._pictures):
            raise ProgressError(f"there is no {output} that could break")
        if output == "pictures":
            frames = stream.rendered + len(self._pending)
            last = self._pending[-1] if self._pending else stream.finished_seq
            self._pictures, stream.pictures_broken = False, frames + 1
            return [Broken(output, reason, frames, last)]
        frames, last = stream.rendered, stream.finished_seq
        self._video, stream.video_broken, self._in_file = False, frames + 1, 0
        return [Broken(output, reason, frames, last), *self._finish(len(self._pending))]

    def close(self) -> list[Action]:
        """The renderer ends; if the stream is over, its video is made one file.

        The frames are finished before that: joining hours of video takes longer than they may wait.
        """
        self._closing = True
        if self._video and self._in_file is not None and not self._ended:
            return [EndVideo()]
        return self._join()

    # ------------------------------------------------------------ inside

    def _join(self) -> list[Action]:
        over = self._stream.end_seq >= 0
        return [JoinParts()] if self._video and self._ended and over else []

    def _finish(self, count: int) -> list[Action]:
        """The frames that were added first are finished."""
        for _ in range(count):
            seq = self._pending.popleft()
            sound = self._video or self._pictures
            self._stream.finish(seq, self._stream.rendered + sound)
        return [Finished(self._stream.finished_seq)] if count else []
