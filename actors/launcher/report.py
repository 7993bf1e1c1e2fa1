"""What `launch --check` prints: the plan for a person."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from actors.dataflow.settings import StageSettings
from actors.launcher.plan import Plan
from actors.sources.classify import shown
from actors.system.text import plural
from actors.vision import tiling


def plan_lines(plan: Plan) -> list[str]:
    """The plan for a person: tiles, jobs, who runs what, memory, the rate that is possible."""
    lines = [f"run {plan.topology.run.name}"]
    for name, info in plan.sources.items():
        frames = plural(info.frames, "frame") if info.frames is not None else "endless"
        rate = f", {info.fps:g} frames/s" if info.fps else ""
        source = shown(plan.topology.streams[name].source)
        lines.append(f"stream {name}: {source}, {info.width}x{info.height}, {frames}{rate}")
        lines += [f"  stage {stage.name}: {_stage(plan, name, stage)}" for stage in plan.stages]
        lines.append(
            f"  {plural(plan.jobs(name), 'job')} a frame, {plural(plan.slots[name], 'frame slot')}"
        )
    for model in plan.models.values():
        note = " (EMULATED: a stand-in that takes a core's time)" if model.emulated else ""
        note = " (SIMULATED: the board's numbers at a PC's pace)" if model.simulated else note
        latency = f", {model.latency_ms:g} ms" if model.latency_ms is not None else ""
        lines.append(
            f"model {model.name}: {model.runtime}, {model.size[0]}x{model.size[1]}, "
            f"head {model.head.name}, {plural(len(model.labels), 'class', 'classes')}, "
            f"input {model.color}, "
            f"std {model.std[0]:g}{latency}{note}"
        )
    for worker in plan.workers:
        stages = ", ".join(plan.stages[index].name for index in sorted(plan.can_run(worker)))
        lines.append(
            f"worker {worker.name}: core {worker.core}, {plural(worker.contexts, 'context')}, "
            f"{plural(worker.slots, 'tile slot')}, stages {stages or 'none'}"
        )
    lines.append(f"memory: {plan.memory_bytes / 1e6:.0f} MB shared")
    lines += _rates(plan)
    return lines


def _stage(plan: Plan, stream: str, stage: StageSettings) -> str:
    """One stage's view of one stream's frames."""
    model = plan.models[stage.model]
    size = f"{model.size[0]}x{model.size[1]}"
    waits = "" if stage.condition is None else f", if {plan.stages[stage.condition].name} finds any"
    if stage.source is not None:
        found = plan.stages[stage.source].name
        crops = plural(stage.max_crops, "crop")
        return f"up to {crops} of {size} around what {found} finds{waits}"
    info = plan.sources[stream]
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


def _rates(plan: Plan) -> Iterator[str]:
    for name in plan.sources:
        limit = plan.frame_rate_limit(name)
        if limit is None:
            unknown = sorted(
                {s.model for s in plan.stages if plan.models[s.model].latency_ms is None}
            )
            yield (
                f"frame rate of {name}: unknown; give latency_ms of {', '.join(unknown)} to have "
                "it computed"
            )
        else:
            alone = " alone" if len(plan.sources) > 1 else ""
            yield f"frame rate of {name}{alone}: at most {limit:.1f} frames/s on these cores"
