"""Encodes messages as msgpack maps and checks every field of what is decoded.

On the wire a message is `{"t": KIND, **fields}`. `Codec.decode` accepts exactly the fields of that
kind with their types and raises MessageError for anything else, so a handler never gets a partial
message.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import msgpack

# The largest message is an answer; 10,000 detections are 320 kB.
LARGEST = 4 << 20

_Check = Callable[[Any], Any]


class MessageError(ValueError):
    """Bytes that are not a message of this codec."""


@dataclass(frozen=True, slots=True)
class Message:
    """Base of all messages. Fields: int, str, bytes, bool, tuples of int or str, a message."""


class Codec:
    """Encodes and decodes the given kinds of messages. A kind's tag is its name in lower case."""

    def __init__(self, *kinds: type[Message]) -> None:
        self._kinds = {kind.__name__.lower(): kind for kind in kinds}
        self._checks: dict[type[Message], tuple[tuple[str, _Check], ...]] = {}
        for kind in kinds:
            hints = typing.get_type_hints(kind)
            self._checks[kind] = tuple(
                (field.name, self._check_for(hints[field.name])) for field in fields(kind)
            )

    def encode(self, message: Message) -> bytes:
        """The message as it is sent over a socket."""
        content = {"t": type(message).__name__.lower(), **self._fields(message)}
        # A note may name a file whose name is not UTF-8: then as \\udcff, rather than not at all.
        packed: bytes = msgpack.packb(content, unicode_errors="backslashreplace")
        return packed

    def decode(self, data: bytes) -> Message:
        """The message in `data`. MessageError when it is not one."""
        try:
            content = msgpack.unpackb(data, use_list=False)
        except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
            raise MessageError(f"not msgpack: {error}") from None
        if not isinstance(content, dict):
            raise MessageError("not a map")
        tag = content.pop("t", None)
        kind = self._kinds.get(tag) if isinstance(tag, str) else None
        if kind is None:
            raise MessageError(f"unknown kind {tag!r}")
        return self._build(kind, content)

    def _check_for(self, annotation: Any) -> _Check:
        if annotation == tuple[int, ...]:
            return _tuple_of(int)
        if annotation == tuple[str, ...]:
            return _tuple_of(str)
        if isinstance(annotation, type) and issubclass(annotation, Message):
            kind = annotation
            return lambda value: self._build(kind, value)
        return _exactly(annotation)

    def _build(self, kind: type[Message], data: Any) -> Message:
        checks = self._checks[kind]
        if not isinstance(data, dict) or len(data) != len(checks):
            raise MessageError(f"not the fields of {kind.__name__}")
        try:
            return kind(*[check(data[name]) for name, check in checks])
        except KeyError as error:
            raise MessageError(f"{kind.__name__} lacks {error}") from None

    def _fields(self, message: Message) -> dict[str, Any]:
        values = {name: getattr(message, name) for name, _ in self._checks[type(message)]}
        for name, value in values.items():
            if isinstance(value, Message):
                values[name] = self._fields(value)
        return values


def _exactly(kind: type) -> _Check:
    def check(value: Any) -> Any:
        if type(value) is not kind:
            raise MessageError(f"expected {kind.__name__}, got {type(value).__name__}")
        return value

    return check


def _tuple_of(kind: type) -> _Check:
    def check(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, (tuple, list)) or any(type(item) is not kind for item in value):
            raise MessageError(f"expected a list of {kind.__name__}")
        return tuple(value)

    return check
