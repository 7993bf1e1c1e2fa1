"""Putting a stream's frames together: which tiles are here, which frame is next.

Plain Python without socket, clock or memory; the merger is the actor around it. One Assembly a
stream. Frames leave it complete and in order, each once: `cursor` is the last that left.

A merger that came back starts from the control block. Frames up to `published` are out already;
those above `finished` are still wanted by the renderer, so they are put together again and leave
with `publish` false.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Rows = TypeVar("Rows")
Info = TypeVar("Info")

UNKNOWN = -1


@dataclass(slots=True)
class _Frame(Generic[Info, Rows]):
    previous: int = -1
    info: Info | None = None
    tiles: tuple[int, ...] = ()
    answers: dict[tuple[int, int], Rows] = field(default_factory=dict)
    missing: dict[tuple[int, int], str] = field(default_factory=dict)

    def complete(self) -> bool:
        """Every tile is answered or given up, and no stage's number of tiles is unknown."""
        if self.info is None or UNKNOWN in self.tiles:
            return False
        return all(tile in self.answers or tile in self.missing for tile in self.keys())

    def keys(self) -> Iterator[tuple[int, int]]:
        """Its tiles as (stage, index), in that order."""
        return ((stage, i) for stage, count in enumerate(self.tiles) for i in range(count))


@dataclass(frozen=True, slots=True)
class ReadyFrame(Generic[Info, Rows]):
    """A whole frame. `answers` by (stage, index) in that order; `missing` says why by tile."""

    seq: int
    info: Info
    publish: bool
    answers: dict[tuple[int, int], Rows]
    missing: dict[tuple[int, int], str]


class ReorderBuffer(Generic[Info, Rows]):
    """One stream's frames in the making. `most` bounds how many: the stream's frame slots."""

    def __init__(self, published: int, cursor: int, most: int) -> None:
        self.published = published
        self.cursor = cursor
        self._most = most
        self._frames: dict[int, _Frame[Info, Rows]] = {}
        self.stray = 0
        """Answers that belong to no frame in the making."""

    def expect(self, seq: int, previous: int, info: Info, tiles: tuple[int, ...]) -> bool:
        """A frame and its tiles by stage; False when it has left already."""
        if seq <= self.cursor:
            return False
        frame = self._frames.setdefault(seq, _Frame())
        frame.previous = previous
        frame.info = info
        frame.tiles = tiles
        return True

    def answer(self, seq: int, stage: int, index: int, rows: Rows) -> None:
        """One tile's detections. The first answer counts; it also heals a tile given up."""
        frame = self._frame(seq)
        if frame is None:
            self.stray += 1
            return
        frame.answers.setdefault((stage, index), rows)
        frame.missing.pop((stage, index), None)

    def missing(self, seq: int, stage: int, index: int, reason: str) -> None:
        """A tile that will not come, unless it is here already."""
        frame = self._frame(seq)
        if frame is not None and (stage, index) not in frame.answers:
            frame.missing[stage, index] = reason

    def leave(self) -> Iterator[ReadyFrame[Info, Rows]]:
        """The frames that are whole and next in order, each once."""
        while True:
            ready = [
                seq
                for seq, frame in self._frames.items()
                if frame.previous <= self.cursor and frame.complete()
            ]
            if not ready:
                return
            seq = min(ready)
            frame = self._frames.pop(seq)
            assert frame.info is not None
            self.cursor = seq
            publish = seq > self.published
            self.published = max(self.published, seq)
            # Only tiles that the frame has: a strange message may name any, and a tiler that came
            # back may have found fewer crops.
            tiles = list(frame.keys())
            answers = {tile: frame.answers[tile] for tile in tiles if tile in frame.answers}
            missing = {tile: frame.missing[tile] for tile in tiles if tile in frame.missing}
            yield ReadyFrame(seq, frame.info, publish, answers, missing)

    def finished(self, seq: int) -> None:
        """Frames up to `seq` are wanted no more, by nobody: they will not come again either."""
        if seq <= self.cursor:
            return
        self.cursor = seq
        for old in [known for known in self._frames if known <= seq]:
            del self._frames[old]

    def waiting(self) -> int:
        """Frames in the making."""
        return len(self._frames)

    def _frame(self, seq: int) -> _Frame[Info, Rows] | None:
        if seq <= self.cursor:
            return None
        frame = self._frames.get(seq)
        if frame is None:
            # Answers may overtake the frame that they belong to, but there are no more frames than
            # slots; the bound keeps strange messages from filling the memory.
            if len(self._frames) >= 2 * self._most:
                return None
            frame = self._frames[seq] = _Frame()
        return frame
