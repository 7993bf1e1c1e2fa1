"""YOLOv8, YOLO11 and their like: no anchors, no objectness, box sides as distributions.

Two layouts. `yolov8`: tensors per scale, as the vendor's model zoo exports them or as a graph is
cut before its last concatenation. A box side is a distribution over 16 distances (in strides,
from the cell's centre): its expectation after a softmax ("distribution focal loss", Li et al.
2020, arXiv:2006.04388). `yolov8-stock`: the one decoded tensor of an Ultralytics export.

Both look for cells with a class above the threshold first, and read the boxes of those only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from actors.vision.heads.decoding import (
    Floats,
    Indexes,
    cell_table,
    centred,
    detections,
    level_of,
    no_detections,
    sigmoid,
)
from actors.vision.heads.description import STRIDES, HeadDescription, Outputs, is_probability

_BINS = 16
_BOX = 4 * _BINS

# The sum of the scores is quantised on its own: it and the best class may each be off by half of
# an int8 step (1/255), and a float16 sum by less. A larger slack only lets a few more cells pass.
_SUM_SLACK = 0.02
# A calibration that never saw a sure object may clip the sum below 1. Nearly all cells are below
# one half, so a higher threshold would save nothing and could lose detections.
_SUM_HIGHEST = 0.5


def recognise_scales(outputs: Outputs) -> HeadDescription | None:
    """Per scale (1, 64, h, w) and (1, classes, h, w) [and (1, 1, h, w)], or all in one tensor."""
    joined = outputs.one_plane_a_scale()
    if joined is not None:
        return _recognise_joined(outputs, *joined)
    scales = [_split(scale, outputs.samples) for scale in outputs.planes() or ()]
    found = [scale for scale in scales if scale is not None]
    counts = {scale.classes for scale in found}
    if not found or len(found) != len(scales) or len(counts) != 1:
        return None
    classes = outputs.class_count(counts.pop())
    if classes is None:
        return None
    summed = all(scale.total is not None for scale in found)
    logits = outputs.are_logits([(s.scores, slice(None)) for s in found], default=not summed)
    order: list[int] = []
    for scale in found:
        order += (scale.box, scale.scores)
        # A sum beside logits is of something else than probabilities: do without it.
        if scale.total is not None and not logits:
            order.append(scale.total)
    return HeadDescription("yolov8", classes, logits, tuple(order))


def _recognise_joined(
    outputs: Outputs, channels: int, order: tuple[int, ...]
) -> HeadDescription | None:
    classes = outputs.class_count_of_pose(_BOX, channels - _BOX, order, quiet=0.0)
    if classes is None:
        return None
    scores = slice(_BOX, _BOX + classes)
    logits = outputs.are_logits([(i, scores) for i in order], default=True)
    return HeadDescription("yolov8", classes, logits, order)


class _Scale(NamedTuple):
    """Output indexes of one scale's tensors, and the number of classes."""

    box: int
    scores: int
    total: int | None
    classes: int


def _split(
    scale: list[tuple[int, int]], samples: Sequence[npt.NDArray[Any]] | None
) -> _Scale | None:
    """Tell the two or three tensors (index, channels) of one scale apart, or None.

    Where channels do not decide, the model's order does, which is box, scores, sum. With one
    class scores and sum are the same numbers. With 64 classes a sample is asked first: class
    probabilities stay within [0, 1], box logits do not.
    """
    boxes = [index for index, channels in scale if channels == _BOX]
    if not boxes or len(scale) not in (2, 3):
        return None
    box = boxes[0]
    if len(boxes) == 2 and samples is not None:
        logits = [index for index in boxes if not is_probability(samples[index])]
        box = logits[0] if len(logits) == 1 else box
    rest = [(index, channels) for index, channels in scale if index != box]
    total = None
    if len(rest) == 2:
        sums = [item for item in rest if item[1] == 1]
        if not sums:
            return None
        rest.remove(sums[-1])
        total = sums[-1][0]
    scores, classes = rest[0]
    return _Scale(box, scores, total, classes)


class ScaleDecoder:
    """Decodes per-scale tensors: of the survivors, expectation of each side, then corners."""

    def __init__(self, description: HeadDescription, model: tuple[int, int]) -> None:
        self._classes = description.classes
        self._logits = description.logits
        parts = len(description.order) // len(STRIDES)
        self._scales = [
            description.order[start : start + parts]
            for start in range(0, len(description.order), parts)
        ]
        self._centres, self._strides = cell_table(model)
        self._bins = np.arange(_BINS, dtype=np.float32)

    def __call__(self, outputs: Sequence[npt.NDArray[Any]], conf: float) -> Floats:
        """As `Decoder.__call__`."""
        found = []
        first = 0
        for scale in self._scales:
            tensors = [_planes(outputs[index]) for index in scale]
            survivors = self._survivors(tensors, conf)
            if survivors is not None:
                cells, box, scores, classes = survivors
                found.append((cells + first, box, scores, classes))
            first += tensors[0].shape[1]
        if not found:
            return no_detections()
        cells, box, scores, classes = (
            np.concatenate(column) for column in zip(*found, strict=True)
        )
        sides = self._expectation(box) * self._strides[cells]
        centres = self._centres[cells]
        return detections(centres - sides[:, :2], centres + sides[:, 2:], scores, classes)

    def _survivors(
        self, tensors: list[Floats], conf: float
    ) -> tuple[Indexes, Floats, Floats, Indexes] | None:
        """Of one scale's planes: cells (k,), box logits (k, 64), scores (k,), classes (k,)."""
        planes = tensors[0][_BOX : _BOX + self._classes] if len(tensors) == 1 else tensors[1]
        total = tensors[2][0] if len(tensors) == 3 else None
        best = best_class(planes, total, conf, self._logits)
        if best is None:
            return None
        cells, scores, classes = best
        return cells, tensors[0][:_BOX, cells].T, scores, classes

    def _expectation(self, box: Floats) -> Floats:
        """Mean distance of each side, in strides: (k, 64) logits to (k, 4)."""
        logits = box.reshape(-1, 4, _BINS)
        weights = np.exp(logits - logits.max(axis=2, keepdims=True))
        result: Floats = weights @ self._bins / weights.sum(axis=2)
        return result


def best_class(
    planes: Floats, total: Floats | None, conf: float, logits: bool
) -> tuple[Indexes, Floats, Indexes] | None:
    """Cells, scores and classes of those cells whose best class reaches `conf`; None if none.

    `planes`: (classes, cells). `total`: (cells,), the sum of each cell's scores: where it is
    too low no class can be high enough, and 80 planes need not be read. Without it one pass
    over the planes finds each cell's maximum: measured faster than comparing every value
    (0.10 ms against 0.16 for 80 x 8400 on a PC, and a tenth of argmax's time).
    """
    level = level_of(conf, logits)
    if total is None:
        cells = (planes.max(axis=0) >= level).nonzero()[0]
    else:
        cells = (total >= min(conf, _SUM_HIGHEST) - _SUM_SLACK).nonzero()[0]
    if not cells.size:
        return None
    columns = planes[:, cells]
    classes = columns.argmax(axis=0)
    scores = columns[classes, np.arange(cells.size)]
    if logits:
        scores = sigmoid(scores)
    keep = (scores >= conf).nonzero()[0]
    return (cells[keep], scores[keep], classes[keep]) if keep.size else None


def recognise_stock(outputs: Outputs) -> HeadDescription | None:
    """(1, 4 + classes, cells), or its transpose: an Ultralytics export, decoded."""
    free = outputs.single()
    if free is None or outputs.cells not in free:
        return None
    channels_last = free[1] != outputs.cells
    if channels_last:
        classes = outputs.class_count(free[1] - 4)
    else:
        classes = outputs.class_count_of_pose(4, free[0] - 4, (0,), quiet=1.0)
    if classes is None:
        return None
    return HeadDescription("yolov8-stock", classes, False, (0,), channels_last=channels_last)


class StockDecoder:
    """Picks the survivors of a decoded tensor: centre x, centre y, width, height, scores."""

    def __init__(self, description: HeadDescription) -> None:
        self._classes = description.classes
        self._channels_last = description.channels_last

    def __call__(self, outputs: Sequence[npt.NDArray[Any]], conf: float) -> Floats:
        """As `Decoder.__call__`."""
        tensor = np.asarray(outputs[0][0], np.float32)
        planes = tensor.T if self._channels_last else tensor
        best = best_class(planes[4 : 4 + self._classes], None, conf, False)
        if best is None:
            return no_detections()
        cells, scores, classes = best
        box = planes[:4, cells].T
        return centred(box[:, :2], box[:, 2:], scores, classes)


def _planes(tensor: npt.NDArray[Any]) -> Floats:
    """(1, channels, h, w) as float32 (channels, cells), without a copy where it is float32."""
    return np.asarray(tensor, np.float32).reshape(tensor.shape[1], -1)
