"""`actorctl restart`: actors restarted one after another, while the rest continue. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actors.system import children as states
from actors.system.actions import Answer
from actors.system.children import Child

_RUNNING_NS = 60_000_000_000


@dataclass(frozen=True, slots=True)
class BeginRestart:
    """It is this actor's turn: stop it, by SIGKILL if `kill`, or start it where it is down."""

    name: str
    kill: bool


@dataclass
class _Request:
    """`names` are still to do; the first is in progress once `begun_ns` is set."""

    names: list[str]
    kill: bool
    begun_ns: int | None = None
    incarnation: int = 0


class RollingRestarts:
    """The open restart requests, each worked off in its own order and answered once."""

    def __init__(self) -> None:
        self._open: dict[int, _Request] = {}

    def add(self, request: int, names: Sequence[str], *, kill: bool) -> None:
        """Take a request that `refusal` has nothing against."""
        if request in self._open:
            raise ValueError(f"request {request} is open already")
        self._open[request] = _Request(list(dict.fromkeys(names)), kill)

    def step(self, children: Mapping[str, Child], now: int) -> list[BeginRestart | Answer]:
        """Continue every request as far as it goes; each BeginRestart is due now."""
        steps = [self._step(number, children, now) for number in list(self._open)]
        return [step for step in steps if step is not None]

    def refuse_all(self, reason: str) -> list[Answer]:
        """Answer everything that is open."""
        answers = [Answer(number, reason) for number in self._open]
        self._open.clear()
        return answers

    def _step(
        self, number: int, children: Mapping[str, Child], now: int
    ) -> BeginRestart | Answer | None:
        request = self._open[number]
        child = children[request.names[0]]
        if request.begun_ns is None:
            if child.state == states.ENDED:
                return self._answer(number, f"{child.name} did not come back: it has finished")
            request.begun_ns, request.incarnation = now, child.incarnation
            return BeginRestart(child.name, request.kill)
        if child.state == states.RUNNING and child.incarnation > request.incarnation:
            del request.names[0]
            request.begun_ns = None
            return None if request.names else self._answer(number)
        if child.state in (states.FAILED, states.ENDED):
            why = child.last_error if child.state == states.FAILED else "it has finished"
            return self._answer(number, f"{child.name} did not come back: {why}")
        waited = now - request.begun_ns
        if waited > _RUNNING_NS:
            text = f"{child.name} is still {child.state} after {waited / 1e9:.0f} s"
            return self._answer(number, text)
        return None

    def _answer(self, number: int, error: str | None = None) -> Answer:
        del self._open[number]
        return Answer(number, error)


def refusal(names: object, children: Mapping[str, Child]) -> str | None:
    """Why these actors, as a request names them, cannot be restarted; None when they can."""
    if not isinstance(names, list) or not names:
        return "name at least one actor"
    for name in names:
        if not isinstance(name, str) or name not in children:
            return f"no actor named {name!r}; there are {', '.join(children)}"
        if children[name].state == states.ENDED:
            return f"{name} has finished: it has nothing more to do"
    return None
