"""Merger: publishes the frames' merged detections on the results socket and in the log.

What is published, settled, rendered and released when is decided in dataflow/publication; here are
the sockets, the log and the words of the shared records.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgpack
import zmq

from actors.dataflow import publication
from actors.dataflow import publication_actions as act
from actors.dataflow.messages import CODEC, FlushBarrier
from actors.dataflow.publication import PublicationError
from actors.dataflow.published_record import Records
from actors.dataflow.settings import MERGER, RENDERER, RunSettings
from actors.dataflow.shared_records import ControlBlock
from actors.outputs.result_log import ResultLog, ResultLogError
from actors.system import keys
from actors.system.actor import SUPERVISOR, Actor, ActorError
from actors.system.codec import Message
from actors.system.fork_server import Spec
from actors.system.linux import now_ns
from actors.system.memory import view
from actors.system.messages import Summary
from actors.system.publisher import Publisher


def main(spec: Spec[RunSettings]) -> int:
    """The process's entry."""
    return Merger(spec).run()


class Merger(Actor[RunSettings]):
    """All streams."""

    def __init__(self, spec: Spec[RunSettings]) -> None:
        self.control = ControlBlock(spec.settings.layout, view(spec.fds["control"], write=True))
        super().__init__(spec, CODEC, self.control.actors[spec.name])
        self.records = {name: Records(spec.settings, name) for name in self.control.streams}
        self.publication = publication.begin(spec.settings, self.control)
        self.results = Publisher(self.context)
        self.results_log: ResultLog | None = None
        # It writes to itself. All its sockets share ZeroMQ's one thread, which keeps their order.
        self.peers.up(MERGER, self.incarnation)

    def open(self) -> None:
        results = self.settings.results
        try:
            self.results.open(results.bind, results.curve)
        except keys.KeysError as error:
            raise ActorError(f"{error}; change results.curve") from None
        except zmq.ZMQError as error:
            text = f"cannot publish results on {results.bind}: {error.strerror}"
            remedy = "change results.bind or stop the program that uses it"
            raise ActorError(f"{text}; {remedy}") from None
        self.watch(self.results.socket)
        self._open_log(results.jsonl)

    def _open_log(self, path: Path | None) -> None:
        published = {name: s.published_seq for name, s in self.control.streams.items()}
        if path is None or any(stream.log_broken for stream in self.control.streams.values()):
            return
        try:
            self.results_log = ResultLog(path, published)
        except ResultLogError as error:
            if max(published.values()) < 0:
                raise ActorError(f"cannot write {path}: {error}; change results.jsonl") from None
            self._note_broken_log(error)

    def close(self) -> None:
        # What is settled is not published again by the merger that comes after this one.
        while self.publication.unsettled and self.inbox.socket.poll(100):
            for message in self.inbox.drain():
                if isinstance(message, FlushBarrier):
                    self.on_message(message)
        self.results.close()
        if self.results_log is not None:
            self.results_log.close()

    def on_message(self, message: Message) -> None:
        # End and Rendered only wake: the shared record has what they say, see `work`.
        try:
            self._act(self.publication.message(message, now_ns()))
        except PublicationError as error:
            self.invalid_messages += 1
            self.log.debug("%s", error)

    def on_up(self, name: str) -> None:
        if name == RENDERER:
            self._act(self.publication.renderer_up())

    def work(self) -> None:
        for request in self.results.requests():
            if request[:1] == b"\1":
                self._act(self.publication.subscribed())
            elif request[:1] == b"\0":
                self._act(self.publication.unsubscribed())
            else:
                self.invalid_messages += 1
        for name, stream in self.control.streams.items():
            self._act(self.publication.finished(name, stream.finished_seq))
            if stream.end_seq >= 0:
                self._act(self.publication.end_known(name, stream.end_seq))
        self._act(self.publication.turn(now_ns()))
        self.record.queued = self.publication.waiting
        self.record.done = sum(stream.published for stream in self.control.streams.values())

    def _act(self, actions: Iterable[act.Action]) -> None:
        for action in actions:
            match action:
                case act.Send(receiver, message):
                    self.outbox.send(receiver, message)
                case act.Publish(ready, merged):
                    name = ready.info.stream
                    source_name = self.control.slots[name][ready.info.slot].source_name
                    records, now = self.records[name], time.time_ns()
                    record = records.frame(ready, merged, now, source_name)
                    self._publish(f"det.{name}", record)
                case act.PublishEnd(name, frames):
                    self._publish(f"end.{name}", self.records[name].end(frames))
                case act.Flush(name, seq):
                    self.outbox.send(MERGER, FlushBarrier(name, seq, now_ns()))
                case act.Summarise(name, found):
                    self.outbox.send(SUPERVISOR, Summary(name, self.records[name].summary(found)))
                case act.Write():
                    action.write(self.control)

    def _publish(self, topic: str, record: dict[str, Any]) -> None:
        self.results.socket.send_multipart([topic.encode(), msgpack.packb(record)])
        if self.results_log is None:
            return
        try:
            self.results_log.write(record)
        except ResultLogError as error:
            self.results_log.close()
            self.results_log = None
            self._note_broken_log(error)

    def _note_broken_log(self, error: ResultLogError) -> None:
        for name, seq in error.last_seqs.items():
            self.control.streams[name].log_broken = seq + 2
        path = self.settings.results.jsonl
        self.note("error", f"{path} cannot be written: {error}", "broken_output")
