"""Reorder buffer of one stream: collects the tiles of each frame and gives the frames in order.

Plain Python without socket, clock or memory. A frame comes out once, when every tile of it has been
answered or given up and the frame before it is out; `cursor` is the last one that came out.

A merger that was restarted begins from the shared record. Frames up to `published` are published
already; those above `cursor` are still needed by the renderer, so they are collected again and come
out with `publish` false.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Rows = TypeVar("Rows")
Info = TypeVar("Info")

UNKNOWN = -1
"""The number of tiles of a stage that has not started."""


@dataclass(slots=True)
class _Frame(Generic[Info, Rows]):
    previous: int = -1
    info: Info | None = None
    tiles: tuple[int, ...] = ()
    answers: dict[tuple[int, int], Rows] = field(default_factory=dict)
    missing: dict[tuple[int, int], str] = field(default_factory=dict)

    def complete(self) -> bool:
        """Whether every tile is answered or given up, and no stage's number of tiles is unknown."""
        if self.info is None or UNKNOWN in self.tiles:
            return False
        return all(tile in self.answers or tile in self.missing for tile in self.keys())

    def keys(self) -> Iterator[tuple[int, int]]:
        """Its tiles as (stage, index), in that order."""
        return ((stage, i) for stage, count in enumerate(self.tiles) for i in range(count))


@dataclass(frozen=True, slots=True)
class ReadyFrame(Generic[Info, Rows]):
    """A frame with all its tiles. `publish` is false for one that was published before.

    `answers` by (stage, index), ascending; `missing` gives the reason by tile that was given up.
    """

    seq: int
    info: Info
    publish: bool
    answers: dict[tuple[int, int], Rows]
    missing: dict[tuple[int, int], str]


class ReorderBuffer(Generic[Info, Rows]):
    """One stream's frames that are not complete, or wait for one before them."""

    def __init__(self, *, published: int, cursor: int, slots: int) -> None:
        """`published` and `cursor` are sequence numbers, `slots` the stream's frame slots."""
        self.published = published
        self.cursor = cursor
        self._most = 2 * slots
        self._frames: dict[int, _Frame[Info, Rows]] = {}
        self.stray = 0
        """Answers for no frame in the buffer: late, or not of this stream."""

    def expect(self, seq: int, previous: int, info: Info, tiles: tuple[int, ...]) -> bool:
        """A frame and its tiles by stage (UNKNOWN: not known yet); False when it is out already.

        `previous` is the sequence number of the frame before it, -1 before the first.
        """
        if seq <= self.cursor:
            return False
        frame = self._frames.setdefault(seq, _Frame())
        frame.previous = previous
        frame.info = info
        frame.tiles = tiles
        return True

    def answer(self, seq: int, stage: int, index: int, rows: Rows) -> None:
        """One tile's detections. The first answer counts, also for a tile that was given up."""
        frame = self._frame(seq)
        if frame is None:
            self.stray += 1
            return
        frame.answers.setdefault((stage, index), rows)
        frame.missing.pop((stage, index), None)

    def missing(self, seq: int, stage: int, index: int, reason: str) -> None:
        """A tile was given up. Ignored when its answer is here."""
        frame = self._frame(seq)
        if frame is not None and (stage, index) not in frame.answers:
            frame.missing[stage, index] = reason

    def pop_ready(self) -> ReadyFrame[Info, Rows] | None:
        """The next frame in order, if all its tiles are here; it is no longer in the buffer."""
        following = (seq for seq, f in self._frames.items() if f.previous <= self.cursor)
        seq = min((seq for seq in following if self._frames[seq].complete()), default=None)
        if seq is None:
            return None
        frame = self._frames.pop(seq)
        assert frame.info is not None
        self.cursor = seq
        publish = seq > self.published
        self.published = max(self.published, seq)
        # Only the tiles that the frame has: a faulty message may name any, and a tiler that was
        # restarted may have found fewer crops.
        tiles = list(frame.keys())
        answers = {tile: frame.answers[tile] for tile in tiles if tile in frame.answers}
        missing = {tile: frame.missing[tile] for tile in tiles if tile in frame.missing}
        return ReadyFrame(seq, frame.info, publish, answers, missing)

    def finished(self, seq: int) -> None:
        """The pixels of the frames up to `seq` are not needed any more: they will not come again.

        So nothing waits for them, published or not.
        """
        if seq <= self.cursor:
            return
        self.cursor = seq
        for old in [known for known in self._frames if known <= seq]:
            del self._frames[old]

    def waiting(self) -> int:
        """Frames in the buffer."""
        return len(self._frames)

    def _frame(self, seq: int) -> _Frame[Info, Rows] | None:
        if seq <= self.cursor:
            return None
        frame = self._frames.get(seq)
        if frame is None:
            # Answers may overtake the frame that they belong to, but there are no more frames than
            # slots; the bound keeps faulty messages from filling the memory.
            if len(self._frames) >= self._most:
                return None
            frame = self._frames[seq] = _Frame()
        return frame
