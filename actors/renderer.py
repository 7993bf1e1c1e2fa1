"""Renderer: draws what was published into the frames and writes a video or pictures a stream.

It is the last to read a frame's pixels, so it moves the stream's `finished_seq`, which frees the
frame's slot. Results do not wait for it: they are published before they are sent to it. Which frame
is drawn and when it is finished is decided by `dataflow.video_progress`.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from actors.dataflow import video_progress as act
from actors.dataflow.messages import CODEC, Rendered, Result
from actors.dataflow.settings import MERGER, RunSettings
from actors.dataflow.shared_records import ControlBlock
from actors.outputs.frame_files import FrameFiles
from actors.system.actor import Actor
from actors.system.codec import Message
from actors.system.fork_server import Spec
from actors.system.linux import now_ns
from actors.system.memory import Pool, view
from actors.vision.annotator import Annotator
from actors.vision.detections import Detections

_IMAGES_PER_SECOND = 25.0
# Joining the parts of a video copies it: a gigabyte takes half a minute on a slow card.
_SLOW_SECONDS = 600.0


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
            stream.open_files()

    def on_message(self, message: Message) -> None:
        if isinstance(message, Result) and message.frame.stream in self.streams:
            if not Detections.decodable(message.detections):
                self.invalid_messages += 1
                message = message.without_detections()
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
    """One stream: its files, and the actions on them."""

    def __init__(self, renderer: Renderer, name: str) -> None:
        self._outbox, self._note = renderer.outbox, renderer.note
        self._run_with_heartbeat = renderer.run_with_heartbeat
        self._name = name
        run, record = renderer.settings, renderer.control.streams[name]
        mine = run.streams[name]
        pool = Pool(renderer.fds[f"frames.{name}"], mine.slots, write=False)
        self._pixels = [np.frombuffer(pool[i], np.uint8) for i in range(len(pool))]
        tiled = [stage for stage in run.stages if run.render.tiles and stage.view.kind == "tiles"]
        remarks = {"emulated": run.emulated, "simulated": run.simulated}
        self._annotator = Annotator(
            run.classes.labels,
            [(stage.view, run.models[stage.model].size) for stage in tiled],
            [remark for remark, holds in remarks.items() if holds],
        )
        self._results: dict[int, Result] = {}
        self.progress = act.VideoProgress(
            record, video=mine.video is not None, pictures=mine.pictures is not None
        )
        self._files = FrameFiles(
            mine.video if self.progress.wants_video else None,
            mine.pictures if self.progress.wants_pictures else None,
            mine.info.fps or _IMAGES_PER_SECOND,
        )

    def open_files(self) -> None:
        """Begin the files, or continue those of an earlier incarnation."""
        frames = self._run_with_heartbeat(self._files.open, _SLOW_SECONDS, "opening the outputs")
        self._report_failures()
        if self.progress.wants_video:
            self.perform(self.progress.opened(frames))

    def take(self, result: Result) -> None:
        """A published frame."""
        self._results[result.frame.seq] = result
        self.perform(self.progress.frame(result.frame.seq))

    def perform(self, actions: Sequence[act.Action]) -> None:
        """Do what the progress decided."""
        for action in actions:
            if isinstance(action, act.Paint):
                self._paint(self._results[action.seq])
            elif isinstance(action, act.Finished):
                self._finished(action.seq)
            elif isinstance(action, act.EndVideo):
                ended = self._files.end_video()
                self._report_failures()
                if ended:
                    self.perform(self.progress.ended())
            elif isinstance(action, act.JoinParts):
                self._join_parts()
            elif isinstance(action, act.Broken):
                self._broken(action)

    def _paint(self, result: Result) -> None:
        frame = result.frame
        pixels = self._pixels[frame.slot][: frame.width * frame.height * 3]
        image = self._annotator.annotate(
            pixels.reshape(frame.height, frame.width, 3),
            Detections.from_bytes(result.detections),
            seq=frame.seq,
            complete=result.complete,
            now_ns=now_ns(),
        )
        in_video = self._files.write(frame.seq, image)
        self._report_failures()
        self.perform(self.progress.painted(in_video))

    def _finished(self, seq: int) -> None:
        self._results = {n: result for n, result in self._results.items() if n > seq}
        for receiver in (self._name, MERGER):
            self._outbox.send(receiver, Rendered(self._name, seq))

    def _join_parts(self) -> None:
        try:
            self._run_with_heartbeat(self._files.join_parts, _SLOW_SECONDS, "joining the parts")
        except OSError as error:
            # Every frame is there all the same.
            text = f"{self._files.video} stays in parts: {error.strerror or error}"
            self._note("error", text, "broken_output")

    def _report_failures(self) -> None:
        while self._files.failures:
            self.perform(self.progress.broken(*self._files.failures.pop(0)))

    def _broken(self, action: act.Broken) -> None:
        path = self._files.video if action.output == "video" else self._files.pictures
        self._files.close(action.output)
        good = f"after frame {action.last_seq}" if action.frames else "from its first frame on"
        self._note("error", f"{path} is broken {good}: {action.reason}", "broken_output")
