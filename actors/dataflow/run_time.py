"""How long runs of a model take: when one has taken too long, and how long the core was busy."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

Span = tuple[int, int]
"""From when to when a run held the core (CLOCK_MONOTONIC, ns)."""

# A run is not taken for hung before this.
_SHORTEST_LIMIT_NS = 400_000_000
_LONGER = 10
# Runs of a model, in each context, that tell how long the next may take. A run that was held up (a
# process stopped and continued) is forgotten after these.
_RECENT = 16


class RunTimes:
    """The runs of one core's models, in several contexts. Holds no clock and no lock."""

    def __init__(self, models: Iterable[str], contexts: int) -> None:
        self._recent_ns = {model: deque[int](maxlen=_RECENT * contexts) for model in models}
        self._busy_until_ns = 0

    def warmed_up(self, model: str, span: Span) -> None:
        """A run that was no job, so that the first job has something to be compared with."""
        self._recent_ns[model].append(span[1] - span[0])

    def ran(self, model: str, span: Span) -> int:
        """A run has ended: nanoseconds by which the core was busy longer than was known.

        Contexts overlap, but the core is busy once. A run is counted when it ends, so one that
        begins before another and ends after it is counted from that one's end.
        """
        begin, end = span
        self._recent_ns[model].append(end - begin)
        busy = max(0, end - max(begin, self._busy_until_ns))
        self._busy_until_ns = max(end, self._busy_until_ns)
        return busy

    def too_long(self, model: str, took_ns: int) -> bool:
        """Whether a run has taken ten times as long as the longest of the model's last ones."""
        recent = self._recent_ns[model]
        return took_ns >= max(_SHORTEST_LIMIT_NS, _LONGER * max(recent, default=took_ns))
