"""What actors say to each other: small msgpack maps, checked when they come in.

No pixel travels here. A message may be lost when a process dies, so every one of them is either a
hint to look at the control block or is sent again by whoever needs the outcome.

On the wire a message is `{"t": KIND, **fields}`. `decode` accepts exactly the fields of that kind
with their types and raises MessageError for anything else, so a handler never meets a half message.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import msgpack

# The largest message is an answer; 10,000 detections are 240 kB.
LARGEST = 4 << 20


class MessageError(ValueError):
    """Bytes that are no message of ours."""


@dataclass(frozen=True, slots=True)
class Message:
    """Base of all messages."""


# ---------------------------------------------------------------- supervision


@dataclass(frozen=True, slots=True)
class Ready(Message):
    """Actor to supervisor: opened, loaded, inbox bound."""

    name: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class Note(Message):
    """Actor to supervisor: something a person should be able to read in `actorctl events`.

    `level` is info, warning, error, or fatal; a fatal note is the reason of an exit that follows.
    `kind` is one word for programs, see `events.Event`.
    """

    name: str
    level: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class StreamSummary(Message):
    """Actor to supervisor: what a stream's newest frame shows, in some words for a person."""

    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class Up(Message):
    """Supervisor to all: `name` is ready under this incarnation."""

    name: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class Down(Message):
    """Supervisor to all: that incarnation of `name` has ended or is being ended.

    `cause` is "crash", "hang", "killed" (by somebody's SIGKILL) or "stopped"; `suspects` are the
    jobs that it was computing, if the cause may lie in one of them.
    """

    name: str
    incarnation: int
    cause: str
    suspects: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Stop(Message):
    """Supervisor to an actor: finish what is in hand and exit."""


@dataclass(frozen=True, slots=True)
class Drain(Message):
    """Supervisor to a capture: read no more, exit when the frames in flight are finished."""


@dataclass(frozen=True, slots=True)
class Begin(Message):
    """Merger to captures: somebody has subscribed (a hint; see HeaderRecord.subscribed)."""


# ---------------------------------------------------------------- frames


@dataclass(frozen=True, slots=True)
class Frame(Message):
    """Capture to tiler: a frame is in its slot. Sent again whenever its outcome may be lost."""

    stream: str
    seq: int
    previous: int
    source_frame: int
    slot: int
    generation: int
    width: int
    height: int
    captured_ns: int
    captured_real_ns: int


@dataclass(frozen=True, slots=True)
class Expect(Message):
    """Tiler to merger: that frame, and how many tiles each stage has.

    A stage that depends on another is -1 until it is known; then the message comes again.
    """

    frame: Frame
    tiles: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Job(Message):
    """Tiler to worker: a tile is in its slot. `tile` is where it lies in the frame (Tile.to_tuple).

    `tiler` and `merger` are the incarnations that must hear of it, or later ones. `echo` asks for
    the boxes in Finished, because another stage depends on them.
    """

    id: int
    stream: str
    seq: int
    stage: int
    index: int
    slot: int
    generation: int
    tile: tuple[int, ...]
    width: int
    height: int
    tiler: int
    merger: int
    echo: bool


@dataclass(frozen=True, slots=True)
class Answer(Message):
    """Worker to merger: one tile's detections.

    `rows` is a float32 array in C order; its columns are the receiver's business.
    """

    stream: str
    seq: int
    stage: int
    index: int
    rows: bytes


STALE = "stale"


@dataclass(frozen=True, slots=True)
class Finished(Message):
    """Worker to tiler: a credit comes back. `error` is "" when the job was answered.

    STALE means that the slot was overwritten meanwhile: the job counts as not run.
    """

    worker: str
    id: int
    error: str
    rows: bytes


@dataclass(frozen=True, slots=True)
class Missing(Message):
    """Tiler to merger: that tile is given up; publish its frame as incomplete."""

    stream: str
    seq: int
    stage: int
    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Published(Message):
    """Merger to tiler and capture: the frame is out (or was before)."""

    stream: str
    seq: int


@dataclass(frozen=True, slots=True)
class Sent(Message):
    """Merger to itself: what it published before this has left the process."""

    stream: str
    seq: int


@dataclass(frozen=True, slots=True)
class Result(Message):
    """Merger to renderer: a published frame and its detections, float32 (n, 6) in C order."""

    frame: Frame
    complete: bool
    rows: bytes


@dataclass(frozen=True, slots=True)
class Rendered(Message):
    """Renderer to capture and merger: the frame's pixels are no longer needed."""

    stream: str
    seq: int


@dataclass(frozen=True, slots=True)
class End(Message):
    """Capture to merger: the stream has this many frames (a hint; see StreamRecord.end_seq)."""

    stream: str
    frames: int


_Kind = TypeVar("_Kind", bound=Message)
_Check = Callable[[Any], Any]


def _exactly(kind: type) -> _Check:
    def check(value: Any) -> Any:
        if type(value) is not kind:
            raise MessageError(f"expected {kind.__name__}, got {type(value).__name__}")
        return value

    return check


def _integers(value: Any) -> tuple[int, ...]:
    if not isinstance(value, (tuple, list)) or any(type(item) is not int for item in value):
        raise MessageError("expected whole numbers")
    return tuple(value)


def _nested(kind: type[Message]) -> _Check:
    return lambda value: _build(kind, value)


def _check_for(annotation: Any) -> _Check:
    if annotation == tuple[int, ...]:
        return _integers
    if isinstance(annotation, type) and issubclass(annotation, Message):
        return _nested(annotation)
    return _exactly(annotation)


_CHECKS: dict[type[Message], tuple[tuple[str, _Check], ...]] = {}
_KINDS: dict[str, type[Message]] = {}
# A dataclass with slots is a second class of its name; the first one is still listed before it.
for _kind in {kind.__name__: kind for kind in Message.__subclasses__()}.values():
    _hints = typing.get_type_hints(_kind)
    _KINDS[_kind.__name__.lower()] = _kind
    _CHECKS[_kind] = tuple((field.name, _check_for(_hints[field.name])) for field in fields(_kind))


def _build(kind: type[_Kind], data: Any) -> _Kind:
    checks = _CHECKS[kind]
    if not isinstance(data, dict) or len(data) != len(checks):
        raise MessageError(f"not the fields of {kind.__name__}")
    try:
        return kind(*[check(data[name]) for name, check in checks])
    except KeyError as error:
        raise MessageError(f"{kind.__name__} lacks {error}") from None


def _fields(message: Message) -> dict[str, Any]:
    values = {name: getattr(message, name) for name, _ in _CHECKS[type(message)]}
    for name, value in values.items():
        if isinstance(value, Message):
            values[name] = _fields(value)
    return values


def encode(message: Message) -> bytes:
    """The message as it goes over a socket."""
    content = {"t": type(message).__name__.lower(), **_fields(message)}
    # A note may tell of a file whose name is no UTF-8: then as \udcff, rather than not at all.
    packed: bytes = msgpack.packb(content, unicode_errors="backslashreplace")
    return packed


def decode(data: bytes) -> Message:
    """The message in `data`; MessageError when it is none."""
    try:
        content = msgpack.unpackb(data, use_list=False)
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise MessageError(f"not msgpack: {error}") from None
    if not isinstance(content, dict):
        raise MessageError("not a map")
    tag = content.pop("t", None)
    kind = _KINDS.get(tag) if isinstance(tag, str) else None
    if kind is None:
        raise MessageError(f"unknown kind {tag!r}")
    return _build(kind, content)
