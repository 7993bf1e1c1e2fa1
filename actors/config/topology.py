"""What the user wrote: topology.toml, read, overridden, checked as a whole and handed on as values.

`load` collects everything that is wrong and raises it at once (`TopologyError`). It works in steps:
read the TOML, apply the `--set` overrides, make every path absolute, let pydantic check each key,
and run the checks between keys, tables and files (`CHECKS`) on whatever pydantic found sound, so
that one misspelt key hides no other mistake and no mistake is told twice.

Imported by the supervisor: no numpy, no OpenCV, no runtime.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from actors.config.checks import run_checks
from actors.config.errors import (
    Fault,
    Place,
    TopologyError,
    at,
    dotted,
    explain,
    position,
    show,
)
from actors.config.packaged import model_file, packaged
from actors.config.partial import PartialConfig, source_kind
from actors.config.toml_file import apply_overrides, read_toml
from actors.sources.contract import SourceRequest

__all__ = ["Fault", "Merge", "Model", "Render", "Results", "Run", "Stage", "Stream", "Topology"]
__all__ += ["TopologyError", "Worker", "load", "source_kind"]


# ---- the tables


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


def _fields(place: Place) -> Mapping[str, FieldInfo]:
    """The keys that the table at `place` can have."""
    if not place:
        return Tables.model_fields
    annotation: Any = Tables.model_fields[str(place[0])].annotation
    table: type[Table] = get_args(annotation)[-1] if get_args(annotation) else annotation
    return table.model_fields


# ---- loading


def load(path: Path, overrides: Sequence[str] = ()) -> Topology:
    """The topology of a file, with the overrides of `--set`; TopologyError with all its faults.

    Paths in the file are relative to its folder, those in overrides to the current one.
    """
    data, findings = read_toml(path)
    readable = not findings
    given, malformed = apply_overrides(data, overrides)
    findings += malformed
    if readable:
        file = path.absolute()
        _name_run(data, file)
        written = _make_paths_absolute(data, file.parent, given)
        tables, problems = _validate(data)
        findings += [(place, problem) for place, problem in problems.items() if problem]
        findings += run_checks(PartialConfig(tables, data, written, problems, file))
        if not findings:
            values = {table: getattr(tables, table) for table in Tables.model_fields}
            return Topology(**values, file=file, warnings=tuple(_warnings(tables)))
    findings.sort(key=lambda finding: position(data, finding[0]))
    faults = (Fault(dotted(place), problem) for place, problem in findings)
    raise TopologyError(path.name or str(path), dict.fromkeys(faults))


def _name_run(data: dict[str, Any], file: Path) -> None:
    run = data.setdefault("run", {})
    if isinstance(run, dict):
        stem = re.sub("[^a-z0-9_-]+", "-", file.stem.lower()).lstrip("-_")
        run.setdefault("name", stem[:32].rstrip("-_") or "run")


def _make_paths_absolute(
    data: dict[str, Any], folder: Path, given: Collection[Place]
) -> dict[Place, str]:
    """Rewrite every path in `data`; returns them as they were written."""
    places: list[Place] = [
        ("results", "bind"),
        ("results", "jsonl"),
        ("results", "curve"),
        ("render", "video"),
    ]
    for table, name in (("streams", "source"), ("models", "path"), ("models", "labels")):
        entries = data.get(table)
        places += [(table, entry, name) for entry in (entries if isinstance(entries, dict) else ())]
    written: dict[Place, str] = {}
    for place in places:
        text = at(data, place)
        if isinstance(text, str):
            written[place] = text
            by_override = any(place[: len(start)] == start for start in given)
            holder = at(data, place[:-1])
            holder[place[-1]] = _absolute(place, text, Path.cwd() if by_override else folder)
    return written


def _absolute(place: Place, text: str, folder: Path) -> str | Path:
    if place[-1] == "bind":
        is_path = text.startswith("ipc://") and not text.startswith("ipc://@")
        return f"ipc://{_joined(folder, text[6:])}" if is_path else text
    if place[-1] == "path":
        return model_file(packaged(text) or _joined(folder, text)) if text.strip() else Path(text)
    if place[-1] != "source":
        return _joined(folder, text)
    if not text.strip() or source_kind(text) in ("camera", "network", "synthetic"):
        return text
    path = str(_joined(folder, text))
    if source_kind(path) == "glob":
        return str(_joined(Path(glob.escape(str(folder))), text))
    return path


def _joined(folder: Path, text: str) -> Path:
    try:
        return folder / Path(text).expanduser()
    except (RuntimeError, ValueError):  # ~NAME, and there is nobody of that name
        return folder / text


# The tables of named tables, and what stands for a key that each entry must have.
_STAND_INS: Mapping[str, Mapping[str, Any]] = {
    "streams": {"source": ""},
    "models": {},
    "stages": {"model": ""},
    "workers": {"core": 0, "models": []},
}


def _validate(data: Mapping[str, Any]) -> tuple[Tables, dict[Place, str]]:
    """What pydantic accepts, with stand-ins for what it does not, and what that was."""
    problems: dict[Place, str] = {}
    while True:
        try:
            return Tables.model_validate(_without(data, problems)), problems
        except ValidationError as error:
            problems |= explain(error, data, _fields)


def _without(data: Mapping[str, Any], places: Iterable[Place]) -> dict[str, Any]:
    """A copy of the tables without the keys at `places`, and stand-ins for those required."""
    copy = {table: _copied(value) for table, value in data.items()}
    for table in _STAND_INS:
        if isinstance(copy.get(table), dict):
            copy[table] = {name: _copied(entry) for name, entry in copy[table].items()}
    for place in places:
        table = str(place[0])
        *path, name = place[: 3 if table in _STAND_INS else 2]
        holder = at(copy, tuple(path))
        holder.pop(name, None)
        if len(path) == 2 and name in _STAND_INS[table]:
            holder[name] = _STAND_INS[table][str(name)]
    return copy


def _copied(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else value


def _warnings(tables: Tables) -> Iterator[str]:
    used = {stage.model for stage in tables.stages.values()}
    for model in tables.models:
        if model not in used:
            yield f"{dotted(('models', model))}: no stage uses this model"
    for name, worker in tables.workers.items():
        for index, model in enumerate(worker.models):
            if model not in used:
                yield f"{dotted(('workers', name, 'models', index))}: no stage uses {show(model)}"
