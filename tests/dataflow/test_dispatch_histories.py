"""Dispatch in random histories: events in any order, all actions checked by a model."""

from __future__ import annotations

import copy

from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from actors.dataflow.job_queue import WorkerRule
from actors.dataflow.settings import StageSettings
from tests.support.dispatch_world import (
    GIVEN_UP,
    STREAMS,
    WEIGHTS,
    FrameKey,
    World,
    frame_message,
    stage,
)

SEQS = st.integers(0, 3)
TILES = st.integers(1, 4)
ERRORS = ["", "stale", "failed", "failed"]


@st.composite
def topologies(draw: st.DrawFn) -> list[StageSettings]:
    """One to four stages in any order; each but the first of that order may need others."""
    count = draw(st.integers(1, 4))
    order = draw(st.permutations(range(count)))
    stages: dict[int, StageSettings] = {}
    for place, number in enumerate(order):
        earlier = st.sampled_from(order[:place]) if place else st.none()
        source = draw(st.none() | earlier)
        condition = draw(st.none() | st.none() | earlier)
        views = ["tiles", "frame", "halves"]
        view = "crops" if source is not None else draw(st.sampled_from(views))
        stages[number] = stage(
            f"s{number}",
            view,
            source=source,
            condition=condition,
            max_crops=draw(st.integers(1, 5)),
        )
    return [stages[number] for number in range(count)]


@st.composite
def worker_rules(draw: st.DrawFn, stages: int) -> dict[str, WorkerRule]:
    """One to four workers; each stage has at least one that can run it."""
    count = draw(st.integers(1, 4))
    held = [draw(st.sets(st.integers(0, stages - 1), min_size=1)) for _ in range(count)]
    for number in set(range(stages)).difference(*held):
        held[draw(st.integers(0, count - 1))].add(number)
    rules = {}
    first = 0
    for number, able in enumerate(held):
        slots = draw(st.integers(1, 4))
        rules[f"npu{number}"] = WorkerRule(frozenset(able), tuple(range(first, first + slots)))
        first += slots
    return rules


class Histories(RuleBasedStateMachine):
    """Events in any order; the World checks the actions, and the whole after each step."""

    @initialize(data=st.data(), stages=topologies())
    def begin(self, data: st.DataObject, stages: list[StageSettings]) -> None:
        self.world = World(stages, data.draw(worker_rules(len(stages)), "workers"))
        for name in self.world.workers:
            self.world.worker_up(name)
        self.world.merger_up()

    def _worker(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.world.workers)), "worker")

    def _frame(self, data: st.DataObject) -> FrameKey:
        """A frame, more likely one that there is than one that there is not."""
        return data.draw(st.sampled_from([*self.world.frames, ("a", 0), ("b", 9)]), "frame")

    def _busy(self) -> list[str]:
        return [name for name, worker in self.world.workers.items() if worker.held]

    def _with_suspect(self) -> list[str]:
        """The worker that runs a suspect, if there is one: the rules about it are the hardest."""
        return [name for name, worker in self.world.workers.items() if worker.alone]

    @rule(stream=st.sampled_from(sorted(STREAMS)), seq=SEQS, tiles=TILES)
    def frame(self, stream: str, seq: int, tiles: int) -> None:
        self.world.frame(frame_message(stream, seq, tiles))

    @rule(data=st.data())
    def up(self, data: st.DataObject) -> None:
        self.world.worker_up(self._worker(data))

    @rule(data=st.data(), cause=st.sampled_from(sorted(WEIGHTS)), unknown=st.integers(0, 99))
    def down(self, data: st.DataObject, cause: str, unknown: int) -> None:
        name = self._worker(data)
        held = sorted(self.world.workers[name].held)
        suspects = data.draw(st.sets(st.sampled_from(held)), "suspects") if held else set()
        self.world.worker_down(name, cause, suspects | {unknown << 40})

    @precondition(lambda self: self._busy())
    @rule(data=st.data(), again=st.booleans(), cause=st.sampled_from(["crash", "hang", "killed"]))
    def die_of_a_job(self, data: st.DataObject, again: bool, cause: str) -> None:
        """A worker dies of what it computes, a suspect that runs alone if there is one."""
        busy = self._busy()
        name = data.draw(st.sampled_from(self._with_suspect() or busy), "worker")
        job = data.draw(st.sampled_from(sorted(self.world.workers[name].held)), "job")
        self.world.worker_down(name, cause, {job})
        if again:
            self.world.worker_up(name)
        self.world.turn()

    @rule()
    def turn(self) -> None:
        self.world.turn()

    @precondition(lambda self: self._busy())
    @rule(data=st.data(), error=st.sampled_from(ERRORS), cut=st.booleans())
    def finish(self, data: st.DataObject, error: str, cut: bool) -> None:
        name = data.draw(st.sampled_from(self._with_suspect() or self._busy()), "worker")
        job = data.draw(st.sampled_from(sorted(self.world.workers[name].held)), "job")
        self.world.finished(name, job, error, b"half" if cut and not error else None)
        if error:
            self.world.turn()

    @precondition(lambda self: self._busy())
    @rule()
    def answer_everything(self) -> None:
        for name in self._busy():
            for job in list(self.world.workers[name].held):
                self.world.finished(name, job, "")

    @rule(data=st.data(), error=st.sampled_from(ERRORS))
    def finish_late(self, data: st.DataObject, error: str) -> None:
        """An id that is over, or that another worker has."""
        ids = self.world.old_ids[-10:]
        ids += [id_ for worker in self.world.workers.values() for id_ in worker.held]
        self.world.finished(self._worker(data), data.draw(st.sampled_from(ids), "id"), error)

    @rule(data=st.data())
    def published(self, data: st.DataObject) -> None:
        self.world.published(self._frame(data))

    @rule(stream=st.sampled_from(sorted(STREAMS)), seq=st.integers(-1, 1))
    def finished_up_to(self, stream: str, seq: int) -> None:
        self.world.finished_up_to(stream, seq)

    @rule(data=st.data(), tiles=TILES)
    def forgotten_and_sent_again(self, data: st.DataObject, tiles: int) -> None:
        key = self._frame(data)
        self.world.published(key)
        self.world.frame(frame_message(*key, tiles))

    @rule(down=st.booleans(), at_once=st.booleans())
    def merger_comes_back(self, down: bool, at_once: bool) -> None:
        """With jobs in the workers' hands that are given a second time."""
        if down:
            self.world.merger_down()
            self.world.turn()
        self.world.merger_up()
        if at_once:
            self.world.turn()

    @rule()
    def merger_dies(self) -> None:
        self.world.merger_down()

    @rule(name=st.sampled_from(["x", "", "npu9"]), slot=st.sampled_from([-1, 4, 99]))
    def illegal(self, name: str, slot: int) -> None:
        world, dispatch = self.world, self.world.dispatch
        world.refused(lambda: dispatch.worker_up(name))
        world.refused(lambda: dispatch.worker_down(name, "crash", [], 0))
        world.refused(lambda: dispatch.finished(name, 1, ""))
        world.refused(lambda: dispatch.finished_up_to(name, 1))
        world.refused(lambda: dispatch.frame_arrived(frame_message(name, 7)))
        world.refused(lambda: dispatch.frame_arrived(frame_message("a", 7, slot=slot)))

    @rule()
    def tiler_starts_anew(self) -> None:
        """A new Dispatch with later ids; the frames come again, and late answers too."""
        old = self.world
        self.world = World(old.stages, old.rules, (old.last_id >> 32 << 32) + (1 << 32))
        self.world.old_ids = old.old_ids + [i for w in old.workers.values() for i in w.held]
        for name, worker in old.workers.items():
            if worker.up:
                self.world.worker_up(name)
        if old.merger:
            self.world.merger_up()
        for frame in old.frames.values():
            self.world.frame(frame.message)

    @rule(deaths=st.integers(0, 3))
    def would_come_to_an_end(self, deaths: int) -> None:
        copy.deepcopy(self.world).drain(deaths)

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            event(f"a job given up: {any(j.state == GIVEN_UP for _, j in self.world.jobs())}")
            event(f"a suspect: {bool(self.world.pending(suspect=True))}")
            self.world.drain(1)


def test_random_histories() -> None:
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=150,
            stateful_step_count=60,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
