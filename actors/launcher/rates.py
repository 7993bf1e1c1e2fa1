"""Rates from samples of a run's counters, over the last few seconds. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

_WINDOW = 4


@dataclass(frozen=True)
class Sample:
    """The counters of a run at one moment."""

    at_ns: int
    published: Mapping[str, int]
    """Frames by stream, and so is `dropped`."""
    dropped: Mapping[str, int]
    busy_ns: Mapping[str, int]
    """By actor: of workers their core's time, of others their processor time."""
    pids: Mapping[str, int]
    machine: tuple[int, int]
    """Idle and all processor time of the machine, in ticks."""


class Rates:
    """The last samples; each rate is over all of them."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=_WINDOW)

    def add(self, sample: Sample) -> None:
        """Take one more sample, about a second after the one before."""
        self._samples.append(sample)

    @property
    def seconds(self) -> float:
        """How long the samples span; 0 with fewer than two."""
        if not self._samples:
            return 0.0
        return (self._samples[-1].at_ns - self._samples[0].at_ns) / 1e9

    def fps(self, stream: str) -> float:
        """Published frames per second."""
        if not self.seconds:
            return 0.0
        first, last = self._samples[0], self._samples[-1]
        return (last.published[stream] - first.published[stream]) / self.seconds

    def dropped(self, stream: str) -> int:
        """Frames that were dropped within the samples."""
        if not self._samples:
            return 0
        return self._samples[-1].dropped[stream] - self._samples[0].dropped[stream]

    def busy(self, actor: str, *, over_restarts: bool) -> float:
        """Share of its time that an actor was busy, 0 to 1.

        `over_restarts` is for time that the next process continues to count. For an actor whose
        time starts again, and which was restarted meanwhile, the answer is 0.
        """
        if not self.seconds:
            return 0.0
        first, last = self._samples[0], self._samples[-1]
        if first.pids[actor] != last.pids[actor] and not over_restarts:
            return 0.0
        share = (last.busy_ns[actor] - first.busy_ns[actor]) / 1e9 / self.seconds
        return min(1.0, max(0.0, share))

    def machine_busy(self) -> float:
        """Share of the machine's processor time that was used, by any process."""
        if not self._samples:
            return 0.0
        first, last = self._samples[0].machine, self._samples[-1].machine
        ticks = last[1] - first[1]
        return 1 - (last[0] - first[0]) / ticks if ticks else 0.0
