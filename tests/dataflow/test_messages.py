"""Messages: what goes out comes in, and what is no message is a MessageError and nothing else."""

from __future__ import annotations

import typing
from dataclasses import fields
from typing import Any

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actors.dataflow import messages
from actors.dataflow.messages import CODEC, Expect, Frame
from actors.system import messages as supervision
from actors.system.codec import Message, MessageError
from actors.system.messages import Note

KINDS = list(
    {
        kind.__name__: kind
        for kind in (*vars(messages).values(), *vars(supervision).values())
        if isinstance(kind, type) and issubclass(kind, Message) and kind is not Message
    }.values()
)

# What msgpack can carry as a whole number.
INTEGERS = st.integers(-(2**63), 2**64 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def values_of(annotation: Any) -> st.SearchStrategy[Any]:
    if annotation is int:
        return INTEGERS
    if annotation is str:
        return TEXTS
    if annotation is bytes:
        return st.binary(max_size=50)
    if annotation is bool:
        return st.booleans()
    if annotation == tuple[str, ...]:
        return st.lists(st.text(max_size=8), max_size=3).map(tuple)
    if annotation == tuple[int, ...]:
        return st.lists(INTEGERS, max_size=8).map(tuple)
    return messages_of(annotation)


def messages_of(kind: type[Message]) -> st.SearchStrategy[Message]:
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{field.name: values_of(hints[field.name]) for field in fields(kind)})


ANY = st.one_of(*map(messages_of, KINDS))

FRAME = Frame("cam0", 1, 0, 1, 2, 1920, 1080, 4, 5)

# By the type of a field: what must not be taken for it.
WRONG: dict[Any, list[Any]] = {
    int: [True, 1.0, "1", b"1", None, [1], {}],
    str: [1, b"cam0", None, ["cam0"], {}],
    bytes: ["x", 0, None, [1]],
    bool: [0, 1, "true", None],
    tuple[int, ...]: [1, "12", b"12", None, [1.0], ["1"], [True], [[1]], {"0": 1}],
    tuple[str, ...]: [1, "12", b"12", None, [1], [["a"]], {"0": "a"}],
    Frame: [None, 1, [], {}, {"t": "frame"}, "frame"],
}


def plain(message: Message) -> dict[str, Any]:
    """A message as the map on the wire."""
    content: dict[str, Any] = msgpack.unpackb(CODEC.encode(message))
    return content


def example_of(kind: type[Message]) -> Message:
    values: dict[Any, Any] = {int: 7, str: "npu0", bytes: b"\0" * 24, bool: True}
    values |= {tuple[int, ...]: (1, 2), tuple[str, ...]: ("a", ""), Frame: FRAME}
    hints = typing.get_type_hints(kind)
    return kind(**{field.name: values[hints[field.name]] for field in fields(kind)})


def test_every_kind_is_tried_here() -> None:
    names = """Answer Begin Down Drain End Expect Finished Frame Job Missing Note Published Ready
        Rendered Result Stop Up"""
    assert {kind.__name__ for kind in KINDS} >= set(names.split())


def test_on_the_wire() -> None:
    assert plain(Expect(FRAME, (6, -1))) == {
        "t": "expect",
        "frame": {
            "stream": "cam0",
            "seq": 1,
            "previous": 0,
            "source_frame": 1,
            "slot": 2,
            "width": 1920,
            "height": 1080,
            "captured_ns": 4,
            "captured_real_ns": 5,
        },
        "tiles": [6, -1],
    }


@given(ANY)
def test_round_trip(message: Message) -> None:
    assert CODEC.decode(CODEC.encode(message)) == message


def test_text_that_is_not_unicode_is_encoded_all_the_same() -> None:
    """A file name may hold any bytes, and a note may tell of it."""
    note = Note("cam0", "warning", "source", "frames/\udcff.jpg: cannot be read")
    received = Note("cam0", "warning", "source", r"frames/\udcff.jpg: cannot be read")
    assert CODEC.decode(CODEC.encode(note)) == received


FIELDS = [(kind, field.name) for kind in KINDS for field in fields(kind)]


@pytest.mark.parametrize(("kind", "name"), FIELDS, ids=lambda v: getattr(v, "__name__", v))
def test_a_field_of_another_type_is_refused(kind: type[Message], name: str) -> None:
    content = plain(example_of(kind))
    for wrong in WRONG[typing.get_type_hints(kind)[name]]:
        with pytest.raises(MessageError):
            CODEC.decode(msgpack.packb({**content, name: wrong}))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_field_too_few_or_too_many_is_refused(kind: type[Message]) -> None:
    content = plain(example_of(kind))
    assert isinstance(CODEC.decode(msgpack.packb(content)), kind)
    for name in content:
        without = {key: value for key, value in content.items() if key != name}
        for broken in (without, {**without, "other": content[name]}, {**content, "other": 1}):
            with pytest.raises(MessageError):
                CODEC.decode(msgpack.packb(broken))


@pytest.mark.parametrize(
    "content",
    [
        None,
        1,
        "up",
        [],
        {},
        {"t": "message"},
        {"t": "Stop"},
        {"t": None},
        {"t": 1},
        {"t": b"stop"},
        {"t": ["stop"]},
        {"t": {}},
        {b"t": "stop"},
        {"T": "stop"},
    ],
    ids=repr,
)
def test_what_is_no_message_is_refused(content: Any) -> None:
    with pytest.raises(MessageError):
        CODEC.decode(msgpack.packb(content))


@given(st.binary(max_size=200))
@example(b"")
@example(b"\xc1")  # never used in msgpack
@example(b"\x91" * 100_000)  # nested beyond any depth
@example(b"\x81\xa1t" * 5_000)
@example(b"\xdd\xff\xff\xff\xff")  # says that four thousand million values follow
@example(b"\xdf\xff\xff\xff\xff")
@example(b"\xc6\xff\xff\xff\xff")
@example(b"\x81\x01\x02")  # a key that is no text
@example(b"\x81\x80\x01")  # a key that is a map
@example(b"\x81\xa1t\xa1\xff")  # no UTF-8
@example(b"\x82\xa1t\xa4stop\xa1t\xa4stop")  # a key twice
@example(b"\x81\xa1t\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff")  # a time that cannot be
@example(b"\x81\xa1t\xc7\x01\xff\x00")
@example(CODEC.encode(supervision.Stop()) + b"\x00")
def test_random_bytes(data: bytes) -> None:
    try:
        message = CODEC.decode(data)
    except MessageError:
        return
    assert isinstance(message, Message)


@settings(max_examples=300)
@given(message=ANY, data=st.data())
def test_bytes_gone_wrong(message: Message, data: st.DataObject) -> None:
    raw = bytearray(CODEC.encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw)))
        kind = data.draw(st.sampled_from(["cut", "put", "flip", "drop"]))
        if kind == "cut":
            del raw[at:]
        elif kind == "put":
            raw[at:at] = data.draw(st.binary(min_size=1, max_size=4))
        elif kind == "flip" and at < len(raw):
            raw[at] ^= 1 << data.draw(st.integers(0, 7))
        elif at < len(raw):
            del raw[at]
    try:
        decoded = CODEC.decode(bytes(raw))
    except MessageError as error:
        assert str(error)
        return
    # It is a message still: then a whole one, of the right types.
    assert CODEC.decode(CODEC.encode(decoded)) == decoded


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats() | TEXTS | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=150)
@given(kind=st.sampled_from(KINDS), data=st.data())
def test_fields_of_any_value(kind: type[Message], data: st.DataObject) -> None:
    """Some fields hold anything: it is a whole message or a MessageError."""
    content = plain(example_of(kind))
    for name in data.draw(st.sets(st.sampled_from(sorted(content)), min_size=1)):
        content[name] = data.draw(JSON_LIKE, name)
    try:
        decoded = CODEC.decode(msgpack.packb(content))
    except MessageError:
        return
    assert isinstance(decoded, Message)
    assert CODEC.decode(CODEC.encode(decoded)) == decoded
