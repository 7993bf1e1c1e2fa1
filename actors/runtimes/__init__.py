"""What computes: one model on one core, from a tile's pixels to its output tensors.

Every runtime takes the tile slot's pixels as they are, uint8 (height, width, 3), and does what its
library needs on its own side of the call. A Runtime object is one *context*: it belongs to the
thread that uses it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
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


def open_runtime(spec: RuntimeSpec) -> Runtime:
    """Load a context in the calling thread. ComputeError when it cannot be."""
    # Imported here: each kind needs a library that the others' machines may not have.
    if spec.kind == "onnx":
        from actors.runtimes.onnx import OnnxRuntime

        return OnnxRuntime(spec)
    if spec.kind == "emulated":
        from actors.runtimes.emulated import EmulatedRuntime

        return EmulatedRuntime(spec)
    if spec.kind == "instant":
        from actors.runtimes.instant import InstantRuntime

        return InstantRuntime(spec)
    if spec.kind == "rknn":
        from actors.runtimes.rknn import RknnRuntime

        return RknnRuntime(spec)
    if spec.kind == "simulator":
        from actors.runtimes.simulator import SimulatorRuntime

        return SimulatorRuntime(spec)
    raise ComputeError(f"no runtime named {spec.kind!r}")


def inspect(kind: str, path: str, size: tuple[int, int]) -> ModelFile:
    """Open a model file and run it once. `size` is for kinds that have no file.

    ComputeError when it is no model that this can run.
    """
    if kind == "instant":
        from actors.runtimes.instant import LABELS, InstantRuntime

        return _trial(InstantRuntime.of_size(size), size, LABELS)
    if kind == "rknn":
        from actors.runtimes.rknn_file import inspect_rknn

        return inspect_rknn(path)
    if kind == "simulator":
        from actors.runtimes.simulator import inspect_simulator

        return inspect_simulator(path)
    from actors.runtimes.onnx import inspect_onnx

    return inspect_onnx(path)


def _trial(runtime: Runtime, size: tuple[int, int], labels: tuple[str, ...]) -> ModelFile:
    outputs = runtime.run(np.zeros((size[1], size[0], 3), np.uint8))
    samples = tuple(np.array(output) for output in outputs)
    return ModelFile(size, tuple(output.shape for output in samples), labels, samples)


def kinds() -> Mapping[str, tuple[str, ...]]:
    """Modules that each kind of runtime imports, for a process that forks others.

    The vendor's package takes seconds and starts nothing before its first context, so it is among
    them where it is installed. (It imports pkg_resources, when it can, only as it makes one.)
    """
    vendor = [name for name in ("rknnlite.api", "pkg_resources") if find_spec(name.split(".")[0])]
    return {
        "onnx": ("onnxruntime",),
        "emulated": ("onnxruntime",),
        "instant": (),
        "simulator": (),
        "rknn": tuple(vendor) if "rknnlite.api" in vendor else (),
    }
