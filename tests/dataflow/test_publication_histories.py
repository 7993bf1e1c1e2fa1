"""Publication over thousands of random histories, with deaths of merger and renderer at every step.

Each history is a simulated run (see support/publication_run), which checks at every action: frames
are published in order, one at a time, each once but for the last after a death; nothing is
released before it is settled, nothing rendered before it either; and at the end that every captured
frame was delivered and finished and the stream ended.
"""

from __future__ import annotations

import os

import pytest

from tests.support.publication_run import SimulatedRun

HISTORIES = int(os.environ.get("TRITILE_HISTORIES", "2000"))
GROUPS = 8


@pytest.mark.parametrize("rendering", [False, True])
@pytest.mark.parametrize("group", range(GROUPS))
def test_random_histories(group: int, rendering: bool) -> None:
    deaths = 0
    for seed in range(group, HISTORIES // 2, GROUPS):
        run = SimulatedRun(seed, rendering=rendering)
        run.run(steps=20 + seed % 120)
        deaths += run.deaths
    assert deaths > HISTORIES / 2 / GROUPS / 2


@pytest.mark.parametrize("rendering", [False, True])
def test_a_death_at_every_action_and_write(rendering: bool) -> None:
    """The same history again and again, the merger killed one action or write later each time."""
    for after in range(2000):
        run = SimulatedRun(11, rendering=rendering)
        for step in ("subscribe", "capture", "capture", "whole_frame", "turn") * 3:
            getattr(run, step)()
        run.words.left = after
        for step in [
            *["whole_frame"] * 4,
            "turn",
            *["zeromq"] * 4,
            "barrier",
            "barrier",
            "draw",
            "capture",
        ] * 12:
            getattr(run, step)()
        run.end_of_stream()
        run.turn()
        died = run.deaths
        run.finish()
        run.check()
        if not died:
            break
    assert 40 < after < 2000
