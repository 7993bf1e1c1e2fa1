"""What the user wrote: topology.toml, read, overridden, checked as a whole and handed on as values.

`load` collects everything that is wrong and raises it at once (`TopologyError`). It works in steps:
read the TOML, apply the `--set` overrides, make every path absolute, let pydantic check each key,
and run the checks between keys, tables and files (`CHECKS`) on whatever pydantic found sound, so
that one misspelt key hides no other mistake and no mistake is told twice.

Imported by the supervisor: no numpy, no OpenCV, no runtime.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from actors.faults import (
    Fault,
    Finding,
    Place,
    TopologyError,
    apply_overrides,
    at,
    dotted,
    explain,
    file_problem,
    labels_problem,
    model_problem,
    output_problem,
    position,
    read_toml,
    reason,
    show,
    unknown,
)

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
    insecure: bool = key(False, "allows an address that other machines can reach")


class Stream(Table):
    source: str = Field(
        description="video file, folder or glob of images, /dev/videoN, rtsp://... or http://..., "
        'or "synthetic"'
    )
    pace: Literal["fast", "realtime"] = key("fast", "a file as fast as possible or at its own rate")
    loop: bool = key(False, "starts a file again at its end")
    slots: int | None = key(None, "frames in memory at once", ge=2, le=64)
    size: Pixels | None = key(None, "[width, height] asked of a camera")
    fps: float | None = key(None, "frames per second asked of a camera", gt=0, le=1000)
    fourcc: FourCC | None = key(None, 'pixel format asked of a camera, as in "MJPG"')


class Model(Table):
    path: FilePath | None = key(None, "the .onnx or .rknn file")
    runtime: Literal["onnx", "rknn", "emulated", "instant"] | None = key(
        None,
        "what computes; absent: follows from the path's suffix. emulated: a stand-in for an NPU "
        "core; instant: a stand-in that needs no file and no time, to measure all the rest",
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
    cut_boxes: Literal["yield", "keep"] = key(
        "yield", "a box cut by a tile's edge yields to a whole one that covers it, or is kept"
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
        findings += _run_checks(Draft(tables, data, written, problems, file))
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
    places: list[Place] = [("results", "bind"), ("results", "jsonl"), ("render", "video")]
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


# ---- the checks: each a function from a draft to what it finds

SourceKind = Literal["file", "folder", "glob", "camera", "network", "synthetic"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
VIDEO_SUFFIXES = (".mp4", ".mkv", ".avi")
# Streams and workers are actors and share one space of names with these.
RESERVED_NAMES = ("tiler", "merger", "renderer", "supervisor", "control")
NAMED_TABLES = ("streams", "models", "stages", "workers")


def source_kind(source: str) -> SourceKind:
    """What a stream's `source` names. A path that exists is no glob, whatever it is called."""
    if source == "synthetic":
        return "synthetic"
    if source.startswith("/dev/video"):
        return "camera"
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", source):
        return "network"
    try:
        if Path(source).is_dir():
            return "folder"
        return "glob" if glob.has_magic(source) and not Path(source).exists() else "file"
    except (OSError, ValueError):  # a name that no file can have
        return "file"


@dataclass(frozen=True)
class Draft:
    """A topology on its way: what the checks look at.

    `tables` holds what is sound; a key at one of the places in `unsound` has a stand-in there.
    `data` is the file after the overrides, `written` the paths as the user wrote them.
    """

    tables: Tables
    data: Mapping[str, Any]
    written: Mapping[Place, str]
    unsound: Collection[Place]
    file: Path

    def names(self, table: str) -> list[str]:
        """The names that the user gave in a table of named tables, sound or not."""
        entries = self.data.get(table)
        return list(entries) if isinstance(entries, dict) else []

    def sound(self, *place: str | int) -> bool:
        """True where no fault is known at the place, above it or beneath it."""
        return not any(bad[: len(place)] == place[: len(bad)] for bad in self.unsound)


def check_not_empty(draft: Draft) -> Iterator[Finding]:
    """Something to look at, something to run, and somebody to run it."""
    keys = {
        "streams": "source = ...",
        "models": "path = ...",
        "stages": "model = ...",
        "workers": "core = ... and models = [...]",
    }
    for table, required in keys.items():
        if draft.sound(table) and not draft.names(table):
            yield (), f"no {table}: add a [{table}.NAME] table with {required}"


def check_names(draft: Draft) -> Iterator[Finding]:
    """Names go into socket files, topics and `--set`."""
    named: list[tuple[Place, str]] = [(("run", "name"), draft.tables.run.name)]
    named += [((table, name), name) for table in NAMED_TABLES for name in draft.names(table)]
    for place, name in named:
        if not re.fullmatch("[a-z0-9][a-z0-9_-]{0,31}", name):
            rule = "use 1 to 32 of a-z, 0-9, - and _, and begin with a letter or digit"
            yield place, f"{show(name)} cannot be a name; {rule}"


def check_actor_names(draft: Draft) -> Iterator[Finding]:
    """Streams and workers become actors, which are spoken to by name."""
    for table in ("streams", "workers"):
        for name in draft.names(table):
            if name in RESERVED_NAMES:
                yield (table, name), f'"{name}" is the name of another actor; choose another name'
            elif table == "workers" and name in draft.names("streams"):
                yield (
                    (table, name),
                    f'a stream is named "{name}" too; give one of them another name',
                )


def check_sources_of_this_version(draft: Draft) -> Iterator[Finding]:
    """Cameras and network streams are not read yet."""
    kinds = {"camera": "a camera", "network": "a network stream", "synthetic": "a drawn scene"}
    limit = "this version reads files, folders and globs (cameras and network streams come later)"
    for name, stream in draft.tables.streams.items():
        if what := kinds.get(source_kind(stream.source)):
            yield ("streams", name, "source"), f"{show(stream.source)} is {what}; {limit}"


def check_sources(draft: Draft) -> Iterator[Finding]:
    """What a stream reads is there, and is asked only for what it can give."""
    for name, stream in draft.tables.streams.items():
        place = ("streams", name, "source")
        if not draft.sound(*place):
            continue
        if problem := _source_problem(stream.source, draft.written[place]):
            yield place, problem
        for asked in ("size", "fps", "fourcc"):
            if asked in stream.model_fields_set and source_kind(stream.source) != "camera":
                yield ("streams", name, asked), f"only a camera can be asked for {asked}; remove it"


def _source_problem(source: str, written: str) -> str | None:
    kind = source_kind(source)
    if kind == "file" or not written.strip():
        return file_problem(Path(source), written)
    if kind not in ("folder", "glob"):
        return None
    try:
        found: Iterable[Path] = Path(source).iterdir()
        if kind == "glob":
            found = map(Path, glob.iglob(source, recursive=True))  # noqa: PTH207 (absolute)
        if any(path.suffix.lower() in IMAGE_SUFFIXES for path in found):
            return None
    except (OSError, ValueError, re.error) as error:
        return f"{show(written)} cannot be read ({reason(error)}); correct it or its permissions"
    kinds = ", ".join(suffix[1:] for suffix in IMAGE_SUFFIXES)
    looked_for = "" if source == written else f" (looked for {source})"
    verb = "lies in" if kind == "folder" else "matches"
    return f"no image ({kinds}) {verb} {show(written)}{looked_for}; correct the path"


def check_rknn_is_not_served_yet(draft: Draft) -> Iterator[Finding]:
    """The board's runtime belongs to a later version."""
    for name, model in draft.tables.models.items():
        if model.runtime == "rknn":
            told_at = "runtime" if at(draft.data, ("models", name, "runtime")) else "path"
            problem = 'runtime "rknn" comes with the board\'s runtime; use the .onnx here'
            yield ("models", name, told_at), problem


def check_models(draft: Draft) -> Iterator[Finding]:
    """The file, and the keys that go with one runtime."""
    for name, model in draft.tables.models.items():
        if not draft.sound("models", name, "runtime"):
            continue
        path: Place = ("models", name, "path")
        written = draft.written.get(path, "")
        if model.runtime == "instant":
            if model.path is not None:
                yield path, 'runtime "instant" reads no file; remove path'
        elif model.path is None:
            yield path, "missing; add path = ... (the .onnx or .rknn file)"
        elif model.runtime is None:
            yield (
                path,
                f"{show(written)} is no .onnx and no .rknn; say which runtime = ... reads it",
            )
        elif problem := model_problem(model.path, written, model.runtime):
            yield path, problem
        if model.runtime == "emulated" and model.latency_ms is None:
            problem = 'missing; runtime "emulated" needs the milliseconds that one inference takes'
            yield ("models", name, "latency_ms"), problem
        if model.runtime != "instant" and model.size is not None:
            problem = 'size goes with runtime = "instant" only, a file knows its own; remove it'
            yield ("models", name, "size"), problem


def check_labels(draft: Draft) -> Iterator[Finding]:
    """A file of class names has some."""
    for name, model in draft.tables.models.items():
        place = ("models", name, "labels")
        labels = model.labels
        if isinstance(labels, Path) and (problem := labels_problem(labels, draft.written[place])):
            yield place, problem


def check_views(draft: Draft) -> Iterator[Finding]:
    """The keys that go with one view."""
    views = {"overlap": "tiles", "grid": "tiles", "source": "crops", "max_crops": "crops"}
    for name, stage in draft.tables.stages.items():
        if not draft.sound("stages", name, "view"):
            continue
        for given, view in views.items():
            if given in stage.model_fields_set and stage.view != view:
                problem = f'{given} goes with view = "{view}", and the view is "{stage.view}"'
                yield ("stages", name, given), f"{problem}; remove it or change the view"
        if stage.view == "crops" and stage.source is None:
            problem = 'missing; view = "crops" needs the stage whose boxes are cropped'
            yield ("stages", name, "source"), problem


def check_worker_lists(draft: Draft) -> Iterator[Finding]:
    """A worker holds something, and nothing twice."""
    for name, worker in draft.tables.workers.items():
        if not worker.models:
            yield ("workers", name, "models"), "the list is empty; name at least one model"
        lists: dict[str, Sequence[object]] = {"models": worker.models, "cpus": worker.cpus or ()}
        for listed, values in lists.items():
            for i, value in enumerate(values):
                if value in values[:i]:
                    yield ("workers", name, listed, i), f"{show(value)} is listed twice; remove one"


def check_references(draft: Draft) -> Iterator[Finding]:
    """Every name that refers to a model or a stage."""
    references: list[tuple[Place, str, str | None]] = []
    for name, stage in draft.tables.stages.items():
        references.append((("stages", name, "model"), "models", stage.model))
        for role, other in (("source", stage.source), ("condition", stage.condition)):
            references.append((("stages", name, role), "stages", other))
            if other == name:
                yield (
                    ("stages", name, role),
                    f"a stage cannot be its own {role}; name another stage",
                )
    for name, worker in draft.tables.workers.items():
        for i, model in enumerate(worker.models):
            references.append((("workers", name, "models", i), "models", model))
    for place, table, wanted in references:
        known = draft.names(table)
        # Where there are none at all, that is the mistake, and check_not_empty tells it.
        if wanted is not None and known and wanted not in known:
            yield place, unknown(f"no {table[:-1]} named", wanted, known, table)


def check_cycles(draft: Draft) -> Iterator[Finding]:
    """Stages that wait for each other through source or condition; each cycle told once."""
    stages = draft.tables.stages
    needs = {
        name: [other for other in (stage.source, stage.condition) if other and other != name]
        for name, stage in stages.items()
    }
    while True:
        try:
            return TopologicalSorter(needs).prepare()
        except CycleError as error:
            # It goes from predecessor to successor and ends with the first again.
            cycle: list[str] = error.args[1][:0:-1]
        first = min(range(len(cycle)), key=lambda i: list(stages).index(cycle[i]))
        cycle = cycle[first:] + cycle[:first]
        role = "source" if stages[cycle[0]].source == cycle[1] else "condition"
        route = " -> ".join([*cycle, cycle[0]])
        problem = f"stages wait for each other: {route}; remove one source or condition of these"
        yield ("stages", cycle[0], role), problem
        for name in cycle:
            needs[name] = []


def check_models_are_held(draft: Draft) -> Iterator[Finding]:
    """Somebody runs every stage. Not told while a worker's list has a fault of its own."""
    known, workers = draft.names("models"), draft.tables.workers
    held = {model for worker in workers.values() for model in worker.models}
    sound = all(draft.sound("workers", name, "models") for name in draft.names("workers"))
    filled = workers and all(worker.models for worker in workers.values())
    if not (sound and filled and held <= set(known)):
        return
    for name, stage in draft.tables.stages.items():
        if stage.model in known and stage.model not in held:
            problem = f'no worker holds the model "{stage.model}"; add it to the models of a worker'
            yield ("stages", name, "model"), problem


def check_address(draft: Draft) -> Iterator[Finding]:
    """Results can be bound, and reach no other machine unless the user says so."""
    place, results = ("results", "bind"), draft.tables.results
    bind, written = results.bind, draft.written.get(("results", "bind"), results.bind)
    tcp = re.fullmatch(r"tcp://(\[[0-9A-Fa-f:.]+\]|[^\s/:\[\]]+):(\*|[0-9]{1,5})", bind)
    if written.startswith("ipc://") and written != "ipc://":
        path = Path(bind[6:])
        if len(os.fsencode(path)) > 107:
            yield place, f"{path} is too long for a socket (107 bytes); give a shorter path"
        elif bind.startswith("ipc://@"):  # Linux's names without a file
            return
        elif problem := output_problem(path, written):
            yield place, problem
        elif path.exists() and not path.is_socket():
            yield place, f"{show(written)} is a file already and no socket; give another path"
    elif not tcp or (tcp[2] != "*" and not 0 < int(tcp[2]) < 65536):
        yield (
            place,
            f"bind must be tcp://HOST:PORT, tcp://HOST:* or ipc://PATH, got {show(written)}",
        )
    elif not (_is_loopback(tcp[1]) or results.insecure) and draft.sound("results", "insecure"):
        remedy = f"use tcp://127.0.0.1:{tcp[2]}, or allow it with insecure = true"
        yield place, f"other machines can reach {show(bind)}; {remedy}"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_outputs(draft: Draft) -> Iterator[Finding]:
    """Every output can be written, and is neither another output nor an input."""
    tables = draft.tables
    taken: dict[object, str] = {_identity(draft.file): "this topology"}
    for name, stream in tables.streams.items():
        if source_kind(stream.source) == "file":
            taken[_identity(Path(stream.source))] = dotted(("streams", name, "source"))
    for name, model in tables.models.items():
        for used, path in (("path", model.path), ("labels", model.labels)):
            if isinstance(path, Path):
                taken[_identity(path)] = dotted(("models", name, used))
    outputs: list[tuple[Place, Path | None, tuple[str, ...]]] = [
        (("results", "jsonl"), tables.results.jsonl, ()),
        (("render", "video"), tables.render.video, VIDEO_SUFFIXES),
    ]
    for place, output, suffixes in outputs:
        if output is None:
            continue
        written, identity = draft.written[place], _identity(output)
        if problem := output_problem(output, written, suffixes):
            yield place, problem
        elif identity in taken:
            yield place, f"{show(written)} is also {taken[identity]}; write to another file"
        taken[identity] = dotted(place)


def _identity(path: Path) -> object:
    """Equal for two names of one file, through links too."""
    try:
        status = path.stat()
        return status.st_dev, status.st_ino
    except OSError:
        return os.path.realpath(path)
    except ValueError:  # a name that no file can have
        return path


CHECKS: tuple[Callable[[Draft], Iterator[Finding]], ...] = (
    check_not_empty,
    check_names,
    check_actor_names,
    check_sources_of_this_version,
    check_sources,
    check_rknn_is_not_served_yet,
    check_models,
    check_labels,
    check_views,
    check_worker_lists,
    check_references,
    check_cycles,
    check_models_are_held,
    check_address,
    check_outputs,
)


def _run_checks(draft: Draft) -> Iterator[Finding]:
    """What the checks find, one fault a place, none at a key where pydantic found one already."""
    told: set[Place] = set()
    for check in CHECKS:
        for place, problem in check(draft):
            if not place or (place not in told and (len(place) < 3 or draft.sound(*place))):
                told.add(place)
                yield place, problem
