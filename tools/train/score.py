"""How well a model does on the synthetic scene, through the project's own pipeline code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from actors.runtimes.contract import RuntimeSpec
from actors.runtimes.onnx import OnnxRuntime, inspect_onnx
from actors.scene.scene import Scene
from actors.scene.world import Truth
from actors.vision.cutting import Cutter
from actors.vision.heads import build, identify
from actors.vision.merging import merge, nms_indices
from actors.vision.tiling import Tile, View, plan, to_frame
from actors.vision.truncation import suppress_truncated, truncated_by_tile

from .data import FRAME, Subject

Floats = npt.NDArray[np.float32]

_IOU = 0.5
_COVERED = 0.5
_LOWEST = 0.05


class Detector:
    """One model and how it looks at a frame."""

    def __init__(self, path: Path, subject: Subject, threads: int = 1) -> None:
        file = inspect_onnx(str(path))
        self._runtime = OnnxRuntime(
            RuntimeSpec(kind="onnx", path=str(path), size=file.size, threads=threads)
        )
        head = identify(file.shapes, file.size, classes=len(file.labels), samples=file.samples)
        self._decode = build(head, file.size)
        self._cutter, self._first = Cutter(), subject.first_class
        self.size = file.size
        self._input = np.empty((file.size[1], file.size[0], 3), np.uint8)

    def detect(self, frame: npt.NDArray[np.uint8], view: View, conf: float = _LOWEST) -> Floats:
        """Boxes, scores and the scene's classes (n, 6) in a frame, merged."""
        size = (frame.shape[1], frame.shape[0])
        found = [self._look(frame, tile, size, conf) for tile in plan(view, size, self.size)]
        rows = np.concatenate(found)
        classes = rows[:, 5].astype(np.int64)
        rows = rows[suppress_truncated(rows[:, :4], classes, rows[:, 6] > 0)]
        boxes, scores, kinds = merge(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64))
        return np.column_stack((boxes, scores, kinds + self._first)).astype(np.float32)

    def _look(
        self, frame: npt.NDArray[np.uint8], tile: Tile, size: tuple[int, int], conf: float
    ) -> Floats:
        self._cutter.cut(frame, tile, self._input, "rgb")
        rows = self._decode(self._runtime.run(self._input), conf)
        if len(rows) > 1:
            rows = rows[nms_indices(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64))]
        boxes = to_frame(rows[:, :4], tile, size)
        cut = truncated_by_tile(boxes, tile, size)
        return np.column_stack((boxes, rows[:, 4:6], cut)).astype(np.float32)


@dataclass(frozen=True)
class Tally:
    """Every detection's score and whether it was right, and how many targets there were."""

    scores: Floats
    right: npt.NDArray[np.bool_]
    asked: int

    def at(self, conf: float) -> tuple[float, float]:
        """(recall, precision) of the detections with at least this score."""
        sure = self.scores >= conf
        right = int((self.right & sure).sum())
        return right / max(self.asked, 1), right / max(int(sure.sum()), 1)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            np.concatenate((self.scores, other.scores)),
            np.concatenate((self.right, other.right)),
            self.asked + other.asked,
        )


EMPTY = Tally(np.zeros(0, np.float32), np.zeros(0, np.bool_), 0)


def compare(found: Floats, truth: Truth, kinds: Sequence[int]) -> Tally:
    """Detections (n, 6), best first, against the targets of these classes.

    Right: IoU of at least 0.5 with a target of its class that no better one has taken. What lies
    half or more on an ignored target, or takes one, counts neither as right nor as wrong.
    """
    chosen = np.isin(truth.class_ids, kinds)
    boxes, classes = truth.boxes[chosen].astype(np.float64), truth.class_ids[chosen]
    ignored = truth.ignored[chosen]
    shared = _shared(found[:, :4], boxes)
    sizes, areas = (np.prod(b[:, 2:4] - b[:, :2], axis=1) for b in (found, boxes))
    iou = shared / np.maximum(sizes[:, None] + areas - shared, 1e-9)
    iou[found[:, 5][:, None] != classes] = 0
    free, right, counted = np.ones(len(boxes), bool), [], []
    for index in range(len(found)):
        rank = np.where(free & ~ignored, iou[index], 0)
        best = int(rank.argmax()) if len(rank) else -1
        hit = best >= 0 and rank[best] >= _IOU
        if hit:
            free[best] = False
        open_ = shared[index, ignored].max(initial=0.0) >= _COVERED * sizes[index]
        right.append(hit)
        counted.append(hit or not open_)
    keep = np.array(counted, bool)
    return Tally(found[keep, 4], np.array(right, bool)[keep], int((~ignored).sum()))


def _shared(first: Floats, second: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:4], second[None, :, 2:])
    common: npt.NDArray[np.float64] = np.clip(high - low, 0, None).prod(axis=2)
    return common


def score(
    detector: Detector, subject: Subject, view: View, seeds: Iterable[int], frames: Sequence[int]
) -> Tally:
    """The tally over these frames of the scenes with these seeds."""
    first = subject.first_class
    kinds = range(first, first + len(subject.labels))
    total = EMPTY
    pixels = np.empty((FRAME[1], FRAME[0], 3), np.uint8)
    for seed in seeds:
        scene = Scene(FRAME, seed)
        for number in frames:
            scene.frame(number, pixels)
            total += compare(detector.detect(pixels, view), scene.truth(number), kinds)
    return total
