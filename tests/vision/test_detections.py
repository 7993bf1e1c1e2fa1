"""Detections: what is encoded is decoded, and what is not whole is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from actors.vision.detections import Detections

_FLOATS = st.floats(-1e6, 1e6, width=32)


@st.composite
def some(draw: st.DrawFn, most: int = 6) -> Detections:
    count = draw(st.integers(0, most))
    ids = st.integers(0, 1 << 20)
    return Detections(
        boxes=draw(arrays.arrays(np.float32, (count, 4), elements=_FLOATS)),
        scores=draw(arrays.arrays(np.float32, count, elements=_FLOATS)),
        class_ids=draw(arrays.arrays(np.int64, count, elements=ids)),
        stages=draw(arrays.arrays(np.int64, count, elements=ids)),
        truncated=draw(arrays.arrays(np.bool_, count)),
    )


def same(one: Detections, other: Detections) -> bool:
    names = ("boxes", "scores", "class_ids", "stages", "truncated")
    pairs = [(getattr(one, name), getattr(other, name)) for name in names]
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


@given(some())
def test_bytes_hold_every_detection(found: Detections) -> None:
    data = found.to_bytes()
    assert len(data) == 32 * len(found)
    assert same(Detections.from_bytes(data), found)


@given(st.lists(some(3), max_size=4))
def test_concatenate_keeps_the_order(parts: list[Detections]) -> None:
    joined = Detections.concatenate(parts)
    assert len(joined) == sum(map(len, parts))
    first = 0
    for part in parts:
        assert same(joined.take(np.arange(first, first + len(part))), part)
        first += len(part)


@given(some())
def test_take_by_index_and_by_mask(found: Detections) -> None:
    mask = found.scores > 0
    assert same(found.take(mask), found.take(np.flatnonzero(mask)))


@pytest.mark.parametrize("data", [b"x", b"\0" * 31, b"\0" * 33])
def test_a_part_of_a_detection_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="whole detections"):
        Detections.from_bytes(data)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("column", range(8))
def test_a_number_that_is_not_finite_is_refused(value: float, column: int) -> None:
    numbers = np.zeros((2, 8), np.float32)
    numbers[1, column] = value
    with pytest.raises(ValueError, match="finite"):
        Detections.from_bytes(numbers.tobytes())
