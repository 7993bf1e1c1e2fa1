"""A model that takes no time: for measuring and testing everything but the inference.

What it "detects" is a function of the tile's pixels, so that a torn, stale or misplaced tile shows
in the results. It answers as a stock Ultralytics model of two classes with eight candidates would:
one tensor (1, 4 + 2, 8), centre x, centre y, width, height in input pixels and a score a class.

Poison, for testing what happens to an input on which a runtime fails: a tile whose first pixels are
POISON and whose next one begins with one of the values of TROUBLES makes the run raise, hang for
ever, or crash the process.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from actors.runtimes.contract import ComputeError, RuntimeSpec, Tensor

LABELS = ("even", "odd")
CANDIDATES = 8
POISON = (222, 173, 190, 239, 222, 173)
"""The bytes of the tile's first two pixels."""
TROUBLES = {"error": 1, "hang": 2, "crash": 3}


class InstantRuntime:
    """Candidate i comes from the pixels at (i + 0.5) / 8 of the way along the tile's diagonals."""

    def __init__(self, spec: RuntimeSpec) -> None:
        self._size = spec.size
        self._output: Tensor = np.zeros((1, 4 + len(LABELS), CANDIDATES), np.float32)
        self.span = (0, 0)

    @staticmethod
    def of_size(size: tuple[int, int]) -> InstantRuntime:
        """One without a specification, for looking at its outputs."""
        return InstantRuntime(
            RuntimeSpec("instant", "", size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 1, None, None)
        )

    def run(self, tile: npt.NDArray[np.uint8]) -> Sequence[Tensor]:
        begin = time.monotonic_ns()
        if tile[0, 0, 0] == POISON[0] and tuple(tile[0, :2].ravel().tolist()) == POISON:
            _fail(int(tile[0, 2, 0]))
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
        """Nothing to let go of."""


def _fail(trouble: int) -> None:
    if trouble == TROUBLES["error"]:
        raise ComputeError("poison: the run failed")
    if trouble == TROUBLES["hang"]:
        threading.Event().wait()
    if trouble == TROUBLES["crash"]:
        os.abort()
