"""Boxes, labels, the tile grid and a line of text, drawn into a picture for a person.

Everything is drawn in place into a BGR image. Lines and letters grow with the image, so that a
1080p frame and a thumbnail both read well. Boxes come first and labels after them, the best score
last, so that the surest label lies on top. A class keeps its colour wherever it appears.

A video has one colour for each block of 2x2 pixels, and OpenCV takes it from the block's upper left
pixel (measured: a line one pixel wide on an odd row comes out grey). So lines are an even number of
pixels wide and lie on whole blocks.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from actors.vision.tiling import Tile

Image = npt.NDArray[np.uint8]
Color = tuple[int, int, int]

FONT = cv2.FONT_HERSHEY_SIMPLEX
WHITE: Color = (255, 255, 255)
BLACK: Color = (0, 0, 0)
# Half of it is mixed into the pixels under a tile's edge: cyan tints dark and bright ones alike.
TILE_COLOR: Color = (255, 255, 0)


def draw(
    image: Image,
    boxes: npt.NDArray[np.floating],
    scores: npt.NDArray[np.floating],
    class_ids: npt.NDArray[np.integer],
    labels: Sequence[str],
    *,
    tiles: Sequence[Tile] = (),
) -> None:
    """Draw detections into `image` (height, width, 3) BGR uint8, in place.

    `boxes` is (n, 4) as x1, y1, x2, y2 in pixels of the image and may leave it, `scores` (n,),
    `class_ids` (n,), sorted by score, highest first. `labels[class_id]` names a class; one without
    a name is drawn as its number. `tiles` are outlined thinly under the boxes.
    """
    for tile in tiles:
        _outline(image, tile)
    line = _line(image)
    corners = _pixels(boxes, image)
    ids = class_ids.tolist()
    for box, class_id in zip(reversed(corners), reversed(ids), strict=True):
        _box(image, box, color_of(class_id), line)
    for (x1, y1, _, _), score, class_id in zip(
        reversed(corners), reversed(scores.tolist()), reversed(ids), strict=True
    ):
        name = labels[class_id] if 0 <= class_id < len(labels) else str(class_id)
        _label(image, x1, y1, f"{name} {score:.2f}", color_of(class_id))


def banner(image: Image, text: str) -> None:
    """Write one line of text at the top left of `image`, in place, white on a darkened strip."""
    scale, stroke = _letters(image)
    (width, height), base = cv2.getTextSize(text, FONT, scale, stroke)
    pad = height // 2
    strip = image[: height + base + 2 * pad, : width + 2 * pad]
    np.right_shift(strip, 2, out=strip)
    cv2.putText(image, text, (pad, pad + height), FONT, scale, WHITE, stroke, cv2.LINE_AA)


@lru_cache(maxsize=1024)
def color_of(class_id: int) -> Color:
    """The colour (blue, green, red) of a class, the same in every run.

    Hues go round the circle by the golden ratio, which keeps any first few far apart; every
    seventh class changes to another lightness, since hues alone do not tell twenty apart.
    """
    hue = (0.33 + class_id * 0.618033988749895) % 1.0
    saturation, value = ((0.85, 1.0), (0.45, 1.0), (0.9, 0.62))[class_id // 7 % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(blue * 255), round(green * 255), round(red * 255)


def _line(image: Image) -> int:
    """Line width in pixels, even: 2 up to 1080p, 4 at 2160p."""
    return 2 * max(1, round(sum(image.shape[:2]) / 2400))


def _letters(image: Image) -> tuple[float, int]:
    """Font scale and stroke width: digits 12 pixels high at 1080p, 7 at least."""
    scale = max(0.33, sum(image.shape[:2]) / 3000 * 0.6)
    return scale, max(1, round(scale * 1.4))


def _pixels(boxes: npt.NDArray[np.floating], image: Image) -> list[list[int]]:
    """Boxes as whole pixels at most one line outside the image: OpenCV overflows far away."""
    height, width = image.shape[:2]
    limit = np.array([width, height, width, height])
    margin = _line(image)
    pixels: list[list[int]] = np.rint(boxes).clip(-margin, limit + margin).astype(int).tolist()
    return pixels


def _box(image: Image, box: Sequence[int], color: Color, line: int) -> None:
    """A box in whole blocks of 2x2 pixels: rectangles one pixel wide, each inside the last.

    OpenCV's own lines of two pixels are three wide. Measured, 60 boxes and labels in 1080p: 0.8 ms,
    with sides filled by NumPy 4.3 ms.
    """
    left, top, right, bottom = box[0] // 2 * 2, box[1] // 2 * 2, box[2] | 1, box[3] | 1
    for inset in range(min(line, (right - left + 1) // 2, (bottom - top + 1) // 2)):
        corners = (left + inset, top + inset), (right - inset, bottom - inset)
        cv2.rectangle(image, *corners, color, 1)


def _outline(image: Image, tile: Tile) -> None:
    """A tile's edge, one block wide."""
    top, left = tile.y // 2 * 2, tile.x // 2 * 2
    bottom, right = (tile.y + tile.height + 1) // 2 * 2, (tile.x + tile.width + 1) // 2 * 2
    half = np.array(TILE_COLOR, np.uint8) // 2
    for strip in (
        image[top : top + 2, left:right],
        image[bottom - 2 : bottom, left:right],
        image[top + 2 : bottom - 2, left : left + 2],
        image[top + 2 : bottom - 2, right - 2 : right],
    ):
        np.copyto(strip, strip // 2 + half)


def _label(image: Image, x: int, y: int, text: str, color: Color) -> None:
    """Text on a filled plate above the point (x, y), moved so that the plate stays in the image."""
    scale, stroke = _letters(image)
    (width, height), base = cv2.getTextSize(text, FONT, scale, stroke)
    pad = max(2, height // 4)
    plate_width, plate_height = width + 2 * pad, height + base + pad
    left = max(0, min(x, image.shape[1] - plate_width))
    top = max(0, min(y - plate_height, image.shape[0] - plate_height))
    cv2.rectangle(
        image, (left, top), (left + plate_width - 1, top + plate_height - 1), color, cv2.FILLED
    )
    blue, green, red = color
    # Rec. 601 luma: what looks bright gets black letters.
    ink = BLACK if 0.114 * blue + 0.587 * green + 0.299 * red > 140 else WHITE
    origin = (left + pad, top + pad // 2 + height)
    cv2.putText(image, text, origin, FONT, scale, ink, stroke, cv2.LINE_AA)
