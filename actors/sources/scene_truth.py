"""What is really in the frames of the source "synthetic", computed without drawing them."""

from __future__ import annotations

from typing import Any

from actors.scene.shapes import LABELS
from actors.scene.world import World


class SceneTruth:
    """The targets of one drawn scene."""

    def __init__(self, size: tuple[int, int], seed: int) -> None:
        """`size` is the (width, height) of its frames, in pixels."""
        self._world = World(size, seed)

    def targets(self, number: int) -> list[dict[str, Any]]:
        """The targets in frame `number`, for a record; hardly visible ones have `ignore`."""
        truth = self._world.truth(number)
        values = (truth.boxes, truth.class_ids, truth.visible, truth.ignored)
        return [
            {
                "box": box,
                "class_id": kind,
                "label": LABELS[kind],
                "visible": round(visible, 3),
                "ignore": ignored,
            }
            for box, kind, visible, ignored in zip(*(v.tolist() for v in values), strict=True)
        ]
