"""What `launch --check` prints: the plan for a person."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from actors.dataflow.settings import RunSettings, StageSettings
from actors.launcher.frame_memory import memory_bytes
from actors.launcher.rate_limit import frame_rate_limit, jobs_of
from actors.sources.classify import hide_password
from actors.system.text import plural
from actors.vision import tiling


def plan_lines(run: RunSettings) -> list[str]:
    """The plan for a person: tiles, jobs, workers, memory, and the rate that is possible."""
    lines = [f"run {run.name}"]
    for name, stream in run.streams.items():
        info = stream.info
        frames = plural(info.frames, "frame") if info.frames is not None else "endless"
        rate = f", {info.fps:g} frames/s" if info.fps else ""
        source = hide_password(stream.source)
        lines.append(f"stream {name}: {source}, {info.width}x{info.height}, {frames}{rate}")
        lines += [f"  stage {stage.name}: {_stage(run, name, stage)}" for stage in run.stages]
        lines.append(
            f"  {plural(jobs_of(run, name), 'job')} a frame, {plural(stream.slots, 'frame slot')}"
        )
    for model in run.models.values():
        note = " (EMULATED: a stand-in that takes a core's time)" if model.emulated else ""
        note = " (SIMULATED: the board's numbers at a PC's pace)" if model.simulated else note
        latency = f", {model.latency_ms:g} ms" if model.latency_ms is not None else ""
        lines.append(
            f"model {model.name}: {model.runtime}, {model.size[0]}x{model.size[1]}, "
            f"head {model.head.name}, {plural(len(model.labels), 'class', 'classes')}, "
            f"input {model.color}, "
            f"std {model.std[0]:g}{latency}{note}"
        )
    for name, worker in run.workers.items():
        stages = ", ".join(run.stages[index].name for index in sorted(worker.stages))
        lines.append(
            f"worker {name}: core {worker.core}, {plural(worker.contexts, 'context')}, "
            f"{plural(len(worker.slots), 'tile slot')}, stages {stages or 'none'}"
        )
    lines.append(f"memory: {memory_bytes(run) / 1e6:.0f} MB shared")
    lines += _rates(run)
    return lines


def _stage(run: RunSettings, stream: str, stage: StageSettings) -> str:
    """One stage's view of one stream's frames."""
    model = run.models[stage.model]
    size = f"{model.size[0]}x{model.size[1]}"
    waits = "" if stage.condition is None else f", if {run.stages[stage.condition].name} finds any"
    if stage.source is not None:
        found = run.stages[stage.source].name
        crops = plural(stage.max_crops, "crop")
        return f"up to {crops} of {size} around what {found} finds{waits}"
    info = run.streams[stream].info
    tiles = tiling.plan(stage.view, (info.width, info.height), model.size)
    if stage.view.kind == "frame":
        return f"the whole frame fitted into {size}, 1 tile{waits}"
    columns = sorted({tile.x for tile in tiles})
    rows = sorted({tile.y for tile in tiles})
    scale = "native" if stage.view.grid is None else "resized"
    shared = (_overlap(columns, tiles[0].width), _overlap(rows, tiles[0].height))
    return (
        f"{len(columns)}x{len(rows)} {scale} tiles of {size}, overlap {shared[0]} px across and "
        f"{shared[1]} px down, {plural(len(tiles), 'tile')}{waits}"
    )


def _overlap(starts: list[int], side: int) -> int:
    """The least overlap of neighbours, frame pixels."""
    gaps = [after - before for before, after in pairwise(starts)]
    return max(0, side - max(gaps, default=side))


def _rates(run: RunSettings) -> Iterator[str]:
    for name in run.streams:
        limit = frame_rate_limit(run, name)
        if limit is None:
            unknown = sorted(
                {s.model for s in run.stages if run.models[s.model].latency_ms is None}
            )
            yield (
                f"frame rate of {name}: unknown; give latency_ms of {', '.join(unknown)} to have "
                "it computed"
            )
        else:
            alone = " alone" if len(run.streams) > 1 else ""
            yield f"frame rate of {name}{alone}: at most {limit:.1f} frames/s on these cores"
