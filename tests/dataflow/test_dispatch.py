"""Dispatch, rule by rule. Random histories against a model are in test_dispatch_histories.

Frames and stages are as in dispatch_world: a frame of n tiles has n in a stage of tiles.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable

import numpy as np
import pytest

from actors.dataflow.dispatch import Action, Assign, Dispatch, DispatchError, FrameDone, Notice
from actors.dataflow.job_queue import WorkerRule
from actors.dataflow.messages import STALE, Expect, Missing
from actors.dataflow.settings import StageSettings
from tests.support.dispatch_world import frame_message, new_dispatch, stage

MS = 1_000_000
# One tile a frame, and n tiles a frame.
WHOLE, TILES = 0, 1
SIDE_BY_SIDE = [stage("whole", "frame"), stage("tiles")]
ONLY_TILES = [stage("tiles")]


def rule_of(stages: Iterable[int], *slots: int) -> WorkerRule:
    return WorkerRule(frozenset(stages), slots)


def running(stages: list[StageSettings], **workers: WorkerRule) -> Dispatch:
    """A Dispatch whose workers and merger are up."""
    dispatch = new_dispatch(stages, workers)
    for name in workers:
        assert dispatch.worker_up(name) == []
    assert dispatch.merger_up() == []
    return dispatch


def arrive(dispatch: Dispatch, stream: str, seq: int, tiles: int = 1) -> list[Action]:
    return dispatch.frame_arrived(frame_message(stream, seq, tiles))


def assigned(dispatch: Dispatch, now_ns: int = 0) -> list[Assign]:
    """The jobs that are given out now."""
    return [action for action in dispatch.turn(now_ns) if isinstance(action, Assign)]


def tiles_of(actions: Iterable[Assign]) -> list[tuple[int, int, int]]:
    """Sequence number, stage and tile of jobs."""
    return [(action.frame.seq, action.stage, action.index) for action in actions]


def answer_all(dispatch: Dispatch, actions: Iterable[Assign]) -> None:
    for action in actions:
        assert dispatch.finished(action.worker, action.id, "") == []


def boxes(*lefts: int) -> bytes:
    """Detections of 4x4 pixels at these left edges."""
    rows = np.zeros((len(lefts), 8), np.float32)
    for row, left in zip(rows, lefts, strict=True):
        row[:5] = left, 2, left + 4, 6, 0.5
    return rows.tobytes()


def expected_tiles(actions: Iterable[Action]) -> list[tuple[int, ...]]:
    """The numbers of tiles that the merger is sent."""
    return [action.tiles for action in actions if isinstance(action, Expect)]


# ---------------------------------------------------------------- jobs and credits


def test_jobs_are_given_oldest_first_as_far_as_slots_reach() -> None:
    dispatch = running(ONLY_TILES, npu0=rule_of([0], 5, 6, 7))
    assert arrive(dispatch, "a", 0, 2) == [Expect(frame_message("a", 0, 2), (2,))]
    arrive(dispatch, "a", 1, 2)
    first = assigned(dispatch)
    assert tiles_of(first) == [(0, 0, 0), (0, 0, 1), (1, 0, 0)]
    assert sorted(action.slot for action in first) == [5, 6, 7]
    assert len({action.id for action in first}) == 3
    assert [(action.tile.x, action.tile.width) for action in first] == [
        (0, 100),
        (100, 100),
        (0, 100),
    ]
    assert (dispatch.waiting, dispatch.held) == (1, 3)
    assert assigned(dispatch) == []


def test_a_slot_comes_back_with_its_own_job_and_with_nothing_else() -> None:
    dispatch = running(ONLY_TILES, npu0=rule_of([0], 0), npu1=rule_of([0], 1))
    arrive(dispatch, "a", 0, 3)
    on0 = next(action for action in assigned(dispatch) if action.worker == "npu0")
    for worker, id_ in [("npu1", on0.id), ("npu0", 999)]:
        dispatch.finished(worker, id_, "")
        assert assigned(dispatch) == []
    for _ in range(2):
        assert dispatch.finished("npu0", on0.id, "") == []
    (last,) = assigned(dispatch)
    assert (last.index, last.worker, last.slot) == (2, "npu0", 0)


def test_a_job_goes_only_to_a_worker_that_has_its_model() -> None:
    dispatch = running(SIDE_BY_SIDE, npu0=rule_of([WHOLE], 0, 1), npu1=rule_of([TILES], 2))
    arrive(dispatch, "a", 0, 2)
    given = [(action.worker, action.stage, action.index) for action in assigned(dispatch)]
    assert sorted(given) == [("npu0", WHOLE, 0), ("npu1", TILES, 0)]
    assert dispatch.waiting == 1


def test_the_worker_with_the_least_to_do_is_first_and_of_two_the_less_able() -> None:
    dispatch = running(
        SIDE_BY_SIDE, npu0=rule_of([WHOLE, TILES], 0, 1), npu1=rule_of([TILES], 2, 3)
    )
    arrive(dispatch, "a", 0, 3)
    assert [action.worker for action in assigned(dispatch)] == ["npu0", "npu1", "npu1", "npu0"]


def test_the_oldest_frame_is_first_whichever_stage_it_waits_for() -> None:
    dispatch = running(SIDE_BY_SIDE, npu0=rule_of([WHOLE, TILES], 0))
    for seq in range(2):
        arrive(dispatch, "a", seq)
    order = []
    while actions := assigned(dispatch):
        answer_all(dispatch, actions)
        order += tiles_of(actions)
    assert order == [(0, WHOLE, 0), (0, TILES, 0), (1, WHOLE, 0), (1, TILES, 0)]


def test_ids_start_after_the_first_and_never_repeat() -> None:
    dispatch = new_dispatch(ONLY_TILES, {"npu0": rule_of([0], 0)}, first_id=7 << 32)
    dispatch.worker_up("npu0")
    dispatch.merger_up()
    seen = []
    for seq in range(5):
        arrive(dispatch, "a", seq)
        (job,) = assigned(dispatch)
        seen.append(job.id)
        dispatch.finished("npu0", job.id, "")
    assert min(seen) > 7 << 32
    assert len(set(seen)) == 5


def test_a_stale_job_runs_again_and_is_not_suspected() -> None:
    dispatch = running(ONLY_TILES, npu0=rule_of([0], 0, 1))
    arrive(dispatch, "a", 0, 2)
    for _ in range(20):
        actions = assigned(dispatch)
        assert len(actions) == 2  # not alone
        for action in actions:
            assert dispatch.finished("npu0", action.id, STALE) == []


# ---------------------------------------------------------------- frames


def test_a_known_frame_is_not_taken_twice() -> None:
    dispatch = running(ONLY_TILES, npu0=rule_of([0], 0))
    assert arrive(dispatch, "a", 0, 1)
    assert arrive(dispatch, "a", 0, 4) == []
    assert dispatch.waiting == 1
    assert arrive(dispatch, "b", 0, 1)
    assert dispatch.waiting == 2


def test_a_published_frame_is_forgotten_but_its_slot_is_still_taken() -> None:
    dispatch = running(ONLY_TILES, npu0=rule_of([0], 0))
    arrive(dispatch, "a", 0, 2)
    (job,) = assigned(dispatch)
    assert dispatch.published("a", 0) == [FrameDone("a", 0)]
    assert dispatch.published("a", 0) == []
    assert (dispatch.waiting, dispatch.held) == (0, 1)
    arrive(dispatch, "a", 1)
    assert assigned(dispatch) == []
    assert dispatch.finished("npu0", job.id, "broken") == []
    assert tiles_of(assigned(dispatch)) == [(1, 0, 0)]


def test_frames_whose_pixels_are_not_needed_any_more_are_forgotten_and_not_taken_again() -> None:
    dispatch = running(ONLY_TILES, npu0=rule_of([0], 0))
    for seq in range(4):
        arrive(dispatch, "a", seq)
    arrive(dispatch, "b", 0)
    assert dispatch.finished_up_to("a", 2) == [FrameDone("a", seq) for seq in range(3)]
    assert dispatch.finished_up_to("a", 1) == []
    assert arrive(dispatch, "a", 2) == []
    assert dispatch.waiting == 2


def test_a_frame_that_comes_again_after_it_was_forgotten_is_a_new_one() -> None:
    dispatch = running(ONLY_TILES, npu0=rule_of([0], 0))
    arrive(dispatch, "a", 0)
    (old,) = assigned(dispatch)
    dispatch.published("a", 0)
    arrive(dispatch, "a", 0)
    dispatch.finished("npu0", old.id, "")
    assert tiles_of(assigned(dispatch)) == [(0, 0, 0)]


# ---------------------------------------------------------------- deaths


def test_a_dead_workers_jobs_go_to_another_and_that_is_noted_when_they_are_done() -> None:
    dispatch = running(ONLY_TILES, npu0=rule_of([0], 0, 1), npu1=rule_of([0], 2, 3))
    arrive(dispatch, "a", 0, 2)
    before = assigned(dispatch)
    assert [action.worker for action in before] == ["npu0", "npu1"]
    assert dispatch.worker_down("npu0", "killed", [before[0].id], 5 * MS) == []
    (again,) = assigned(dispatch, 6 * MS)
    assert (again.index, again.worker, again.slot) == (0, "npu1", 2)
    dispatch.finished("npu0", before[0].id, "")  # it had sent that before
    assert dispatch.turn(7 * MS) == []
    answer_all(dispatch, [again])
    text = "1 job of npu0 finished elsewhere after 30 ms"
    assert dispatch.turn(35 * MS) == [Notice("info", "recovered", text)]
    assert dispatch.turn(36 * MS) == []


def test_a_second_death_is_noted_beside_the_first() -> None:
    dispatch = running(ONLY_TILES, npu0=rule_of([0], 0, 1), npu1=rule_of([0], 2, 3))
    arrive(dispatch, "a", 0, 2)
    assigned(dispatch)
    dispatch.worker_down("npu0", "killed", [], 0)
    dispatch.worker_down("npu1", "killed", [], 10 * MS)
    dispatch.worker_up("npu0")
    answer_all(dispatch, assigned(dispatch))
    assert [action.text for action in dispatch.turn(20 * MS) if isinstance(action, Notice)] == [
        "1 job of npu0 finished elsewhere after 20 ms",
        "1 job of npu1 finished elsewhere after 10 ms",
    ]


def test_a_dead_worker_without_a_job_is_not_noted() -> None:
    dispatch = running(ONLY_TILES, npu0=rule_of([0], 0))
    dispatch.worker_down("npu0", "crash", [], 0)
    assert dispatch.turn(0) == []


def test_what_a_dead_worker_had_answered_runs_again_until_its_frame_is_published() -> None:
    """The answer may have died in its socket while `finished` got through."""
    dispatch = running(ONLY_TILES, npu0=rule_of([0], 0), npu1=rule_of([0], 1))
    arrive(dispatch, "a", 0, 2)
    answer_all(dispatch, assigned(dispatch))
    assert dispatch.worker_down("npu0", "killed", [], 0) == []
    (again,) = assigned(dispatch)
    assert (again.index, again.worker) == (0, "npu1")
    answer_all(dispatch, [again])
    dispatch.worker_down("npu0", "killed", [], 0)  # what npu1 answered is npu1's
    assert dispatch.waiting == 0


def test_a_worker_that_came_up_anew_has_all_slots_and_nothing_in_hand() -> None:
    dispatch = running(ONLY_TILES, npu0=rule_of([0], 0, 1))
    arrive(dispatch, "a", 0, 2)
    before = assigned(dispatch)
    dispatch.worker_up("npu0")
    assert (dispatch.held, dispatch.waiting) == (0, 2)
    after = assigned(dispatch)
    assert tiles_of(after) == tiles_of(before)
    assert not {action.id for action in after} & {action.id for action in before}


def test_a_merger_that_came_back_gets_every_job_of_every_unpublished_frame() -> None:
    dispatch = running(ONLY_TILES, npu0=rule_of([0], 0, 1))
    arrive(dispatch, "b", 0)
    arrive(dispatch, "a", 0, 3)
    published, held = assigned(dispatch)
    dispatch.finished("npu0", published.id, "")
    dispatch.published("b", 0)
    assert dispatch.merger_down() == []
    assert assigned(dispatch) == []
    assert arrive(dispatch, "a", 1) == []  # there is no merger to expect it
    assert expected_tiles(dispatch.merger_up()) == [(3,), (1,)]
    assert dispatch.waiting == 4
    # What is held was answered to the merger that is gone.
    dispatch.finished("npu0", held.id, "")
    done = []
    while actions := assigned(dispatch):
        done += tiles_of(actions)
        answer_all(dispatch, actions)
    assert done == [(0, 0, 0), (0, 0, 1), (0, 0, 2), (1, 0, 0)]


# ---------------------------------------------------------------- poison


@pytest.mark.parametrize("cause", ["crash", "hang"])
def test_a_poison_job_is_given_up_after_two_crashes_the_second_one_alone(cause: str) -> None:
    dispatch = running(ONLY_TILES, npu0=rule_of([0], 0, 1), npu1=rule_of([0], 2, 3))
    arrive(dispatch, "a", 0, 6)
    first = assigned(dispatch)
    poison = next(action for action in first if action.worker == "npu0")
    assert dispatch.worker_down("npu0", cause, [poison.id], 0) == []
    assert assigned(dispatch) == []  # npu1 is kept for the suspect and has two jobs left
    for action in first:
        if action.worker == "npu1":
            assert assigned(dispatch) == []
            dispatch.finished("npu1", action.id, "")
    (alone,) = assigned(dispatch)
    assert (alone.index, alone.worker) == (poison.index, "npu1")
    reason = f"npu1: {cause}"
    text = f"a #0: tile tiles/{poison.index} given up ({reason})"
    given_up = Notice("error", "given_up", text, excuses=("npu0", "npu1"))
    missing = Missing("a", 0, 0, poison.index, reason)
    assert dispatch.worker_down("npu1", cause, [alone.id], 0) == [given_up, missing]
    for name in ("npu0", "npu1"):
        dispatch.worker_up(name)
    while actions := assigned(dispatch):
        assert poison.index not in [action.index for action in actions]
        answer_all(dispatch, actions)
    assert dispatch.waiting == 0
    # It stays given up: a new merger is sent that again, and no worker dies of it once more.
    assert dispatch.merger_up()[1:] == [missing]
    while actions := assigned(dispatch):
        assert poison.index not in [action.index for action in actions]
        answer_all(dispatch, actions)


def test_an_error_counts_like_a_crash_and_excuses_no_worker() -> None:
    dispatch = running(ONLY_TILES, npu0=rule_of([0], 0, 1))
    arrive(dispatch, "a", 0)
    (first,) = assigned(dispatch)
    assert dispatch.finished("npu0", first.id, "input too large") == []
    (second,) = assigned(dispatch)
    notice, missing = dispatch.finished("npu0", second.id, "input too large")
    assert isinstance(notice, Notice)
    assert notice.excuses == ()
    assert missing == Missing("a", 0, 0, 0, "npu0: input too large")


def test_an_answer_clears_a_suspect() -> None:
    dispatch = running(ONLY_TILES, npu0=rule_of([0], 0, 1))
    arrive(dispatch, "a", 0)
    for _ in range(5):
        (job,) = assigned(dispatch)
        assert dispatch.finished("npu0", job.id, "bad luck") == []
        answer_all(dispatch, assigned(dispatch))
        dispatch.merger_up()


def test_only_what_was_being_computed_is_suspected() -> None:
    dispatch = running(ONLY_TILES, npu0=rule_of([0], 0, 1, 2))
    arrive(dispatch, "a", 0, 3)
    for _ in range(10):
        assert len(assigned(dispatch)) == 3
        assert dispatch.worker_down("npu0", "crash", [12345], 0) == []
        dispatch.worker_up("npu0")


def test_a_worker_that_was_killed_from_outside_is_hardly_its_jobs_fault() -> None:
    dispatch = running(ONLY_TILES, npu0=rule_of([0], 0))
    arrive(dispatch, "a", 0)
    for _ in range(7):
        (job,) = assigned(dispatch)
        assert dispatch.worker_down("npu0", "killed", [job.id], 0) == []
        dispatch.worker_up("npu0")
    (job,) = assigned(dispatch)
    assert Missing("a", 0, 0, 0, "npu0: killed") in dispatch.worker_down(
        "npu0", "killed", [job.id], 0
    )


def test_a_stopped_worker_makes_no_job_suspect() -> None:
    dispatch = running(ONLY_TILES, npu0=rule_of([0], 0, 1))
    arrive(dispatch, "a", 0, 2)
    for _ in range(20):
        actions = assigned(dispatch)
        assert len(actions) == 2
        ids = [action.id for action in actions]
        assert dispatch.worker_down("npu0", "stopped", ids, 0) == []
        dispatch.worker_up("npu0")


def test_a_suspect_meets_another_worker_if_there_is_one() -> None:
    workers = {name: rule_of([0], slot) for slot, name in enumerate(["npu0", "npu1", "npu2"])}
    dispatch = running(ONLY_TILES, **workers)
    arrive(dispatch, "a", 0)
    (job,) = assigned(dispatch)
    assert job.worker == "npu0"
    dispatch.finished("npu0", job.id, "odd")
    (again,) = assigned(dispatch)
    assert again.worker == "npu1"
    only = running(ONLY_TILES, npu0=rule_of([0], 0))
    arrive(only, "a", 0)
    (job,) = assigned(only)
    only.finished("npu0", job.id, "odd")
    assert [action.worker for action in assigned(only)] == ["npu0"]


def test_the_others_work_on_beside_a_suspect() -> None:
    dispatch = running(ONLY_TILES, npu0=rule_of([0], 0, 1), npu1=rule_of([0], 2, 3))
    arrive(dispatch, "a", 0, 6)
    for action in assigned(dispatch):
        dispatch.finished(action.worker, action.id, "" if action.index else "odd")
    assert [(action.index, action.worker) for action in assigned(dispatch)] == [
        (0, "npu1"),
        (4, "npu0"),
        (5, "npu0"),
    ]


def test_a_worker_kept_for_a_suspect_is_let_go_when_the_suspects_frame_is_published() -> None:
    dispatch = running(ONLY_TILES, npu0=rule_of([0], 0, 1))
    arrive(dispatch, "b", 0)
    (job,) = assigned(dispatch)
    arrive(dispatch, "a", 0, 3)
    assert len(assigned(dispatch)) == 1
    dispatch.finished("npu0", job.id, "odd")
    assert assigned(dispatch) == []  # kept free for the suspect, still one job to end
    dispatch.published("b", 0)
    assert tiles_of(assigned(dispatch)) == [(0, 0, 1)]


def test_a_worker_kept_for_one_suspect_does_not_hold_up_another_that_it_cannot_run() -> None:
    dispatch = running(SIDE_BY_SIDE, npu0=rule_of([WHOLE], 0, 1), npu1=rule_of([TILES], 2, 3))
    arrive(dispatch, "b", 0)
    arrive(dispatch, "a", 0)
    jobs = {(action.frame.stream, action.stage): action for action in assigned(dispatch)}
    answer_all(dispatch, [jobs["b", TILES]])
    dispatch.finished("npu0", jobs["b", WHOLE].id, "odd")
    assert assigned(dispatch) == []  # npu0 is kept, and busy with the other frame's tile
    dispatch.finished("npu1", jobs["a", TILES].id, "odd")
    dispatch.published("b", 0)
    assert [(job.stage, job.worker) for job in assigned(dispatch)] == [(TILES, "npu1")]


# ---------------------------------------------------------------- cascade

CROPS = [stage("tiles"), stage("crops", "crops", source=0, max_crops=3)]


def test_crops_are_cut_when_every_tile_of_their_source_has_come() -> None:
    dispatch = running(CROPS, npu0=rule_of([0, 1], 0, 1, 2, 3))
    assert [dispatch.returns_detections(number) for number in (0, 1)] == [True, False]
    assert expected_tiles(arrive(dispatch, "a", 0, 2)) == [(2, -1)]
    left, right = assigned(dispatch)
    assert dispatch.finished("npu0", right.id, "", boxes(140)) == []
    assert assigned(dispatch) == []
    assert expected_tiles(dispatch.finished("npu0", left.id, "", boxes(20, 60))) == [(2, 3)]
    crops = assigned(dispatch)
    assert tiles_of(crops) == [(0, 1, 0), (0, 1, 1), (0, 1, 2)]
    for crop, box in zip(crops, (20, 60, 140), strict=True):
        assert crop.tile.x <= box and box + 4 <= crop.tile.x + crop.tile.width


def test_one_target_in_two_tiles_has_one_crop_and_there_are_no_more_than_the_limit() -> None:
    dispatch = running(CROPS, npu0=rule_of([0, 1], 0, 1))
    arrive(dispatch, "a", 0, 2)
    left, right = assigned(dispatch)
    dispatch.finished("npu0", left.id, "", boxes(100))
    assert expected_tiles(dispatch.finished("npu0", right.id, "", boxes(100))) == [(2, 1)]
    arrive(dispatch, "a", 1, 1)
    dispatch.published("a", 0)
    (tile,) = assigned(dispatch)
    many = boxes(0, 20, 40, 60, 80)
    assert expected_tiles(dispatch.finished("npu0", tile.id, "", many)) == [(1, 3)]


@pytest.mark.parametrize(("found", "count"), [((), 0), ((20,), 2)])
def test_a_stage_with_a_condition_has_tiles_where_that_found_something(
    found: tuple[int, ...], count: int
) -> None:
    stages = [stage("tiles", condition=1), stage("whole", "frame"), stage("crops", source=0)]
    dispatch = running(stages, npu0=rule_of([0, 1, 2], 0, 1))
    assert expected_tiles(arrive(dispatch, "a", 0, 2)) == [(-1, 1, -1)]
    (whole,) = assigned(dispatch)
    actions = dispatch.finished("npu0", whole.id, "", boxes(*found))
    # No tile, nothing found, no crop: known at once.
    assert expected_tiles(actions) == [(count, 1, 0 if count == 0 else -1)]
    assert len(assigned(dispatch)) == count


def test_a_source_tile_that_is_given_up_holds_up_no_crop() -> None:
    dispatch = running(CROPS, npu0=rule_of([0, 1], 0, 1))
    arrive(dispatch, "a", 0, 2)
    left, right = assigned(dispatch)
    dispatch.finished("npu0", left.id, "", boxes(20))
    dispatch.finished("npu0", right.id, "odd")
    (right,) = assigned(dispatch)
    notice, missing, expect = dispatch.finished("npu0", right.id, "odd")
    assert isinstance(notice, Notice)
    assert missing == Missing("a", 0, 0, 1, "npu0: odd")
    assert expect == Expect(frame_message("a", 0, 2), (2, 1))


def test_crops_wait_for_what_a_dead_worker_had_answered_and_stay_when_they_are_known() -> None:
    dispatch = running(CROPS, npu0=rule_of([0], 0), npu1=rule_of([0, 1], 1))
    arrive(dispatch, "a", 0, 2)
    first, second = assigned(dispatch)
    assert dispatch.finished("npu0", first.id, "", boxes(20)) == []
    dispatch.worker_down("npu0", "killed", [], 0)
    assert dispatch.finished("npu1", second.id, "", boxes()) == []
    (again,) = assigned(dispatch)
    assert expected_tiles(dispatch.finished("npu1", again.id, "", boxes(20))) == [(2, 1)]
    dispatch.worker_down("npu1", "killed", [], 0)
    dispatch.worker_up("npu0")
    (again, *_) = assigned(dispatch)
    assert dispatch.finished("npu0", again.id, "", boxes(20)) == []
    assert expected_tiles(dispatch.merger_up()) == [(2, 1)]


def test_detections_that_cannot_be_read_are_an_error_of_the_worker() -> None:
    dispatch = running(CROPS, npu0=rule_of([0, 1], 0))
    arrive(dispatch, "a", 0)
    for _ in range(2):
        (job,) = assigned(dispatch)
        actions = dispatch.finished("npu0", job.id, "", b"half a row")
    assert Missing("a", 0, 0, 0, "npu0: its detections cannot be read") in actions


# ---------------------------------------------------------------- wrong events


ILLEGAL: dict[str, Callable[[Dispatch], object]] = {
    "a stream that there is not": lambda dispatch: arrive(dispatch, "c", 0),
    "a slot that there is not": lambda dispatch: dispatch.frame_arrived(
        frame_message("a", 1, slot=4)
    ),
    "a slot before the first": lambda dispatch: dispatch.frame_arrived(
        frame_message("a", 1, slot=-1)
    ),
    "an unknown stream's end": lambda dispatch: dispatch.finished_up_to("c", 1),
    "an unknown worker up": lambda dispatch: dispatch.worker_up("npu9"),
    "an unknown worker down": lambda dispatch: dispatch.worker_down("npu9", "crash", [1], 0),
    "an unknown worker's job": lambda dispatch: dispatch.finished("npu9", 1, ""),
}


@pytest.mark.parametrize("move", ILLEGAL.values(), ids=ILLEGAL.keys())
def test_what_cannot_be_is_refused_and_changes_nothing(move: Callable[[Dispatch], object]) -> None:
    dispatch = running(SIDE_BY_SIDE, npu0=rule_of([WHOLE, TILES], 0))
    arrive(dispatch, "a", 0, 2)
    dispatch.turn(0)
    before = pickle.dumps(dispatch)
    with pytest.raises(DispatchError):
        move(dispatch)
    assert pickle.dumps(dispatch) == before


def test_a_frame_without_pixels_is_refused_and_changes_nothing() -> None:
    dispatch = running(SIDE_BY_SIDE, npu0=rule_of([WHOLE, TILES], 0))
    before = pickle.dumps(dispatch)
    with pytest.raises(ValueError, match="size is 0x10"):
        arrive(dispatch, "a", 0, 0)
    assert pickle.dumps(dispatch) == before
