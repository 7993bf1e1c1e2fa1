"""Tiles and jobs of a frame, and the frame rate that the cores allow."""

from __future__ import annotations

from actors.dataflow.settings import RunSettings, StageSettings
from actors.vision.tiling import plan


def tiles_of(run: RunSettings, stream: str, stage: StageSettings) -> int | None:
    """Tiles of a frame of that stream in a stage; None where another stage decides."""
    if stage.source is not None:
        return None
    info = run.streams[stream].info
    return len(plan(stage.view, (info.width, info.height), run.models[stage.model].size))


def jobs_of(run: RunSettings, stream: str) -> int:
    """Jobs a frame of that stream, as far as they are known; a stage of crops counts as one."""
    return sum(tiles_of(run, stream, stage) or 1 for stage in run.stages)


def frame_rate_limit(run: RunSettings, stream: str) -> float | None:
    """Frames per second that the cores allow; None where a latency is not known.

    Jobs of a stage can be given to any worker that holds its model. By the max-flow min-cut theorem
    the rate is the least, over all sets of cores, of their number divided by the core time that
    a frame needs in the stages that can run nowhere else. Only unions of stages' cores matter.
    """
    needs = []
    for index, stage in enumerate(run.stages):
        latency = run.model_of(index).latency_ms
        if latency is None:
            return None
        cores = frozenset(w.core for w in run.workers.values() if index in w.stages)
        needs.append((cores, (tiles_of(run, stream, stage) or 1) * latency / 1000))
    unions: set[frozenset[int]] = {frozenset()}
    for cores, _ in needs:
        unions |= {cores | other for other in unions}
    rates = []
    for union in unions:
        seconds = sum(needed for cores, needed in needs if cores <= union)
        if seconds > 0:
            rates.append(len(union) / seconds)
    return min(rates, default=None)
