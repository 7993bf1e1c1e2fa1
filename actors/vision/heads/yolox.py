"""YOLOX: one box a cell, with objectness; the boxes are still to be placed on their cells.

One tensor (1, cells, 5 + classes), or three of (1, 5 + classes, h, w) as the vendor's model zoo
exports them. Objectness and classes are probabilities already; the box is (Megvii YOLOX,
yolox/utils/demo_utils.py):

    xy = (p + grid) stride        wh = exp(p) stride
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.vision.heads.decoding import Floats, cell_table, centred, no_detections
from actors.vision.heads.description import HeadDescription, Outputs
from actors.vision.heads.objectness import BOX_AND_OBJECT, survivors


def recognise(outputs: Outputs) -> HeadDescription | None:
    """(1, cells, 5 + classes) or per scale (1, 5 + classes, h, w)."""
    planes = outputs.one_plane_a_scale()
    free = outputs.single()
    if planes is not None:
        channels, order = planes
    elif free is not None and free[0] == outputs.cells:
        channels, order = free[1], (0,)
    else:
        return None
    classes = outputs.class_count(channels - BOX_AND_OBJECT)
    if classes is None:
        return None
    return HeadDescription("yolox", classes, False, order, channels_last=planes is None)


def is_decoded(outputs: Outputs) -> bool:
    """Whether a sample of the one-tensor layout shows boxes in pixels.

    Centres in pixels average to half of the model's width; offsets in cells stay near 0.
    """
    if outputs.samples is None or len(outputs.samples) != 1:
        return False
    return bool(outputs.samples[0][..., 0].mean(dtype=np.float64) > outputs.model[0] / 4)


class YoloxDecoder:
    """Survivors first, then their boxes."""

    def __init__(self, description: HeadDescription, model: tuple[int, int]) -> None:
        self._description = description
        centres, self._strides = cell_table(model)
        self._corners = centres - self._strides * 0.5

    def __call__(self, outputs: Sequence[npt.NDArray[Any]], conf: float) -> Floats:
        """As `Decoder.__call__`."""
        found = survivors(outputs, self._description, conf)
        if found is None:
            return no_detections()
        strides = self._strides[found.index]
        centre = found.box[:, :2] * strides + self._corners[found.index]
        size = np.exp(found.box[:, 2:]) * strides
        return centred(centre, size, found.scores, found.classes)
