"""A Dispatch and a model of it, moved together.

The model is written from the rules in the docstrings of dispatch, job_queue, suspects and cascade,
with plain dicts and no heap. After every move it has each job where it must be, and every list of
actions is checked here.

Frames are 10 pixels high. A stage with tiles has a model of 100x10, so a frame of 100 * n pixels
has n tiles. What a tile finds is a function of its frame, stage and index: up to three boxes that
are far apart, so that a stage of crops has one crop a box.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import pytest

from actors.dataflow.dispatch import (
    Action,
    Assign,
    Dispatch,
    DispatchError,
    FrameDone,
    Notice,
)
from actors.dataflow.job_queue import WorkerRule
from actors.dataflow.messages import STALE, Expect, Frame, Missing
from actors.dataflow.settings import StageSettings
from actors.vision.tiling import View

FrameKey = tuple[str, int]
JobKey = tuple[str, int, int, int]
"""Stream, sequence number, stage, tile."""

WEIGHTS = {"crash": 4, "hang": 4, "killed": 1, "stopped": 0}
PENDING, DONE, GIVEN_UP = "pending", "done", "given up"
STREAMS = {"a": 4, "b": 2}
"""Frame slots."""
TILE, CROP = (100, 10), (10, 10)
"""Model inputs, in pixels."""


def stage(
    name: str,
    view: str = "tiles",
    *,
    source: int | None = None,
    condition: int | None = None,
    max_crops: int = 100,
) -> StageSettings:
    """A stage; `view` is "tiles", "frame", "halves" (a grid of two) or "crops"."""
    grid = (2, 1) if view == "halves" else None
    kind = {"frame": "frame", "crops": "crops"}.get(view, "tiles")
    return StageSettings(
        name=name,
        model=name,
        view=View(kind, grid=grid),  # type: ignore[arg-type]
        source=source,
        condition=condition,
        max_crops=max_crops,
    )


def new_dispatch(
    stages: list[StageSettings], rules: dict[str, WorkerRule], first_id: int = 0
) -> Dispatch:
    return Dispatch(
        stages=stages,
        sizes=[CROP if each.view.kind == "crops" else TILE for each in stages],
        workers=rules,
        slots=STREAMS,
        first_id=first_id,
    )


def frame_message(stream: str, seq: int, tiles: int = 1, slot: int = 0) -> Frame:
    """A frame that has so many tiles."""
    return Frame(
        stream=stream,
        seq=seq,
        previous=seq - 1,
        source_frame=seq,
        slot=slot,
        width=100 * tiles,
        height=10,
        captured_ns=0,
        captured_real_ns=0,
    )


def boxes_found(key: JobKey) -> int:
    """How many boxes a tile finds: none to three, always the same."""
    _, seq, of, index = key
    return (seq * 7 + of * 3 + index * 5) % 4


def rows_found(key: JobKey) -> bytes:
    """The boxes that a tile finds, as a worker returns them."""
    rows = np.zeros((boxes_found(key), 8), np.float32)
    for number, row in enumerate(rows):
        left = 20 * (4 * key[3] + number)
        row[:4] = left, 2, left + 4, 6
        row[4] = 0.9 - number / 10
    return rows.tobytes()


@dataclass(eq=False)
class ModelJob:
    """One tile. `state` is PENDING, DONE, GIVEN_UP or the id under which it is held."""

    state: str | int = PENDING
    suspicion: int = 0
    blamed: str = ""
    """The worker that it may have brought down last, or that it failed on."""
    victims: list[str] = field(default_factory=list)
    answered_by: str = ""
    returned: bool = False
    """Whether it was answered, perhaps to a merger that is gone."""
    reason: str = ""

    @property
    def suspect(self) -> bool:
        return self.suspicion >= 4


@dataclass(eq=False)
class ModelFrame:
    message: Frame
    order: int
    jobs: dict[tuple[int, int], ModelJob] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    """Tiles by stage that has begun."""

    @property
    def key(self) -> FrameKey:
        return self.message.stream, self.message.seq

    def of(self, stage: int) -> dict[int, ModelJob]:
        return {index: job for (other, index), job in self.jobs.items() if other == stage}

    def over(self, stage: int) -> bool:
        """Whether a stage has begun and has nothing left to do."""
        return stage in self.counts and all(
            job.state in (DONE, GIVEN_UP) for job in self.of(stage).values()
        )


@dataclass(eq=False)
class ModelWorker:
    rule: WorkerRule
    up: bool = False
    held: dict[int, Assign] = field(default_factory=dict)
    alone: int = 0
    """The id of the suspect that it runs, which nothing may run beside."""


@dataclass(eq=False)
class ModelRecovery:
    """What a dead worker held, until none of it is to be done."""

    worker: str
    since: int
    jobs: list[ModelJob]


def key_of(action: Assign) -> JobKey:
    return action.frame.stream, action.frame.seq, action.stage, action.index


class World:
    """A Dispatch and what it should be, moved together. Every check of an action is here."""

    def __init__(
        self, stages: list[StageSettings], rules: dict[str, WorkerRule], first_id: int = 0
    ) -> None:
        self.stages = stages
        self.rules = rules
        self.dispatch = new_dispatch(stages, rules, first_id)
        self.workers = {name: ModelWorker(rule) for name, rule in rules.items()}
        self.frames: dict[FrameKey, ModelFrame] = {}
        self.finished_seq = dict.fromkeys(STREAMS, -1)
        self.merger = False
        self.recoveries: list[ModelRecovery] = []
        self.last_id = first_id
        self.orders = 0
        self.now = 0
        self.old_ids: list[int] = [first_id]

    # ------------------------------------------------------------ frames

    def frame(self, message: Frame) -> None:
        key = (message.stream, message.seq)
        if key in self.frames or message.seq <= self.finished_seq[message.stream]:
            self.unchanged(lambda: self.dispatch.frame_arrived(message))
            return
        actions = self.dispatch.frame_arrived(message)
        frame = self.frames[key] = ModelFrame(message, self.orders)
        self.orders += 1
        self._begin_stages(frame)
        assert actions == self._expect(frame)

    def published(self, key: FrameKey) -> None:
        if key not in self.frames:
            self.unchanged(lambda: self.dispatch.published(*key))
            return
        assert self.dispatch.published(*key) == [self._forget(key)]

    def finished_up_to(self, stream: str, seq: int) -> None:
        actions = self.dispatch.finished_up_to(stream, seq)
        self.finished_seq[stream] = max(self.finished_seq[stream], seq)
        over = [key for key in self.frames if key[0] == stream and key[1] <= seq]
        assert actions == [self._forget(key) for key in over]

    def _forget(self, key: FrameKey) -> Action:
        for job in self.frames.pop(key).jobs.values():
            job.state = DONE
        return FrameDone(*key)

    # ------------------------------------------------------------ workers

    def worker_up(self, name: str) -> None:
        assert self.dispatch.worker_up(name) == []
        self._lose(name, "stopped", set())
        self.workers[name].up = True

    def worker_down(self, name: str, cause: str, suspects: set[int]) -> None:
        self.now += 1_000_000
        held = list(self.workers[name].held.values())
        actions = self.dispatch.worker_down(name, cause, sorted(suspects), self.now)
        assert actions == self._lose(name, cause, suspects)
        jobs: list[ModelJob] = []
        for job in map(self._job, held):
            over = job is None or job.state in (DONE, GIVEN_UP)
            # It can have held a job twice: the second time after the merger came back.
            if job is not None and not over and all(job is not other for other in jobs):
                jobs.append(job)
        if jobs:
            self.recoveries.append(ModelRecovery(name, self.now, jobs))

    def _lose(self, name: str, cause: str, suspects: set[int]) -> list[Action]:
        worker = self.workers[name]
        actions: list[Action] = []
        for id_, action in worker.held.items():
            self.old_ids.append(id_)
            weight = WEIGHTS[cause] if id_ in suspects else 0
            actions += self._run_again(action, weight, cause, victim=True)
        for frame in self.frames.values():
            for job in frame.jobs.values():
                if job.state == DONE and job.answered_by == name:
                    job.state = PENDING
        self.workers[name] = ModelWorker(worker.rule)
        return actions

    def finished(self, name: str, id_: int, error: str, rows: bytes | None = None) -> None:
        worker = self.workers[name]
        if id_ not in worker.held:
            self.unchanged(lambda: self.dispatch.finished(name, id_, error))
            return
        action = worker.held.pop(id_)
        key = key_of(action)
        self.old_ids.append(id_)
        if worker.alone == id_:
            worker.alone = 0
        if rows is None:
            rows = rows_found(key) if not error and self._returns(action.stage) else b""
        actions = self.dispatch.finished(name, id_, error, rows)
        if not error and len(rows) % (4 * 8):
            error = "its detections cannot be read"
        expected: list[Action] = []
        job = self._current(action)
        if error:
            expected = self._run_again(action, 0 if error == STALE else 4, error, victim=False)
        elif job is not None:
            job.state, job.suspicion, job.answered_by, job.returned = DONE, 0, name, True
            frame = self.frames[key[:2]]
            if self._begin_stages(frame):
                expected = self._expect(frame)
        assert actions == expected

    # ------------------------------------------------------------ merger and time

    def merger_up(self) -> None:
        actions = self.dispatch.merger_up()
        self.merger = True
        expected: list[Action] = []
        for frame in self.frames.values():
            expected += self._expect(frame)
            for (of, index), job in sorted(frame.jobs.items()):
                if job.state == GIVEN_UP:
                    expected.append(Missing(*frame.key, of, index, job.reason))
                else:
                    job.state = PENDING
        assert actions == expected

    def merger_down(self) -> None:
        assert self.dispatch.merger_down() == []
        self.merger = False

    def turn(self) -> list[Assign]:
        self.now += 1_000_000
        assigned: list[Assign] = []
        notices: list[Action] = []
        for action in self.dispatch.turn(self.now):
            if isinstance(action, Assign):
                assert not notices
                self._check_assigned(action)
                assigned.append(action)
            else:
                notices.append(action)
        assert self.merger or not assigned
        assert notices == self._recovered()
        if self.merger:
            self._check_none_idle()
        return assigned

    def _recovered(self) -> list[Action]:
        over = [r for r in self.recoveries if all(j.state in (DONE, GIVEN_UP) for j in r.jobs)]
        self.recoveries = [r for r in self.recoveries if r not in over]
        notices: list[Action] = []
        for recovery in over:
            count = sum(job.state == DONE for job in recovery.jobs)
            if count:
                took = (self.now - recovery.since) // 1_000_000
                text = f"{count} job{'' if count == 1 else 's'} of {recovery.worker}"
                text += f" finished elsewhere after {took} ms"
                notices.append(Notice("info", "recovered", text))
        return notices

    # ------------------------------------------------------------ wrong and idle events

    def refused(self, move: Callable[[], object]) -> None:
        before = pickle.dumps(self.dispatch)
        with pytest.raises(DispatchError):
            move()
        assert pickle.dumps(self.dispatch) == before

    def unchanged(self, move: Callable[[], list[Action]]) -> None:
        before = pickle.dumps(self.dispatch)
        assert move() == []
        assert pickle.dumps(self.dispatch) == before

    # ------------------------------------------------------------ the cascade's rules

    def _returns(self, of: int) -> bool:
        return any(of in (each.source, each.condition) for each in self.stages)

    def _begin_stages(self, frame: ModelFrame) -> bool:
        """Begin every stage that can; whether one did."""
        begun = False
        for _ in self.stages:
            for number, each in enumerate(self.stages):
                needs = [other for other in (each.source, each.condition) if other is not None]
                if number not in frame.counts and all(frame.over(other) for other in needs):
                    frame.counts[number] = self._count(frame, each)
                    for index in range(frame.counts[number]):
                        frame.jobs[number, index] = ModelJob()
                    begun = True
        return begun

    def _count(self, frame: ModelFrame, each: StageSettings) -> int:
        """How many tiles a stage has in a frame."""
        width = frame.message.width
        if each.condition is not None and not self._found(frame, each.condition):
            return 0
        if each.source is not None:
            inside = [left for left in self._found(frame, each.source) if left < width]
            return min(len(inside), each.max_crops)
        if each.view.kind == "frame":
            return 1
        return 2 if each.view.grid else width // TILE[0]

    def _found(self, frame: ModelFrame, of: int) -> list[int]:
        """The left edges of the boxes that a stage has found."""
        return [
            20 * (4 * index + number)
            for index, job in frame.of(of).items()
            if job.returned
            for number in range(boxes_found((*frame.key, of, index)))
        ]

    def _expect(self, frame: ModelFrame) -> list[Action]:
        counts = tuple(frame.counts.get(number, -1) for number in range(len(self.stages)))
        return [Expect(frame.message, counts)] if self.merger else []

    # ------------------------------------------------------------ the queue's rules

    def _job(self, action: Assign) -> ModelJob | None:
        """The job that an action was for, unless its frame has been published since."""
        frame = self.frames.get(key_of(action)[:2])
        same = frame is not None and frame.message is action.frame
        return frame.jobs[action.stage, action.index] if frame is not None and same else None

    def _current(self, action: Assign) -> ModelJob | None:
        """The same, unless it has been given anew since."""
        job = self._job(action)
        return job if job is not None and job.state == action.id else None

    def _run_again(self, action: Assign, weight: int, why: str, *, victim: bool) -> list[Action]:
        job = self._current(action)
        if job is None:
            return []
        job.suspicion += weight
        if weight:
            job.blamed = action.worker
            if victim and action.worker not in job.victims:
                job.victims.append(action.worker)
        if not weight or job.suspicion < 8:
            job.state = PENDING
            return []
        job.state, job.reason = GIVEN_UP, f"{action.worker}: {why}"
        key = key_of(action)
        text = f"{key[0]} #{key[1]}: tile {self.stages[key[2]].name}/{key[3]} given up"
        text += f" ({job.reason})"
        actions: list[Action] = [Notice("error", "given_up", text, tuple(job.victims))]
        actions += [Missing(*key, job.reason)] if self.merger else []
        frame = self.frames[key[:2]]
        return actions + (self._expect(frame) if self._begin_stages(frame) else [])

    def pending(self, suspect: bool) -> list[tuple[int, int, int, FrameKey]]:
        return sorted(
            (frame.order, of, index, key)
            for key, frame in self.frames.items()
            for (of, index), job in frame.jobs.items()
            if job.state == PENDING and job.suspect == suspect
        )

    def free(self, name: str) -> set[int]:
        worker = self.workers[name]
        taken = [action.slot for action in worker.held.values()]
        assert len(set(taken)) == len(taken), "a slot was given twice"
        assert set(taken) <= set(worker.rule.slots)
        return set(worker.rule.slots) - set(taken) if worker.up else set()

    def _check_assigned(self, action: Assign) -> None:
        """Whether this job may go to this worker now; then it has."""
        key = key_of(action)
        worker, frame = self.workers[action.worker], self.frames[key[:2]]
        job = frame.jobs[action.stage, action.index]
        assert action.frame == frame.message
        assert worker.up
        assert action.stage in worker.rule.stages
        assert action.slot in self.free(action.worker)
        assert action.id > self.last_id
        assert job.state == PENDING
        assert not worker.alone, "a suspect runs alone"
        if (
            self.stages[action.stage].view.kind == "tiles"
            and not self.stages[action.stage].view.grid
        ):
            assert (action.tile.x, action.tile.width) == (100 * action.index, 100)
        entry = (frame.order, action.stage, action.index, key[:2])
        if job.suspect:
            assert not worker.held, "a suspect runs alone"
            assert not any(other.alone for other in self.workers.values())
            assert entry == self.pending(suspect=True)[0]
            worker.alone = action.id
        else:
            runnable = [e for e in self.pending(suspect=False) if e[1] in worker.rule.stages]
            assert entry == runnable[0], "the oldest job that the worker can run goes first"
        job.state = action.id
        self.last_id = action.id
        worker.held[action.id] = action

    def _check_none_idle(self) -> None:
        """No slot is free while a job could use it, except on one worker, for a suspect's sake."""
        wanted = {of for _, of, _, _ in self.pending(suspect=False)}
        kept = [
            name
            for name, worker in self.workers.items()
            if self.free(name) and worker.rule.stages & wanted
        ]
        assert len(kept) <= 1
        suspects = self.pending(suspect=True)
        alone = [name for name, worker in self.workers.items() if worker.alone]
        assert not kept or alone == kept or (not alone and suspects)
        # The oldest suspect does not wait while a worker that can run it has nothing in hand.
        if suspects and not alone:
            _, of, index, key = suspects[0]
            avoid = self.frames[key].jobs[of, index].blamed
            able = {n for n, w in self.workers.items() if w.up and of in w.rule.stages}
            assert all(self.workers[name].held for name in able - {avoid} or able)

    # ------------------------------------------------------------ the whole

    def jobs(self) -> Iterable[tuple[JobKey, ModelJob]]:
        for key, frame in self.frames.items():
            for tile, job in frame.jobs.items():
                yield (*key, *tile), job

    def check(self) -> None:
        """What must be true at any time."""
        assert self.dispatch.held == sum(len(worker.held) for worker in self.workers.values())
        assert self.dispatch.waiting == sum(job.state == PENDING for _, job in self.jobs())
        for name, worker in self.workers.items():
            assert worker.up or not worker.held
            self.free(name)
        for key, job in self.jobs():
            holders = [
                worker
                for worker in self.workers.values()
                if isinstance(job.state, int) and job.state in worker.held
            ]
            # No job is lost: it waits, is over, or one living worker holds it.
            assert len(holders) == isinstance(job.state, int)
            if holders:
                assert key_of(holders[0].held[int(job.state)]) == key

    def drain(self, deaths: int) -> None:
        """All workers that are up answer everything: all is done in a bounded number of turns.

        The first `deaths` suspects that run take their worker with them once more; it comes back.
        """
        if not self.merger:
            self.merger_up()
        for number in range(len(self.stages)):
            able = [n for n, w in self.workers.items() if number in w.rule.stages]
            if not any(self.workers[name].up for name in able):
                self.worker_up(able[0])
        for _ in range(200 * (len(self.frames) + deaths + 1)):
            self.turn()
            for name, worker in self.workers.items():
                for id_ in list(worker.held):
                    if self.workers[name].alone == id_ and deaths:
                        deaths -= 1
                        self.worker_down(name, "crash", {id_})
                        self.worker_up(name)
                        break
                    self.finished(name, id_, "")
            if not self.dispatch.waiting and not self.dispatch.held:
                break
        self.check()
        for frame in self.frames.values():
            assert all(frame.over(number) for number in range(len(self.stages)))
        for name, worker in self.workers.items():
            assert not worker.up or self.free(name) == set(self.rules[name].slots)
        self.turn()
        assert not self.recoveries
