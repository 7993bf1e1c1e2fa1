"""Detections against known targets: right, wrong and missed by score and size, and COCO's mAP.

Plain arrays in, figures out; no run, file or class name in here. One frame is a pair of `Targets`
and `Found`, and both functions treat it alike:

- A detection is right when it meets a target of its class that no better detection has met, at an
  IoU of at least `iou`. The best score chooses first, and takes the target that it meets best.
- A target with `ignore` (COCO's iscrowd) is not asked for. A detection of its class that met no
  target, and lies with its share `iou` or more inside it, is neither right nor wrong.
- In `regions` nothing is judged: what lies half or more in one, target or detection, of whatever
  class, counts neither way.

mAP is by pycocotools, the reference implementation: figures compare with published ones because the
same code made them. It needs numpy only, and has wheels for aarch64 from glibc 2.17 on.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

COCO_SIZES = (32.0, 96.0)
"""Sides in pixels: small is an area below 32^2, medium below 96^2, large the rest."""
SIZE_NAMES = ("small", "medium", "large")
# COCO's own limit of 100 boxes of a class in a frame is too low for a crowd seen through tiles.
_MOST_BOXES = 1000
_UNMATCHED, _IGNORED = -1, -2


def _no_boxes() -> Floats:
    return np.zeros((0, 4))


@dataclass(frozen=True, eq=False)
class Targets:
    """What is to be found in one frame. Boxes are x1, y1, x2, y2 in pixels of the frame."""

    boxes: Floats
    """(n, 4)"""
    classes: Ints
    """(n,)"""
    ignore: Bools
    """(n,): not asked for, and no mistake to find."""
    areas: Floats
    """(n,): square pixels, for the size; of a shape within the box where that is known."""
    regions: Floats = field(default_factory=_no_boxes)
    """(m, 4): where nothing is judged."""


@dataclass(frozen=True, eq=False)
class Found:
    """What was found in one frame: boxes (n, 4) as in Targets, scores and classes (n,)."""

    boxes: Floats
    scores: Floats
    classes: Ints


@dataclass(frozen=True, eq=False)
class Verdicts:
    """All frames' detections and targets, judged. Areas in square pixels."""

    right_scores: Floats
    """(r,): of each detection that is right, and beside it the area of the target that it met."""
    right_areas: Floats
    wrong_scores: Floats
    """(w,): of each that is wrong, and its own area."""
    wrong_areas: Floats
    target_areas: Floats
    """(n,): of each target that is asked for."""


@dataclass(frozen=True)
class Count:
    """Right, wrong and missed from one score on. Recall and precision are None for 0 of 0."""

    right: int
    wrong: int
    missed: int

    @property
    def recall(self) -> float | None:
        return self.right / (self.right + self.missed) if self.right + self.missed else None

    @property
    def precision(self) -> float | None:
        return self.right / (self.right + self.wrong) if self.right + self.wrong else None


@dataclass(frozen=True)
class CocoMap:
    """COCO's averages of precision, over the classes that have targets; None where none has."""

    map: float | None
    """Mean over the IoU thresholds 0.50, 0.55, ... 0.95."""
    ap50: float | None
    ap75: float | None
    by_size: dict[str, float | None]
    """As `map`, for small, medium and large targets."""


def area(boxes: Floats) -> Floats:
    """(n,) of boxes (n, 4), square pixels."""
    sides: Floats = (boxes[:, 2:] - boxes[:, :2]).clip(0)
    return sides[:, 0] * sides[:, 1]


def judge(frames: Iterable[tuple[Targets, Found]], iou: float = 0.5) -> Verdicts:
    """Which detections are right and which wrong; `count` then counts them from a score on.

    A detection's verdict does not depend on worse ones, so one pass serves every threshold.
    """
    parts: list[tuple[Floats, ...]] = [(np.zeros(0),) * 5]
    for frame in frames:
        targets, found = _outside_regions(*frame)
        met = _match(targets, found, iou)
        right, wrong = met >= 0, met == _UNMATCHED
        parts.append(
            (
                found.scores[right],
                targets.areas[met[right]],
                found.scores[wrong],
                area(found.boxes[wrong]),
                targets.areas[~targets.ignore],
            )
        )
    return Verdicts(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def count(verdicts: Verdicts, score: float, smallest: float = 0.0, below: float = np.inf) -> Count:
    """Right, wrong and missed among detections with that score or more.

    Of areas from `smallest` to just under `below`: the target's, or of a wrong detection its own.
    """

    def many(areas: Floats, scores: Floats | None = None) -> int:
        of_size = (areas >= smallest) & (areas < below)
        return int(np.sum(of_size if scores is None else of_size & (scores >= score)))

    right = many(verdicts.right_areas, verdicts.right_scores)
    wrong = many(verdicts.wrong_areas, verdicts.wrong_scores)
    return Count(right, wrong, many(verdicts.target_areas) - right)


def precision_recall(verdicts: Verdicts) -> tuple[Floats, Floats, Floats]:
    """Scores (n,) from the highest down, and recall and precision from each score on.

    Over all classes and sizes together, at the IoU that `judge` was given.
    """
    scores = np.concatenate([verdicts.right_scores, verdicts.wrong_scores])
    order = np.argsort(-scores, kind="stable")
    scores = scores[order]
    right = np.cumsum(order < len(verdicts.right_scores))
    # Detections of one score count together.
    last = np.append(scores[1:] != scores[:-1], True)[: len(scores)]
    recall = right / max(1, len(verdicts.target_areas))
    precision = right / np.arange(1, len(scores) + 1)
    return scores[last], recall[last], precision[last]


def size_ranges(sizes: tuple[float, float] = COCO_SIZES) -> dict[str, tuple[float, float]]:
    """The areas of small, medium and large, each from and below, by two sides in pixels."""
    bounds = (0.0, sizes[0] ** 2, sizes[1] ** 2, np.inf)
    return dict(zip(SIZE_NAMES, pairwise(bounds), strict=True))


def coco_map(
    truth: Sequence[Targets], found: Sequence[Found], sizes: tuple[float, float] = COCO_SIZES
) -> CocoMap:
    """COCO's mAP of as many frames, at most 1000 boxes a class and frame (COCO: 100).

    Raises ImportError where pycocotools is absent.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    frames = [_outside_regions(*frame) for frame in zip(truth, found, strict=True)]
    categories = sorted({int(c) for t, f in frames for c in (*t.classes, *f.classes)})
    known: list[dict[str, Any]] = []
    given: list[dict[str, Any]] = []
    for image, (targets, hits) in enumerate(frames):
        known += _annotations(image, targets.boxes, targets.classes, targets.areas, targets.ignore)
        own = area(hits.boxes)
        given += _annotations(image, hits.boxes, hits.classes, own, np.zeros(len(own), bool))
        for entry, score in zip(given[len(given) - len(own) :], hits.scores, strict=True):
            entry["score"] = float(score)
    # It prints what it does.
    with contextlib.redirect_stdout(io.StringIO()):
        sets = []
        for annotations in (known, given):
            coco = COCO()
            coco.dataset = {
                "images": [{"id": image} for image in range(len(frames))],
                "categories": [{"id": category} for category in categories],
                # From 1: it takes the number 0 for "no match".
                "annotations": [{**a, "id": i} for i, a in enumerate(annotations, 1)],
            }
            coco.createIndex()
            sets.append(coco)
        evaluation = COCOeval(*sets, "bbox")
        ranges = [(0.0, np.inf), *size_ranges(sizes).values()]
        evaluation.params.areaRng = [list(pair) for pair in ranges]
        evaluation.params.areaRngLbl = ["all", *SIZE_NAMES]
        evaluation.params.maxDets = [_MOST_BOXES]
        evaluation.evaluate()
        evaluation.accumulate()
    # By IoU threshold, recall, class, size, limit; -1 where there is no target.
    precision = evaluation.eval["precision"][..., 0]
    return CocoMap(
        map=_mean(precision[..., 0]),
        ap50=_mean(precision[0, ..., 0]),
        ap75=_mean(precision[5, ..., 0]),
        by_size={name: _mean(precision[..., i]) for i, name in enumerate(SIZE_NAMES, 1)},
    )


def _annotations(
    image: int, boxes: Floats, classes: Ints, areas: Floats, crowd: Bools
) -> list[dict[str, Any]]:
    corners = np.column_stack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]).tolist()
    columns = (corners, classes.tolist(), areas.tolist(), crowd.astype(int).tolist())
    return [
        {"image_id": image, "bbox": box, "category_id": kind, "area": size, "iscrowd": many}
        for box, kind, size, many in zip(*columns, strict=True)
    ]


def _mean(precision: Floats) -> float | None:
    there = precision[precision > -1]
    return float(there.mean()) if there.size else None


def _outside_regions(targets: Targets, found: Found) -> tuple[Targets, Found]:
    """Without what lies half or more inside a region."""
    if not len(targets.regions):
        return targets, found

    def stay(boxes: Floats) -> Bools:
        inside = _intersections(boxes, targets.regions).max(axis=1, initial=0.0)
        judged: Bools = (inside == 0) | (inside < 0.5 * area(boxes))
        return judged

    asked, given = stay(targets.boxes), stay(found.boxes)
    return (
        Targets(
            targets.boxes[asked],
            targets.classes[asked],
            targets.ignore[asked],
            targets.areas[asked],
        ),
        Found(found.boxes[given], found.scores[given], found.classes[given]),
    )


def _match(targets: Targets, found: Found, iou: float) -> Ints:
    """(n,): the index of the target that each detection met, _UNMATCHED or _IGNORED."""
    shared = _intersections(found.boxes, targets.boxes)
    shared[found.classes[:, None] != targets.classes[None]] = 0.0
    own = area(found.boxes)[:, None]
    overlap = _ratio(shared, own + area(targets.boxes)[None] - shared)
    inside = _ratio(shared, own)[:, targets.ignore].max(axis=1, initial=0.0)
    met = np.where(inside >= iou, _IGNORED, _UNMATCHED)
    free = ~targets.ignore
    if not free.any():
        return met
    overlap[:, targets.ignore] = 0.0
    for index in np.argsort(-found.scores, kind="stable"):
        row = overlap[index] * free
        best = int(row.argmax())
        if row[best] >= iou:
            free[best] = False
            met[index] = best
    return met


def _intersections(first: Floats, second: Floats) -> Floats:
    """(n, m) shared areas of boxes (n, 4) and (m, 4)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared: Floats = np.prod((high - low).clip(0), axis=2)
    return shared


def _ratio(part: Floats, whole: Floats) -> Floats:
    """A box without area overlaps nothing."""
    whole = np.broadcast_to(whole, part.shape)
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
