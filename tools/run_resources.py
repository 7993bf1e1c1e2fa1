"""Resources of a run: descriptors and memory of its processes, and what is left after its end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from actors.dataflow.shared_records import ControlBlock, Layout
from actors.system import memory

from .run_harness import Harness, pids

# A descriptor for a connection that just closed, or for a video's packet index, is not a leak; one
# left by each death would be many.
_SPARE_FDS = 6
# What Python and malloc keep for later differs by a few MB from one process to the next.
_SPARE_BYTES = 30 << 20


@dataclass(frozen=True)
class ProcessResources:
    """A process's descriptors and its own memory in bytes, shared memory not counted."""

    fds: int
    own_bytes: int


def measure(harness: Harness) -> dict[str, ProcessResources]:
    """Resources of the actors, the supervisor and the fork server, by name."""
    assert harness.process is not None
    processes = pids(harness.status())
    actors = set(processes.values())
    processes["supervisor"] = harness.process.pid
    for child in psutil.Process(harness.process.pid).children():
        if child.pid not in actors:
            # The fork server, by its title; anything else, a zombie too, should not be there.
            title = Path(f"/proc/{child.pid}/cmdline").read_bytes().strip(b"\0").decode()
            processes[title.removeprefix("tritile: ") or f"nameless {child.pid}"] = child.pid
    held = {}
    for name, pid in processes.items():
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            fds = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
        except OSError:
            continue  # it has just ended
        own = [line.split()[1] for line in status.splitlines() if line.startswith("RssAnon:")]
        held[name] = ProcessResources(fds, int(own[0]) * 1024 if own else 0)
    return held


def growth(
    before: Mapping[str, ProcessResources], after: Mapping[str, ProcessResources]
) -> list[str]:
    """Processes that hold clearly more than before, or are new; one line each."""
    lines = []
    for name, now in after.items():
        then = before.get(name)
        if then is None:
            lines.append(f"process {name} is new")
            continue
        if now.fds > then.fds + _SPARE_FDS:
            lines.append(f"{name}: {then.fds} descriptors became {now.fds}")
        if now.own_bytes > then.own_bytes + _SPARE_BYTES:
            lines.append(
                f"{name}: {then.own_bytes / 1e6:.0f} MB became {now.own_bytes / 1e6:.0f} MB"
            )
    return lines


class Leases:
    """Leased slots, read from the run's own shared memory. The mapping outlives the run, so after
    its end it shows the slots that were not returned."""

    def __init__(self, harness: Harness) -> None:
        assert harness.process is not None
        names = tuple(actor["name"] for actor in harness.status()["actors"])
        descriptors = Path(f"/proc/{harness.process.pid}/fd").iterdir()
        block = next(fd for fd in descriptors if "memfd:tritile-control" in str(fd.readlink()))
        with block.open("rb") as file:
            # The actors' records come first, in this order; of the rest nothing is looked at.
            memory_view = memory.view(file.fileno(), write=False)
        self._control = ControlBlock(Layout(names, {}, 0), memory_view)

    def out(self) -> dict[str, int]:
        """How many slots are leased, by the actor that owns them, where there are any."""
        leased = {name: record.leased for name, record in self._control.actors.items()}
        return {name: count for name, count in leased.items() if count}


def processes_of(harness: Harness) -> list[psutil.Process]:
    """All processes that run for a harness: its supervisor and what that has started."""
    assert harness.process is not None
    try:
        supervisor = psutil.Process(harness.process.pid)
        return [supervisor, *supervisor.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def leftovers(
    harness: Harness, processes: Sequence[psutil.Process], seconds: float = 3.0
) -> list[str]:
    """What a run that is over has left: processes, its run directory, shared memory."""
    deadline = time.monotonic() + seconds
    while (alive := [p for p in processes if _alive(p)]) and time.monotonic() < deadline:
        time.sleep(0.01)
    left = [f"process {process.pid}" for process in alive]
    left += [f"file {path}" for path in harness.run_directory.glob("*")]
    if harness.run_directory.exists():
        left.append(f"folder {harness.run_directory}")
    left += [f"memory {path}" for path in Path("/dev/shm").glob("*tritile*")]
    return left


def _alive(process: psutil.Process) -> bool:
    """Whether a process still runs; one that only its adoptive parent has not collected is gone."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
