"""How well detections match the street video's ground truth: recall and precision at IoU 0.5.

As described beside the data: a detection that lies half or more inside an ignore region counts
neither as right nor as wrong, and people whose boxes do so are not asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.float64]


def _intersections(first: Boxes, second: Boxes) -> Boxes:
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    return np.prod(np.clip(high - low, 0, None), axis=2)


def _areas(boxes: Boxes) -> Boxes:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _counted(boxes: Boxes, ignore: Boxes) -> npt.NDArray[np.bool_]:
    inside = _intersections(boxes, ignore).max(axis=1, initial=0.0)
    return inside < 0.5 * _areas(boxes)


class Truth:
    """The annotated frames of the street video."""

    def __init__(self, path: Path) -> None:
        data = json.loads(path.read_text())
        # The regions are [x1, y1, x2, y2].
        self._ignore = np.array(data["ignore"], np.float64)
        self._people: dict[int, Boxes] = {}
        for annotation in data["annotations"]:
            boxes = np.array([item["bbox"] for item in annotation["objects"]], np.float64)
            boxes[:, 2:] += boxes[:, :2]
            self._people[annotation["frame"]] = boxes[_counted(boxes, self._ignore)]

    def score(self, records: Iterable[Mapping[str, Any]]) -> tuple[float, float]:
        """(recall, precision) of the people in these result records, on annotated frames."""
        right = found = people = 0
        for record in records:
            truth = self._people.get(record["source_frame"])
            if truth is None:
                continue
            boxes = np.array(
                [d["box"] for d in record["detections"] if d["label"] == "person"], np.float64
            ).reshape(-1, 4)
            boxes = boxes[_counted(boxes, self._ignore)]
            right += _matches(boxes, truth)
            found += len(boxes)
            people += len(truth)
        return right / people, right / found


def _matches(boxes: Boxes, truth: Boxes) -> int:
    """How many detections, best score first, each match a person that no other has matched."""
    overlap = _intersections(boxes, truth)
    iou = overlap / (_areas(boxes)[:, None] + _areas(truth)[None] - overlap)
    free = np.ones(len(truth), bool)
    count = 0
    for row in iou:
        candidates = np.where(free, row, 0.0)
        best = int(candidates.argmax()) if len(candidates) else 0
        if len(candidates) and candidates[best] >= 0.5:
            free[best] = False
            count += 1
    return count
