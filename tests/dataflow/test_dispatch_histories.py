"""The job ledger in random histories: events in any order, each answer checked by a model."""

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

from actors.dataflow.dispatch import FrameKey, WorkerRule
from tests.support.dispatch_world import GIVEN_UP, WEIGHTS, World

STREAMS = st.sampled_from(["a", "b"])
SEQS = st.integers(0, 3)
STAGES = 3


@st.composite
def worker_rules(draw: st.DrawFn) -> dict[str, WorkerRule]:
    """One to four workers; each stage has at least one that can run it."""
    count = draw(st.integers(1, 4))
    held = [draw(st.sets(st.integers(0, STAGES - 1), min_size=1)) for _ in range(count)]
    for stage in set(range(STAGES)).difference(*held):
        held[draw(st.integers(0, count - 1))].add(stage)
    rules = {}
    first = 0
    for number, stages in enumerate(held):
        slots = draw(st.integers(1, 4))
        rules[f"npu{number}"] = WorkerRule(frozenset(stages), tuple(range(first, first + slots)))
        first += slots
    return rules


class LedgerHistories(RuleBasedStateMachine):
    """Events in any order; the World checks each answer, and the whole after each step."""

    @initialize(rules=worker_rules())
    def begin(self, rules: dict[str, WorkerRule]) -> None:
        self.world = World(STAGES, rules)
        for name in rules:
            self.world.worker_up(name)

    def _worker(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.world.workers)), "worker")

    def _frame(self, data: st.DataObject) -> FrameKey:
        """A frame, more likely one that there is than one that there is not."""
        return data.draw(st.sampled_from([*self.world.frames, ("a", 0), ("b", 9)]), "frame")

    def _busy(self) -> list[str]:
        return [name for name, worker in self.world.workers.items() if worker.given]

    def _with_suspect(self) -> list[str]:
        """The worker that runs a suspect, if there is one: the rules about it are the hardest."""
        return [name for name, worker in self.world.workers.items() if worker.alone]

    @rule(
        stream=STREAMS,
        seq=SEQS,
        tiles=st.dictionaries(st.integers(0, STAGES - 1), st.integers(0, 4)),
    )
    def frame(self, stream: str, seq: int, tiles: dict[int, int]) -> None:
        self.world.frame((stream, seq), tiles)

    @rule(data=st.data(), stage=st.integers(0, STAGES - 1), count=st.integers(0, 3))
    def expand(self, data: st.DataObject, stage: int, count: int) -> None:
        self.world.expand(self._frame(data), stage, count)

    @rule(data=st.data())
    def up(self, data: st.DataObject) -> None:
        self.world.worker_up(self._worker(data))

    @rule(data=st.data(), cause=st.sampled_from(sorted(WEIGHTS)), strange=st.integers(0, 99))
    def down(self, data: st.DataObject, cause: str, strange: int) -> None:
        name = self._worker(data)
        held = sorted(self.world.workers[name].given)
        suspects = data.draw(st.sets(st.sampled_from(held)), "suspects") if held else set()
        self.world.worker_down(name, cause, suspects | {strange << 40})

    @precondition(lambda self: self._busy())
    @rule(data=st.data(), again=st.booleans(), cause=st.sampled_from(["crash", "hang", "killed"]))
    def die_of_a_job(self, data: st.DataObject, again: bool, cause: str) -> None:
        """A worker dies of what it computes, a suspect that runs alone if there is one."""
        busy = self._busy()
        name = data.draw(st.sampled_from(self._with_suspect() or busy), "worker")
        job = data.draw(st.sampled_from(sorted(self.world.workers[name].given)), "job")
        self.world.worker_down(name, cause, {job})
        if again:
            self.world.worker_up(name)
        self.world.assign()

    @rule()
    def assign(self) -> None:
        self.world.assign()

    @precondition(lambda self: self._busy())
    @rule(data=st.data(), error=st.sampled_from(["", "torn", "failed", "failed"]))
    def finish(self, data: st.DataObject, error: str) -> None:
        name = data.draw(st.sampled_from(self._with_suspect() or self._busy()), "worker")
        job = data.draw(st.sampled_from(sorted(self.world.workers[name].given)), "job")
        self.world.finished(name, job, error)
        if error:
            self.world.assign()

    @precondition(lambda self: self._busy())
    @rule()
    def answer_everything(self) -> None:
        for name in self._busy():
            for job in list(self.world.workers[name].given):
                self.world.finished(name, job, "")

    @rule(data=st.data(), error=st.sampled_from(["", "torn", "failed"]))
    def finish_late(self, data: st.DataObject, error: str) -> None:
        """An echo of an id that is over, or that another worker has."""
        ids = self.world.old_ids[-10:]
        ids += [id_ for worker in self.world.workers.values() for id_ in worker.given]
        self.world.finished(self._worker(data), data.draw(st.sampled_from(ids), "id"), error)

    @rule(data=st.data())
    def published(self, data: st.DataObject) -> None:
        self.world.published(self._frame(data))

    @rule(data=st.data(), tiles=st.integers(1, 4))
    def forgotten_and_sent_again(self, data: st.DataObject, tiles: int) -> None:
        key = self._frame(data)
        self.world.published(key)
        self.world.frame(key, {0: tiles, 1: 1})

    @rule(at_once=st.booleans())
    def renew(self, at_once: bool) -> None:
        """The merger came back, with jobs in the workers' hands that are given a second time."""
        self.world.renew()
        if at_once:
            self.world.assign()

    @rule(name=st.sampled_from(["x", "", "npu9"]), stage=st.sampled_from([-1, STAGES, 99]))
    def illegal(self, name: str, stage: int) -> None:
        world = self.world
        world.refused(lambda: world.dispatch.worker_up(name))
        world.refused(lambda: world.dispatch.worker_down(name, "crash", []))
        world.refused(lambda: world.dispatch.finished(name, 1, ""))
        world.refused(lambda: world.dispatch.frame("c", 0, {0: 1, stage: 1}))
        for key in world.frames:
            world.refused(lambda key=key: world.dispatch.expand(*key, stage, 1))

    @rule()
    def tiler_starts_anew(self) -> None:
        """Its ledger is a new one with later ids; the frames come again, and late echoes too."""
        old = self.world
        self.world = World(STAGES, old.rules, (old.last_id >> 32 << 32) + (1 << 32))
        self.world.old_ids = old.old_ids + [i for w in old.workers.values() for i in w.given]
        for name, worker in old.workers.items():
            if worker.up:
                self.world.worker_up(name)
        for key, frame in old.frames.items():
            counts = {s: sum(of == s for of, _ in frame.jobs) for s in frame.stages}
            self.world.frame(key, counts)

    @rule(deaths=st.integers(0, 3))
    def would_come_to_an_end(self, deaths: int) -> None:
        copy.deepcopy(self.world).drain(deaths)

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            states = [j.state for f in self.world.frames.values() for j in f.jobs.values()]
            event(f"a job given up: {GIVEN_UP in states}")
            event(f"a suspect: {bool(self.world.pending(suspect=True))}")
            self.world.drain(1)


def test_random_histories() -> None:
    run_state_machine_as_test(
        LedgerHistories,
        settings=settings(
            max_examples=120,
            stateful_step_count=60,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
