"""Classes of the synthetic scene: their sizes, and their outlines as geometry.

Seen from above, 43 pixels are a metre at 1080p. An outline is a union of rounded rectangles in the
figure's own coordinates: the origin is its middle, +x is where it heads. Painting and truth both
stand on these, so that a box is exactly what is drawn. No OpenCV in here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LABELS = ("truck", "bus", "car", "person", "dog", "cone")
TRUCK, BUS, CAR, PERSON, DOG, CONE = range(6)
LARGE = 3
"""The number of large classes, which come first."""

# Lengths (shortest, longest) along +x, pixels at 1080p; a person's and a cone's is the width.
_LENGTHS = (
    (430.0, 690.0),
    (340.0, 480.0),
    (165.0, 230.0),
    (22.0, 34.0),
    (24.0, 40.0),
    (15.0, 24.0),
)
# Widths as a part of the length where they go with it; large figures have the width of a lane.
_WIDTHS = ((96.0, 112.0), (98.0, 112.0), (70.0, 84.0))


@dataclass(frozen=True)
class Figure:
    """One target's looks: its class, its size in pixels, and what its paint is drawn from."""

    kind: int
    length: float
    width: float
    look: int


def figure(kind: int, random: np.random.Generator, scale: float) -> Figure:
    """A figure of this class; `scale` is 1 at 1080p."""
    length = random.uniform(*_LENGTHS[kind])
    width = random.uniform(*_WIDTHS[kind]) if kind < LARGE else length
    return Figure(kind, length * scale, width * scale, int(random.integers(1 << 30)))


def cab_length(width: float) -> float:
    """Of a truck's cab, in pixels like its width."""
    return 0.72 * width


def outline(figure: Figure) -> Floats:
    """The figure's rounded rectangles (n, 5): middle x, y, half sides x, y, corner radius."""
    a, b = figure.length / 2, figure.width / 2
    size = figure.length
    if figure.kind == TRUCK:
        cab, gap = cab_length(figure.width), 0.1 * figure.width
        rear = 2 * a - cab - gap
        parts = [
            (a - cab / 2, 0.0, cab / 2, 0.95 * b, 0.2 * b),
            (rear / 2 - a, 0.0, rear / 2, b, 0.06 * b),
            (a - cab - gap / 2, 0.0, gap, 0.45 * b, 0.05 * b),
        ]
    elif figure.kind == BUS:
        parts = [(0.0, 0.0, a, b, 0.22 * b)]
    elif figure.kind == CAR:
        parts = [(0.0, 0.0, a, b, 0.55 * b)]
    elif figure.kind == PERSON:
        parts = [
            (0.0, 0.0, 0.22 * size, 0.5 * size, 0.22 * size),
            (0.26 * size, 0.17 * size, 0.12 * size, 0.1 * size, 0.1 * size),
            (-0.26 * size, -0.17 * size, 0.12 * size, 0.1 * size, 0.1 * size),
        ]
    elif figure.kind == DOG:
        parts = [
            (-0.05 * size, 0.0, 0.29 * size, 0.15 * size, 0.15 * size),
            (0.34 * size, 0.0, 0.16 * size, 0.12 * size, 0.1 * size),
            (-0.4 * size, 0.0, 0.1 * size, 0.045 * size, 0.045 * size),
        ]
    else:
        parts = [(0.0, 0.0, a, a, 0.2 * a)]
    return np.array(parts, np.float64)


def turn(points: Floats, angle: float) -> Floats:
    """Points (n, 2) turned by `angle` radians, from +x towards +y (down)."""
    cos, sin = np.cos(angle), np.sin(angle)
    turned: Floats = points @ np.array([[cos, sin], [-sin, cos]])
    return turned


def rounded(x: float, y: float, a: float, b: float, radius: float) -> Floats:
    """The edge of a rounded rectangle as points (28, 2): middle, half sides, corner radius."""
    radius = min(radius, a, b)
    steps = np.linspace(0, np.pi / 2, 7)
    quarter = np.stack((np.cos(steps), np.sin(steps)), 1) * radius
    corners = ((1, 1), (-1, 1), (-1, -1), (1, -1))
    return np.concatenate(
        [
            turn(quarter, index * np.pi / 2)
            + np.array((x + sx * (a - radius), y + sy * (b - radius)))
            for index, (sx, sy) in enumerate(corners)
        ]
    )


def clipped_bounds(
    parts: Floats, angle: float, x: float, y: float, size: tuple[int, int]
) -> tuple[float, float, float, float] | None:
    """x1, y1, x2, y2 around the part inside a frame of (width, height); None for nothing.

    The outline is turned by `angle` and its middle is at x, y. A long figure across the frame's
    edge has a smaller box than its whole box cut off there.
    """
    kept = []
    for part in parts:
        points = turn(rounded(*part), angle) + np.array((x, y))
        for axis, limit, sign in ((0, 0, 1), (0, size[0], -1), (1, 0, 1), (1, size[1], -1)):
            depth = sign * (points[:, axis] - limit)
            if (depth < 0).any():
                points = _cut(points, depth)
        kept.append(points)
    inner = np.concatenate(kept)
    if not len(inner):
        return None
    low, high = inner.min(axis=0), inner.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _cut(points: Floats, depth: Floats) -> Floats:
    """A polygon without its part outside (depth < 0): Sutherland and Hodgman, one edge."""
    after, below = np.roll(points, -1, axis=0), np.roll(depth, -1)
    crossing = (depth < 0) != (below < 0)
    part = depth[crossing] / (depth[crossing] - below[crossing])
    met = points[crossing] + part[:, None] * (after[crossing] - points[crossing])
    # In turn again: each crossing comes after the corner before it.
    order = np.concatenate((np.flatnonzero(depth >= 0), np.flatnonzero(crossing) + 0.5))
    return np.concatenate((points[depth >= 0], met))[np.argsort(order, kind="stable")]


def bounds(parts: Floats, angle: float) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2 around the outline turned by `angle`; exact."""
    middles = turn(parts[:, :2], angle)
    core = parts[:, 2:4] - parts[:, 4:]
    cos, sin = abs(np.cos(angle)), abs(np.sin(angle))
    reach = np.stack((cos * core[:, 0] + sin * core[:, 1], sin * core[:, 0] + cos * core[:, 1]), 1)
    reach += parts[:, 4:]
    low, high = (middles - reach).min(axis=0), (middles + reach).max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def inside(points: Floats, parts: Floats) -> npt.NDArray[np.bool_]:
    """Which points (n, 2), in the outline's own coordinates, lie in one of its parts."""
    beyond = np.abs(points[:, None] - parts[None, :, :2]) - (parts[:, 2:4] - parts[:, 4:])
    distance = np.hypot(*np.moveaxis(np.maximum(beyond, 0.0), 2, 0))
    found: npt.NDArray[np.bool_] = (distance <= parts[:, 4]).any(axis=1)
    return found


def samples(parts: Floats, steps: int = 13) -> Floats:
    """Points (n, 2) spread evenly over the outline, to count how much of it is seen."""
    x1, y1, x2, y2 = bounds(parts, 0.0)
    spots = (np.arange(steps) + 0.5) / steps
    grid = np.stack(np.meshgrid(x1 + spots * (x2 - x1), y1 + spots * (y2 - y1)), 2).reshape(-1, 2)
    return grid[inside(grid, parts)]
