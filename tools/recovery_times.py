"""Recovery times: from a disturbance until it is noticed, its work redone, the actor back.

Plain functions from the disturbances and the run's events to milliseconds.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

Event = Mapping[str, Any]

MEASURES = ("noticed", "elsewhere", "back", "computing")
"""Death noticed; the worker's jobs finished elsewhere; the actor ready; the worker computing."""

_RECOVERED = re.compile(r"jobs? of (\S+) finished elsewhere")


@dataclass(frozen=True)
class Injection:
    """One disturbance. `time` is CLOCK_REALTIME in seconds, right before it; `how` says whether
    it came alone, together with another, or while the actor was starting."""

    time: float
    kind: str
    actor: str
    role: str
    how: str


@dataclass(frozen=True)
class Spread:
    """Milliseconds over `count` cases."""

    count: int
    p50: float
    p99: float
    max: float

    @staticmethod
    def of(values: Sequence[float]) -> Spread | None:
        if not values:
            return None
        p50, p99 = np.percentile(values, (50, 99))
        return Spread(len(values), float(p50), float(p99), max(values))


Delays = Mapping[tuple[str, str], Mapping[str, Sequence[float]]]
"""Milliseconds, one a case, by (kind, role) and measure."""


def measure(injections: Iterable[Injection], events: Iterable[Event]) -> Delays:
    """What each disturbance took.

    An event belongs to the last injection into its actor before it, so an injection that was
    followed by another too early has no measure of what had not happened yet.
    """
    happened = _by_actor(events)
    by_actor: dict[str, list[Injection]] = defaultdict(list)
    for injection in sorted(injections, key=lambda injection: injection.time):
        by_actor[injection.actor].append(injection)
    delays: dict[tuple[str, str], dict[str, list[float]]] = {}
    for actor, own in by_actor.items():
        events_of = happened.get(actor, [])
        times = [time for time, _ in events_of]
        ends = [after.time for _, after in pairwise(own)] + [float("inf")]
        for injection, end in zip(own, ends, strict=True):
            row = delays.setdefault(
                (injection.kind, injection.role), {name: [] for name in MEASURES}
            )
            window = events_of[bisect_left(times, injection.time) : bisect_left(times, end)]
            for name, time in _first(window).items():
                row[name].append((time - injection.time) * 1000)
    return delays


def crashes_ns(events: Iterable[Event], actor: str) -> list[int]:
    """When an actor ended otherwise than by closing, nanoseconds of CLOCK_REALTIME."""
    return [
        round(event["time"] * 1e9)
        for event in events
        if event["actor"] == actor
        and (
            event["kind"] == "hung"
            or (event["kind"] == "ended" and event["text"] != "exited with code 0")
        )
    ]


def _by_actor(events: Iterable[Event]) -> dict[str, list[tuple[float, str]]]:
    """(time, measure) of all events that end a measure, by the actor that they are about."""
    meaning = {"ended": "noticed", "hung": "noticed", "running": "back", "computing": "computing"}
    happened: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for event in sorted(events, key=lambda event: event["time"]):
        name = meaning.get(event["kind"])
        if name is not None:
            happened[event["actor"]].append((event["time"], name))
        elif event["kind"] == "recovered" and (found := _RECOVERED.search(event["text"])):
            happened[found[1]].append((event["time"], "elsewhere"))
    return happened


def _first(window: Iterable[tuple[float, str]]) -> dict[str, float]:
    """The first time of each measure; computing counts only once the actor is back."""
    first: dict[str, float] = {}
    for time, name in window:
        if name != "computing" or "back" in first:
            first.setdefault(name, time)
    return first
