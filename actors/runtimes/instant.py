"""A model that takes no time: for measuring and testing everything but the inference.

What it "detects" is a function of the tile's pixels, so that a stale or misplaced tile shows in the
results. It answers as a stock Ultralytics model of two classes with eight candidates would: one
tensor (1, 4 + 2, 8), centre x, centre y, width, height in input pixels and a score a class.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from actors.runtimes.contract import ModelFile, RuntimeSpec, Tensor

LABELS = ("even", "odd")
CANDIDATES = 8


class InstantRuntime:
    """Candidate i comes from the pixels at (i + 0.5) / 8 of the way along the tile's diagonals."""

    def __init__(self, spec: RuntimeSpec) -> None:
        self._size = spec.size
        self._output: Tensor = np.zeros((1, 4 + len(LABELS), CANDIDATES), np.float32)
        self.span = (0, 0)

    def run(self, tile: npt.NDArray[np.uint8]) -> Sequence[Tensor]:
        """The tensor (1, 6, 8) that follows from the pixels, see `Runtime.run`."""
        begin = time.monotonic_ns()
        width, height = self._size
        columns = np.arange(CANDIDATES) * width // CANDIDATES + width // (2 * CANDIDATES)
        rows = np.arange(CANDIDATES) * height // CANDIDATES + height // (2 * CANDIDATES)
        falling = tile[rows, columns].astype(np.float32)
        rising = tile[rows[::-1], columns].astype(np.float32)
        output = self._output[0]
        output[0] = falling[:, 0] * (width / 255.0)
        output[1] = falling[:, 1] * (height / 255.0)
        output[2] = 8.0 + rising[:, 0] * (width / 512.0)
        output[3] = 8.0 + rising[:, 1] * (height / 512.0)
        score = 0.3 + falling[:, 2] * (0.6 / 255.0)
        odd = rising[:, 2].astype(np.int32) % 2
        output[4] = np.where(odd == 0, score, 0.0)
        output[5] = np.where(odd == 1, score, 0.0)
        self.span = (begin, time.monotonic_ns())
        return [self._output]

    def close(self) -> None:
        """There is nothing to close."""


def inspect_instant(_path: str, size: tuple[int, int]) -> ModelFile:
    """The description of a model with this input size (width, height); there is no file.

    Its head is stated, for it cannot be recognised: a real one has thousands of candidates.
    """
    shape = (1, 4 + len(LABELS), CANDIDATES)
    return ModelFile(size, (shape,), LABELS, (), head="yolov8-stock", logits=False)
