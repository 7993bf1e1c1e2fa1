"""What computes: one model on one core, from a tile's pixels to its output tensors.

Every runtime takes the tile slot's pixels as they are, uint8 (height, width, 3), and does what its
library needs on its own side of the call. A Runtime object is one *context*: it belongs to the
thread that uses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Tensor = npt.NDArray[np.float32]


class ComputeError(Exception):
    """A model cannot be loaded or run; one sentence with the remedy."""


class Runtime(Protocol):
    """One loaded context."""

    span: tuple[int, int]
    """From when to when the last run held the core (CLOCK_MONOTONIC, ns)."""

    def run(self, tile: npt.NDArray[np.uint8]) -> Sequence[Tensor]:
        """The output tensors, float32, valid until the next call. ComputeError when it fails."""

    def close(self) -> None:
        """Let go of the context. May be called again."""


@dataclass(frozen=True)
class ModelFile:
    """What a model file says about itself, and the outputs of one trial run.

    `size` is (width, height) of the input; `shapes` are the outputs' shapes as really returned.
    `samples` is empty where the file was not run. `color` is the order of channels that it takes,
    `chip` the one that it was made for and `cores` that one's NPU cores, where it says so. `head`
    and whether its scores are `logits` are known where its converter wrote them down.
    """

    size: tuple[int, int]
    shapes: tuple[tuple[int, ...], ...]
    labels: tuple[str, ...]
    samples: tuple[Tensor, ...]
    color: Literal["rgb", "bgr"] | None = None
    chip: str | None = None
    cores: int | None = None
    head: str | None = None
    logits: bool | None = None


@dataclass(frozen=True)
class RuntimeSpec:
    """How to open a context. `core_fd` is the emulated core's memory, where there is one.

    `core` is the number of the core, for kinds that have several.
    """

    kind: str
    path: str
    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    threads: int
    latency_ms: float | None
    core_fd: int | None
    core: int = 0
