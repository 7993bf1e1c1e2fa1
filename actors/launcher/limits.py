"""What limits a run's frame rate: one sentence from what was measured. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

BUSY = 0.9
"""From this share of its time on, a process or core is taken for what limits the rate."""


@dataclass(frozen=True)
class Load:
    """The shares (0 to 1) of their time that the parts of a run were busy over the last seconds."""

    cores: Mapping[int, float]
    """By core number, the cores that workers use."""
    cores_are: str
    """What they are called: "cores", "emulated cores", "simulated cores"."""
    npu_slowed: str | None
    """Why the board's NPU computes slower than it could; None where it does not."""
    processes: Mapping[str, float]
    """By actor, the share of one processor; workers are left out."""
    roles: Mapping[str, str]
    """The roles of those actors."""
    source_keeps_pace: bool
    """Whether every stream comes at its source's own rate with nothing dropped lately."""
    machine: float
    """Of all processors, by any program."""
    processors: int


def limiting_part(load: Load) -> str:
    """The part that limits the rate and how that is known, as in "the source: it gives no more"."""
    if load.cores and all(busy >= BUSY for busy in load.cores.values()):
        if load.npu_slowed is not None:
            return f"the NPU: its cores are busy, and {load.npu_slowed}"
        return f"the {load.cores_are}: all are busy, which is the most that they can do"
    busiest = max(load.processes, key=lambda name: load.processes[name])
    share = load.processes[busiest]
    if share >= BUSY:
        return f"{busiest} ({load.roles[busiest]}): this process uses {share:.0%} of a processor"
    if load.source_keeps_pace:
        return "the source: it gives no more frames than these"
    if load.machine >= BUSY:
        return (
            f"this machine's processors: all {load.processors} are busy, "
            f"{sum(load.processes.values()):.1f} of them with this run (workers not counted)"
        )
    cores = ", ".join(f"core {core} {busy:.0%}" for core, busy in load.cores.items())
    return (
        f"no single part ({load.cores_are}: {cores}; busiest other process: {busiest} {share:.0%} "
        "of a processor)"
    )
