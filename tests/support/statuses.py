"""Statuses of runs made of values, for tests of what is shown of them."""

from __future__ import annotations

from typing import Any, cast

from actors.launcher.status_report import ActorStatus, RunStatus, StreamStatus


def stream(name: str = "cam0", **other: Any) -> StreamStatus:
    values: dict[str, Any] = {
        "name": name,
        "captured": 124,
        "published": 120,
        "frames": 302,
        "remaining_s": 7.3,
        "rendered": None,
        "broken": False,
        "in_flight": 4,
        "fps": 24.9,
        "dropped": {"no_free_slot": 0, "newer_frame": 0},
        "live": False,
        "connected": None,
        "reconnects": 0,
        "unreadable": 0,
        "incomplete": 0,
        "sees": None,
        "latency_ms": {"p50": 41.2, "p99": 63.5},
    }
    return cast(StreamStatus, {**values, **other})


def actor(name: str = "npu0", role: str = "worker", **other: Any) -> ActorStatus:
    values: dict[str, Any] = {
        "name": name,
        "role": role,
        "pid": 4242,
        "state": "running",
        "restarts": 0,
        "rss_mb": 81.2,
        "busy": 0.97,
        "done": 1234,
        "queued": 2,
        "leased": 0,
        "malformed": 0,
        "last_error": None,
    }
    return cast(ActorStatus, {**values, **other})


def run(**other: Any) -> RunStatus:
    values: dict[str, Any] = {
        "run": "street",
        "version": "0.2.0",
        "machine": "a PC (x86_64)",
        "uptime_s": 12.3,
        "results": "tcp://127.0.0.1:5570",
        "degraded": False,
        "emulated": False,
        "simulated": False,
        "malformed": 0,
        "limited_by": None,
        "actors": [actor()],
        "streams": [stream()],
        "cores": [{"core": 0, "busy": 0.98, "jobs": 1234}],
        "npu": None,
    }
    return cast(RunStatus, {**values, **other})
