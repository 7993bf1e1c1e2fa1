"""`actorctl restart`: actors started anew one after another, so that the rest go on meanwhile."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.system import children as states
from actors.system.children import Child
from actors.system.control_socket import Request

if TYPE_CHECKING:
    from actors.system.supervisor import Supervisor

_SECOND = 1_000_000_000
# An actor finishes a frame or a tile and closes; the renderer also ends a video file.
_STOP_NS = 5 * _SECOND
_RUNNING_NS = 60 * _SECOND


@dataclass
class _Restart:
    """One request. `names` are still to do; the first is in progress once `begun_ns` is set."""

    request: Request
    names: list[str]
    kill: bool
    begun_ns: int = 0
    incarnation: int = 0


class Restarts:
    """The restart requests of a run, each worked off in its own order."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._open: list[_Restart] = []

    def begin(self, request: Request, now: int) -> None:
        """Take a request, or refuse it in one sentence."""
        error = _refusal(request.content, self._supervisor.children, self._supervisor.phase)
        if error is not None:
            request.fail(error)
            return
        names = list(dict.fromkeys(request.content["actors"]))
        self._open.append(_Restart(request, names, bool(request.content.get("kill"))))
        self.turn(now)

    def turn(self, now: int) -> None:
        """Carry every request on as far as it goes."""
        self._open = [restart for restart in self._open if not self._carry_on(restart, now)]

    def _carry_on(self, restart: _Restart, now: int) -> bool:
        """True when the request has been answered."""
        child = self._supervisor.children[restart.names[0]]
        if restart.begun_ns == 0:
            restart.begun_ns = now
            restart.incarnation = child.incarnation
            self._begin_one(child, restart.kill)
            return False
        if child.state == states.RUNNING and child.incarnation > restart.incarnation:
            restart.names.pop(0)
            restart.begun_ns = 0
            if restart.names:
                return False
            restart.request.succeed()
            return True
        if child.state in (states.FAILED, states.ENDED):
            why = child.last_error if child.state == states.FAILED else "its source is over"
            restart.request.fail(f"{child.name} did not come back: {why}")
            return True
        if self._supervisor.phase != "running":
            restart.request.fail("the run is stopping")
            return True
        waited = now - restart.begun_ns
        if child.state == states.STOPPING and waited > _STOP_NS:
            self._supervisor.kill_unresponsive(child, "hang", "did not stop when asked to")
        if waited > _RUNNING_NS:
            restart.request.fail(f"{child.name} is still {child.state} after {waited / 1e9:.0f} s")
            return True
        return False

    def _begin_one(self, child: Child, kill: bool) -> None:
        child.policy.reset()
        if not child.alive:
            self._supervisor.start(child)
        elif kill:
            child.signal(signal.SIGKILL)
        else:
            self._supervisor.ask_to_stop(child)


def _refusal(content: Mapping[str, Any], children: Mapping[str, Child], phase: str) -> str | None:
    names = content.get("actors")
    if not isinstance(names, list) or not names:
        return "name at least one actor"
    for name in names:
        if not isinstance(name, str) or name not in children:
            return f"no actor named {name!r}; there are {', '.join(children)}"
        if children[name].state == states.ENDED:
            return f"{name} has ended: its source is over"
    return None if phase == "running" else "the run is stopping"
