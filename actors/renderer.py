"""Renderer: draws what was published into the frames and writes a video or pictures a stream.

It is the last to read a frame's pixels, so it moves the stream's `finished_seq`, which frees the
frame's slot. Results do not wait for it: they are published before they are sent to it. Which frame
is drawn and when it is finished is decided by `dataflow.video_progress`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from actors.dataflow.messages import CODEC, Rendered, Result
from actors.dataflow.settings import MERGER, RunSettings
from actors.dataflow.shared_records import ControlBlock
from actors.dataflow.video_progress import (
    Action,
    Broken,
    EndVideo,
    Finished,
    JoinParts,
    Output,
    Paint,
    VideoProgress,
)
from actors.outputs.pictures import PictureFolder
from actors.outputs.video import VideoFile
from actors.system.actor import Actor
from actors.system.codec import Message
from actors.system.fork_server import Spec
from actors.system.linux import now_ns
from actors.system.memory import Pool, view
from actors.vision.annotator import Annotator, Caption
from actors.vision.detections import Detections

_IMAGES_PER_SECOND = 25.0
# Joining the parts of a video copies it: a gigabyte takes half a minute on a slow card.
_SLOW_SECONDS = 600.0
_Done = TypeVar("_Done")


def main(spec: Spec[RunSettings]) -> int:
    """The process's entry."""
    return Renderer(spec).run()


class Renderer(Actor[RunSettings]):
    """All streams."""

    def __init__(self, spec: Spec[RunSettings]) -> None:
        self.control = ControlBlock(spec.settings.layout, view(spec.fds["control"], write=True))
        super().__init__(spec, CODEC, self.control.actors[spec.name])
        self.streams: dict[str, Stream] = {}

    def open(self) -> None:
        cv2.setNumThreads(1)
        for name in self.settings.streams:
            self.streams[name] = stream = Stream(self, name)
            stream.open_outputs()

    def on_message(self, message: Message) -> None:
        if isinstance(message, Result) and message.frame.stream in self.streams:
            self.streams[message.frame.stream].take(message)

    def work(self) -> None:
        for stream in self.streams.values():
            stream.perform(stream.progress.step())
        self.record.done = sum(stream.rendered for stream in self.control.streams.values())
        self.record.queued = sum(stream.progress.queued for stream in self.streams.values())

    def wait_ms(self) -> int:
        return 0 if self.record.queued else super().wait_ms()

    def close(self) -> None:
        for stream in self.streams.values():
            stream.perform(stream.progress.close())


class Stream:
    """One stream: its outputs, and the actions on them."""

    def __init__(self, renderer: Renderer, name: str) -> None:
        self._outbox, self._note = renderer.outbox, renderer.note
        self._slowly = renderer.run_with_heartbeat
        self._name = name
        run = renderer.settings
        self._mine = run.streams[name]
        slots = renderer.control.slots[name]
        pool = Pool(renderer.fds[f"frames.{name}"], len(slots), write=False)
        self._pixels = [np.frombuffer(pool[i], np.uint8) for i in range(len(pool))]
        grids = [
            (stage.view, run.models[stage.model].size)
            for stage in run.stages
            if run.render.tiles and stage.view.kind == "tiles"
        ]
        self._annotator = Annotator(run.classes.labels, grids)
        remarks = {"emulated": run.emulated, "simulated": run.simulated}
        self._caption = Caption([remark for remark, holds in remarks.items() if holds])
        self._video: VideoFile | None = None
        self._pictures: PictureFolder | None = None
        self._results: dict[int, Result] = {}
        self.progress = VideoProgress(
            renderer.control.streams[name],
            video=self._mine.video is not None,
            pictures=self._mine.pictures is not None,
        )

    def open_outputs(self) -> None:
        """Begin the outputs, or continue those of an earlier incarnation."""
        path, folder = self._mine.video, self._mine.pictures
        if folder is not None and self.progress.wants_pictures:
            self._pictures = self._try("pictures", partial(PictureFolder, folder))
        if path is not None and self.progress.wants_video:
            opening = partial(VideoFile, path, self._mine.info.fps or _IMAGES_PER_SECOND)
            waiting = partial(self._slowly, opening, _SLOW_SECONDS, f"looking into {path}")
            self._video = self._try("video", waiting)
            if self._video is not None:
                self.perform(self.progress.opened(self._video.frames))

    def take(self, result: Result) -> None:
        """A published frame."""
        self._results[result.frame.seq] = result
        self.perform(self.progress.frame(result.frame.seq))

    def perform(self, actions: Sequence[Action]) -> None:
        """Do what the progress decided."""
        for action in actions:
            if isinstance(action, Paint):
                self._paint(action)
            elif isinstance(action, Finished):
                self._finished(action.seq)
            elif isinstance(action, EndVideo) and self._video is not None:
                if self._try("video", self._video.end) is not None:
                    self.perform(self.progress.ended())
            elif isinstance(action, JoinParts) and self._video is not None:
                self._join(self._video)
            elif isinstance(action, Broken):
                self._broken(action)

    def _try(self, output: Output, action: Callable[[], _Done]) -> _Done | None:
        """What the action returns; None when the output cannot be written, which is handled."""
        try:
            return action()
        except OSError as error:
            self.perform(self.progress.broken(output, error.strerror or str(error)))
            return None

    # ------------------------------------------------------------ actions

    def _paint(self, action: Paint) -> None:
        image = self._annotated(self._results[action.seq])
        if action.pictures and self._pictures is not None:
            self._try("pictures", partial(self._pictures.write, action.seq, image))
        in_video = None
        if action.video and self._video is not None:
            in_video = self._try("video", partial(self._video.add, image))
        self.perform(self.progress.painted(in_video or 0))

    def _annotated(self, result: Result) -> npt.NDArray[np.uint8]:
        frame, detections = result.frame, Detections.from_bytes(result.detections)
        pixels = self._pixels[frame.slot][: frame.width * frame.height * 3]
        caption = self._caption.text(
            frame.seq, len(detections), complete=result.complete, now_ns=now_ns()
        )
        image = pixels.reshape(frame.height, frame.width, 3)
        return self._annotator.annotate(image, detections, caption)

    def _finished(self, seq: int) -> None:
        for old in [known for known in self._results if known <= seq]:
            del self._results[old]
        for receiver in (self._name, MERGER):
            self._outbox.send(receiver, Rendered(self._name, seq))

    def _join(self, video: VideoFile) -> None:
        try:
            self._slowly(video.join, _SLOW_SECONDS, f"joining {video.path}")
        except OSError as error:
            # Every frame is there all the same.
            text = f"{video.path} stays in parts: {error.strerror or error}"
            self._note("error", text, "broken_output")

    def _broken(self, action: Broken) -> None:
        path = self._mine.video if action.output == "video" else self._mine.pictures
        if action.output == "video" and self._video is not None:
            self._video.abandon()
            self._video = None
        good = f"after frame {action.last_seq}" if action.frames else "from its first frame on"
        self._note("error", f"{path} is broken {good}: {action.reason}", "broken_output")
