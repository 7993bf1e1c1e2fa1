"""Shared records with a writer that can be killed between any two writes."""

from __future__ import annotations

from math import inf

from actors.dataflow.shared_records import ControlBlock, Layout, SlotRecord, StreamRecord
from actors.system.shared_records import Record


class Killed(BaseException):
    """The process is gone."""


class MortalWords:
    """The control block's words, which take `left` writes and no more."""

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


class MortalRecords:
    """One stream's records twice: as the process that may die and as all others write them."""

    def __init__(self, slots: int) -> None:
        layout = Layout(("cam0",), {"cam0": slots}, 0)
        memory = memoryview(bytearray(layout.size))
        others, own = ControlBlock(layout, memory), ControlBlock(layout, memory)
        others.initialise(1)
        self.words = MortalWords(own.run.words)
        records: list[Record] = [own.streams["cam0"], *own.slots["cam0"]]
        for record in records:
            record.words = self.words  # type: ignore[assignment]
        self.stream: StreamRecord = own.streams["cam0"]
        self.slots: list[SlotRecord] = own.slots["cam0"]
        self.others: StreamRecord = others.streams["cam0"]
