"""Capture: fills frame slots from one source and owns them until their frames are finished.

A slot is leased to a frame from the moment it is filled until the stream's `finished_seq` in the
control block has reached the frame; messages only hint at that. From a file no frame is lost: with
no slot free, capture waits. A capture that comes back finds its frames in flight in the control
block, sends them again and goes on with the next frame of the source.
"""

from __future__ import annotations

import time

import cv2
import numpy as np

from actors.settings import MERGER, TILER, CaptureSettings
from actors.sources import Source, SourceError, open_source
from actors.sources.pace import Pace
from actors.system.actor import Actor, ActorError
from actors.system.control_block import FILLING, FREE, IN_FLIGHT, SlotRecord
from actors.system.linux import now_ns
from actors.system.memory import Pool
from actors.system.messages import Drain, End, Frame, Message
from actors.system.nursery import Spec


def main(spec: Spec) -> int:
    """The process's entry."""
    return Capture(spec, spec.settings).run()


class Capture(Actor):
    """One stream."""

    def __init__(self, spec: Spec, settings: CaptureSettings) -> None:
        super().__init__(spec)
        self.settings = settings
        self.stream = self.control.streams[settings.stream]
        self.slots = self.control.slots[settings.stream]
        self.source: Source | None = None
        self.pace: Pace | None = None
        self._due: int | None = None

    # ------------------------------------------------------------ life

    def open(self) -> None:
        # The pipeline's parallelism is in its processes; OpenCV's own threads would fight them.
        cv2.setNumThreads(1)
        pool = Pool(self.fds["frames"], len(self.slots), write=True)
        self.pixels = [np.frombuffer(pool[i], np.uint8) for i in range(len(pool))]
        self._recover()
        if self.settings.pace == "realtime":
            self.pace = Pace(self.settings.fps or 25.0)
        if self.stream.end_seq < 0:
            start = self.stream.last_source_frame + 1
            try:
                self.source = open_source(
                    self.settings.source, start=start, loop=self.settings.loop
                )
            except SourceError as error:
                raise ActorError(str(error)) from None
        self.unreadable_before = self.stream.unreadable

    def _recover(self) -> None:
        """Take up what an earlier incarnation left in the control block."""
        for slot in self.slots:
            if slot.state == FILLING:
                slot.state = FREE
        # Between a frame's going out and the counters' following, the other one could have died.
        newest = max(self._in_flight(), key=lambda slot: slot.seq, default=None)
        if newest is not None and newest.seq > self.stream.last_seq:
            self._count(newest)

    def work(self) -> None:
        self._release()
        if self.source is not None:
            slot = self._free_slot()
            if slot is not None and self._may_read():
                self._read(slot)
        elif self.stream.ended and not self._in_flight():
            self.ended = self.stopping = True

    def wait_ms(self) -> int:
        if self.source is None or self._free_slot() is None or not self._begun():
            return super().wait_ms()
        return min(super().wait_ms(), max(0, -(-(self._due_ns() - now_ns()) // 1_000_000)))

    def close(self) -> None:
        if self.source is not None:
            self.source.close()

    # ------------------------------------------------------------ messages

    def on_message(self, message: Message) -> None:
        if isinstance(message, Drain) and self.source is not None:
            self._end_of_source()

    def on_up(self, name: str) -> None:
        if name in (TILER, MERGER):
            # Whatever they knew of our frames may be gone; both ignore what they still know.
            for slot in sorted(self._in_flight(), key=lambda slot: slot.seq):
                self._send(slot)
        if name == MERGER:
            self._tell_end()

    # ------------------------------------------------------------ reading

    def _begun(self) -> bool:
        return not self.settings.wait_for_subscriber or self.control.header.subscribed == 1

    def _may_read(self) -> bool:
        return self._begun() and now_ns() >= self._due_ns()

    def _due_ns(self) -> int:
        """When the next frame is to be read; asked only while a slot is free for it."""
        if self.pace is None:
            return 0
        if self._due is None:
            self._due = self.pace.due_ns(now_ns())
        return self._due

    def _read(self, slot: SlotRecord) -> None:
        """Fill a slot with the source's next frame and send it, or find that there is none."""
        assert self.source is not None
        limit = self.settings.frame_limit
        if limit is not None and self.stream.captured >= limit:
            self._end_of_source()
            return
        self._due = None
        slot.state = FILLING
        slot.generation += 1
        try:
            source_frame = self.source.position()
            size = self.source.read(self.pixels[self.slots.index(slot)])
        except SourceError as error:
            slot.state = FREE
            raise ActorError(str(error)) from None
        self._report_unreadable()
        if size is None:
            slot.state = FREE
            self._end_of_source()
            return
        slot.seq = self.stream.last_seq + 1
        slot.previous = self.stream.last_seq
        slot.source_frame = source_frame
        slot.captured_ns = now_ns()
        slot.captured_real_ns = time.time_ns()
        slot.width, slot.height = size
        slot.state = IN_FLIGHT
        self._count(slot)
        self._send(slot)

    def _count(self, slot: SlotRecord) -> None:
        self.stream.last_source_frame = slot.source_frame
        self.stream.last_seq = slot.seq
        self.stream.captured += 1
        self.record.done += 1

    def _report_unreadable(self) -> None:
        assert self.source is not None
        unreadable = self.unreadable_before + self.source.unreadable
        if unreadable > self.stream.unreadable:
            self.stream.unreadable = unreadable
            self.note("warning", f"{self.source.last_error} (passed over and counted)")

    def _end_of_source(self) -> None:
        assert self.source is not None
        self._report_unreadable()
        self.source.close()
        self.source = None
        self.stream.end_seq = self.stream.last_seq + 1
        self._tell_end()

    def _tell_end(self) -> None:
        if self.stream.end_seq >= 0:
            self.outbox.send(MERGER, End(self.settings.stream, self.stream.end_seq))

    # ------------------------------------------------------------ slots

    def _in_flight(self) -> list[SlotRecord]:
        return [slot for slot in self.slots if slot.state == IN_FLIGHT]

    def _free_slot(self) -> SlotRecord | None:
        return next((slot for slot in self.slots if slot.state == FREE), None)

    def _release(self) -> None:
        """Take back the slots of finished frames."""
        finished = self.stream.finished_seq
        for slot in self.slots:
            if slot.state == IN_FLIGHT and slot.seq <= finished:
                slot.state = FREE
        self.record.queued = len(self._in_flight())

    def _send(self, slot: SlotRecord) -> None:
        self.outbox.send(
            TILER,
            Frame(
                self.settings.stream,
                slot.seq,
                slot.previous,
                slot.source_frame,
                self.slots.index(slot),
                slot.generation,
                slot.width,
                slot.height,
                slot.captured_ns,
                slot.captured_real_ns,
            ),
        )
