"""The control block: every shared record of a run, and which actor writes which.

- the run: when it started, how many subscribers there are (supervisor and merger);
- per actor: heartbeat, counters, busy time, what each runtime context computes now (the actor);
- per stream: what was captured (capture), what was published last (`published_seq`, merger) and
  what was finished last (`finished_seq`, the last reader of the pixels);
- per frame slot: stream position, counts and size (the stream's capture);
- per tile slot: its generation (tiler).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from actors.system.shared_records import ActorRecord, Record, Text, Word

# Two numbers in a word of 63 bits: two years of frames at 30 a second.
_HALF = 32
_COUNT = (1 << _HALF) - 1


class RunRecord(Record):
    """The run as a whole. Written by the supervisor, subscriptions by the merger."""

    started_ns = Word()
    subscribed = Word()
    """1 once the results have had a subscriber."""
    subscriptions = Word()
    """How many subscriptions there are."""


class StreamRecord(Record):
    """One stream: the first half is written by its capture, the second by merger and renderer."""

    counted = Word()
    """Which frame was captured last, and how many were, see `capture`."""
    end_seq = Word()
    """The last sequence number there will be, + 1; -1 until the source has ended."""
    dropped_no_free_slot = Word()
    dropped_newer_frame = Word()
    unreadable = Word()
    reconnects = Word()
    """How often a live source came back after it had dropped out."""
    connected = Word()
    """1 while frames come in from a live source."""
    settled = Word()
    """What is published for sure, see `settle`."""
    settled_incomplete = Word()
    """Which frame was published last as incomplete, and how many were, see `settle`."""
    finished = Word()
    """Which frame was finished last, and how many are in the renderer's outputs, see `finish`."""
    video_broken = Word()
    """Once the video cannot be written: how many frames are in it for sure, + 1; before that 0."""
    pictures_broken = Word()
    """The same of the folder of pictures."""
    log_broken = Word()
    """Once the result log cannot be written: the last sequence number in it, + 2; else 0."""
    ended = Word()
    """1 once the end message has been published."""
    latency_p50_us = Word()
    latency_p99_us = Word()

    @property
    def last_seq(self) -> int:
        """The sequence number that was captured last, -1 before the first."""
        return (self.counted >> _HALF) - 1

    @property
    def captured(self) -> int:
        """How many frames were captured."""
        return self.counted & _COUNT

    def capture(self, seq: int) -> None:
        """Note that a frame is captured: number and count in one word, so that no death parts them.

        `settle` and `finish` do the same.
        """
        self.counted = seq + 1 << _HALF | self.captured + 1

    @property
    def published_seq(self) -> int:
        """The sequence number that was published last, -1 before the first."""
        return (self.settled >> _HALF) - 1

    @property
    def published(self) -> int:
        """How many frames were published."""
        return self.settled & _COUNT

    @property
    def incomplete(self) -> int:
        """How many frames were published as incomplete."""
        return self.settled_incomplete & _COUNT

    def settle(self, seq: int, *, complete: bool = True) -> None:
        """Note that a frame is published for sure.

        An incomplete frame is counted first; a death between the two does not count it twice.
        """
        if not complete and seq >= self.settled_incomplete >> _HALF:
            self.settled_incomplete = seq + 1 << _HALF | self.incomplete + 1
        self.settled = seq + 1 << _HALF | self.published + 1

    @property
    def finished_seq(self) -> int:
        """The last sequence number whose pixels are not needed any more, -1 before the first."""
        return (self.finished >> _HALF) - 1

    @property
    def rendered(self) -> int:
        """How many frames are for sure in an output of the renderer that is not broken."""
        return self.finished & _COUNT

    def finish(self, seq: int, rendered: int = 0) -> None:
        """Note that the frames up to `seq` are finished, `rendered` of them in an output."""
        self.finished = seq + 1 << _HALF | rendered

    @property
    def broken(self) -> bool:
        """Whether an output lacks frames."""
        return bool(self.video_broken or self.pictures_broken or self.log_broken)

    @property
    def dropped(self) -> int:
        """Frames of a live source that were passed over, for whichever reason."""
        return self.dropped_no_free_slot + self.dropped_newer_frame


class SlotRecord(Record):
    """One frame slot, written by its stream's capture.

    A frame is in flight while finished_seq < seq <= last_seq: `StreamRecord.capture` commits it.
    """

    seq = Word()
    """-1 before the first frame."""
    previous = Word()
    """The sequence number that comes before this one in the stream (gaps are dropped frames)."""
    source_frame = Word()
    unreadable = Word()
    """Frames that had been passed over in the stream when this one was read."""
    source_name = Text(32)
    """The file of a frame whose source is a folder or a glob of images, else ""."""
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
        return len(self.captured_after(stream, self.streams[stream].finished_seq))

    def captured_after(self, stream: str, seq: int) -> list[int]:
        """The sequence numbers above `seq` of the frames in the slots of a stream, in order."""
        last = self.streams[stream].last_seq
        return sorted(slot.seq for slot in self.slots[stream] if seq < slot.seq <= last)

    def initialise(self, started_ns: int) -> None:
        """Set what does not start at zero. The supervisor's, once, before any actor exists."""
        self.run.started_ns = started_ns
        for name, stream in self.streams.items():
            stream.end_seq = -1
            for slot in self.slots[name]:
                slot.seq = -1
