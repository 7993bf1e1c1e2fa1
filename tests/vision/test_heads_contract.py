"""What holds for every head: empty results, other dtypes, the threshold, one detection a cell."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.config.schema import Model
from actors.vision.heads import HEADS, HeadDescription, build, identify


def zeros_of(name, model=(64, 64)):
    """A description and matching outputs of one head with 3 classes; no score is above 0."""
    scales = [(model[1] // s, model[0] // s) for s in (8, 16, 32)]
    n = sum(rows * columns for rows, columns in scales)
    of_heads: dict[str, list[tuple[int, ...]]] = {
        "yolov8": [(1, c, h, w) for h, w in scales for c in (64, 3, 1)],
        "yolov8-stock": [(1, 7, n)],
        "yolov5": [(1, 24, h, w) for h, w in scales],
        "yolov5-decoded": [(1, 3 * n, 8)],
        "yolox": [(1, n, 8)],
    }
    shapes = of_heads[name]
    return identify(shapes, model, classes=3), [np.zeros(s, np.float32) for s in shapes]


EVERY = pytest.mark.parametrize(
    "name", ["yolov8", "yolov8-stock", "yolov5", "yolov5-decoded", "yolox"]
)


@EVERY
def test_nothing_found_is_an_empty_array(name):
    description, outputs = zeros_of(name)
    assert description.name == name
    found = build(description, (64, 64))(outputs, 0.25)
    assert (found.shape, found.dtype) == ((0, 6), np.float32)


@EVERY
def test_float16_and_read_only_outputs_decode_as_their_float32_copies(name):
    rng = np.random.default_rng(3)
    description, outputs = zeros_of(name)
    halves = [rng.random(o.shape).astype(np.float16) for o in outputs]
    for half in halves:
        half.flags.writeable = False
    decoder = build(description, (64, 64))
    found = decoder(halves, 0.3)
    assert len(found) > 0
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, decoder([h.astype(np.float32) for h in halves], 0.3))


@given(
    conf=st.integers(1, 999).map(lambda n: n / 1000),
    values=st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=21),
    near=st.floats(-1e-3, 1e-3),
)
@settings(max_examples=300, deadline=None)
def test_logits_pass_as_their_probabilities_would(conf, values, near):
    """The threshold is compared among logits: none may be lost, and none be below it."""
    model = (32, 32)
    description = HeadDescription("yolov8", 1, True, (0, 1, 2, 3, 4, 5))
    values = [*values[:-1], math.log(conf / (1 - conf)) + near]
    flat = np.full(21, -100, np.float32)
    flat[: len(values)] = values
    outputs = []
    for part, size in zip(np.split(flat, [16, 20]), (4, 2, 1), strict=True):
        outputs += [np.zeros((1, 64, size, size), np.float32), part.reshape(1, 1, size, size)]
    scores = build(description, model)(outputs, conf)[:, 4]
    assert (scores >= np.float32(conf)).all()
    exact = [1 / (1 + math.exp(-float(np.float32(v)))) for v in values]
    assert sum(p > conf + 1e-6 for p in exact) <= len(scores)
    assert len(scores) <= sum(p > conf - 1e-6 for p in exact)


@pytest.mark.parametrize("name", ["yolov8", "yolov8-stock"])
def test_one_detection_a_cell_its_best_class(name):
    description, outputs = zeros_of(name)
    if name == "yolov8":
        outputs[1][0, :, 2, 3] = (0.4, 0.9, 0.6)
        outputs[2][0, 0, 2, 3] = 1.0
    else:
        outputs[0][0, 4:, 19] = (0.4, 0.9, 0.6)
    found = build(description, (64, 64))(outputs, 0.25)
    assert found[:, 4:].tolist() == [[pytest.approx(0.9), 1.0]]


def test_a_topology_may_name_every_head() -> None:
    """The schema repeats the names: the supervisor, which imports it, does not import numpy."""
    named = [get_args(kind) for kind in get_args(Model.model_fields["head"].annotation)]
    assert {name for names in named for name in names} == set(HEADS)
