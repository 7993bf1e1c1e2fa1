"""The job ledger: a readable example of each rule, and random histories against a model of it.

The model below is written from the rules in the ledger's docstring, with plain dicts and no heap.
After every step of a history it knows where each job must be.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest
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

from actors.ledger import Assign, FrameKey, GiveUp, JobKey, Ledger, LedgerError, WorkerRule

BIG, SMALL = 0, 1


def rule_of(stages: Iterable[int], *slots: int) -> WorkerRule:
    return WorkerRule(frozenset(stages), slots)


def ledger_with(**workers: WorkerRule) -> Ledger:
    """A ledger of two stages whose workers are all up."""
    ledger = Ledger(2, workers)
    for name in workers:
        ledger.worker_up(name)
    return ledger


def given(actions: Iterable[Assign]) -> list[tuple[JobKey, str, int]]:
    """What was given to whom in which slot."""
    return [(action.key, action.worker, action.slot) for action in actions]


def keys(actions: Iterable[Assign]) -> list[JobKey]:
    return [action.key for action in actions]


def answer_all(ledger: Ledger, actions: Iterable[Assign]) -> None:
    for action in actions:
        assert ledger.finished(action.worker, action.id, "") == (action, [])


# ---------------------------------------------------------------- examples


def test_jobs_go_out_oldest_first_as_far_as_slots_reach() -> None:
    ledger = ledger_with(npu0=rule_of([SMALL], 5, 6, 7))
    assert ledger.frame("cam", 0, {SMALL: 2})
    assert ledger.frame("cam", 1, {SMALL: 2})
    first = ledger.assign()
    assert keys(first) == [("cam", 0, SMALL, 0), ("cam", 0, SMALL, 1), ("cam", 1, SMALL, 0)]
    assert sorted(action.slot for action in first) == [5, 6, 7]
    assert len({action.id for action in first}) == 3
    assert (ledger.waiting(), ledger.held("npu0")) == (1, 3)
    assert ledger.assign() == []


def test_a_slot_comes_back_with_its_own_job_and_with_nothing_else() -> None:
    ledger = ledger_with(npu0=rule_of([SMALL], 0), npu1=rule_of([SMALL], 1))
    ledger.frame("cam", 0, {SMALL: 3})
    actions = ledger.assign()
    on0 = next(action for action in actions if action.worker == "npu0")
    assert ledger.finished("npu1", on0.id, "") == (None, [])  # another worker's id
    assert ledger.finished("npu0", 999, "") == (None, [])  # nobody's id
    assert ledger.assign() == []
    assert ledger.finished("npu0", on0.id, "") == (on0, [])
    assert ledger.finished("npu0", on0.id, "") == (None, [])  # twice
    assert given(ledger.assign()) == [(("cam", 0, SMALL, 2), "npu0", 0)]


def test_a_job_goes_only_to_a_worker_that_holds_its_model() -> None:
    ledger = ledger_with(npu0=rule_of([BIG], 0, 1), npu1=rule_of([SMALL], 2))
    ledger.frame("cam", 0, {SMALL: 2, BIG: 1})
    assert sorted(given(ledger.assign())) == [
        (("cam", 0, BIG, 0), "npu0", 1),
        (("cam", 0, SMALL, 0), "npu1", 2),
    ]
    assert ledger.waiting() == 1


def test_the_worker_with_the_least_to_do_is_first_and_of_two_the_less_able() -> None:
    ledger = ledger_with(npu0=rule_of([BIG, SMALL], 0, 1), npu1=rule_of([SMALL], 2, 3))
    ledger.frame("cam", 0, {SMALL: 4})
    assert [action.worker for action in ledger.assign()] == ["npu1", "npu0", "npu1", "npu0"]


def test_the_oldest_frame_is_first_whichever_stage_it_waits_for() -> None:
    ledger = ledger_with(npu0=rule_of([BIG, SMALL], 0))
    ledger.frame("cam", 0, {SMALL: 1})
    ledger.frame("cam", 1, {BIG: 1, SMALL: 1})
    ledger.frame("cam", 2, {BIG: 1})
    order = []
    while actions := ledger.assign():
        answer_all(ledger, actions)
        order += keys(actions)
    assert order == [
        ("cam", 0, SMALL, 0),
        ("cam", 1, BIG, 0),
        ("cam", 1, SMALL, 0),
        ("cam", 2, BIG, 0),
    ]


def test_a_dead_workers_jobs_go_to_another() -> None:
    ledger = ledger_with(npu0=rule_of([SMALL], 0, 1), npu1=rule_of([SMALL], 2, 3))
    ledger.frame("cam", 0, {SMALL: 2})
    before = ledger.assign()
    assert [action.worker for action in before] == ["npu0", "npu1"]
    assert ledger.worker_down("npu0", "killed", [before[0].id]) == []
    again = ledger.assign()
    assert given(again) == [(("cam", 0, SMALL, 0), "npu1", 2)]
    assert again[0].id not in {action.id for action in before}
    assert ledger.finished("npu0", before[0].id, "") == (None, [])  # it had sent that before
    assert not ledger.stage_done("cam", 0, SMALL)


def test_what_a_dead_worker_had_answered_runs_again_until_its_frame_is_out() -> None:
    """The answer may have died in its socket while `finished` got through: see the design."""
    ledger = ledger_with(npu0=rule_of([SMALL], 0), npu1=rule_of([SMALL], 1))
    ledger.frame("cam", 0, {SMALL: 2})
    answer_all(ledger, ledger.assign())
    assert ledger.stage_done("cam", 0, SMALL)
    assert ledger.worker_down("npu0", "killed", []) == []
    assert not ledger.stage_done("cam", 0, SMALL)
    again = ledger.assign()
    assert given(again) == [(("cam", 0, SMALL, 0), "npu1", 1)]
    answer_all(ledger, again)
    assert ledger.stage_done("cam", 0, SMALL)
    ledger.worker_down("npu0", "killed", [])  # what npu1 answered is npu1's
    assert ledger.stage_done("cam", 0, SMALL)


def test_a_worker_that_came_up_anew_has_all_slots_and_nothing_in_hand() -> None:
    ledger = ledger_with(npu0=rule_of([SMALL], 0, 1))
    ledger.frame("cam", 0, {SMALL: 2})
    before = ledger.assign()
    ledger.worker_up("npu0")
    assert (ledger.held("npu0"), ledger.waiting()) == (0, 2)
    after = ledger.assign()
    assert keys(after) == keys(before)
    assert not {action.id for action in after} & {action.id for action in before}


def test_a_torn_job_runs_again_and_is_not_suspected() -> None:
    ledger = ledger_with(npu0=rule_of([SMALL], 0, 1))
    ledger.frame("cam", 0, {SMALL: 2})
    for _ in range(20):
        actions = ledger.assign()
        assert len(actions) == 2  # not alone
        torn, other = actions
        assert ledger.finished("npu0", torn.id, "torn") == (torn, [])
        assert ledger.finished("npu0", other.id, "torn") == (other, [])


def test_a_known_frame_is_not_taken_twice() -> None:
    ledger = ledger_with(npu0=rule_of([SMALL], 0))
    assert ledger.frame("cam", 0, {SMALL: 1})
    assert not ledger.frame("cam", 0, {SMALL: 7, BIG: 1})
    assert ledger.waiting() == 1
    assert ledger.frame("other", 0, {SMALL: 1})
    assert ledger.frames() == [("cam", 0), ("other", 0)]


def test_a_published_frame_is_forgotten_but_its_slot_is_still_taken() -> None:
    ledger = ledger_with(npu0=rule_of([SMALL], 0))
    ledger.frame("cam", 0, {SMALL: 2})
    (running,) = ledger.assign()
    ledger.published("cam", 0)
    ledger.published("cam", 0)
    assert not ledger.knows("cam", 0)
    assert (ledger.frames(), ledger.waiting(), ledger.held("npu0")) == ([], 0, 1)
    ledger.frame("cam", 1, {SMALL: 1})
    assert ledger.assign() == []
    assert ledger.finished("npu0", running.id, "broken")[1] == []
    assert keys(ledger.assign()) == [("cam", 1, SMALL, 0)]


def test_a_frame_that_comes_again_after_it_was_forgotten_is_a_new_one() -> None:
    ledger = ledger_with(npu0=rule_of([SMALL], 0))
    ledger.frame("cam", 0, {SMALL: 1})
    (old,) = ledger.assign()
    ledger.published("cam", 0)
    assert ledger.frame("cam", 0, {SMALL: 1})
    ledger.finished("npu0", old.id, "")
    assert not ledger.stage_done("cam", 0, SMALL)
    answer_all(ledger, ledger.assign())
    assert ledger.stage_done("cam", 0, SMALL)


def test_dependent_stages_are_known_later() -> None:
    ledger = ledger_with(npu0=rule_of([BIG, SMALL], 0, 1))
    ledger.frame("cam", 0, {BIG: 1})
    answer_all(ledger, ledger.assign())
    assert ledger.stage_done("cam", 0, BIG)
    assert not ledger.stage_done("cam", 0, SMALL)  # unknown is not done
    ledger.expand("cam", 0, SMALL, 2)
    actions = ledger.assign()
    assert keys(actions) == [("cam", 0, SMALL, 0), ("cam", 0, SMALL, 1)]
    answer_all(ledger, actions)
    assert ledger.stage_done("cam", 0, SMALL)


def test_a_stage_without_a_tile_is_done_at_once() -> None:
    ledger = ledger_with(npu0=rule_of([BIG, SMALL], 0))
    ledger.frame("cam", 0, {BIG: 0})
    ledger.expand("cam", 0, SMALL, 0)
    assert ledger.stage_done("cam", 0, BIG) and ledger.stage_done("cam", 0, SMALL)


def test_renew_makes_every_job_of_an_unpublished_frame_pending() -> None:
    ledger = ledger_with(npu0=rule_of([SMALL], 0, 1))
    ledger.frame("out", 0, {SMALL: 1})
    ledger.frame("cam", 0, {SMALL: 3})
    answered, running = ledger.assign()
    ledger.finished("npu0", answered.id, "")
    ledger.published("out", 0)
    ledger.renew()
    ledger.renew()
    assert ledger.waiting() == 3
    # What runs was answered to the merger that is gone.
    ledger.finished("npu0", running.id, "")
    done = []
    while actions := ledger.assign():
        done += keys(actions)
        answer_all(ledger, actions)
    assert done == [("cam", 0, SMALL, 0), ("cam", 0, SMALL, 1), ("cam", 0, SMALL, 2)]
    assert ledger.stage_done("cam", 0, SMALL)


@pytest.mark.parametrize("cause", ["crash", "hang"])
def test_a_poison_job_is_given_up_after_two_crashes_the_second_one_alone(cause: str) -> None:
    ledger = ledger_with(npu0=rule_of([SMALL], 0, 1), npu1=rule_of([SMALL], 2, 3))
    ledger.frame("cam", 0, {SMALL: 6})
    first = ledger.assign()
    poison = next(action for action in first if action.worker == "npu0")
    assert ledger.worker_down("npu0", cause, [poison.id]) == []
    assert ledger.assign() == []  # npu1 is kept for the suspect and has two jobs left
    npu1 = [action for action in first if action.worker == "npu1"]
    ledger.finished("npu1", npu1[0].id, "")
    assert ledger.assign() == []
    ledger.finished("npu1", npu1[1].id, "")
    alone = ledger.assign()
    assert [(action.key, action.worker) for action in alone] == [(poison.key, "npu1")]
    assert ledger.worker_down("npu1", cause, [alone[0].id]) == [
        GiveUp(poison.key, f"npu1: {cause}")
    ]
    for name in ("npu0", "npu1"):
        ledger.worker_up(name)
    while actions := ledger.assign():
        assert poison.key not in keys(actions)
        answer_all(ledger, actions)
    assert ledger.stage_done("cam", 0, SMALL)


def test_an_error_counts_like_a_crash() -> None:
    ledger = ledger_with(npu0=rule_of([SMALL], 0, 1))
    ledger.frame("cam", 0, {SMALL: 1})
    (first,) = ledger.assign()
    assert ledger.finished("npu0", first.id, "input too large") == (first, [])
    (second,) = ledger.assign()
    assert ledger.finished("npu0", second.id, "input too large") == (
        second,
        [GiveUp(("cam", 0, SMALL, 0), "npu0: input too large")],
    )
    assert ledger.stage_done("cam", 0, SMALL)


def test_an_answer_clears_a_suspect() -> None:
    ledger = ledger_with(npu0=rule_of([SMALL], 0, 1))
    ledger.frame("cam", 0, {SMALL: 1})
    for _ in range(5):
        (job,) = ledger.assign()
        assert ledger.finished("npu0", job.id, "bad luck") == (job, [])
        answer_all(ledger, ledger.assign())
        ledger.renew()


def test_only_what_was_being_computed_is_suspected() -> None:
    ledger = ledger_with(npu0=rule_of([SMALL], 0, 1, 2))
    ledger.frame("cam", 0, {SMALL: 3})
    for _ in range(10):
        actions = ledger.assign()
        assert len(actions) == 3
        assert ledger.worker_down("npu0", "crash", [12345]) == []
        ledger.worker_up("npu0")


def test_a_worker_that_was_killed_from_outside_is_hardly_its_jobs_fault() -> None:
    ledger = ledger_with(npu0=rule_of([SMALL], 0))
    ledger.frame("cam", 0, {SMALL: 1})
    for _ in range(7):
        (job,) = ledger.assign()
        assert ledger.worker_down("npu0", "killed", [job.id]) == []
        ledger.worker_up("npu0")
    (job,) = ledger.assign()
    assert ledger.worker_down("npu0", "killed", [job.id]) == [GiveUp(job.key, "npu0: killed")]


def test_a_stopped_worker_is_nobodys_fault() -> None:
    ledger = ledger_with(npu0=rule_of([SMALL], 0, 1))
    ledger.frame("cam", 0, {SMALL: 2})
    for _ in range(20):
        actions = ledger.assign()
        assert len(actions) == 2
        ids = [action.id for action in actions]
        assert ledger.worker_down("npu0", "stopped", ids) == []
        ledger.worker_up("npu0")


def test_a_suspect_meets_another_worker_if_there_is_one() -> None:
    workers = {name: rule_of([SMALL], slot) for slot, name in enumerate(["npu0", "npu1", "npu2"])}
    ledger = ledger_with(**workers)
    ledger.frame("cam", 0, {SMALL: 1})
    (job,) = ledger.assign()
    assert job.worker == "npu0"
    ledger.finished("npu0", job.id, "odd")
    (again,) = ledger.assign()
    assert again.worker == "npu1"
    only = ledger_with(npu0=rule_of([SMALL], 0))
    only.frame("cam", 0, {SMALL: 1})
    (job,) = only.assign()
    only.finished("npu0", job.id, "odd")
    assert [action.worker for action in only.assign()] == ["npu0"]


def test_the_others_work_on_beside_a_suspect() -> None:
    ledger = ledger_with(npu0=rule_of([SMALL], 0, 1), npu1=rule_of([SMALL], 2, 3))
    ledger.frame("cam", 0, {SMALL: 6})
    first = ledger.assign()
    for action in first:
        error = "odd" if action.key == ("cam", 0, SMALL, 0) else ""
        ledger.finished(action.worker, action.id, error)
    second = ledger.assign()
    assert [(action.key[3], action.worker) for action in second] == [
        (0, "npu1"),
        (4, "npu0"),
        (5, "npu0"),
    ]


def test_a_worker_kept_for_a_suspect_is_let_go_when_its_frame_is_out() -> None:
    ledger = ledger_with(npu0=rule_of([SMALL], 0, 1))
    ledger.frame("bad", 0, {SMALL: 1})
    (job,) = ledger.assign()
    ledger.frame("cam", 0, {SMALL: 3})
    running = ledger.assign()
    assert len(running) == 1
    ledger.finished("npu0", job.id, "odd")
    assert ledger.assign() == []  # kept free for the suspect, still one job to end
    ledger.published("bad", 0)
    assert keys(ledger.assign()) == [("cam", 0, SMALL, 1)]


def test_a_worker_kept_for_one_suspect_does_not_hold_up_another_that_it_cannot_run() -> None:
    ledger = ledger_with(npu0=rule_of([BIG], 0, 1), npu1=rule_of([SMALL], 2))
    ledger.frame("bad", 0, {BIG: 1})
    ledger.frame("cam", 0, {BIG: 1, SMALL: 1})
    jobs = {action.key: action for action in ledger.assign()}
    ledger.finished("npu0", jobs["bad", 0, BIG, 0].id, "odd")
    assert ledger.assign() == []  # npu0 is kept, and busy with the other frame's tile
    ledger.finished("npu1", jobs["cam", 0, SMALL, 0].id, "odd")
    ledger.published("bad", 0)
    assert given(ledger.assign()) == [(("cam", 0, SMALL, 0), "npu1", 2)]


def test_ids_start_after_the_first_and_never_repeat() -> None:
    ledger = Ledger(1, {"npu0": rule_of([0], 0)}, first_id=7 << 32)
    ledger.worker_up("npu0")
    seen = []
    for seq in range(5):
        ledger.frame("cam", seq, {0: 1})
        (job,) = ledger.assign()
        seen.append(job.id)
        ledger.finished("npu0", job.id, "")
    assert min(seen) > 7 << 32
    assert len(set(seen)) == 5


ILLEGAL: dict[str, Callable[[Ledger], object]] = {
    "a stage twice": lambda ledger: ledger.expand("cam", 0, SMALL, 2),
    "a stage twice, without a tile": lambda ledger: ledger.expand("cam", 0, SMALL, 0),
    "a stage of a frame that is not known": lambda ledger: ledger.expand("cam", 9, BIG, 1),
    "a stage that there is not": lambda ledger: ledger.expand("cam", 0, 2, 1),
    "a stage before the first": lambda ledger: ledger.expand("cam", 0, -1, 1),
    "fewer tiles than none": lambda ledger: ledger.expand("cam", 0, BIG, -1),
    "a frame with a stage that there is not": lambda ledger: ledger.frame("cam", 1, {0: 1, 2: 1}),
    "a frame with fewer tiles than none": lambda ledger: ledger.frame("cam", 1, {0: 1, 1: -1}),
    "an unknown worker up": lambda ledger: ledger.worker_up("npu9"),
    "an unknown worker down": lambda ledger: ledger.worker_down("npu9", "crash", [1]),
    "an unknown worker's job": lambda ledger: ledger.finished("npu9", 1, ""),
}


@pytest.mark.parametrize("move", ILLEGAL.values(), ids=ILLEGAL.keys())
def test_what_cannot_be_is_refused_and_changes_nothing(move: Callable[[Ledger], object]) -> None:
    ledger = ledger_with(npu0=rule_of([BIG, SMALL], 0))
    ledger.frame("cam", 0, {SMALL: 2})
    ledger.assign()
    before = pickle.dumps(ledger)
    with pytest.raises(LedgerError):
        move(ledger)
    assert pickle.dumps(ledger) == before


# ---------------------------------------------------------------- the model

WEIGHTS = {"crash": 4, "hang": 4, "killed": 1, "stopped": 0}
PENDING, DONE, GIVEN_UP = "pending", "done", "given up"


@dataclass
class ModelJob:
    """One tile. `state` is PENDING, DONE, GIVEN_UP or the id under which it is given."""

    state: str | int = PENDING
    suspicion: int = 0
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
        self.ledger = Ledger(stages, rules, first_id)
        self.workers = {name: ModelWorker(rule) for name, rule in rules.items()}
        self.frames: dict[FrameKey, ModelFrame] = {}
        self.last_id = first_id
        self.orders = 0
        self.old_ids: list[int] = [first_id]

    # ------------------------------------------------------------ moves

    def frame(self, key: FrameKey, tiles: dict[int, int]) -> None:
        known = key in self.frames
        before = pickle.dumps(self.ledger)
        assert self.ledger.frame(*key, tiles) is not known
        if known:
            assert pickle.dumps(self.ledger) == before
            return
        self.frames[key] = ModelFrame(self.orders)
        self.orders += 1
        for stage, count in tiles.items():
            self._add(key, stage, count)

    def expand(self, key: FrameKey, stage: int, count: int) -> None:
        legal = key in self.frames and stage not in self.frames[key].stages
        if legal:
            self.ledger.expand(*key, stage, count)
            self._add(key, stage, count)
        else:
            self.refused(lambda: self.ledger.expand(*key, stage, count))

    def _add(self, key: FrameKey, stage: int, count: int) -> None:
        self.frames[key].stages.add(stage)
        for index in range(count):
            self.frames[key].jobs[stage, index] = ModelJob()

    def refused(self, move: Callable[[], object]) -> None:
        before = pickle.dumps(self.ledger)
        with pytest.raises(LedgerError):
            move()
        assert pickle.dumps(self.ledger) == before

    def worker_up(self, name: str) -> None:
        self.ledger.worker_up(name)
        self._lose(name, "stopped", set())
        self.workers[name].up = True

    def worker_down(self, name: str, cause: str, suspects: set[int]) -> None:
        gone = self.ledger.worker_down(name, cause, sorted(suspects))
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
            before = pickle.dumps(self.ledger)
            assert self.ledger.finished(name, id_, error) == (None, [])
            assert pickle.dumps(self.ledger) == before
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
        assert self.ledger.finished(name, id_, error) == (action, given_up)

    def published(self, key: FrameKey) -> None:
        self.ledger.published(*key)
        self.frames.pop(key, None)

    def renew(self) -> None:
        self.ledger.renew()
        for frame in self.frames.values():
            for job in frame.jobs.values():
                job.state = PENDING

    def assign(self) -> list[Assign]:
        actions = self.ledger.assign()
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
        given_up = weight > 0 and job.suspicion >= 8
        job.state = GIVEN_UP if given_up else PENDING
        return given_up

    def _pending(self, suspect: bool) -> list[tuple[int, int, int, FrameKey]]:
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
            assert entry == self._pending(suspect=True)[0]
            worker.alone = action.id
        else:
            runnable = [e for e in self._pending(suspect=False) if e[1] in worker.rule.stages]
            assert entry == runnable[0], "the oldest job that the worker can run goes first"
        job.state = action.id
        self.last_id = action.id
        worker.given[action.id] = action

    def _check_nobody_idle(self) -> None:
        """No slot is free while a job could use it, except on one worker, for a suspect's sake."""
        wanted = {stage for _, stage, _, _ in self._pending(suspect=False)}
        kept = [
            name
            for name, worker in self.workers.items()
            if self._free(name) and worker.rule.stages & wanted
        ]
        assert len(kept) <= 1
        suspects = self._pending(suspect=True)
        alone = [name for name, worker in self.workers.items() if worker.alone]
        assert not kept or alone == kept or (not alone and suspects)
        # The oldest suspect does not wait while a worker that can run it has nothing in hand.
        if suspects and not alone:
            able = [n for n, w in self.workers.items() if w.up and suspects[0][1] in w.rule.stages]
            assert all(self.workers[name].given for name in able)

    def check(self) -> None:
        """What must be true at any time."""
        ledger = self.ledger
        assert list(ledger.frames()) == list(self.frames)
        for name, worker in self.workers.items():
            assert ledger.held(name) == len(worker.given) <= len(worker.rule.slots)
            assert worker.up or not worker.given
            self._free(name)
        waiting = 0
        for key, frame in self.frames.items():
            assert ledger.knows(*key)
            for (stage, index), job in frame.jobs.items():
                waiting += job.state == PENDING
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
                assert ledger.stage_done(*key, stage) == done
        assert ledger.waiting() == waiting

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
            if not self.ledger.waiting() and not any(w.given for w in self.workers.values()):
                break
        self.check()
        for key, frame in self.frames.items():
            assert all(self.ledger.stage_done(*key, stage) for stage in frame.stages)
        for name in self.workers:
            assert not self.workers[name].up or self._free(name) == set(self.rules[name].slots)


# ---------------------------------------------------------------- random histories

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
        world.refused(lambda: world.ledger.worker_up(name))
        world.refused(lambda: world.ledger.worker_down(name, "crash", []))
        world.refused(lambda: world.ledger.finished(name, 1, ""))
        world.refused(lambda: world.ledger.frame("c", 0, {0: 1, stage: 1}))
        for key in world.frames:
            world.refused(lambda key=key: world.ledger.expand(*key, stage, 1))

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
            event(f"a suspect: {bool(self.world._pending(suspect=True))}")
            self.world.drain(1)


def test_random_histories() -> None:
    run_state_machine_as_test(
        LedgerHistories,
        settings=settings(
            max_examples=120,
            stateful_step_count=60,
            deadline=None,
            phases=[__import__("hypothesis").Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
