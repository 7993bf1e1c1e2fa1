"""Fault injection: signals and restarts for random actors at random moments, fixed by a seed.

What is done when is fixed by the seed; which actor it hits depends on which are up then. Roles are
chosen first and then one of their actors, so that three workers get no more than one tiler. An
actor that was hit is left alone until it is up again, except where it is to be hit while it starts.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.system.control_socket import ControlError

from .recovery_times import Injection
from .run_harness import Harness, HarnessError

SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "term": signal.SIGTERM}
KINDS = (*SIGNALS, "restart")
ALONE, TOGETHER, STARTING = "alone", "together", "starting"
# Of the steps, how many hit two actors at once, and how many hit one again while it starts.
_TOGETHER, _STARTING = 0.1, 0.1
# A start takes tens of milliseconds with a model that is not read.
_WHILE_STARTING_S = 0.03
# An actor that ends again and again without having done anything is given up, rightly. So one that
# has not done anything since it was hit twice is left alone for a while.
_STRIKES = 2
_PATIENCE_S = 60.0
_LOOK_S = 0.02


@dataclass(frozen=True)
class Plan:
    """How many disturbances of each kind, of which roles, at what mean interval."""

    counts: Mapping[str, int]
    roles: Sequence[str]
    seed: int
    interval_s: float


@dataclass(frozen=True)
class Step:
    """One moment: wait, then do these, to two actors (together) or twice to one (starting)."""

    wait_s: float
    kinds: tuple[str, ...]
    how: str


def steps(counts: Mapping[str, int], interval_s: float, chance: random.Random) -> list[Step]:
    """As many disturbances of each kind as asked for, in a random order at random intervals."""
    kinds = [kind for kind in KINDS for _ in range(counts.get(kind, 0))]
    chance.shuffle(kinds)
    made = []
    while kinds:
        how, draw = ALONE, chance.random()
        # An actor restarts only after its end: of a stopped one that is noticed much later.
        if len(kinds) > 1 and draw < _STARTING and kinds[-1] == "kill":
            how = STARTING
        elif len(kinds) > 1 and draw > 1 - _TOGETHER:
            how = TOGETHER
        chosen = tuple(kinds.pop() for _ in range(1 if how == ALONE else 2))
        made.append(Step(chance.expovariate(1 / interval_s) * len(chosen), chosen, how))
    return made


class FaultInjector:
    """Carries out the steps. Attributes may be read by other threads meanwhile."""

    def __init__(
        self, harness: Harness, todo: list[Step], roles: Collection[str], chance: random.Random
    ) -> None:
        self.injections: list[Injection] = []
        self.refused: list[str] = []
        """Restarts that were answered with an error."""
        self.over = False
        """The run came to its end before all was done."""
        self._harness = harness
        self._todo = todo
        self._roles = frozenset(roles)
        self._chance = chance
        self._hit: dict[str, _Hit] = {}
        self._restarts: list[threading.Thread] = []
        self._halt = threading.Event()

    def halt(self) -> None:
        """Do nothing more."""
        self._halt.set()

    def run(self) -> None:
        """Do all steps, and wait until all actors are up again. HarnessError when they are not."""
        for step in self._todo:
            if self._halt.wait(step.wait_s) or self.over:
                break
            self._do(step)
        for restart in self._restarts:
            restart.join()
        self._settle()

    # ------------------------------------------------------------ doing

    def _do(self, step: Step) -> None:
        name = None
        for kind in step.kinds:
            if step.how == STARTING and name and self._hit_while_starting(kind, name):
                return
            while not self._halt.is_set() and not self.over:
                actor = self._choose()
                if actor is not None and self._hit_one(kind, actor, step.how):
                    name = actor["name"]
                    break

    def _choose(self) -> dict[str, Any] | None:
        """An actor that may be hit now, a random one of a random role; waits until there is one."""
        deadline = time.monotonic() + _PATIENCE_S
        while not self._halt.is_set():
            actors = self._harness.status()["actors"]
            self.over = _sources_over(actors)
            if self.over:
                return None
            by_role: dict[str, list[dict[str, Any]]] = {}
            for actor in actors:
                if actor["role"] in self._roles and self._may_hit(actor):
                    by_role.setdefault(actor["role"], []).append(actor)
            if by_role:
                return self._chance.choice(by_role[self._chance.choice(sorted(by_role))])
            if time.monotonic() > deadline:
                raise HarnessError(
                    f"no actor to disturb was up within {_PATIENCE_S:.0f} s: {actors}"
                )
            self._halt.wait(_LOOK_S)
        return None

    def _may_hit(self, actor: Mapping[str, Any]) -> bool:
        hit = self._hit.get(actor["name"])
        if actor["state"] != "running" or not actor["pid"]:
            return False
        if hit is None:
            return True
        idle = actor["done"] <= hit.done
        return actor["pid"] != hit.pid and not (idle and hit.strikes >= _STRIKES)

    def _hit_one(self, kind: str, actor: Mapping[str, Any], how: str) -> bool:
        """Do it; False when the process was gone already."""
        now = time.time()
        if kind == "restart":
            # It is answered when the actor runs again; others are to be disturbed meanwhile.
            thread = threading.Thread(target=self._restart, args=(actor["name"],), daemon=True)
            thread.start()
            self._restarts.append(thread)
        elif not self._signal(actor["pid"], SIGNALS[kind]):
            return False
        self.injections.append(Injection(now, kind, actor["name"], actor["role"], how))
        before = self._hit.get(actor["name"])
        idle = before is not None and actor["done"] <= before.done
        strikes = before.strikes + 1 if before is not None and idle else 1
        self._hit[actor["name"]] = _Hit(actor["pid"], actor["done"], strikes)
        return True

    def _hit_while_starting(self, kind: str, name: str) -> bool:
        """Hit an actor that was just killed when its next process is there, ready or not."""
        deadline = time.monotonic() + 5.0
        while time.monotonic() < deadline and not self._halt.is_set():
            actor = next(a for a in self._harness.status()["actors"] if a["name"] == name)
            if actor["pid"] and actor["pid"] != self._hit[name].pid:
                time.sleep(self._chance.uniform(0, _WHILE_STARTING_S))
                return self._hit_one(kind, actor, STARTING)
            time.sleep(0.001)
        return False

    def _signal(self, pid: int, number: signal.Signals) -> bool:
        """Signal one of the run's actors; False when the process is gone."""
        assert self._harness.process is not None
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        try:
            # The number may belong to another process by now; the descriptor cannot change hands.
            if _parent(pid) != self._harness.process.pid:
                return False
            signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(pidfd)
        return True

    def _restart(self, name: str) -> None:
        try:
            self._harness.ask(do="restart", actors=[name])
        except ControlError as error:
            self.refused.append(f"restart {name}: {error}")

    # ------------------------------------------------------------ afterwards

    def _settle(self) -> None:
        """Wait until all actors that were hit are up again."""
        deadline = time.monotonic() + _PATIENCE_S
        while not self._halt.is_set() and not self.over:
            actors = self._harness.status()["actors"]
            down = [a for a in actors if a["state"] not in ("running", "ended")]
            down += [
                a for a in actors if a["name"] in self._hit and a["pid"] == self._hit[a["name"]].pid
            ]
            self.over = _sources_over(actors)
            if not down:
                return
            if time.monotonic() > deadline:
                names = ", ".join(f"{a['name']} ({a['state']})" for a in down)
                raise HarnessError(f"not up again within {_PATIENCE_S:.0f} s: {names}")
            self._halt.wait(_LOOK_S)


@dataclass(frozen=True)
class _Hit:
    """The process that was hit last, what it had done by then, and how often it was hit since it
    did anything."""

    pid: int
    done: int
    strikes: int


def _sources_over(actors: list[dict[str, Any]]) -> bool:
    return all(a["state"] == "ended" for a in actors if a["role"] == "capture")


def _parent(pid: int) -> int:
    """The parent of a process; 0 when there is no such process."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


class EventReader(threading.Thread):
    """Collects the events of a run as they happen; the run itself keeps the last thousand."""

    def __init__(self, harness: Harness) -> None:
        super().__init__(name="events", daemon=True)
        self.events: list[dict[str, Any]] = []
        self._harness = harness
        self._halt = threading.Event()

    def run(self) -> None:
        while not self._halt.is_set():
            last = self.events[-1]["id"] if self.events else 0
            try:
                self.events += self._harness.events(last)
            except ControlError:
                self._halt.wait(_LOOK_S)  # the run is over, or busy: then it answers the next time

    def halt(self) -> None:
        """Read no more, and return when the last answer is here."""
        self._halt.set()
        self.join(10.0)
