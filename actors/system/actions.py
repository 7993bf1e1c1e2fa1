"""What `supervision.Supervision` decides from, and the actions that it has carried out."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TypeAlias

from actors.system.codec import Message


@dataclass(frozen=True, slots=True)
class Vitals:
    """What shows that an actor works."""

    silent_ns: int = 0
    """Its heartbeat's age, as `HangDetector` counts it."""
    slow_step_until_ns: int = 0
    stopped: bool = False
    """Whether a signal has stopped it (SIGSTOP), so not its own work."""
    done: int = 0
    """Pieces of work finished over all incarnations."""
    suspects: tuple[int, ...] = ()
    """The items that it is computing."""


@dataclass(frozen=True, slots=True)
class Fork:
    """Fork the actor under this incarnation; then call `forked`, or else `fork_server_lost`."""

    name: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message to an actor."""

    to: str
    message: Message


@dataclass(frozen=True, slots=True)
class Signal:
    """Send a signal to an actor's process."""

    name: str
    number: signal.Signals


@dataclass(frozen=True, slots=True)
class Log:
    """Keep an event, see `events.Event`."""

    actor: str
    level: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class RenewForkServer:
    """End the fork server, whatever is left of it, and start another."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer the restart request of this number: done, or not, for the reason in one sentence."""

    request: int
    error: str | None = None


Action: TypeAlias = Fork | Send | Signal | Log | RenewForkServer | Answer
