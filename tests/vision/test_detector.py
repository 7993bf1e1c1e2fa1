"""From output tensors to a tile's detections in frame pixels."""

from __future__ import annotations

import numpy as np
import pytest

from actors.vision.detections import Detections
from actors.vision.detector import Detector
from actors.vision.heads import identify
from actors.vision.tiling import Tile

MODEL, FRAME = (64, 64), (256, 128)
CELLS = 84
# A native tile in the upper right, and the whole frame letterboxed: scale 0.25, 16 rows of padding.
NATIVE = Tile(192, 0, 64, 64, 0, 0, 64, 64)
WHOLE = Tile(0, 0, 256, 128, 0, 16, 64, 32)


def detect(
    boxes: list[tuple[float, float, float, float]],
    scores: list[tuple[float, float]],
    tile: Tile = NATIVE,
) -> Detections:
    """What is found in the output of a stock model of two classes.

    `boxes` are x1, y1, x2, y2 in the model's input; `scores` one a class.
    """
    output = np.zeros((1, 6, CELLS), np.float32)
    for cell, (box, each) in enumerate(zip(boxes, scores, strict=True)):
        x1, y1, x2, y2 = box
        output[0, :, cell] = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, *each
    head = identify([output.shape], MODEL, classes=2)
    return Detector(head, MODEL, conf=0.25, iou=0.5).detect([output], tile, FRAME, stage=3)


def test_boxes_are_in_frame_pixels_with_score_class_and_stage() -> None:
    found = detect([(8, 4, 24, 20)], [(0.0, 0.5)])
    assert found.boxes.tolist() == [[200, 4, 216, 20]]
    assert found.boxes.dtype == np.float32
    assert (found.scores.tolist(), found.class_ids.tolist()) == ([0.5], [1])
    assert (found.stages.tolist(), found.truncated.tolist()) == ([3], [False])
    in_whole = detect([(8, 20, 24, 36)], [(0.5, 0.0)], WHOLE)
    assert in_whole.boxes.tolist() == [[32, 16, 96, 80]]


def test_boxes_are_clipped_to_the_frame() -> None:
    found = detect([(-10, -10, 80, 80)], [(0.5, 0.0)], WHOLE)
    assert found.boxes.tolist() == [[0, 0, 256, 128]]


def test_what_scores_less_than_the_models_limit_is_left_out() -> None:
    found = detect([(8, 4, 24, 20), (40, 4, 56, 20)], [(0.2, 0.0), (0.3, 0.0)])
    assert found.boxes[:, 0].tolist() == [232]


def test_boxes_of_a_class_that_overlap_are_suppressed_within_the_tile() -> None:
    same, near = (8.0, 4.0, 24.0, 20.0), (9.0, 4.0, 25.0, 20.0)
    assert detect([same, near], [(0.5, 0.0), (0.75, 0.0)]).boxes[:, 0].tolist() == [201]
    assert len(detect([same, near], [(0.5, 0.0), (0.0, 0.75)])) == 2


@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan])
def test_a_box_that_is_not_finite_is_left_out_and_spoils_no_other(wrong: float) -> None:
    """A float16 model can overflow."""
    with np.errstate(invalid="ignore"):
        found = detect([(wrong, 4, 24, 20), (40, 4, 56, 20)], [(0.5, 0.0), (0.75, 0.0)])
    assert found.boxes.tolist() == [[232, 4, 248, 20]]


def test_a_box_at_an_inner_edge_of_the_tile_is_marked_truncated() -> None:
    # The tile's upper and right edges are the frame's own.
    left, top = (0.0, 20.0, 10.0, 30.0), (20.0, 0.0, 30.0, 10.0)
    right, bottom = (54.0, 20.0, 64.0, 30.0), (40.0, 54.0, 50.0, 64.0)
    found = detect([left, top, right, bottom], [(0.5, 0.0)] * 4)
    marked = dict(zip(found.boxes[:, 0].tolist(), found.truncated.tolist(), strict=True))
    assert marked == {192: True, 212: False, 246: False, 232: True}


def test_nothing_found_is_empty_and_survives_the_way_to_the_merger() -> None:
    found = detect([], [])
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)
    assert found.to_bytes() == b""


def test_detections_survive_the_way_to_the_merger() -> None:
    found = detect([(0, 20, 10, 30), (40, 4, 56, 20)], [(0.5, 0.0), (0.0, 0.75)])
    there = Detections.from_bytes(found.to_bytes())
    for name in ("boxes", "scores", "class_ids", "stages", "truncated"):
        np.testing.assert_array_equal(getattr(there, name), getattr(found, name))
