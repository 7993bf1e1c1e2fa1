"""What the plan tells each role: plain values, handed to the process when it is forked.

They stand here, apart from the roles, so that the plan can be made without importing what the roles
need (OpenCV, a runtime).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from actors.config.errors import Fault
from actors.dataflow.job_queue import WorkerRule
from actors.sources.contract import SourceInfo, SourceRequest
from actors.system.control_block import Layout
from actors.vision.heads.description import HeadDescription
from actors.vision.merging import Method, Metric
from actors.vision.tiling import Size, View

COLUMNS = 7
"""Of an answer's rows: x1, y1, x2, y2 in frame pixels, score, class, 1 if cut by a tile's edge."""

TILER, MERGER, RENDERER = "tiler", "merger", "renderer"


@dataclass(frozen=True)
class ModelSettings:
    """A model, with everything about it found out or stated.

    `size` is its input (width, height) in pixels; `color` the order of the channels it wants and
    `mean`, `std` what turns a pixel 0..255 into its input: (pixel - mean) / std.
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
        return self.runtime in ("emulated", "instant")

    @property
    def simulated(self) -> bool:
        """Whether its detections are the board's and its rate is not."""
        return self.runtime == "simulator"


@dataclass(frozen=True)
class StageSettings:
    """A model with a view; `source` and `condition` are other stages by index."""

    name: str
    model: str
    view: View
    source: int | None
    condition: int | None
    max_crops: int


@dataclass(frozen=True)
class RoleSettings:
    """What every actor gets."""

    layout: Layout


@dataclass(frozen=True)
class CaptureSettings(RoleSettings):
    """`frame_limit` ends the stream after so many frames; `ask` is for a camera."""

    stream: str
    source: str
    live: bool
    ask: SourceRequest
    pace: str
    loop: bool
    fps: float | None
    frame_limit: int | None
    wait_for_subscriber: bool
    workers: tuple[str, ...]


@dataclass(frozen=True)
class TilerSettings(RoleSettings):
    models: Mapping[str, ModelSettings]
    stages: tuple[StageSettings, ...]
    workers: Mapping[str, WorkerRule]


@dataclass(frozen=True)
class WorkerSettings(RoleSettings):
    models: Mapping[str, ModelSettings]
    stages: tuple[StageSettings, ...]
    core: int
    contexts: int
    threads: int
    cpus: tuple[int, ...]


@dataclass(frozen=True)
class MergerSettings(RoleSettings):
    run: str
    bind: str
    curve: Path | None
    jsonl: Path | None
    models: Mapping[str, ModelSettings]
    stages: tuple[StageSettings, ...]
    labels: tuple[str, ...]
    class_ids: Mapping[str, tuple[int, ...]]
    method: Method
    metric: Metric
    threshold: float
    class_agnostic: bool
    truncated: Literal["suppress", "keep"]
    renderer: bool
    worlds: Mapping[str, tuple[Size, int]]
    """Size and seed of the drawn scenes whose ground truth goes into the records, by stream."""


@dataclass(frozen=True)
class RendererSettings(RoleSettings):
    video: Mapping[str, Path]
    fps: Mapping[str, float]
    labels: tuple[str, ...]
    tiles: bool
    models: Mapping[str, ModelSettings]
    stages: tuple[StageSettings, ...]


@dataclass
class Findings:
    """What the probe found out about sources and models, by their names, or why not."""

    sources: dict[str, SourceInfo] = field(default_factory=dict)
    models: dict[str, ModelSettings] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
