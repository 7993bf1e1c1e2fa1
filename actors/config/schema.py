"""The tables and keys of topology.toml, with their types, limits, defaults and descriptions.

The descriptions are what docs/topology.md and an editor show to a user (`tools.topology_docs`).
Imported by the supervisor: no numpy, no OpenCV, no runtime.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from actors.config.errors import Place
from actors.sources.contract import SourceRequest


def key(default: Any, description: str, **constraints: Any) -> Any:
    """A key that may be absent, and what it means."""
    return Field(default, description=description, **constraints)


def _must(phrase: str, holds: Callable[[Any], bool], convert: Any = None) -> BeforeValidator:
    """A check whose fault reads "KEY must be PHRASE, got ..."."""

    def check(value: Any) -> Any:
        if not holds(value):
            raise PydanticCustomError("plain", "{phrase}", {"phrase": phrase})
        return convert(value) if convert else value

    return BeforeValidator(check)


def _pair(low: int, high: int, example: str) -> BeforeValidator:
    def holds(value: Any) -> bool:
        listed = isinstance(value, list | tuple) and len(value) == 2
        return listed and all(type(v) is int and low <= v <= high for v in value)

    return _must(f"two whole numbers from {low} to {high}, as in {example}", holds, tuple)


def _channels(phrase: str, least: float) -> BeforeValidator:
    def listed(value: Any) -> list[Any]:
        return list(value) if isinstance(value, list | tuple) else [value] * 3

    def holds(value: Any) -> bool:
        numbers = [v for v in listed(value) if type(v) in (int, float) and least < v < 1e6]
        return len(numbers) == len(listed(value)) == 3

    return _must(
        f"a number or a list of three, {phrase}", holds, lambda v: tuple(map(float, listed(v)))
    )


def _is_labels(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(v, str) and v.strip() for v in value)
    return isinstance(value, Path)


def _is_fourcc(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[ -~]{4}", value) is not None


FilePath = Annotated[Path, Field(strict=False)]
Pixels = Annotated[tuple[int, int], _pair(1, 16384, "[640, 640]")]
Grid = Annotated[tuple[int, int], _pair(1, 16, "[3, 2]")]
Mean = Annotated[tuple[float, float, float], _channels("as in [0, 0, 0]", -1e6)]
Std = Annotated[tuple[float, float, float], _channels("each more than 0", 0)]
Labels = Annotated[Path | list[str], _must("a text file or a list of names", _is_labels)]
FourCC = Annotated[str, _must('four characters, as in "MJPG"', _is_fourcc)]
Cpu = Annotated[int, Field(ge=0, le=1023)]


class Table(BaseModel):
    """A table of the file. Nothing is converted: what is not of the key's type is a fault."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Run(Table):
    name: str = key("run", "name of the run; absent: made from the file's name")


class Results(Table):
    bind: str = key("tcp://127.0.0.1:5570", "tcp://HOST:PORT, tcp://HOST:* or ipc://PATH")
    wait_for_subscriber: bool = key(False, "sources start only when somebody has subscribed")
    jsonl: FilePath | None = key(None, "file for the same records, one a line")
    curve: FilePath | None = key(
        None, "folder of CURVE keys for an address that other machines can reach (tools.make_keys)"
    )
    ground_truth: bool = key(False, "a drawn scene's records say what was really there")
    insecure: bool = key(False, "allows an address that other machines can reach")


class Stream(Table):
    source: str = Field(
        description="video file, folder or glob of images, /dev/videoN, rtsp://... or http://..., "
        'or "synthetic"'
    )
    pace: Literal["fast", "realtime"] = key("fast", "a file as fast as possible or at its own rate")
    loop: bool = key(False, "starts a file again at its end")
    slots: int | None = key(None, "frames in memory at once", ge=2, le=64)
    size: Pixels | None = key(None, "[width, height] asked of a camera or a drawn scene")
    fps: float | None = key(None, "frames per second asked of either", gt=0, le=1000)
    seed: int | None = key(None, "of a drawn scene; absent: 0", ge=0, lt=2**31)
    fourcc: FourCC | None = key(None, 'pixel format asked of a camera, as in "MJPG"')

    @property
    def ask(self) -> SourceRequest:
        """What is asked of a camera or a drawn scene."""
        return SourceRequest(self.size, self.fps, self.fourcc, self.seed)


class Model(Table):
    path: FilePath | None = key(
        None,
        "the .onnx or .rknn file; without a suffix the .rknn on a board and the .onnx elsewhere; "
        "tritile:large and tritile:small come with the package",
    )
    runtime: Literal["onnx", "rknn", "simulator", "emulated", "instant"] | None = key(
        None,
        "what computes; absent: follows from the path's suffix. simulator: the board's numbers on "
        "a PC, for a .rknn that convert kept a build of; emulated: a stand-in for an NPU core; "
        "instant: a stand-in that needs no file and no time, to measure all the rest",
    )
    head: Literal["yolov8", "yolov8-stock", "yolov5", "yolov5-decoded", "yolox"] | None = key(
        None, "layout of the outputs; absent: found out from the model"
    )
    labels: Labels | None = key(None, "class names: a text file with one a line, or a list")
    conf: float = key(0.25, "score from which a detection counts", gt=0, lt=1)
    iou: float = key(0.5, "IoU from which two boxes of a tile are one", gt=0, le=1)
    latency_ms: float | None = key(None, "milliseconds of one inference on one core", ge=0)
    color: Literal["rgb", "bgr"] | None = key(None, "order of the channels that the model takes")
    mean: Mean | None = key(None, "subtracted from the channels")
    std: Std | None = key(None, "divides the channels after that")
    size: Pixels | None = key(None, '[width, height] of the input, for runtime "instant" only')

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        """The runtime that follows from the suffix, and the size of an instant model."""
        if not isinstance(data, dict):
            return data
        path = data.get("path")
        if "runtime" not in data and isinstance(path, str | Path):
            suffix = Path(path).suffix.lower()
            data = {**data, "runtime": suffix[1:] if suffix in (".onnx", ".rknn") else None}
        return {"size": (640, 640), **data} if data.get("runtime") == "instant" else data


class Stage(Table):
    model: str = Field(description="name of the model that runs")
    view: Literal["frame", "tiles", "crops"] = key(
        "frame", "the whole frame, its tiles, or crops around another stage's boxes"
    )
    overlap: float = key(0.0, "least overlap of tiles, as a part of their side", ge=0, le=0.9)
    grid: Grid | None = key(None, "[columns, rows] of resized tiles; absent: native tiles")
    source: str | None = key(None, "the stage whose boxes are cropped")
    condition: str | None = key(None, "runs only on frames where that stage found something")
    max_crops: int = key(8, "crops of one frame, best boxes first", ge=1, le=64)


class Worker(Table):
    core: int = Field(ge=0, le=15, description="number of its NPU core; several may share one")
    models: list[str] = Field(description="names of the models that it holds")
    contexts: int | None = key(None, "runtime contexts on its core", ge=1, le=4)
    cpus: list[Cpu] | None = key(None, "CPUs that it is pinned to", min_length=1)


class Merge(Table):
    method: Literal["nms", "nmm", "greedy_nmm"] = key("nms", "how boxes that match become one")
    metric: Literal["iou", "ios"] = key("iou", "intersection over the union or the smaller box")
    threshold: float = key(0.5, "overlap from which two boxes match", gt=0, le=1)
    class_agnostic: bool = key(False, "boxes of different classes match too")
    truncated: Literal["suppress", "keep"] = key(
        "suppress", "a box truncated by a tile edge: suppressed by a whole box over it, or kept"
    )


class Render(Table):
    video: FilePath | None = key(None, "annotated video: .mp4, .mkv or .avi")
    tiles: bool = key(False, "draws the tiles")


class Tables(Table):
    """The file's content, table by table."""

    run: Run = key(Run(), "the run itself")
    results: Results = key(Results(), "where detections go")
    streams: dict[str, Stream] = key({}, "where frames come from")
    models: dict[str, Model] = key({}, "what can be run")
    stages: dict[str, Stage] = key({}, "which model looks at what")
    workers: dict[str, Worker] = key({}, "which core holds which models")
    merge: Merge = key(Merge(), "how the boxes of all tiles become one list")
    render: Render = key(Render(), "what a person looks at")


class Topology(Tables):
    """A topology without a fault. Every path is absolute; every name refers to something."""

    file: Path
    warnings: tuple[str, ...] = ()


def fields(place: Place) -> Mapping[str, FieldInfo]:
    """The keys that the table at `place` can have."""
    if not place:
        return Tables.model_fields
    annotation: Any = Tables.model_fields[str(place[0])].annotation
    table: type[Table] = get_args(annotation)[-1] if get_args(annotation) else annotation
    return table.model_fields
