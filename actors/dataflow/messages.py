"""Messages about frames, tiles and results, and the codec of a run.

No pixel travels here. A message may be lost when a process dies, so every one of them is either a
hint to look at the control block or is sent again by the actor that needs the outcome.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from actors.system.codec import Codec, Message
from actors.system.messages import SUPERVISION


@dataclass(frozen=True, slots=True)
class Begin(Message):
    """Merger to captures: there is a subscriber (a hint; see RunRecord.subscribed)."""


@dataclass(frozen=True, slots=True)
class Frame(Message):
    """Capture to tiler: a frame is in its slot. Sent again whenever its outcome may be lost."""

    stream: str
    seq: int
    previous: int
    source_frame: int
    slot: int
    width: int
    height: int
    captured_ns: int
    captured_real_ns: int


@dataclass(frozen=True, slots=True)
class Expect(Message):
    """Tiler to merger: that frame, and how many tiles each stage has.

    A stage that depends on another is -1 until it is known; then the message comes again.
    """

    frame: Frame
    tiles: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Job(Message):
    """Tiler to worker: a tile is in its slot. `tile` is where it lies in the frame (Tile.to_tuple).

    `tiler` and `merger` are the incarnations that must get the outcome, or later ones.
    `return_detections` asks for the detections in Finished: another stage depends on them.
    """

    id: int
    stream: str
    seq: int
    stage: int
    index: int
    slot: int
    generation: int
    tile: tuple[int, ...]
    width: int
    height: int
    tiler: int
    merger: int
    return_detections: bool


@dataclass(frozen=True, slots=True)
class Answer(Message):
    """Worker to merger: one tile's detections, as `Detections.to_bytes`."""

    stream: str
    seq: int
    stage: int
    index: int
    detections: bytes


STALE = "stale"


@dataclass(frozen=True, slots=True)
class Finished(Message):
    """Worker to tiler: a credit comes back. `error` is "" when the job was answered.

    STALE means that the slot was overwritten meanwhile: the job counts as not run.
    """

    worker: str
    id: int
    error: str
    detections: bytes


@dataclass(frozen=True, slots=True)
class Missing(Message):
    """Tiler to merger: that tile is given up; publish its frame as incomplete."""

    stream: str
    seq: int
    stage: int
    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Published(Message):
    """Merger to tiler and capture: the frame is out (or was before)."""

    stream: str
    seq: int


@dataclass(frozen=True, slots=True)
class FlushBarrier(Message):
    """Merger to itself: when it comes back, what was published before it has left the process.

    `seq` is of the frame, or one more than the last for the end of the stream; `sent_ns` is when
    the barrier was sent.
    """

    stream: str
    seq: int
    sent_ns: int


@dataclass(frozen=True, slots=True)
class Result(Message):
    """Merger to renderer: a published frame and its detections, as `Detections.to_bytes`."""

    frame: Frame
    complete: bool
    detections: bytes

    def without_detections(self) -> Result:
        """For detections that cannot be decoded: without its frame the stream would never end."""
        return replace(self, complete=False, detections=b"")


@dataclass(frozen=True, slots=True)
class Rendered(Message):
    """Renderer to capture and merger: the frame's pixels are no longer needed."""

    stream: str
    seq: int


@dataclass(frozen=True, slots=True)
class End(Message):
    """Capture to merger: the stream has this many frames (a hint; see StreamRecord.end_seq)."""

    stream: str
    frames: int


CODEC = Codec(
    *SUPERVISION,
    Begin,
    Frame,
    Expect,
    Job,
    Answer,
    Finished,
    Missing,
    Published,
    FlushBarrier,
    Result,
    Rendered,
    End,
)
"""Every message of a run, by its kind."""
