"""Renderer: draws what was published into the frames and writes a video a stream.

It is the last to read a frame's pixels, so it moves the stream's `finished_seq`, which frees the
frame's slot. Results do not wait for it: they are published before it hears of them.

A frame is finished when it is in the file for sure, which is when the next one is added or the
stream is over. So a renderer that was killed comes back to frames of which none is missing in its
video, and at most one is there already: how many the file holds tells.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from actors.dataflow.messages import CODEC, Rendered, Result
from actors.dataflow.settings import MERGER, RunSettings
from actors.dataflow.shared_records import ControlBlock, StreamRecord
from actors.outputs.video import VideoFile
from actors.system.actor import Actor
from actors.system.codec import Message
from actors.system.fork_server import Spec
from actors.system.linux import now_ns
from actors.system.memory import Pool, view
from actors.vision.detections import Detections
from actors.vision.drawing import banner, draw
from actors.vision.tiling import Size, Tile, plan

_Found = TypeVar("_Found")
_RATE_OVER = 30
_IMAGES_PER_SECOND = 25.0
# Joining the parts of a film copies it: a gigabyte takes half a minute on a slow card.
_PATIENCE_S = 600.0


class RunWithHeartbeat(Protocol):
    """Actor.patiently."""

    def __call__(self, action: Callable[[], _Found], seconds: float, what: str) -> _Found: ...


def main(spec: Spec[RunSettings]) -> int:
    """The process's entry."""
    return Renderer(spec).run()


class Renderer(Actor[RunSettings]):
    """All streams."""

    def __init__(self, spec: Spec[RunSettings]) -> None:
        self.control = ControlBlock(spec.settings.layout, view(spec.fds["control"], write=True))
        super().__init__(spec, CODEC, self.control.actors[spec.name])
        self.films: dict[str, FrameWriter] = {}

    def open(self) -> None:
        cv2.setNumThreads(1)
        for stream, slots in self.control.slots.items():
            pool = Pool(self.fds[f"frames.{stream}"], len(slots), write=False)
            pixels = [np.frombuffer(pool[i], np.uint8) for i in range(len(pool))]
            painter = Annotator(self.settings, pixels)
            record = self.control.streams[stream]
            film = FrameWriter(stream, record, painter, self.run_with_heartbeat)
            mine = self.settings.streams[stream]
            if mine.video is not None:
                film.open_file(mine.video, mine.info.fps or _IMAGES_PER_SECOND)
            self.films[stream] = film

    def on_message(self, message: Message) -> None:
        if isinstance(message, Result) and message.frame.stream in self.films:
            self.films[message.frame.stream].take(message)

    def work(self) -> None:
        for stream, film in self.films.items():
            before = film.record.finished_seq
            film.work()
            self._tell(film)
            if film.record.finished_seq != before:
                self.record.done += 1
                done = Rendered(stream, film.record.finished_seq)
                self.outbox.send(stream, done)
                self.outbox.send(MERGER, done)
        self.record.queued = sum(len(film.queue) for film in self.films.values())

    def wait_ms(self) -> int:
        return 0 if any(film.queue for film in self.films.values()) else super().wait_ms()

    def close(self) -> None:
        for film in self.films.values():
            film.close()
            self._tell(film)

    def _tell(self, film: FrameWriter) -> None:
        if film.trouble:
            self.note("error", film.trouble, "broken_output")
            film.trouble = ""


class FrameWriter:
    """One stream's frames on their way into its video."""

    def __init__(
        self,
        stream: str,
        record: StreamRecord,
        painter: Annotator,
        run_with_heartbeat: RunWithHeartbeat,
    ) -> None:
        """`patiently` does what may take long while the actor's heart goes on beating."""
        self.stream = stream
        self.record = record
        self.painter = painter
        self.queue: deque[Result] = deque()
        self.trouble = ""
        """Why the file cannot be written any more, once, to be told."""
        self._run_with_heartbeat = run_with_heartbeat
        self._newest = record.finished_seq
        """The last frame that was taken; whatever comes again is known."""
        self._added: deque[int] = deque()
        """Frames that were added and may not be in the file yet."""
        self._file: VideoFile | None = None
        self._already = 0

    def open_file(self, path: Path, fps: float) -> None:
        """Begin the video, or go on after what an earlier incarnation has written.

        One that broke under an earlier incarnation stays as it is: frames are missing after it.
        """
        if self.record.broken:
            return
        try:
            self._file = self._run_with_heartbeat(
                lambda: VideoFile(path, fps), _PATIENCE_S, f"looking into {path}"
            )
            # A frame that reached the file before its writer could say so is not added again.
            self._already = self._file.frames - self.record.rendered
            if self._already < 0:
                raise OSError(f"{-self._already} frames that were in it are gone from it")
        except OSError as error:
            self._give_up(path, error)

    def take(self, result: Result) -> None:
        """A published frame; one that was taken before is passed over."""
        if result.frame.seq > self._newest:
            self._newest = result.frame.seq
            self.queue.append(result)

    def work(self) -> None:
        """Render the next frame; end the file when there will be no more."""
        if self.queue:
            result = self.queue.popleft()
            self._added.append(result.frame.seq)
            if self._file is None:
                self._finish(len(self._added))
            elif self._already > 0:
                self._already -= 1
                self._finish(1)
            else:
                self._add(self._file, result)
        elif self._added and self._added[-1] + 1 == self.record.end_seq:
            self._end()

    def close(self) -> None:
        """End the file; when the stream is over, make it one where others had died over it.

        The frames are let go of before that: joining hours of film takes longer than they may wait.
        """
        self._end()
        if self._file is not None and self.record.end_seq >= 0:
            try:
                self._run_with_heartbeat(self._file.join, _PATIENCE_S, f"joining {self._file.path}")
            except OSError as error:
                # Every frame is there all the same.
                self.trouble = f"{self._file.path} stays in parts: {error.strerror or error}"

    def _end(self) -> None:
        """No more frames: all that was added is in the file then."""
        if self._file is not None:
            try:
                self._file.end()
            except OSError as error:
                self._give_up(self._file.path, error)
        self._finish(len(self._added))

    def _add(self, file: VideoFile, result: Result) -> None:
        image = self.painter.paint(result)
        try:
            in_file = file.add(image)
        except OSError as error:
            self._give_up(file.path, error)
            self._finish(len(self._added))
        else:
            self._finish(in_file - self.record.rendered)

    def _finish(self, count: int) -> None:
        """Let go of the frames that were added first; they are in the file unless it is broken."""
        for _ in range(min(count, len(self._added))):
            self.record.rendered += not self.record.broken
            self.record.finished_seq = self._added.popleft()

    def _give_up(self, path: Path, error: OSError) -> None:
        """The file cannot be written; detection goes on without it."""
        self.record.broken = 1
        if self._file is not None:
            self._file.abandon()
            self._file = None
        reason = error.strerror or str(error)
        self.trouble = f"{path} is broken after frame {self.record.finished_seq}: {reason}"


class Annotator:
    """Draws results into copies of one stream's frames."""

    def __init__(self, settings: RunSettings, pixels: Sequence[npt.NDArray[np.uint8]]) -> None:
        self._settings = settings
        self._pixels = pixels
        self._canvas = np.zeros((0, 0, 3), np.uint8)
        self._times: deque[int] = deque(maxlen=_RATE_OVER)

    def paint(self, result: Result) -> npt.NDArray[np.uint8]:
        """The annotated frame, valid until the next call."""
        frame = result.frame
        pixels = self._pixels[frame.slot][: frame.width * frame.height * 3]
        if self._canvas.shape[:2] != (frame.height, frame.width):
            self._canvas = np.empty((frame.height, frame.width, 3), np.uint8)
        np.copyto(self._canvas, pixels.reshape(self._canvas.shape))
        found = Detections.from_bytes(result.detections)
        tiles = self._tiles((frame.width, frame.height)) if self._settings.render.tiles else ()
        draw(
            self._canvas,
            found.boxes,
            found.scores,
            found.class_ids,
            self._settings.classes.labels,
            tiles=tiles,
        )
        banner(self._canvas, self._caption(result, len(found)))
        return self._canvas

    def _caption(self, result: Result, objects: int) -> str:
        """What stands in the corner: frame, rate, and whether something is missing or emulated."""
        self._times.append(now_ns())
        parts = [f"#{result.frame.seq}", f"{objects} objects"]
        if len(self._times) > 1:
            seconds = (self._times[-1] - self._times[0]) / 1e9
            parts.append(f"{(len(self._times) - 1) / seconds:.1f} frames/s")
        if not result.complete:
            parts.append("INCOMPLETE")
        if self._settings.emulated:
            parts.append("emulated")
        if self._settings.simulated:
            parts.append("simulated")
        return "  ".join(parts)

    def _tiles(self, size: Size) -> tuple[Tile, ...]:
        return tuple(
            tile
            for stage in self._settings.stages
            if stage.view.kind == "tiles"
            for tile in plan(stage.view, size, self._settings.models[stage.model].size)
        )
