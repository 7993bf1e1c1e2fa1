"""From a model's output tensors to the detections of one tile, in frame pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from actors.vision.detections import Detections
from actors.vision.heads import HeadDescription, build
from actors.vision.merging import nms_indices
from actors.vision.tiling import Size, Tile, to_frame
from actors.vision.truncation import truncated_by_tile


class Detector:
    """One model's decoder and its suppression. Belongs to one thread."""

    def __init__(self, head: HeadDescription, size: Size, conf: float, iou: float) -> None:
        """`size` is the model's input; `conf` the lowest score; `iou` NMS's overlap in a tile."""
        self._decode = build(head, size)
        self._conf = conf
        self._iou = iou

    def detect(
        self, outputs: Sequence[npt.NDArray[np.float32]], tile: Tile, frame: Size, stage: int
    ) -> Detections:
        """The detections in a tile of a frame; `outputs` as from a runtime."""
        rows = self._decode(outputs, self._conf)
        if not np.isfinite(rows).all():
            # A float16 model can overflow; such a box is nowhere and would spoil the merging.
            rows = rows[np.isfinite(rows).all(axis=1)]
        classes = rows[:, 5].astype(np.int64)
        if len(rows) > 1:
            kept = nms_indices(rows[:, :4], rows[:, 4], classes, threshold=self._iou)
            rows, classes = rows[kept], classes[kept]
        boxes = to_frame(rows[:, :4], tile, frame)
        return Detections(
            boxes=boxes,
            scores=rows[:, 4],
            class_ids=classes,
            stages=np.full(len(rows), stage),
            truncated=truncated_by_tile(boxes, tile, frame),
        )
