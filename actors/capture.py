"""Capture: fills frame slots from one source and sends the frames to the tiler.

Which slot is filled when, what is sent again and when the stream is over is decided by
`dataflow.slots`; this is the actor around it. From a file no frame is lost: with no slot free,
capture waits, and one that was restarted continues with the next frame. From a live source the
newest frame wins, and every dropped frame is counted under its reason.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial

import cv2
import numpy as np

from actors.dataflow.live_connection import LiveConnection
from actors.dataflow.messages import CODEC
from actors.dataflow.settings import RunSettings
from actors.dataflow.shared_records import ControlBlock
from actors.dataflow.slots import Action, CloseSource, Exit, Fill, ReportUnreadable, Send, Slots
from actors.sources.contract import SourceError
from actors.sources.opening import open_live, open_source
from actors.sources.pace import Pace
from actors.sources.reading import FileReader, LiveReader, Reader
from actors.system.actor import Actor, ActorError
from actors.system.codec import Message
from actors.system.fork_server import Spec
from actors.system.linux import now_ns
from actors.system.memory import Pool, view
from actors.system.messages import Drain

_OPEN_SECONDS = 55.0
_IMAGES_PER_SECOND = 25.0
# An image of 400 megapixels takes 4 s to decode on a PC, and a disk may have to wake up.
_READ_NS = 20_000_000_000


def main(spec: Spec[RunSettings]) -> int:
    """The process's entry."""
    return Capture(spec).run()


class Capture(Actor[RunSettings]):
    """One stream: its source and its slots."""

    reader: Reader | None = None

    def __init__(self, spec: Spec[RunSettings]) -> None:
        self.control = ControlBlock(spec.settings.layout, view(spec.fds["control"], write=True))
        super().__init__(spec, CODEC, self.control.actors[spec.name])
        self.mine = spec.settings.streams[spec.name]
        self.stream = self.control.streams[spec.name]

    def open(self) -> None:
        # The pipeline's parallelism is in its processes; OpenCV's own threads would fight them.
        cv2.setNumThreads(1)
        records, info = self.control.slots[self.name], self.mine.info
        pool = Pool(self.fds["frames"], len(records), write=True)
        self.pixels = [np.frombuffer(pool[i], np.uint8) for i in range(len(pool))]
        paced = self.mine.pace == "realtime" and not info.live
        self.slots = Slots(
            self.name,
            self.stream,
            records,
            live=info.live,
            frame_limit=self.settings.frame_limit,
            pace=Pace(info.fps or _IMAGES_PER_SECOND) if paced else None,
            workers=tuple(self.settings.workers),
            wait_for_subscriber=self.settings.results.wait_for_subscriber,
        )
        self.connection = LiveConnection()
        if not self.slots.over:
            self.reader = self._open_live() if info.live else self._open_file()

    def _open_file(self) -> FileReader:
        mine, start = self.mine, self.slots.next_source_frame
        # Deep in a long video, the exact frame may have to be decoded up to.
        opening = partial(
            open_source, mine.source, start=start, loop=mine.loop, request=mine.request
        )
        try:
            source = self.run_with_heartbeat(opening, _OPEN_SECONDS, "opening the source")
        except SourceError as error:
            raise ActorError(str(error)) from None
        return FileReader(source)

    def _open_live(self) -> LiveReader:
        wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.watch(wake_fd)
        wake = partial(os.eventfd_write, wake_fd, 1)
        source = open_live(self.mine.source, self.mine.request, len(self.pixels[0]), wake)
        return LiveReader(source, wake_fd)

    def close(self) -> None:
        if self.reader is not None:
            self.reader.close()
            self.reader = None
            self.stream.connected = 0

    # ------------------------------------------------------------ events

    def on_message(self, message: Message) -> None:
        if isinstance(message, Drain):
            self.perform(self.slots.end())

    def on_up(self, name: str) -> None:
        self.perform(self.slots.up(name))

    def work(self) -> None:
        if self.reader is not None:
            self.reader.woken()
        self.perform(self.slots.turn(now_ns(), subscribed=self.control.run.subscribed == 1))
        if self.reader is not None:
            self._observe(self.reader)
        self.record.done = self.stream.captured
        self.record.queued = self.record.leased = self.slots.leased

    def wait_ms(self) -> int:
        due_ns = self.slots.due_ns(now_ns())
        if due_ns is None:
            return super().wait_ms()
        return min(super().wait_ms(), max(0, -(-(due_ns - now_ns()) // 1_000_000)))

    def _observe(self, reader: Reader) -> None:
        """The source's side of a turn: its room, its counts, its connection, its end."""
        reader.set_room(self.slots.has_room)
        self.perform(self.slots.counted(reader.counts()))
        state = reader.state()
        self.stream.connected = state.connected
        for report in self.connection.observe(state, now_ns()):
            self.note(report.level, report.text, report.kind)
        if reader.ended:
            self.perform(self.slots.end())

    # ------------------------------------------------------------ actions

    def perform(self, actions: Sequence[Action]) -> None:
        """Do what the slots decided."""
        for action in actions:
            if isinstance(action, Send):
                self.outbox.send(action.receiver, action.message)
            elif isinstance(action, Fill):
                self._fill(action.slot)
            elif isinstance(action, CloseSource):
                self.close()
            elif isinstance(action, ReportUnreadable) and self.reader is not None:
                self.note("warning", self.reader.unreadable_text())
            elif isinstance(action, Exit):
                self.ended = self.stopping = True

    def _fill(self, slot: int) -> None:
        assert self.reader is not None
        self.record.slow_step_until_ns = now_ns() + _READ_NS
        try:
            frame = self.reader.read(self.pixels[slot])
        except SourceError as error:
            raise ActorError(str(error)) from None
        finally:
            self.record.slow_step_until_ns = 0
        # The counts before the frame: a drop that is counted has had its number.
        self.perform(self.slots.counted(self.reader.counts()))
        if frame is not None:
            self.perform(self.slots.filled(slot, frame))
