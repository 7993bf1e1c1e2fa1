"""Capture: fills frame slots from one source and owns them until their frames are finished.

A slot is leased to a frame from the moment it is filled until the stream's `finished_seq` in the
control block has reached the frame; messages only hint at that. A capture that comes back finds its
frames in flight in the control block and sends them again.

From a file no frame is lost: with no slot free, capture waits, and one that comes back goes on with
the next frame. From a live source the newest frame wins: a sequence number counts the frames that
came, so a dropped frame is a gap, and every gap is counted under its reason.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from actors.dataflow.messages import CODEC, End, Frame
from actors.dataflow.settings import MERGER, TILER, RunSettings
from actors.dataflow.shared_records import FILLING, FREE, IN_FLIGHT, ControlBlock, SlotRecord
from actors.sources.contract import Source, SourceError
from actors.sources.live import LiveSource
from actors.sources.opening import open_live, open_source
from actors.sources.pace import Pace
from actors.system.actor import Actor, ActorError
from actors.system.codec import Message
from actors.system.fork_server import Spec
from actors.system.linux import now_ns
from actors.system.memory import Pool, view
from actors.system.messages import Drain

_OPEN_SECONDS = 55.0
# An image of 400 megapixels takes 4 s to decode on a PC, and a disk may have to wake up.
_READ_NS = 20_000_000_000


def main(spec: Spec[RunSettings]) -> int:
    """The process's entry."""
    live = spec.settings.streams[spec.name].info.live
    return (LiveCapture if live else FileCapture)(spec).run()


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """What a slot was filled with."""

    seq: int
    source_frame: int
    size: tuple[int, int]
    captured_ns: int
    captured_real_ns: int


class Capture(Actor[RunSettings]):
    """One stream: its slots. Subclasses know the source."""

    def __init__(self, spec: Spec[RunSettings]) -> None:
        self.control = ControlBlock(spec.settings.layout, view(spec.fds["control"], write=True))
        super().__init__(spec, CODEC, self.control.actors[spec.name])
        self.mine = spec.settings.streams[spec.name]
        self.stream = self.control.streams[spec.name]
        self.slots = self.control.slots[spec.name]
        self.reading = False

    # ------------------------------------------------------------ a subclass's own

    def open_source(self) -> None:
        """Get at the source; it has not ended before."""
        raise NotImplementedError

    def read(self) -> None:
        """One turn's reading."""
        raise NotImplementedError

    def close_source(self) -> None:
        """Let go of the source. May be called again."""
        raise NotImplementedError

    # ------------------------------------------------------------ life

    def open(self) -> None:
        # The pipeline's parallelism is in its processes; OpenCV's own threads would fight them.
        cv2.setNumThreads(1)
        pool = Pool(self.fds["frames"], len(self.slots), write=True)
        self.pixels = [np.frombuffer(pool[i], np.uint8) for i in range(len(pool))]
        self._recover()
        if self.stream.end_seq < 0:
            self.open_source()
            self.reading = True

    def _recover(self) -> None:
        """Take up what an earlier incarnation left in the control block."""
        for slot in self.slots:
            if slot.state == FILLING:
                slot.state = FREE
        # Between a frame's going out and the counters' following, the other one could have died.
        newest = max(self._in_flight(), key=lambda slot: slot.seq, default=None)
        if newest is not None and newest.seq > self.stream.last_seq:
            self._count(newest)
        self.record.done = self.stream.captured

    def work(self) -> None:
        self._release()
        if self.reading:
            limit = self.settings.frame_limit
            if limit is not None and self.stream.captured >= limit:
                self.end_of_source()
            else:
                self.read()
        elif self.stream.ended and not self._in_flight():
            self.ended = self.stopping = True

    def close(self) -> None:
        self.close_source()

    # ------------------------------------------------------------ messages

    def on_message(self, message: Message) -> None:
        if isinstance(message, Drain) and self.reading:
            self.end_of_source()

    def on_up(self, name: str) -> None:
        if name in (TILER, MERGER):
            # Whatever they knew of our frames may be gone; both ignore what they still know.
            for slot in sorted(self._in_flight(), key=lambda slot: slot.seq):
                self._send(slot)
        if name == MERGER:
            self._tell_end()

    def end_of_source(self) -> None:
        """There will be no more frames."""
        self.close_source()
        self.reading = False
        self.stream.end_seq = self.stream.last_seq + 1
        self._tell_end()

    def _tell_end(self) -> None:
        if self.stream.end_seq >= 0:
            self.outbox.send(MERGER, End(self.name, self.stream.end_seq))

    # ------------------------------------------------------------ slots

    def begun(self) -> bool:
        """Whether frames are wanted already."""
        return not self.settings.results.wait_for_subscriber or self.control.run.subscribed == 1

    def free_slot(self) -> SlotRecord | None:
        return next((slot for slot in self.slots if slot.state == FREE), None)

    def pixels_of(self, slot: SlotRecord) -> NDArray[np.uint8]:
        """The slot's memory, one-dimensional; to be written between `begin` and `send`."""
        return self.pixels[self.slots.index(slot)]

    def begin(self, slot: SlotRecord) -> None:
        """Take a free slot to fill it."""
        slot.state = FILLING

    def send(self, slot: SlotRecord, frame: CapturedFrame) -> None:
        """The slot is filled: send its frame on its way."""
        slot.seq = frame.seq
        slot.previous = self.stream.last_seq
        slot.source_frame = frame.source_frame
        slot.captured_ns = frame.captured_ns
        slot.captured_real_ns = frame.captured_real_ns
        slot.width, slot.height = frame.size
        slot.state = IN_FLIGHT
        self._count(slot)
        self._send(slot)

    def _count(self, slot: SlotRecord) -> None:
        # Whoever dies before `last_seq` is written counts the frame again, so nothing before it
        # may add to itself: `done`, which follows last, still stands at what was counted before.
        self.stream.last_source_frame = slot.source_frame
        self.stream.captured = self.record.done + 1
        self.stream.last_seq = slot.seq
        self.record.done = self.stream.captured

    def _in_flight(self) -> list[SlotRecord]:
        return [slot for slot in self.slots if slot.state == IN_FLIGHT]

    def _release(self) -> None:
        """Take back the slots of finished frames."""
        finished = self.stream.finished_seq
        for slot in self.slots:
            if slot.state == IN_FLIGHT and slot.seq <= finished:
                slot.state = FREE
        self.record.queued = self.record.leased = len(self._in_flight())

    def _send(self, slot: SlotRecord) -> None:
        self.outbox.send(
            TILER,
            Frame(
                self.name,
                slot.seq,
                slot.previous,
                slot.source_frame,
                self.slots.index(slot),
                slot.width,
                slot.height,
                slot.captured_ns,
                slot.captured_real_ns,
            ),
        )


class FileCapture(Capture):
    """From a file or images: every frame, each when there is room for it."""

    source: Source | None = None
    pace: Pace | None = None
    _due: int | None = None

    def open_source(self) -> None:
        mine = self.mine
        if mine.pace == "realtime":
            self.pace = Pace(mine.info.fps or 25.0)
        start = self.stream.last_source_frame + 1
        try:
            # Deep in a long video, the exact frame may have to be decoded up to.
            opening = partial(
                open_source, mine.source, start=start, loop=mine.loop, ask=mine.request
            )
            self.source = self.run_with_heartbeat(opening, _OPEN_SECONDS, "opening the source")
        except SourceError as error:
            raise ActorError(str(error)) from None
        self._unreadable_before = self.stream.unreadable

    def close_source(self) -> None:
        if self.source is not None:
            self._report_unreadable()
            self.source.close()
            self.source = None

    def wait_ms(self) -> int:
        if not self.reading or self.free_slot() is None or not self.begun():
            return super().wait_ms()
        return min(super().wait_ms(), max(0, -(-(self._due_ns() - now_ns()) // 1_000_000)))

    def read(self) -> None:
        """Fill a slot with the source's next frame and send it, or find that there is none."""
        assert self.source is not None
        slot = self.free_slot()
        if slot is None or not self.begun() or now_ns() < self._due_ns():
            return
        self._due = None
        self.begin(slot)
        self.record.slow_step_until_ns = now_ns() + _READ_NS
        try:
            source_frame = self.source.position()
            size = self.source.read(self.pixels_of(slot))
        except SourceError as error:
            slot.state = FREE
            raise ActorError(str(error)) from None
        finally:
            self.record.slow_step_until_ns = 0
        self._report_unreadable()
        if size is None:
            slot.state = FREE
            self.end_of_source()
            return
        seq = self.stream.last_seq + 1
        self.send(slot, CapturedFrame(seq, source_frame, size, now_ns(), time.time_ns()))

    def _due_ns(self) -> int:
        """When the next frame is to be read; asked only while a slot is free for it."""
        if self.pace is None:
            return 0
        if self._due is None:
            self._due = self.pace.due_ns(now_ns())
        return self._due

    def _report_unreadable(self) -> None:
        assert self.source is not None
        unreadable = self._unreadable_before + self.source.unreadable
        if unreadable > self.stream.unreadable:
            self.stream.unreadable = unreadable
            self.note("warning", f"{self.source.last_error} (passed over and counted)")


class LiveCapture(Capture):
    """From a camera or a stream: the newest frame, when there is room for it."""

    source: LiveSource | None = None
    _workers_came = False

    def begun(self) -> bool:
        # What is captured while the models are still loaded grows old until they are: measured with
        # two slots, 480 ms for the second frame where all others take 390.
        if not self._workers_came:
            self._workers_came = any(map(self.peers.incarnation, self.settings.workers))
        return self._workers_came and super().begun()

    def open_source(self) -> None:
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.watch(self._wake)
        self.source = open_live(
            self.mine.source,
            self.mine.request,
            len(self.pixels[0]),
            lambda: os.eventfd_write(self._wake, 1),
        )
        stream = self.stream
        self._before = (
            stream.dropped_newer_frame,
            stream.dropped_no_free_slot,
            stream.unreadable,
            stream.reconnects,
        )
        # Frames that were dropped after the last one was captured are counted, so they have had
        # their numbers. An incarnation that died in the middle of counting must not repeat one.
        self._first_seq = max(stream.last_seq + 1, stream.captured + stream.dropped)
        self._connected: bool | None = None
        self._lost_ns = 0
        self._remarks: tuple[str, ...] | None = None

    def close_source(self) -> None:
        if self.source is not None:
            self.source.close()
            self.source = None
            self.stream.connected = 0

    def read(self) -> None:
        """Take the newest frame if there is room for it, and tell what the source went through."""
        source = self.source
        assert source is not None
        if not self.begun():
            return
        source.start()
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        slot = self.free_slot()
        source.room(slot is not None)
        if slot is not None:
            self._take(source, slot)
            source.room(self.free_slot() is not None)
        self._count_source(source)
        self._tell_of(source)
        if source.ended:
            self.end_of_source()

    def _take(self, source: LiveSource, slot: SlotRecord) -> None:
        self.begin(slot)
        try:
            taken = source.take(self.pixels_of(slot))
        except SourceError as error:
            slot.state = FREE
            raise ActorError(str(error)) from None
        if taken is None:
            slot.state = FREE
            return
        # The drops before this frame first: what is in the counters has had its number.
        self._count_source(source)
        seq = self._first_seq + taken.number
        frame = CapturedFrame(seq, seq, taken.size, taken.received_ns, taken.received_real_ns)
        self.send(slot, frame)

    def _count_source(self, source: LiveSource) -> None:
        stream, before = self.stream, self._before
        stream.dropped_newer_frame = before[0] + source.dropped_newer_frame
        stream.dropped_no_free_slot = before[1] + source.dropped_no_free_slot
        if source.unreadable and stream.unreadable == before[2]:
            self.note("warning", f"{source.name}: a frame cannot be decoded; such are only counted")
        stream.unreadable = before[2] + source.unreadable
        stream.reconnects = before[3] + source.reconnects
        stream.connected = source.connected

    def _tell_of(self, source: LiveSource) -> None:
        """Events: the source is away, it is back, it gives something else than was asked."""
        connected = source.connected
        if connected and source.remarks != self._remarks:
            # The first were told before the run.
            for remark in source.remarks if self._remarks is not None else ():
                self.note("warning", remark)
            self._remarks = source.remarks
        if connected and self._connected is False:
            away = (now_ns() - self._lost_ns) / 1e9
            self.note("info", f"{source.name}: back after {away:.1f} s", "source_back")
        elif not connected and (self._connected or (self._connected is None and source.trouble)):
            self._lost_ns = now_ns()
            why = source.trouble or f"{source.name}: no frame"
            self.note("warning", f"{why} (trying again until it is back)", "source_lost")
        else:
            return
        self._connected = connected
