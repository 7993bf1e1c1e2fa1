"""Where each figure of the scene is in frame n, and how much of it is visible: its ground truth.

Positions are functions of the frame's number alone: traffic is an endless row of numbered places
that moves along its lane, walkers go round on ellipses. So frame n is the same in whatever order
frames are drawn. Geometry only, no OpenCV in here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from actors.scene.layout import HEADINGS, Lane, Layout
from actors.scene.shapes import (
    LARGE,
    Floats,
    bounds,
    clipped_bounds,
    inside,
    outline,
    samples,
    turn,
)

SEEN = 0.35
"""A target of which less can be seen is ignored: neither asked for nor wrong."""


@dataclass(frozen=True)
class Truth:
    """The targets of one frame, in the order in which they are drawn."""

    boxes: npt.NDArray[np.float32]
    """(n, 4) as x1, y1, x2, y2, frame pixels: around the part inside the frame, covered or not."""
    class_ids: npt.NDArray[np.int64]
    """(n,), indexes of LABELS."""
    visible: npt.NDArray[np.float32]
    """(n,), the part of each target that is neither covered nor outside of the frame."""

    @property
    def ignored(self) -> npt.NDArray[np.bool_]:
        """(n,): too little of it can be seen to ask for it."""
        return self.visible < SEEN


class Placed(NamedTuple):
    """A figure in a frame: its number among the layout's figures, its middle, its heading."""

    figure: int
    x: int
    y: int
    angle: float
    high: bool


class World:
    """All figures of a scene and their ground truth, without pixels."""

    def __init__(self, size: tuple[int, int], seed: int) -> None:
        """`size` is (width, height) of the frames; the same seed gives the same scene."""
        self.layout = layout = Layout(size, seed)
        self._seed = seed
        self._outlines = [outline(one) for one in layout.figures]
        self._samples = [samples(parts) for parts in self._outlines]
        self._places: dict[tuple[int, int], tuple[int, float] | None] = {}
        self._shapes: dict[tuple[int, float], tuple[Floats, Floats]] = {}

    def placed(self, number: int) -> list[Placed]:
        """The figures in or near frame `number`, in the order in which they are drawn.

        On the ground large ones come first, then small ones; so it is on the bridge above.
        """
        found = [*self._on_walks(number), *self._on_lanes(number)]
        return sorted(
            found, key=lambda one: (one.high, self.layout.figures[one.figure].kind >= LARGE)
        )

    def _on_walks(self, number: int) -> Iterator[Placed]:
        for walk in self.layout.walks:
            at = walk.phase + walk.speed * number
            x = walk.middle[0] + walk.radii[0] * math.cos(at)
            y = walk.middle[1] + walk.radii[1] * math.sin(at)
            angle = walk.angle
            if walk.speed:
                sign = math.copysign(1.0, walk.speed)
                way = math.atan2(
                    sign * walk.radii[1] * math.cos(at), -sign * walk.radii[0] * math.sin(at)
                )
                angle = round(way / (2 * math.pi) * HEADINGS) % HEADINGS * 2 * math.pi / HEADINGS
            yield Placed(walk.figure, round(x), round(y), angle, False)

    def _on_lanes(self, number: int) -> Iterator[Placed]:
        half = math.hypot(*self.layout.size) / 2 + 400 * self.layout.scale
        centre = np.array(self.layout.size) / 2
        for index, lane in enumerate(self.layout.lanes):
            angle = lane.road.angle + (math.pi if lane.backwards else 0.0)
            along = np.array([math.cos(angle), math.sin(angle)])
            start = np.array(lane.road.middle) + lane.offset * self.layout.scale * np.array(
                [-math.sin(lane.road.angle), math.cos(lane.road.angle)]
            )
            start = start + ((centre - start) @ along) * along  # nearest to the frame's centre
            spacing = lane.spacing * self.layout.scale
            moved = lane.speed * self.layout.scale * number
            first, last = math.floor((-half - moved) / spacing), math.ceil((half - moved) / spacing)
            for place in range(first, last + 1):
                occupant = self._occupant(index, lane, place)
                if occupant is not None:
                    spot = start + (place * spacing + moved + occupant[1]) * along
                    yield Placed(occupant[0], round(spot[0]), round(spot[1]), angle, lane.road.high)

    def _occupant(self, index: int, lane: Lane, place: int) -> tuple[int, float] | None:
        """The figure at a lane's numbered place, and how far from its middle; None: it is empty."""
        key = (index, place)
        if key not in self._places:
            if len(self._places) > 4096:
                self._places.clear()
            random = np.random.default_rng((self._seed, 2, index, place % (1 << 32)))
            occupant = None
            if random.random() < lane.density:
                one = int(random.choice(self.layout.by_kind[int(random.choice(lane.kinds))]))
                room = max(lane.spacing * self.layout.scale - self.layout.figures[one].length, 0.0)
                occupant = (one, float(random.uniform(-0.45, 0.45)) * room)
            self._places[key] = occupant
        return self._places[key]

    def truth(self, number: int) -> Truth:
        """The targets of frame `number`, without rendering it."""
        placed = self.placed(number)
        width, height = self.layout.size
        shapes = [self._shape(one) for one in placed]
        middles = np.array([(one.x, one.y) for one in placed], np.float64).reshape(-1, 2)
        full = np.array([box for box, _ in shapes]).reshape(-1, 4) + np.tile(middles, 2)
        boxes = np.clip(full, 0, np.array([width, height, width, height]))
        cut = (full != boxes).any(axis=1)
        for index in np.flatnonzero(cut & (boxes[:, :2] < boxes[:, 2:]).all(axis=1)):
            one = placed[index]
            parts = self._outlines[one.figure]
            inner = clipped_bounds(parts, one.angle, one.x, one.y, self.layout.size)
            # Once more, for where rounding has left a crossing a hair outside.
            boxes[index] = np.clip(inner or (0, 0, 0, 0), 0, (width, height, width, height))
        here = np.flatnonzero((boxes[:, :2] < boxes[:, 2:]).all(axis=1))
        seen = [self._visible(placed, full, shapes[i][1], int(i), bool(cut[i])) for i in here]
        kinds = np.array([self.layout.figures[placed[i].figure].kind for i in here], np.int64)
        return Truth(boxes[here].astype(np.float32), kinds, np.array(seen, np.float32))

    def _shape(self, one: Placed) -> tuple[Floats, Floats]:
        """Around the figure's middle: its box (4,), and points (n, 2) spread over it."""
        key = (one.figure, one.angle)
        if key not in self._shapes:
            box = np.array(bounds(self._outlines[one.figure], one.angle))
            self._shapes[key] = (box, turn(self._samples[one.figure], one.angle))
        return self._shapes[key]

    def _visible(
        self, placed: list[Placed], full: Floats, shape: Floats, index: int, cut: bool
    ) -> float:
        """The part of a figure that is seen; `full` are all boxes, `shape` its points."""
        one, box = placed[index], full[index]
        points = shape + np.array((one.x, one.y))
        if cut:
            points = points[((points >= 0) & (points < self.layout.size)).all(axis=1)]
        if not one.high:
            points = self._uncovered(points, math.dist(box[:2], box[2:]) / 2)
        touching = (full[index + 1 :, :2] < box[2:]).all(axis=1)
        touching &= (full[index + 1 :, 2:] > box[:2]).all(axis=1)
        for later in np.flatnonzero(touching) + index + 1:
            other = placed[later]
            local = turn(points - (other.x, other.y), -other.angle)
            points = points[~inside(local, self._outlines[other.figure])]
        return len(points) / len(shape)

    def _uncovered(self, points: Floats, reach: float) -> Floats:
        """Those of a figure's points, on the ground, that neither bridge nor trees cover.

        `reach` is how far the points are apart at most, halved: it saves looking at what is far.
        """
        away = np.abs(self.layout.roads[1].across(points))
        points = points[away > self.layout.pavement]
        if len(points) and len(self.layout.trees):
            offset = self.layout.trees[:, :2] - points[0]
            near = self.layout.trees[
                np.hypot(offset[:, 0], offset[:, 1]) < self.layout.trees[:, 2] + 2 * reach
            ]
            for x, y, radius in near:
                points = points[np.hypot(points[:, 0] - x, points[:, 1] - y) > radius]
        return points
