"""The benchmarks' cases: topologies of emulated cores, how they are measured and reported."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.table import Table

from actors.client import Result

from .printing import console
from .run_harness import Harness, pids

LATENCY_MS = 13.6
CORES = 3
TILES = 6
WANTED_SHARE = 0.95
_SETTLE_S = 3.0


@dataclass(frozen=True)
class Measured:
    """One case. Rates in frames per second, `cpu_ms` in milliseconds of processor time a frame."""

    case: str
    fps: float
    frames: int
    seconds: float
    cores: list[dict[str, float]]
    cpu_ms: dict[str, float]
    limit: float | None = None

    @property
    def share(self) -> float | None:
        """Of the limit."""
        return None if self.limit is None else self.fps / self.limit


def saturation(video: Path, model: Path, seconds: float) -> list[Measured]:
    """One model on tiles, then a second on whole frames, against what the cores allow."""
    tables = _stream(video) + _emulated("small", model) + _stage("small", "tiles")
    one = _measure("one model: six tiles", tables + _workers(["small"]), seconds)
    tables += _emulated("large", model) + _stage("large", "frame")
    two = _measure(
        "two models: whole frame and six tiles", tables + _workers(["large", "small"]), seconds
    )
    rate = CORES * 1000 / LATENCY_MS
    return [_with_limit(one, rate / TILES), _with_limit(two, rate / (TILES + 1))]


def pipeline(video: Path, seconds: float) -> list[Measured]:
    """Six tiles a frame and an inference that takes no time."""
    instant = '[models.small]\nruntime = "instant"\n'
    tables = instant + _stage("small", "tiles") + _workers(["small"])
    return [_measure("instant model: six tiles", _stream(video) + tables, seconds)]


def _stream(video: Path) -> str:
    return f"[streams.cam0]\nsource = {json.dumps(str(video))}\nloop = true\n"


def _emulated(name: str, model: Path) -> str:
    return (
        f'[models.{name}]\npath = {json.dumps(str(model))}\nruntime = "emulated"\n'
        f"latency_ms = {LATENCY_MS}\n"
    )


def _stage(model: str, view: str) -> str:
    return f'[stages.{model}]\nmodel = "{model}"\nview = "{view}"\n'


def _workers(models: list[str]) -> str:
    return "".join(
        f"[workers.npu{core}]\ncore = {core}\nmodels = {json.dumps(models)}\n"
        for core in range(CORES)
    )


def _with_limit(measured: Measured, limit: float) -> Measured:
    return Measured(**{**vars(measured), "limit": limit})


def _measure(case: str, topology: str, seconds: float) -> Measured:
    """Run the topology, let it settle, and measure over that time."""
    with Harness(topology) as harness, harness.subscriber() as messages:
        # A looped source has no end message.
        results = (message for message in messages if isinstance(message, Result))
        harness.wait_until_running()
        settled = time.monotonic() + _SETTLE_S
        for _ in results:
            if time.monotonic() > settled:
                break
        before, begin = harness.status(), time.monotonic()
        used = _cpu_seconds(before)
        first = last = next(results)
        for result in results:
            last = result
            if time.monotonic() > begin + seconds:
                break
        after, elapsed = harness.status(), time.monotonic() - begin
        spent = _cpu_seconds(after)
    frames = last.seq - first.seq
    jobs = {core["core"]: core["jobs"] for core in before["cores"]}
    return Measured(
        case=case,
        fps=frames / ((last.published_ns - first.published_ns) / 1e9),
        frames=frames,
        seconds=elapsed,
        cores=[
            {
                "core": core["core"],
                "busy": (core["jobs"] - jobs[core["core"]]) * LATENCY_MS / 1000 / elapsed
                if "instant" not in case
                else core["busy"],
            }
            for core in after["cores"]
        ],
        cpu_ms={
            name: (value - used.get(name, 0.0)) * 1000 / frames for name, value in spent.items()
        },
    )


def _cpu_seconds(status: dict[str, Any]) -> dict[str, float]:
    """Processor time of each actor so far, and of the supervisor."""
    used: dict[str, float] = {}
    for name, pid in pids(status).items():
        process = psutil.Process(pid)
        used[name] = _seconds(process)
        supervisor = process.parent()
        if "supervisor" not in used and supervisor is not None:
            used["supervisor"] = _seconds(supervisor)
    return used


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def good_enough(results: list[Measured]) -> bool:
    """Whether every case that has a limit reaches the wanted share of it."""
    return all(result.share is None or result.share >= WANTED_SHARE for result in results)


def as_json(name: str, results: list[Measured], used: Mapping[str, str]) -> dict[str, Any]:
    """The report for a program."""
    cases = [{**asdict(result), "share": result.share} for result in results]
    return {"benchmark": name, "cpus": os.cpu_count(), **used, "cases": cases}


def show(name: str, results: list[Measured], used: Mapping[str, str]) -> None:
    """The report for a person."""
    out = console()
    out.print(
        f"{name} on {os.cpu_count()} CPUs, {used['video']}"
        + (f", EMULATED cores at {LATENCY_MS} ms" if name == "saturation" else "")
    )
    table = Table(box=None, pad_edge=False)
    for column in ("case", "frames/s", "limit", "share", "cores busy"):
        table.add_column(column, justify="left" if column == "case" else "right")
    for result in results:
        table.add_row(
            result.case,
            f"{result.fps:.1f}",
            "-" if result.limit is None else f"{result.limit:.1f}",
            "-" if result.share is None else f"{result.share:.1%}",
            " ".join(f"{core['busy']:.0%}" for core in result.cores),
        )
    out.print(table)
    for result in results:
        parts = ", ".join(f"{name} {ms:.2f}" for name, ms in result.cpu_ms.items())
        total = sum(result.cpu_ms.values())
        out.print(f"{result.case}: {total:.2f} ms of processor time a frame: {parts}")
