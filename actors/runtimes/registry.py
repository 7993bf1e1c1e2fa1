"""The kinds of runtime: one entry a kind, from which everything else about it follows.

A new kind is its module and its entry in `KINDS`. Users bring a runtime of their own without
either, as `runtime = "module:Class"` (see `actors.runtimes.contract.OwnRuntime`).
Imported by the supervisor: no numpy, no OpenCV, no runtime.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from actors.runtimes.contract import CORE_BYTES, ComputeError, ModelFile, Runtime, RuntimeSpec


@dataclass(frozen=True, kw_only=True)
class RuntimeKind:
    """What there is to know about a kind of runtime without importing it."""

    name: str
    """As in `runtime = "onnx"`."""
    opens: str
    """Makes a context: "module:name" of a callable, RuntimeSpec -> Runtime."""
    inspects: str
    """Describes a model: "module:name" of a callable, (path) -> ModelFile; where a kind need not
    have a file, (path, size) -> ModelFile."""
    file: Literal["onnx", "rknn", "any", "none"]
    """Format of the model files it reads; "any": files of its own, or none. "none": it needs the
    input's size instead."""
    default_for: str | None = None
    """The suffix whose files it runs where the topology names no runtime."""
    preload: tuple[str, ...] = ()
    """Modules that the fork server imports where they are installed, so that a worker starts in
    milliseconds; they may not start threads when they are imported."""
    contexts: int = 1
    """Contexts of a worker, unless the topology says how many. Measured for the NPU (emulated, 13.6
    ms a tile): one keeps the core 88 % busy, two 97 %. On a CPU the call itself is the work, and a
    second context would only share the core."""
    waiting: int = 1
    """Tiles that wait in the worker beside those in its contexts, so that the next is at hand."""
    stand_in: Literal["emulated", "simulated"] | None = None
    """How its numbers are labelled wherever they are shown. "emulated": neither rate nor detections
    are a real inference's; "simulated": the detections are the board's and the rate is not."""
    on_npu: bool = False
    """It runs on the board's NPU, so the load, clock and heat of that are shown."""
    needs_latency: bool = False
    """`latency_ms` must be in the topology."""
    core_bytes: int = 0
    """Shared memory that each core in the topology has for it."""


_ONNX, _RKNN, _SIMULATOR, _EMULATED, _INSTANT = (
    f"actors.runtimes.{module}" for module in ("onnx", "rknn", "simulator", "emulated", "instant")
)
KINDS: Mapping[str, RuntimeKind] = {
    kind.name: kind
    for kind in (
        RuntimeKind(
            name="onnx",
            opens=f"{_ONNX}:OnnxRuntime",
            inspects=f"{_ONNX}:inspect_onnx",
            file="onnx",
            default_for=".onnx",
            preload=("onnxruntime",),
        ),
        RuntimeKind(
            name="rknn",
            opens=f"{_RKNN}:RknnRuntime",
            inspects="actors.runtimes.rknn_file:inspect_rknn",
            file="rknn",
            default_for=".rknn",
            # It takes seconds to import and starts nothing before its first context; pkg_resources
            # it imports, when it can, only as it makes one.
            preload=("rknnlite.api", "pkg_resources"),
            contexts=2,
            waiting=2,
            on_npu=True,
        ),
        RuntimeKind(
            name="simulator",
            opens=f"{_SIMULATOR}:SimulatorRuntime",
            inspects=f"{_SIMULATOR}:inspect_simulator",
            file="rknn",
            stand_in="simulated",
        ),
        RuntimeKind(
            name="emulated",
            opens=f"{_EMULATED}:EmulatedRuntime",
            inspects=f"{_ONNX}:inspect_onnx",
            file="onnx",
            preload=("onnxruntime",),
            contexts=2,
            waiting=2,
            stand_in="emulated",
            needs_latency=True,
            core_bytes=CORE_BYTES,
        ),
        RuntimeKind(
            name="instant",
            opens=f"{_INSTANT}:InstantRuntime",
            inspects=f"{_INSTANT}:inspect_instant",
            file="none",
            waiting=3,
            stand_in="emulated",
        ),
    )
}


OWN_RUNTIME = r"\w+(\.\w+)*:\w+"
"""Pattern of a class of the user's own, "module:Class"."""


def is_runtime(name: str) -> bool:
    """Whether a topology may name this runtime."""
    return name in KINDS or re.fullmatch(OWN_RUNTIME, name) is not None


def runtime_kind(name: str) -> RuntimeKind:
    """The entry of a kind, or one for a class of the user's own. ComputeError for another name."""
    if not is_runtime(name):
        raise ComputeError(f"no runtime is named {name!r}; give one of {', '.join(KINDS)}")
    own = RuntimeKind(name=name, opens=name, inspects=f"{name}.inspect", file="any")
    return KINDS.get(name, own)


def kind_for(path: Path) -> str | None:
    """The name of the kind that runs a file of this suffix by default."""
    suffix = path.suffix.lower()
    return next((name for name, kind in KINDS.items() if kind.default_for == suffix), None)


def preloaded(names: Iterable[str]) -> set[str]:
    """Modules for a process to import that will fork others which open these kinds."""
    modules = {module for name in names for module in runtime_kind(name).preload}
    return {module for module in modules if find_spec(module.partition(".")[0])}


def open_runtime(spec: RuntimeSpec) -> Runtime:
    """Load a context in the calling thread. ComputeError when it cannot be."""
    kind = runtime_kind(spec.kind)
    runtime: Runtime = _call(kind, kind.opens, spec)
    return runtime


def inspect(name: str, path: str, size: tuple[int, int]) -> ModelFile:
    """Describe a model for a kind of runtime, most of which run it once.

    `size` is the (width, height) of the input, for kinds that have no file. ComputeError when it
    is not a model that this kind can run.
    """
    kind = runtime_kind(name)
    needs_size = (size,) if kind.file in ("any", "none") else ()
    described: ModelFile = _call(kind, kind.inspects, path, *needs_size)
    return described


def _call(kind: RuntimeKind, target: str, *arguments: Any) -> Any:
    """Calls what "module:name" names. Each kind needs a library that other machines may not have,
    so it is imported only here."""
    module, _, names = target.partition(":")
    if kind.name in KINDS:
        return getattr(import_module(module), names)(*arguments)
    try:
        found: Any = import_module(module)
        for name in names.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError) as error:
        raise ComputeError(
            f"runtime {kind.name!r} cannot be imported ({error}); correct its name, or put the "
            "folder of its module in PYTHONPATH"
        ) from None
    try:
        return found(*arguments)
    except ComputeError:
        raise
    except Exception as error:
        raise ComputeError(f"runtime {kind.name!r}: {type(error).__name__}: {error}") from error
