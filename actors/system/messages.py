"""Messages between the supervisor and the actors."""

from __future__ import annotations

from dataclasses import dataclass

from actors.system.codec import Message


@dataclass(frozen=True, slots=True)
class Ready(Message):
    """Actor to supervisor: opened, loaded, inbox bound."""

    name: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class Note(Message):
    """Actor to supervisor: something a person should be able to read in `actorctl events`.

    `level` is info, warning, error, or fatal; a fatal note is the reason of an exit that follows.
    `kind` is one word for programs, see `events.Event`. `excuses` names the actors whose latest
    failed starts were not their own fault: an input was to blame.
    """

    name: str
    level: str
    kind: str
    text: str
    excuses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary(Message):
    """Actor to supervisor: one line about a subject, such as a stream, for people."""

    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Up(Message):
    """Supervisor to all: `name` is ready under this incarnation."""

    name: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class Down(Message):
    """Supervisor to all: that incarnation of `name` has ended or is being ended.

    `cause` is "crash", "hang", "killed" (by a signal from outside) or "stopped"; `suspects` are the
    items that it was computing, if the cause may lie in one of them.
    """

    name: str
    incarnation: int
    cause: str
    suspects: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Stop(Message):
    """Supervisor to an actor: finish what is in hand and exit."""


@dataclass(frozen=True, slots=True)
class Drain(Message):
    """Supervisor to an actor that ends by itself: take in nothing more, finish what is in hand."""


SUPERVISION: tuple[type[Message], ...] = (Ready, Note, Summary, Up, Down, Stop, Drain)
