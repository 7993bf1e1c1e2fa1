"""How well detections match the street video's ground truth: recall and precision at IoU 0.5."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tools.ground_truth import found, of_known_labels, read_truth
from tools.scoring import count, judge


class GroundTruth:
    """The annotated frames of the street video."""

    def __init__(self, path: Path) -> None:
        self._truth = read_truth(str(path), {"cam0": "street.mp4"})

    def score(self, records: Iterable[Mapping[str, Any]]) -> tuple[float, float]:
        """(recall, precision) of the people in these result records, on annotated frames."""
        frames = []
        for record in records:
            targets = self._truth.targets(record)
            if targets is not None:
                people, _ = of_known_labels(found(record, self._truth.numbers), self._truth)
                frames.append((targets, people))
        total = count(judge(frames), 0.0)
        assert total.recall is not None
        assert total.precision is not None
        return total.recall, total.precision
