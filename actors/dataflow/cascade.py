"""Which stages of a frame can start, and with which tiles.

Stages run side by side unless one names another as its source (its tiles are crops around what that
one found) or its condition (it runs only where that one found something). Such a stage starts when
every tile of the stages that it needs is answered or given up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from actors.dataflow.settings import StageSettings
from actors.vision.detections import Detections
from actors.vision.merging import nms_indices
from actors.vision.tiling import Size, Tile, plan, plan_crops

UNKNOWN = -1
"""In place of a number of tiles: the stage has not started."""


class Cascade:
    """The stages of a run. `sizes` are their models' inputs (width, height)."""

    def __init__(self, stages: Sequence[StageSettings], sizes: Sequence[Size]) -> None:
        self._stages = stages
        self._sizes = sizes
        self._needs = [
            {other for other in (stage.source, stage.condition) if other is not None}
            for stage in stages
        ]
        self._plans: dict[tuple[int, Size], tuple[Tile, ...]] = {}
        self.returning: frozenset[int] = frozenset().union(*self._needs)
        """Stages whose detections others need."""

    def first(self, frame: Size) -> list[tuple[int, tuple[Tile, ...]]]:
        """The stages that need no other, and their tiles. ValueError as from `plan`."""
        independent = [stage for stage, needs in enumerate(self._needs) if not needs]
        return [(stage, self._plan(stage, frame)) for stage in independent]

    def next_stage(self, open_jobs: Sequence[int]) -> int | None:
        """A stage that can start: `open_jobs` by stage, UNKNOWN before its start, 0 at its end."""
        for stage, needs in enumerate(self._needs):
            if open_jobs[stage] == UNKNOWN and all(open_jobs[other] == 0 for other in needs):
                return stage
        return None

    def tiles(
        self, stage: int, frame: Size, found_by: Callable[[int], Sequence[bytes]]
    ) -> tuple[Tile, ...]:
        """The tiles of a stage that can start; `found_by` has a stage's detections by tile."""
        settings = self._stages[stage]
        if settings.condition is not None and not any(found_by(settings.condition)):
            return ()
        if settings.source is None:
            return self._plan(stage, frame)
        found = Detections.from_bytes(b"".join(found_by(settings.source)))
        kept = nms_indices(found.boxes, found.scores, found.class_ids)
        return plan_crops(found.boxes[kept], frame, self._sizes[stage], settings.max_crops)

    def _plan(self, stage: int, frame: Size) -> tuple[Tile, ...]:
        """A camera has one size of frame, so this is planned once a run."""
        known = self._plans.get((stage, frame))
        if known is None:
            known = plan(self._stages[stage].view, frame, self._sizes[stage])
            self._plans[stage, frame] = known
        return known
