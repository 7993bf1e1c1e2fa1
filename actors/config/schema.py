"""The tables and keys of topology.toml: types, limits, defaults, units and descriptions.

docs/topology.md and the JSON Schema for editors are made from this (`python -m
tools.topology_docs`). Imported by the supervisor: no numpy, no OpenCV, no runtime.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

from actors.config.errors import Place
from actors.config.values import (
    Cpu,
    FilePath,
    FourCC,
    Grid,
    Labels,
    Mean,
    Pixels,
    RuntimeName,
    Source,
    Std,
)
from actors.runtimes.registry import is_runtime, kind_for, runtime_kind
from actors.sources.contract import SourceRequest


def key(default: Any, description: str, *, unit: str | None = None, **limits: Any) -> Any:
    """A key that may be absent: its default, what it means, its unit and its limits."""
    extra: dict[str, Any] = {"unit": unit} if unit else {}
    return Field(default, description=description, json_schema_extra=extra, **limits)


class Table(BaseModel):
    """A table of the file. No value is converted: another type than the key's is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Run(Table):
    """The run itself."""

    name: str = Field(
        "run",
        description="name of the run, for records and actorctl; absent: made from the file's name",
        json_schema_extra={"default": None},
    )


class Results(Table):
    """Where the detections are published and recorded."""

    bind: str = key(
        "tcp://127.0.0.1:5570",
        "address of the ZeroMQ PUB socket: tcp://HOST:PORT, tcp://HOST:* (a free port) or "
        "ipc://PATH",
    )
    wait_for_subscriber: bool = key(False, "sources start when the first subscriber is connected")
    jsonl: FilePath | None = key(None, "file for the same records, one a line")
    curve: FilePath | None = key(
        None,
        "folder of CURVE keys (tritile make_keys) for an address that other machines can reach",
    )
    ground_truth: bool = key(
        False, 'records of the drawn scene (source "synthetic") include its true boxes'
    )
    insecure: bool = key(False, "allows an address that other machines can reach, without keys")


class Stream(Table):
    """A source of frames."""

    source: Source = Field(
        description="video file, folder or glob of images, /dev/videoN, rtsp://... or http://..., "
        'or "synthetic"'
    )
    pace: Literal["fast", "realtime"] = key(
        "fast", "a file or the drawn scene: as fast as possible, or at its own frame rate"
    )
    loop: bool = key(False, "a file starts again at its end")
    slots: int | None = key(
        None, "frames in memory at once; absent: enough to keep the cores busy", ge=2, le=64
    )
    size: Pixels | None = key(
        None,
        "[width, height] asked of a camera or a drawn scene; absent: the camera's best size up to "
        "1920x1080",
        unit="pixels",
    )
    fps: float | None = key(
        None,
        "frame rate asked of a camera or a drawn scene; absent: the camera's highest",
        unit="frames/s",
        gt=0,
        le=1000,
    )
    seed: int | None = key(
        None, "selects the drawn scene, each seed another; absent: 0", ge=0, lt=2**31
    )
    fourcc: FourCC | None = key(None, 'pixel format asked of a camera, as in "MJPG"')

    @property
    def ask(self) -> SourceRequest:
        """What is asked of a camera or a drawn scene."""
        return SourceRequest(self.size, self.fps, self.fourcc, self.seed)


class Model(Table):
    """A model file, and what it does not say about itself."""

    path: FilePath | None = key(
        None,
        "the .onnx or .rknn file; without a suffix the .rknn on a board and the .onnx elsewhere; "
        "tritile:large and tritile:small come with the package",
    )
    runtime: RuntimeName | None = key(
        None,
        "what computes; absent: follows from the path's suffix. simulator: the board's numbers on "
        "a PC, for a .rknn that convert kept a build of; emulated: a stand-in for an NPU core; "
        "instant: a stand-in that needs no file and no time, to measure all the rest; "
        '"module:Class": a runtime of your own (actors.runtimes.contract.OwnRuntime)',
    )
    head: Literal["yolov8", "yolov8-stock", "yolov5", "yolov5-decoded", "yolox"] | None = key(
        None, "layout of the outputs; absent: recognised from the outputs' shapes"
    )
    labels: Labels | None = key(
        None,
        'class names: a text file with one a line, a list, or "coco" for the 80 COCO classes; '
        "absent: those that the model carries",
    )
    conf: float = key(0.25, "score from which a detection counts", gt=0, lt=1)
    iou: float = key(0.5, "IoU from which two boxes of one tile are one object", gt=0, le=1)
    latency_ms: float | None = key(
        None, "duration of one inference on one core, for --check and emulated", unit="ms", ge=0
    )
    color: Literal["rgb", "bgr"] | None = key(
        None, "order of the input's channels; absent: that of the head's family"
    )
    mean: Mean | None = key(
        None, "subtracted from the channels, one number or one a channel; absent: 0"
    )
    std: Std | None = key(
        None, "divides the channels after that; absent: that of the head's family (255, YOLOX 1)"
    )
    size: Pixels | None = key(
        None,
        '[width, height] of the input where no file says it (runtime "instant" or your own); '
        "absent: [640, 640]",
        unit="pixels",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        """The runtime that follows from the suffix, and the size of a model without a file."""
        if not isinstance(data, dict):
            return data
        path = data.get("path")
        if "runtime" not in data and isinstance(path, str | Path):
            data = {**data, "runtime": kind_for(Path(path))}
        runtime = data.get("runtime")
        named = isinstance(runtime, str) and is_runtime(runtime)
        needs_size = named and runtime_kind(str(runtime)).file in ("any", "none")
        return {"size": (640, 640), **data} if needs_size else data


class Stage(Table):
    """One model on one view of every frame."""

    model: str = Field(description="name of the model that runs")
    view: Literal["frame", "tiles", "crops"] = key(
        "frame", "the whole frame letterboxed, its tiles, or crops around another stage's boxes"
    )
    overlap: float = key(
        0.0, "least overlap of neighbouring tiles", unit="tile sides", ge=0, le=0.9
    )
    grid: Grid | None = key(
        None,
        "[columns, rows] of tiles, each resized to the model's input; absent: native tiles, cut at "
        "the model's own size",
    )
    source: str | None = key(None, "the stage whose boxes are cropped")
    condition: str | None = key(
        None, "name of a stage; runs only on frames where that one found something"
    )
    max_crops: int = key(8, "crops of one frame, best boxes first", ge=1, le=64)


class Worker(Table):
    """A process that runs models on one core."""

    core: int = Field(ge=0, le=15, description="number of its NPU core; several may share one")
    models: list[str] = Field(description="names of the models that it holds")
    contexts: int | None = key(
        None, "runtime contexts on its core; absent: as many as the runtime needs", ge=1, le=4
    )
    cpus: list[Cpu] | None = key(
        None, "numbers of the CPUs that it is pinned to; absent: any", min_length=1
    )


class Merge(Table):
    """How the boxes of all tiles and stages become one list."""

    method: Literal["nms", "nmm", "greedy_nmm"] = key(
        "nms", "boxes that match: the best is kept (nms), or they are joined (nmm, greedy_nmm)"
    )
    metric: Literal["iou", "ios"] = key(
        "iou", "overlap: intersection over the union, or over the smaller box"
    )
    threshold: float = key(0.5, "overlap from which two boxes match", gt=0, le=1)
    class_agnostic: bool = key(False, "boxes of different classes match too")
    truncated: Literal["suppress", "keep"] = key(
        "suppress", "a box truncated by a tile edge: suppressed by a whole box over it, or kept"
    )


class Render(Table):
    """Pictures of the results."""

    video: FilePath | None = key(None, "annotated video: .mp4, .mkv or .avi")
    pictures: FilePath | None = key(
        None,
        "folder for annotated pictures, one JPEG a frame; with several streams one folder each",
    )
    tiles: bool = key(False, "draws the tiles too")

    @property
    def wanted(self) -> bool:
        """Whether an output is asked for."""
        return self.video is not None or self.pictures is not None


class Tables(Table):
    """The topology of a run: which frames, which models, what runs where."""

    run: Run = key(Run(), "the run itself")
    results: Results = key(Results(), "where detections are published and recorded")
    streams: dict[str, Stream] = key({}, "the sources of frames")
    models: dict[str, Model] = key({}, "the models that can run")
    stages: dict[str, Stage] = key({}, "which model runs on which view of a frame")
    workers: dict[str, Worker] = key({}, "which core holds which models")
    merge: Merge = key(Merge(), "how the boxes of all tiles become one list")
    render: Render = key(Render(), "pictures of the results")


class Topology(Tables):
    """A topology without an error. Every path is absolute; every name refers to something."""

    file: Path
    warnings: tuple[str, ...] = ()


# Keys that had another name in an earlier version, and what to write instead.
RENAMED: Mapping[Place, str] = {
    ("merge", "cut_boxes"): 'write truncated = "suppress" (was "yield") or truncated = "keep"',
}


def fields(place: Place) -> Mapping[str, FieldInfo]:
    """The keys that the table at `place` can have."""
    if not place:
        return Tables.model_fields
    annotation: Any = Tables.model_fields[str(place[0])].annotation
    table: type[Table] = get_args(annotation)[-1] if get_args(annotation) else annotation
    return table.model_fields
