"""YOLOv5 (and YOLOv7-tiny, whose anchors are the same): three anchors a cell, with objectness.

Two layouts. `yolov5`: three raw tensors, as the vendor's model zoo exports them (a sigmoid over
everything inside the model) or as YOLOv5 itself does (logits). `yolov5-decoded`: one tensor of
boxes in pixels and probabilities.

With s the sigmoid of the raw value, and the anchor's size in pixels (ultralytics/yolov5,
models/yolo.py):

    xy = (2 s - 0.5 + grid) stride        wh = (2 s)^2 anchor

Other anchors that a model was trained with cannot be seen in its outputs: for such a model,
export the decoded layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.vision.heads.decoding import (
    Floats,
    cell_table,
    centred,
    no_detections,
    sigmoid,
)
from actors.vision.heads.description import STRIDES, HeadDescription, Outputs
from actors.vision.heads.objectness import BOX_AND_OBJECT, survivors

# Width and height in pixels, three for each scale, finest first: YOLOv5's for COCO.
ANCHORS = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)
_PER_CELL = 3


def recognise_raw(outputs: Outputs) -> HeadDescription | None:
    """Per scale (1, 3 * (5 + classes), h, w) or (1, 3, h, w, 5 + classes).

    Without samples the first is taken for the vendor's export, which holds probabilities, and
    the second for YOLOv5's own, which holds logits.
    """
    planes = outputs.one_plane_a_scale()
    if planes is not None and planes[0] % _PER_CELL == 0:
        channels, order = planes[0] // _PER_CELL, planes[1]
        channels_last = False
    else:
        rows = _rows(outputs)
        if rows is None:
            return None
        channels, order = rows
        channels_last = True
    classes = outputs.class_count(channels - BOX_AND_OBJECT)
    if classes is None:
        return None
    logits = outputs.are_logits([(i, slice(None)) for i in order], default=channels_last)
    return HeadDescription("yolov5", classes, logits, order, channels_last=channels_last)


def _rows(outputs: Outputs) -> tuple[int, tuple[int, ...]] | None:
    """(channels, order) of three tensors (1, 3, h, w, channels), or None."""
    order: list[int] = []
    for grid in outputs.grids:
        order += (
            i
            for i, shape in enumerate(outputs.shapes)
            if len(shape) == 5 and shape[:2] == (1, _PER_CELL) and shape[2:4] == grid
        )
    channels = {outputs.shapes[i][4] for i in order}
    if len(order) != len(outputs.grids) or len(order) != len(outputs.shapes) or len(channels) != 1:
        return None
    return channels.pop(), tuple(order)


def recognise_decoded(outputs: Outputs) -> HeadDescription | None:
    """(1, 3 * cells, 5 + classes)."""
    free = outputs.single()
    if free is None or free[0] != _PER_CELL * outputs.cells:
        return None
    classes = outputs.class_count(free[1] - BOX_AND_OBJECT)
    if classes is None:
        return None
    return HeadDescription("yolov5-decoded", classes, False, (0,), channels_last=True)


class RawDecoder:
    """Survivors first, then their boxes from the anchors."""

    def __init__(self, description: HeadDescription, model: tuple[int, int]) -> None:
        self._description = description
        self._centres, self._strides = cell_table(model, _PER_CELL)
        width, height = model
        self._anchors = np.concatenate(
            [
                np.repeat(np.array(sizes, np.float32), (width // stride) * (height // stride), 0)
                for sizes, stride in zip(ANCHORS, STRIDES, strict=True)
            ]
        )

    def __call__(self, outputs: Sequence[npt.NDArray[Any]], conf: float) -> Floats:
        """As `Decoder.__call__`."""
        found = survivors(outputs, self._description, conf)
        if found is None:
            return no_detections()
        box = 2.0 * (sigmoid(found.box) if self._description.logits else found.box)
        # 2 s - 0.5 + grid, where the centre of a cell is its grid place + 0.5.
        centre = (box[:, :2] - 1.0) * self._strides[found.index] + self._centres[found.index]
        size = np.square(box[:, 2:]) * self._anchors[found.index]
        return centred(centre, size, found.scores, found.classes)


class DecodedDecoder:
    """Survivors of a tensor that holds centre x, centre y, width and height in pixels."""

    def __init__(self, description: HeadDescription) -> None:
        self._description = description

    def __call__(self, outputs: Sequence[npt.NDArray[Any]], conf: float) -> Floats:
        """As `Decoder.__call__`."""
        found = survivors(outputs, self._description, conf)
        if found is None:
            return no_detections()
        return centred(found.box[:, :2], found.box[:, 2:], found.scores, found.classes)
