"""Rates over the last samples of a run's counters."""

from __future__ import annotations

import pytest

from actors.launcher.rates import Rates, Sample

SECOND = 1_000_000_000


def sample(second: float, **other: object) -> Sample:
    values: dict[str, object] = {
        "published": {"cam0": round(25 * second)},
        "dropped": {"cam0": round(2 * second)},
        "busy_ns": {"npu0": round(0.5 * second * SECOND), "tiler": round(0.25 * second * SECOND)},
        "pids": {"npu0": 10, "tiler": 11},
        "machine": (round(60 * second), round(200 * second)),
    }
    return Sample(at_ns=round(second * SECOND), **{**values, **other})  # type: ignore[arg-type]


def filled(*seconds: float) -> Rates:
    rates = Rates()
    for second in seconds:
        rates.add(sample(second))
    return rates


@pytest.mark.parametrize("seconds", [(), (5.0,)])
def test_nothing_is_known_before_the_second_sample(seconds: tuple[float, ...]) -> None:
    rates = filled(*seconds)
    assert rates.seconds == rates.fps("cam0") == rates.busy("npu0", over_restarts=True) == 0
    assert rates.dropped("cam0") == rates.machine_busy() == 0


def test_rates_are_over_the_last_four_samples() -> None:
    rates = filled(*range(10))
    assert rates.seconds == 3
    assert rates.fps("cam0") == pytest.approx(25)
    assert rates.dropped("cam0") == 6
    assert rates.busy("npu0", over_restarts=True) == pytest.approx(0.5)
    assert rates.busy("tiler", over_restarts=False) == pytest.approx(0.25)
    assert rates.machine_busy() == pytest.approx(0.7)


def test_an_actor_restarted_within_the_samples_is_not_said_to_be_busy() -> None:
    rates = filled(0, 1)
    rates.add(sample(2, pids={"npu0": 20, "tiler": 21}, busy_ns={"npu0": SECOND, "tiler": 0}))
    assert rates.busy("tiler", over_restarts=False) == 0
    assert rates.busy("npu0", over_restarts=True) == pytest.approx(0.5)


def test_a_share_is_never_above_1() -> None:
    rates = filled(0)
    rates.add(sample(1, busy_ns={"npu0": 3 * SECOND, "tiler": 0}))
    assert rates.busy("npu0", over_restarts=True) == 1
