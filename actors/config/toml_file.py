"""Reads a topology's TOML, applies `--set` overrides, and explains syntax errors."""

from __future__ import annotations

import ast
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from actors.config.errors import Finding, Place, cut, dotted, show
from actors.config.file_errors import file_problem
from actors.sources.classify import has_image_name, source_kind

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_toml(path: Path) -> tuple[dict[str, Any], list[Finding]]:
    """The file's content, or why there is none."""
    if problem := not_a_topology(path):
        return {}, [((), problem)]
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


def not_a_topology(path: Path) -> str | None:
    """Where `path` is a source or a model instead: the command that runs it. None for any other."""
    # Path() has taken one of the two slashes of a URL.
    source = re.sub("^([A-Za-z][A-Za-z0-9+.-]*):/+", r"\1://", str(path))
    kind = source_kind(source)
    what = {"camera": "this camera", "network": "this stream"}.get(kind)
    try:
        if kind == "folder" and any(map(has_image_name, path.iterdir())):
            what = "the images of this folder"
        elif kind == "file":
            with path.open("rb") as file:
                what = "this file" if b"\0" in file.read(4096) else None
    except (OSError, ValueError):
        return None
    if what is None:
        return None
    keys = ["streams.cam0.source"]
    if path.suffix.lower() in (".onnx", ".rknn"):
        what, keys = "this model", ["models.large.path", "models.small.path"]
    options = " ".join(f"--set {key}={shlex.quote(source)}" for key in keys)
    return f"a topology is expected, a .toml file; to run {what}: launch topology.toml {options}"


def apply_overrides(
    data: dict[str, Any], overrides: Sequence[str]
) -> tuple[list[Place], list[Finding]]:
    """Put `--set` texts, "dotted.key=value", into `data`; the places that were set, and problems.

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
    """Set one value; why it cannot be set there, None where it was."""
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
            return f"{parent} is {show(node)} and not a table; set {parent} itself"
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
    return (), f"line {row}, column {column}: {cause}, near: {cut(lines[int(row) - 1].strip())}"


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
