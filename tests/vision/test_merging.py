"""Merging against a plain-loop reading of the same rules, and by hand-written cases."""

from __future__ import annotations

import doctest
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actors.vision import merging
from actors.vision.merging import Method, Metric, merge, merge_groups, nms_indices

METHODS = get_args(Method)
METRICS = get_args(Metric)
Box = tuple[float, float, float, float]


# An oracle without arrays: one box against one, in Python floats, as the rules are documented.


def overlap(one: Box, two: Box, metric: str) -> float:
    def area(box: Box) -> float:
        return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])

    shared = area(
        (max(one[0], two[0]), max(one[1], two[1]), min(one[2], two[2]), min(one[3], two[3]))
    )
    if shared == 0:
        return 0.0
    if metric == "ios":
        return shared / min(area(one), area(two))
    return shared / (area(one) + area(two) - shared)


def by_loops(
    boxes: list[Box],
    scores: list[float],
    classes: list[int],
    method: str,
    metric: str,
    threshold: float,
    agnostic: bool,
) -> list[tuple[Box, float, int, int]]:
    """(box, score, class, index of the best member), best first."""

    def match(a: int, b: int) -> bool:
        same = agnostic or classes[a] == classes[b]
        return same and overlap(boxes[a], boxes[b], metric) >= threshold

    turns = sorted(range(len(boxes)), key=lambda i: (-scores[i], i))
    group_of: dict[int, int] = {}
    members: dict[int, list[int]] = {}
    for turn, i in enumerate(turns):
        if i not in group_of:
            group_of[i] = i
            members[i] = []
        elif method != "nmm":
            continue
        later = turns[turn + 1 :]
        # SAHI names the members by score, in NMM as they came in.
        for j in sorted(later) if method == "nmm" else later:
            if j not in group_of and match(i, j):
                group_of[j] = group_of[i]
                members[group_of[i]].append(j)
    result = []
    for i, others in members.items():
        box = boxes[i]
        for j in others if method != "nms" else []:
            if overlap(box, boxes[j], metric) >= threshold:
                low, high = zip(box, boxes[j], strict=True), zip(box, boxes[j], strict=True)
                lows, highs = [min(pair) for pair in low], [max(pair) for pair in high]
                box = (lows[0], lows[1], highs[2], highs[3])
        result.append((box, scores[i], classes[i], i))
    return result


def check(
    boxes: list[Box], scores: list[float], classes: list[int], threshold: float, **options: Any
) -> None:
    array = np.array(boxes, np.float32).reshape(-1, 4)
    points = np.array(scores, np.float32)
    ids = np.array(classes, np.int32)
    exact: list[Box] = [tuple(box) for box in array.tolist()]  # type: ignore[misc]
    for method in METHODS:
        for metric in METRICS:
            for agnostic in (False, True):
                want = by_loops(
                    exact, points.tolist(), classes, method, metric, threshold, agnostic
                )
                got = merge_groups(array, points, ids, method, metric, threshold, agnostic)
                context = f"{method} {metric} {threshold} agnostic={agnostic}"
                assert got[3].tolist() == [row[3] for row in want], context
                assert got[0].tolist() == [list(row[0]) for row in want], context
                assert got[1].tolist() == [row[1] for row in want], context
                assert got[2].tolist() == [row[2] for row in want], context


coordinates = st.integers(0, 12) | st.floats(-50, 50, width=32)
thresholds = st.sampled_from([0.1, 0.25, 0.3, 0.5, 0.6, 0.75, 1.0])


@st.composite
def detections(draw: st.DrawFn) -> tuple[list[Box], list[float], list[int]]:
    """Boxes that meet often: small whole coordinates, a few scores, some boxes twice."""
    count = draw(st.integers(0, 14))
    boxes: list[Box] = []
    for _ in range(count):
        if boxes and draw(st.integers(0, 4)) == 0:
            boxes.append(draw(st.sampled_from(boxes)))
            continue
        x1, x2 = sorted((draw(coordinates), draw(coordinates)))
        y1, y2 = sorted((draw(coordinates), draw(coordinates)))
        boxes.append((x1, y1, x2, y2))
    score = st.sampled_from([0.25, 0.5, 0.75]) | st.floats(0, 1, width=32)
    scores = [draw(score) for _ in range(count)]
    classes = [draw(st.integers(0, 2)) for _ in range(count)]
    return boxes, scores, classes


@settings(deadline=None, max_examples=200)
@given(detections(), thresholds)
# Overlap of exactly the threshold: 3 of 10.
@example(([(0, 0, 10, 1), (0, 0, 3, 1)], [0.9, 0.8], [0, 0]), 0.3)
# Boxes without area, twice the same, equal in score.
@example(([(5, 5, 5, 5), (5, 5, 5, 5), (0, 0, 9, 9), (0, 5, 9, 5)], [0.5] * 4, [0] * 4), 0.5)
# Turned round: no area either.
@example(([(9, 9, 0, 0), (0, 0, 9, 9), (9, 0, 0, 9)], [0.9, 0.8, 0.7], [0, 0, 0]), 0.1)
def test_against_loops(found: tuple[list[Box], list[float], list[int]], threshold: float) -> None:
    check(*found, threshold)


def street(count: int, seed: int) -> tuple[list[Box], list[float], list[int]]:
    """Clusters of boxes as a detector gives them, more than one block of rows."""
    rng = np.random.default_rng(seed)
    people = rng.uniform(0, 400, (max(1, count // 9), 2))
    corner = people[rng.integers(0, len(people), count)] + rng.normal(0, 8, (count, 2))
    size = np.array([40, 90]) * rng.uniform(0.7, 1.3, (count, 2))
    boxes = np.concatenate([corner, corner + size], axis=1).astype(np.float32)
    scores = rng.integers(1, 60, count) / 64
    return (
        [tuple(box) for box in boxes.tolist()],
        scores.tolist(),
        rng.integers(0, 3, count).tolist(),
    )


@pytest.mark.parametrize("count", [63, 64, 65, 200])
def test_several_blocks_against_loops(count: int) -> None:
    for seed, threshold in enumerate((0.3, 0.5, 0.7)):
        check(*street(count, seed), threshold)


def test_far_classes_and_coordinates() -> None:
    """Class ids of any size, and coordinates that float32 rounds when classes are set apart."""
    boxes, scores, classes = street(80, 5)
    moved = [(a + 60000, b, c + 60000, d) for a, b, c, d in boxes]
    check(moved, scores, [10**6 * one - 5 for one in classes], 0.5)
    # Here rounding closes the gap between the classes.
    check([(0, 0, 1e8, 1), (0, 0, 1e8, 1)], [0.9, 0.8], [0, 1], 0.5)


BOXES = [
    [0, 0, 10, 10],
    [0, 0, 10, 8],  # IoU 0.8 with the first
    [0, 0, 10, 5],  # IoU 0.5 with the first, 0.625 with the second
    [20, 0, 30, 10],
    [0, 0, 10, 4],  # IoU 0.4 with the first, 0.5 with the second, 0.8 with the third
]
SCORES = [0.5, 0.9, 0.8, 0.7, 0.6]


@pytest.mark.parametrize(
    ("method", "metric", "threshold", "boxes", "scores", "indices"),
    [
        # The second takes the first, third and, at exactly 0.5, the fifth.
        ("nms", "iou", 0.5, [[0, 0, 10, 8], [20, 0, 30, 10]], [0.9, 0.7], [1, 3]),
        # Just above, the fifth stays.
        (
            "nms",
            "iou",
            0.51,
            [[0, 0, 10, 8], [20, 0, 30, 10], [0, 0, 10, 4]],
            [0.9, 0.7, 0.6],
            [1, 3, 4],
        ),
        # The union of those that nms drops: only the first reaches beyond.
        ("greedy_nmm", "iou", 0.5, [[0, 0, 10, 10], [20, 0, 30, 10]], [0.9, 0.7], [1, 3]),
        # At 0.7: the second takes the first; the third, met by neither, takes the fifth.
        (
            "greedy_nmm",
            "iou",
            0.7,
            [[0, 0, 10, 10], [0, 0, 10, 5], [20, 0, 30, 10]],
            [0.9, 0.8, 0.7],
            [1, 2, 3],
        ),
        # At 0.6 the fifth hangs on the third, and that on the second: one group.
        ("nmm", "iou", 0.6, [[0, 0, 10, 10], [20, 0, 30, 10]], [0.9, 0.7], [1, 3]),
        # Without the chain the fifth is left.
        (
            "greedy_nmm",
            "iou",
            0.6,
            [[0, 0, 10, 10], [20, 0, 30, 10], [0, 0, 10, 4]],
            [0.9, 0.7, 0.6],
            [1, 3, 4],
        ),
        # All boxes on the left lie one in another.
        ("nms", "ios", 1.0, [[0, 0, 10, 8], [20, 0, 30, 10]], [0.9, 0.7], [1, 3]),
        ("greedy_nmm", "ios", 1.0, [[0, 0, 10, 10], [20, 0, 30, 10]], [0.9, 0.7], [1, 3]),
    ],
)
def test_merge(
    method: Method,
    metric: Metric,
    threshold: float,
    boxes: list[list[float]],
    scores: list[float],
    indices: list[int],
) -> None:
    got = merge_groups(BOXES, SCORES, [7] * 5, method, metric, threshold)
    assert got[0].tolist() == boxes
    assert got[1].tolist() == np.array(scores, np.float32).tolist()
    assert got[2].tolist() == [7] * len(boxes)
    assert got[3].tolist() == indices
    for column, same in zip(
        merge(BOXES, SCORES, [7] * 5, method, metric, threshold), got, strict=False
    ):
        np.testing.assert_array_equal(column, same)


def test_a_chain_is_widened_only_while_it_matches() -> None:
    """Three in a row, 7/13 from one to the next: NMM takes all three, yet the third no longer
    matches the union of the first two (7/16) and does not widen it."""
    chain = [[0, 0, 10, 1], [3, 0, 13, 1], [6, 0, 16, 1]]
    boxes, _, _ = merge(chain, [0.9, 0.8, 0.7], [0, 0, 0], "nmm", "iou", 0.5)
    assert boxes.tolist() == [[0, 0, 13, 1]]
    # By IoS it still does (7/10).
    boxes, _, _ = merge(chain, [0.9, 0.8, 0.7], [0, 0, 0], "nmm", "ios", 0.5)
    assert boxes.tolist() == [[0, 0, 16, 1]]


def test_classes_meet_only_when_asked() -> None:
    twice = [[0, 0, 10, 10], [0, 0, 10, 10]]
    boxes, scores, class_ids = merge(twice, [0.5, 0.75], [3, 4])
    assert (boxes.tolist(), scores.tolist(), class_ids.tolist()) == (twice, [0.75, 0.5], [4, 3])
    boxes, scores, class_ids = merge(twice, [0.5, 0.75], [3, 4], class_agnostic=True)
    assert (boxes.tolist(), scores.tolist(), class_ids.tolist()) == (twice[:1], [0.75], [4])


@pytest.mark.parametrize("method", METHODS)
def test_equal_scores_keep_the_order_of_the_input(method: Method) -> None:
    boxes = [[20, 0, 30, 10], [0, 0, 10, 10], [0, 0, 10, 10], [10, 0, 20, 10]]
    got = merge_groups(boxes, [0.5, 0.5, 0.5, 0.5], [0, 0, 0, 0], method)
    assert got[3].tolist() == [0, 1, 3]


def test_nms_indices() -> None:
    assert nms_indices(BOXES, SCORES, [0] * 5).tolist() == [1, 3]
    assert nms_indices(BOXES, SCORES, [0, 1, 2, 3, 4]).tolist() == [1, 2, 3, 4, 0]
    assert nms_indices(BOXES, SCORES, [0, 1, 2, 3, 4], class_agnostic=True).tolist() == [1, 3]
    assert nms_indices(BOXES, SCORES, [0] * 5, "ios", 1.0).tolist() == [1, 3]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("metric", METRICS)
def test_nothing(method: Method, metric: Metric) -> None:
    none: list[Any] = [[], np.empty((0, 4), np.float32)]
    for boxes in none:
        got = merge_groups(boxes, [], [], method, metric)
        assert [column.shape for column in got] == [(0, 4), (0,), (0,), (0,)]
        assert [column.dtype for column in got[:3]] == [np.float32, np.float32, np.int64]


def test_dtypes_and_untouched_input() -> None:
    boxes = np.array(BOXES, np.float32)
    scores = np.array(SCORES, np.float32)
    class_ids = np.zeros(5, np.int32)
    boxes.flags.writeable = scores.flags.writeable = class_ids.flags.writeable = False
    for method in METHODS:
        got = merge(boxes, scores, class_ids, method)
        assert [column.dtype for column in got] == [np.float32, np.float32, np.int64]
        assert not any(np.shares_memory(column, boxes) for column in got)
    assert boxes.tolist() == BOXES


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "wbf"}, "method is 'wbf'; it must be one of nms, nmm, greedy_nmm"),
        ({"metric": "IOU"}, "metric is 'IOU'; it must be one of iou, ios"),
        ({"threshold": 0}, "threshold is 0; it must be greater than 0 and at most 1"),
        ({"threshold": 1.5}, "threshold is 1.5; it must be greater than 0 and at most 1"),
        ({"threshold": float("nan")}, "threshold is nan; it must be greater than 0 and at most 1"),
        ({"boxes": [1, 2, 3, 4]}, "boxes have the shape (4,); it must be (n, 4)"),
        ({"boxes": [[1, 2, 3]]}, "boxes have the shape (1, 3); it must be (n, 4)"),
        (
            {"scores": [0.5, 0.5]},
            "scores have the shape (2,); for 1 boxes it must be (1,)",
        ),
        (
            {"class_ids": [[1]]},
            "class_ids have the shape (1, 1); for 1 boxes it must be (1,)",
        ),
        ({"class_ids": [0.5]}, "class_ids are float64 with fractions; they must be whole numbers"),
        (
            {"boxes": [[0, 0, float("nan"), 1]]},
            "boxes hold NaN or infinity; all must be finite",
        ),
        ({"scores": [float("inf")]}, "scores hold NaN or infinity; all must be finite"),
    ],
)
def test_refuses(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"boxes": [[0, 0, 1, 1]], "scores": [0.5], "class_ids": [0]}
    with pytest.raises(ValueError) as caught:
        merge(**(arguments | change))
    assert str(caught.value) == message


def test_whole_floats_are_class_ids() -> None:
    """np.zeros(n) is what many pass."""
    class_ids: npt.NDArray[np.float64] = np.array([2.0])
    assert merge([[0, 0, 1, 1]], [0.5], class_ids)[2].tolist() == [2]


def test_the_examples_in_the_docstrings() -> None:
    result = doctest.testmod(merging)
    assert result.attempted > 0
    assert result.failed == 0
