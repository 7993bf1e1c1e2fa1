"""The cutter writes the right pixels, into the memory it was given, whatever was there before."""

from __future__ import annotations

import mmap
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.vision.cutting import PADDING, Cutter
from actors.vision.tiling import Size, Tile, View, plan

Image = npt.NDArray[np.uint8]
Color = Literal["rgb", "bgr"]

patient = settings(deadline=None, max_examples=80)


def noise(width: int, height: int) -> Image:
    return np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)


def slot(model: Size) -> Image:
    """An output that held something else, so that a pixel left out shows."""
    return np.full((model[1], model[0], 3), 201, np.uint8)


def expected(frame: Image, tile: Tile, model: Size, color: Color) -> Image:
    """The plain way: crop, resize, channels turned by an index, pasted on grey."""
    part = frame[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width].copy()
    if (tile.width, tile.height) != (tile.fitted_width, tile.fitted_height):
        size = (tile.fitted_width, tile.fitted_height)
        part = cv2.resize(part, size, interpolation=cv2.INTER_LINEAR)
    canvas = np.full((model[1], model[0], 3), 114, np.uint8)
    rows = slice(tile.top, tile.top + tile.fitted_height)
    columns = slice(tile.left, tile.left + tile.fitted_width)
    canvas[rows, columns] = part if color == "bgr" else part[:, :, ::-1]
    return canvas


@pytest.fixture(scope="module")
def readonly_frame(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """A 1080p frame in memory that is mapped read-only: a write into it kills the process."""
    pixels = noise(1920, 1080)
    path = tmp_path_factory.mktemp("frame") / "pixels"
    path.write_bytes(pixels.tobytes())
    with path.open("rb") as file:
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    frame = np.frombuffer(memory, np.uint8).reshape(pixels.shape)
    assert not frame.flags.writeable
    return frame


@pytest.mark.parametrize("color", ["rgb", "bgr"])
@pytest.mark.parametrize(
    "view",
    [View("tiles"), View("tiles", 0.1), View("frame"), View("tiles", grid=(2, 2))],
    ids=["native", "overlapping", "letterboxed", "grid"],
)
@pytest.mark.parametrize("model", [(640, 640), (640, 384), (416, 416)])
def test_cut_from_read_only_memory(
    readonly_frame: Image, view: View, model: Size, color: Color
) -> None:
    cutter = Cutter()
    out = slot(model)
    # One slot for all tiles: what the tile before left there must not shine through.
    for tile in plan(view, (1920, 1080), model):
        cutter.cut(readonly_frame, tile, out, color)
        np.testing.assert_array_equal(out, expected(readonly_frame, tile, model, color))


@patient
@given(
    st.tuples(st.integers(1, 200), st.integers(1, 200)),
    st.sampled_from([(64, 64), (64, 40), (33, 47), (1, 1)]),
    st.sampled_from([View("frame"), View("tiles"), View("tiles", grid=(1, 1))]),
    st.sampled_from(["rgb", "bgr"]),
)
def test_cut_any_size(frame_size: Size, model: Size, view: View, color: Color) -> None:
    frame = noise(*frame_size)
    untouched = frame.copy()
    cutter = Cutter()
    out = slot(model)
    tiles = plan(view, frame_size, model)
    for tile in (tiles[0], tiles[-1], tiles[0]):
        cutter.cut(frame, tile, out, color)
        np.testing.assert_array_equal(out, expected(frame, tile, model, color))
    np.testing.assert_array_equal(frame, untouched)


@pytest.mark.parametrize(
    "tile",
    [
        Tile(2, 1, 4, 3, 0, 0, 4, 3),  # contiguous rows, free rows below
        Tile(2, 1, 4, 3, 2, 1, 4, 3),  # padding on all sides
        Tile(2, 1, 1, 3, 3, 2, 1, 3),  # one column
        Tile(2, 1, 4, 1, 2, 4, 4, 1),  # one row
        Tile(2, 1, 1, 1, 7, 5, 1, 1),  # one pixel, in the last corner
        Tile(0, 0, 10, 9, 3, 1, 4, 3),  # resized, with padding on all sides
        Tile(0, 0, 10, 9, 7, 0, 1, 6),  # resized to one column
        Tile(0, 0, 10, 9, 0, 5, 8, 1),  # resized to one row
    ],
    ids=str,
)
@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_opencv_writes_into_the_given_memory(tile: Tile, color: Color) -> None:
    """Where `dst` does not please OpenCV it writes elsewhere and says nothing."""
    frame = noise(10, 9)
    memory = np.full(6 * 8 * 3 + 2, 201, np.uint8)  # a byte more at both ends
    out = memory[1:-1].reshape(6, 8, 3)
    Cutter().cut(frame, tile, out, color)
    np.testing.assert_array_equal(
        memory[1:-1].reshape(6, 8, 3), expected(frame, tile, (8, 6), color)
    )
    assert memory[0] == memory[-1] == 201


@pytest.mark.parametrize("call", ["turn", "resize"])
@pytest.mark.parametrize("place", [np.s_[1:4, 2:6], np.s_[:, 3:4], np.s_[2:3, :], np.s_[0:6, 0:8]])
def test_opencv_returns_the_view_it_was_given(call: str, place: tuple[slice, slice]) -> None:
    """The assumption that the cutter rests on, asked of the installed OpenCV itself."""
    view = np.zeros((6, 8, 3), np.uint8)[place]
    height, width = view.shape[:2]
    frame = noise(20, 20)
    if call == "turn":
        result = cv2.cvtColor(frame[:height, :width], cv2.COLOR_BGR2RGB, dst=view)
    else:
        result = cv2.resize(frame, (width, height), dst=view, interpolation=cv2.INTER_LINEAR)
    assert result.ctypes.data == view.ctypes.data
    assert result.strides == view.strides


def test_scratch_memory_is_one_block_for_all_shapes() -> None:
    """Crops come in hundreds of shapes; a block for each would fill the memory."""
    cutter = Cutter()
    frame = noise(100, 100)
    out = slot((64, 64))
    for width in range(1, 101):
        cutter.cut(frame, plan(View("frame"), (100, 100), (64, 64))[0], out, "rgb")
        tile = Tile(0, 0, width, 100, 0, 0, max(1, width // 2), 64)
        cutter.cut(frame, tile, out, "rgb")
        np.testing.assert_array_equal(out, expected(frame, tile, (64, 64), "rgb"))
    arrays = [value for value in vars(cutter).values() if isinstance(value, np.ndarray)]
    assert [array.nbytes for array in arrays] == [64 * 64 * 3]


def test_padding_is_the_training_grey() -> None:
    out = slot((4, 4))
    Cutter().cut(noise(4, 2), Tile(0, 0, 4, 2, 0, 1, 4, 2), out, "rgb")
    assert PADDING == 114
    assert np.unique(out[[0, 3]]).tolist() == [114]


@pytest.mark.parametrize(
    ("tile", "message"),
    [
        # The source delivers another size than the one that was planned for.
        (Tile(8, 0, 4, 4, 0, 0, 4, 4), r"is not inside a frame of shape \(9, 10, 3\)"),
        (Tile(0, 8, 4, 4, 0, 0, 4, 4), r"is not inside a frame of shape \(9, 10, 3\)"),
        (Tile(0, 0, 4, 4, 5, 0, 4, 4), r"is not inside an output of shape \(6, 8, 3\)"),
        (Tile(0, 0, 4, 4, 0, 3, 4, 4), r"is not inside an output of shape \(6, 8, 3\)"),
    ],
)
def test_a_tile_that_does_not_fit(tile: Tile, message: str) -> None:
    out = slot((8, 6))
    with pytest.raises(ValueError, match=message):
        Cutter().cut(noise(10, 9), tile, out, "rgb")
    assert np.unique(out).tolist() == [201]


def test_wrong_pixels() -> None:
    tile = Tile(0, 0, 4, 4, 0, 0, 4, 4)
    with pytest.raises(ValueError, match="frame and output must be uint8, not uint8 and float32"):
        Cutter().cut(noise(4, 4), tile, np.zeros((4, 4, 3), np.float32), "rgb")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"not inside a frame of shape \(4, 4, 4\)"):
        Cutter().cut(np.zeros((4, 4, 4), np.uint8), tile, slot((4, 4)), "rgb")
