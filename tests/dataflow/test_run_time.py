"""How long runs take: when one has taken too long, and how long the core was busy."""

from __future__ import annotations

from random import Random

from actors.dataflow.run_time import RunTimes

MS = 1_000_000


def ran(times: RunTimes, *spans: tuple[int, int]) -> list[int]:
    """The busy milliseconds that each run adds."""
    return [times.ran("m", (begin * MS, end * MS)) // MS for begin, end in spans]


def test_no_run_is_too_long_within_400_ms() -> None:
    times = RunTimes(["m"], 1)
    times.warmed_up("m", (0, MS))
    assert not times.too_long("m", 399 * MS)
    assert times.too_long("m", 400 * MS)


def test_a_run_is_too_long_after_ten_times_the_longest_of_its_models_last_ones() -> None:
    times = RunTimes(["m", "other"], 1)
    times.warmed_up("m", (0, 100 * MS))
    times.warmed_up("other", (0, 500 * MS))
    assert (times.too_long("m", 999 * MS), times.too_long("m", 1000 * MS)) == (False, True)
    assert not times.too_long("other", 4999 * MS)
    ran(times, (0, 200))
    assert (times.too_long("m", 1999 * MS), times.too_long("m", 2000 * MS)) == (False, True)


def test_a_run_that_was_held_up_is_forgotten_after_sixteen_more_in_each_context() -> None:
    for contexts in (1, 3):
        times = RunTimes(["m"], contexts)
        ran(times, (0, 5000))
        ran(times, *[(0, 50)] * (16 * contexts - 1))
        assert not times.too_long("m", 600 * MS)
        ran(times, (0, 50))
        assert times.too_long("m", 600 * MS)


def test_a_model_that_has_never_run_has_no_limit() -> None:
    assert not RunTimes(["m"], 1).too_long("m", 399 * MS)


def test_overlapping_runs_are_busy_once() -> None:
    times = RunTimes(["m"], 2)
    # One after the other, overlapping, inside the one before, and touching it.
    assert ran(times, (0, 10), (20, 30), (25, 40), (26, 35), (40, 41)) == [10, 10, 10, 0, 1]


def test_warming_up_is_not_busy_time() -> None:
    times = RunTimes(["m"], 1)
    times.warmed_up("m", (0, 10 * MS))
    assert ran(times, (5, 10)) == [5]


def test_random_runs_add_up_to_the_time_that_the_core_was_busy() -> None:
    for seed in range(1000):
        random = Random(seed)
        # Contexts take turns on the core, with pauses; some runtimes include their waiting in the
        # span, which then begins before the one that held the core has ended.
        spans, now = [], 0
        for _ in range(random.randint(1, 30)):
            begin = now + random.choice([0, 0, random.randint(1, 5)])
            now = begin + random.randint(0, 20)
            spans.append((max(0, begin - random.choice([0, 0, 10])), now))
        held = [0, *(end for _, end in spans)]
        times = RunTimes(["m"], 3)
        total = sum(ran(times, *spans))
        gaps = sum(max(0, begin - before) for before, (begin, _) in zip(held, spans, strict=False))
        assert total == now - gaps
