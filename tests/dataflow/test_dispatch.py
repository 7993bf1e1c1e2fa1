"""The job ledger, rule by rule. Random histories against a model are in test_ledger_histories."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable

import pytest

from actors.dataflow.dispatch import Assign, Dispatch, DispatchError, GiveUp, JobKey, WorkerRule

BIG, SMALL = 0, 1


def rule_of(stages: Iterable[int], *slots: int) -> WorkerRule:
    return WorkerRule(frozenset(stages), slots)


def ledger_with(**workers: WorkerRule) -> Dispatch:
    """A ledger of two stages whose workers are all up."""
    dispatch = Dispatch(2, workers)
    for name in workers:
        dispatch.worker_up(name)
    return dispatch


def given(actions: Iterable[Assign]) -> list[tuple[JobKey, str, int]]:
    """What was given to whom in which slot."""
    return [(action.key, action.worker, action.slot) for action in actions]


def keys(actions: Iterable[Assign]) -> list[JobKey]:
    return [action.key for action in actions]


def answer_all(dispatch: Dispatch, actions: Iterable[Assign]) -> None:
    for action in actions:
        assert dispatch.finished(action.worker, action.id, "") == (action, [])


def test_jobs_go_out_oldest_first_as_far_as_slots_reach() -> None:
    dispatch = ledger_with(npu0=rule_of([SMALL], 5, 6, 7))
    assert dispatch.frame("cam", 0, {SMALL: 2})
    assert dispatch.frame("cam", 1, {SMALL: 2})
    first = dispatch.assign()
    assert keys(first) == [("cam", 0, SMALL, 0), ("cam", 0, SMALL, 1), ("cam", 1, SMALL, 0)]
    assert sorted(action.slot for action in first) == [5, 6, 7]
    assert len({action.id for action in first}) == 3
    assert (dispatch.waiting(), dispatch.held("npu0")) == (1, 3)
    assert dispatch.jobs_of("npu0") == keys(first)
    assert dispatch.assign() == []


def test_a_slot_comes_back_with_its_own_job_and_with_nothing_else() -> None:
    dispatch = ledger_with(npu0=rule_of([SMALL], 0), npu1=rule_of([SMALL], 1))
    dispatch.frame("cam", 0, {SMALL: 3})
    actions = dispatch.assign()
    on0 = next(action for action in actions if action.worker == "npu0")
    assert dispatch.finished("npu1", on0.id, "") == (None, [])  # another worker's id
    assert dispatch.finished("npu0", 999, "") == (None, [])  # nobody's id
    assert dispatch.assign() == []
    assert dispatch.finished("npu0", on0.id, "") == (on0, [])
    assert dispatch.finished("npu0", on0.id, "") == (None, [])  # twice
    assert given(dispatch.assign()) == [(("cam", 0, SMALL, 2), "npu0", 0)]


def test_a_job_goes_only_to_a_worker_that_holds_its_model() -> None:
    dispatch = ledger_with(npu0=rule_of([BIG], 0, 1), npu1=rule_of([SMALL], 2))
    dispatch.frame("cam", 0, {SMALL: 2, BIG: 1})
    assert sorted(given(dispatch.assign())) == [
        (("cam", 0, BIG, 0), "npu0", 1),
        (("cam", 0, SMALL, 0), "npu1", 2),
    ]
    assert dispatch.waiting() == 1


def test_the_worker_with_the_least_to_do_is_first_and_of_two_the_less_able() -> None:
    dispatch = ledger_with(npu0=rule_of([BIG, SMALL], 0, 1), npu1=rule_of([SMALL], 2, 3))
    dispatch.frame("cam", 0, {SMALL: 4})
    assert [action.worker for action in dispatch.assign()] == ["npu1", "npu0", "npu1", "npu0"]


def test_the_oldest_frame_is_first_whichever_stage_it_waits_for() -> None:
    dispatch = ledger_with(npu0=rule_of([BIG, SMALL], 0))
    dispatch.frame("cam", 0, {SMALL: 1})
    dispatch.frame("cam", 1, {BIG: 1, SMALL: 1})
    dispatch.frame("cam", 2, {BIG: 1})
    order = []
    while actions := dispatch.assign():
        answer_all(dispatch, actions)
        order += keys(actions)
    assert order == [
        ("cam", 0, SMALL, 0),
        ("cam", 1, BIG, 0),
        ("cam", 1, SMALL, 0),
        ("cam", 2, BIG, 0),
    ]


def test_a_dead_workers_jobs_go_to_another() -> None:
    dispatch = ledger_with(npu0=rule_of([SMALL], 0, 1), npu1=rule_of([SMALL], 2, 3))
    dispatch.frame("cam", 0, {SMALL: 2})
    before = dispatch.assign()
    assert [action.worker for action in before] == ["npu0", "npu1"]
    assert dispatch.worker_down("npu0", "killed", [before[0].id]) == []
    again = dispatch.assign()
    assert given(again) == [(("cam", 0, SMALL, 0), "npu1", 2)]
    assert again[0].id not in {action.id for action in before}
    assert dispatch.finished("npu0", before[0].id, "") == (None, [])  # it had sent that before
    assert not dispatch.stage_done("cam", 0, SMALL)


def test_what_a_dead_worker_had_answered_runs_again_until_its_frame_is_out() -> None:
    """The answer may have died in its socket while `finished` got through: see the design."""
    dispatch = ledger_with(npu0=rule_of([SMALL], 0), npu1=rule_of([SMALL], 1))
    dispatch.frame("cam", 0, {SMALL: 2})
    answer_all(dispatch, dispatch.assign())
    assert dispatch.stage_done("cam", 0, SMALL)
    assert dispatch.worker_down("npu0", "killed", []) == []
    assert not dispatch.stage_done("cam", 0, SMALL)
    again = dispatch.assign()
    assert given(again) == [(("cam", 0, SMALL, 0), "npu1", 1)]
    answer_all(dispatch, again)
    assert dispatch.stage_done("cam", 0, SMALL)
    dispatch.worker_down("npu0", "killed", [])  # what npu1 answered is npu1's
    assert dispatch.stage_done("cam", 0, SMALL)


def test_a_worker_that_came_up_anew_has_all_slots_and_nothing_in_hand() -> None:
    dispatch = ledger_with(npu0=rule_of([SMALL], 0, 1))
    dispatch.frame("cam", 0, {SMALL: 2})
    before = dispatch.assign()
    dispatch.worker_up("npu0")
    assert (dispatch.held("npu0"), dispatch.waiting()) == (0, 2)
    after = dispatch.assign()
    assert keys(after) == keys(before)
    assert not {action.id for action in after} & {action.id for action in before}


def test_a_torn_job_runs_again_and_is_not_suspected() -> None:
    dispatch = ledger_with(npu0=rule_of([SMALL], 0, 1))
    dispatch.frame("cam", 0, {SMALL: 2})
    for _ in range(20):
        actions = dispatch.assign()
        assert len(actions) == 2  # not alone
        torn, other = actions
        assert dispatch.finished("npu0", torn.id, "torn") == (torn, [])
        assert dispatch.finished("npu0", other.id, "torn") == (other, [])


def test_a_known_frame_is_not_taken_twice() -> None:
    dispatch = ledger_with(npu0=rule_of([SMALL], 0))
    assert dispatch.frame("cam", 0, {SMALL: 1})
    assert not dispatch.frame("cam", 0, {SMALL: 7, BIG: 1})
    assert dispatch.waiting() == 1
    assert dispatch.frame("other", 0, {SMALL: 1})
    assert dispatch.frames() == [("cam", 0), ("other", 0)]


def test_a_published_frame_is_forgotten_but_its_slot_is_still_taken() -> None:
    dispatch = ledger_with(npu0=rule_of([SMALL], 0))
    dispatch.frame("cam", 0, {SMALL: 2})
    (running,) = dispatch.assign()
    dispatch.published("cam", 0)
    dispatch.published("cam", 0)
    assert not dispatch.knows("cam", 0)
    assert not dispatch.open(running.key)
    assert (dispatch.frames(), dispatch.waiting(), dispatch.held("npu0")) == ([], 0, 1)
    dispatch.frame("cam", 1, {SMALL: 1})
    assert dispatch.assign() == []
    assert dispatch.finished("npu0", running.id, "broken")[1] == []
    assert keys(dispatch.assign()) == [("cam", 1, SMALL, 0)]


def test_a_frame_that_comes_again_after_it_was_forgotten_is_a_new_one() -> None:
    dispatch = ledger_with(npu0=rule_of([SMALL], 0))
    dispatch.frame("cam", 0, {SMALL: 1})
    (old,) = dispatch.assign()
    dispatch.published("cam", 0)
    assert dispatch.frame("cam", 0, {SMALL: 1})
    dispatch.finished("npu0", old.id, "")
    assert not dispatch.stage_done("cam", 0, SMALL)
    answer_all(dispatch, dispatch.assign())
    assert dispatch.stage_done("cam", 0, SMALL)


def test_dependent_stages_are_known_later() -> None:
    dispatch = ledger_with(npu0=rule_of([BIG, SMALL], 0, 1))
    dispatch.frame("cam", 0, {BIG: 1})
    answer_all(dispatch, dispatch.assign())
    assert dispatch.stage_done("cam", 0, BIG)
    assert not dispatch.stage_done("cam", 0, SMALL)  # unknown is not done
    dispatch.expand("cam", 0, SMALL, 2)
    actions = dispatch.assign()
    assert keys(actions) == [("cam", 0, SMALL, 0), ("cam", 0, SMALL, 1)]
    answer_all(dispatch, actions)
    assert dispatch.stage_done("cam", 0, SMALL)


def test_a_stage_without_a_tile_is_done_at_once() -> None:
    dispatch = ledger_with(npu0=rule_of([BIG, SMALL], 0))
    dispatch.frame("cam", 0, {BIG: 0})
    dispatch.expand("cam", 0, SMALL, 0)
    assert dispatch.stage_done("cam", 0, BIG) and dispatch.stage_done("cam", 0, SMALL)


def test_renew_makes_every_job_of_an_unpublished_frame_pending() -> None:
    dispatch = ledger_with(npu0=rule_of([SMALL], 0, 1))
    dispatch.frame("out", 0, {SMALL: 1})
    dispatch.frame("cam", 0, {SMALL: 3})
    answered, running = dispatch.assign()
    dispatch.finished("npu0", answered.id, "")
    dispatch.published("out", 0)
    dispatch.renew()
    dispatch.renew()
    assert dispatch.waiting() == 3
    # What runs was answered to the merger that is gone.
    dispatch.finished("npu0", running.id, "")
    done = []
    while actions := dispatch.assign():
        done += keys(actions)
        answer_all(dispatch, actions)
    assert done == [("cam", 0, SMALL, 0), ("cam", 0, SMALL, 1), ("cam", 0, SMALL, 2)]
    assert dispatch.stage_done("cam", 0, SMALL)


@pytest.mark.parametrize("cause", ["crash", "hang"])
def test_a_poison_job_is_given_up_after_two_crashes_the_second_one_alone(cause: str) -> None:
    dispatch = ledger_with(npu0=rule_of([SMALL], 0, 1), npu1=rule_of([SMALL], 2, 3))
    dispatch.frame("cam", 0, {SMALL: 6})
    first = dispatch.assign()
    poison = next(action for action in first if action.worker == "npu0")
    assert dispatch.worker_down("npu0", cause, [poison.id]) == []
    assert dispatch.assign() == []  # npu1 is kept for the suspect and has two jobs left
    npu1 = [action for action in first if action.worker == "npu1"]
    dispatch.finished("npu1", npu1[0].id, "")
    assert dispatch.assign() == []
    dispatch.finished("npu1", npu1[1].id, "")
    alone = dispatch.assign()
    assert [(action.key, action.worker) for action in alone] == [(poison.key, "npu1")]
    assert dispatch.worker_down("npu1", cause, [alone[0].id]) == [
        GiveUp(poison.key, f"npu1: {cause}")
    ]
    for name in ("npu0", "npu1"):
        dispatch.worker_up(name)
    while actions := dispatch.assign():
        assert poison.key not in keys(actions)
        answer_all(dispatch, actions)
    assert dispatch.stage_done("cam", 0, SMALL)


def test_an_error_counts_like_a_crash() -> None:
    dispatch = ledger_with(npu0=rule_of([SMALL], 0, 1))
    dispatch.frame("cam", 0, {SMALL: 1})
    (first,) = dispatch.assign()
    assert dispatch.finished("npu0", first.id, "input too large") == (first, [])
    (second,) = dispatch.assign()
    assert dispatch.finished("npu0", second.id, "input too large") == (
        second,
        [GiveUp(("cam", 0, SMALL, 0), "npu0: input too large")],
    )
    assert dispatch.stage_done("cam", 0, SMALL)


def test_an_answer_clears_a_suspect() -> None:
    dispatch = ledger_with(npu0=rule_of([SMALL], 0, 1))
    dispatch.frame("cam", 0, {SMALL: 1})
    for _ in range(5):
        (job,) = dispatch.assign()
        assert dispatch.finished("npu0", job.id, "bad luck") == (job, [])
        answer_all(dispatch, dispatch.assign())
        dispatch.renew()


def test_only_what_was_being_computed_is_suspected() -> None:
    dispatch = ledger_with(npu0=rule_of([SMALL], 0, 1, 2))
    dispatch.frame("cam", 0, {SMALL: 3})
    for _ in range(10):
        actions = dispatch.assign()
        assert len(actions) == 3
        assert dispatch.worker_down("npu0", "crash", [12345]) == []
        dispatch.worker_up("npu0")


def test_a_worker_that_was_killed_from_outside_is_hardly_its_jobs_fault() -> None:
    dispatch = ledger_with(npu0=rule_of([SMALL], 0))
    dispatch.frame("cam", 0, {SMALL: 1})
    for _ in range(7):
        (job,) = dispatch.assign()
        assert dispatch.worker_down("npu0", "killed", [job.id]) == []
        dispatch.worker_up("npu0")
    (job,) = dispatch.assign()
    assert dispatch.worker_down("npu0", "killed", [job.id]) == [GiveUp(job.key, "npu0: killed")]


def test_a_stopped_worker_is_nobodys_fault() -> None:
    dispatch = ledger_with(npu0=rule_of([SMALL], 0, 1))
    dispatch.frame("cam", 0, {SMALL: 2})
    for _ in range(20):
        actions = dispatch.assign()
        assert len(actions) == 2
        ids = [action.id for action in actions]
        assert dispatch.worker_down("npu0", "stopped", ids) == []
        dispatch.worker_up("npu0")


def test_a_suspect_meets_another_worker_if_there_is_one() -> None:
    workers = {name: rule_of([SMALL], slot) for slot, name in enumerate(["npu0", "npu1", "npu2"])}
    dispatch = ledger_with(**workers)
    dispatch.frame("cam", 0, {SMALL: 1})
    (job,) = dispatch.assign()
    assert job.worker == "npu0"
    dispatch.finished("npu0", job.id, "odd")
    (again,) = dispatch.assign()
    assert again.worker == "npu1"
    only = ledger_with(npu0=rule_of([SMALL], 0))
    only.frame("cam", 0, {SMALL: 1})
    (job,) = only.assign()
    only.finished("npu0", job.id, "odd")
    assert [action.worker for action in only.assign()] == ["npu0"]


def test_the_others_work_on_beside_a_suspect() -> None:
    dispatch = ledger_with(npu0=rule_of([SMALL], 0, 1), npu1=rule_of([SMALL], 2, 3))
    dispatch.frame("cam", 0, {SMALL: 6})
    first = dispatch.assign()
    for action in first:
        error = "odd" if action.key == ("cam", 0, SMALL, 0) else ""
        dispatch.finished(action.worker, action.id, error)
    second = dispatch.assign()
    assert [(action.key[3], action.worker) for action in second] == [
        (0, "npu1"),
        (4, "npu0"),
        (5, "npu0"),
    ]


def test_a_worker_kept_for_a_suspect_is_let_go_when_its_frame_is_out() -> None:
    dispatch = ledger_with(npu0=rule_of([SMALL], 0, 1))
    dispatch.frame("bad", 0, {SMALL: 1})
    (job,) = dispatch.assign()
    dispatch.frame("cam", 0, {SMALL: 3})
    running = dispatch.assign()
    assert len(running) == 1
    dispatch.finished("npu0", job.id, "odd")
    assert dispatch.assign() == []  # kept free for the suspect, still one job to end
    dispatch.published("bad", 0)
    assert keys(dispatch.assign()) == [("cam", 0, SMALL, 1)]


def test_a_worker_kept_for_one_suspect_does_not_hold_up_another_that_it_cannot_run() -> None:
    dispatch = ledger_with(npu0=rule_of([BIG], 0, 1), npu1=rule_of([SMALL], 2))
    dispatch.frame("bad", 0, {BIG: 1})
    dispatch.frame("cam", 0, {BIG: 1, SMALL: 1})
    jobs = {action.key: action for action in dispatch.assign()}
    dispatch.finished("npu0", jobs["bad", 0, BIG, 0].id, "odd")
    assert dispatch.assign() == []  # npu0 is kept, and busy with the other frame's tile
    dispatch.finished("npu1", jobs["cam", 0, SMALL, 0].id, "odd")
    dispatch.published("bad", 0)
    assert given(dispatch.assign()) == [(("cam", 0, SMALL, 0), "npu1", 2)]


def test_ids_start_after_the_first_and_never_repeat() -> None:
    dispatch = Dispatch(1, {"npu0": rule_of([0], 0)}, first_id=7 << 32)
    dispatch.worker_up("npu0")
    seen = []
    for seq in range(5):
        dispatch.frame("cam", seq, {0: 1})
        (job,) = dispatch.assign()
        seen.append(job.id)
        dispatch.finished("npu0", job.id, "")
    assert min(seen) > 7 << 32
    assert len(set(seen)) == 5


ILLEGAL: dict[str, Callable[[Dispatch], object]] = {
    "a stage twice": lambda dispatch: dispatch.expand("cam", 0, SMALL, 2),
    "a stage twice, without a tile": lambda dispatch: dispatch.expand("cam", 0, SMALL, 0),
    "a stage of a frame that is not known": lambda dispatch: dispatch.expand("cam", 9, BIG, 1),
    "a stage that there is not": lambda dispatch: dispatch.expand("cam", 0, 2, 1),
    "a stage before the first": lambda dispatch: dispatch.expand("cam", 0, -1, 1),
    "fewer tiles than none": lambda dispatch: dispatch.expand("cam", 0, BIG, -1),
    "a frame with a stage that there is not": lambda dispatch: dispatch.frame(
        "cam", 1, {0: 1, 2: 1}
    ),
    "a frame with fewer tiles than none": lambda dispatch: dispatch.frame("cam", 1, {0: 1, 1: -1}),
    "an unknown worker up": lambda dispatch: dispatch.worker_up("npu9"),
    "an unknown worker down": lambda dispatch: dispatch.worker_down("npu9", "crash", [1]),
    "an unknown worker's job": lambda dispatch: dispatch.finished("npu9", 1, ""),
}


@pytest.mark.parametrize("move", ILLEGAL.values(), ids=ILLEGAL.keys())
def test_what_cannot_be_is_refused_and_changes_nothing(move: Callable[[Dispatch], object]) -> None:
    dispatch = ledger_with(npu0=rule_of([BIG, SMALL], 0))
    dispatch.frame("cam", 0, {SMALL: 2})
    dispatch.assign()
    before = pickle.dumps(dispatch)
    with pytest.raises(DispatchError):
        move(dispatch)
    assert pickle.dumps(dispatch) == before
