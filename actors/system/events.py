"""The events of a run, for `actorctl events`: a bounded list, and the requests that wait."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from actors.system.control_socket import Request

_SECOND = 1_000_000_000
_KEPT = 1000


@dataclass(frozen=True)
class Event:
    """`time` is CLOCK_REALTIME in seconds; `level` is info, warning or error.

    `kind` is one word for programs. The supervisor's: "start" (the first: the version and the
    machine), "ended" (a process exited), "hung" (it was killed for showing no heartbeat, or was
    killed and does not exit), "running" (it is ready, perhaps again), "failed" (given up), "stop".
    An actor's: "note", "fatal" (why it exits), "source_lost" and "source_back" (capture),
    "recovered" and "given_up" (tiler: a dead worker's jobs, a poisoned tile), "computing" (worker:
    after a restart), "broken_output" (merger, renderer: an output cannot be written).
    """

    id: int
    time: float
    actor: str
    level: str
    kind: str
    text: str


class Events:
    """The last thousand events; older ones are gone, and the ids show how many."""

    def __init__(self, *listeners: Callable[[Event], None]) -> None:
        """Each listener is called with each event that is added."""
        self._listeners = listeners
        self._events: deque[Event] = deque(maxlen=_KEPT)
        self._last = 0

    def add(self, actor: str, level: str, kind: str, text: str) -> None:
        """Add what has just happened."""
        self._last += 1
        event = Event(self._last, time.time(), actor, level, kind, text)
        self._events.append(event)
        for listener in self._listeners:
            listener(event)

    def of_kind(self, kind: str) -> list[str]:
        """The texts of the events of a kind."""
        return [event.text for event in self._events if event.kind == kind]

    def after(self, id_: int) -> list[dict[str, Any]]:
        """The events that came after that id, oldest first."""
        return [asdict(event) for event in self._events if event.id > id_]


class EventRequests:
    """The requests that wait for events: answered when one comes, or empty after a second."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._waiting: list[tuple[int, int, Request]] = []

    def begin(self, request: Request, now: int) -> None:
        """Let a request wait; `now` is time.monotonic_ns()."""
        after = request.content.get("after")
        self._waiting.append((after if isinstance(after, int) else 0, now, request))

    def turn(self, now: int) -> None:
        """Answer the requests that have events, or have waited long enough."""
        still_waiting = []
        for after, since, request in self._waiting:
            events = self._events.after(after)
            if events or now - since > _SECOND:
                request.succeed(events=events)
            else:
                still_waiting.append((after, since, request))
        self._waiting = still_waiting
