"""What limits the frame rate, from measured shares."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.launcher.limits import BUSY, Load, limiting_part


def load(**other: Any) -> Load:
    values: dict[str, Any] = {
        "cores": {0: 0.5, 1: 0.6},
        "cores_are": "cores",
        "npu_slowed": None,
        "processes": {"cam0": 0.2, "tiler": 0.3, "merger": 0.1},
        "roles": {"cam0": "capture", "tiler": "tiler", "merger": "merger"},
        "source_keeps_pace": False,
        "machine": 0.5,
        "processors": 8,
    }
    return Load(**{**values, **other})


CASES: list[tuple[dict[str, Any], str]] = [
    (
        {"cores": {0: 0.95, 1: 0.9}, "cores_are": "emulated cores"},
        "the emulated cores: all are busy, which is the most that they can do",
    ),
    (
        {"cores": {0: 0.95}, "npu_slowed": "its clock is at 800 of 1000 MHz at 85 °C"},
        "the NPU: its cores are busy, and its clock is at 800 of 1000 MHz at 85 °C",
    ),
    (
        {"processes": {"cam0": 0.93, "tiler": 0.91}},
        "cam0 (capture): this process uses 93% of a processor",
    ),
    ({"source_keeps_pace": True, "machine": 1.0}, "the source: it gives no more frames than these"),
    (
        {"machine": 0.97},
        "this machine's processors: all 8 are busy, 0.6 of them with this run (workers not "
        "counted)",
    ),
    (
        {},
        "no single part (cores: core 0 50%, core 1 60%; busiest other process: tiler 30% of a "
        "processor)",
    ),
    # One core that is not busy: another limit holds.
    ({"cores": {0: 0.99, 1: 0.5}, "source_keeps_pace": True}, "the source: "),
    ({"npu_slowed": "its clock is low"}, "no single part"),
]


@pytest.mark.parametrize(("other", "text"), CASES)
def test_the_sentence(other: dict[str, Any], text: str) -> None:
    assert limiting_part(load(**other)).startswith(text)


shares = st.floats(0, 1)


@given(
    st.dictionaries(st.integers(0, 2), shares, max_size=3),
    shares,
    shares,
    st.booleans(),
    shares,
)
def test_the_first_cause_that_holds_is_named(
    cores: dict[int, float], capture: float, tiler: float, paced: bool, machine: float
) -> None:
    text = limiting_part(
        load(
            cores=cores,
            processes={"cam0": capture, "tiler": tiler},
            source_keeps_pace=paced,
            machine=machine,
        )
    )
    if cores and min(cores.values()) >= BUSY:
        assert text.startswith("the cores")
    elif max(capture, tiler) >= BUSY:
        assert text.startswith("cam0" if capture >= tiler else "tiler")
    elif paced:
        assert text.startswith("the source")
    else:
        assert text.startswith("this machine" if machine >= BUSY else "no single part")
