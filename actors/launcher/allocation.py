"""What a run takes of the system: open files, and all of its shared memory."""

from __future__ import annotations

import resource

from actors.launcher.errors import LaunchError
from actors.launcher.plan import Plan
from actors.system import memory

_EMULATED_CORE_BYTES = 4096
# A run of seven actors has at most 60 open in any process; several streams and cores have more.
_DESCRIPTORS = 256


def raise_descriptor_limit() -> None:
    """Raise the soft limit of open files as far as is allowed, and see that it is enough.

    Below it libzmq does not report an error but ends the process.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if wanted < _DESCRIPTORS:
        raise LaunchError(
            f"only {hard} files may be open at once, {_DESCRIPTORS} are needed; raise the limit "
            f"(ulimit -n {_DESCRIPTORS})"
        )


def allocate(plan: Plan) -> dict[str, int]:
    """Descriptors of all shared memory, by the names that `Plan.actors` uses."""
    fds = {"control": memory.create("tritile-control", plan.layout.size)}
    for stream, slots in plan.slots.items():
        size = plan.sources[stream].frame_bytes
        fds[f"frames.{stream}"] = memory.Pool.create(f"tritile-{stream}", slots, size)
    fds["tiles"] = memory.Pool.create("tritile-tiles", plan.layout.tile_slots, plan.tile_bytes)
    for name in [name for name in fds if name != "control"]:
        fds[f"{name}:r"] = memory.reader(fds[name])
    if plan.emulated:
        for core in {worker.core for worker in plan.workers}:
            fds[f"core.{core}"] = memory.create(f"tritile-core{core}", _EMULATED_CORE_BYTES)
    return fds
