"""Pictures of the synthetic scene's figures: drawn once for each heading, pasted in every frame.

A sprite is a pair of pictures, so that pasting is one multiplication and one addition of bytes:
what is left of the ground (edges are soft, and shadows darken it), and what is added to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from actors.scene.shapes import (
    BUS,
    CAR,
    CONE,
    DOG,
    LARGE,
    PERSON,
    TRUCK,
    Figure,
    Floats,
    bounds,
    cab_length,
    outline,
    rounded,
    turn,
)

Image = npt.NDArray[np.uint8]
Color = tuple[float, float, float]

# How far a figure's shadow falls, pixels at 1080p; the light's direction turns it.
_HEIGHTS = {TRUCK: 26.0, BUS: 24.0, CAR: 12.0, PERSON: 11.0, DOG: 5.0, CONE: 5.0}

_CARS = (
    (190, 190, 192), (62, 58, 56), (48, 44, 168), (150, 92, 40), (222, 224, 226), (70, 110, 60),
    (40, 150, 210), (120, 60, 90), (100, 96, 92),
)  # fmt: skip
_BUSES = ((40, 175, 230), (50, 50, 190), (190, 130, 40), (210, 212, 214), (90, 150, 60))
_TRAILERS = (
    (214, 216, 218), (176, 178, 180), (170, 105, 45), (55, 120, 190), (80, 130, 80), (60, 60, 150),
)  # fmt: skip
_CLOTHES = (
    (60, 50, 190), (190, 110, 50), (60, 150, 70), (50, 190, 220), (200, 200, 205), (45, 42, 40),
    (150, 70, 140), (80, 130, 220), (170, 160, 60), (120, 90, 70),
)  # fmt: skip
_HAIR = ((30, 32, 38), (40, 62, 92), (70, 120, 170), (120, 122, 124), (150, 185, 205))
_FURS = ((40, 62, 96), (30, 32, 38), (190, 205, 215), (70, 115, 165), (120, 125, 130))
_CONES = ((20, 100, 240), (20, 120, 245), (30, 200, 240), (80, 190, 60))


@dataclass(frozen=True)
class Light:
    """The light of a scene: a tint of each channel, and where shadows fall."""

    tint: Color
    direction: tuple[float, float]
    strength: float


@dataclass(frozen=True)
class Sprite:
    """A picture to be pasted with its corner at `left`, `top` from the figure's middle."""

    left: int
    top: int
    keep: Image
    """(h, w, 3): what is left of the ground, 255 for all of it."""
    add: Image
    """(h, w, 3): what is added."""

    def place(self, x: int, y: int, size: tuple[int, int]) -> tuple[slice, slice, slice, slice]:
        """Rows and columns of the frame, and of the sprite, for its middle at x, y."""
        rows, columns = self.keep.shape[:2]
        x1, y1 = x + self.left, y + self.top
        low_x, low_y = max(x1, 0), max(y1, 0)
        high_x, high_y = max(min(x1 + columns, size[0]), low_x), max(min(y1 + rows, size[1]), low_y)
        return (
            slice(low_y, high_y),
            slice(low_x, high_x),
            slice(low_y - y1, high_y - y1),
            slice(low_x - x1, high_x - x1),
        )

    def paste(self, frame: Image, x: int, y: int) -> tuple[slice, slice]:
        """Paste it with its middle at x, y; the rows and columns that it may have changed."""
        size = (frame.shape[1], frame.shape[0])
        rows, columns, own_rows, own_columns = self.place(x, y, size)
        if rows.start < rows.stop and columns.start < columns.stop:
            ground = frame[rows, columns]
            cv2.multiply(ground, self.keep[own_rows, own_columns], dst=ground, scale=1 / 255)
            cv2.add(ground, self.add[own_rows, own_columns], dst=ground)
        return rows, columns


class Easel:
    """A canvas several times as fine as the frame, on which turned rounded rectangles are drawn."""

    def __init__(self, box: tuple[float, float, float, float], angle: float, fine: int) -> None:
        """`box` is what will be drawn on, in pixels around the middle, after turning."""
        self.left, self.top = int(np.floor(box[0])), int(np.floor(box[1]))
        self.columns = int(np.ceil(box[2])) - self.left
        self.rows = int(np.ceil(box[3])) - self.top
        self._angle, self._fine = angle, fine
        self._colors = np.zeros((self.rows * fine, self.columns * fine, 3), np.uint8)
        self._mask = np.zeros((self.rows * fine, self.columns * fine), np.uint8)

    def part(
        self, x: float, y: float, a: float, b: float, radius: float, color: Sequence[float]
    ) -> None:
        """A rounded rectangle around x, y with half sides a, b, in the figure's coordinates."""
        self.polygon(rounded(x, y, a, b, radius), color)

    def whole(self, part: Floats, color: Sequence[float]) -> None:
        """One part of a figure's outline."""
        x, y, a, b, radius = part.tolist()
        self.part(x, y, a, b, radius, color)

    def polygon(self, points: Floats, color: Sequence[float]) -> None:
        """A filled polygon, points (n, 2) in the figure's coordinates."""
        turned = turn(points, self._angle) - (self.left, self.top)
        # OpenCV's whole numbers are the middles of pixels; 4 bits are a fraction.
        spots = np.round((turned * self._fine - 0.5) * 16).astype(np.int32)
        cv2.fillPoly(self._colors, [spots], tuple(map(float, color)), cv2.LINE_8, 4)
        cv2.fillPoly(self._mask, [spots], 255.0, cv2.LINE_8, 4)

    def finished(self, light: Light, height: float, bevel: float) -> Sprite:
        """The sprite, rounded by light and shade, with a shadow that falls `height` pixels."""
        size = (self.columns, self.rows)
        color = cv2.resize(self._colors, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        mask = cv2.resize(self._mask, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        margin = int(np.ceil(height * 1.5 + 4))
        color = np.pad(color, ((margin, margin), (margin, margin), (0, 0)))
        mask = np.pad(mask, margin)
        dx, dy = light.direction
        soft = cv2.GaussianBlur(mask, (0, 0), max(bevel, 0.6))
        slope = (cv2.Sobel(soft, -1, 1, 0) * dx + cv2.Sobel(soft, -1, 0, 1) * dy) * bevel
        shade = np.clip(1.0 - 0.10 * slope, 0.72, 1.3)
        color *= shade[..., None] * np.array(light.tint, np.float32)
        move = np.array([[1, 0, dx * height], [0, 1, dy * height]], np.float32)
        shadow = cv2.warpAffine(mask, move, (mask.shape[1], mask.shape[0]))
        between = cv2.warpAffine(mask, move * (1, 1, 0.5), (mask.shape[1], mask.shape[0]))
        shadow = cv2.GaussianBlur(np.maximum(shadow, between), (0, 0), 0.8 + height * 0.14)
        keep = (1 - mask) * (1 - light.strength * shadow) * 255
        return Sprite(
            self.left - margin,
            self.top - margin,
            np.repeat(np.round(keep).astype(np.uint8)[..., None], 3, 2),
            np.clip(np.round(color), 0, 255).astype(np.uint8),
        )


def paint(one: Figure, angle: float, light: Light, scale: float) -> Sprite:
    """A figure's picture at this heading."""
    parts = outline(one)
    easel = Easel(bounds(parts, angle), angle, 2 if one.kind < LARGE else 6)
    _PAINTERS[one.kind](easel, one, parts, np.random.default_rng(one.look))
    bevel = max(one.width * (0.05 if one.kind < LARGE else 0.09), 0.8)
    return easel.finished(light, _HEIGHTS[one.kind] * scale, bevel)


def mixed(color: Sequence[float], other: Sequence[float], part: float) -> tuple[float, ...]:
    """`color` with `part` of the other."""
    return tuple((1 - part) * a + part * b for a, b in zip(color, other, strict=True))


def lighter(color: Sequence[float], part: float = 0.3) -> tuple[float, ...]:
    """Nearer to white."""
    return mixed(color, (255, 255, 255), part)


def darker(color: Sequence[float], part: float = 0.3) -> tuple[float, ...]:
    """Nearer to black."""
    return mixed(color, (0, 0, 0), part)


def _any(colors: Sequence[Color], random: np.random.Generator, spread: float = 18) -> Color:
    """One of the colours, a little off."""
    chosen = np.array(colors[int(random.integers(len(colors)))]) + random.normal(0, spread, 3)
    blue, green, red = np.clip(chosen, 12, 245).tolist()
    return blue, green, red


_GLASS = (62.0, 50.0, 42.0)


def _lights(easel: Easel, a: float, b: float, inset: float) -> None:
    for side in (-1, 1):
        easel.part(a - inset, side * 0.7 * b, 0.5 * inset, 0.16 * b, 2, (205, 240, 250))
        easel.part(inset - a, side * 0.7 * b, 0.45 * inset, 0.16 * b, 2, (40, 40, 200))


def _car(easel: Easel, one: Figure, parts: Floats, random: np.random.Generator) -> None:
    a, b = one.length / 2, one.width / 2
    color = _any(_CARS, random)
    easel.whole(parts[0], color)
    _lights(easel, a, b, 0.06 * a)
    easel.part(0.62 * a, 0, 0.25 * a, 0.72 * b, 0.3 * b, lighter(color, 0.1))
    easel.part(-0.1 * a, 0, 0.56 * a, 0.84 * b, 0.4 * b, _GLASS)
    long = random.uniform(0.28, 0.44)
    easel.part(-0.14 * a, 0, long * a, 0.74 * b, 0.25 * b, lighter(color, 0.16))
    if random.random() < 0.35:
        easel.part(-0.1 * a, 0, 0.16 * a, 0.5 * b, 0.1 * b, darker(_GLASS, 0.2))


def _bus(easel: Easel, one: Figure, parts: Floats, random: np.random.Generator) -> None:
    a, b = one.length / 2, one.width / 2
    color = _any(_BUSES, random)
    easel.whole(parts[0], color)
    _lights(easel, a, b, 0.025 * a)
    easel.part(a - 0.16 * b, 0, 0.14 * b, 0.86 * b, 0.1 * b, _GLASS)
    easel.part(-0.06 * b, 0, a - 0.5 * b, 0.84 * b, 0.16 * b, lighter(color, 0.4))
    for side in (-1, 1):
        easel.part(0, side * 0.93 * b, a - 0.6 * b, 0.05 * b, 1, _GLASS)
    count = int(random.integers(2, 5))
    for spot in np.linspace(-0.68, 0.62, count):
        unit = random.uniform(0.3, 0.55)
        easel.part(spot * a, 0, unit * b, 0.5 * b, 0.1 * b, (150, 152, 155))
        easel.part(spot * a, 0, 0.7 * unit * b, 0.34 * b, 0.06 * b, (98, 100, 104))


def _truck(easel: Easel, one: Figure, parts: Floats, random: np.random.Generator) -> None:
    a, b = one.length / 2, one.width / 2
    cab, box = _any(_CARS, random), _any(_TRAILERS, random)
    easel.whole(parts[2], (40, 40, 42))
    easel.whole(parts[1], darker(box, 0.25))
    x, _, half, _, _ = parts[1].tolist()
    easel.part(x, 0, half - 0.06 * b, 0.92 * b, 0.04 * b, box)
    for rib in np.linspace(-0.9, 0.9, int(random.integers(5, 12))):
        easel.part(x + rib * half, 0, 0.025 * b, 0.92 * b, 0.5, darker(box, 0.16))
    if random.random() < 0.6:
        mark = _any(_BUSES, random)
        easel.part(x + 0.2 * half, 0, 0.3 * half, 0.36 * b, 0.1 * b, mark)
        easel.part(x + 0.2 * half, 0, 0.24 * half, 0.1 * b, 0.1 * b, lighter(mark, 0.7))
    length = cab_length(one.width)
    easel.whole(parts[0], cab)
    easel.part(a - 0.16 * length, 0, 0.1 * length, 0.78 * b, 0.08 * b, _GLASS)
    easel.part(a - 0.64 * length, 0, 0.26 * length, 0.66 * b, 0.16 * b, lighter(cab, 0.3))
    for side in (-1, 1):
        easel.part(a - 3, side * 0.72 * b, 2.0, 0.14 * b, 1, (205, 240, 250))


def _person(easel: Easel, one: Figure, parts: Floats, random: np.random.Generator) -> None:
    size = one.length
    cloth, hair = _any(_CLOTHES, random), _any(_HAIR, random, 8)
    for foot in parts[1:]:
        easel.whole(foot, (38, 40, 46))
    easel.whole(parts[0], cloth)
    for side in (-1, 1):
        easel.part(
            0.02 * size, side * 0.38 * size, 0.13 * size, 0.09 * size, 9, lighter(cloth, 0.22)
        )
    if random.random() < 0.4:
        easel.part(-0.12 * size, 0, 0.1 * size, 0.24 * size, 0.06 * size, _any(_CLOTHES, random))
    easel.part(0.05 * size, 0, 0.185 * size, 0.185 * size, 0.185 * size, darker(hair, 0.25))
    easel.part(0.05 * size, 0, 0.15 * size, 0.15 * size, 0.15 * size, hair)


def _dog(easel: Easel, one: Figure, parts: Floats, random: np.random.Generator) -> None:
    size = one.length
    fur = _any(_FURS, random, 10)
    easel.whole(parts[2], darker(fur, 0.2))
    easel.whole(parts[0], fur)
    easel.part(-0.08 * size, 0, 0.2 * size, 0.06 * size, 0.06 * size, lighter(fur, 0.16))
    easel.whole(parts[1], lighter(fur, 0.1))
    for side in (-1, 1):
        easel.part(0.27 * size, side * 0.085 * size, 0.055 * size, 0.04 * size, 3, darker(fur, 0.5))
    easel.part(0.2 * size, 0, 0.02 * size, 0.11 * size, 1, _any(_CONES, random))
    easel.part(0.465 * size, 0, 0.03 * size, 0.035 * size, 2, (24, 24, 28))


def _cone(easel: Easel, one: Figure, parts: Floats, random: np.random.Generator) -> None:
    a = one.length / 2
    color = _any(_CONES, random, 10)
    easel.whole(parts[0], (44, 46, 50) if random.random() < 0.5 else darker(color, 0.35))
    for radius, paint in (
        (0.82, color),
        (0.6, (238, 240, 242)),
        (0.38, color),
        (0.14, (40, 44, 60)),
    ):
        easel.part(0, 0, radius * a, radius * a, radius * a, paint)


_PAINTERS: dict[int, Callable[[Easel, Figure, Floats, np.random.Generator], None]] = {
    TRUCK: _truck,
    BUS: _bus,
    CAR: _car,
    PERSON: _person,
    DOG: _dog,
    CONE: _cone,
}
