"""Tiler: cuts frames into tiles and gives them to the workers.

Which job goes where is the ledger's business; here are the pixels and the messages. A tile is cut
when a worker has a free slot for it, not before, so the slots that a worker's credits stand for are
all the tile memory there is. While the merger is down nothing is given out: it could not be
answered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from actors.dataflow.dispatch import Assign, Dispatch, FrameKey, GiveUp, JobKey
from actors.dataflow.messages import Down, Expect, Finished, Frame, Job, Message, Missing, Published
from actors.dataflow.settings import COLUMNS, MERGER, ModelSettings, StageSettings, TilerSettings
from actors.system.actor import Actor
from actors.system.fork_server import Spec
from actors.system.linux import now_ns
from actors.system.memory import Pool
from actors.vision.cutting import Cutter
from actors.vision.merging import nms_indices
from actors.vision.tiling import Size, Tile, plan, plan_crops

Rows = npt.NDArray[np.float32]


def main(spec: Spec) -> int:
    """The process's entry."""
    return Tiler(spec, spec.settings).run()


@dataclass(slots=True)
class _Frame:
    """A frame that is not published yet, and its tiles by stage (None: not known yet)."""

    message: Frame
    tiles: list[tuple[Tile, ...] | None]
    found: dict[tuple[int, int], Rows] = field(default_factory=dict)
    """What tiles (stage, index) of stages that others depend on have found, in frame pixels."""

    def found_by(self, stage: int) -> Rows:
        """All that a stage has found, (n, COLUMNS), in the order of its tiles."""
        parts = [rows for (of, _), rows in sorted(self.found.items()) if of == stage]
        return np.concatenate([np.zeros((0, COLUMNS), np.float32), *parts])


class Tiler(Actor):
    """All streams."""

    def __init__(self, spec: Spec, settings: TilerSettings) -> None:
        super().__init__(spec)
        self.settings = settings
        self.stages = settings.stages
        self.models: list[ModelSettings] = [settings.models[s.model] for s in self.stages]
        # Ids must differ from those of an earlier incarnation, whose jobs workers may still end.
        self.dispatch = Dispatch(len(self.stages), settings.workers, spec.incarnation << 32)
        self.frames: dict[FrameKey, _Frame] = {}
        self.echoed = frozenset(
            other for stage in self.stages for other in (stage.source, stage.condition)
        ) - {None}
        self.lost: dict[str, tuple[int, int, list[JobKey]]] = {}
        """By dead worker: when we heard, how many jobs it had, and those still to be done."""
        self.cutter = Cutter()
        self._plans: dict[Size, list[tuple[Tile, ...] | None]] = {}

    def open(self) -> None:
        cv2.setNumThreads(1)
        self.frame_pixels = {}
        for stream, slots in self.control.slots.items():
            pool = Pool(self.fds[f"frames.{stream}"], len(slots), write=False)
            self.frame_pixels[stream] = [np.frombuffer(pool[i], np.uint8) for i in range(len(pool))]
        tiles = Pool(self.fds["tiles"], len(self.control.tile_slots), write=True)
        self.tile_pixels = [np.frombuffer(tiles[i], np.uint8) for i in range(len(tiles))]

    # ------------------------------------------------------------ messages

    def on_up(self, name: str) -> None:
        if name in self.settings.workers:
            self.dispatch.worker_up(name)
        elif name == MERGER:
            self.dispatch.renew()
            for frame in self.frames.values():
                self._expect(frame)

    def on_down(self, down: Down) -> None:
        if down.name in self.settings.workers:
            lost = self.dispatch.jobs_of(down.name)
            if lost:
                self.lost[down.name] = (now_ns(), len(lost), lost)
            self._give_up(self.dispatch.worker_down(down.name, down.cause, down.suspects))

    def on_message(self, message: Message) -> None:
        if isinstance(message, Frame):
            self._on_frame(message)
        elif isinstance(message, Finished):
            self._on_finished(message)
        elif isinstance(message, Published):
            self._forget((message.stream, message.seq))

    def _on_frame(self, message: Frame) -> None:
        """Take in a frame, unless it is here already."""
        slots = self.control.slots.get(message.stream)
        if slots is None or not 0 <= message.slot < len(slots):
            return
        key = (message.stream, message.seq)
        if key in self.frames or message.seq <= self.control.streams[message.stream].finished_seq:
            return
        frame = _Frame(message, self._plan((message.width, message.height)))
        self.frames[key] = frame
        tiles = {i: len(part) for i, part in enumerate(frame.tiles) if part is not None}
        self.dispatch.frame(*key, tiles)
        self._expect(frame)

    def _on_finished(self, message: Finished) -> None:
        """A credit came back; perhaps another stage can begin."""
        if message.worker not in self.settings.workers:
            return
        job, given_up = self.dispatch.finished(message.worker, message.id, message.error)
        if message.error:
            self.log.debug("%s: %s", message.worker, message.error)
        self._give_up(given_up)
        if job is None or message.error or len(message.rows) % (4 * COLUMNS):
            return
        stream, seq, stage, index = job.key
        frame = self.frames.get((stream, seq))
        if frame is None or stage not in self.echoed:
            return
        frame.found[stage, index] = np.frombuffer(message.rows, np.float32).reshape(-1, COLUMNS)
        self._expand(frame)

    # ------------------------------------------------------------ work

    def work(self) -> None:
        for key in [
            key for key in self.frames if key[1] <= self.control.streams[key[0]].finished_seq
        ]:
            self._forget(key)
        merger = self.peers.incarnation(MERGER)
        if merger:
            for action in self.dispatch.assign():
                self._send(action, merger)
        self._report_recoveries()
        self.record.queued = self.dispatch.waiting()
        self.record.leased = sum(self.dispatch.held(name) for name in self.settings.workers)

    def _report_recoveries(self) -> None:
        """Say when others have finished what a dead worker had."""
        for worker, (since, count, keys) in list(self.lost.items()):
            still_open = [key for key in keys if self.dispatch.open(key)]
            self.lost[worker] = (since, count, still_open)
            if not still_open:
                del self.lost[worker]
                took = (now_ns() - since) / 1e6
                text = f"{count} jobs of {worker} finished elsewhere after {took:.0f} ms"
                self.note("info", text, "recovered")

    def _send(self, action: Assign, merger: int) -> None:
        """Cut the tile into its slot and send the job."""
        stream, seq, stage, index = action.key
        frame = self.frames[stream, seq]
        message = frame.message
        part = frame.tiles[stage]
        assert part is not None
        tile = part[index]
        slot = self.control.tile_slots[action.slot]
        slot.generation += 1
        width, height = self.models[stage].size
        pixels = self.frame_pixels[stream][message.slot]
        image = pixels[: message.width * message.height * 3].reshape(
            message.height, message.width, 3
        )
        out = self.tile_pixels[action.slot][: width * height * 3].reshape(height, width, 3)
        self.cutter.cut(image, tile, out, self.models[stage].color)
        job = Job(
            action.id,
            stream,
            seq,
            stage,
            index,
            action.slot,
            slot.generation,
            tile.to_tuple(),
            message.width,
            message.height,
            self.incarnation,
            merger,
            stage in self.echoed,
        )
        self.outbox.send(action.worker, job)

    # ------------------------------------------------------------ frames

    def _plan(self, size: Size) -> list[tuple[Tile, ...] | None]:
        """The tiles by stage of frames of this size; None for stages that depend on others."""
        known = self._plans.get(size)
        if known is None:
            known = [
                plan(stage.view, size, model.size) if _independent(stage) else None
                for stage, model in zip(self.stages, self.models, strict=True)
            ]
            self._plans[size] = known
        return list(known)

    def _expect(self, frame: _Frame) -> None:
        counts = tuple(-1 if part is None else len(part) for part in frame.tiles)
        self.outbox.send(MERGER, Expect(frame.message, counts))

    def _expand(self, frame: _Frame) -> None:
        """Plan the stages whose sources and conditions are known by now."""
        key = (frame.message.stream, frame.message.seq)
        size = (frame.message.width, frame.message.height)
        changed = True
        expanded = False
        while changed:
            changed = False
            for index, stage in enumerate(self.stages):
                needs = [other for other in (stage.source, stage.condition) if other is not None]
                if frame.tiles[index] is not None or not all(
                    self.dispatch.stage_done(*key, other) for other in needs
                ):
                    continue
                tiles = self._dependent_tiles(frame, index, size)
                frame.tiles[index] = tiles
                self.dispatch.expand(*key, index, len(tiles))
                changed = expanded = True
        if expanded:
            self._expect(frame)

    def _dependent_tiles(self, frame: _Frame, index: int, size: Size) -> tuple[Tile, ...]:
        stage, model = self.stages[index], self.models[index]
        if stage.condition is not None and not len(frame.found_by(stage.condition)):
            return ()
        if stage.source is None:
            return plan(stage.view, size, model.size)
        rows = frame.found_by(stage.source)
        kept = rows[nms_indices(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64))]
        return plan_crops(kept[:, :4], size, model.size, stage.max_crops)

    def _give_up(self, actions: Iterable[GiveUp]) -> None:
        for action in actions:
            stream, seq, stage, index = action.key
            name = self.stages[stage].name
            self.note(
                "error",
                f"{stream} #{seq}: tile {name}/{index} given up ({action.reason})",
                "given_up",
            )
            self.outbox.send(MERGER, Missing(*action.key, action.reason))
            frame = self.frames.get((stream, seq))
            if frame is not None:
                self._expand(frame)

    def _forget(self, key: FrameKey) -> None:
        if self.frames.pop(key, None) is not None:
            self.dispatch.published(*key)
            self.record.done += 1


def _independent(stage: StageSettings) -> bool:
    return stage.source is None and stage.condition is None
