"""Errors of a topology: one line each, with the dotted place, the problem and its remedy.

Also the sentences that pydantic's errors become; `toml_file` has those of the file's syntax,
`file_errors` those of the files that it names. A place is a tuple of keys and indices (`Place`)
until the end, where `dotted` writes it as `--set` takes it. Nothing here depends on which tables a
topology has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from actors.system.text import printable

Place = tuple[str | int, ...]
# A problem and its place; several may have the place () of the whole file.
Finding = tuple[Place, str]

_LONGEST_SHOWN = 200


@dataclass(frozen=True)
class Fault:
    """One error. `place` is dotted, "" for the whole file; `problem` includes the remedy."""

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
        return [printable(": ".join(filter(None, line))) for line in parts]


def dotted(place: Place) -> str:
    """The place as written in TOML: a.b.0, with quotes where a key needs them."""
    return ".".join(
        part if re.fullmatch(r"[A-Za-z0-9_-]*", part) else show(part) for part in map(str, place)
    )


def show(value: object) -> str:
    """A value as its user would write it in TOML, cut where it is long."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | Path):
        return json.dumps(cut(str(value)), ensure_ascii=False)
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        if any(isinstance(v, dict | list) for v in value):
            return "a list"
        return f"[{', '.join(map(show, value[:8]))}{', ...' if len(value) > 8 else ''}]"
    # Python refuses to write an integer of more than 4300 digits.
    return str(value) if not isinstance(value, int) or abs(value) < 10**30 else "a huge number"


def cut(text: str) -> str:
    """The start of a text, at most as much as is readable in a line."""
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
    renamed: Mapping[Place, str],
) -> dict[Place, str]:
    """What pydantic found in `data`, in plain words.

    `fields` gives the keys of a table, `renamed` the remedy for a key that had an older name. A
    problem of "" marks a key that is absent because it was misspelt: the misspelt key is where
    that is reported.
    """
    found: dict[Place, str] = {}
    for item in error.errors(include_url=False):
        place: Place = item["loc"]
        parent, key = place[:-1], str(place[-1])
        if item["type"] == "extra_forbidden":
            known = fields(parent)
            what, kinds = ("key", "keys here") if parent else ("table", "tables")
            if place in renamed:
                found[place] = f"unknown {what} {show(key)}; {renamed[place]}"
                continue
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
    hint = context.get("hint", "")
    if kind == "literal_error":
        wanted = context["expected"].replace("'", '"')
        meant = nearest(value, re.findall('"(.*?)"', wanted)) if isinstance(value, str) else None
        hint = f"; did you mean {show(meant)}?" if meant else ""
    elif kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        wanted = f"{words} {context[bound]:g}"
    else:
        # "plain" is the schema's own kind and brings its phrase; pydantic may add kinds.
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
