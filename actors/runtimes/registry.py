"""The kinds of runtime: how each is opened, and what a process imports that will open it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

import numpy as np

from actors.runtimes.contract import ComputeError, ModelFile, Runtime, RuntimeSpec


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
