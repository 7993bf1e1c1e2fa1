"""What every runtime shares: one model on one core, from a tile's pixels to its output tensors.

Every runtime takes the tile slot's pixels as they are, uint8 (height, width, 3), and does what its
library needs on its own side of the call. A Runtime object is one *context*: it belongs to the
thread that uses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from mmap import PAGESIZE
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Tensor: TypeAlias = "npt.NDArray[np.float32]"
CORE_BYTES = PAGESIZE
"""Shared memory of an emulated core (of which it uses one number)."""


class ComputeError(Exception):
    """A model cannot be loaded or run; one sentence with the remedy."""


class Runtime(Protocol):
    """One loaded context."""

    span: tuple[int, int]
    """From when to when the last run held the core (CLOCK_MONOTONIC, ns)."""

    def run(self, tile: npt.NDArray[np.uint8]) -> Sequence[Tensor]:
        """The output tensors, float32, valid until the next call. ComputeError when it fails."""

    def close(self) -> None:
        """Release the context. May be called again."""


class OwnRuntime(Runtime, Protocol):
    """A class that a topology names itself, `runtime = "module:Class"`: its objects are runtimes.

    The module must be importable where `launch` runs (PYTHONPATH); it is imported in the workers
    and in the process that looks at the models. Whatever the class raises is shown to the user.
    """

    def __init__(self, spec: RuntimeSpec) -> None:
        """Load a context in the calling thread. ComputeError when it cannot be."""

    @staticmethod
    def inspect(path: str, size: tuple[int, int]) -> ModelFile:
        """Describe the model. `path` is the topology's, made absolute, or "" without one;
        `size` is the topology's too, (640, 640) where it says none."""


@dataclass(frozen=True)
class ModelFile:
    """What a model file says about itself, and the outputs of one trial run.

    `size` is (width, height) of the input; `shapes` are the outputs' shapes as really returned.
    `samples` is empty where the file was not run. `color` is the order of channels that it takes,
    `chip` the one that it was made for and `cores` that one's NPU cores, where it says so. `head`
    and whether its scores are `logits` are known where its converter wrote them down, or where
    there is no file: then nothing is recognised by the shapes.
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


@dataclass(frozen=True, kw_only=True)
class RuntimeSpec:
    """How to open a context: of the kind `kind`, with the model file `path` ("" without one).

    `size` is (width, height) of the input, whose values are (pixel - mean) / std by channel.
    `threads` are those of one inference on a CPU, 0 as many as there are cores. `core` is the
    number of the NPU core, `core_fd` the memory of the emulated one and `latency_ms` how long that
    takes.
    """

    kind: str
    path: str
    size: tuple[int, int]
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (255.0, 255.0, 255.0)
    threads: int = 1
    latency_ms: float | None = None
    core_fd: int | None = None
    core: int = 0
