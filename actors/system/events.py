"""What happened in a run, for `actorctl events`: a bounded list of facts in the past tense."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

_KEPT = 1000


@dataclass(frozen=True)
class Event:
    """`time` is CLOCK_REALTIME in seconds; `level` is info, warning or error."""

    id: int
    time: float
    actor: str
    level: str
    text: str


class Events:
    """The last thousand events; older ones are gone, their ids tell how many."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=_KEPT)
        self._last = 0

    def add(self, actor: str, level: str, text: str) -> None:
        self._last += 1
        self._events.append(Event(self._last, time.time(), actor, level, text))

    def after(self, id_: int) -> list[dict[str, Any]]:
        """The events that came after that id, oldest first."""
        return [asdict(event) for event in self._events if event.id > id_]
