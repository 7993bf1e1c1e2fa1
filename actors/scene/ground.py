"""The ground of the synthetic scene: paving, grass, roads and the things on them, drawn once."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from actors.scene.layout import Layout, Road
from actors.scene.paint import Image, Light
from actors.scene.props import PROPS

# float32; OpenCV's and numpy's annotations do not agree on more than that.
Plane = npt.NDArray[Any]


def ground(layout: Layout, seed: int, light: Light) -> tuple[Image, Image]:
    """The scene without figures (height, width, 3) BGR, and the bridge's mask (height, width)."""
    random = np.random.default_rng((seed, 3))
    canvas = _Canvas(layout, random)
    canvas.pave()
    canvas.grow()
    canvas.road(layout.roads[0])
    canvas.stain()
    # Things stand on the ground: the bridge is laid over them.
    image = np.clip(canvas.picture * np.array(light.tint, np.float32), 0, 255).astype(np.uint8)
    _furnish(image, layout, light, random)
    canvas.picture = image.astype(np.float32) / np.array(light.tint, np.float32)
    mask = canvas.bridge(layout.roads[1], light)
    canvas.vignette()
    image = np.clip(canvas.picture * np.array(light.tint, np.float32), 0, 255).astype(np.uint8)
    return image, mask


def _furnish(image: Image, layout: Layout, light: Light, random: np.random.Generator) -> None:
    for thing in layout.things:
        sprite = PROPS[thing.name](random, layout.scale, thing.angle, light)
        sprite.paste(image, round(thing.x), round(thing.y))


class _Canvas:
    """The picture in the making, float32, and the coordinates of its pixels."""

    def __init__(self, layout: Layout, random: np.random.Generator) -> None:
        self._layout, self._random = layout, random
        self._width, self._height = layout.size
        self._unit = layout.scale
        rows, columns = np.mgrid[0 : self._height, 0 : self._width].astype(np.float32)
        self._x, self._y = columns + 0.5, rows + 0.5
        self._grain = random.standard_normal((self._height, self._width), np.float32)
        self.picture: Plane = np.zeros((self._height, self._width, 3), np.float32)

    def pave(self) -> None:
        """The plaza: slabs of slightly different shades, with joints."""
        random, unit = self._random, self._unit
        angle = random.uniform(0, math.pi / 2)
        along, across = self._turned((0.0, 0.0), angle)
        long, wide = random.uniform(60, 110) * unit, random.uniform(45, 90) * unit
        rows = np.floor(across / wide)
        columns = np.floor(along / long + 0.5 * (rows % 2))
        shades = random.normal(0, 1, (61, 67)).astype(np.float32)
        slab = shades[rows.astype(int) % 61, columns.astype(int) % 67]
        joint = np.minimum(
            self._to_line(along / long + 0.5 * (rows % 2), long),
            self._to_line(across / wide, wide),
        )
        base = np.array([138, 147, 153], np.float32) + random.uniform(-16, 16, 1)
        base = base + random.uniform(-10, 10, 3)
        shade = 6 * slab + 3 * self._grain + 12 * self._clouds(7)
        self.picture[:] = base + shade[..., None]
        self._lay(0.35 * _soft(1.4 * unit - joint), (90, 92, 94))

    def grow(self) -> None:
        """Grass where a slow noise is high."""
        field = self._clouds(6) + 0.08 * self._clouds(60)
        grass = _soft((field - self._random.uniform(0.5, 1.0)) * 90 * self._unit)
        color = np.array([62, 118, 92], np.float32) + self._random.uniform(-12, 12, 3)
        shade = 9 * self._grain + 14 * self._clouds(40) + 8 * self._clouds(12)
        self._lay(grass, color + shade[..., None])

    def road(self, road: Road) -> None:
        """Pavement, kerb, asphalt and its markings."""
        along, across = self._turned(road.middle, road.angle)
        away, unit = np.abs(across), self._unit
        slabs = self._random.normal(0, 5, 997).astype(np.float32)
        number = np.floor(along / (44 * unit)).astype(int) + 31 * np.floor(
            across / (20 * unit)
        ).astype(int)
        paving = 158 + slabs[number % 997] + 3 * self._grain + 6 * self._clouds(9)
        self._lay(_soft(self._layout.pavement - away), paving[..., None] * _warm())
        self._lay(_soft(self._layout.kerb + 5 * unit - away), (176, 178, 180))
        asphalt = 84 + 5 * self._grain + 6 * self._clouds(8) + 5 * self._clouds(50)
        # Wheels have darkened the middle of each lane.
        asphalt -= 7 * np.exp(-(((away - 66 * unit) / (30 * unit)) ** 2))
        self._lay(_soft(self._layout.kerb - away), asphalt[..., None] * _warm())
        white = (206, 210, 212)
        worn = np.clip(0.85 + 0.22 * self._clouds(70), 0, 1)
        dashes = _soft(24 * unit - np.abs((along / (110 * unit) % 1 - 0.5) * 110 * unit))
        self._lay(_soft(3 * unit - away) * dashes * worn, white)
        self._lay(_soft(2.5 * unit - np.abs(away - 138 * unit)) * worn, white)
        for spot in self._random.uniform(-800, 800, 2) * unit:
            bars = _soft(8.5 * unit - np.abs((across / (34 * unit) % 1 - 0.5) * 34 * unit))
            zebra = _soft(46 * unit - np.abs(along - spot)) * _soft(132 * unit - away)
            self._lay(zebra * bars * worn, white)

    def stain(self) -> None:
        """Oil, puddles, manholes and drains."""
        random, unit = self._random, self._unit
        for _ in range(26):
            spot, long = self._spot(), random.uniform(8, 70) * unit
            dark = float(random.uniform(0.72, 0.95))
            layer = np.zeros((self._height, self._width), np.float32)
            axes = (long, long * random.uniform(0.3, 0.9))
            self._ellipse(layer, spot, axes, random.uniform(0, 180))
            rows, columns = self._around(spot, 1.6 * long)
            blurred = cv2.GaussianBlur(layer[rows, columns], (0, 0), max(0.25 * long, 1))
            self.picture[rows, columns] *= 1 - (1 - dark) * blurred[..., None]
        for _ in range(9):
            spot, radius = self._spot(), random.uniform(10, 15) * unit
            for part, gray in ((1.0, 62), (0.84, 92), (0.6, 70), (0.45, 88)):
                layer = np.zeros((self._height, self._width), np.float32)
                self._ellipse(layer, spot, (part * radius, part * radius), 0)
                self._lay_at(layer, spot, radius + 3, (gray, gray, gray + 2))

    def bridge(self, road: Road, light: Light) -> Image:
        """The bridge over everything on the ground, with its shadow; returns its mask."""
        _, across = self._turned(road.middle, road.angle)
        side = -light.direction[0] * math.sin(road.angle) + light.direction[1] * math.cos(
            road.angle
        )
        reach = 30 * self._unit * side
        edge = self._layout.pavement
        fall = np.maximum(np.abs(across - reach) - edge, 0) / (7 * self._unit)
        self.picture *= (1 - light.strength * np.exp(-fall))[..., None]
        self.road(road)
        away = np.abs(across)
        for inset, gray in ((0.0, 196), (4.0, 120)):
            ring = _soft(2.2 * self._unit - np.abs(away - edge + (2.5 + inset) * self._unit))
            self._lay(ring, (gray, gray + 2, gray + 4))
        return np.where(away < edge, 255, 0).astype(np.uint8)

    def vignette(self) -> None:
        """Light that is not everywhere the same."""
        slope = self._random.uniform(-0.09, 0.09, 2)
        self.picture *= (
            1
            + slope[0] * (self._x / self._width - 0.5)
            + slope[1] * (self._y / self._height - 0.5)
            + 0.025 * self._clouds(4)
        )[..., None]

    # ------------------------------------------------------------ strokes

    def _lay(self, cover: Plane, color: object) -> None:
        """Cover the picture with a colour (or a picture), to the degree that `cover` says."""
        rows, columns = np.flatnonzero(cover.any(axis=1)), np.flatnonzero(cover.any(axis=0))
        if rows.size:
            part = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
            paint = np.broadcast_to(np.asarray(color, np.float32), self.picture.shape)[part]
            self.picture[part] += cover[part][..., None] * (paint - self.picture[part])

    def _lay_at(self, layer: Plane, spot: tuple[float, float], reach: float, color: object) -> None:
        rows, columns = self._around(spot, reach)
        paint = np.asarray(color, np.float32)
        part = self.picture[rows, columns]
        part += layer[rows, columns][..., None] * (paint - part)

    def _around(self, spot: tuple[float, float], reach: float) -> tuple[slice, slice]:
        return (
            slice(max(int(spot[1] - reach), 0), max(int(spot[1] + reach) + 1, 1)),
            slice(max(int(spot[0] - reach), 0), max(int(spot[0] + reach) + 1, 1)),
        )

    def _spot(self) -> tuple[float, float]:
        x, y = self._random.uniform(0, 1, 2) * self._layout.size
        return float(x), float(y)

    def _ellipse(
        self, layer: Plane, spot: tuple[float, float], axes: tuple[float, float], angle: float
    ) -> None:
        middle = (round((spot[0] - 0.5) * 16), round((spot[1] - 0.5) * 16))
        half = (round(axes[0] * 16), round(axes[1] * 16))
        # Smooth edges are for bytes only: drawn as such, in place of float32.
        drawn = np.zeros(layer.shape, np.uint8)
        cv2.ellipse(drawn, middle, half, angle, 0, 360, 255, -1, cv2.LINE_AA, 4)
        layer += drawn.astype(np.float32) / 255

    def _turned(self, middle: tuple[float, float], angle: float) -> tuple[Plane, Plane]:
        """Of each pixel: how far along, and how far beside, a line."""
        x, y = self._x - np.float32(middle[0]), self._y - np.float32(middle[1])
        cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
        return x * cos + y * sin, y * cos - x * sin

    def _to_line(self, turns: Plane, length: float) -> Plane:
        """Distance in pixels from where `turns` is whole."""
        part = turns % 1
        distance: Plane = np.minimum(part, 1 - part) * np.float32(length)
        return distance

    def _clouds(self, cells: int) -> Plane:
        """Smooth noise of unit size, with that many cells across the frame."""
        rows = max(2, round(cells * self._height / self._width))
        field = self._random.standard_normal((rows, max(2, cells)), np.float32)
        size = (self._width, self._height)
        return np.asarray(cv2.resize(field, size, interpolation=cv2.INTER_CUBIC), np.float32)


def _soft(distance: Plane) -> Plane:
    """0 outside, 1 inside, in between at the edge: from the distance inside, in pixels."""
    inside: Plane = np.clip(distance + np.float32(0.5), 0, 1)
    return inside


def _warm() -> Plane:
    return np.array([0.97, 0.99, 1.0], np.float32)
