"""Publication: every frame of every stream in order, each once, through every death of the merger.

The merger's decisions without socket, clock or memory: events go in, and each method returns the
actions that follow (see publication_actions).

A record that was handed to ZeroMQ leaves the process a moment later, on another thread, and is lost
if SIGKILL comes first. ZeroMQ does not report when it has left, so a *flush barrier* follows it: a
message of the merger to its own inbox, which the same thread sends after the record (it comes back
in 0.2 ms; on a loaded machine a record was seen to lie there for more than 2). Only then is the
frame *settled*: noted as published in the shared record. One record at a time is unsettled.

So delivery is at-least-once: a merger that was restarted publishes again what was not settled,
which is at most the last frame of a stream, or its end. Before that it waits for the subscribers
that the one before it had, because they need a moment to connect again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from actors.dataflow.frame_merging import AnswerError, FrameMerging
from actors.dataflow.latencies import Latencies
from actors.dataflow.messages import (
    Answer,
    Begin,
    Expect,
    FlushBarrier,
    Frame,
    Missing,
    Published,
    Result,
)
from actors.dataflow.publication_actions import (
    Action,
    Ended,
    Finish,
    Flush,
    NoteFirstSubscriber,
    NoteLatency,
    NoteSubscriptions,
    Publish,
    PublishEnd,
    Send,
    Settle,
    Summarise,
)
from actors.dataflow.reorder import UNKNOWN, ReadyFrame, ReorderBuffer
from actors.dataflow.settings import RENDERER, TILER, RunSettings
from actors.dataflow.shared_records import ControlBlock
from actors.system.codec import Message
from actors.vision.detections import Detections

# How long a flush barrier may take before it counts as lost.
SETTLE_NS = 1_000_000_000
# How long a merger that was restarted waits for subscribers: ZeroMQ's connect again every 100 ms.
SUBSCRIBERS_NS = 1_000_000_000
# Summaries of a stream are at least so far apart: a person reads no faster.
SUMMARY_NS = 500_000_000


class PublicationError(ValueError):
    """An event that is not possible: nothing was changed."""


@dataclass(frozen=True, kw_only=True)
class StreamState:
    """What the shared record says of a stream when the merger starts; -1 is before the first."""

    slots: int
    published_seq: int = -1
    published: int = 0
    finished_seq: int = -1
    ended: bool = False


class Publication:
    """All streams of a run. For each frame:

        event                           state of the frame                  actions
        expect                          -> expected
        expect of a settled frame       (no change)                         Send Published to tiler
        answer, missing: the last tile  expected -> complete
        turn, next in order             complete -> unsettled               Publish, Flush
        turn, published before a death  complete -> settled                 as from settled
        flushed, or 1 s without it      unsettled -> settled                Settle
        at once, with a renderer        settled -> with the renderer        Send Result, Published
        at once, without a renderer     settled -> finished                 Finish, Send Published
        renderer_up                     with the renderer                   Send Result again
        finished                        with the renderer -> finished

    For each stream, once `end_known` and every frame before it settled: PublishEnd, Flush; flushed,
    or 1 s without it: Ended. Nothing of a stream is published while a record of it is unsettled,
    nor while the subscribers of the merger before are awaited, 1 s at most.
    """

    def __init__(
        self,
        streams: Mapping[str, StreamState],
        *,
        merging: FrameMerging,
        rendering: bool,
        subscriptions: int = 0,
        subscribed: bool = False,
    ) -> None:
        """Begin from what the merger before has noted: `subscriptions` is how many there were."""
        self._streams = {
            name: _Stream(name, state, merging, rendering) for name, state in streams.items()
        }
        self._merging = merging
        self._awaited = subscriptions
        self._wait_until_ns: int | None = None
        self._waiting = True
        self._subscriptions = 0
        self._subscribed = subscribed

    # ------------------------------------------------------------ messages

    def message(self, message: Message, now_ns: int) -> list[Action]:
        """A message from the inbox. Those that only wake the merger have no actions."""
        if isinstance(message, Answer):
            return self._answer(message)
        if isinstance(message, FlushBarrier):
            return self._stream(message.stream).flushed(message, now_ns)
        if isinstance(message, Expect):
            return self._expect(message)
        return self._missing(message) if isinstance(message, Missing) else []

    def _expect(self, message: Expect) -> list[Action]:
        """A frame and its tiles. It comes again when its outcome may be lost."""
        frame, tiles = message.frame, message.tiles
        stream = self._stream(frame.stream)
        if len(tiles) != self._merging.stages or min(tiles) < UNKNOWN:
            raise PublicationError(f"{tiles} are not the tiles of {self._merging.stages} stages")
        if not 0 <= frame.slot < stream.slots or not -1 <= frame.previous < frame.seq:
            raise PublicationError(f"{frame} is not a frame of {frame.stream}")
        new = stream.buffer.expect(frame.seq, frame.previous, frame, tiles)
        if new or frame.seq > stream.published_seq:
            return []
        # It is settled, and the renderer has it or will: the tiler can forget it.
        return [Send(TILER, Published(frame.stream, frame.seq))]

    def _answer(self, message: Answer) -> list[Action]:
        """A tile's detections; the first answer counts."""
        stream = self._stream(message.stream)
        try:
            found = self._merging.check(message)
        except AnswerError as error:
            raise PublicationError(str(error)) from None
        stream.buffer.answer(message.seq, message.stage, message.index, found)
        return []

    def _missing(self, message: Missing) -> list[Action]:
        """A tile is given up: its frame is published as incomplete."""
        stream = self._stream(message.stream)
        if not 0 <= message.stage < self._merging.stages or message.index < 0:
            raise PublicationError(f"no tile {message.index} of stage {message.stage}")
        stream.buffer.missing(message.seq, message.stage, message.index, message.reason)
        return []

    # ------------------------------------------------------------ other actors

    def finished(self, name: str, seq: int) -> list[Action]:
        """The pixels of a stream's frames up to `seq` are not needed any more."""
        return self._stream(name).finished(seq)

    def end_known(self, name: str, end_seq: int) -> list[Action]:
        """A stream has its last frame, the one before `end_seq`."""
        return self._stream(name).end_known(end_seq)

    def renderer_up(self) -> list[Action]:
        """A renderer is ready, perhaps a new one: it needs all frames that are not finished."""
        held = (result for stream in self._streams.values() for result in stream.held.values())
        return [Send(RENDERER, result) for result in held]

    # ------------------------------------------------------------ subscribers

    def subscribed(self) -> list[Action]:
        """A subscription has come."""
        self._subscriptions += 1
        actions = self._note_subscriptions()
        if not self._subscribed:
            self._subscribed = True
            actions.append(NoteFirstSubscriber())
            actions += [Send(name, Begin()) for name in self._streams]
        return actions

    def unsubscribed(self) -> list[Action]:
        """A subscription is gone. One that never was changes nothing."""
        if self._subscriptions == 0:
            return []
        self._subscriptions -= 1
        return self._note_subscriptions()

    def _note_subscriptions(self) -> list[Action]:
        # While subscribers are awaited the old number stays, for a merger after this one.
        return [] if self._waiting else [NoteSubscriptions(self._subscriptions)]

    # ------------------------------------------------------------ time

    def turn(self, now_ns: int) -> list[Action]:
        """Publish what is next; settle what was published long enough ago."""
        actions: list[Action] = []
        if self._waiting:
            if self._wait_until_ns is None:
                self._wait_until_ns = now_ns + SUBSCRIBERS_NS
            if self._subscriptions >= self._awaited or now_ns >= self._wait_until_ns:
                self._waiting = False
                actions += self._note_subscriptions()
        if not self._waiting:
            for stream in self._streams.values():
                actions += stream.turn(now_ns)
        return actions

    @property
    def unsettled(self) -> bool:
        """Whether anything was published that may not have left the process."""
        return any(stream.unsettled for stream in self._streams.values())

    @property
    def waiting(self) -> int:
        """Frames that are not complete, or wait for one before them."""
        return sum(stream.buffer.waiting() for stream in self._streams.values())

    def _stream(self, name: str) -> _Stream:
        try:
            return self._streams[name]
        except KeyError:
            raise PublicationError(f"no stream named {name!r}") from None


class _Stream:
    """One stream's frames from the reorder buffer on."""

    def __init__(
        self, name: str, state: StreamState, merging: FrameMerging, rendering: bool
    ) -> None:
        self.name = name
        self.slots = state.slots
        self.held: dict[int, Result] = {}
        """Published frames that the renderer has not finished, in their order."""
        self.buffer: ReorderBuffer[Frame, Detections] = ReorderBuffer(
            published=state.published_seq,
            cursor=state.finished_seq if rendering else state.published_seq,
            slots=state.slots,
        )
        self._merging = merging
        self._rendering = rendering
        self.published_seq = state.published_seq
        """The last frame that is settled."""
        self._published = state.published
        self._finished_seq = state.finished_seq
        self._end_seq = -1
        self._ended = state.ended
        self._unsettled: Result | None = None
        self._end_sent = False
        self._sent_ns = 0
        """When the frame or end that is unsettled was published."""
        self._latencies = Latencies()
        self._summary_ns = -SUMMARY_NS

    @property
    def unsettled(self) -> bool:
        return self._unsettled is not None or (self._end_sent and not self._ended)

    def finished(self, seq: int) -> list[Action]:
        if seq > self.published_seq:
            raise PublicationError(f"frame {seq} of {self.name} is finished and not published")
        self._finished_seq = max(self._finished_seq, seq)
        # A renderer that outlived the merger before this one still draws what that had sent it.
        self.buffer.finished(seq)
        for old in [held for held in self.held if held <= seq]:
            del self.held[old]
        return []

    def end_known(self, end_seq: int) -> list[Action]:
        if self._end_seq not in (-1, end_seq) or end_seq <= self.buffer.published:
            raise PublicationError(f"{self.name} cannot end before frame {end_seq}")
        self._end_seq = end_seq
        return []

    def turn(self, now_ns: int) -> list[Action]:
        actions: list[Action] = []
        if not self._rendering and self._finished_seq < self.published_seq:
            # The merger before this one was killed when it had noted one and not yet the other.
            actions += self._finish(self.published_seq)
        if self.unsettled and now_ns - self._sent_ns >= SETTLE_NS:
            actions += self._settle(now_ns)
        while self._unsettled is None and (ready := self.buffer.pop_ready()):
            actions += self._take(ready, now_ns)
        over = self._end_seq == self.published_seq + 1 and self._unsettled is None
        if over and not (self._end_sent or self._ended):
            self._end_sent, self._sent_ns = True, now_ns
            actions.append(PublishEnd(self.name, self._published))
            actions.append(Flush(self.name, self._end_seq))
        return actions

    def flushed(self, barrier: FlushBarrier, now_ns: int) -> list[Action]:
        unsettled = self._unsettled
        newest = self._end_seq if self._end_sent else self.buffer.published
        if not 0 <= barrier.seq <= newest:
            raise PublicationError(f"nothing was published as frame {barrier.seq} of {self.name}")
        seq = self._end_seq if unsettled is None else unsettled.frame.seq
        if not self.unsettled or barrier.seq != seq:
            return []  # it took longer than SETTLE_NS
        actions = self._settle(now_ns)
        if unsettled is not None:
            latency_ns = barrier.sent_ns - unsettled.frame.captured_ns
            percentiles = self._latencies.add(latency_ns // 1000)
            if percentiles is not None:
                actions.append(NoteLatency(self.name, *percentiles))
        return actions

    def _take(self, ready: ReadyFrame[Frame, Detections], now_ns: int) -> list[Action]:
        """Publish a frame, or only pass it on if it was published before."""
        merged = self._merging.merge(ready.answers)
        result = Result(ready.info, not ready.missing, merged.detections.to_bytes())
        if not ready.publish:
            return self._pass_on(result)
        self._unsettled, self._sent_ns = result, now_ns
        return [Publish(ready, merged), Flush(self.name, ready.seq)]

    def _settle(self, now_ns: int) -> list[Action]:
        """What is unsettled is published for sure."""
        result, self._unsettled = self._unsettled, None
        if result is None:
            self._ended = True
            return [Ended(self.name)]
        seq = result.frame.seq
        self.published_seq = seq
        self._published += 1
        actions = [Settle(self.name, seq, result.complete), *self._pass_on(result)]
        if now_ns - self._summary_ns >= SUMMARY_NS:
            self._summary_ns = now_ns
            actions.append(Summarise(self.name, Detections.from_bytes(result.detections)))
        return actions

    def _pass_on(self, result: Result) -> list[Action]:
        """A settled frame goes to the renderer, or else its pixels are not needed any more."""
        seq = result.frame.seq
        published = Send(TILER, Published(self.name, seq))
        if not self._rendering:
            return [*self._finish(seq), published]
        self.held[seq] = result
        return [Send(RENDERER, result), published]

    def _finish(self, seq: int) -> list[Action]:
        self._finished_seq = seq
        return [Finish(self.name, seq), Send(self.name, Published(self.name, seq))]


def begin(settings: RunSettings, control: ControlBlock) -> Publication:
    """A run's publication, as the shared records say that the merger before has left it."""
    states = {
        name: StreamState(
            slots=len(control.slots[name]),
            published_seq=stream.published_seq,
            published=stream.published,
            finished_seq=stream.finished_seq,
            ended=stream.ended == 1,
        )
        for name, stream in control.streams.items()
    }
    return Publication(
        states,
        merging=FrameMerging(settings),
        rendering=settings.render.wanted,
        subscriptions=control.run.subscriptions,
        subscribed=control.run.subscribed == 1,
    )
