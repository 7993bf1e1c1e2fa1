"""Things in the scene that are not targets: trees, stalls, bins, bags, benches.

Some look like targets on purpose: round things with rings, long things of a dog's size, striped
roofs and stacks of the size of vehicles.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from actors.scene.paint import Color, Easel, Light, Sprite, darker, lighter

_GREENS = ((48, 112, 70), (40, 96, 62), (60, 128, 96), (44, 104, 88))
_ROOFS = ((60, 60, 200), (180, 120, 50), (70, 150, 80), (60, 170, 220))


def tree(radius: float, random: np.random.Generator, light: Light, scale: float) -> Sprite:
    """A crown of leaves that fills a disc of this radius."""
    easel = Easel((-radius, -radius, radius, radius), 0.0, 2)
    green = np.array(_GREENS[int(random.integers(len(_GREENS)))], np.float64)
    green += random.normal(0, 8, 3)
    count = 150
    # Outer leaves first and dark, inner ones above them and light.
    reach = np.sqrt(np.linspace(1.0, 0.0, count))
    around = random.uniform(0, 2 * math.pi, count)
    for index in range(count):
        leaf = radius * random.uniform(0.1, 0.2)
        away = reach[index] * (radius - leaf)
        height = 0.62 + 0.6 * (1 - reach[index]) + random.normal(0, 0.09)
        color = np.clip(green * height, 5, 250)
        x, y = away * math.cos(around[index]), away * math.sin(around[index])
        easel.part(x, y, leaf, leaf, leaf, color.tolist())
    return easel.finished(light, 22 * scale, 0.1 * radius)


def _stall(random: np.random.Generator, scale: float, angle: float, light: Light) -> Sprite:
    a, b = random.uniform(70, 150) * scale, random.uniform(60, 90) * scale
    easel = _easel(a, b, angle, 2)
    roof = _ROOFS[int(random.integers(len(_ROOFS)))]
    easel.part(0, 0, a, b, 3, (226, 230, 232))
    stripes = int(random.integers(4, 8))
    for stripe in range(stripes):
        x = -a + (2 * stripe + 1) * a / stripes
        easel.part(x, 0, 0.5 * a / stripes, b, 0, roof)
    easel.part(0, 0, a, 0.02 * b, 0, darker(roof, 0.4))
    return easel.finished(light, 16 * scale, 0.12 * b)


def _stack(random: np.random.Generator, scale: float, angle: float, light: Light) -> Sprite:
    """Planks, side by side."""
    a, b = random.uniform(70, 130) * scale, random.uniform(35, 55) * scale
    easel = _easel(a, b, angle, 2)
    easel.part(0, 0, a, b, 1, (42, 52, 62))
    planks = int(random.integers(5, 9))
    for plank in range(planks):
        y = -b + (2 * plank + 1) * b / planks
        shade = random.uniform(0.75, 1.1)
        long = a * random.uniform(0.9, 1.0)
        wood = (92 * shade, 138 * shade, 172 * shade)
        easel.part(0, y, long, 0.82 * b / planks, 1, wood)
    return easel.finished(light, 8 * scale, 2)


def _skip(random: np.random.Generator, scale: float, angle: float, light: Light) -> Sprite:
    """An open container with rubble."""
    a, b = random.uniform(85, 140) * scale, random.uniform(40, 52) * scale
    easel = _easel(a, b, angle, 2)
    color = _ROOFS[int(random.integers(len(_ROOFS)))]
    easel.part(0, 0, a, b, 4, darker(color, 0.2))
    easel.part(0, 0, a - 6 * scale, b - 6 * scale, 2, (40, 46, 50))
    for _ in range(60):
        x, y = random.uniform(-0.85, 0.85) * a, random.uniform(-0.75, 0.75) * b
        gray = random.uniform(70, 165)
        side = random.uniform(2, 9) * scale
        easel.part(x, y, side, side * random.uniform(0.4, 1), 1, (gray * 0.85, gray * 0.95, gray))
    return easel.finished(light, 12 * scale, 3)


def _bench(random: np.random.Generator, scale: float, angle: float, light: Light) -> Sprite:
    a, b = random.uniform(24, 34) * scale, random.uniform(7, 9) * scale
    easel = _easel(a, b, angle, 4)
    easel.part(0, 0, a, b, 1, (50, 60, 70))
    for y in (-0.62, 0.0, 0.62):
        easel.part(0, y * b, a, 0.24 * b, 1, (88, 132, 168))
    return easel.finished(light, 5 * scale, 1)


def _bin(random: np.random.Generator, scale: float, angle: float, light: Light) -> Sprite:
    a = random.uniform(9, 13) * scale
    easel = _easel(a, a, angle, 6)
    color = (84, 88, 90) if random.random() < 0.5 else (70, 100, 60)
    easel.part(0, 0, a, a, a, color)
    easel.part(0, 0, 0.66 * a, 0.66 * a, a, (30, 30, 32))
    return easel.finished(light, 8 * scale, 1)


def _bag(random: np.random.Generator, scale: float, angle: float, light: Light) -> Sprite:
    a = random.uniform(6, 14) * scale
    b = a * random.uniform(0.5, 0.9)
    easel = _easel(a, b, angle, 6)
    gray = random.uniform(40, 200)
    color: Color = (gray, gray * random.uniform(0.85, 1.1), gray * random.uniform(0.85, 1.1))
    easel.part(0, 0, a, b, 0.5 * b, color)
    easel.part(0.2 * a, 0.1 * b, 0.4 * a, 0.3 * b, 0.2 * b, lighter(color, 0.2))
    return easel.finished(light, 4 * scale, 1)


def _bush(random: np.random.Generator, scale: float, angle: float, light: Light) -> Sprite:
    return tree(random.uniform(12, 26) * scale, random, light, 0.35 * scale)


def _easel(a: float, b: float, angle: float, fine: int) -> Easel:
    cos, sin = abs(math.cos(angle)), abs(math.sin(angle))
    x, y = a * cos + b * sin, a * sin + b * cos
    return Easel((-x, -y, x, y), angle, fine)


Maker = Callable[[np.random.Generator, float, float, Light], Sprite]

PROPS: dict[str, Maker] = {
    "stall": _stall,
    "stack": _stack,
    "skip": _skip,
    "bench": _bench,
    "bin": _bin,
    "bag": _bag,
    "bush": _bush,
}
