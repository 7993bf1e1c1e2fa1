"""Actions of Publication: what the merger is to send, and what it is to write into shared records.

They are done in the order in which they are given; the merger may be killed between any two.
"""

from __future__ import annotations

from dataclasses import dataclass

from actors.dataflow.frame_merging import MergedFrame
from actors.dataflow.messages import Frame
from actors.dataflow.reorder import ReadyFrame
from actors.dataflow.shared_records import ControlBlock
from actors.system.codec import Message
from actors.vision.detections import Detections


@dataclass(frozen=True, slots=True)
class Publish:
    """Send the record of a frame to the subscribers and write it to the log."""

    frame: ReadyFrame[Frame, Detections]
    merged: MergedFrame


@dataclass(frozen=True, slots=True)
class PublishEnd:
    """Send the record of a stream's end, after that number of frames, and write it to the log."""

    stream: str
    frames: int


@dataclass(frozen=True, slots=True)
class Flush:
    """Send a FlushBarrier with these fields to the merger itself."""

    stream: str
    seq: int


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message to an actor."""

    receiver: str
    message: Message


@dataclass(frozen=True, slots=True)
class Summarise:
    """Send the supervisor a summary of what a stream shows, for people."""

    stream: str
    found: Detections


class Write:
    """Base of the actions that write into the shared records of the run."""

    __slots__ = ()

    def write(self, control: ControlBlock) -> None:
        """Do it."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Settle(Write):
    """A frame is published for sure."""

    stream: str
    seq: int
    complete: bool

    def write(self, control: ControlBlock) -> None:
        """Do it."""
        control.streams[self.stream].settle(self.seq, complete=self.complete)


@dataclass(frozen=True, slots=True)
class Finish(Write):
    """The pixels of a stream's frames up to `seq` are not needed any more."""

    stream: str
    seq: int

    def write(self, control: ControlBlock) -> None:
        """Do it."""
        control.streams[self.stream].finish(self.seq)


@dataclass(frozen=True, slots=True)
class Ended(Write):
    """The end of a stream is published for sure."""

    stream: str

    def write(self, control: ControlBlock) -> None:
        """Do it."""
        control.streams[self.stream].ended = 1


@dataclass(frozen=True, slots=True)
class NoteLatency(Write):
    """The percentiles of a stream's latencies from capture to publication."""

    stream: str
    p50_us: int
    p99_us: int

    def write(self, control: ControlBlock) -> None:
        """Do it."""
        control.streams[self.stream].latency_p50_us = self.p50_us
        control.streams[self.stream].latency_p99_us = self.p99_us


@dataclass(frozen=True, slots=True)
class NoteSubscriptions(Write):
    """How many subscriptions there are."""

    count: int

    def write(self, control: ControlBlock) -> None:
        """Do it."""
        control.run.subscriptions = self.count


@dataclass(frozen=True, slots=True)
class NoteFirstSubscriber(Write):
    """There was a subscriber: sources that wait for one may start."""

    def write(self, control: ControlBlock) -> None:
        """Do it."""
        control.run.subscribed = 1


Action = Publish | PublishEnd | Flush | Send | Summarise | Write
