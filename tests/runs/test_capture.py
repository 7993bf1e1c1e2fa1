"""Capture's counters, whatever moment it is killed at."""

from __future__ import annotations

from contextlib import suppress
from math import inf

import pytest

from actors.capture import Capture, CapturedFrame
from actors.dataflow.shared_records import FREE, ControlBlock, Layout, SlotRecord
from actors.system.shared_records import Record

FRAMES = [(0, 5), (3, 6), (4, 9)]  # (seq, source_frame): numbers between them were dropped
SLOTS = 4


class Killed(BaseException):
    """The process is gone."""


class Mortal:
    """The control block's words, which take so many writes and no more."""

    def __init__(self, words: memoryview[int]) -> None:
        self.words = words
        self.left: float = inf

    def __getitem__(self, index: int) -> int:
        return self.words[index]

    def __setitem__(self, index: int, value: int) -> None:
        if self.left <= 0:
            raise Killed
        self.left -= 1
        self.words[index] = value


class Counting(Capture):
    """A capture without a process, a source or anybody to send to."""

    def __init__(self, control: ControlBlock) -> None:
        self.stream = control.streams["cam0"]
        self.slots = control.slots["cam0"]
        self.record = control.actors["cam0"]

    def _send(self, slot: SlotRecord) -> None:
        pass

    def fill(self, seq: int, source_frame: int) -> None:
        slot = self.free_slot()
        assert slot is not None
        self.begin(slot)
        self.send(slot, CapturedFrame(seq, source_frame, (8, 8), 1, 1))


def counters(capture: Capture) -> tuple[int, int, int, int]:
    stream = capture.stream
    return stream.captured, capture.record.done, stream.last_seq, stream.last_source_frame


def survivor(writes: int, again: int) -> Counting:
    """Who comes after a capture that died after so many writes of the last frame.

    The one between them dies too, after `again` writes of its recovery.
    """
    layout = Layout(("cam0",), {"cam0": SLOTS}, 0)
    control = ControlBlock(layout, memoryview(bytearray(layout.size)))
    control.initialise(1)
    words = Mortal(control.run.words)
    records: list[Record] = [control.actors["cam0"], control.streams["cam0"]]
    for record in records + list(control.slots["cam0"]):
        record.words = words  # type: ignore[assignment]
    capture = Counting(control)
    for frame in FRAMES[:-1]:
        capture.fill(*frame)
    words.left = writes
    with suppress(Killed):
        capture.fill(*FRAMES[-1])
    words.left = again
    with suppress(Killed):
        Counting(control)._recover()
    words.left = inf
    last = Counting(control)
    last._recover()
    return last


@pytest.mark.parametrize("again", range(6))
def test_a_death_between_two_writes_counts_a_frame_once(again: int) -> None:
    """Dead after any write of a frame, and again in the recovery: in wholly or not at all."""
    outcomes = []
    for writes in range(30):
        capture = survivor(writes, again)
        sent = len([slot for slot in capture.slots if slot.state != FREE])
        assert counters(capture) == (sent, sent, *FRAMES[sent - 1]), writes
        outcomes.append(sent)
    assert set(outcomes) == {2, 3}
    assert outcomes == sorted(outcomes)
