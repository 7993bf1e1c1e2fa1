"""A job ledger and a model of it, moved together.

The model is written from the rules in the ledger's docstring, with plain dicts and no heap. After
every move it knows where each job must be, and every answer of the ledger is checked here.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from actors.dataflow.dispatch import (
    Assign,
    Dispatch,
    DispatchError,
    FrameKey,
    GiveUp,
    JobKey,
    WorkerRule,
)

WEIGHTS = {"crash": 4, "hang": 4, "killed": 1, "stopped": 0}
PENDING, DONE, GIVEN_UP = "pending", "done", "given up"


@dataclass
class ModelJob:
    """One tile. `state` is PENDING, DONE, GIVEN_UP or the id under which it is given."""

    state: str | int = PENDING
    suspicion: int = 0
    blamed: str = ""
    """The worker that it may have brought down last."""
    answered_by: str = ""

    @property
    def suspect(self) -> bool:
        return self.suspicion >= 4


@dataclass
class ModelFrame:
    order: int
    jobs: dict[tuple[int, int], ModelJob] = field(default_factory=dict)
    stages: set[int] = field(default_factory=set)


@dataclass
class ModelWorker:
    rule: WorkerRule
    up: bool = False
    given: dict[int, Assign] = field(default_factory=dict)
    alone: int = 0
    """The id of the suspect that it runs, which nothing may run beside."""


class World:
    """A ledger and what it should be, moved together. Every check on an answer is here."""

    def __init__(self, stages: int, rules: dict[str, WorkerRule], first_id: int = 0) -> None:
        self.stages = stages
        self.rules = rules
        self.dispatch = Dispatch(stages, rules, first_id)
        self.workers = {name: ModelWorker(rule) for name, rule in rules.items()}
        self.frames: dict[FrameKey, ModelFrame] = {}
        self.last_id = first_id
        self.orders = 0
        self.old_ids: list[int] = [first_id]

    # ------------------------------------------------------------ moves

    def frame(self, key: FrameKey, tiles: dict[int, int]) -> None:
        known = key in self.frames
        before = pickle.dumps(self.dispatch)
        assert self.dispatch.frame(*key, tiles) is not known
        if known:
            assert pickle.dumps(self.dispatch) == before
            return
        self.frames[key] = ModelFrame(self.orders)
        self.orders += 1
        for stage, count in tiles.items():
            self._add(key, stage, count)

    def expand(self, key: FrameKey, stage: int, count: int) -> None:
        legal = key in self.frames and stage not in self.frames[key].stages
        if legal:
            self.dispatch.expand(*key, stage, count)
            self._add(key, stage, count)
        else:
            self.refused(lambda: self.dispatch.expand(*key, stage, count))

    def _add(self, key: FrameKey, stage: int, count: int) -> None:
        self.frames[key].stages.add(stage)
        for index in range(count):
            self.frames[key].jobs[stage, index] = ModelJob()

    def refused(self, move: Callable[[], object]) -> None:
        before = pickle.dumps(self.dispatch)
        with pytest.raises(DispatchError):
            move()
        assert pickle.dumps(self.dispatch) == before

    def worker_up(self, name: str) -> None:
        self.dispatch.worker_up(name)
        self._lose(name, "stopped", set())
        self.workers[name].up = True

    def worker_down(self, name: str, cause: str, suspects: set[int]) -> None:
        gone = self.dispatch.worker_down(name, cause, sorted(suspects))
        expected = self._lose(name, cause, suspects)
        assert {action.key for action in gone} == expected
        assert len(gone) == len(expected)
        assert all(action.reason == f"{name}: {cause}" for action in gone)

    def _lose(self, name: str, cause: str, suspects: set[int]) -> set[JobKey]:
        worker = self.workers[name]
        given_up = set()
        for id_, action in worker.given.items():
            self.old_ids.append(id_)
            if self._again(action, WEIGHTS[cause] if id_ in suspects else 0):
                given_up.add(action.key)
        for frame in self.frames.values():
            for job in frame.jobs.values():
                if job.state == DONE and job.answered_by == name:
                    job.state = PENDING
        self.workers[name] = ModelWorker(worker.rule)
        return given_up

    def finished(self, name: str, id_: int, error: str) -> None:
        worker = self.workers[name]
        if id_ not in worker.given:
            before = pickle.dumps(self.dispatch)
            assert self.dispatch.finished(name, id_, error) == (None, [])
            assert pickle.dumps(self.dispatch) == before
            return
        action = worker.given.pop(id_)
        self.old_ids.append(id_)
        if worker.alone == id_:
            worker.alone = 0
        given_up = []
        if error:
            if self._again(action, 0 if error == "torn" else 4):
                given_up = [GiveUp(action.key, f"{name}: {error}")]
        elif (job := self._current(action)) is not None:
            job.state = DONE
            job.suspicion = 0
            job.answered_by = name
        assert self.dispatch.finished(name, id_, error) == (action, given_up)

    def published(self, key: FrameKey) -> None:
        self.dispatch.published(*key)
        self.frames.pop(key, None)

    def renew(self) -> None:
        self.dispatch.renew()
        for frame in self.frames.values():
            for job in frame.jobs.values():
                job.state = PENDING

    def assign(self) -> list[Assign]:
        actions = self.dispatch.assign()
        for action in actions:
            self._check_given(action)
        self._check_nobody_idle()
        return actions

    # ------------------------------------------------------------ the rules

    def _current(self, action: Assign) -> ModelJob | None:
        """The job that an action stands for, unless it is out or has been given anew since."""
        frame = self.frames.get((action.key[0], action.key[1]))
        job = frame.jobs.get((action.key[2], action.key[3])) if frame else None
        return job if job is not None and job.state == action.id else None

    def _again(self, action: Assign, weight: int) -> bool:
        job = self._current(action)
        if job is None:
            return False
        job.suspicion += weight
        if weight:
            job.blamed = action.worker
        given_up = weight > 0 and job.suspicion >= 8
        job.state = GIVEN_UP if given_up else PENDING
        return given_up

    def pending(self, suspect: bool) -> list[tuple[int, int, int, FrameKey]]:
        return sorted(
            (frame.order, stage, index, key)
            for key, frame in self.frames.items()
            for (stage, index), job in frame.jobs.items()
            if job.state == PENDING and job.suspect == suspect
        )

    def _free(self, name: str) -> set[int]:
        worker = self.workers[name]
        taken = [action.slot for action in worker.given.values()]
        assert len(set(taken)) == len(taken), "a slot was given twice"
        assert set(taken) <= set(worker.rule.slots)
        return set(worker.rule.slots) - set(taken) if worker.up else set()

    def _check_given(self, action: Assign) -> None:
        """Whether this job may go to this worker now; then it has."""
        stream, seq, stage, index = action.key
        worker = self.workers[action.worker]
        frame = self.frames[stream, seq]
        job = frame.jobs[stage, index]
        assert worker.up
        assert stage in worker.rule.stages
        assert action.slot in self._free(action.worker)
        assert action.id > self.last_id
        assert job.state == PENDING
        assert not worker.alone, "a suspect runs alone"
        entry = (frame.order, stage, index, (stream, seq))
        if job.suspect:
            assert not worker.given, "a suspect runs alone"
            assert not any(other.alone for other in self.workers.values())
            assert entry == self.pending(suspect=True)[0]
            worker.alone = action.id
        else:
            runnable = [e for e in self.pending(suspect=False) if e[1] in worker.rule.stages]
            assert entry == runnable[0], "the oldest job that the worker can run goes first"
        job.state = action.id
        self.last_id = action.id
        worker.given[action.id] = action

    def _check_nobody_idle(self) -> None:
        """No slot is free while a job could use it, except on one worker, for a suspect's sake."""
        wanted = {stage for _, stage, _, _ in self.pending(suspect=False)}
        kept = [
            name
            for name, worker in self.workers.items()
            if self._free(name) and worker.rule.stages & wanted
        ]
        assert len(kept) <= 1
        suspects = self.pending(suspect=True)
        alone = [name for name, worker in self.workers.items() if worker.alone]
        assert not kept or alone == kept or (not alone and suspects)
        # The oldest suspect does not wait while a worker that can run it has nothing in hand.
        if suspects and not alone:
            _, stage, index, key = suspects[0]
            avoid = self.frames[key].jobs[stage, index].blamed
            able = {n for n, w in self.workers.items() if w.up and stage in w.rule.stages}
            assert all(self.workers[name].given for name in able - {avoid} or able)

    def check(self) -> None:
        """What must be true at any time."""
        dispatch = self.dispatch
        assert list(dispatch.frames()) == list(self.frames)
        for name, worker in self.workers.items():
            assert dispatch.held(name) == len(worker.given) <= len(worker.rule.slots)
            assert dispatch.jobs_of(name) == [action.key for action in worker.given.values()]
            assert worker.up or not worker.given
            self._free(name)
        waiting = 0
        for key, frame in self.frames.items():
            assert dispatch.knows(*key)
            for (stage, index), job in frame.jobs.items():
                waiting += job.state == PENDING
                assert dispatch.open((*key, stage, index)) == (job.state not in (DONE, GIVEN_UP))
                holders = [
                    name
                    for name, worker in self.workers.items()
                    if isinstance(job.state, int) and job.state in worker.given
                ]
                # No job is lost: it waits, is done, or one living worker has it.
                assert len(holders) == isinstance(job.state, int)
                if holders:
                    held = self.workers[holders[0]].given[int(job.state)]
                    assert held.key == (*key, stage, index)
            for stage in range(self.stages):
                done = stage in frame.stages and all(
                    job.state in (DONE, GIVEN_UP)
                    for (of, _), job in frame.jobs.items()
                    if of == stage
                )
                assert dispatch.stage_done(*key, stage) == done
        assert dispatch.waiting() == waiting

    def drain(self, deaths: int) -> None:
        """Everybody who is up answers everything: then all is done, in a bounded number of turns.

        The first `deaths` suspects that run take their worker with them once more; it comes back.
        """
        jobs = sum(len(frame.jobs) for frame in self.frames.values())
        for stage in range(self.stages):
            able = [n for n, w in self.workers.items() if stage in w.rule.stages]
            if not any(self.workers[name].up for name in able):
                self.worker_up(able[0])
        for _ in range(3 * jobs + 2 * deaths + 10):
            self.assign()
            for name, worker in self.workers.items():
                for id_ in list(worker.given):
                    if self.workers[name].alone == id_ and deaths:
                        deaths -= 1
                        self.worker_down(name, "crash", {id_})
                        self.worker_up(name)
                        break
                    self.finished(name, id_, "")
            if not self.dispatch.waiting() and not any(w.given for w in self.workers.values()):
                break
        self.check()
        for key, frame in self.frames.items():
            assert all(self.dispatch.stage_done(*key, stage) for stage in frame.stages)
        for name in self.workers:
            assert not self.workers[name].up or self._free(name) == set(self.rules[name].slots)
