"""Merger: puts frames together from their tiles' answers and publishes them in order.

Which frame is whole and next is the Assembly's business; here are NMS, the results socket and the
log.

Dying must lose no frame and repeat at most the last. A record that was handed to ZeroMQ leaves the
process a moment later, on another thread, and is lost if SIGKILL comes first. When it has left is
not told, so the merger sends a letter to its own inbox after it: the thread works in order, so the
letter comes back when the record is with the kernel (in 0.2 ms; on a loaded machine a record was
seen to lie there for more than 2). Only then is the frame *settled*, noted as published in the
control block and its slot let go, and the next one goes out. A merger that comes back publishes
what was not settled. Before that it waits for the subscribers that its predecessor had, who need a
moment to connect again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt
import zmq
from zmq.auth.thread import ThreadAuthenticator

from actors.dataflow.messages import (
    CODEC,
    Answer,
    Begin,
    Expect,
    Frame,
    Missing,
    Published,
    Result,
    Sent,
)
from actors.dataflow.published_record import Records
from actors.dataflow.reorder import ReadyFrame, ReorderBuffer
from actors.dataflow.settings import MERGER, RENDERER, TILER, RunSettings
from actors.dataflow.shared_records import ControlBlock
from actors.outputs.result_log import ResultLog
from actors.system import keys as curve
from actors.system.actor import SUPERVISOR, Actor, ActorError
from actors.system.codec import Message
from actors.system.fork_server import Spec
from actors.system.linux import now_ns
from actors.system.memory import view
from actors.system.messages import Summary
from actors.vision.detections import Detections
from actors.vision.merging import merge_groups
from actors.vision.truncation import suppress_truncated

# A subscriber that falls this far behind loses results; its reader sees the gap in `seq`.
_HIGH_WATER = 10_000
# Nobody who subscribes sends more; who does is cut off, before it fills the memory.
_LONGEST_SUBSCRIPTION = 4096
# How long the last results may still travel to slow subscribers when the run is over.
_LINGER_MS = 1000
# How long the letter after a record may take before it counts as lost.
_SETTLE_NS = 1_000_000_000
# ZeroMQ's subscribers try to connect again every 100 ms.
_SUBSCRIBERS_NS = 1_000_000_000
# A person reads no faster.
_TELL_NS = 500_000_000
# Latency percentiles are over this many frames, counted anew every so many.
_LATENCIES = 512
_EVERY = 16


def main(spec: Spec[RunSettings]) -> int:
    """The process's entry."""
    return Merger(spec).run()


class Merger(Actor[RunSettings]):
    """All streams."""

    def __init__(self, spec: Spec[RunSettings]) -> None:
        self.control = ControlBlock(spec.settings.layout, view(spec.fds["control"], write=True))
        super().__init__(spec, CODEC, self.control.actors[spec.name])
        self.stages = spec.settings.stages
        self._class_ids = self._table()
        self.streams = {name: Stream(self, name) for name in self.control.streams}
        self.results: zmq.Socket[bytes] = self.context.socket(zmq.XPUB)
        self.results_log: ResultLog | None = None
        self._guard: ThreadAuthenticator | None = None
        self._awaited = self.control.run.subscriptions
        self._await_until_ns = now_ns() + _SUBSCRIBERS_NS
        self._subscriptions = 0
        # It writes to itself. All its sockets share ZeroMQ's one thread, which keeps their order.
        self.peers.up(MERGER, self.incarnation)

    def _table(self) -> npt.NDArray[np.int64]:
        """The run's class id by (stage, the model's class id)."""
        ids = [self.settings.classes.ids[stage.model] for stage in self.stages]
        table = np.zeros((len(ids), max(map(len, ids))), np.int64)
        for stage, row in enumerate(ids):
            table[stage, : len(row)] = row
        return table

    def open(self) -> None:
        self.results.set(zmq.SNDHWM, _HIGH_WATER)
        self.results.set(zmq.LINGER, _LINGER_MS)
        self.results.set(zmq.MAXMSGSIZE, _LONGEST_SUBSCRIPTION)
        # Tell of every subscription, not only of the first to a topic: they are counted.
        self.results.set(zmq.XPUB_VERBOSER, 1)
        self.results.set(zmq.IPV6, "[" in self.settings.results.bind)
        if self.settings.results.curve is not None:
            try:
                self._guard = curve.serve(self.context, self.results, self.settings.results.curve)
            except curve.KeysError as error:
                raise ActorError(f"{error}; change results.curve") from None
        try:
            self.results.bind(self.settings.results.bind)
        except zmq.ZMQError as error:
            raise ActorError(
                f"cannot publish results on {self.settings.results.bind}: {error.strerror}; change "
                "results.bind or stop the program that uses it"
            ) from None
        self.watch(self.results)
        broken = any(stream.log_broken for stream in self.control.streams.values())
        if self.settings.results.jsonl is not None and not broken:
            try:
                self.results_log = ResultLog(self.settings.results.jsonl)
            except OSError as error:
                path = self.settings.results.jsonl
                raise ActorError(
                    f"cannot write {path}: {error.strerror}; change results.jsonl"
                ) from None

    def close(self) -> None:
        # What is settled is not published again by the merger that comes after this one.
        while any(s.unsettled for s in self.streams.values()) and self.inbox.socket.poll(100):
            for message in self.inbox.drain():
                if isinstance(message, Sent):
                    self.on_message(message)
        self.results.close(_LINGER_MS)
        if self.results_log is not None:
            self.results_log.close()
        if self._guard is not None:
            self._guard.stop()

    # ------------------------------------------------------------ messages

    def on_message(self, message: Message) -> None:
        # End and Rendered only wake: the control block says what they say, see Stream.work.
        if isinstance(message, Sent):
            stream = self.streams.get(message.stream)
            if stream is not None:
                stream.sent(message.seq)
        if isinstance(message, Expect):
            stream = self.streams.get(message.frame.stream)
            if stream is not None:
                stream.expect(message)
        elif isinstance(message, (Answer, Missing)):
            stream = self.streams.get(message.stream)
            if stream is None:
                return
            if isinstance(message, Missing):
                stream.reorder.missing(message.seq, message.stage, message.index, message.reason)
            elif (found := self._sensible(message)) is not None:
                stream.reorder.answer(message.seq, message.stage, message.index, found)

    def _sensible(self, answer: Answer) -> Detections | None:
        """An answer's detections; None unless they are of a stage and of classes that exist."""
        if not 0 <= answer.stage < len(self.stages):
            return None
        try:
            found = Detections.from_bytes(answer.detections)
        except ValueError:
            return None
        known = len(self.settings.model_of(answer.stage).labels)
        sensible = (found.class_ids >= 0) & (found.class_ids < known)
        return found if (sensible & (found.stages == answer.stage)).all() else None

    def on_up(self, name: str) -> None:
        if name == RENDERER:
            for stream in self.streams.values():
                stream.send_again()

    def work(self) -> None:
        self._notice_subscribers()
        for stream in self.streams.values():
            stream.settle_in_time(now_ns())
            if self._await_until_ns == 0:
                stream.work()
        self.record.queued = sum(stream.reorder.waiting() for stream in self.streams.values())

    def _notice_subscribers(self) -> None:
        """Count subscriptions as they come and go."""
        while True:
            try:
                request = self.results.recv(zmq.NOBLOCK)
            except zmq.Again:
                break
            # 1 and a topic prefix: somebody subscribes; 0: no longer.
            change = {b"\x01": 1, b"\x00": -1}.get(request[:1], 0)
            self.strange += change == 0
            self._subscriptions = max(0, self._subscriptions + change)
        if self._subscriptions and not self.control.run.subscribed:
            self.control.run.subscribed = 1
            for name in self.streams:
                self.outbox.send(name, Begin())
        if self._await_until_ns:
            if self._subscriptions < self._awaited and now_ns() < self._await_until_ns:
                return
            self._await_until_ns = 0
        self.control.run.subscriptions = self._subscriptions

    # ------------------------------------------------------------ publishing

    def publish(self, topic: str, record: dict[str, Any]) -> None:
        """Send a record to the subscribers and write it to the log."""
        self.results.send_multipart([topic.encode(), msgpack.packb(record)])
        if self.results_log is None:
            return
        try:
            self.results_log.write(record)
        except OSError as error:
            path = self.settings.results.jsonl
            self.note("error", f"{path} cannot be written: {error.strerror}", "broken_output")
            self.results_log = None
            for stream in self.control.streams.values():
                stream.log_broken = stream.published_seq + 2

    def merge(self, answers: dict[tuple[int, int], Detections]) -> Detections:
        """All tiles' detections as one list with the run's class ids, best score first."""
        found = Detections.concatenate(answers.values())
        found = replace(found, class_ids=self._class_ids[found.stages, found.class_ids])
        options = self.settings.merge
        if options.truncated == "suppress":
            found = found.take(suppress_truncated(found.boxes, found.class_ids, found.truncated))
        boxes, scores, class_ids, chosen = merge_groups(
            found.boxes,
            found.scores,
            found.class_ids,
            method=options.method,
            metric=options.metric,
            threshold=options.threshold,
            class_agnostic=options.class_agnostic,
        )
        merged = found.take(chosen)
        return replace(merged, boxes=boxes, scores=scores, class_ids=class_ids)


class Stream:
    """One stream's frames on their way out."""

    def __init__(self, merger: Merger, name: str) -> None:
        self.name = name
        self.merger = merger
        self.record = merger.control.streams[name]
        self._records = Records(merger.settings, name)
        rendered = merger.settings.render.wanted
        if not rendered:
            # A merger may have been killed when it had noted the one and not yet the other.
            self.record.finish(self.record.published_seq)
        cursor = self.record.finished_seq
        self.reorder: ReorderBuffer[Frame, Detections] = ReorderBuffer(
            published=self.record.published_seq,
            cursor=cursor,
            slots=len(merger.control.slots[name]),
        )
        self.held: dict[int, Result] = {}
        """Published frames that the renderer has not finished."""
        self._latencies_us: deque[int] = deque(maxlen=_LATENCIES)
        self._unsettled: Result | None = None
        self._sent_ns = 0
        self._end_sent_ns = 0
        self._told_ns = 0

    def expect(self, message: Expect) -> None:
        frame = message.frame
        if not self.reorder.expect(frame.seq, frame.previous, frame, message.tiles):
            # It is out, and the renderer has it or will: the tiler may forget it.
            self.merger.outbox.send(TILER, Published(self.name, frame.seq))

    def work(self) -> None:
        """Let out what is whole, forget what is rendered, end what is over."""
        finished = self.record.finished_seq
        # A renderer that has outlived the merger still draws what that had sent it.
        self.reorder.finished(finished)
        while self._unsettled is None and (assembled := self.reorder.pop_ready()):
            self._let_out(assembled)
        for seq in [seq for seq in self.held if seq <= finished]:
            del self.held[seq]
        if 0 <= self.record.end_seq == self.record.published_seq + 1 and not self._end_sent_ns:
            if not self.record.ended:
                over = self._records.end(self.record.published)
                self.merger.publish(f"end.{self.name}", over)
                self.merger.outbox.send(MERGER, Sent(self.name, self.record.end_seq))
            self._end_sent_ns = now_ns()

    def send_again(self) -> None:
        """A renderer is there, perhaps a new one: it needs all that is not rendered."""
        for seq in sorted(self.held):
            self.merger.outbox.send(RENDERER, self.held[seq])

    # ------------------------------------------------------------ out

    def _let_out(self, assembled: ReadyFrame[Frame, Detections]) -> None:
        """Publish a frame, or only hand it to the renderer again."""
        found = self.merger.merge(assembled.answers)
        result = Result(assembled.info, not assembled.missing, found.to_bytes())
        if not assembled.publish:
            self._let_go(result)
            return
        self.merger.publish(f"det.{self.name}", self._records.frame(assembled, found))
        self.merger.outbox.send(MERGER, Sent(self.name, assembled.seq))
        self._unsettled = result
        self._sent_ns = now_ns()
        self._latencies_us.append((self._sent_ns - assembled.info.captured_ns) // 1000)

    @property
    def unsettled(self) -> bool:
        """Whether something was published that may not have left the process."""
        return self._unsettled is not None or (self._end_sent_ns > 0 and not self.record.ended)

    def sent(self, seq: int) -> None:
        """What was published under this number, a frame or the end after all, has left."""
        if self._unsettled is not None and self._unsettled.frame.seq == seq:
            self._settle(self._unsettled)
        elif self._end_sent_ns and seq == self.record.end_seq:
            self.record.ended = 1

    def settle_in_time(self, now: int) -> None:
        """Settle what was published long enough ago."""
        if self._unsettled is not None and now - self._sent_ns >= _SETTLE_NS:
            self._settle(self._unsettled)
        if self._end_sent_ns and now - self._end_sent_ns >= _SETTLE_NS:
            self.record.ended = 1

    def _settle(self, result: Result) -> None:
        """Note that a frame is out, and let go of it."""
        self._unsettled = None
        self.record.incomplete += not result.complete
        self.record.settle(result.frame.seq)
        self.merger.record.done += 1
        self._note_latency()
        self._tell(result)
        self._let_go(result)

    def _let_go(self, result: Result) -> None:
        """Hand a published frame on to the renderer, or else back to its capture."""
        merger, seq = self.merger, result.frame.seq
        if merger.settings.render.wanted:
            self.held[seq] = result
            merger.outbox.send(RENDERER, result)
        else:
            self.record.finish(seq)
            merger.outbox.send(self.name, Published(self.name, seq))
        merger.outbox.send(TILER, Published(self.name, seq))

    def _tell(self, result: Result) -> None:
        """Let a person see what is found, now and then."""
        now = now_ns()
        if now - self._told_ns >= _TELL_NS:
            self._told_ns = now
            found = Detections.from_bytes(result.detections)
            self.merger.outbox.send(SUPERVISOR, Summary(self.name, self._records.summary(found)))

    def _note_latency(self) -> None:
        if self.record.published % _EVERY == 0 or len(self._latencies_us) < _EVERY:
            p50, p99 = np.percentile(self._latencies_us, (50, 99))
            self.record.latency_p50_us = int(p50)
            self.record.latency_p99_us = int(p99)
