"""The realtime schedule: one period apart, never a burst."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.sources.pace import Pace

RATES = st.floats(min_value=0.1, max_value=240.0, allow_nan=False)
MS = 1_000_000


@given(RATES, st.integers(0, 10**15), st.integers(1, 3000))
def test_a_consumer_that_is_never_late_gets_the_exact_rate(fps: float, begin: int, n: int) -> None:
    pace = Pace(fps)
    now = begin
    for _ in range(n + 1):
        due = pace.due_ns(now)
        now = due  # waits until then, and is ready at once
    # No rounding adds up: frame n is n periods after the first, to the nanosecond.
    assert due == begin + round(n * (1e9 / fps))


@given(RATES, st.lists(st.integers(0, 200 * MS), min_size=2, max_size=200))
def test_frames_are_never_closer_than_a_period(fps: float, working: list[int]) -> None:
    pace = Pace(fps)
    now, dues, ready = 0, [], []
    for duration in working:
        now += duration
        ready.append(now)
        dues.append(pace.due_ns(now))
        now = dues[-1]
    assert all(due >= at for due, at in zip(dues, ready, strict=True))
    period = 1e9 / fps
    assert all(b - a >= period - 1 for a, b in pairwise(dues))
    # ... and never further apart than the period or the work, whichever is longer.
    for (a, b), duration in zip(pairwise(dues), working[1:], strict=True):
        assert b - a <= max(period, duration) + 1


def test_a_late_frame_shifts_the_schedule() -> None:
    pace = Pace(25.0)
    ready = [0, 10, 50, 500, 510, 520]
    assert [pace.due_ns(at * MS) for at in ready] == [
        0,
        40 * MS,
        80 * MS,
        500 * MS,  # 380 ms late: due at once, and the next ones are counted from here
        540 * MS,
        580 * MS,
    ]


@pytest.mark.parametrize("fps", [0.0, -25.0, float("nan"), float("inf")])
def test_a_rate_must_be_positive(fps: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        Pace(fps)
