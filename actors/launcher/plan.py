"""From a topology and what was found about its sources and models to the settings of a run.

Imports neither OpenCV nor a runtime, because the supervisor does this.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from actors.config.schema import Topology
from actors.dataflow.settings import (
    ClassTable,
    ModelSettings,
    RunSettings,
    StageSettings,
    StreamSettings,
    WorkerSettings,
)
from actors.dataflow.shared_records import Layout
from actors.launcher.rate_limit import jobs_of
from actors.outputs import pictures
from actors.outputs.video_files import of_streams
from actors.processes import ROLES, Role
from actors.sources.contract import SourceInfo
from actors.vision.tiling import View, plan

# Frames beside those whose tiles are with the workers: one being filled, one being merged, one
# published but not settled, and one between two of the processes. A renderer has two more: one that
# it draws, one that waits for the next to be in the file.
_SPARE_FRAMES = 4
_MOST_SLOTS = 16


def make(
    topology: Topology,
    sources: Mapping[str, SourceInfo],
    models: Mapping[str, ModelSettings],
    frame_limit: int | None = None,
) -> RunSettings:
    """The settings for a sound topology. ValueError where a view does not fit a frame size."""
    stages = _stages(topology)
    for stage in stages:
        if stage.source is None:
            for size in sorted({size for info in sources.values() for size in info.sizes}):
                plan(stage.view, size, models[stage.model].size)
    workers = _workers(topology, stages, models)
    run = RunSettings(
        name=topology.run.name,
        layout=Layout(actors=(), streams={}, tile_slots=0),
        frame_limit=frame_limit,
        streams=_streams(topology, sources),
        models=models,
        stages=stages,
        workers=workers,
        classes=_classes([models[stage.model] for stage in stages]),
        results=topology.results,
        merge=topology.merge,
        render=topology.render,
    )
    streams = {
        name: replace(stream, slots=topology.streams[name].slots or _frame_slots(run, name))
        for name, stream in run.streams.items()
    }
    layout = Layout(
        actors=tuple(actor for actor, _ in actors_of(run)),
        streams={name: stream.slots for name, stream in streams.items()},
        tile_slots=sum(len(worker.slots) for worker in workers.values()),
    )
    return replace(run, streams=streams, layout=layout)


def role_wanted(role: Role, tables: Topology | RunSettings) -> bool:
    """Whether a run has actors of this role: its table asks for an output."""
    return role.table is None or bool(getattr(tables, role.table).wanted)


def actors_of(run: RunSettings) -> list[tuple[str, str]]:
    """Name and role of every actor of a run, in the order of the table of roles."""
    actors = []
    for name, role in ROLES.items():
        if role_wanted(role, run):
            names: Iterable[str] = {"stream": run.streams, "worker": run.workers}.get(
                role.per, (name,)
            )
            actors += [(actor, name) for actor in names]
    return actors


def _stages(topology: Topology) -> tuple[StageSettings, ...]:
    order = list(topology.stages)
    return tuple(
        StageSettings(
            name=name,
            model=stage.model,
            view=View(stage.view, stage.overlap, stage.grid),
            source=None if stage.source is None else order.index(stage.source),
            condition=None if stage.condition is None else order.index(stage.condition),
            max_crops=stage.max_crops,
        )
        for name, stage in topology.stages.items()
    )


def _workers(
    topology: Topology, stages: Sequence[StageSettings], models: Mapping[str, ModelSettings]
) -> dict[str, WorkerSettings]:
    """The workers, each with its share of the tile slots."""
    workers = {}
    first = 0
    used = {stage.model for stage in stages}
    for name, worker in topology.workers.items():
        held = tuple(model for model in worker.models if model in used)
        kinds = [models[model].kind for model in held]
        contexts = worker.contexts or max((kind.contexts for kind in kinds), default=1)
        slots = contexts + max((kind.waiting for kind in kinds), default=1)
        workers[name] = WorkerSettings(
            core=worker.core,
            models=held,
            stages=frozenset(i for i, stage in enumerate(stages) if stage.model in held),
            contexts=contexts,
            threads=1,
            cpus=tuple(worker.cpus or ()),
            slots=tuple(range(first, first + slots)),
        )
        first += slots
    # Threads of one ONNX context, so that all of them together do not outnumber the CPUs.
    contexts = sum(worker.contexts for worker in workers.values())
    threads = max(1, (os.cpu_count() or 1) // max(1, contexts))
    return {name: replace(worker, threads=threads) for name, worker in workers.items()}


def _streams(topology: Topology, sources: Mapping[str, SourceInfo]) -> dict[str, StreamSettings]:
    path = topology.render.video
    videos = {} if path is None else of_streams(path, list(topology.streams))
    folder = topology.render.pictures
    folders = {} if folder is None else pictures.of_streams(folder, list(topology.streams))
    return {
        name: StreamSettings(
            source=stream.source,
            request=stream.ask,
            pace=stream.pace,
            loop=stream.loop,
            info=sources[name],
            slots=0,
            video=videos.get(name),
            pictures=folders.get(name),
        )
        for name, stream in topology.streams.items()
    }


def _classes(models: Iterable[ModelSettings]) -> ClassTable:
    """Class names and ids of the models that stages use; the first model's ids stay as they are."""
    labels: list[str] = []
    ids: dict[str, tuple[int, ...]] = {}
    for model in models:
        if not labels:
            labels.extend(model.labels)
            ids[model.name] = tuple(range(len(labels)))
        elif model.name not in ids:
            labels.extend(name for name in model.labels if name not in labels)
            ids[model.name] = tuple(labels.index(name) for name in model.labels)
    return ClassTable(labels=tuple(labels), ids=ids)


def _frame_slots(run: RunSettings, stream: str) -> int:
    """Frames in memory: those whose tiles the workers hold, and a few on their way."""
    jobs = jobs_of(run, stream) * len(run.streams)
    held = -(-sum(len(worker.slots) for worker in run.workers.values()) // jobs)
    return min(_MOST_SLOTS, held + _SPARE_FRAMES + 2 * run.render.wanted)
