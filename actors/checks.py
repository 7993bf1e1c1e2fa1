"""What is checked of a topology between its keys, its tables and the files that it names.

Each check is a function from a `Draft` to what it finds; `run_checks` runs them all, and tells one
fault a place. Whatever pydantic refused before is a stand-in here, and is not told again.
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
from typing import TYPE_CHECKING, Any, Literal

from actors.faults import (
    Finding,
    Place,
    dotted,
    file_problem,
    labels_problem,
    model_problem,
    output_problem,
    reason,
    show,
    unknown,
)

if TYPE_CHECKING:
    from actors.topology import Tables

SourceKind = Literal["file", "folder", "glob", "camera", "network", "synthetic"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
SERVER_KEY = "server.key_secret"
VIDEO_SUFFIXES = (".mp4", ".mkv", ".avi")
# Streams and workers are actors and share one space of names with these.
RESERVED_NAMES = ("tiler", "merger", "renderer", "supervisor", "control")
NAMED_TABLES = ("streams", "models", "stages", "workers")


def source_kind(source: str) -> SourceKind:
    """What a stream's `source` names. A path that exists is no glob, whatever it is called."""
    if source == "synthetic":
        return "synthetic"
    if source.startswith(("/dev/video", "/dev/v4l/")):
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


def _to_be_given(draft: Draft) -> list[Place]:
    """Where the file says "?": a value that only who runs it can know."""
    return [place for place, written in draft.written.items() if written == "?"]


def check_given(draft: Draft) -> Iterator[Finding]:
    """All that is still to be given, in one line that shows the command."""
    examples = {"source": "VIDEO.mp4", "path": "MODEL.onnx", "labels": "LABELS.txt"}
    options = [
        f"--set {dotted(place)}={examples.get(str(place[-1]), 'FILE')}"
        for place in _to_be_given(draft)
    ]
    if options:
        yield (), f"yours to give: launch {draft.file.name} {' '.join(options)}"


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
    """Drawn scenes are not made yet."""
    for name, stream in draft.tables.streams.items():
        if source_kind(stream.source) == "synthetic":
            problem = "is a drawn scene, which comes later; name a file, a camera or a stream"
            yield ("streams", name, "source"), f"{show(stream.source)} {problem}"


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
        for played in ("pace", "loop"):
            live = source_kind(stream.source) in ("camera", "network")
            if live and played in stream.model_fields_set:
                yield ("streams", name, played), f"{played} goes with files only; remove it"


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


def check_rknn_models(draft: Draft) -> Iterator[Finding]:
    """What a converted model holds already."""
    for name, model in draft.tables.models.items():
        for key in ("mean", "std"):
            if model.runtime == "rknn" and key in model.model_fields_set:
                problem = f"a .rknn has its own {key} inside; remove it here, convert with it"
                yield ("models", name, key), problem


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
    elif not (_is_loopback(tcp[1]) or results.insecure or results.curve) and draft.sound(
        "results", "insecure"
    ):
        remedy = (
            f"use tcp://127.0.0.1:{tcp[2]}, give keys with curve = KEYS (python -m "
            "tools.make_keys), or allow it without with insecure = true"
        )
        yield place, f"other machines can reach {show(bind)}; {remedy}"
    keys = ("results", "curve")
    if results.curve is not None and draft.sound(*keys):
        written_keys = draft.written[keys]
        if not (results.curve / SERVER_KEY).is_file():
            yield (
                keys,
                f"there is no {SERVER_KEY} in {show(written_keys)}; make keys with: python -m "
                "tools.make_keys FOLDER NAME, and give FOLDER/server",
            )


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
    check_given,
    check_not_empty,
    check_names,
    check_actor_names,
    check_sources_of_this_version,
    check_sources,
    check_rknn_models,
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


def run_checks(draft: Draft) -> Iterator[Finding]:
    """What the checks find, one fault a place, none at a key where pydantic found one already."""
    told = set(_to_be_given(draft))
    for check in CHECKS:
        for place, problem in check(draft):
            if not place or (place not in told and (len(place) < 3 or draft.sound(*place))):
                told.add(place)
                yield place, problem
