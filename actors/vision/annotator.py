"""Draws detections, the tile grid and a caption into a copy of a frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from actors.vision.detections import Detections
from actors.vision.drawing import banner, draw
from actors.vision.tiling import Size, View, plan

Image = npt.NDArray[np.uint8]

# The rate in the caption is over this many frames.
_RATE_OVER = 30


class Annotator:
    """Annotates the frames of one stream, on one canvas."""

    def __init__(
        self,
        labels: Sequence[str],
        grids: Sequence[tuple[View, Size]] = (),
        remarks: Sequence[str] = (),
    ) -> None:
        """`labels` by class id; `grids` are the views, and their models' sizes, to be drawn.

        `remarks` stand in every caption.
        """
        self._labels = labels
        self._grids = grids
        self._caption = Caption(remarks)
        self._canvas = np.zeros((0, 0, 3), np.uint8)

    def annotate(
        self, frame: Image, detections: Detections, *, seq: int, complete: bool, now_ns: int
    ) -> Image:
        """The frame (height, width, 3) BGR with what was found; valid until the next call."""
        if self._canvas.shape != frame.shape:
            self._canvas = np.empty(frame.shape, np.uint8)
        np.copyto(self._canvas, frame)
        size = (frame.shape[1], frame.shape[0])
        tiles = [tile for view, model in self._grids for tile in plan(view, size, model)]
        draw(
            self._canvas,
            detections.boxes,
            detections.scores,
            detections.class_ids,
            self._labels,
            tiles=tiles,
        )
        caption = self._caption.text(seq, len(detections), complete=complete, now_ns=now_ns)
        banner(self._canvas, caption)
        return self._canvas


class Caption:
    """The line in a picture's corner: frame, objects, rate, and what a person must not overlook."""

    def __init__(self, remarks: Sequence[str]) -> None:
        """`remarks` stand in every caption."""
        self._remarks = remarks
        self._times: deque[int] = deque(maxlen=_RATE_OVER)

    def text(self, seq: int, objects: int, *, complete: bool, now_ns: int) -> str:
        """For the frame that is drawn now; the rate is of the frames drawn lately."""
        self._times.append(now_ns)
        parts = [f"#{seq}", f"{objects} object{'s' * (objects != 1)}"]
        if self._times[-1] > self._times[0]:
            rate = (len(self._times) - 1) * 1e9 / (self._times[-1] - self._times[0])
            parts.append(f"{rate:.1f} frames/s")
        if not complete:
            parts.append("INCOMPLETE")
        return "  ".join([*parts, *self._remarks])
