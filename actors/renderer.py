"""Renderer: draws what was published into the frames and writes a video a stream.

It is the last to read a frame's pixels, so it moves the stream's `finished_seq`, which frees the
frame's slot. Results do not wait for it: they are published before it hears of them.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from actors.settings import MERGER, RendererSettings
from actors.system.actor import Actor, ActorError
from actors.system.linux import now_ns
from actors.system.memory import Pool
from actors.system.messages import Message, Rendered, Result
from actors.system.nursery import Spec
from actors.vision.drawing import banner, draw
from actors.vision.tiling import Size, Tile, plan

_FOURCC = {".mp4": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
_RATE_OVER = 30


def main(spec: Spec) -> int:
    """The process's entry."""
    return Renderer(spec, spec.settings).run()


class Renderer(Actor):
    """All streams."""

    def __init__(self, spec: Spec, settings: RendererSettings) -> None:
        super().__init__(spec)
        self.settings = settings
        self.queue: deque[Result] = deque()
        self.queued: set[tuple[str, int]] = set()
        self.pictures: dict[str, Picture] = {}

    def open(self) -> None:
        cv2.setNumThreads(1)
        for stream, slots in self.control.slots.items():
            pool = Pool(self.fds[f"frames.{stream}"], len(slots), write=False)
            pixels = [np.frombuffer(pool[i], np.uint8) for i in range(len(pool))]
            self.pictures[stream] = Picture(self.settings, stream, pixels)

    def on_message(self, message: Message) -> None:
        if isinstance(message, Result):
            stream, seq = message.frame.stream, message.frame.seq
            if stream not in self.pictures or (stream, seq) in self.queued:
                return
            if seq > self.control.streams[stream].finished_seq:
                self.queued.add((stream, seq))
                self.queue.append(message)

    def work(self) -> None:
        if self.queue:
            result = self.queue.popleft()
            frame = result.frame
            self.queued.discard((frame.stream, frame.seq))
            self.pictures[frame.stream].render(result)
            self.control.streams[frame.stream].finished_seq = frame.seq
            self.record.done += 1
            done = Rendered(frame.stream, frame.seq)
            self.outbox.send(frame.stream, done)
            self.outbox.send(MERGER, done)
        self.record.queued = len(self.queue)

    def wait_ms(self) -> int:
        return 0 if self.queue else super().wait_ms()

    def close(self) -> None:
        for picture in self.pictures.values():
            picture.close()


class Picture:
    """One stream's annotated video. Its size is the first frame's; others are fitted into it."""

    def __init__(
        self, settings: RendererSettings, stream: str, pixels: list[npt.NDArray[np.uint8]]
    ) -> None:
        self._settings = settings
        self._path: Path = settings.video[stream]
        self._fps = settings.fps[stream]
        self._pixels = pixels
        self._canvas = np.zeros((0, 0, 3), np.uint8)
        self._writer: cv2.VideoWriter | None = None
        self._size: Size = (0, 0)
        self._times: deque[int] = deque(maxlen=_RATE_OVER)

    def render(self, result: Result) -> None:
        """Draw a frame and write it."""
        frame = result.frame
        pixels = self._pixels[frame.slot][: frame.width * frame.height * 3]
        if self._canvas.shape[:2] != (frame.height, frame.width):
            self._canvas = np.empty((frame.height, frame.width, 3), np.uint8)
        np.copyto(self._canvas, pixels.reshape(self._canvas.shape))
        rows = np.frombuffer(result.rows, np.float32).reshape(-1, 6)
        tiles = self._tiles((frame.width, frame.height)) if self._settings.tiles else ()
        draw(
            self._canvas,
            rows[:, :4],
            rows[:, 4],
            rows[:, 5].astype(np.int64),
            self._settings.labels,
            tiles=tiles,
        )
        banner(self._canvas, self._caption(result, len(rows)))
        self._write(self._canvas)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()
            self._writer = None

    def _caption(self, result: Result, objects: int) -> str:
        """What stands in the corner: frame, rate, and whether something is missing or emulated."""
        self._times.append(now_ns())
        parts = [f"#{result.frame.seq}", f"{objects} objects"]
        if len(self._times) > 1:
            seconds = (self._times[-1] - self._times[0]) / 1e9
            parts.append(f"{(len(self._times) - 1) / seconds:.1f} frames/s")
        if not result.complete:
            parts.append("INCOMPLETE")
        if any(model.emulated for model in self._settings.models.values()):
            parts.append("emulated")
        return "  ".join(parts)

    def _tiles(self, size: Size) -> tuple[Tile, ...]:
        return tuple(
            tile
            for stage in self._settings.stages
            if stage.view.kind == "tiles"
            for tile in plan(stage.view, size, self._settings.models[stage.model].size)
        )

    def _write(self, image: npt.NDArray[np.uint8]) -> None:
        size = (image.shape[1], image.shape[0])
        if self._writer is None:
            self._size = size
            fourcc = cv2.VideoWriter.fourcc(*_FOURCC[self._path.suffix.lower()])
            self._writer = cv2.VideoWriter(str(self._path), fourcc, self._fps, size)
            if not self._writer.isOpened():
                raise ActorError(f"cannot write {self._path}; change render.video")
        self._writer.write(image if size == self._size else _fitted(image, self._size))


def _fitted(image: npt.NDArray[np.uint8], size: Size) -> npt.NDArray[np.uint8]:
    """The image resized into `size` with its aspect kept, on black."""
    scale = min(size[0] / image.shape[1], size[1] / image.shape[0])
    width, height = round(image.shape[1] * scale), round(image.shape[0] * scale)
    fitted = np.zeros((size[1], size[0], 3), np.uint8)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    fitted[top : top + height, left : left + width] = cv2.resize(image, (width, height))
    return fitted
