"""Right, wrong and missed against a matcher written out in plain loops, and mAP by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.scoring import (
    COCO_SIZES,
    Count,
    Found,
    Targets,
    area,
    coco_map,
    count,
    judge,
    precision_recall,
)
from tools.scoring import size_ranges as ranges

Box = tuple[float, float, float, float]


def targets(
    boxes: list[Box],
    classes: list[int] | None = None,
    ignore: list[bool] | None = None,
    regions: list[Box] | None = None,
) -> Targets:
    corners = np.array(boxes, np.float64).reshape(-1, 4)
    return Targets(
        corners,
        np.array(classes or [0] * len(boxes), np.int64),
        np.array(ignore or [False] * len(boxes), bool),
        area(corners),
        np.array(regions or [], np.float64).reshape(-1, 4),
    )


def found(boxes: list[Box], scores: list[float], classes: list[int] | None = None) -> Found:
    return Found(
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(scores, np.float64),
        np.array(classes or [0] * len(boxes), np.int64),
    )


# ---------------------------------------------------------------- the plain loops


def size(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def shared(a: Box, b: Box) -> float:
    across = min(a[2], b[2]) - max(a[0], b[0])
    down = min(a[3], b[3]) - max(a[1], b[1])
    return across * down if across > 0 and down > 0 else 0.0


def overlap(a: Box, b: Box) -> float:
    both = size(a) + size(b) - shared(a, b)
    return shared(a, b) / both if both > 0 else 0.0


def in_region(box: Box, regions: list[Box]) -> bool:
    return any(shared(box, r) > 0 and shared(box, r) >= 0.5 * size(box) for r in regions)


def plainly(
    frame: tuple[Targets, Found], iou: float, score: float, low: float, high: float
) -> Count:
    """At this threshold alone: worse detections are not even looked at."""
    truth, hits = frame
    regions = [tuple(r) for r in truth.regions.tolist()]
    known = [
        (tuple(box), kind, ignored)
        for box, kind, ignored in zip(
            truth.boxes.tolist(), truth.classes.tolist(), truth.ignore.tolist(), strict=True
        )
        if not in_region(tuple(box), regions)
    ]
    given = [
        (points, tuple(box), kind)
        for points, box, kind in zip(
            hits.scores.tolist(), hits.boxes.tolist(), hits.classes.tolist(), strict=True
        )
        if points >= score and not in_region(tuple(box), regions)
    ]
    right = wrong = 0
    met: set[int] = set()
    for _, box, kind in sorted(given, key=lambda one: -one[0]):
        best, best_overlap = None, 0.0
        for index, (target, target_kind, ignored) in enumerate(known):
            if ignored or index in met or target_kind != kind:
                continue
            if overlap(box, target) >= iou and overlap(box, target) > best_overlap:
                best, best_overlap = index, overlap(box, target)
        if best is not None:
            met.add(best)
            right += low <= size(known[best][0]) < high
        elif not any(
            ignored and same == kind and size(box) and shared(box, target) / size(box) >= iou
            for target, same, ignored in known
        ):
            wrong += low <= size(box) < high
    asked = sum(not ignored and low <= size(box) < high for box, _, ignored in known)
    return Count(right, wrong, asked - right)


# On a coarse grid: equal overlaps, overlaps of exactly a half, empty and equal boxes are common.
corner = st.integers(0, 6)
boxes = st.tuples(corner, corner, corner, corner).map(
    lambda c: tuple(20.0 * v for v in (min(c[0], c[2]), min(c[1], c[3]), max(c[::2]), max(c[1::2])))
)
target_lists = st.lists(st.tuples(boxes, st.integers(0, 1), st.booleans()), max_size=6)
found_lists = st.lists(
    st.tuples(boxes, st.integers(0, 1), st.sampled_from([0.1, 0.3, 0.3, 0.5, 0.7])), max_size=8
)


@given(target_lists, found_lists, st.lists(boxes, max_size=2), st.sampled_from([0.25, 0.5, 1.0]))
def test_one_pass_gives_what_plain_loops_give_at_every_threshold(
    known: list[tuple[Box, int, bool]],
    given_: list[tuple[Box, int, float]],
    regions: list[Box],
    iou: float,
) -> None:
    frame = (
        targets(
            [b for b, _, _ in known], [k for _, k, _ in known], [i for *_, i in known], regions
        ),
        found([b for b, _, _ in given_], [s for *_, s in given_], [k for _, k, _ in given_]),
    )
    verdicts = judge([frame], iou)
    for score in (0.0, 0.2, 0.3, 0.6):
        for low, high in [(0.0, np.inf), *ranges((20.0, 40.0)).values()]:
            wanted = plainly(frame, iou, score, low, high)
            assert count(verdicts, score, low, high) == wanted


# ---------------------------------------------------------------- by hand


def test_the_better_detection_gets_the_target_and_the_other_is_wrong() -> None:
    one = targets([(0, 0, 100, 100)])
    twice = found([(0, 0, 100, 90), (0, 0, 100, 100)], [0.9, 0.8])
    verdicts = judge([(one, twice)])
    assert count(verdicts, 0.0) == Count(1, 1, 0)
    assert count(verdicts, 0.85) == Count(1, 0, 0)
    assert count(verdicts, 0.95) == Count(0, 0, 1)


def test_another_class_is_no_match() -> None:
    frame = (targets([(0, 0, 50, 50)], [1]), found([(0, 0, 50, 50)], [0.9], [0]))
    assert count(judge([frame]), 0.0) == Count(0, 1, 1)


def test_an_ignored_box_is_not_asked_for_and_excuses_many() -> None:
    crowd = targets([(0, 0, 200, 200), (300, 0, 340, 40)], ignore=[True, False])
    hits = found(
        [(10, 10, 60, 60), (100, 100, 150, 150), (180, 180, 280, 280), (300, 0, 340, 40)],
        [0.9, 0.8, 0.7, 0.6],
    )
    assert count(judge([(crowd, hits)]), 0.0) == Count(right=1, wrong=1, missed=0)


def test_in_a_region_nothing_counts_whatever_its_class() -> None:
    inside: list[Box] = [(0, 0, 50, 50), (60, 60, 110, 90)]
    frame = (
        targets([*inside, (95, 0, 135, 40)], [0, 1, 0], regions=[(0, 0, 100, 100)]),
        found([*inside, (20, 20, 60, 60), (95, 0, 135, 40)], [0.9] * 4, [2, 1, 0, 0]),
    )
    assert count(judge([frame]), 0.0) == Count(1, 0, 0)
    half_in = found([(80, 0, 120, 40)], [0.9])
    assert count(judge([(frame[0], half_in)]), 0.0) == Count(0, 0, 1)


def test_sizes_go_by_the_target_and_for_a_wrong_detection_by_its_own() -> None:
    frame = (
        targets([(0, 0, 32, 32), (100, 0, 131, 31), (200, 0, 400, 200)]),
        found([(0, 0, 30, 30), (500, 500, 510, 510), (200, 0, 400, 200)], [0.9, 0.9, 0.9]),
    )
    small, medium, large = (
        count(judge([frame]), 0.5, *areas) for areas in ranges(COCO_SIZES).values()
    )
    assert (small, medium, large) == (Count(0, 1, 1), Count(1, 0, 0), Count(1, 0, 0))


def test_of_nothing_there_is_no_share() -> None:
    nothing = count(judge([]), 0.5)
    assert nothing == Count(0, 0, 0)
    assert (nothing.recall, nothing.precision) == (None, None)
    assert Count(3, 1, 2).recall == pytest.approx(0.6)
    assert Count(3, 1, 2).precision == pytest.approx(0.75)


# ---------------------------------------------------------------- mAP


def test_map_of_a_case_reckoned_by_hand() -> None:
    """Right, wrong, right by score: precision 1 up to recall 1/2, and 2/3 up to 1."""
    truth = targets([(0, 0, 40, 40), (100, 0, 140, 40)])
    # The second meets its target at IoU 29 / 40 = 0.725: at five of the ten thresholds.
    hits = found([(0, 0, 40, 40), (300, 0, 340, 40), (100, 0, 129, 40)], [0.9, 0.8, 0.7])
    both, first = (51 + 50 * 2 / 3) / 101, 51 / 101
    measured = coco_map([truth], [hits])
    assert measured.ap50 == pytest.approx(both)
    assert measured.ap75 == pytest.approx(first)
    assert measured.map == pytest.approx((5 * both + 5 * first) / 10)
    assert measured.by_size == {"small": None, "medium": measured.map, "large": None}


def test_map_leaves_out_what_is_ignored() -> None:
    region: list[Box] = [(400, 0, 600, 200)]
    truth = targets([(0, 0, 40, 40), (100, 100, 300, 300)], ignore=[False, True], regions=region)
    extra: list[Box] = [(120, 120, 160, 160), (410, 10, 450, 50)]
    hits = found([*extra, (0, 0, 40, 40)], [0.9, 0.8, 0.7])
    assert coco_map([truth], [hits]).map == pytest.approx(1.0)
    assert coco_map([targets([(0, 0, 40, 40)])], [hits]).map == pytest.approx(1 / 3)


def test_map_without_detections_or_targets() -> None:
    some, none = targets([(0, 0, 40, 40)]), found([], [])
    assert coco_map([some], [none]).map == 0.0
    assert coco_map([targets([])], [found([(0, 0, 9, 9)], [0.5])]).map is None
    assert coco_map([], []).map is None


def test_more_than_a_hundred_detections_of_a_frame_count() -> None:
    many: list[Box] = [(30.0 * i, 0, 30.0 * i + 20, 20) for i in range(150)]
    assert coco_map([targets(many)], [found(many, [0.5] * 150)]).map == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(20))
def test_the_curve_of_the_verdicts_has_the_area_that_the_library_finds(seed: int) -> None:
    """AP50 from right, wrong and missed at every score, at COCO's 101 recalls."""
    random = np.random.default_rng(seed)
    frames = []
    for _ in range(5):
        corners = random.uniform(0, 200, (8, 2))
        known = np.hstack([corners, corners + random.uniform(10, 80, (8, 2))])
        near = np.vstack([known + random.normal(0, 6, (8, 4)), known[:3] + 100])
        truth = Targets(known, random.integers(0, 2, 8), random.random(8) < 0.2, area(known))
        classes = np.concatenate([truth.classes, truth.classes[:3]])
        frames.append((truth, Found(near, random.random(11), classes)))
    averages = []
    for kind in (0, 1):
        verdicts = judge([only(kind, *frame) for frame in frames])
        scores = np.sort(np.concatenate([verdicts.right_scores, verdicts.wrong_scores]))[::-1]
        curve = [count(verdicts, score) for score in scores]
        best = [
            max((c.precision or 0.0 for c in curve if (c.recall or 0.0) >= recall), default=0.0)
            for recall in np.linspace(0, 1, 101)
        ]
        averages.append(np.mean(best))
    measured = coco_map([t for t, _ in frames], [f for _, f in frames])
    assert measured.ap50 == pytest.approx(np.mean(averages), abs=1e-9)


def only(kind: int, truth: Targets, hits: Found) -> tuple[Targets, Found]:
    """What is of one class."""
    known, given_ = truth.classes == kind, hits.classes == kind
    return (
        Targets(
            *(column[known] for column in (truth.boxes, truth.classes, truth.ignore, truth.areas))
        ),
        Found(hits.boxes[given_], hits.scores[given_], hits.classes[given_]),
    )


def test_the_precision_recall_curve_passes_through_the_counts() -> None:
    boxes: list[Box] = [(20.0 * n, 0, 20.0 * n + 10, 10) for n in range(6)]
    hits = found([*boxes[:4], *[(500.0, 20.0 * n, 510, 20.0 * n + 10) for n in range(4)]],
                 [0.9, 0.8, 0.8, 0.3, 0.85, 0.8, 0.5, 0.1])  # fmt: skip
    verdicts = judge([(targets(boxes), hits)])
    scores, recall, precision = precision_recall(verdicts)
    assert scores.tolist() == [0.9, 0.85, 0.8, 0.5, 0.3, 0.1]
    for score, of_all, of_found in zip(scores, recall, precision, strict=True):
        expected = count(verdicts, float(score))
        assert (of_all, of_found) == (expected.recall, expected.precision)


def test_the_precision_recall_curve_of_nothing() -> None:
    for frame in ((targets([]), found([], [])), (targets([(0, 0, 9, 9)]), found([], []))):
        assert [len(column) for column in precision_recall(judge([frame]))] == [0, 0, 0]
