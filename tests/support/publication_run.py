"""A simulated run around a Publication: captures, tiler, renderer, subscribers and ZeroMQ's thread.

The merger can be killed before any of its actions and between any two words that it writes. What it
has handed to ZeroMQ leaves in order, a message a step; at a death a random part of it leaves yet.
All promises of the publication are checked at each action.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from actors.dataflow import publication_actions as act
from actors.dataflow.messages import Answer, Begin, Expect, FlushBarrier, Frame, Missing, Published
from actors.dataflow.messages import Result as RendererResult
from actors.dataflow.publication import SETTLE_NS, SUBSCRIBERS_NS, begin
from actors.dataflow.reorder import UNKNOWN
from actors.dataflow.settings import RENDERER, TILER, RunSettings
from actors.dataflow.shared_records import ControlBlock, Layout
from actors.system.codec import Message
from actors.vision.detections import Detections
from tests.support.mortal_words import Killed, MortalWords
from tests.support.plans import BIG, SMALL, model, planned, three

SLOTS = {"a": 3, "b": 2}
MS = 1_000_000


@cache
def run_settings(rendering: bool) -> RunSettings:
    """Two stages: the whole frame, and tiles whose number may be known later."""
    models = [model("big"), model("small")]
    video = Path("/here/out.mp4") if rendering else None
    return planned(models, {"big": BIG, "small": SMALL}, three("big", "small"), video=video)


def found(stage: int, index: int) -> Detections:
    """One box a tile, far from all others."""
    left = 100 * (10 * stage + index)
    return Detections(
        boxes=np.array([[left, 10, left + 20, 40]], np.float32),
        scores=np.array([0.5], np.float32),
        class_ids=np.array([index % 3], np.int64),
        stages=np.array([stage], np.int64),
        truncated=np.array([False]),
    )


@dataclass(frozen=True)
class SimulatedFrame:
    """A captured frame: its message, and how many tiles its stages have."""

    message: Frame
    tiles: tuple[int, int]

    def all_tiles(self) -> list[tuple[int, int]]:
        return [(stage, i) for stage, count in enumerate(self.tiles) for i in range(count)]


class Renderer:
    """Draws what it was sent, in order. Only the frames that are finished survive its death."""

    def __init__(self) -> None:
        self.up = True
        self.queues: dict[str, list[int]] = {name: [] for name in SLOTS}
        self.newest: dict[str, int] = dict.fromkeys(SLOTS, -1)

    def take(self, result: RendererResult) -> None:
        stream, seq = result.frame.stream, result.frame.seq
        if self.up and seq > self.newest[stream]:
            self.newest[stream] = seq
            self.queues[stream].append(seq)


class SimulatedRun:
    """One history, by its seed."""

    def __init__(self, seed: int, *, rendering: bool) -> None:
        self.random = random.Random(seed)
        self.rendering = rendering
        layout = Layout(("merger",), SLOTS, 0)
        memory = memoryview(bytearray(layout.size))
        self.control, self.own = ControlBlock(layout, memory), ControlBlock(layout, memory)
        self.control.initialise(1)
        self.words = MortalWords(self.own.run.words)
        for record in (self.own.run, *self.own.streams.values()):
            record.words = self.words  # type: ignore[assignment]
        self.now = 5 * SETTLE_NS
        self.frames: dict[str, dict[int, SimulatedFrame]] = {name: {} for name in SLOTS}
        self.renderer = Renderer()
        self.subscribers = 0
        self.begun: set[str] = set()
        # What subscribers have got, and what the merger has handed over, by stream.
        self.delivered: dict[str, list[int]] = {name: [] for name in SLOTS}
        self.published: dict[str, list[int]] = {name: [] for name in SLOTS}
        self.incomplete: dict[str, dict[int, list[bool]]] = {name: {} for name in SLOTS}
        self.ends: Counter[str] = Counter()
        self.deaths = 0
        self.published_since_death: dict[str, int] = {}
        self.start()

    # ------------------------------------------------------------ the merger's process

    def start(self) -> None:
        """A merger begins from the shared words; the tiler and the captures send all again."""
        self.words.left = float("inf")
        # When and what: a record by stream and seq, or a barrier.
        self.outgoing: list[tuple[int, tuple[str, int] | FlushBarrier]] = []
        self.inbox: list[FlushBarrier] = []
        self.publication = begin(run_settings(self.rendering), self.control)
        self.awaited = self.control.run.subscriptions
        self.first_turn: int | None = None
        self.returned = False
        self.counted = 0
        self.published_since_death = {}
        # All subscribers connect again, a moment later.
        self.returning = self.subscribers
        if self.renderer.up:
            self.do(self.publication.renderer_up())

    def die(self) -> None:
        """SIGKILL: some of what was handed to ZeroMQ leaves, the rest is lost."""
        self.deaths += 1
        for _ in range(self.random.randint(0, len(self.outgoing))):
            self.leave(lost=True)
        self.start()

    def doomed(self) -> None:
        """The merger will be killed within its next few actions and writes."""
        self.words.left = self.random.randint(0, 6)

    def guarded(self, actions: Iterable[act.Action]) -> None:
        """Do the actions; if the merger is killed on the way, start the next one."""
        try:
            self.do(actions)
        except Killed:
            self.die()

    def do(self, actions: Iterable[act.Action]) -> None:
        for action in actions:
            if self.words.left <= 0:
                raise Killed
            self.words.left -= 1
            match action:
                case act.Publish():
                    self.publish(action)
                case act.PublishEnd(stream, frames):
                    record = self.control.streams[stream]
                    assert record.end_seq == record.published_seq + 1
                    assert not record.ended, "the end comes again"
                    assert frames == len(self.frames[stream]) == record.published
                    self.ends[stream] += 1
                    self.outgoing.append((self.now, (stream, record.end_seq)))
                case act.Flush(stream, seq):
                    self.outgoing.append((self.now, FlushBarrier(stream, seq, self.now)))
                case act.Send(receiver, message):
                    self.sent(receiver, message)
                case act.Finish(stream, seq):
                    assert not self.rendering
                    assert seq in self.delivered[stream], "released before it was published"
                    action.write(self.own)
                case act.Settle(stream, seq, _):
                    assert seq in self.delivered[stream], "settled before it has left"
                    action.write(self.own)
                case act.NoteSubscriptions():
                    assert self.returned, "the number is for the merger after this one"
                    action.write(self.own)
                case act.Write():
                    action.write(self.own)

    def publish(self, action: act.Publish) -> None:
        ready = action.frame
        stream, seq = ready.info.stream, ready.seq
        frame = self.frames[stream][seq]
        record = self.control.streams[stream]
        assert ready.publish and ready.info == frame.message
        assert sorted([*ready.answers, *ready.missing]) == frame.all_tiles()
        assert len(action.merged.detections) == len(ready.answers)
        # In order, one at a time: all before it are settled, and it is not.
        assert record.published_seq == frame.message.previous
        # Twice only when a death came between publishing and settling.
        before = self.published[stream]
        if before and before[-1] == seq:
            assert stream not in self.published_since_death
        else:
            assert seq not in before
        self.published_since_death[stream] = seq
        assert self.returned, "subscribers were not waited for"
        before.append(seq)
        self.incomplete[stream].setdefault(seq, []).append(bool(ready.missing))
        self.outgoing.append((self.now, (stream, seq)))

    def sent(self, receiver: str, message: Message) -> None:
        if receiver == RENDERER:
            assert isinstance(message, RendererResult) and self.rendering
            stream, seq = message.frame.stream, message.frame.seq
            assert seq <= self.control.streams[stream].published_seq, "rendered before settled"
            self.renderer.take(message)
        elif isinstance(message, Begin):
            self.begun.add(receiver)
        else:
            assert isinstance(message, Published)
            assert receiver in (TILER, message.stream)
            assert message.seq <= self.control.streams[message.stream].published_seq

    # ------------------------------------------------------------ everything around it

    def leave(self, *, lost: bool = False) -> None:
        """The next of what was handed to ZeroMQ leaves; a barrier may be lost."""
        _, item = self.outgoing.pop(0)
        if isinstance(item, FlushBarrier):
            if not lost:
                self.inbox.append(item)
        elif item[1] in self.frames[item[0]]:
            self.delivered[item[0]].append(item[1])

    def capture(self) -> None:
        name = self.random.choice(list(SLOTS))
        stream, frames = self.control.streams[name], self.frames[name]
        flying = [frames[seq].message.slot for seq in self.in_flight(name)]
        free = [slot for slot in range(SLOTS[name]) if slot not in flying]
        if stream.end_seq >= 0 or not free:
            return
        seq = stream.last_seq + 1 + self.random.choice((0, 0, 0, 2))
        message = Frame(
            stream=name,
            seq=seq,
            previous=stream.last_seq,
            source_frame=seq,
            slot=self.random.choice(free),
            width=1920,
            height=1080,
            captured_ns=self.now,
            captured_real_ns=self.now,
        )
        frames[seq] = SimulatedFrame(message, (1, self.random.randint(0, 2)))
        stream.capture(seq)

    def in_flight(self, name: str) -> list[int]:
        finished = self.control.streams[name].finished_seq
        return [seq for seq in self.frames[name] if seq > finished]

    def a_frame(self) -> SimulatedFrame | None:
        flying = [self.frames[name][seq] for name in SLOTS for seq in self.in_flight(name)]
        return self.random.choice(flying) if flying else None

    def expect(self) -> None:
        frame = self.a_frame()
        if frame is not None:
            known = self.random.random() < 0.7
            tiles = frame.tiles if known else (frame.tiles[0], UNKNOWN)
            self.guarded(self.message(Expect(frame.message, tiles)))

    def tile(self) -> None:
        frame = self.a_frame()
        if frame is not None:
            self.guarded(self.tile_message(frame, *self.random.choice(frame.all_tiles())))

    def whole_frame(self) -> None:
        frame = self.a_frame()
        if frame is None:
            return
        for key in self.random.sample(frame.all_tiles(), len(frame.all_tiles())):
            self.guarded(self.tile_message(frame, *key))
        self.guarded(self.message(Expect(frame.message, frame.tiles)))

    def tile_message(self, frame: SimulatedFrame, stage: int, index: int) -> list[act.Action]:
        stream, seq = frame.message.stream, frame.message.seq
        if self.random.random() < 0.15:
            return self.message(Missing(stream, seq, stage, index, "npu0: crash"))
        return self.message(Answer(stream, seq, stage, index, found(stage, index).to_bytes()))

    def message(self, message: Message) -> list[act.Action]:
        return self.publication.message(message, self.now)

    def zeromq(self) -> None:
        if self.outgoing:
            self.leave(lost=self.random.random() < 0.1)

    def barrier(self) -> None:
        if self.inbox:
            self.guarded(self.message(self.inbox.pop(0)))

    def turn(self) -> None:
        self.one_turn(self.random.choice((1, 5, 100)) * MS)

    def long_turn(self) -> None:
        self.one_turn(SETTLE_NS)

    def one_turn(self, later_ns: int) -> None:
        self.now += later_ns
        # What was handed to ZeroMQ a second ago has left, whatever became of the barrier.
        while self.outgoing and self.now - self.outgoing[0][0] >= SETTLE_NS:
            self.leave(lost=True)
        for name, stream in self.control.streams.items():
            self.guarded(self.publication.finished(name, stream.finished_seq))
            if stream.end_seq >= 0:
                self.guarded(self.publication.end_known(name, stream.end_seq))
        self.first_turn = self.now if self.first_turn is None else self.first_turn
        if self.counted >= self.awaited or self.now - self.first_turn >= SUBSCRIBERS_NS:
            self.returned = True
        self.guarded(self.publication.turn(self.now))

    def draw(self) -> None:
        """The renderer finishes its next frame."""
        ready = [name for name, queue in self.renderer.queues.items() if queue]
        if not ready:
            return
        name = self.random.choice(ready)
        seq = self.renderer.queues[name].pop(0)
        stream = self.control.streams[name]
        assert self.frames[name][seq].message.previous == stream.finished_seq, "a frame is skipped"
        stream.finish(seq, stream.rendered + 1)

    def renderer_dies(self) -> None:
        self.renderer = Renderer()
        self.renderer.up = False

    def renderer_returns(self) -> None:
        if not self.renderer.up:
            self.renderer.up = True
            for name, stream in self.control.streams.items():
                self.renderer.newest[name] = stream.finished_seq
            if self.rendering:
                self.guarded(self.publication.renderer_up())

    def subscribe(self) -> None:
        if self.returning:
            self.returning -= 1
        else:
            self.subscribers += 1
        self.counted += 1
        self.guarded(self.publication.subscribed())

    def unsubscribe(self) -> None:
        if self.counted:
            self.counted -= 1
            self.subscribers -= 1
            self.guarded(self.publication.unsubscribed())

    def end_of_stream(self) -> None:
        name = self.random.choice(list(SLOTS))
        stream = self.control.streams[name]
        if stream.end_seq < 0:
            stream.end_seq = stream.last_seq + 1

    # ------------------------------------------------------------ a history

    STEPS = (
        ("capture", 6),
        ("expect", 3),
        ("tile", 4),
        ("whole_frame", 5),
        ("zeromq", 6),
        ("barrier", 6),
        ("turn", 6),
        ("long_turn", 0.5),
        ("draw", 4),
        ("renderer_dies", 0.3),
        ("renderer_returns", 1),
        ("subscribe", 0.7),
        ("unsubscribe", 0.5),
        ("end_of_stream", 0.1),
        ("doomed", 0.7),
        ("die", 0.3),
    )

    def run(self, steps: int) -> None:
        """So many random steps; then no more deaths, until all is published and finished."""
        names, weights = zip(*self.STEPS, strict=True)
        for name in self.random.choices(names, weights, k=steps):
            getattr(self, name)()
        self.finish()
        self.check()

    def finish(self) -> None:
        self.words.left = float("inf")
        self.renderer_returns()
        for _ in range(self.returning):
            self.subscribe()
        for stream in self.control.streams.values():
            if stream.end_seq < 0:
                stream.end_seq = stream.last_seq + 1
        for _ in range(60):
            for name in SLOTS:
                for seq in self.in_flight(name):
                    frame = self.frames[name][seq]
                    for key in frame.all_tiles():
                        self.do(self.tile_message(frame, *key))
                    self.do(self.message(Expect(frame.message, frame.tiles)))
            self.turn()
            while self.outgoing:
                self.leave()
            while self.inbox:
                self.barrier()
            while any(self.renderer.queues.values()):
                self.draw()
        self.one_turn(SETTLE_NS)

    def check(self) -> None:
        """Everything is published, delivered, finished and ended; the counts are exact."""
        for name, stream in self.control.streams.items():
            captured = list(self.frames[name])
            assert sorted(set(self.delivered[name])) == captured
            assert list(dict.fromkeys(self.published[name])) == captured
            assert len(self.published[name]) - len(captured) <= self.deaths
            assert (stream.published, stream.published_seq) == (len(captured), stream.last_seq)
            assert stream.finished_seq == stream.last_seq, "a frame is held for ever"
            assert stream.ended == 1
            assert 1 <= self.ends[name] <= 1 + self.deaths
            # A frame may have been incomplete before a death and not after it.
            incomplete = self.incomplete[name].values()
            last, any_time = sum(each[-1] for each in incomplete), sum(map(any, incomplete))
            assert last <= stream.incomplete <= any_time
        assert self.publication.waiting == 0
        assert not self.publication.unsettled
        assert self.control.run.subscriptions == self.counted
        # Captures that a message did not reach find it in the shared record.
        assert self.control.run.subscribed or not (self.begun or self.counted)
