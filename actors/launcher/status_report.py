"""What `actorctl status --json` answers: the keys, their types and units.

Keys may be added; what is here does not change its meaning.
"""

from __future__ import annotations

from typing import Any, TypedDict


class ActorStatus(TypedDict):
    """One process. `state` is starting, running, stopping, backoff, failed or ended."""

    name: str
    role: str
    pid: int | None
    state: str
    restarts: int
    rss_mb: float
    """Resident memory, 10^6 bytes; what processes share is counted in each."""
    busy: float
    """0 to 1: of a worker its core's time, of another its time on a processor."""
    done: int
    """Frames, or tiles (worker), finished since the run began."""
    queued: int
    leased: int
    """Slots given away and not back: a capture's frames, the tiler's tiles."""
    malformed: int
    last_error: str | None


class Latency(TypedDict):
    """From capture to publication, milliseconds."""

    p50: float
    p99: float


class StreamStatus(TypedDict):
    """One stream; counts are frames since the run began."""

    name: str
    captured: int
    published: int
    frames: int | None
    """How many there will be, where that is known."""
    remaining_s: float | None
    """Until the last of them at the present rate."""
    rendered: int | None
    """Frames in the video; None without one."""
    broken: bool
    """Whether an output lacks frames: the result log, the video or the pictures."""
    in_flight: int
    fps: float
    """Published frames per second over the last seconds."""
    dropped: dict[str, int]
    """By reason: no_free_slot, newer_frame."""
    live: bool
    connected: bool | None
    """Whether a live source gives frames; None for files."""
    reconnects: int
    unreadable: int
    incomplete: int
    sees: str | None
    """The newest frame's detections in some words."""
    latency_ms: Latency


class CoreStatus(TypedDict):
    """A core that workers use; several workers on one add up."""

    core: int
    busy: float
    jobs: int


class RunStatus(TypedDict):
    """The whole answer."""

    run: str
    version: str
    machine: str
    uptime_s: float
    results: str
    """The address that results are published on."""
    degraded: bool
    """An actor has failed for good and the run continues without it."""
    emulated: bool
    simulated: bool
    malformed: int
    limited_by: str | None
    actors: list[ActorStatus]
    streams: list[StreamStatus]
    cores: list[CoreStatus]
    npu: dict[str, Any] | None
    """The fields of `npu_status.Npu`; None where no NPU is used."""
