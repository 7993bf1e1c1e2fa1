"""The synthetic scene before anything moves: roads, trees, things, and the ways of figures.

A road on the ground, another on a bridge above it, pavements beside both, a plaza with people, dogs
and cones, trees, and things that are not targets. Geometry only, no OpenCV in here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from actors.scene.shapes import (
    BUS,
    CAR,
    CONE,
    DOG,
    PERSON,
    TRUCK,
    Figure,
    Floats,
    figure,
    turn,
)

Point = tuple[float, float]

HEADINGS = 32
"""Number of directions in which walkers can head, so that their pictures can be kept."""

_LANE = 132.0
_KERB = 150.0
_PAVEMENT = 190.0
_VARIANTS = {TRUCK: 4, BUS: 3, CAR: 7, PERSON: 14, DOG: 6, CONE: 4}
_ROW = 760.0  # from one place for a vehicle to the next

# What stands about: its name, how many a 1080p frame has, how much room each takes.
_THINGS = (
    ("stall", 4, 150.0), ("stack", 2, 130.0), ("skip", 2, 130.0), ("bench", 7, 36.0),
    ("bin", 7, 14.0), ("bag", 14, 14.0), ("bush", 14, 26.0),
)  # fmt: skip


@dataclass(frozen=True)
class Road:
    """A straight road; `high` is the bridge. `middle` is a point on its axis."""

    middle: Point
    angle: float
    high: bool

    def across(self, points: Floats) -> Floats:
        """Signed distance of points (n, 2) from the axis."""
        offset = np.asarray(points) - np.array(self.middle)
        distance: Floats = offset @ np.array([-math.sin(self.angle), math.cos(self.angle)])
        return distance


class Thing(NamedTuple):
    """A thing on the ground that is not a target: its name among PROPS, and its place."""

    name: str
    x: float
    y: float
    angle: float


class Lane(NamedTuple):
    """An endless row of places that moves along a road."""

    road: Road
    offset: float
    backwards: bool
    speed: float
    spacing: float
    density: float
    kinds: tuple[int, ...]


class Walk(NamedTuple):
    """A way round an ellipse; standing figures have none (speed 0)."""

    figure: int
    middle: Point
    radii: Point
    phase: float
    speed: float  # radians a frame
    angle: float


class Layout:
    """Everything about a scene that does not change from frame to frame, but its pixels."""

    def __init__(self, size: tuple[int, int], seed: int) -> None:
        """`size` is (width, height) of the frames; the same seed gives the same layout."""
        self.size = size
        self.scale = min(max(min(size[0] / 1920, size[1] / 1080), 0.6), 3.0)
        """Of figures and roads: 1 at 1080p."""
        random = np.random.default_rng((seed, 1))
        self.by_kind: dict[int, list[int]] = {}
        """Numbers of the figures of each class."""
        self.figures: list[Figure] = []
        for kind, count in _VARIANTS.items():
            self.by_kind[kind] = list(range(len(self.figures), len(self.figures) + count))
            self.figures += [figure(kind, random, self.scale) for _ in range(count)]
        self.roads = self._lay_roads(random)
        self.lanes = list(self._lay_lanes(random))
        self.trees = self._plant(random)
        """(n, 3): middle x, y and radius of the crowns."""
        parked = list(self._park(random))
        self._taken = np.array(
            [(*walk.middle, self.figures[walk.figure].length / 2) for walk in parked]
        ).reshape(-1, 3)
        self.things = list(self._furnish(random))
        """The things on the ground that are not targets."""
        self.walks = [*parked, *self._stand(random), *self._walk(random)]

    @property
    def kerb(self) -> float:
        """From a road's axis to the end of its asphalt, pixels."""
        return _KERB * self.scale

    @property
    def pavement(self) -> float:
        """From a road's axis to the outer edge of its pavement: the bridge's edge."""
        return _PAVEMENT * self.scale

    def _lay_roads(self, random: np.random.Generator) -> tuple[Road, Road]:
        width, height = self.size
        low = Road(
            (width * random.uniform(0.3, 0.7), height * random.uniform(0.25, 0.75)),
            math.radians(random.uniform(-28, 28)),
            False,
        )
        high = Road(
            (width * random.uniform(0.2, 0.8), height * random.uniform(0.3, 0.7)),
            low.angle + math.radians(random.uniform(55, 125)),
            True,
        )
        return low, high

    def _lay_lanes(self, random: np.random.Generator) -> Iterator[Lane]:
        for road in self.roads:
            for side in (-1, 1):
                yield Lane(
                    road, side * _LANE / 2, side < 0, random.uniform(4, 9), _ROW, 0.72,
                    (TRUCK, TRUCK, BUS, BUS, CAR, CAR, CAR),
                )  # fmt: skip
        for road in self.roads:
            for side in (-1, 1):
                yield Lane(
                    road, side * (_PAVEMENT + _KERB) / 2, side < 0, random.uniform(0.8, 1.8), 110,
                    0.3, (PERSON, PERSON, PERSON, DOG),
                )  # fmt: skip

    def _plant(self, random: np.random.Generator) -> Floats:
        wanted = round(7 * self._area())
        trees: list[tuple[float, float, float]] = []
        for _ in range(20 * wanted):
            radius = random.uniform(55, 95) * self.scale
            spot = random.uniform(0, 1, 2) * self.size
            if len(trees) < wanted and self._off_roads(spot[None], radius + self.pavement):
                trees.append((*spot.tolist(), radius))
        return np.array(trees, np.float64).reshape(-1, 3)

    def _park(self, random: np.random.Generator) -> Iterator[Walk]:
        """Vehicles that stand on the plaza, at any angle."""
        taken: list[Floats] = []
        for _ in range(30 * round(3 * self._area())):
            if len(taken) >= round(3 * self._area()):
                return
            spot = random.uniform(-0.02, 1.02, 2) * self.size
            kind = int(random.choice((TRUCK, BUS, CAR, CAR)))
            one = int(random.choice(self.by_kind[kind]))
            reach = self.figures[one].length / 2
            clear = all(np.hypot(*(spot - other)) > 300 * self.scale for other in taken)
            crowns = self.trees[:, :2] - spot
            clear &= bool((np.hypot(*crowns.T) > 0.8 * self.trees[:, 2] + 0.5 * reach).all())
            angle = float(random.uniform(0, 2 * math.pi))
            way = np.array([math.cos(angle), math.sin(angle)]) * reach
            ends = np.stack((spot - way, spot, spot + way))
            if clear and self._off_roads(ends, self.pavement + 50 * self.scale):
                taken.append(spot)
                yield Walk(one, (spot[0], spot[1]), (0, 0), 0, 0, angle)

    def _furnish(self, random: np.random.Generator) -> Iterator[Thing]:
        for name, count, room in _THINGS:
            for _ in range(round(count * self._area())):
                spot = random.uniform(0, 1, 2) * self.size
                angle = random.uniform(0, 2 * math.pi)
                reach = room * self.scale
                # Small things lie on pavements too, large ones stay off.
                limit = self.pavement if room > 30 else self.kerb
                if self._off_roads(spot[None], limit + reach) and self._free(spot[None], reach):
                    if room > 100:
                        self._taken = np.vstack((self._taken, (*spot, reach)))
                    yield Thing(name, float(spot[0]), float(spot[1]), angle)

    def _stand(self, random: np.random.Generator) -> Iterator[Walk]:
        """Cones, in rows along the roads and alone on the plaza."""
        for _ in range(round(5 * self._area())):
            spot = random.uniform(0, 1, 2) * self.size
            step = turn(np.array([[random.uniform(40, 80) * self.scale, 0.0]]),
                        random.uniform(0, 2 * math.pi))[0]  # fmt: skip
            one = int(random.choice(self.by_kind[CONE]))
            for index in range(int(random.integers(1, 5))):
                place = spot + index * step
                if self._off_roads(place[None], 0.92 * self.kerb) and self._free(place[None]):
                    angle = float(random.integers(HEADINGS)) * 2 * math.pi / HEADINGS
                    yield Walk(one, (place[0], place[1]), (0, 0), 0, 0, angle)

    def _walk(self, random: np.random.Generator) -> Iterator[Walk]:
        wanted = round(34 * self._area())
        around = np.linspace(0, 2 * math.pi, 16, endpoint=False)
        circle = np.stack((np.cos(around), np.sin(around)), 1)
        for _ in range(wanted):
            for _ in range(12):
                middle = random.uniform(-0.03, 1.03, 2) * self.size
                radii = random.uniform(15, 260, 2) * self.scale
                way = middle + circle * radii
                if self._off_roads(way, self.pavement) and self._free(way):
                    break
            else:
                continue  # hardly any room: one walker less
            kind = int(random.choice((PERSON, PERSON, DOG)))
            pace = random.uniform(0.7, 1.7) * (1.4 if kind == DOG else 1.0) * self.scale
            speed = pace / float(radii.mean()) * random.choice((-1.0, 1.0))
            phase = random.uniform(0, 2 * math.pi)
            company = int(random.choice((1, 1, 1, 2, 2, 3))) if kind == PERSON else 1
            for _ in range(company):
                one = int(random.choice(self.by_kind[kind]))
                offset = random.uniform(-32, 32, 2) * self.scale if company > 1 else np.zeros(2)
                spot = middle + offset
                yield Walk(one, (spot[0], spot[1]), (radii[0], radii[1]), phase, speed, 0.0)

    def _free(self, points: Floats, reach: float = 0.0) -> bool:
        """Whether nothing large stands within `reach` of points (n, 2)."""
        away = np.hypot(*(points[:, None] - self._taken[None, :, :2]).transpose(2, 0, 1))
        return bool((away > self._taken[:, 2] + reach).all())

    def _area(self) -> float:
        """How many 1080p frames of this scale the frame is, for how much to put there."""
        return self.size[0] * self.size[1] / (1920 * 1080 * self.scale**2)

    def _off_roads(self, points: Floats, distance: float) -> bool:
        return all(bool((np.abs(road.across(points)) > distance).all()) for road in self.roads)
