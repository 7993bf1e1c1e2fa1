"""Sampling the processes of a long run: memory and descriptors at its beginning and at its end.

Medians of ten samples are compared, since a process's resident memory moves by some hundred kB from
one sample to the next.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import psutil
from rich.table import Table

from actors.client import Result
from actors.system.text import plural

from .printing import console
from .run_harness import Harness, pids

WANTED_GROWTH = 0.02
_SAMPLE_S = 1.0
_SAMPLES = 10


@dataclass(frozen=True)
class Sample:
    """A process at one moment: its identity, resident bytes (shared memory too), descriptors."""

    pid: int
    rss: int
    fds: int


@dataclass(frozen=True)
class Growth:
    """A process after the first minute (or a quarter of a shorter run) and at the end."""

    name: str
    rss_mb: tuple[float, float]
    fds: tuple[int, int]
    restarted: bool

    @property
    def growth(self) -> float:
        """Of the resident memory, as a part of what it was."""
        return self.rss_mb[1] / self.rss_mb[0] - 1

    @property
    def faults(self) -> Iterator[str]:
        """What has grown or restarted, a line each."""
        if self.growth > WANTED_GROWTH:
            yield f"{self.name} grew from {self.rss_mb[0]:.1f} to {self.rss_mb[1]:.1f} MB"
        if self.fds[1] > self.fds[0]:
            yield f"{self.name} had {self.fds[0]} descriptors and has {self.fds[1]}"
        if self.restarted:
            yield f"{self.name} was restarted"


@dataclass
class SoakResult:
    """The whole run. `fps` are the first half's and the second half's frames a second."""

    seconds: float
    frames: int
    fps: tuple[float, float]
    grown: list[Growth]
    out_of_order: int


def compare(
    first: Sequence[Mapping[str, Sample]], last: Sequence[Mapping[str, Sample]]
) -> list[Growth]:
    """Each process of the last samples against the same of the first ones."""

    def median(samples: Sequence[Mapping[str, Sample]], name: str, what: str) -> float:
        return float(statistics.median(getattr(at[name], what) for at in samples if name in at))

    return [
        Growth(
            name,
            (median(first, name, "rss") / 1e6, median(last, name, "rss") / 1e6),
            (round(median(first, name, "fds")), round(median(last, name, "fds"))),
            last[-1][name].pid != next(at[name].pid for at in first if name in at),
        )
        for name in last[-1]
        if any(name in one for one in first)
    ]


def sample(harness: Harness) -> dict[str, Sample]:
    """All actors and the supervisor now."""
    assert harness.process is not None
    found = {}
    for name, pid in {**pids(harness.status()), "supervisor": harness.process.pid}.items():
        try:
            process = psutil.Process(pid)
            found[name] = Sample(pid, process.memory_info().rss, process.num_fds())
        except psutil.Error:
            continue  # it has just ended; the next sample has its successor
    return found


class _Reader(threading.Thread):
    """Counts the results while the main thread samples the actors."""

    def __init__(self, harness: Harness) -> None:
        super().__init__(daemon=True)
        self.frames = self.out_of_order = 0
        self._harness = harness
        self._next: dict[str, int] = {}

    def run(self) -> None:
        with self._harness.subscriber() as results:
            for message in results:
                if isinstance(message, Result):
                    self.frames += 1
                    self.out_of_order += message.seq != self._next.get(message.stream, 0)
                    self._next[message.stream] = message.seq + 1


def soak(harness: Harness, minutes: float, report: Callable[[str], None]) -> SoakResult:
    """Sample a run for that long. HarnessError or ControlError when the run ends before."""
    reader = _Reader(harness)
    reader.start()
    harness.wait_until_running()
    begin = time.monotonic()
    seconds = minutes * 60
    settled = min(60.0, seconds / 4)
    first: list[dict[str, Sample]] = []
    last: list[dict[str, Sample]] = []
    half = 0
    while (passed := time.monotonic() - begin) < seconds:
        now = sample(harness)
        if passed >= settled and len(first) < _SAMPLES:
            first.append(now)
        last = [*last, now][-_SAMPLES:]
        if passed < seconds / 2:
            half = reader.frames
        report(f"{passed / 60:.1f} of {minutes:g} min, {plural(reader.frames, 'frame')}")
        time.sleep(_SAMPLE_S)
    frames = reader.frames
    passed = time.monotonic() - begin
    rates = half / (passed / 2), (frames - half) / (passed / 2)
    return SoakResult(passed, frames, rates, compare(first, last), reader.out_of_order)


def show(result: SoakResult, faults: Sequence[str]) -> None:
    """The report for a person."""
    out = console()
    out.print(
        f"{plural(result.frames, 'frame')} in {result.seconds / 60:.1f} min: "
        f"{result.fps[0]:.1f} frames/s in the first half, {result.fps[1]:.1f} in the second"
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("actor")
    for column in ("MB after 1 min", "at the end", "growth", "descriptors", "at the end"):
        table.add_column(column, justify="right")
    for growth in result.grown:
        table.add_row(
            growth.name,
            *(f"{mb:.1f}" for mb in growth.rss_mb),
            f"{growth.growth:+.1%}",
            *map(str, growth.fds),
        )
    out.print(table)
    for fault in faults:
        out.print(fault, style="red")
