"""An instant model for which some tiles are poison: the run fails, hangs or crashes.

A test's topology names it, `runtime = RUNTIME`. A tile is poison when its first two pixels are
POISON and its third one begins with one of the values of TROUBLES.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from actors.runtimes.contract import ComputeError, RuntimeSpec, Tensor
from actors.runtimes.instant import InstantRuntime, inspect_instant

RUNTIME = "tests.support.poison_runtime:PoisonRuntime"
POISON = (222, 173, 190, 239, 222, 173)
"""The bytes of the tile's first two pixels, in the model's order of channels (RGB)."""
TROUBLES = {"error": 1, "hang": 2, "crash": 3}
ABSENT_CORE = 7
"""On this core no context can be opened."""


class PoisonRuntime(InstantRuntime):
    """One context."""

    inspect = staticmethod(inspect_instant)

    def __init__(self, spec: RuntimeSpec) -> None:
        if spec.core == ABSENT_CORE:
            raise ComputeError(f"core {ABSENT_CORE} does not answer")
        super().__init__(spec)

    def run(self, tile: NDArray[np.uint8]) -> Sequence[Tensor]:
        if tuple(tile[0, :2].ravel().tolist()) == POISON:
            _fail(int(tile[0, 2, 0]))
        return super().run(tile)


def _fail(trouble: int) -> None:
    if trouble == TROUBLES["error"]:
        raise ComputeError("poison: the run failed")
    if trouble == TROUBLES["hang"]:
        threading.Event().wait()
    if trouble == TROUBLES["crash"]:
        os.abort()
