"""The arithmetic that the heads share: cells, logits, and the array that a decoder returns.

Everything here works on the survivors of a score threshold, never on a whole tensor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from actors.vision.heads.description import STRIDES

Floats = npt.NDArray[np.float32]
Indexes = npt.NDArray[np.intp]


class Decoder(Protocol):
    """Turns the outputs of one inference into detections. Holds no state: threads may share it."""

    def __call__(self, outputs: Sequence[npt.NDArray[Any]], conf: float) -> Floats:
        """Detections with a score of at least `conf`, at most one a cell: its best class.

        `outputs`: the model's tensors in the model's order, float32 (float16 costs a copy).
        Returns float32 (n, 6): x1, y1, x2, y2 in pixels of the model's input, not clipped to
        it; score; class.
        """
        ...


def cell_table(model: tuple[int, int], per_cell: int = 1) -> tuple[Floats, Floats]:
    """Centres (n, 2) and strides (n, 1) in pixels of all cells: scale by scale, row by row.

    With several anchors `per_cell`, each scale's cells come that many times.
    """
    width, height = model
    centres, strides = [], []
    for stride in STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride]
        centre = (np.stack((x.ravel(), y.ravel()), axis=1) + 0.5) * stride
        centres.append(np.tile(centre, (per_cell, 1)))
        strides.append(np.full((per_cell * x.size, 1), stride))
    return (
        np.concatenate(centres).astype(np.float32),
        np.concatenate(strides).astype(np.float32),
    )


def sigmoid(values: Floats) -> Floats:
    """1 / (1 + exp(-x)), float32, without overflow."""
    # exp(88.8) is where float32 ends, and a logit beyond 80 is a certainty anyway.
    return np.reciprocal(1.0 + np.exp(-np.clip(values, -80.0, 80.0)), dtype=np.float32)


def level_of(conf: float, logits: bool) -> float:
    """What a raw score must reach so that its probability can reach `conf`.

    For logits that is a hair below logit(conf), since sigmoid and logit round differently:
    after filtering by it, the probability must be compared with `conf`.
    """
    if not logits:
        return conf
    if conf <= 0.0:
        return -math.inf
    # From a logit of 17 on, the sigmoid is 1 in float32.
    return min(math.log(conf / (1.0 - conf)), 16.0) - 1e-3 if conf < 1.0 else 16.0


def detections(low: Floats, high: Floats, scores: Floats, classes: Indexes) -> Floats:
    """A decoder's result from corners (n, 2) and (n, 2), scores (n,) and classes (n,)."""
    result = np.empty((len(scores), 6), np.float32)
    result[:, 0:2] = low
    result[:, 2:4] = high
    result[:, 4] = scores
    result[:, 5] = classes
    return result


def centred(centre: Floats, size: Floats, scores: Floats, classes: Indexes) -> Floats:
    """A decoder's result from centres and sizes, both (n, 2)."""
    half = size * 0.5
    return detections(centre - half, centre + half, scores, classes)


def no_detections() -> Floats:
    """A decoder's result without detections: (0, 6)."""
    return np.empty((0, 6), np.float32)
