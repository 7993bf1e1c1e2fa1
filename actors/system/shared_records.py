"""Shared records: runs of named 64-bit words in shared memory, and the record of one actor.

A message is a hint to read the records, which have the truth, so that a message lost with a
killed process loses nothing. An aligned word is written with one store, so a reader never sees half
a number. Where the order of two writes matters, the code that writes says so.
"""

from __future__ import annotations

from typing import overload

MAX_CONTEXTS = 4


class Word:
    """One named word of a record."""

    index = 0

    @overload
    def __get__(self, record: None, owner: type) -> Word: ...
    @overload
    def __get__(self, record: Record, owner: type) -> int: ...
    def __get__(self, record: Record | None, owner: type) -> int | Word:
        return self if record is None else record.words[record.base + self.index]

    def __set__(self, record: Record, value: int) -> None:
        record.words[record.base + self.index] = value


class Text:
    """A short text in a record: the last `8 * words` bytes of its UTF-8."""

    index = 0

    def __init__(self, words: int) -> None:
        self.words = words

    @overload
    def __get__(self, record: None, owner: type) -> Text: ...
    @overload
    def __get__(self, record: Record, owner: type) -> str: ...
    def __get__(self, record: Record | None, owner: type) -> str | Text:
        if record is None:
            return self
        begin = record.base + self.index
        if record.words[begin] == 0:
            return ""
        words = (record.words[begin + i] for i in range(self.words))
        data = b"".join(word.to_bytes(8, "little", signed=True) for word in words)
        return data.rstrip(b"\0").decode(errors="backslashreplace")

    def __set__(self, record: Record, text: str) -> None:
        begin, size = record.base + self.index, 8 * self.words
        if not text and record.words[begin] == 0:
            return
        # A file's name may not be UTF-8: its bytes are kept, and read as \\xff.
        data = text.encode(errors="surrogateescape")[-size:].ljust(size, b"\0")
        for i in range(self.words):
            record.words[begin + i] = int.from_bytes(data[8 * i : 8 * i + 8], "little", signed=True)


class Record:
    """A run of words and texts with names. Subclasses list theirs in order."""

    length = 0

    def __init_subclass__(cls) -> None:
        length = 0
        for value in vars(cls).values():
            if isinstance(value, (Word, Text)):
                value.index = length
                length += value.words if isinstance(value, Text) else 1
        cls.length = length

    def __init__(self, words: memoryview[int], base: int) -> None:
        self.words = words
        self.base = base


class ActorRecord(Record):
    """One actor, written by itself (the first three words by the supervisor before it starts)."""

    pid = Word()
    incarnation = Word()
    heartbeat_ns = Word()
    """CLOCK_MONOTONIC of the last turn of the actor's loop; 0 until it is ready."""
    slow_step_until_ns = Word()
    """Until when the loop may stand still (CLOCK_MONOTONIC), because one step takes long; or 0."""
    done = Word()
    """Pieces of work finished over all incarnations."""
    queued = Word()
    leased = Word()
    """Memory slots that it has given away and not got back."""
    busy_ns = Word()
    """Time computing, over all incarnations."""
    malformed = Word()
    """What came into its sockets and was not a message of the run."""
    unsent = Word()
    """Messages that could not be sent: the receiver's queue was full, or they were too large."""
    item0 = Word()
    item1 = Word()
    item2 = Word()
    item3 = Word()
    since0 = Word()
    since1 = Word()
    since2 = Word()
    since3 = Word()

    def computing(self, context: int, item: int, since_ns: int) -> None:
        """Note that a runtime context works on `item` since then (0, 0: on nothing)."""
        base = self.base
        self.words[base + ActorRecord.since0.index + context] = since_ns
        self.words[base + ActorRecord.item0.index + context] = item

    def computing_since(self, context: int) -> int:
        """Since when (CLOCK_MONOTONIC) a runtime context works on its item; 0: on nothing."""
        return self.words[self.base + ActorRecord.since0.index + context]

    def items_computing(self) -> list[tuple[int, int]]:
        """(item, since_ns) of every context that is computing."""
        items, since = self.base + ActorRecord.item0.index, self.base + ActorRecord.since0.index
        pairs = [(self.words[items + i], self.words[since + i]) for i in range(MAX_CONTEXTS)]
        return [pair for pair in pairs if pair[1]]
