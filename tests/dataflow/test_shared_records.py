"""The control block: every word of every record is its own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.dataflow.shared_records import (
    ControlBlock,
    Layout,
    RunRecord,
    SlotRecord,
    StreamRecord,
    TileSlotRecord,
)
from actors.system.shared_records import MAX_CONTEXTS, ActorRecord, Record, Word
from tests.support.mortal_words import Killed, MortalRecords

KINDS: list[type[Record]] = [RunRecord, ActorRecord, StreamRecord, SlotRecord, TileSlotRecord]

LAYOUTS = st.builds(
    Layout,
    actors=st.lists(st.text(max_size=3), unique=True, max_size=5).map(tuple),
    streams=st.dictionaries(st.text(max_size=3), st.integers(0, 4), max_size=3),
    tile_slots=st.integers(0, 9),
)


def words_of(kind: type[Record]) -> list[str]:
    return [name for name, value in vars(kind).items() if isinstance(value, Word)]


def records(block: ControlBlock) -> list[Record]:
    return [
        block.run,
        *block.actors.values(),
        *block.streams.values(),
        *(slot for slots in block.slots.values() for slot in slots),
        *block.tile_slots,
    ]


def content(block: ControlBlock) -> list[int]:
    """Every word by its name, record after record."""
    return [getattr(record, name) for record in records(block) for name in words_of(type(record))]


@given(LAYOUTS)
def test_every_word_has_a_place_of_its_own(layout: Layout) -> None:
    """All words are written with different numbers, through their names; all are still there."""
    raw = bytearray(layout.size)
    block = ControlBlock(layout, memoryview(raw))
    assert list(block.actors) == list(layout.actors)
    assert {name: len(slots) for name, slots in block.slots.items()} == dict(layout.streams)
    assert len(block.tile_slots) == layout.tile_slots
    count = 0
    for record in records(block):
        for name in words_of(type(record)):
            count += 1
            setattr(record, name, -count if count % 2 else count << 40)
    expected = [-n if n % 2 else n << 40 for n in range(1, count + 1)]
    assert content(block) == expected
    texts = SlotRecord.source_name.words * sum(layout.streams.values())
    assert 8 * (count + texts) == layout.size  # no word lies idle
    # Another process sees the same through its own mapping.
    assert content(ControlBlock(layout, memoryview(bytes(raw)))) == expected


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_writing_a_word_changes_no_other(kind: type[Record]) -> None:
    layout = Layout(("capture", "tiler"), {"cam0": 2, "cam1": 1}, 2)
    block = ControlBlock(layout, memoryview(bytearray(layout.size)))
    for at, record in enumerate(records(block)):
        if not isinstance(record, kind):
            continue
        for name in words_of(kind):
            before = content(block)
            setattr(record, name, 2**63 - 1 - at)
            changed = [(a, b) for a, b in zip(before, content(block), strict=True) if a != b]
            assert changed == [(0, 2**63 - 1 - at)]


def test_a_larger_memory_is_fine_and_a_smaller_is_not() -> None:
    layout = Layout(("tiler",), {"cam0": 1}, 1)
    ControlBlock(layout, memoryview(bytearray(layout.size + 4096)))
    with pytest.raises((IndexError, TypeError, ValueError)):
        content(ControlBlock(layout, memoryview(bytearray(layout.size - 8))))


def test_a_mapping_for_reading_cannot_be_written() -> None:
    layout = Layout(("tiler",), {}, 0)
    block = ControlBlock(layout, memoryview(bytes(layout.size)))
    with pytest.raises(TypeError):
        block.run.started_ns = 1


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 1.5, "1", None])
def test_what_is_no_word_is_refused(value: Any) -> None:
    layout = Layout(("tiler",), {}, 0)
    block = ControlBlock(layout, memoryview(bytearray(layout.size)))
    with pytest.raises((ValueError, TypeError)):
        block.run.started_ns = value
    assert block.run.started_ns == 0


def test_initial_values() -> None:
    layout = Layout(("tiler",), {"cam0": 1, "cam1": 2}, 1)
    block = ControlBlock(layout, memoryview(bytearray(layout.size)))
    block.initialise(123)
    assert block.run.started_ns == 123
    for stream in block.streams.values():
        for name in words_of(StreamRecord):
            assert getattr(stream, name) == (-1 if name == "end_seq" else 0), name
        assert (stream.last_seq, stream.captured) == (-1, 0)
        assert (stream.finished_seq, stream.rendered) == (-1, 0)
    assert [slot.seq for slots in block.slots.values() for slot in slots] == [-1] * 3
    assert sum(content(block)) == 123 - 2 - 3
    assert block.in_flight("cam1") == 0


def test_what_the_contexts_of_an_actor_compute() -> None:
    layout = Layout(("npu0", "npu1"), {}, 0)
    block = ControlBlock(layout, memoryview(bytearray(layout.size)))
    record, other = block.actors["npu0"], block.actors["npu1"]
    before = {name: getattr(record, name) for name in words_of(ActorRecord)}
    for context in range(MAX_CONTEXTS):
        record.computing(context, 100 + context, 7000 + context)
    assert record.items_computing() == [(100, 7000), (101, 7001), (102, 7002), (103, 7003)]
    assert other.items_computing() == []
    record.computing(1, 0, 0)
    assert record.items_computing() == [(100, 7000), (102, 7002), (103, 7003)]
    record.since2 = 0  # the word that is written first says that it has ended
    assert record.items_computing() == [(100, 7000), (103, 7003)]
    for context in range(MAX_CONTEXTS):
        record.computing(context, 0, 0)
    assert {name: getattr(record, name) for name in words_of(ActorRecord)} == before


@given(st.lists(st.integers(1, 1000), max_size=40), st.integers(0, (1 << 31) - 100_000))
def test_number_and_count_change_together(steps: list[int], first: int) -> None:
    layout = Layout((), {"cam": 1}, 0)
    block = ControlBlock(layout, memoryview(bytearray(layout.size)))
    block.initialise(1)
    stream = block.streams["cam"]
    assert (stream.published_seq, stream.published) == (-1, 0)
    seq = first
    for count, step in enumerate(steps, 1):
        seq += step
        stream.capture(seq)
        assert (stream.last_seq, stream.captured) == (seq, count)
        stream.settle(seq)
        assert (stream.published_seq, stream.published) == (seq, count)
        stream.finish(seq, count // 2)
        assert (stream.finished_seq, stream.rendered) == (seq, count // 2)


def test_an_incomplete_frame_is_counted_once_though_its_merger_dies_between_two_words() -> None:
    records = MortalRecords(slots=2)
    records.stream.settle(3, complete=False)
    records.words.left = 1
    with pytest.raises(Killed):
        records.stream.settle(4, complete=False)
    assert records.others.published_seq == 3
    records.words.left = float("inf")
    records.stream.settle(4, complete=False)
    records.stream.settle(5)
    records.stream.settle(6, complete=False)
    assert (records.others.published, records.others.incomplete) == (4, 3)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("", ""),
        ("img2.png", "img2.png"),
        ("ü" * 100 + ".png", "ü" * 100 + ".png"),
        ("x" * 300 + "/name.png", "x" * 247 + "/name.png"),
        ("\udcff.png", "\\xff.png"),
    ],
)
def test_a_text_is_kept_up_to_its_last_bytes(given: str, read: str) -> None:
    layout = Layout((), {"cam0": 2}, 0)
    block = ControlBlock(layout, memoryview(bytearray(layout.size)))
    first, second = block.slots["cam0"]
    for slot in (first, second):
        slot.source_frame = slot.captured_ns = -1
    first.source_name = "what was there before.png" * 9
    first.source_name = given
    assert first.source_name == read
    assert (first.source_frame, first.captured_ns, second.source_name) == (-1, -1, "")
