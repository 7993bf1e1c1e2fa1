"""Reads a topology: the TOML, the `--set` overrides, absolute paths, and every check.

`load` collects all that is wrong and raises it at once (`TopologyError`): read the TOML, apply the
overrides, make every path absolute, let pydantic check each key, and run the checks between keys,
tables and files (`CHECKS`) on what pydantic accepted. One misspelt key hides no other mistake, and
no mistake is reported twice.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from actors.config.checks import run_checks, warnings
from actors.config.errors import Fault, Place, TopologyError, at, dotted, explain, position
from actors.config.packaged import labels_file, model_file, packaged
from actors.config.partial import PartialConfig
from actors.config.schema import RENAMED, Tables, Topology, fields
from actors.config.toml_file import apply_overrides, read_toml
from actors.sources.classify import source_kind


def load(path: Path, overrides: Sequence[str] = ()) -> Topology:
    """The topology of a file, with the overrides of `--set`; TopologyError lists all its faults.

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
            return Topology(**values, file=file, warnings=tuple(warnings(tables)))
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
        ("render", "pictures"),
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
    if place[-1] == "labels":
        return labels_file(text, _joined(folder, text))
    if place[-1] != "source":
        return _joined(folder, text)
    if not text.strip() or source_kind(text) in ("network", "synthetic"):
        return text
    path = str(_joined(folder, text))
    if source_kind(path) == "glob":
        return str(_joined(Path(glob.escape(str(folder))), text))
    return path


def _joined(folder: Path, text: str) -> Path:
    try:
        return folder / Path(text).expanduser()
    except (RuntimeError, ValueError):  # ~NAME, and there is no user of that name
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
            problems |= explain(error, data, fields, RENAMED)


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
