"""Latency percentiles over the newest frames of a stream."""

from __future__ import annotations

from collections import deque

import numpy as np

# The percentiles are over this many frames and computed anew after every N: they take 0.1 ms.
_KEPT = 512
_EVERY = 16


class Latencies:
    """One stream's latencies in microseconds. Plain Python without a clock."""

    def __init__(self) -> None:
        self._newest_us: deque[int] = deque(maxlen=_KEPT)
        self._added = 0

    def add(self, latency_us: int) -> tuple[int, int] | None:
        """Add a frame's latency; the new (p50, p99) in microseconds when they are due."""
        self._newest_us.append(latency_us)
        self._added += 1
        if self._added >= _EVERY and self._added % _EVERY:
            return None
        p50, p99 = np.percentile(self._newest_us, (50, 99))
        return int(p50), int(p99)
