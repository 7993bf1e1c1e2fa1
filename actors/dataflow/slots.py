"""Leases of one stream's frame slots: numbering, recovery, counting, end of stream, resending.

Plain Python over the words of the shared records, without socket, clock or pixels; the capture is
the actor around it. Every method that takes an event returns the actions that follow from it.

One word commits a frame: the stream's packed number and count (`StreamRecord.capture`). All else
follows from it, so a capture killed between any two writes has captured the frame or has not:

    slot.seq <= finished_seq                free
    finished_seq < slot.seq <= last_seq     leased: the frame is in flight
    last_seq < slot.seq                     filled by a capture that was killed before the commit

The slot of the frame that was captured last is not filled again before the next frame has been
committed in another one, even when it is free: from it a capture that was restarted takes the
position in the file where to continue, and what had been counted up to there.

A frame of a file is numbered by the frames before it, so that there is no gap. A frame of a live
source is numbered by the frames that the source received before it, so that a dropped frame is a
gap: every gap is counted under its reason before the frame after it is committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actors.dataflow.messages import End, Frame
from actors.dataflow.settings import MERGER, TILER
from actors.dataflow.shared_records import SlotRecord, StreamRecord
from actors.sources.pace import Pace
from actors.sources.reading import CapturedFrame, SourceCounts
from actors.system.codec import Message


class SlotError(ValueError):
    """An event that is not possible now: nothing was changed."""


@dataclass(frozen=True, slots=True)
class Fill:
    """Action: fill this slot with the source's next frame, then call `filled` if there is one."""

    slot: int


@dataclass(frozen=True, slots=True)
class Send:
    """Action: send a message to an actor."""

    receiver: str
    message: Message


@dataclass(frozen=True, slots=True)
class CloseSource:
    """Action: close the source; no more frames are read."""


@dataclass(frozen=True, slots=True)
class ReportUnreadable:
    """Action: note that frames could not be decoded."""


@dataclass(frozen=True, slots=True)
class Exit:
    """Action: the stream is over and every frame is finished."""


Action = Fill | Send | CloseSource | ReportUnreadable | Exit


class Slots:
    """The slots of one stream, as its capture sees them; see the module for their states.

    `waiting` (for the subscriber that the user asked for, or for a live source the first worker)
    -> `reading` -> `over` (the source has ended, the frame limit is reached, or a drain was asked
    for), then `Exit` once the end is published and no frame is in flight. A capture that was
    restarted begins in the state that the records say.
    """

    def __init__(
        self,
        name: str,
        stream: StreamRecord,
        slots: Sequence[SlotRecord],
        *,
        live: bool,
        frame_limit: int | None = None,
        pace: Pace | None = None,
        workers: Sequence[str] = (),
        wait_for_subscriber: bool = False,
    ) -> None:
        """Take up what an earlier incarnation left in the records. At least two slots."""
        if len(slots) < 2:
            raise SlotError(f"stream {name} has {len(slots)} frame slots; it needs two at least")
        self._name = name
        self._stream = stream
        self._slots = slots
        self._live = live
        self._limit = frame_limit
        self._pace = pace
        self._due_ns: int | None = None
        # A live frame captured while the models are still loaded grows old until they are: measured
        # with two slots, 480 ms for the second frame where all others take 390.
        self._awaited_workers = frozenset(workers if live else ())
        self._awaits_subscriber = wait_for_subscriber
        for slot in slots:
            if slot.seq > stream.last_seq:
                slot.seq = -1
        self._free = set(range(len(slots)))
        self._leased: list[int] = []
        for index in sorted(self._free, key=lambda index: slots[index].seq):
            if slots[index].seq > stream.finished_seq:
                self._leased.append(index)
        self._free.difference_update(self._leased)
        newest = max(range(len(slots)), key=lambda index: slots[index].seq)
        self._last = newest if slots[newest].seq >= 0 else None
        # A file is read again from the frame after the last; what a live source counted before is
        # over. So are the numbers of the frames that it dropped, which were counted before.
        passed = 0 if self._last is None else slots[self._last].unreadable
        self._before = SourceCounts(
            unreadable=stream.unreadable if live else passed,
            dropped_newer_frame=stream.dropped_newer_frame,
            dropped_no_free_slot=stream.dropped_no_free_slot,
            reconnects=stream.reconnects,
        )
        self._first_seq = stream.captured + stream.dropped if live else 0
        self._unreadable = self._before.unreadable

    # ------------------------------------------------------------ state

    @property
    def over(self) -> bool:
        """Whether the stream has its last frame."""
        return self._stream.end_seq >= 0

    @property
    def next_source_frame(self) -> int:
        """Index in the file at which reading begins."""
        return 0 if self._last is None else self._slots[self._last].source_frame + 1

    @property
    def leased(self) -> int:
        """Frames in flight."""
        return len(self._leased)

    @property
    def has_room(self) -> bool:
        """Whether the source's next frame is wanted and a slot is free for it."""
        waiting = self._awaited_workers or self._awaits_subscriber
        return not (self.over or waiting) and self._slot() is not None

    def due_ns(self, now_ns: int) -> int | None:
        """When a file's next frame is to be read: None while there is no room for it.

        A live source's frames are due whenever it has one, which it makes known itself.
        """
        if self._live or not self.has_room:
            return None
        if self._due_ns is None:
            self._due_ns = now_ns if self._pace is None else self._pace.due_ns(now_ns)
        return self._due_ns

    # ------------------------------------------------------------ events

    def turn(self, now_ns: int, *, subscribed: bool) -> list[Action]:
        """Finished frames give their slots back; then the next frame is read, if it is due."""
        finished = self._stream.finished_seq
        while self._leased and self._slots[self._leased[0]].seq <= finished:
            self._free.add(self._leased.pop(0))
        self._awaits_subscriber = self._awaits_subscriber and not subscribed
        if self.over:
            return [Exit()] if self._stream.ended and not self._leased else []
        if self._limit is not None and self._stream.captured >= self._limit:
            return self.end()
        slot = self._slot()
        due_ns = now_ns if self._live else self.due_ns(now_ns)
        if slot is None or not self.has_room or due_ns is None or due_ns > now_ns:
            return []
        return [Fill(slot)]

    def up(self, name: str) -> list[Action]:
        """An actor is ready, perhaps anew: it may lack all that was sent to the one before it."""
        if name in self._awaited_workers:
            self._awaited_workers = frozenset()
        actions: list[Action] = []
        if name in (TILER, MERGER):
            # Both ignore what they still have.
            actions += [self._send(index) for index in self._leased]
        if name == MERGER and self.over:
            actions.append(Send(MERGER, End(self._name, self._stream.end_seq)))
        return actions

    def counted(self, counts: SourceCounts) -> list[Action]:
        """The source's counters: to be given before the frame that was read after them."""
        before, stream = self._before, self._stream
        stream.dropped_newer_frame = before.dropped_newer_frame + counts.dropped_newer_frame
        stream.dropped_no_free_slot = before.dropped_no_free_slot + counts.dropped_no_free_slot
        stream.reconnects = before.reconnects + counts.reconnects
        self._unreadable = before.unreadable + counts.unreadable
        if self._unreadable <= stream.unreadable:
            return []
        # A live source may give thousands: only the first of them is reported.
        first = stream.unreadable == before.unreadable
        stream.unreadable = self._unreadable
        return [ReportUnreadable()] if first or not self._live else []

    def filled(self, slot: int, frame: CapturedFrame) -> list[Action]:
        """The slot has a frame: it is leased until `finished_seq` has reached it."""
        stream, last = self._stream, self._stream.last_seq
        seq = last + 1 if frame.number is None else self._first_seq + frame.number
        if self.over or slot != self._slot():
            raise SlotError(f"slot {slot} is not to be filled")
        if (frame.number is None) == self._live or seq <= last:
            raise SlotError(f"{frame} cannot come after frame {last}")
        record = self._slots[slot]
        # Beyond `last_seq` before anything else: whatever is half written belongs to no frame.
        record.seq = seq
        record.previous = last
        record.source_frame = seq if self._live else frame.source_frame
        record.unreadable = self._unreadable
        record.source_name = frame.source_name
        record.captured_ns = frame.captured_ns
        record.captured_real_ns = frame.captured_real_ns
        record.width, record.height = frame.size
        stream.capture(seq)
        self._free.remove(slot)
        self._leased.append(slot)
        self._last = slot
        self._due_ns = None
        return [self._send(slot)]

    def end(self) -> list[Action]:
        """There will be no more frames: the source has ended, or no more are wanted."""
        if self.over:
            return []
        self._stream.end_seq = self._stream.last_seq + 1
        return [CloseSource(), Send(MERGER, End(self._name, self._stream.end_seq))]

    # ------------------------------------------------------------ inside

    def _slot(self) -> int | None:
        """The slot to fill next: the first free one, which is the likeliest to be in a cache."""
        return min((index for index in self._free if index != self._last), default=None)

    def _send(self, index: int) -> Send:
        slot = self._slots[index]
        frame = Frame(
            stream=self._name,
            seq=slot.seq,
            previous=slot.previous,
            source_frame=slot.source_frame,
            slot=index,
            width=slot.width,
            height=slot.height,
            captured_ns=slot.captured_ns,
            captured_real_ns=slot.captured_real_ns,
        )
        return Send(TILER, frame)
