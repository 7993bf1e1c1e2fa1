"""The control block: what everybody in a run may read, and each part only its owner writes.

It is a row of 64-bit words in shared memory. A message tells an actor to look; the truth stands
here, so that a message lost with a dying process loses nothing:

- per actor: heartbeat, counters, busy time, what each runtime context computes now;
- per stream: what was captured, what was published last (`published_seq`, written by the merger)
  and what was finished last (`finished_seq`, by whoever reads the pixels last);
- per frame slot: state, stream position, size and generation, written by the stream's capture;
- per tile slot: its generation, written by the tiler.

An aligned word is written with one store, so a reader never sees half a number. Where the order of
two writes matters, the code that writes says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import overload

MAX_CONTEXTS = 4
# Two numbers in a word of 63 bits: two years of frames at 30 a second.
_HALF = 32

FREE, FILLING, IN_FLIGHT = 0, 1, 2


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


class Record:
    """A run of words with names. Subclasses list theirs in order."""

    length = 0

    def __init_subclass__(cls) -> None:
        named = [value for value in vars(cls).values() if isinstance(value, Word)]
        for index, word in enumerate(named):
            word.index = index
        cls.length = len(named)

    def __init__(self, words: memoryview[int], base: int) -> None:
        self.words = words
        self.base = base


class HeaderRecord(Record):
    """The run as a whole. Written by the supervisor, subscriptions by the merger."""

    started_ns = Word()
    subscribed = Word()
    """1 once somebody has subscribed to the results."""
    subscriptions = Word()
    """How many subscriptions there are."""


class ActorRecord(Record):
    """One actor, written by itself (the first three words by the supervisor before it starts)."""

    pid = Word()
    incarnation = Word()
    heartbeat_ns = Word()
    """CLOCK_MONOTONIC of the last turn of the actor's loop; 0 until it is ready."""
    slow_step_until_ns = Word()
    """Until when the loop may stand still (CLOCK_MONOTONIC), because one step takes long; or 0."""
    done = Word()
    """Frames, or jobs (workers), finished over all incarnations."""
    queued = Word()
    leased = Word()
    """Slots that it has given away and not back: a capture's frames, the tiler's tiles."""
    busy_ns = Word()
    """Time computing (worker: its core), over all incarnations."""
    malformed = Word()
    """Messages in its inbox that were no messages."""
    unsent = Word()
    """Messages that could not be sent because the receiver's queue was full."""
    job0 = Word()
    job1 = Word()
    job2 = Word()
    job3 = Word()
    since0 = Word()
    since1 = Word()
    since2 = Word()
    since3 = Word()

    def computing(self, context: int, job: int, since_ns: int) -> None:
        """Note that a runtime context works on `job` since then (0, 0: on nothing)."""
        base = self.base
        self.words[base + ActorRecord.since0.index + context] = since_ns
        self.words[base + ActorRecord.job0.index + context] = job

    def computing_since(self, context: int) -> int:
        """Since when (CLOCK_MONOTONIC) a runtime context works on its job; 0: on nothing."""
        return self.words[self.base + ActorRecord.since0.index + context]

    def jobs_computing(self) -> list[tuple[int, int]]:
        """(job, since_ns) of every context that is computing."""
        jobs, since = self.base + ActorRecord.job0.index, self.base + ActorRecord.since0.index
        pairs = [(self.words[jobs + i], self.words[since + i]) for i in range(MAX_CONTEXTS)]
        return [pair for pair in pairs if pair[1]]


class StreamRecord(Record):
    """One stream: the first half is written by its capture, the second by merger and renderer."""

    captured = Word()
    last_seq = Word()
    last_source_frame = Word()
    end_seq = Word()
    """The last sequence number there will be, + 1; -1 while the source goes on."""
    dropped_no_free_slot = Word()
    dropped_newer_frame = Word()
    unreadable = Word()
    reconnects = Word()
    """How often a live source came back after it had dropped out."""
    connected = Word()
    """1 while frames come in from a live source."""
    settled = Word()
    """What is published for sure, see `settle`."""
    incomplete = Word()
    finished_seq = Word()
    rendered = Word()
    """Frames that are in the renderer's video for sure."""
    broken = Word()
    """1 once the video cannot be written any more: no renderer goes on with it."""
    ended = Word()
    """1 once the end message has been published."""
    latency_p50_us = Word()
    latency_p99_us = Word()

    @property
    def published_seq(self) -> int:
        """The sequence number that was published last, -1 before the first."""
        return (self.settled >> _HALF) - 1

    @property
    def published(self) -> int:
        """How many frames were published."""
        return self.settled & ((1 << _HALF) - 1)

    def settle(self, seq: int) -> None:
        """Note that a frame is out: number and count in one word, so that no death parts them."""
        self.settled = seq + 1 << _HALF | self.published + 1

    @property
    def dropped(self) -> int:
        """Frames of a live source that were passed over, for whichever reason."""
        return self.dropped_no_free_slot + self.dropped_newer_frame


class SlotRecord(Record):
    """One frame slot, written by its stream's capture.

    `state` is written last when a frame goes out and first when the slot is filled anew, so that a
    capture that comes back after a crash finds either a whole frame or none.
    """

    state = Word()
    seq = Word()
    previous = Word()
    """The sequence number that comes before this one in the stream (gaps are dropped frames)."""
    source_frame = Word()
    generation = Word()
    captured_ns = Word()
    captured_real_ns = Word()
    width = Word()
    height = Word()


class TileSlotRecord(Record):
    """One tile slot, written by the tiler: a new generation before any pixel is overwritten."""

    generation = Word()


@dataclass(frozen=True)
class Layout:
    """What a run's control block holds, and so where everything stands."""

    actors: tuple[str, ...]
    streams: Mapping[str, int]
    """Frame slots by stream."""
    tile_slots: int

    @property
    def size(self) -> int:
        """Bytes."""
        slots = sum(self.streams.values())
        return 8 * (
            HeaderRecord.length
            + len(self.actors) * ActorRecord.length
            + len(self.streams) * StreamRecord.length
            + slots * SlotRecord.length
            + self.tile_slots * TileSlotRecord.length
        )


class ControlBlock:
    """The control block of one run, over mapped memory of at least `layout.size` bytes."""

    def __init__(self, layout: Layout, memory: memoryview) -> None:
        words = memory[: layout.size].cast("q")
        self.header = HeaderRecord(words, 0)
        base = HeaderRecord.length
        self.actors: dict[str, ActorRecord] = {}
        for name in layout.actors:
            self.actors[name] = ActorRecord(words, base)
            base += ActorRecord.length
        self.streams: dict[str, StreamRecord] = {}
        self.slots: dict[str, list[SlotRecord]] = {}
        for name, slots in layout.streams.items():
            self.streams[name] = StreamRecord(words, base)
            base += StreamRecord.length
            self.slots[name] = []
            for _ in range(slots):
                self.slots[name].append(SlotRecord(words, base))
                base += SlotRecord.length
        self.tile_slots: list[TileSlotRecord] = []
        for _ in range(layout.tile_slots):
            self.tile_slots.append(TileSlotRecord(words, base))
            base += TileSlotRecord.length

    def in_flight(self, stream: str) -> int:
        """How many frames of a stream are captured and not finished."""
        finished = self.streams[stream].finished_seq
        return sum(slot.state == IN_FLIGHT and slot.seq > finished for slot in self.slots[stream])

    def initialise(self, started_ns: int) -> None:
        """Set what does not start at zero. The supervisor's, once, before any actor exists."""
        self.header.started_ns = started_ns
        for stream in self.streams.values():
            stream.last_seq = -1
            stream.last_source_frame = -1
            stream.end_seq = -1
            stream.finished_seq = -1
