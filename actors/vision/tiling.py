"""Plans the tiles of a frame, and converts boxes between frame and model coordinates.

Geometry only: whole numbers in, whole numbers out, no pixel is touched and OpenCV is not imported,
so that the supervisor can plan with it. A `View` is what a stage sees of a frame; `plan` turns it
into `Tile`s for one frame size and one model size; `plan_crops` does so for the boxes of another
stage. `to_frame` and `to_model` convert boxes. Coordinates are continuous: pixel i covers i to
i + 1, a frame reaches from 0 to its width, and a resize maps edges to edges. The scale is therefore
exactly fitted / original in each axis (cv2.resize samples in the same way), without a half pixel.

A Size is (width, height). Boxes are (n, 4) as x1, y1, x2, y2 in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Size = tuple[int, int]
Boxes = npt.NDArray[np.float32]

# A crop around a box that does not fit at native scale is this much larger than the box.
CROP_MARGIN = 1.2
# Removes the rounding error of a product such as 0.07 * 100 before it is rounded up.
EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of the frame and the place where it lands in the model's input.

    `x`, `y`, `width`, `height` are frame pixels and always inside the frame. `left`, `top`,
    `fitted_width`, `fitted_height` are pixels of the model's input; what they leave free there is
    padding. Compares by value and can be a key.
    """

    x: int
    y: int
    width: int
    height: int
    left: int
    top: int
    fitted_width: int
    fitted_height: int

    @property
    def scale_x(self) -> float:
        """Model pixels per frame pixel, horizontally."""
        return self.fitted_width / self.width

    @property
    def scale_y(self) -> float:
        """Model pixels per frame pixel, vertically."""
        return self.fitted_height / self.height

    @property
    def native(self) -> bool:
        """True where no pixel is resized."""
        return self.width == self.fitted_width and self.height == self.fitted_height

    def to_tuple(self) -> tuple[int, ...]:
        """The eight whole numbers in the order of the fields, for a message."""
        # Not dataclasses.astuple, which copies deeply and takes 17 us, once a job.
        return (
            *(self.x, self.y, self.width, self.height),
            *(self.left, self.top, self.fitted_width, self.fitted_height),
        )

    @classmethod
    def from_tuple(cls, values: Sequence[int]) -> Tile:
        """The tile that `to_tuple` wrote; ValueError where it is not eight numbers."""
        if len(values) != 8:
            raise ValueError(f"a tile is 8 numbers, not {len(values)}: {values!r}")
        return cls(*values)


@dataclass(frozen=True, slots=True)
class View:
    """What a stage sees of a frame.

    kind     "frame": the whole frame, letterboxed. "tiles": native tiles of the model's size, or a
             resized grid. "crops": around the boxes of another stage (`plan_crops`).
    overlap  of neighbouring tiles, at least, as a fraction of a tile's side; 0 <= overlap < 1. The
             default 0 lays as few tiles as cover the frame: 1920x1080 takes six of 640x640.
    grid     (columns, rows) of parts, each resized to the model's size; None: native tiles.

    "frame" uses neither overlap nor grid, "crops" likewise.
    """

    kind: Literal["frame", "tiles", "crops"]
    overlap: float = 0.0
    grid: tuple[int, int] | None = None


def plan(view: View, frame: Size, model: Size) -> tuple[Tile, ...]:
    """The tiles of a view, row by row from the top left.

    All tiles of one plan have the same size. The first starts at 0, the last ends flush with the
    frame's far edge, those between are spread evenly to the pixel.

    "frame"  One tile: the aspect is kept, the larger side fills the model's, the rest is padding in
             equal parts. A smaller frame is enlarged.
    "tiles"  As few native tiles as keep the overlap. An axis in which the frame is no longer than
             the model has one tile, padded in equal parts and not resized.
    grid     The smallest parts that keep the overlap, each fitted as a whole frame is.

    Raises ValueError, with a sentence for the user, where the numbers make no sense or the frame
    is too small for the grid or the overlap.
    """
    _check_size("frame", frame)
    _check_size("model", model)
    if view.kind == "frame":
        return (_letterboxed(0, 0, frame, model),)
    if view.kind != "tiles":
        raise ValueError(f'view "{view.kind}" has no tiles in advance; "frame" and "tiles" have')
    if not 0 <= view.overlap < 1:
        raise ValueError(f"overlap is {view.overlap}; it must be at least 0 and less than 1")
    if view.grid is None:
        columns = _native_starts("width", frame[0], model[0], view.overlap)
        rows = _native_starts("height", frame[1], model[1], view.overlap)
        return tuple(_native(x, y, frame, model) for y in rows for x in columns)
    if min(view.grid) < 1:
        raise ValueError(f"grid is {list(view.grid)}; it needs at least one column and one row")
    width, columns = _grid_parts("columns", frame[0], view.grid[0], view.overlap)
    height, rows = _grid_parts("rows", frame[1], view.grid[1], view.overlap)
    return tuple(_letterboxed(x, y, (width, height), model) for y in rows for x in columns)


def plan_crops(
    boxes: npt.NDArray[np.floating], frame: Size, model: Size, limit: int
) -> tuple[Tile, ...]:
    """Crops that show a second model the boxes of a first one.

    `boxes` is (n, 4) in frame pixels, most important first. Each box gets a native crop of the
    model's size centred on it, shifted where it would leave the frame, unless an earlier native
    crop already shows the whole box. A box that does not fit gets the region of the model's aspect
    around it, 20 % larger than the box and cut at the frame, resized. At most `limit` crops; boxes
    with no area inside the frame get none. The same input always gives the same crops.
    """
    _check_size("frame", frame)
    _check_size("model", model)
    frame_width, frame_height = frame
    crops: list[Tile] = []
    for box in boxes.tolist():
        if len(crops) >= limit:
            break
        # Comparisons that a NaN fails, so that such a box is left out as well.
        if not (max(box[0], 0) < min(box[2], frame_width)):
            continue
        if not (max(box[1], 0) < min(box[3], frame_height)):
            continue
        x1, y1 = math.floor(max(box[0], 0)), math.floor(max(box[1], 0))
        x2, y2 = math.ceil(min(box[2], frame_width)), math.ceil(min(box[3], frame_height))
        if x2 - x1 > model[0] or y2 - y1 > model[1]:
            width = max((x2 - x1) * CROP_MARGIN, (y2 - y1) * CROP_MARGIN * model[0] / model[1])
            region = (
                min(math.ceil(width - EPSILON), frame_width),
                min(math.ceil(width * model[1] / model[0] - EPSILON), frame_height),
            )
            x = _centred((x1, x2), region[0], frame_width)
            y = _centred((y1, y2), region[1], frame_height)
            crops.append(_letterboxed(x, y, region, model))
        elif not any(_shows(crop, x1, y1, x2, y2) for crop in crops):
            x = _centred((x1, x2), min(model[0], frame_width), frame_width)
            y = _centred((y1, y2), min(model[1], frame_height), frame_height)
            crops.append(_native(x, y, frame, model))
    return tuple(crops)


def to_frame(boxes: npt.NDArray[np.floating], tile: Tile, frame: Size) -> Boxes:
    """Boxes (n, 4) from pixels of the model's input to frame pixels, clipped to the frame."""
    mapped = (boxes - _offset(tile)) / _scale(tile) + _origin(tile)
    mapped[:, 0::2] = mapped[:, 0::2].clip(0, frame[0])
    mapped[:, 1::2] = mapped[:, 1::2].clip(0, frame[1])
    return mapped.astype(np.float32)


def to_model(boxes: npt.NDArray[np.floating], tile: Tile) -> Boxes:
    """Boxes (n, 4) from frame pixels to pixels of the model's input, not clipped."""
    return ((boxes - _origin(tile)) * _scale(tile) + _offset(tile)).astype(np.float32)


def _origin(tile: Tile) -> npt.NDArray[np.float64]:
    return np.array([tile.x, tile.y, tile.x, tile.y], np.float64)


def _offset(tile: Tile) -> npt.NDArray[np.float64]:
    return np.array([tile.left, tile.top, tile.left, tile.top], np.float64)


def _scale(tile: Tile) -> npt.NDArray[np.float64]:
    return np.array([tile.scale_x, tile.scale_y, tile.scale_x, tile.scale_y], np.float64)


def _check_size(what: str, size: Size) -> None:
    if min(size) < 1:
        raise ValueError(f"the {what}'s size is {size[0]}x{size[1]}; it must be at least 1x1")


def _native(x: int, y: int, frame: Size, model: Size) -> Tile:
    """A tile of the model's size, or of the frame's where that is smaller, at scale 1."""
    width, height = min(frame[0], model[0]), min(frame[1], model[1])
    left, top = (model[0] - width) // 2, (model[1] - height) // 2
    return Tile(
        x=x,
        y=y,
        width=width,
        height=height,
        left=left,
        top=top,
        fitted_width=width,
        fitted_height=height,
    )


def _letterboxed(x: int, y: int, part: Size, model: Size) -> Tile:
    """A part of the frame, resized with its aspect kept so that it just fits, centred."""
    width, height = part
    if width * model[1] >= height * model[0]:
        fitted = (model[0], max(1, round(height * model[0] / width)))
    else:
        fitted = (max(1, round(width * model[1] / height)), model[1])
    left, top = (model[0] - fitted[0]) // 2, (model[1] - fitted[1]) // 2
    return Tile(
        x=x,
        y=y,
        width=width,
        height=height,
        left=left,
        top=top,
        fitted_width=fitted[0],
        fitted_height=fitted[1],
    )


def _spread(gaps: int, distance: int) -> tuple[int, ...]:
    """gaps + 1 starts from 0 to distance, evenly, each rounded to the nearest pixel.

    Neighbours are apart by at most distance / gaps rounded up, so a limit in whole pixels that
    holds for the even distance holds after rounding too; and by at least 1 if distance >= gaps.
    """
    if gaps == 0:
        return (0,)
    return tuple((2 * i * distance + gaps) // (2 * gaps) for i in range(gaps + 1))


def _shared(side: int, overlap: float) -> int:
    """The pixels that neighbours of this side must share."""
    return math.ceil(side * overlap - EPSILON)


def _native_starts(axis: str, length: int, side: int, overlap: float) -> tuple[int, ...]:
    if length <= side:
        return (0,)
    step = side - _shared(side, overlap)
    if step < 1:
        raise ValueError(
            f"overlap {overlap} leaves no new pixel for the next tile of {axis} {side};"
            " take a smaller overlap"
        )
    distance = length - side
    return _spread(-(-distance // step), distance)


def _grid_parts(axis: str, length: int, count: int, overlap: float) -> tuple[int, tuple[int, ...]]:
    """The side of each of `count` parts and their starts: the smallest that cover the length."""
    gaps = count - 1
    # A lower bound (rounding overlaps up to pixels needs more), then up to the first that does it.
    side = max(1, math.ceil(length / (1 + gaps * (1 - overlap)) - EPSILON))
    while side + gaps * (side - _shared(side, overlap)) < length:
        side += 1
    if length - side < gaps:
        raise ValueError(
            f"{count} {axis} with overlap {overlap} do not fit in {length} pixels;"
            " take fewer or a smaller overlap"
        )
    return side, _spread(gaps, length - side)


def _centred(span: tuple[int, int], length: int, limit: int) -> int:
    """Where `length` pixels start to be centred on the span and inside 0 to `limit`."""
    return min(max((span[0] + span[1] - length) // 2, 0), limit - length)


def _shows(crop: Tile, x1: int, y1: int, x2: int, y2: int) -> bool:
    """True where a native crop holds the whole box."""
    return (
        crop.native
        and crop.x <= x1
        and crop.y <= y1
        and x2 <= crop.x + crop.width
        and y2 <= crop.y + crop.height
    )
