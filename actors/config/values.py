"""Kinds of values in topology.toml: how each is checked and converted, and its JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import no_info_before_validator_function

from actors.runtimes.registry import KINDS, OWN_RUNTIME, is_runtime


@dataclass(frozen=True, eq=False)
class _Must:
    """A check whose message reads "KEY must be PHRASE, got ..."; `schema` says it to an editor."""

    phrase: str
    holds: Callable[[Any], bool]
    schema: Mapping[str, Any]
    convert: Callable[[Any], Any] | None = None

    def check(self, value: Any) -> Any:
        """The value, converted."""
        if not self.holds(value):
            raise PydanticCustomError("plain", "{phrase}", {"phrase": self.phrase})
        return self.convert(value) if self.convert else value

    def __get_pydantic_core_schema__(self, kind: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(self.check, handler(kind))

    def __get_pydantic_json_schema__(self, *_: object) -> dict[str, Any]:
        return dict(self.schema)


def _array(items: Mapping[str, Any], length: int) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": length, "maxItems": length}


def _pair(low: int, high: int, example: str) -> _Must:
    def holds(value: Any) -> bool:
        listed = isinstance(value, list | tuple) and len(value) == 2
        return listed and all(type(v) is int and low <= v <= high for v in value)

    phrase = f"two whole numbers from {low} to {high}, as in {example}"
    schema = _array({"type": "integer", "minimum": low, "maximum": high}, 2)
    return _Must(phrase, holds, schema, tuple)


def _channels(phrase: str, least: float) -> _Must:
    def listed(value: Any) -> list[Any]:
        return list(value) if isinstance(value, list | tuple) else [value] * 3

    def holds(value: Any) -> bool:
        numbers = [v for v in listed(value) if type(v) in (int, float) and least < v < 1e6]
        return len(numbers) == len(listed(value)) == 3

    number = {"type": "number"} if least < 0 else {"type": "number", "exclusiveMinimum": least}
    return _Must(
        f"a number or a list of three, {phrase}",
        holds,
        {"anyOf": [number, _array(number, 3)]},
        lambda value: tuple(map(float, listed(value))),
    )


def _is_labels(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(v, str) and v.strip() for v in value)
    return isinstance(value, Path)


def _is_fourcc(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[ -~]{4}", value) is not None


def _runtime_name(value: Any) -> Any:
    """A check whose message reads like that of a Literal."""
    if isinstance(value, str) and is_runtime(value):
        return value
    *names, last = (f"'{name}'" for name in KINDS)
    raise PydanticCustomError(
        "literal_error", "{expected}", {"expected": f"{', '.join(names)} or {last}"}
    )


def _source(value: Any) -> Any:
    """Refuses the number that OpenCV takes for a camera."""
    if type(value) is int and 0 <= value < 64:
        hint = f'; a camera is given by its device, write "/dev/video{value}"'
        raise PydanticCustomError("plain", "", {"phrase": "text in quotes", "hint": hint})
    return value


_PATH = {"type": "string", "format": "path"}
_NAMES = {"type": "array", "items": {"type": "string"}, "minItems": 1}
_FOUR = {"type": "string", "minLength": 4, "maxLength": 4}
_RUNTIMES = {"anyOf": [{"enum": list(KINDS)}, {"type": "string", "pattern": OWN_RUNTIME}]}

FilePath = Annotated[Path, Field(strict=False), WithJsonSchema(_PATH)]
Source = Annotated[str, BeforeValidator(_source)]
Pixels = Annotated[tuple[int, int], _pair(1, 16384, "[640, 640]")]
Grid = Annotated[tuple[int, int], _pair(1, 16, "[3, 2]")]
Mean = Annotated[tuple[float, float, float], _channels("as in [0, 0, 0]", -1e6)]
Std = Annotated[tuple[float, float, float], _channels("each more than 0", 0)]
Labels = Annotated[
    Path | list[str],
    _Must("a text file or a list of names", _is_labels, {"anyOf": [_PATH, _NAMES]}),
]
FourCC = Annotated[str, _Must('four characters, as in "MJPG"', _is_fourcc, _FOUR)]
RuntimeName = Annotated[str, BeforeValidator(_runtime_name), WithJsonSchema(_RUNTIMES)]
Cpu = Annotated[int, Field(ge=0, le=1023)]
