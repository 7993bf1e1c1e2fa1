"""What is going on in a run: the answer to `actorctl status`, and what holds the rate back.

Counters stand in the control block; rates need two looks at them, so `sample` is called once a
second and rates are over the last few of those.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from actors.launcher.plan import Plan
from actors.runtimes.npu_status import Npu, look
from actors.system import children as states
from actors.system.children import Child
from actors.system.control_block import ControlBlock
from actors.system.linux import cpu_ns, machine_idle, now_ns, resident_bytes
from actors.system.supervisor import Supervisor

_WINDOW = 4
_BUSY = 0.9
"""From this share of its time on, a process or core is taken for what limits the rate."""


@dataclass(frozen=True)
class _Sample:
    at_ns: int
    published: Mapping[str, int]
    dropped: Mapping[str, int]
    busy_ns: Mapping[str, int]
    """By actor: workers their core's time, others their processor time."""
    pids: Mapping[str, int]
    machine: tuple[int, int]
    """Idle and all processor time of the machine, in ticks."""


class Status:
    """Looks at a run's children and control block."""

    def __init__(
        self, plan: Plan, control: ControlBlock, supervisor: Supervisor, bind: str
    ) -> None:
        self._supervisor = supervisor
        self._plan = plan
        self._control = control
        self._children: Mapping[str, Child] = supervisor.children
        self._bind = bind
        self._workers = {worker.name: worker for worker in plan.workers}
        self._samples: deque[_Sample] = deque(maxlen=_WINDOW)
        self.npu: Npu | None = None
        """What the board says of its NPU; None where none is used."""
        self.sample()

    def sample(self) -> None:
        """Look once. To be called about once a second."""
        if any(model.runtime == "rknn" for model in self._plan.models.values()):
            self.npu = look()
        busy = {}
        for name, child in self._children.items():
            record = self._control.actors[name]
            busy[name] = record.busy_ns if name in self._workers else cpu_ns(child.pid)
        self._samples.append(
            _Sample(
                now_ns(),
                {name: stream.published for name, stream in self._control.streams.items()},
                {name: stream.dropped for name, stream in self._control.streams.items()},
                busy,
                {name: child.pid for name, child in self._children.items()},
                machine_idle(),
            )
        )

    @property
    def summaries(self) -> Mapping[str, str]:
        """What each stream's newest frame shows, in some words."""
        return self._supervisor.summaries

    # ------------------------------------------------------------ rates

    def _seconds(self) -> float:
        return (self._samples[-1].at_ns - self._samples[0].at_ns) / 1e9

    def fps(self, stream: str) -> float:
        """Published frames per second over the last seconds."""
        first, last = self._samples[0], self._samples[-1]
        seconds = self._seconds()
        return (last.published[stream] - first.published[stream]) / seconds if seconds else 0.0

    def busy(self, actor: str) -> float:
        """Share of its time that an actor was busy: a worker's core, another's processor time."""
        first, last = self._samples[0], self._samples[-1]
        seconds = self._seconds()
        restarted = first.pids[actor] != last.pids[actor] and actor not in self._workers
        if not seconds or restarted:
            return 0.0
        share = (last.busy_ns[actor] - first.busy_ns[actor]) / 1e9 / seconds
        return min(1.0, max(0.0, share))

    def machine_busy(self) -> float:
        """Share of the machine's processor time that was used, by whomever."""
        first, last = self._samples[0].machine, self._samples[-1].machine
        ticks = last[1] - first[1]
        return 1 - (last[0] - first[0]) / ticks if ticks else 0.0

    def cores(self) -> list[dict[str, Any]]:
        """The cores that workers use; several workers on one add up."""
        cores: dict[int, dict[str, Any]] = {}
        for name, worker in sorted(self._workers.items(), key=lambda item: item[1].core):
            core = cores.setdefault(worker.core, {"core": worker.core, "busy": 0.0, "jobs": 0})
            core["busy"] = round(min(1.0, core["busy"] + self.busy(name)), 3)
            core["jobs"] += self._control.actors[name].done
        return list(cores.values())

    # ------------------------------------------------------------ the whole

    @property
    def degraded(self) -> bool:
        """Whether an actor is gone for good while the run goes on."""
        return any(child.state == states.FAILED for child in self._children.values())

    def to_dict(self) -> dict[str, Any]:
        """The contract's `status --json`."""
        return {
            "run": self._plan.topology.run.name,
            "uptime_s": round((now_ns() - self._control.header.started_ns) / 1e9, 1),
            "results": self._bind,
            "degraded": self.degraded,
            "emulated": self._plan.emulated,
            "simulated": self._plan.simulated,
            "malformed": self._supervisor.malformed,
            "limited_by": self.limited_by(),
            "actors": [self._actor(child) for child in self._children.values()],
            "streams": [self._stream(name) for name in self._control.streams],
            "cores": self.cores(),
            "npu": None if self.npu is None else asdict(self.npu),
        }

    def _actor(self, child: Child) -> dict[str, Any]:
        record = self._control.actors[child.name]
        return {
            "name": child.name,
            "role": child.plan.role,
            "pid": child.pid or None,
            "state": child.state,
            "restarts": child.restarts,
            "rss_mb": round(resident_bytes(child.pid) / 1e6, 1) if child.pid else 0.0,
            "busy": round(self.busy(child.name), 3),
            "done": record.done,
            "queued": record.queued,
            "leased": record.leased,
            "malformed": record.malformed,
            "last_error": child.last_error,
        }

    def _stream(self, name: str) -> dict[str, Any]:
        stream = self._control.streams[name]
        return {
            "name": name,
            "captured": stream.captured,
            "published": stream.published,
            "in_flight": self._control.in_flight(name),
            "fps": round(self.fps(name), 2),
            "dropped": {
                "no_free_slot": stream.dropped_no_free_slot,
                "newer_frame": stream.dropped_newer_frame,
            },
            "live": self._plan.sources[name].live,
            "connected": bool(stream.connected) if self._plan.sources[name].live else None,
            "reconnects": stream.reconnects,
            "unreadable": stream.unreadable,
            "incomplete": stream.incomplete,
            "sees": self.summaries.get(name),
            "latency_ms": {
                "p50": stream.latency_p50_us / 1000,
                "p99": stream.latency_p99_us / 1000,
            },
        }

    # ------------------------------------------------------------ advice

    def limited_by(self) -> str | None:
        """One sentence on what holds the rate back, from what was measured; None when unknown."""
        if self._seconds() < 1.0 or not any(self.fps(name) for name in self._control.streams):
            return None
        cores = self.cores()
        kind = self._plan.cores_are
        if all(core["busy"] >= _BUSY for core in cores):
            most = f"the {kind}: all of them are busy, which is the most that they can do"
            slowed = None if self.npu is None else self.npu.slowed()
            return most if slowed is None else f"the NPU: its cores are busy, and {slowed}"
        others = {name: self.busy(name) for name in self._children if name not in self._workers}
        busiest = max(others, key=lambda name: others[name])
        if others[busiest] >= _BUSY:
            return (
                f"{busiest} ({self._children[busiest].plan.role}): it uses {others[busiest]:.0%} "
                "of a processor"
            )
        if all(self._keeps_up(name) for name in self._control.streams):
            return "the source: it gives no more frames than these"
        if self.machine_busy() >= _BUSY:
            return (
                f"the processors: all {os.cpu_count()} of this machine are busy, "
                f"{sum(others.values()):.1f} of them with this run's processes beside the workers"
            )
        busy = ", ".join(f"{core['core']}: {core['busy']:.0%}" for core in cores)
        return f"no single part ({kind} {busy}; busiest process {busiest} {others[busiest]:.0%})"

    def _keeps_up(self, name: str) -> bool:
        """Whether a stream comes at its source's own rate, and none of it was dropped lately."""
        if self._plan.sources[name].live:
            return self._samples[0].dropped[name] == self._samples[-1].dropped[name]
        return self._plan.topology.streams[name].pace == "realtime"
