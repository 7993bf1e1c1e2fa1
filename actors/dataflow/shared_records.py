"""The control block: every shared record of a run, and which actor writes which.

- the run: when it started, how many subscribers there are (supervisor and merger);
- per actor: heartbeat, counters, busy time, what each runtime context computes now (the actor);
- per stream: what was captured (capture), what was published last (`published_seq`, merger) and
  what was finished last (`finished_seq`, the last reader of the pixels);
- per frame slot: state, stream position and size (the stream's capture);
- per tile slot: its generation (tiler).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from actors.system.shared_records import ActorRecord, Record, Word

# Two numbers in a word of 63 bits: two years of frames at 30 a second.
_HALF = 32

FREE, FILLING, IN_FLIGHT = 0, 1, 2


class RunRecord(Record):
    """The run as a whole. Written by the supervisor, subscriptions by the merger."""

    started_ns = Word()
    subscribed = Word()
    """1 once somebody has subscribed to the results."""
    subscriptions = Word()
    """How many subscriptions there are."""


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
    log_broken = Word()
    """Once the result log cannot be written: the last sequence number in it, + 2; else 0."""
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
            RunRecord.length
            + len(self.actors) * ActorRecord.length
            + len(self.streams) * StreamRecord.length
            + slots * SlotRecord.length
            + self.tile_slots * TileSlotRecord.length
        )


class ControlBlock:
    """The control block of one run, over mapped memory of at least `layout.size` bytes."""

    def __init__(self, layout: Layout, memory: memoryview) -> None:
        words = memory[: layout.size].cast("q")
        self.run = RunRecord(words, 0)
        base = RunRecord.length
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
        self.run.started_ns = started_ns
        for stream in self.streams.values():
            stream.last_seq = -1
            stream.last_source_frame = -1
            stream.end_seq = -1
            stream.finished_seq = -1
