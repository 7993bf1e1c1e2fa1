"""The plan: the processes, memory and tiles that follow from a topology.

Made from the topology and what was found out about its sources and models; imports neither OpenCV
nor a runtime, because the supervisor makes it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from actors.config.schema import Stream, Topology
from actors.dataflow.job_queue import WorkerRule
from actors.dataflow.settings import (
    MERGER,
    RENDERER,
    TILER,
    CaptureSettings,
    MergerSettings,
    ModelSettings,
    RendererSettings,
    StageSettings,
    TilerSettings,
    WorkerSettings,
)
from actors.outputs.video_files import of_streams
from actors.sources.contract import SourceInfo
from actors.system.children import ActorPlan
from actors.system.control_block import Layout
from actors.system.memory import page_aligned
from actors.vision.tiling import View, plan

# Contexts by kind of runtime. Measured for the NPU's (emulated, 13.6 ms a tile): one keeps the core
# 88 % busy, two 97 %. On a CPU the call itself is the work, and a second would only share the core.
_CONTEXTS = {"onnx": 1, "rknn": 2, "simulator": 1, "emulated": 2, "instant": 1}
# Tiles that wait in the worker beside those in its contexts, so that the next is always at hand.
_WAITING = {"onnx": 1, "rknn": 2, "simulator": 1, "emulated": 2, "instant": 3}
# Frames beside those whose tiles are with the workers: one being filled, one being merged, one
# published but not settled, and one between two of the processes. A renderer has two more: one that
# it draws, one that waits for the next to be in the file.
_SPARE_FRAMES = 4
_MOST_SLOTS = 16
_IMAGES_PER_SECOND = 25.0


@dataclass(frozen=True)
class WorkerPlan:
    """A worker with its share of the tile slots."""

    name: str
    core: int
    models: tuple[str, ...]
    contexts: int
    cpus: tuple[int, ...]
    first_slot: int
    slots: int


@dataclass(frozen=True)
class Plan:
    """Everything that `launch` needs to know before it starts anything."""

    topology: Topology
    sources: Mapping[str, SourceInfo]
    models: Mapping[str, ModelSettings]
    stages: tuple[StageSettings, ...]
    workers: tuple[WorkerPlan, ...]
    slots: Mapping[str, int]
    frame_limit: int | None

    # ------------------------------------------------------------ tiles

    def tiles(self, stream: str, stage: StageSettings) -> int | None:
        """Tiles of a frame of that stream in a stage; None where another stage decides."""
        if stage.source is not None:
            return None
        info = self.sources[stream]
        return len(plan(stage.view, (info.width, info.height), self.models[stage.model].size))

    def jobs(self, stream: str) -> int:
        """Jobs a frame of that stream, as far as they are known; crops count as one."""
        return sum(self.tiles(stream, stage) or 1 for stage in self.stages)

    # ------------------------------------------------------------ memory

    @property
    def layout(self) -> Layout:
        names = [*self.topology.streams, TILER, *(w.name for w in self.workers), MERGER]
        if self.rendering:
            names.append(RENDERER)
        return Layout(tuple(names), dict(self.slots), sum(w.slots for w in self.workers))

    @property
    def tile_bytes(self) -> int:
        return max(m.size[0] * m.size[1] * 3 for m in self.models.values())

    @property
    def memory_bytes(self) -> int:
        """All shared memory of the run."""
        frames = sum(
            page_aligned(self.sources[name].frame_bytes) * slots
            for name, slots in self.slots.items()
        )
        return frames + page_aligned(self.tile_bytes) * self.layout.tile_slots + self.layout.size

    # ------------------------------------------------------------ who

    @property
    def rendering(self) -> bool:
        return self.topology.render.video is not None

    @property
    def emulated(self) -> bool:
        return any(self.models[stage.model].emulated for stage in self.stages)

    @property
    def simulated(self) -> bool:
        return any(self.models[stage.model].simulated for stage in self.stages)

    @property
    def cores_are(self) -> str:
        """What the cores are called wherever a number is shown."""
        if self.simulated:
            return "simulated cores"
        return "emulated cores" if self.emulated else "cores"

    def videos(self) -> dict[str, Path]:
        """The annotated video of each stream: with several, the stream's name is added."""
        path = self.topology.render.video
        return {} if path is None else of_streams(path, list(self.topology.streams))

    def can_run(self, worker: WorkerPlan) -> frozenset[int]:
        """The stages whose model a worker holds."""
        return frozenset(i for i, s in enumerate(self.stages) if s.model in worker.models)

    def fatal_reason(self, failed: Mapping[str, str]) -> str | None:
        """Why a run without these actors (last errors by name) makes no sense, or None."""
        left = [worker for worker in self.workers if worker.name not in failed]
        names = {worker.name for worker in self.workers}
        for name, error in failed.items():
            if name not in names:
                return f"{name} cannot run: {error}"
        for index, stage in enumerate(self.stages):
            if not any(index in self.can_run(worker) for worker in left):
                last = "; ".join(f"{name}: {error}" for name, error in failed.items())
                return f"no worker is left for stage {stage.name} ({last})"
        return None

    def frame_rate_limit(self, stream: str) -> float | None:
        """Frames per second that the cores allow; None where a latency is not known.

        Jobs of a stage can go to any worker that holds its model. By the max-flow min-cut theorem
        the rate is the least, over all sets of cores, of their number divided by the core time that
        a frame needs in the stages that can run nowhere else. Only unions of stages' cores matter.
        """
        needs = []
        for index, stage in enumerate(self.stages):
            latency = self.models[stage.model].latency_ms
            if latency is None:
                return None
            cores = frozenset(w.core for w in self.workers if index in self.can_run(w))
            needs.append((cores, (self.tiles(stream, stage) or 1) * latency / 1000))
        unions: set[frozenset[int]] = {frozenset()}
        for cores, _ in needs:
            unions |= {cores | other for other in unions}
        rates = []
        for union in unions:
            seconds = sum(needed for cores, needed in needs if cores <= union)
            if seconds > 0:
                rates.append(len(union) / seconds)
        return min(rates, default=None)

    # ------------------------------------------------------------ actors

    def actors(self, fds: Mapping[str, int], bind: str) -> list[ActorPlan]:
        """All actors; `fds` has "control", "tiles", "frames.STREAM" and "core.N", each also with
        ":r" at its end for reading only where somebody only reads."""
        layout = self.layout
        used = {stage.model: self.models[stage.model] for stage in self.stages}
        frames = {f"frames.{name}": fds[f"frames.{name}:r"] for name in self.slots}
        control = {"control": fds["control"]}
        plans = []
        for name, stream in self.topology.streams.items():
            settings = self._capture(layout, name, stream)
            own = {**control, "frames": fds[f"frames.{name}"]}
            plans.append(ActorPlan(name, "capture", "actors.capture:main", settings, own, True))
        rules = {
            w.name: WorkerRule(self.can_run(w), tuple(range(w.first_slot, w.first_slot + w.slots)))
            for w in self.workers
        }
        tiler = TilerSettings(layout, used, self.stages, rules)
        tiler_fds = {**control, **frames, "tiles": fds["tiles"]}
        plans.append(ActorPlan(TILER, "tiler", "actors.tiler:main", tiler, tiler_fds))
        for worker in self.workers:
            worker_fds = {**control, "tiles": fds["tiles:r"]}
            if f"core.{worker.core}" in fds:
                worker_fds["core"] = fds[f"core.{worker.core}"]
            held = {name: used[name] for name in worker.models if name in used}
            worker_settings = WorkerSettings(
                layout,
                held,
                self.stages,
                worker.core,
                worker.contexts,
                self._threads(),
                worker.cpus,
            )
            plans.append(
                ActorPlan(worker.name, "worker", "actors.worker:main", worker_settings, worker_fds)
            )
        plans.append(
            ActorPlan(MERGER, "merger", "actors.merger:main", self._merger(layout, bind), control)
        )
        if self.rendering:
            plans.append(
                ActorPlan(
                    RENDERER,
                    "renderer",
                    "actors.renderer:main",
                    self._renderer(layout),
                    {**control, **frames},
                )
            )
        return plans

    def _capture(self, layout: Layout, name: str, stream: Stream) -> CaptureSettings:
        return CaptureSettings(
            layout=layout,
            stream=name,
            source=stream.source,
            live=self.sources[name].live,
            ask=stream.ask,
            pace=stream.pace,
            loop=stream.loop,
            fps=self.sources[name].fps,
            frame_limit=self.frame_limit,
            wait_for_subscriber=self.topology.results.wait_for_subscriber,
            workers=tuple(worker.name for worker in self.workers),
        )

    def _merger(self, layout: Layout, bind: str) -> MergerSettings:
        labels, class_ids = self.classes()
        merge = self.topology.merge
        return MergerSettings(
            layout=layout,
            run=self.topology.run.name,
            bind=bind,
            curve=self.topology.results.curve,
            jsonl=self.topology.results.jsonl,
            models=self.models,
            stages=self.stages,
            labels=labels,
            class_ids=class_ids,
            method=merge.method,
            metric=merge.metric,
            threshold=merge.threshold,
            class_agnostic=merge.class_agnostic,
            truncated=merge.truncated,
            renderer=self.rendering,
            worlds=self._worlds(),
        )

    def _worlds(self) -> dict[str, tuple[tuple[int, int], int]]:
        """Size and seed of the drawn scenes, if their truth is wanted."""
        if not self.topology.results.ground_truth:
            return {}
        return {
            name: ((info.width, info.height), self.topology.streams[name].seed or 0)
            for name, info in self.sources.items()
        }

    def _renderer(self, layout: Layout) -> RendererSettings:
        fps = {name: info.fps or _IMAGES_PER_SECOND for name, info in self.sources.items()}
        return RendererSettings(
            layout=layout,
            video=self.videos(),
            fps=fps,
            labels=self.classes()[0],
            tiles=self.topology.render.tiles,
            models=self.models,
            stages=self.stages,
        )

    def _threads(self) -> int:
        """Threads of one ONNX context, so that all of them together do not outnumber the CPUs."""
        contexts = sum(worker.contexts for worker in self.workers)
        return max(1, (os.cpu_count() or 1) // contexts)

    def classes(self) -> tuple[tuple[str, ...], dict[str, tuple[int, ...]]]:
        """The run's class names, and what class ids of each model become in it.

        Models of the same classes share ids, so that merging knows that two of their boxes are of
        one class; the first model's ids stay as they are.
        """
        labels: list[str] = []
        ids: dict[str, tuple[int, ...]] = {}
        for model in {stage.model: self.models[stage.model] for stage in self.stages}.values():
            if not labels:
                labels.extend(model.labels)
                ids[model.name] = tuple(range(len(labels)))
                continue
            labels.extend(name for name in model.labels if name not in labels)
            ids[model.name] = tuple(labels.index(name) for name in model.labels)
        return tuple(labels), ids


def make(
    topology: Topology,
    sources: Mapping[str, SourceInfo],
    models: Mapping[str, ModelSettings],
    frame_limit: int | None = None,
) -> Plan:
    """The plan for a sound topology; ValueError where a view does not fit a frame size."""
    order = list(topology.stages)
    stages = tuple(
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
    for stage in stages:
        if stage.source is None:
            for size in sorted({size for info in sources.values() for size in info.sizes}):
                plan(stage.view, size, models[stage.model].size)
    workers = []
    first = 0
    used = {stage.model for stage in stages}
    for name, worker in topology.workers.items():
        kinds = {models[model].runtime for model in worker.models if model in used}
        contexts = worker.contexts or max((_CONTEXTS[kind] for kind in kinds), default=1)
        slots = contexts + max((_WAITING[kind] for kind in kinds), default=1)
        workers.append(
            WorkerPlan(
                name=name,
                core=worker.core,
                models=tuple(worker.models),
                contexts=contexts,
                cpus=tuple(worker.cpus or ()),
                first_slot=first,
                slots=slots,
            )
        )
        first += slots
    bare = Plan(topology, sources, models, stages, tuple(workers), {}, frame_limit)
    frame_slots = {
        name: stream.slots or _frame_slots(bare, name) for name, stream in topology.streams.items()
    }
    return Plan(topology, sources, models, stages, tuple(workers), frame_slots, frame_limit)


def _frame_slots(bare: Plan, stream: str) -> int:
    """Frames in memory: those whose tiles the workers hold, and a few on their way."""
    jobs = bare.jobs(stream) * len(bare.topology.streams)
    held = -(-sum(worker.slots for worker in bare.workers) // jobs)
    return min(_MOST_SLOTS, held + _SPARE_FRAMES + 2 * bare.rendering)
