"""What is wrong with a topology, in words: one line a fault, with its dotted place and a remedy.

Here a TOML syntax error, a pydantic error and an unusable file become sentences for the person who
wrote the topology. A place travels as a tuple of keys and indices (`Place`) until the end, where
`dotted` writes it as `--set` takes it. Nothing here knows which tables a topology has.
"""

from __future__ import annotations

import ast
import json
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Place = tuple[str | int, ...]
# A fault before it is written down; several may lie at the place () of the whole file.
Finding = tuple[Place, str]

_LONGEST_SHOWN = 200
_LONGEST_LABELS = 100_000


@dataclass(frozen=True)
class Fault:
    """One mistake. `place` is dotted, "" for the whole file; `problem` includes the remedy."""

    place: str
    problem: str


class TopologyError(Exception):
    """Everything that is wrong with one topology, in the order of the file."""

    def __init__(self, file: str, faults: Iterable[Fault]) -> None:
        self.file = file
        self.faults = tuple(faults)
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """One line a fault: `topology.toml: stages.small.model: no model named "smal"; ...`."""
        parts = [(self.file, fault.place, fault.problem) for fault in self.faults]
        return [_printable(": ".join(filter(None, line))) for line in parts]


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def dotted(place: Place) -> str:
    """The place as one writes it in TOML: a.b.0, with quotes where a key needs them."""
    return ".".join(
        part if re.fullmatch(r"[A-Za-z0-9_-]*", part) else show(part) for part in map(str, place)
    )


def show(value: object) -> str:
    """A value as its user would write it in TOML, cut where it is long."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | Path):
        return json.dumps(_cut(str(value)), ensure_ascii=False)
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        if any(isinstance(v, dict | list) for v in value):
            return "a list"
        return f"[{', '.join(map(show, value[:8]))}{', ...' if len(value) > 8 else ''}]"
    # Python refuses to write an integer of more than 4300 digits.
    return str(value) if not isinstance(value, int) or abs(value) < 10**30 else "a huge number"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name that `name` was probably meant to be."""
    by_folded = {other.casefold(): other for other in known}
    close = get_close_matches(name[:_LONGEST_SHOWN].casefold(), by_folded, n=1, cutoff=cutoff)
    return by_folded[close[0]] if close else None


def unknown(what: str, name: str, known: Sequence[str], kinds: str) -> str:
    """`no model named "smal"; did you mean "small"?`, or what there is instead."""
    meant = nearest(name, known)
    remedy = f"did you mean {show(meant)}?" if meant else f"the {kinds} are: {', '.join(known)}"
    return f"{what} {show(name)}; {remedy}"


# ---- TOML


def read_toml(path: Path) -> tuple[dict[str, Any], list[Finding]]:
    """The file's content, or why there is none."""
    if problem := file_problem(path.absolute(), str(path)):
        return {}, [((), problem)]
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        return {}, [((), f"line {line} is not UTF-8 text; save the file as UTF-8")]
    try:
        # The newline at the end keeps the position of a mistake in a last line without one.
        return tomllib.loads(text + "\n"), []
    except RecursionError:
        return {}, [((), "lists or tables are nested too deeply; a topology needs three levels")]
    except ValueError as error:  # TOMLDecodeError is one; a number of 5000 digits raises the other
        return {}, [_syntax_finding(str(error), text)]


def apply_overrides(
    data: dict[str, Any], overrides: Sequence[str]
) -> tuple[list[Place], list[Finding]]:
    """Put `--set` texts, "dotted.key=value", into `data`; the places that were set, and the faults.

    A value is parsed as TOML, else taken as text. Tables that do not exist are made.
    """
    done, findings = list[Place](), list[Finding]()
    for text in overrides:
        key, equals, value = text.partition("=")
        place = tuple(key.strip().split("."))
        if not equals:
            problem: str | None = "--set needs a value too; write --set KEY=VALUE"
        elif not all(place):
            problem = f"--set {show(text)} has an empty key; write names joined by single dots"
        else:
            problem = _put(data, place, _toml_value(value.strip()))
        if problem:
            findings.append((place, problem))
        else:
            done.append(place)
    return done, findings


def _toml_value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _put(data: dict[str, Any], place: Sequence[str], value: object) -> str | None:
    """Set one value; why it cannot be set there, if so."""
    node: Any = data
    for depth, part in enumerate(place):
        index: Any = part
        if isinstance(node, list):
            if not re.fullmatch("[0-9]{1,4}", part) or int(part) >= len(node):
                parent = dotted(tuple(place[:depth]))
                return f"{parent} is a list of {len(node)}, counted from 0; set the whole {parent}"
            index = int(part)
        elif not isinstance(node, dict):
            parent = dotted(tuple(place[:depth]))
            return f"{parent} is {show(node)} and no table; set {parent} itself"
        if depth == len(place) - 1:
            node[index] = value
        else:
            node = node.setdefault(index, {}) if isinstance(node, dict) else node[index]
    return None


def _syntax_finding(message: str, text: str) -> Finding:
    """`message` is the parser's: "Invalid value (at line 3, column 8)"."""
    lines = text.replace("\r\n", "\n").split("\n")
    match = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", message, re.S)
    if match is None:
        return (), "a number has thousands of digits; write a smaller one"
    cause, row, column = match[1], match[2], match[3]
    if declared := re.fullmatch(r"Cannot declare (\(.*\)) twice", cause):
        place: Place = ast.literal_eval(declared[1])
        remedy = "give one of them another name" if len(place) == 2 else "keep one of the two"
        return place, f"declared twice (line {row}); {remedy}"
    if cause == "Cannot overwrite a value" and row:
        place = _key_at(lines, int(row) - 1)
        return place, f"given twice (line {row}); keep one of the two"
    cause = cause[0].lower() + cause[1:]
    if row is None:
        return (), f"{cause} at the end of the file; close what was opened last"
    cause += " (text needs quotes)" if cause == "invalid value" else ""
    return (), f"line {row}, column {column}: {cause}, near: {_cut(lines[int(row) - 1].strip())}"


def _key_at(lines: Sequence[str], row: int) -> Place:
    """The place of the key whose value ends in line `row`, or of the table that it declares."""
    place: Place = ()
    for line in reversed(lines[: row + 1]):
        header = line.lstrip().startswith("[")
        if not header and (place or "=" not in line):
            continue  # above the key only the table's header matters
        try:
            node: Any = tomllib.loads(line if header else line.partition("=")[0] + " = 0")
        except ValueError:
            continue  # a line within a list
        found: list[str] = []
        while isinstance(node, dict) and node:
            name, node = next(iter(node.items()))
            found.append(name)
        place = (*found, *place)
        if header:
            break
    return place


# ---- pydantic

_TYPES = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "list_type": "a list in brackets",
    "path_type": "a path in quotes",
    "model_type": "a table as in",
    "dict_type": "a table of named tables as in",
    "too_short": "a list with at least one entry",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}


def explain(
    error: ValidationError,
    data: Mapping[str, Any],
    fields: Callable[[Place], Mapping[str, FieldInfo]],
) -> dict[Place, str]:
    """What pydantic found in `data`, in plain words; `fields` gives the keys of a table.

    A problem of "" marks a key that is absent because it was misspelt: that is one mistake, and
    the misspelt key is where it is told.
    """
    found: dict[Place, str] = {}
    for item in error.errors(include_url=False):
        place: Place = item["loc"]
        parent, key = place[:-1], str(place[-1])
        if item["type"] == "extra_forbidden":
            known = fields(parent)
            what, kinds = ("key", "keys here") if parent else ("table", "tables")
            found[place] = unknown(f"unknown {what}", key, list(known), kinds)
            meant = nearest(key, known)
            if meant and meant not in at(data, parent):
                absent: Place = (*parent, meant)
                found[absent] = ""
        elif item["type"] == "missing":
            found.setdefault(place, f"missing; add {key} = ... ({fields(parent)[key].description})")
        else:
            found[place] = _must_be(place, item["type"], item.get("ctx", {}), item["input"])
    return found


def _must_be(place: Place, kind: str, context: Mapping[str, Any], value: object) -> str:
    start = max(i for i, part in enumerate(place) if isinstance(part, str))
    subject = ".".join(map(str, place[start:]))
    hint = ""
    if kind == "literal_error":
        wanted = context["expected"].replace("'", '"')
        meant = nearest(value, re.findall('"(.*?)"', wanted)) if isinstance(value, str) else None
        hint = f"; did you mean {show(meant)}?" if meant else ""
    elif kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        wanted = f"{words} {context[bound]:g}"
    else:
        # "plain" is the topology's own kind and brings its phrase; pydantic may add kinds.
        wanted = _TYPES.get(kind) or context.get("phrase", "of another kind")
        if kind in ("model_type", "dict_type"):
            name = ".NAME" if kind == "dict_type" or len(place) == 2 else ""
            wanted += f" [{place[0]}{name}]"
    return f"{subject} must be {wanted}, got {show(value)}{hint}"


def at(data: object, place: Place) -> Any:
    """The value at a place of nested tables and lists, None where there is none."""
    for part in place:
        if isinstance(data, dict):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return None
    return data


def position(data: object, place: Place) -> tuple[int, ...]:
    """Sorts places in the order of the file; what is missing comes after what is there."""
    order = []
    for depth, part in enumerate(place):
        node = at(data, place[:depth])
        keys: list[Any] = list(node) if isinstance(node, dict) else []
        keys += range(len(node)) if isinstance(node, list) else ()
        order.append(keys.index(part) if part in keys else len(keys))
    return tuple(order)


# ---- files


def file_problem(path: Path, written: str) -> str | None:
    """Why `path`, which the user wrote as `written`, is no readable file with something in it."""
    name = show(written)
    if not written.strip():
        return "the path is empty; give the path of a file"
    if problem := _name_problem(path, name):
        return problem
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return f"{name} is a folder; give a file"
        if not stat.S_ISREG(status.st_mode):
            return f"{name} is no ordinary file; give one"
        with path.open("rb") as file:
            return None if file.read(1) else f"{name} is empty; give another file"
    except (FileNotFoundError, NotADirectoryError):
        looked_for = "" if str(path) == written else f" (looked for {path})"
        return f"there is no {name}{looked_for}; {_sibling(path)}"
    except (OSError, ValueError) as error:
        return f"{name} cannot be read ({reason(error)}); correct the path or its permissions"


def _name_problem(path: Path, name: str) -> str | None:
    """Why a name is none that every library takes: OpenCV ends the process over such a one."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return f"the name {name} is not UTF-8 text; rename it"
    return None


def output_problem(path: Path, written: str, suffixes: Sequence[str] = ()) -> str | None:
    """Why no file can be written at `path`, which the user wrote as `written`."""
    name = show(written)
    if not written.strip():
        return "the path is empty; give the path of a file"
    if problem := _name_problem(path, name):
        return problem
    if suffixes and path.suffix.lower() not in suffixes:
        return f"{name} must end in {', '.join(suffixes[:-1])} or {suffixes[-1]}"
    if str(path).startswith(("/dev/std", "/dev/fd/", "/proc/")):
        # An actor's standard output is the log.
        return f"{name} is another file in every process; give one (tools.subscribe --json prints)"
    try:
        if not path.parent.is_dir():
            return f"{name} lies in a folder that does not exist ({path.parent}); make it first"
        if not os.access(path.parent, os.W_OK | os.X_OK):
            return f"the folder of {name} cannot be written ({path.parent}); give another"
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return f"{name} is a folder; give a file in it"
        if stat.S_ISFIFO(status.st_mode):
            return f"{name} is no ordinary file; give one"
        writable = os.access(path, os.W_OK)
        return None if writable else f"{name} exists and cannot be written; give another file"
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return f"{name} cannot be written ({reason(error)}); give another file"


def model_problem(path: Path, written: str, runtime: str) -> str | None:
    """Why the file is no model for the runtime; judged by its first bytes, cheaply."""
    if problem := file_problem(path, written):
        return problem
    with path.open("rb") as file:
        start = file.read(4)
    name = show(written)
    if runtime in ("rknn", "simulator"):
        return None if start == b"RKNN" else f"{name} is no .rknn file; convert the model again"
    if start == b"RKNN":
        return f'{name} is an .rknn file and runtime "{runtime}" reads .onnx; give the .onnx'
    # Protobuf: field 1 (ir_version) as a varint comes first in every .onnx.
    return None if start[0] == 0x08 else f"{name} is no ONNX model; export the model again"


def labels_problem(path: Path, written: str) -> str | None:
    """Why the file is no list of class names, one a line."""
    if problem := file_problem(path, written):
        return problem
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(_LONGEST_LABELS)
    except UnicodeDecodeError:
        return f"{show(written)} is no text file; give one with a class name a line"
    return None if text.strip() else f"{show(written)} holds no name; write a class name a line"


def _sibling(path: Path) -> str:
    try:
        # Two names of one suffix are alike already, so more than usual is asked of them.
        meant = nearest(path.name, [other.name for other in path.parent.iterdir()], cutoff=0.75)
    except OSError:
        meant = None
    return f"did you mean {show(meant)}?" if meant else "correct the path"


def reason(error: Exception) -> str:
    """Why the system refuses a path, without its number and the path again."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "no file can have this name" if isinstance(error, ValueError) else str(error)
