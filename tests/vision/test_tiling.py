"""Tiles lie where they should, cover every pixel, and boxes travel there and back."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from actors.vision.tiling import Size, Tile, View, plan, plan_crops, to_frame, to_model

# The machine may be busy, and 8K in small tiles is much to check.
patient = settings(deadline=None, max_examples=150)

FRAME = View("frame")
TILES = View("tiles")
HD = (1920, 1080)

sizes = st.tuples(st.integers(1, 2500), st.integers(1, 1500)) | st.sampled_from(
    [(1, 1), (1920, 1080), (3840, 2160), (7680, 4320), (640, 640), (641, 639)]
)
models = st.sampled_from([(640, 640), (416, 416), (640, 384), (320, 192), (100, 90)])
# Decimals as a user writes them; the exact value is taken from the digits, not from the float.
overlaps = st.sampled_from(["0", "0.05", "0.07", "0.1", "0.15", "0.2", "0.25", "0.3", "0.5", "0.6"])
grids = st.none() | st.tuples(st.integers(1, 6), st.integers(1, 6))


def axis(tiles: tuple[Tile, ...], which: int) -> tuple[list[int], int]:
    """The starts in one axis, ascending and each once, and the tiles' common side."""
    starts = sorted({(tile.x, tile.y)[which] for tile in tiles})
    sides = {(tile.width, tile.height)[which] for tile in tiles}
    assert len(sides) == 1
    return starts, sides.pop()


@pytest.mark.parametrize(
    ("view", "frame", "model", "expected"),
    [
        # The default of the whole project: six native tiles, rows at 0 and 440.
        (
            TILES,
            HD,
            (640, 640),
            [
                Tile(0, 0, 640, 640, 0, 0, 640, 640),
                Tile(640, 0, 640, 640, 0, 0, 640, 640),
                Tile(1280, 0, 640, 640, 0, 0, 640, 640),
                Tile(0, 440, 640, 640, 0, 0, 640, 640),
                Tile(640, 440, 640, 640, 0, 0, 640, 640),
                Tile(1280, 440, 640, 640, 0, 0, 640, 640),
            ],
        ),
        # 16:9 in a square: full width, 360 of 640 rows, 140 rows of padding above and below.
        (FRAME, (1920, 1080), (640, 640), [Tile(0, 0, 1920, 1080, 0, 140, 640, 360)]),
        # An upright frame is padded at the sides.
        (FRAME, (1080, 1920), (640, 640), [Tile(0, 0, 1080, 1920, 140, 0, 360, 640)]),
        # A smaller frame is enlarged.
        (FRAME, (320, 240), (640, 640), [Tile(0, 0, 320, 240, 0, 80, 640, 480)]),
        # An odd remainder: the extra column is on the right.
        (FRAME, (3, 4), (640, 640), [Tile(0, 0, 3, 4, 80, 0, 480, 640)]),
        (FRAME, (100, 99), (101, 101), [Tile(0, 0, 100, 99, 0, 0, 101, 100)]),
        # A line of pixels still gets one row.
        (FRAME, (5000, 1), (640, 640), [Tile(0, 0, 5000, 1, 0, 319, 640, 1)]),
        (FRAME, (1, 1), (640, 384), [Tile(0, 0, 1, 1, 128, 0, 384, 384)]),
        # A frame smaller than a tile in one axis, and in both: padded, not resized.
        (
            TILES,
            (1000, 480),
            (640, 640),
            [Tile(0, 0, 640, 480, 0, 80, 640, 480), Tile(360, 0, 640, 480, 0, 80, 640, 480)],
        ),
        (TILES, (1, 1), (416, 416), [Tile(0, 0, 1, 1, 207, 207, 1, 1)]),
        (TILES, (640, 640), (640, 640), [Tile(0, 0, 640, 640, 0, 0, 640, 640)]),
        # A grid of quarters, each 960x540, shrunk to two thirds.
        (
            View("tiles", grid=(2, 2)),
            HD,
            (640, 640),
            [
                Tile(0, 0, 960, 540, 0, 140, 640, 360),
                Tile(960, 0, 960, 540, 0, 140, 640, 360),
                Tile(0, 540, 960, 540, 0, 140, 640, 360),
                Tile(960, 540, 960, 540, 0, 140, 640, 360),
            ],
        ),
        # Halves with a tenth of 1011 = 102 pixels in common at least: 2 * 1011 - 1920 = 102.
        (
            View("tiles", overlap=0.1, grid=(2, 1)),
            HD,
            (640, 640),
            [Tile(0, 0, 1011, 1080, 20, 0, 599, 640), Tile(909, 0, 1011, 1080, 20, 0, 599, 640)],
        ),
    ],
)
def test_plan(view: View, frame: Size, model: Size, expected: list[Tile]) -> None:
    assert list(plan(view, frame, model)) == expected


@pytest.mark.parametrize(
    ("frame", "model", "overlap", "columns", "rows"),
    [
        ((1920, 1080), (640, 640), 0.0, [0, 640, 1280], [0, 440]),
        ((1920, 1080), (640, 640), 0.1, [0, 427, 853, 1280], [0, 440]),
        ((1920, 1080), (640, 640), 0.5, [0, 320, 640, 960, 1280], [0, 220, 440]),
        ((1920, 1080), (640, 384), 0.1, [0, 427, 853, 1280], [0, 232, 464, 696]),
        ((1920, 1080), (416, 416), 0.0, [0, 376, 752, 1128, 1504], [0, 332, 664]),
        ((3840, 2160), (640, 640), 0.0, [0, 640, 1280, 1920, 2560, 3200], [0, 507, 1013, 1520]),
        ((641, 640), (640, 640), 0.0, [0, 1], [0]),
    ],
)
def test_native_starts(
    frame: Size, model: Size, overlap: float, columns: list[int], rows: list[int]
) -> None:
    tiles = plan(View("tiles", overlap=overlap), frame, model)
    assert [(tile.x, tile.y) for tile in tiles] == [(x, y) for y in rows for x in columns]


@pytest.mark.parametrize(
    ("view", "frame", "model", "message"),
    [
        (TILES, (0, 9), (64, 99), "the frame's size is 0x9; it must be at least 1x1"),
        (FRAME, (9, 9), (64, 0), "the model's size is 64x0; it must be at least 1x1"),
        (View("tiles", 1.0), HD, (64, 99), "overlap is 1.0; it must be at least 0 and less than 1"),
        (
            View("tiles", -0.1),
            HD,
            (64, 99),
            "overlap is -0.1; it must be at least 0 and less than 1",
        ),
        (
            View("tiles", overlap=0.99),
            HD,
            (64, 99),
            "overlap 0.99 leaves no new pixel for the next tile of width 64;"
            " take a smaller overlap",
        ),
        (View("tiles", 0, (0, 2)), HD, (9, 9), "grid is [0, 2]; it needs at least one column"),
        (
            View("tiles", grid=(2, 9)),
            (1920, 8),
            (64, 99),
            "9 rows with overlap 0.0 do not fit in 8 pixels; take fewer or a smaller overlap",
        ),
        (
            View("crops"),
            HD,
            (9, 9),
            'view "crops" has no tiles in advance; "frame" and "tiles" have',
        ),
    ],
)
def test_plan_refuses(view: View, frame: Size, model: Size, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        plan(view, frame, model)
    assert str(caught.value).startswith(message)


@patient
@given(sizes, models, overlaps, grids)
def test_tiles_cover_the_frame(
    frame: Size, model: Size, overlap: str, grid: tuple[int, int] | None
) -> None:
    view = View("tiles", float(overlap), grid)
    try:
        tiles = plan(view, frame, model)
    except ValueError:
        assert grid is not None and min(frame) < 40
        assume(False)
    columns, width = axis(tiles, 0)
    rows, height = axis(tiles, 1)
    # Row by row, every combination once.
    assert [(tile.x, tile.y) for tile in tiles] == [(x, y) for y in rows for x in columns]
    for starts, side, length in ((columns, width, frame[0]), (rows, height, frame[1])):
        assert starts[0] == 0
        assert starts[-1] + side == length
        for before, after in pairwise(starts):
            # Exactly: the shared pixels are at least the asked part of a side.
            assert before + side - after >= Fraction(overlap) * side
        steps = [after - before for before, after in pairwise(starts)]
        assert not steps or max(steps) - min(steps) <= 1
    if grid is not None:
        assert (len(columns), len(rows)) == grid


@patient
@given(sizes, models, overlaps)
@example((1920, 1080), (640, 640), "0")
# 0.07 * 100 is 7.000000000000001: 7 pixels are asked for, not 8, and two tiles do.
@example((193, 193), (100, 100), "0.07")
def test_native_tiles_are_as_few_as_possible(frame: Size, model: Size, overlap: str) -> None:
    tiles = plan(View("tiles", float(overlap)), frame, model)
    for which in (0, 1):
        starts, side = axis(tiles, which)
        assert side == min(frame[which], model[which])
        # n tiles reach at most side + (n - 1) * the longest whole step; one fewer falls short.
        step = side - -(-(Fraction(overlap) * side) // 1)
        fewer = len(starts) - 1
        assert fewer == 0 or side + (fewer - 1) * step < frame[which]
    assert all(tile.native for tile in tiles)


@patient
@given(sizes, models, overlaps, st.tuples(st.integers(1, 6), st.integers(1, 6)))
def test_grid_parts_are_as_small_as_possible(
    frame: Size, model: Size, overlap: str, grid: tuple[int, int]
) -> None:
    try:
        tiles = plan(View("tiles", float(overlap), grid), frame, model)
    except ValueError:
        assert overlap != "0" or grid[0] > frame[0] or grid[1] > frame[1]
        assume(False)
    for which in (0, 1):
        _, side = axis(tiles, which)
        smaller = side - 1
        step = smaller - -(-(Fraction(overlap) * smaller) // 1)
        assert smaller + (grid[which] - 1) * step < frame[which]


@patient
@given(sizes, models, overlaps, grids, st.sampled_from(["frame", "tiles"]))
def test_tiles_lie_in_the_frame_and_in_the_model(
    frame: Size, model: Size, overlap: str, grid: tuple[int, int] | None, kind: str
) -> None:
    try:
        tiles = plan(View(kind, float(overlap), grid), frame, model)  # type: ignore[arg-type]
    except ValueError:
        assume(False)
    for tile in tiles:
        check_inside(tile, frame, model)
        if kind == "frame" or grid is not None:
            # The aspect is kept to half a pixel of the fitted side, or the side is one pixel.
            exact = min(model[0] / tile.width, model[1] / tile.height)
            assert abs(tile.fitted_width - tile.width * exact) <= 0.5 or tile.fitted_width == 1
            assert abs(tile.fitted_height - tile.height * exact) <= 0.5 or tile.fitted_height == 1
            assert tile.fitted_width == model[0] or tile.fitted_height == model[1]


def check_inside(tile: Tile, frame: Size, model: Size) -> None:
    assert tile.width >= 1 and tile.height >= 1
    assert 0 <= tile.x <= tile.x + tile.width <= frame[0]
    assert 0 <= tile.y <= tile.y + tile.height <= frame[1]
    right = model[0] - tile.left - tile.fitted_width
    bottom = model[1] - tile.top - tile.fitted_height
    assert tile.fitted_width >= 1 and tile.fitted_height >= 1
    # Padding in equal parts, the odd pixel at the right and the bottom.
    assert 0 <= right - tile.left <= 1
    assert 0 <= bottom - tile.top <= 1


@patient
@given(sizes, models, grids, st.sampled_from(["frame", "tiles"]), st.integers(0, 2**32 - 1))
def test_boxes_there_and_back(
    frame: Size, model: Size, grid: tuple[int, int] | None, kind: str, seed: int
) -> None:
    try:
        tiles = plan(View(kind, 0.1, grid), frame, model)  # type: ignore[arg-type]
    except ValueError:
        assume(False)
    rng = np.random.default_rng(seed)
    for tile in (tiles[0], tiles[-1]):
        corners = rng.uniform(0, 1, (5, 2, 2)) * [tile.width, tile.height] + [tile.x, tile.y]
        corners.sort(axis=1)
        boxes = corners.reshape(5, 4).astype(np.float32)
        there = to_model(boxes, tile)
        assert there.dtype == np.float32
        assert (there >= np.array([tile.left, tile.top] * 2) - 1e-3).all()
        far = np.array([tile.left + tile.fitted_width, tile.top + tile.fitted_height] * 2)
        assert (there <= far + 1e-3).all()
        back = to_frame(there, tile, frame)
        # One rounding to float32 in the model's pixels, seen through the scale.
        tolerance = 2e-3 + 1e-4 * max(1 / tile.scale_x, 1 / tile.scale_y)
        np.testing.assert_allclose(back, boxes, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("tile", "in_model", "in_frame"),
    [
        # Native: only shifted.
        (Tile(1280, 440, 640, 640, 0, 0, 640, 640), [10, 20, 30, 40], [1290, 460, 1310, 480]),
        # Letterboxed 1080p: 140 rows of padding, a scale of 3; edges map to edges.
        (Tile(0, 0, 1920, 1080, 0, 140, 640, 360), [0, 140, 640, 500], [0, 0, 1920, 1080]),
        (Tile(0, 0, 1920, 1080, 0, 140, 640, 360), [100, 240, 200, 300], [300, 300, 600, 480]),
        # Scales that differ per axis, 100 rows on 33: a mean scale would be wrong.
        (Tile(0, 100, 1000, 100, 0, 153, 334, 33), [0, 153, 167, 186], [0, 100, 500, 200]),
        # What lies in the padding is clipped to the frame.
        (Tile(0, 0, 1920, 1080, 0, 140, 640, 360), [-5, 100, 700, 620], [0, 0, 1920, 1080]),
    ],
)
def test_to_frame(tile: Tile, in_model: list[float], in_frame: list[float]) -> None:
    mapped = to_frame(np.array([in_model], np.float32), tile, (1920, 1080))
    assert mapped.dtype == np.float32
    np.testing.assert_allclose(mapped, [in_frame], rtol=0, atol=1e-4)


def test_to_model_does_not_clip() -> None:
    tile = Tile(0, 0, 1920, 1080, 0, 140, 640, 360)
    mapped = to_model(np.array([[-30, -30, 1950, 1110]], np.float32), tile)
    np.testing.assert_allclose(mapped, [[-10, 130, 650, 510]], rtol=0, atol=1e-4)


def test_no_boxes() -> None:
    tile = Tile(0, 0, 1920, 1080, 0, 140, 640, 360)
    nothing = np.empty((0, 4), np.float32)
    assert to_frame(nothing, tile, (1920, 1080)).shape == (0, 4)
    assert to_model(nothing, tile).shape == (0, 4)
    assert plan_crops(nothing, (1920, 1080), (640, 640), 5) == ()


def test_mapping_leaves_its_input_alone() -> None:
    boxes = np.array([[-5, 100, 700, 620]], np.float32)
    to_frame(boxes, Tile(0, 0, 1920, 1080, 0, 140, 640, 360), (1920, 1080))
    assert boxes.tolist() == [[-5, 100, 700, 620]]


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        # Centred on the box.
        ([[900, 500, 1000, 600]], [Tile(630, 230, 640, 640, 0, 0, 640, 640)]),
        # Shifted at the frame's corners.
        ([[0, 0, 50, 50]], [Tile(0, 0, 640, 640, 0, 0, 640, 640)]),
        ([[1900, 1000, 1990, 1200]], [Tile(1280, 440, 640, 640, 0, 0, 640, 640)]),
        # The second is shown whole by the first's crop, the third is not.
        (
            [[900, 500, 1000, 600], [1100, 600, 1270, 870], [1100, 600, 1271, 870]],
            [Tile(630, 230, 640, 640, 0, 0, 640, 640), Tile(865, 415, 640, 640, 0, 0, 640, 640)],
        ),
        # 700 wide does not fit: 840x840 around it, shrunk.
        ([[600, 400, 1300, 600]], [Tile(530, 80, 840, 840, 0, 0, 640, 640)]),
        # 1000 high: 1200 is cut at the frame's 1080, and the rest is padded.
        ([[900, 40, 1000, 1040]], [Tile(350, 0, 1200, 1080, 0, 32, 640, 576)]),
        # A resized region shows others in less detail: they still get a crop of their own.
        (
            [[600, 400, 1300, 600], [900, 500, 1000, 600]],
            [Tile(530, 80, 840, 840, 0, 0, 640, 640), Tile(630, 230, 640, 640, 0, 0, 640, 640)],
        ),
        # Nothing to see: outside, turned round, without area, not a number.
        (
            [[-90, 1, -10, 9], [1, 1080, 9, 1200], [5, 5, 4, 6], [5, 5, 5, 6], [np.nan, 0, 9, 9]],
            [],
        ),
    ],
)
def test_plan_crops(boxes: list[list[float]], expected: list[Tile]) -> None:
    array = np.array(boxes, np.float32)
    assert list(plan_crops(array, (1920, 1080), (640, 640), 10)) == expected


def test_plan_crops_of_a_small_frame_and_a_limit() -> None:
    boxes = np.array([[10, 10, 20, 20], [700, 100, 710, 110], [300, 1, 310, 9]], np.float32)
    first, second = plan_crops(boxes, (720, 120), (320, 192), 2)
    assert first == Tile(0, 0, 320, 120, 0, 36, 320, 120)
    assert second == Tile(400, 0, 320, 120, 0, 36, 320, 120)
    assert plan_crops(boxes, (720, 120), (320, 192), 0) == ()


@patient
@given(sizes, models, st.integers(0, 2**32 - 1), st.integers(0, 12), st.floats(0.001, 1))
def test_crops_show_every_box(
    frame: Size, model: Size, seed: int, limit: int, spread: float
) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-0.1, 1.1, (8, 1, 2)) + rng.normal(0, spread, (8, 2, 2))
    boxes = np.sort(corners * frame, axis=1).reshape(8, 4).astype(np.float32)
    crops = plan_crops(boxes, frame, model, limit)
    assert len(crops) <= limit
    for crop in crops:
        check_inside(crop, frame, model)
        assert crop.native or crop.width > model[0] or crop.height > model[1]
    if len(crops) < limit:
        for box in boxes.clip(0, np.array([*frame, *frame], np.float32)):
            if box[0] < box[2] and box[1] < box[3]:
                assert any(
                    crop.x <= box[0]
                    and crop.y <= box[1]
                    and box[2] <= crop.x + crop.width
                    and box[3] <= crop.y + crop.height
                    for crop in crops
                )


def test_a_tile_travels_as_eight_numbers() -> None:
    tile = Tile(1280, 440, 640, 600, 0, 20, 640, 600)
    assert tile.to_tuple() == (1280, 440, 640, 600, 0, 20, 640, 600)
    # A list is what comes out of a message.
    assert Tile.from_tuple([1280, 440, 640, 600, 0, 20, 640, 600]) == tile
    with pytest.raises(ValueError, match="a tile is 8 numbers, not 3"):
        Tile.from_tuple([1, 2, 3])


def test_geometry_does_not_load_opencv() -> None:
    code = "import sys, actors.vision.tiling; sys.exit('cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
