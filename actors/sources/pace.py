"""When a file is played at its own rate (`pace = "realtime"`): the instant each frame is due.

Frames are due one period apart, counted from the first, so that rounding never adds up. A frame
that is ready too late moves the whole schedule to its own instant: a consumer that was slow gets
the frames at the source's rate again, never a burst of those it missed.
No clock and no sleeping in here: the caller passes the time and does the waiting.
"""

from __future__ import annotations

import math


class Pace:
    """The schedule of one stream.

    >>> pace = Pace(25.0)
    >>> pace.due_ns(1_000), pace.due_ns(2_000), pace.due_ns(3_000)
    (1000, 40001000, 80001000)
    """

    def __init__(self, fps: float) -> None:
        """`fps` is the rate in frames per second. Raises ValueError unless it is positive."""
        if not (fps > 0 and math.isfinite(fps)):
            raise ValueError(f"fps is {fps}; a frame rate must be a positive number")
        self._period_ns = 1e9 / fps
        self._origin_ns = 0
        self._count = 0

    def due_ns(self, now_ns: int) -> int:
        """The instant at which the frame that is ready `now_ns` is due; never before `now_ns`.

        To be called once a frame, in order, with a clock that never goes back (monotonic).
        """
        due = self._origin_ns + round(self._count * self._period_ns)
        if self._count == 0 or due < now_ns:
            self._origin_ns, self._count, due = now_ns, 0, now_ns
        self._count += 1
        return due
