"""Scores of the heads that have an objectness: YOLOv5 and YOLOX.

A cell (YOLOv5: a cell's anchor) has 4 box values, the probability of an object, and the
classes' given that; the score is their product. So a cell whose objectness alone is below the
threshold is out, and the classes, 80 of 85 values, are never read for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.vision.heads.decoding import Floats, Indexes, level_of, sigmoid
from actors.vision.heads.description import HeadDescription

BOX_AND_OBJECT = 5


@dataclass(frozen=True)
class Survivors:
    """Cells whose score reaches the threshold."""

    index: Indexes
    """(k,) place among all cells: by tensor, then by anchor, then row by row."""
    box: Floats
    """(k, 4) box values as the model gives them."""
    scores: Floats
    """(k,) probabilities."""
    classes: Indexes
    """(k,)"""


def survivors(
    outputs: Sequence[npt.NDArray[Any]], description: HeadDescription, conf: float
) -> Survivors | None:
    """The cells of all tensors of a head whose best class reaches `conf`; None where none does.

    Tensors are (1, anchors * channels, h, w), or with the channels last (1, ..., channels).
    """
    channels = BOX_AND_OBJECT + description.classes
    level = level_of(conf, description.logits)
    places, values = [], []
    first = 0
    for output in description.order:
        tensor = np.asarray(outputs[output], np.float32)
        pick = _rows if description.channels_last else _columns
        index, rows = pick(tensor, channels, level)
        if index.size:
            places.append(index + first)
            values.append(rows)
        first += tensor.size // channels
    if not places:
        return None
    return _best_class(np.concatenate(places), np.concatenate(values), description.logits, conf)


def _rows(tensor: Floats, channels: int, level: float) -> tuple[Indexes, Floats]:
    rows = tensor.reshape(-1, channels)
    index = np.flatnonzero(rows[:, 4] >= level)
    return index, rows[index]


def _columns(tensor: Floats, channels: int, level: float) -> tuple[Indexes, Floats]:
    cells = tensor.shape[2] * tensor.shape[3]
    planes = tensor.reshape(-1, channels, cells)
    index = np.flatnonzero(planes[:, 4] >= level)
    anchor, cell = np.divmod(index, cells)
    return index, planes[anchor, :, cell]


def _best_class(index: Indexes, rows: Floats, logits: bool, conf: float) -> Survivors | None:
    classes = rows[:, BOX_AND_OBJECT:].argmax(axis=1)
    best = rows[np.arange(index.size), BOX_AND_OBJECT + classes]
    scores = sigmoid(rows[:, 4]) * sigmoid(best) if logits else rows[:, 4] * best
    keep = (scores >= conf).nonzero()[0]
    if not keep.size:
        return None
    return Survivors(index[keep], rows[keep, :4], scores[keep], classes[keep])
