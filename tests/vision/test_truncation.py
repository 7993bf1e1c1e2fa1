"""Boxes that an edge of a tile truncates, and whole ones that suppress them."""

from __future__ import annotations

import numpy as np
import pytest

from actors.vision.tiling import Tile
from actors.vision.truncation import suppress_truncated, truncated_by_tile

FRAME = (1920, 1080)


@pytest.mark.parametrize(
    ("tile", "box", "cut"),
    [
        # A native tile in the middle of the top row: left, right and lower edges are inner ones.
        (Tile(640, 0, 640, 640, 0, 0, 640, 640), (640, 100, 700, 200), True),
        (Tile(640, 0, 640, 640, 0, 0, 640, 640), (643, 100, 700, 200), True),
        (Tile(640, 0, 640, 640, 0, 0, 640, 640), (650, 100, 700, 200), False),
        (Tile(640, 0, 640, 640, 0, 0, 640, 640), (700, 100, 1278, 200), True),
        (Tile(640, 0, 640, 640, 0, 0, 640, 640), (700, 500, 800, 639), True),
        # The frame's own edge cuts nothing that another tile could have seen.
        (Tile(640, 0, 640, 640, 0, 0, 640, 640), (700, 0, 800, 100), False),
        (Tile(1280, 440, 640, 640, 0, 0, 640, 640), (1800, 900, 1920, 1080), False),
        (Tile(1280, 440, 640, 640, 0, 0, 640, 640), (1800, 440, 1900, 500), True),
        # The whole frame has no inner edge.
        (Tile(0, 0, 1920, 1080, 0, 140, 640, 360), (0, 0, 1920, 1080), False),
        # A resized part: four model pixels are twelve of the frame.
        (Tile(0, 0, 1920, 540, 0, 0, 640, 180), (100, 400, 200, 529), True),
        (Tile(0, 0, 1920, 540, 0, 0, 640, 180), (100, 400, 200, 527), False),
    ],
)
def test_cut_by_edge(tile: Tile, box: tuple[int, ...], cut: bool) -> None:
    assert truncated_by_tile(np.array([box], np.float32), tile, FRAME).tolist() == [cut]


@pytest.mark.parametrize(
    ("boxes", "classes", "cut", "stay"),
    [
        # The lower half of a person is suppressed by the whole person.
        ([(0, 50, 40, 100), (0, 0, 40, 100)], [0, 0], [True, False], [False, True]),
        # Not by a box of another class, and not where no tile has the whole.
        ([(0, 50, 40, 100), (0, 0, 40, 100)], [0, 1], [True, False], [True, True]),
        ([(0, 50, 40, 100), (0, 0, 40, 50)], [0, 0], [True, True], [True, True]),
        # Half covered is enough, less is not.
        ([(0, 0, 40, 100), (0, 50, 40, 200)], [0, 0], [True, False], [False, True]),
        ([(0, 0, 40, 100), (0, 51, 40, 200)], [0, 0], [True, False], [True, True]),
        # Whole boxes always stay, and a box without area, which no box covers.
        ([(0, 0, 40, 100), (0, 0, 40, 100)], [0, 0], [False, False], [True, True]),
        ([(5, 5, 5, 5), (0, 0, 40, 100)], [0, 0], [True, False], [True, True]),
        ([], [], [], []),
    ],
)
def test_a_truncated_box_is_suppressed_by_a_whole_one_of_its_class(
    boxes: list[tuple[int, ...]], classes: list[int], cut: list[bool], stay: list[bool]
) -> None:
    array = np.array(boxes, np.float32).reshape(-1, 4)
    mask = suppress_truncated(array, np.array(classes, np.int64), np.array(cut, np.bool_))
    assert mask.tolist() == stay
