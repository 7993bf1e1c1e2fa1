"""The shared memory of a run: how much it is, and its descriptors."""

from __future__ import annotations

from actors.dataflow.settings import RunSettings
from actors.system import memory


def tile_bytes(run: RunSettings) -> int:
    """Bytes of the largest tile."""
    return max(model.size[0] * model.size[1] * 3 for model in run.models.values())


def memory_bytes(run: RunSettings) -> int:
    """All shared memory of the run, in bytes."""
    frames = sum(
        memory.page_aligned(stream.info.frame_bytes) * stream.slots
        for stream in run.streams.values()
    )
    tiles = memory.page_aligned(tile_bytes(run)) * run.layout.tile_slots
    return frames + tiles + run.layout.size


def allocate(run: RunSettings) -> dict[str, int]:
    """Descriptors by name: "control", "tiles", "frames.STREAM" and, where cores are emulated,
    "core.N"; all but the first and the last also with ":r" at the end, for mapping read-only."""
    fds = {"control": memory.create("tritile-control", run.layout.size)}
    pools = {"tiles": memory.Pool.create("tritile-tiles", run.layout.tile_slots, tile_bytes(run))}
    for name, stream in run.streams.items():
        size = stream.info.frame_bytes
        pools[f"frames.{name}"] = memory.Pool.create(f"tritile-{name}", stream.slots, size)
    fds |= pools
    fds |= {f"{name}:r": memory.reader(fd) for name, fd in pools.items()}
    core_bytes = max(model.kind.core_bytes for model in run.models.values())
    for core in sorted({worker.core for worker in run.workers.values()}) if core_bytes else ():
        fds[f"core.{core}"] = memory.create(f"tritile-core{core}", core_bytes)
    return fds
