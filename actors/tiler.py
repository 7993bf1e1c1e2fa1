"""Tiler: cuts frames into tiles and gives them to the workers.

Which job goes where is decided in dataflow/dispatch; here are the pixels and the messages. A tile
is cut when a worker has a free slot for it, not before, so the slots that a worker's credits stand
for are all the tile memory there is.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from actors.dataflow.dispatch import Action, Assign, Dispatch, DispatchError, FrameDone, Notice
from actors.dataflow.job_queue import WorkerRule
from actors.dataflow.messages import CODEC, Finished, Frame, Job, Published
from actors.dataflow.settings import MERGER, RunSettings
from actors.dataflow.shared_records import ControlBlock
from actors.system.actor import Actor
from actors.system.codec import Message
from actors.system.fork_server import Spec
from actors.system.linux import now_ns
from actors.system.memory import Pool, view
from actors.system.messages import Down
from actors.vision.cutting import Cutter


def main(spec: Spec[RunSettings]) -> int:
    """The process's entry."""
    return Tiler(spec).run()


class Tiler(Actor[RunSettings]):
    """All streams."""

    def __init__(self, spec: Spec[RunSettings]) -> None:
        settings = spec.settings
        self.control = ControlBlock(settings.layout, view(spec.fds["control"], write=True))
        super().__init__(spec, CODEC, self.control.actors[spec.name])
        self.workers = settings.workers
        self.models = [settings.models[stage.model] for stage in settings.stages]
        self.dispatch = Dispatch(
            stages=settings.stages,
            sizes=[model.size for model in self.models],
            workers={name: WorkerRule(w.stages, w.slots) for name, w in settings.workers.items()},
            slots=settings.layout.streams,
            first_id=spec.incarnation << 32,
        )
        self.cutter = Cutter()

    def open(self) -> None:
        cv2.setNumThreads(1)
        self.frame_pixels = {}
        for stream, slots in self.control.slots.items():
            pool = Pool(self.fds[f"frames.{stream}"], len(slots), write=False)
            self.frame_pixels[stream] = [np.frombuffer(pool[i], np.uint8) for i in range(len(pool))]
        tiles = Pool(self.fds["tiles"], len(self.control.tile_slots), write=True)
        self.tile_pixels = [np.frombuffer(tiles[i], np.uint8) for i in range(len(tiles))]

    def on_up(self, name: str) -> None:
        if name in self.workers:
            self._act(self.dispatch.worker_up(name))
        elif name == MERGER:
            self._act(self.dispatch.merger_up())

    def on_down(self, down: Down) -> None:
        if down.name in self.workers:
            self._act(self.dispatch.worker_down(down.name, down.cause, down.suspects, now_ns()))
        elif down.name == MERGER:
            self._act(self.dispatch.merger_down())

    def on_message(self, message: Message) -> None:
        try:
            if isinstance(message, Frame):
                self._act(self.dispatch.frame_arrived(message))
            elif isinstance(message, Finished):
                if message.error:
                    self.log.debug("%s: %s", message.worker, message.error)
                self._act(
                    self.dispatch.finished(
                        message.worker, message.id, message.error, message.detections
                    )
                )
            elif isinstance(message, Published):
                self._act(self.dispatch.published(message.stream, message.seq))
        except DispatchError as error:
            self.invalid_messages += 1
            self.log.debug("%s", error)

    def work(self) -> None:
        for stream, record in self.control.streams.items():
            self._act(self.dispatch.finished_up_to(stream, record.finished_seq))
        self._act(self.dispatch.turn(now_ns()))
        self.record.queued = self.dispatch.waiting
        self.record.leased = self.dispatch.held

    def _act(self, actions: Iterable[Action]) -> None:
        for action in actions:
            if isinstance(action, Assign):
                self._assign(action)
            elif isinstance(action, Notice):
                self.note(action.level, action.text, action.kind, action.excuses)
            elif isinstance(action, FrameDone):
                self.record.done += 1
            else:
                self.outbox.send(MERGER, action)

    def _assign(self, action: Assign) -> None:
        """Cut the tile into its slot and send the job."""
        frame, tile, model = action.frame, action.tile, self.models[action.stage]
        slot = self.control.tile_slots[action.slot]
        slot.generation += 1
        width, height = model.size
        pixels = self.frame_pixels[frame.stream][frame.slot]
        image = pixels[: frame.width * frame.height * 3].reshape(frame.height, frame.width, 3)
        out = self.tile_pixels[action.slot][: width * height * 3].reshape(height, width, 3)
        self.cutter.cut(image, tile, out, model.color)
        job = Job(
            id=action.id,
            stream=frame.stream,
            seq=frame.seq,
            stage=action.stage,
            index=action.index,
            slot=action.slot,
            generation=slot.generation,
            tile=tile.to_tuple(),
            width=frame.width,
            height=frame.height,
            tiler=self.incarnation,
            merger=self.peers.incarnation(MERGER),
            return_detections=self.dispatch.returns_detections(action.stage),
        )
        self.outbox.send(action.worker, job)
