"""Compare the records of a run with those of a reference run, frame by frame.

Plain objects without socket or clock: records go in as they come, a verdict comes out. A source may
be played over and over, so a frame is identified by its place in the source; `seq` shows whether
one is missing, and the place in the source whether the capture skipped one although `seq` has no
gap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actors.system.text import plural

Record = Mapping[str, Any]

FAULTS = ("lost", "doubled", "out_of_order", "different", "incomplete")
# What differs between two publications of the same frame and says nothing about what was found.
_PASSING = ("run", "seq", "captured_ns", "published_ns")
_EXAMPLES = 10


def essence(record: Record) -> dict[str, Any]:
    """A record without times, run name and sequence number."""
    return {key: value for key, value in record.items() if key not in _PASSING}


class Reference:
    """One pass over one stream's source: what each frame gives, in the source's order."""

    def __init__(self, records: Iterable[Record]) -> None:
        """The records of the undisturbed run; ValueError when they cannot be a reference."""
        self.essences: dict[int, dict[str, Any]] = {}
        for number, record in enumerate(records):
            if record["seq"] != number or record["source_frame"] in self.essences:
                raise ValueError(
                    f"frame {record['seq']} of {record['stream']} came where {number} was due"
                )
            if not record["complete"]:
                raise ValueError(f"frame {record['seq']} of {record['stream']} is incomplete")
            self.essences[record["source_frame"]] = essence(record)
        self._places = {frame: place for place, frame in enumerate(self.essences)}

    def __len__(self) -> int:
        return len(self.essences)

    def place(self, source_frame: int) -> int | None:
        """Which frame of the pass it is, from 0; None when the pass does not have it."""
        return self._places.get(source_frame)


@dataclass(frozen=True)
class Compared:
    """The verdict. `counts` has all FAULTS; `examples` describes the first few."""

    published: int
    counts: Mapping[str, int]
    repeats: int
    """Last frames that came once more after the merger's death, which is allowed."""
    endless: tuple[str, ...]
    """Streams without an end message."""
    longest_gap_ns: tuple[int, int]
    """From one publication to the next of the same stream, CLOCK_REALTIME."""
    examples: tuple[str, ...]

    @property
    def longest_gap_ms(self) -> float:
        begin, end = self.longest_gap_ns
        return (end - begin) / 1e6


class Comparison:
    """All streams of a run against their references."""

    def __init__(self, references: Mapping[str, Reference], *, looped: bool) -> None:
        """`looped` sources end anywhere, others after exactly one pass."""
        self.looped = looped
        self.counts: Counter[str] = Counter()
        self.published = 0
        self._examples: list[str] = []
        self._streams = {
            name: _Stream(self, name, reference, looped) for name, reference in references.items()
        }

    def result(self, record: Record) -> None:
        """A record, as it was published."""
        self.published += 1
        stream = self._streams.get(record["stream"])
        if stream is None:
            self.fault("different", 1, f"{record['stream']}: the reference has no such stream")
        else:
            stream.result(record)

    def end(self, stream: str, frames: int) -> None:
        """The end message of a stream."""
        self._streams[stream].end(frames)

    def finish(self, crashes_ns: Sequence[int] | None) -> Compared:
        """The verdict, given when the merger ended without being asked to (CLOCK_REALTIME).

        Its last frame may come once more then. None: not known, so each such repeat is allowed.
        """
        repeats = sum(stream.finish(crashes_ns) for stream in self._streams.values())
        return Compared(
            published=self.published,
            counts={kind: self.counts[kind] for kind in FAULTS},
            repeats=repeats,
            endless=tuple(name for name, s in self._streams.items() if s.frames is None),
            longest_gap_ns=max((s.longest_gap_ns for s in self._streams.values()), key=_length),
            examples=tuple(self._examples),
        )

    def fault(self, kind: str, count: int, text: str) -> None:
        self.counts[kind] += count
        if len(self._examples) < _EXAMPLES:
            self._examples.append(f"{kind.replace('_', ' ')}: {text}")


def _length(span: tuple[int, int]) -> int:
    return span[1] - span[0]


class _Stream:
    def __init__(
        self, comparison: Comparison, name: str, reference: Reference, looped: bool
    ) -> None:
        self.frames: int | None = None
        self.longest_gap_ns = (0, 0)
        self._comparison = comparison
        self._name = name
        self._reference = reference
        self._looped = looped
        self._next = 0
        self._missing: set[int] = set()
        # By how many frames the capture is ahead of `seq`: not 0 once it passed some over.
        self._shift = 0
        self._published_ns: int | None = None
        self._repeats: list[tuple[int, int, int]] = []

    def result(self, record: Record) -> None:
        seq, now = record["seq"], record["published_ns"]
        previous, self._published_ns = self._published_ns, now
        if previous is not None:
            self.longest_gap_ns = max(self.longest_gap_ns, (previous, now), key=_length)
        if seq >= self._next:
            self._missing.update(range(self._next, seq))
            self._next = seq + 1
        elif seq in self._missing:
            self._missing.remove(seq)
            self._fault("out_of_order", 1, f"#{seq} came after #{self._next - 1}")
        elif seq == self._next - 1 and previous is not None:
            self._repeats.append((seq, previous, now))
        else:
            self._fault("doubled", 1, f"#{seq} came again after #{self._next - 1}")
        self._check_place(seq, record["source_frame"])
        self._check_content(seq, record)

    def _check_place(self, seq: int, source_frame: int) -> None:
        """Whether the frame is the one of the source that was due under this number."""
        length = len(self._reference)
        place = self._reference.place(source_frame)
        if place is None:
            self._fault("different", 1, f"#{seq} is frame {source_frame} of the source, unknown")
            return
        ahead = (place - seq - self._shift) % length
        self._shift += ahead
        if 0 < ahead <= length // 2:
            self._fault(
                "lost", ahead, f"{plural(ahead, 'frame')} of the source skipped before #{seq}"
            )
        elif ahead:
            again = length - ahead
            self._fault(
                "doubled", again, f"{plural(again, 'frame')} of the source read again at #{seq}"
            )

    def _check_content(self, seq: int, record: Record) -> None:
        expected = self._reference.essences.get(record["source_frame"])
        if not record["complete"]:
            self._fault("incomplete", 1, f"#{seq} lacks {record['missing']}")
        elif expected is not None and (found := essence(record)) != expected:
            keys = [key for key in {**expected, **found} if expected.get(key) != found.get(key)]
            self._fault("different", 1, f"#{seq} differs in {', '.join(keys)}")

    def end(self, frames: int) -> None:
        self.frames = frames

    def finish(self, crashes_ns: Sequence[int] | None) -> int:
        """Count what never came; the number of repeats that are allowed."""
        expected = self._next if self.frames is None else max(self._next, self.frames)
        if not self._looped:
            expected = max(expected, len(self._reference))
        self._missing.update(range(self._next, expected))
        self._next = expected
        if self._missing:
            first = min(self._missing)
            count = len(self._missing)
            self._fault("lost", count, f"{plural(count, 'frame')} never came, the first #{first}")
        if self.frames is not None and self.frames < expected:
            text = f"the end message says {plural(self.frames, 'frame')}, #{expected - 1} was due"
            self._fault("different", 1, text)
        allowed = 0
        for seq, before, after in self._repeats:
            if crashes_ns is None or any(before <= crash <= after for crash in crashes_ns):
                allowed += 1
            else:
                self._fault("doubled", 1, f"#{seq} came twice without the merger's death")
        return allowed

    def _fault(self, kind: str, count: int, text: str) -> None:
        self._comparison.fault(kind, count, f"{self._name}: {text}")
