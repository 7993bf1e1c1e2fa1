"""The settings of a run: the topology with everything resolved, as frozen values.

Every actor gets the same RunSettings when it is forked and picks its part by its own name. They
stand apart from the roles, so that the supervisor makes them without importing what the roles need
(OpenCV, a runtime).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from actors.config.schema import Merge, Render, Results
from actors.dataflow.shared_records import Layout
from actors.runtimes.contract import RuntimeSpec
from actors.runtimes.registry import RuntimeKind, runtime_kind
from actors.sources.contract import SourceInfo, SourceRequest
from actors.vision.heads.description import HeadDescription
from actors.vision.tiling import Size, View

TILER, MERGER, RENDERER = "tiler", "merger", "renderer"


@dataclass(frozen=True, kw_only=True)
class StreamSettings:
    """One stream.

    `source`, `request`, `pace` and `loop` are as the user wrote them, `info` is what the source
    turned out to be. `slots` is the number of its frame slots, `video` its annotated video and
    `pictures` the folder of its annotated pictures.
    """

    source: str
    request: SourceRequest
    pace: Literal["fast", "realtime"]
    loop: bool
    info: SourceInfo
    slots: int
    video: Path | None
    pictures: Path | None


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """A model, with everything about it stated or found in its file.

    `size` is its input (width, height) in pixels; `color` the order of its input channels; `mean`
    and `std` turn a pixel 0..255 into its input: (pixel - mean) / std. `conf` is the score from
    which a detection counts, `iou` the overlap of NMS within a tile.
    """

    name: str
    path: str
    runtime: str
    size: Size
    head: HeadDescription
    labels: tuple[str, ...]
    color: Literal["rgb", "bgr"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    conf: float
    iou: float
    latency_ms: float | None

    @property
    def emulated(self) -> bool:
        """Whether its numbers are a stand-in's, not a real inference's."""
        return self.kind.stand_in == "emulated"

    @property
    def simulated(self) -> bool:
        """Whether its detections are the board's and its rate is not."""
        return self.kind.stand_in == "simulated"

    @property
    def kind(self) -> RuntimeKind:
        """What there is to know about its runtime."""
        return runtime_kind(self.runtime)


@dataclass(frozen=True, kw_only=True)
class StageSettings:
    """A model with a view; `source` and `condition` are other stages by index."""

    name: str
    model: str
    view: View
    source: int | None
    condition: int | None
    max_crops: int


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """One worker: its core, the models it holds that a stage uses, and the tile slots it fills.

    `stages` are the indices of the stages that it can run; `slots` are its credits. `contexts` is
    the number of runtime contexts, `threads` those of one ONNX context, `cpus` its affinity.
    """

    core: int
    models: tuple[str, ...]
    stages: frozenset[int]
    contexts: int
    threads: int
    cpus: tuple[int, ...]
    slots: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class ClassTable:
    """The class names of a run, and by model the run's class id of each of the model's classes.

    Models with a class name in common share its id, so that merging can match their boxes.
    """

    labels: tuple[str, ...]
    ids: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Everything that the actors of one run need. `results.bind` has its real port."""

    name: str
    layout: Layout
    frame_limit: int | None
    streams: Mapping[str, StreamSettings]
    models: Mapping[str, ModelSettings]
    stages: tuple[StageSettings, ...]
    workers: Mapping[str, WorkerSettings]
    classes: ClassTable
    results: Results
    merge: Merge
    render: Render

    def model_of(self, stage: int) -> ModelSettings:
        """The model that a stage runs."""
        return self.models[self.stages[stage].model]

    def runtime_specs(self, worker: str, core_fd: int | None) -> Mapping[str, RuntimeSpec]:
        """How a worker's contexts open its models, by model."""
        mine = self.workers[worker]
        return {
            name: RuntimeSpec(
                kind=self.models[name].runtime,
                path=self.models[name].path,
                size=self.models[name].size,
                mean=self.models[name].mean,
                std=self.models[name].std,
                threads=mine.threads,
                latency_ms=self.models[name].latency_ms,
                core_fd=core_fd,
                core=mine.core,
            )
            for name in mine.models
        }

    @property
    def used_models(self) -> Mapping[str, ModelSettings]:
        """The models that a stage uses, in the order of the stages."""
        return {stage.model: self.models[stage.model] for stage in self.stages}

    @property
    def emulated(self) -> bool:
        """Whether a stage's model is a stand-in."""
        return any(model.emulated for model in self.used_models.values())

    @property
    def simulated(self) -> bool:
        """Whether a stage's model runs in the vendor's simulator."""
        return any(model.simulated for model in self.used_models.values())

    @property
    def cores_label(self) -> str:
        """What the cores are called wherever a number is shown."""
        if self.simulated:
            return "simulated cores"
        return "emulated cores" if self.emulated else "cores"
