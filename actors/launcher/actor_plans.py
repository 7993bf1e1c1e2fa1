"""The processes of a run: what each is forked with, and when a run without some makes no sense."""

from __future__ import annotations

from collections.abc import Mapping

from actors.dataflow.settings import RunSettings
from actors.launcher.plan import actors_of
from actors.processes import ROLES, Memory
from actors.system.children import ActorPlan


def actor_plans(run: RunSettings, fds: Mapping[str, int]) -> list[ActorPlan[RunSettings]]:
    """All actors. `fds` are the run's descriptors as `frame_memory.allocate` names them."""
    plans = []
    for name, role in actors_of(run):
        line = ROLES[role]
        own = {"control": fds["control"]}
        for memory in line.maps:
            own |= _descriptors(memory, name, run, fds)
        plans.append(
            ActorPlan(
                name=name,
                role=role,
                entry=f"{line.module}:main",
                settings=run,
                fds=own,
                ends=line.ends,
            )
        )
    return plans


def _descriptors(
    memory: Memory, actor: str, run: RunSettings, fds: Mapping[str, int]
) -> dict[str, int]:
    """The descriptors of one kind of memory, by the names under which the actor finds them."""
    if memory is Memory.OWN_FRAMES:
        return {"frames": fds[f"frames.{actor}"]}
    if memory is Memory.ALL_FRAMES:
        return {f"frames.{name}": fds[f"frames.{name}:r"] for name in run.streams}
    if memory is Memory.TILES:
        return {"tiles": fds["tiles"]}
    if memory is Memory.TILES_READ_ONLY:
        return {"tiles": fds["tiles:r"]}
    core = f"core.{run.workers[actor].core}"
    return {"core": fds[core]} if core in fds else {}


def fatal_reason(run: RunSettings, failed: Mapping[str, str]) -> str | None:
    """Why a run without these actors (last errors by name) makes no sense, or None."""
    for name, error in failed.items():
        if name not in run.workers:
            return f"{name} cannot run: {error}"
    left = [worker for name, worker in run.workers.items() if name not in failed]
    for index, stage in enumerate(run.stages):
        if not any(index in worker.stages for worker in left):
            last = "; ".join(f"{name}: {error}" for name, error in failed.items())
            return f"no worker is left for stage {stage.name} ({last})"
    return None
