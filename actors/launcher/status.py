"""Samples a run's counters and makes the answer to `actorctl status`.

Counters stand in the control block. Rates need two samples of them, so `sample` is called once a
second.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict

import actors
from actors.dataflow.settings import RunSettings
from actors.dataflow.shared_records import ControlBlock
from actors.launcher.about import machine
from actors.launcher.limits import Load, limiting_part
from actors.launcher.rates import Rates, Sample
from actors.launcher.status_report import ActorStatus, CoreStatus, RunStatus, StreamStatus
from actors.runtimes.npu_status import Npu, inspect_npu
from actors.system import children as states
from actors.system.children import Child
from actors.system.linux import cpu_ns, machine_idle, now_ns, resident_bytes
from actors.system.supervisor import Supervisor


class Status:
    """One run's. `report` is of the moment, its rates of the last samples."""

    def __init__(self, run: RunSettings, control: ControlBlock) -> None:
        self._run = run
        self._control = control
        self._version, self._machine = actors.__version__, machine()
        self._workers = run.workers
        self._rates = Rates()
        self._npu: Npu | None = None

    def sample(self, run: Supervisor) -> None:
        """Read the counters once. To be called about once a second."""
        if any(model.kind.on_npu for model in self._run.models.values()):
            self._npu = inspect_npu()
        busy = {}
        for name, child in run.children.items():
            record = self._control.actors[name]
            busy[name] = record.busy_ns if name in self._workers else cpu_ns(child.pid)
        streams = self._control.streams
        self._rates.add(
            Sample(
                at_ns=now_ns(),
                published={name: stream.published for name, stream in streams.items()},
                dropped={name: stream.dropped for name, stream in streams.items()},
                busy_ns=busy,
                pids={name: child.pid for name, child in run.children.items()},
                machine=machine_idle(),
            )
        )

    def report(self, run: Supervisor) -> RunStatus:
        """The whole status."""
        return {
            "run": self._run.name,
            "version": self._version,
            "machine": self._machine,
            "uptime_s": round((now_ns() - self._control.run.started_ns) / 1e9, 1),
            "results": self._run.results.bind,
            "degraded": any(child.state == states.FAILED for child in run.children.values()),
            "emulated": self._run.emulated,
            "simulated": self._run.simulated,
            "malformed": run.malformed,
            "limited_by": self._limited_by(run.children),
            "actors": [self._actor(child) for child in run.children.values()],
            "streams": [self._stream(name, run.summaries) for name in self._control.streams],
            "cores": self._cores(),
            "npu": None if self._npu is None else asdict(self._npu),
        }

    def _busy(self, actor: str) -> float:
        # A worker counts its core's time in the control block, across its restarts.
        return self._rates.busy(actor, over_restarts=actor in self._workers)

    def _cores(self) -> list[CoreStatus]:
        cores: dict[int, CoreStatus] = {}
        for name, worker in sorted(self._workers.items(), key=lambda item: item[1].core):
            core = cores.setdefault(worker.core, {"core": worker.core, "busy": 0.0, "jobs": 0})
            core["busy"] = round(min(1.0, core["busy"] + self._busy(name)), 3)
            core["jobs"] += self._control.actors[name].done
        return list(cores.values())

    def _actor(self, child: Child) -> ActorStatus:
        record = self._control.actors[child.name]
        return {
            "name": child.name,
            "role": child.plan.role,
            "pid": child.pid or None,
            "state": child.state,
            "restarts": child.restarts,
            "rss_mb": round(resident_bytes(child.pid) / 1e6, 1) if child.pid else 0.0,
            "busy": round(self._busy(child.name), 3),
            "done": record.done,
            "queued": record.queued,
            "leased": record.leased,
            "malformed": record.malformed,
            "last_error": child.last_error,
        }

    def _stream(self, name: str, summaries: Mapping[str, str]) -> StreamStatus:
        stream = self._control.streams[name]
        live = self._run.streams[name].info.live
        fps = self._rates.fps(name)
        frames = self._frames(name)
        # Of a source that comes to its end by itself; a limit on a camera is as good.
        left = None if frames is None else max(0, frames - stream.published)
        return {
            "name": name,
            "captured": stream.captured,
            "published": stream.published,
            "frames": frames,
            "remaining_s": round(left / fps, 1) if left is not None and fps else None,
            "rendered": stream.rendered if self._run.render.wanted else None,
            "broken": stream.broken,
            "in_flight": self._control.in_flight(name),
            "fps": round(fps, 2),
            "dropped": {
                "no_free_slot": stream.dropped_no_free_slot,
                "newer_frame": stream.dropped_newer_frame,
            },
            "live": live,
            "connected": bool(stream.connected) if live else None,
            "reconnects": stream.reconnects,
            "unreadable": stream.unreadable,
            "incomplete": stream.incomplete,
            "sees": summaries.get(name),
            "latency_ms": {
                "p50": stream.latency_p50_us / 1000,
                "p99": stream.latency_p99_us / 1000,
            },
        }

    def _frames(self, name: str) -> int | None:
        """How many frames the stream will have, as far as that is known."""
        stream = self._control.streams[name]
        if stream.end_seq >= 0:
            return stream.captured
        known = [self._run.frame_limit, self._run.streams[name].info.frames]
        if self._run.streams[name].loop:
            known = known[:1]
        return min((count for count in known if count is not None), default=None)

    def _limited_by(self, children: Mapping[str, Child]) -> str | None:
        """What limits the rate; None while too little has been measured."""
        moving = any(self._rates.fps(name) for name in self._control.streams)
        if self._rates.seconds < 1.0 or not moving:
            return None
        others = {name: child for name, child in children.items() if name not in self._workers}
        return limiting_part(
            Load(
                cores={core["core"]: core["busy"] for core in self._cores()},
                cores_are=self._run.cores_label,
                npu_slowed=None if self._npu is None else self._npu.slowed(),
                processes={name: self._busy(name) for name in others},
                roles={name: child.plan.role for name, child in others.items()},
                source_keeps_pace=all(map(self._keeps_pace, self._control.streams)),
                machine=self._rates.machine_busy(),
                processors=os.cpu_count() or 1,
            )
        )

    def _keeps_pace(self, name: str) -> bool:
        """Whether a stream comes at its source's own rate, with nothing of it dropped lately."""
        if self._run.streams[name].info.live:
            return self._rates.dropped(name) == 0
        return self._run.streams[name].pace == "realtime"
