"""Pixels change where something is drawn and nowhere else."""

from __future__ import annotations

from itertools import combinations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.vision.drawing import banner, color_of, draw
from actors.vision.tiling import Tile, View, plan

Image = npt.NDArray[np.uint8]
NAMES = ["person", "bicycle"]


def gray(width: int = 640, height: int = 360) -> Image:
    return np.full((height, width, 3), 90, np.uint8)


def changed(image: Image) -> npt.NDArray[np.bool_]:
    return np.asarray((image != 90).any(axis=2))


def one(image: Image, box: list[float], class_id: int = 0, score: float = 0.83) -> None:
    draw(image, np.array([box], np.float32), np.array([score]), np.array([class_id]), NAMES)


def test_a_box_and_its_label() -> None:
    image = gray()
    one(image, [100, 150, 300, 250])
    touched = changed(image)
    color = np.array(color_of(0))
    # All four sides, two pixels wide on an image of this size, in the class's colour.
    for rows, columns in (
        (slice(150, 152), slice(100, 302)),
        (slice(250, 252), slice(100, 302)),
        (slice(150, 252), slice(100, 102)),
        (slice(150, 252), slice(300, 302)),
    ):
        assert (image[rows, columns] == color).all()
    # Nothing inside, nothing outside but the label's plate, which stands on the upper left corner.
    assert not touched[152:250, 102:300].any()
    touched[150:252, 100:302] = False
    below, across = np.nonzero(touched)
    assert below.max() == 149 and across.min() == 100
    assert 10 <= below.max() - below.min() + 1 <= 24
    assert across.max() <= 220
    # The plate is full, and there are letters on it.
    plate = image[below.min() : 150, 100 : across.max() + 1]
    # All but a smoothed edge of a character that happens to be of the background's grey.
    assert (plate != 90).any(axis=2).mean() > 0.99
    assert (plate == color).all(axis=2).mean() > 0.4
    assert (plate.max(axis=2) < 60).any()


def test_the_label_says_class_and_score() -> None:
    """Another name, another score, a class without a name: another picture each."""
    pictures = []
    for class_id, score in ((0, 0.83), (0, 0.84), (1, 0.83), (7, 0.83), (8, 0.83)):
        image = gray()
        one(image, [100, 150, 300, 250], class_id, score)
        pictures.append(changed(image) & (image != color_of(class_id)).any(axis=2))
    for before, after in combinations(pictures, 2):
        assert (before != after).any()


@pytest.mark.parametrize(
    "box",
    [
        [0, 0, 639, 359],
        [-50, -50, 30, 30],
        [600, 300, 900, 900],
        [630, 2, 700, 50],
        [-1e9, -1e9, 1e9, 1e9],
        [-1e15, 20, 1e15, 40],
        [300, 359.9, 300, 359.9],
        [700, 400, 800, 500],
    ],
)
def test_labels_stay_in_the_image(box: list[float]) -> None:
    """A label at any edge is as large as one in the middle."""
    middle, image = gray(), gray()
    one(middle, [300, 200, 300, 200])
    one(image, box)
    letters = (middle.max(axis=2) < 60).sum()
    assert letters > 20
    assert (image.max(axis=2) < 60).sum() == letters


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=4, max_size=4), max_size=5),
    st.sampled_from([(1, 1), (40, 20), (320, 192), (1920, 1080)]),
)
def test_any_box_on_any_image(boxes: list[list[float]], size: tuple[int, int]) -> None:
    image = gray(*size)
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    ids = np.arange(len(boxes)) - 1
    draw(
        image,
        corners,
        np.linspace(1, 0, len(boxes)),
        ids,
        NAMES,
        tiles=plan(View("frame"), size, (64, 64)),
    )
    banner(image, "29.8 fps")


@pytest.mark.parametrize("top", range(4))
@pytest.mark.parametrize("left", range(4))
def test_thin_lines_keep_their_colour_in_a_video(left: int, top: int) -> None:
    """A video has one colour for each 2x2 pixels; a line on any row or column must have its own."""
    image = gray(320, 192)
    box = [60.0 + left, 60.0 + top, 161.0 + left, 121.0 + top]
    one(image, box, class_id=0)
    color = np.array(color_of(0), int)
    yuv = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
    seen = cv2.cvtColor(yuv, cv2.COLOR_YUV2BGR_I420).astype(int)
    x1, y1, x2, y2 = map(int, box)
    for sides in (
        seen[y1, x1 : x2 + 1],
        seen[y2, x1 : x2 + 1],
        seen[y1 : y2 + 1, x1],
        seen[y1 : y2 + 1, x2],
    ):
        assert np.abs(sides - color).max() <= 6


def test_nothing_to_draw() -> None:
    image = gray()
    draw(image, np.empty((0, 4), np.float32), np.empty(0), np.empty(0, np.int64), NAMES)
    assert not changed(image).any()


def test_every_box_has_its_own_color_and_label() -> None:
    boxes = [[20.0, 50.0, 120.0, 150.0], [400.0, 200.0, 500.0, 300.0], [20.0, 250.0, 60.0, 300.0]]
    image, singly = gray(), gray()
    draw(image, np.array(boxes), np.array([0.9, 0.4, 0.3]), np.array([0, 1, 0]), NAMES)
    for box, score, class_id in zip(boxes, (0.9, 0.4, 0.3), (0, 1, 0), strict=True):
        one(singly, box, class_id, score)
    np.testing.assert_array_equal(image, singly)


def test_the_best_label_lies_on_top() -> None:
    image = gray()
    boxes = np.array([[100, 150, 300, 250], [100, 150, 300, 250]], np.float32)
    draw(image, boxes, np.array([0.9, 0.4]), np.array([0, 1]), NAMES)
    alone = gray()
    one(alone, [100, 150, 300, 250], 0, 0.9)
    rows = slice(0, 150)
    mask = changed(alone)[rows]
    assert (image[rows][mask] == alone[rows][mask]).all()


def test_tiles_are_outlined() -> None:
    image = gray(1920, 1080)
    tiles = plan(View("tiles"), (1920, 1080), (640, 640))
    draw(image, np.empty((0, 4)), np.empty(0), np.empty(0, np.int64), NAMES, tiles=tiles)
    expected = np.zeros((1080, 1920), bool)
    for y in (0, 440, 638, 1078):
        expected[y : y + 2] = True
    for x in (0, 638, 640, 1278, 1280, 1918):
        expected[:, x : x + 2] = True
    np.testing.assert_array_equal(changed(image), expected)


@pytest.mark.parametrize("value", [0, 90, 127, 255])
def test_a_tile_shows_on_any_background(value: int) -> None:
    image = np.full((90, 90, 3), value, np.uint8)
    tile = Tile(10, 10, 64, 64, 0, 0, 64, 64)
    draw(image, np.empty((0, 4)), np.empty(0), np.empty(0, np.int64), NAMES, tiles=[tile])
    assert np.abs(image[10, 20].astype(int) - value).max() >= 60


def test_banner() -> None:
    image = gray()
    banner(image, "29.8 fps  incomplete")
    rows, columns = np.nonzero(changed(image))
    assert rows.min() == 0 and columns.min() == 0
    assert rows.max() < 40 and 60 < columns.max() < 260
    strip = image[: rows.max() + 1, : columns.max() + 1]
    assert (strip != 90).any(axis=2).mean() > 0.99
    assert (strip >= 200).any() and (strip == 90 // 4).all(axis=2).mean() > 0.4


def test_letters_and_lines_grow_with_the_image() -> None:
    heights, widths = [], []
    for size in ((320, 192), (1920, 1080), (3840, 2160)):
        image = gray(*size)
        box = [size[0] * 0.4, size[1] * 0.4, size[0] * 0.6, size[1] * 0.6]
        one(image, box)
        touched = changed(image)
        widths.append(int(touched[size[1] // 2, : size[0] // 2].sum()))
        heights.append(int(round(box[1]) - np.nonzero(touched)[0].min()))
    assert widths == [2, 2, 4]
    assert heights == sorted(set(heights))


def test_colors_tell_classes_apart() -> None:
    colors = [np.array(color_of(i)) for i in range(20)]
    assert color_of(3) == color_of(3)
    distances = {
        (i, j): int(np.abs(colors[i] - colors[j]).max()) for i, j in combinations(range(20), 2)
    }
    assert min(distances.values()) >= 40, min(distances, key=lambda pair: distances[pair])
