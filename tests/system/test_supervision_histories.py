"""Random histories of a run: processes that start, hang, die, outlive SIGKILL, and requests."""

from __future__ import annotations

import copy
import random
import signal
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from actors.system import children as states
from actors.system.actions import (
    Action,
    Answer,
    Fork,
    Log,
    RenewForkServer,
    Send,
    Signal,
    Vitals,
)
from actors.system.child_table import HANG_NS, KILL_NS, START_NS, STOP_NS
from actors.system.children import ENDED_CODE, ActorPlan, Child
from actors.system.messages import Down, Drain, Note, Ready, Stop, Up
from actors.system.supervision import (
    CLOSE_HURRIED_NS,
    CLOSE_NS,
    DRAIN_NS,
    LONG_CLOSE_NS,
    RUNNING,
    STOPPING,
    Supervision,
)

MS = 1_000_000
TURN = 100 * MS
NAMES = ("cam0", "cam1", "tiler", "npu0", "npu1")
ENDING = ("cam0", "cam1")
HISTORIES = 3000


@dataclass
class Process:
    """A process of the simulated system."""

    incarnation: int
    ready: bool = False
    silent_since: int | None = None
    stopped: bool = False
    sleeps: bool = False
    """Uninterruptibly: no signal ends it."""
    killed: bool = False
    asked: bool = False
    done: int = 0
    ups: dict[str, int] = field(default_factory=dict)
    """The incarnations of the others of which an Up came and not yet a Down."""


class World:
    """Carries out the actions of a `Supervision` on simulated processes, and checks each."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.now = 1_000_000_000
        plans = [
            ActorPlan(name=n, role="r", entry="m:f", settings=None, fds={}, ends=n in ENDING)
            for n in NAMES
        ]
        self.supervision = Supervision(plans, self._fatal_reason)
        self.processes: dict[str, Process] = {}
        self.next_pid = 100
        self.fork_server = "ready"
        self.fork_fails = rng.choice([0.0, 0.0, 0.2])
        self.broken = rng.choice([set(), {"npu0"}, {"npu0", "npu1"}, set(ENDING)])
        """Actors that cannot start."""
        self.fork_server_broken = rng.random() < 0.05
        self.open_requests: dict[int, list[str]] = {}
        self.last_request = 0
        self.failed: set[str] = set()
        self.downs: Counter[tuple[str, str, int, int]] = Counter()
        self.seen: Counter[str] = Counter()

    def _fatal_reason(self, failed: Mapping[str, str]) -> str | None:
        return "both workers failed" if {"npu0", "npu1"} <= set(failed) else None

    # ------------------------------------------------------------ carrying out

    def do(self, actions: list[Action]) -> None:
        self.carry_out(actions)
        self.check()

    def carry_out(self, actions: list[Action]) -> None:
        for action in actions:
            self.seen[type(action).__name__] += 1
            if isinstance(action, Fork):
                self._fork(action)
            elif isinstance(action, Send):
                self._send(action)
            elif isinstance(action, Signal):
                self._signal(action)
            elif isinstance(action, Answer):
                del self.open_requests[action.request]  # each exactly once
            elif isinstance(action, RenewForkServer):
                assert self.fork_server != "ready"
                self.fork_server = "starting"
            else:
                assert isinstance(action, Log)
                assert action.level in ("info", "warning", "error")
                if action.kind == "failed" and action.actor in NAMES:
                    self.failed.add(action.actor)

    def _fork(self, action: Fork) -> None:
        assert action.name not in self.processes, "forked beside a living incarnation"
        self._forgive(action.name)
        assert action.name not in self.failed, "a failed actor was started unasked"
        if self.fork_server != "ready" or self.rng.random() < self.fork_fails:
            self.fork_server = "lost"
            killed = self.rng.random() < 0.5
            lost = self.supervision.fork_server_lost(
                "it does not fork", self.now, killed=killed, child=action.name
            )
            self.carry_out(lost)
            return
        self.next_pid += 1
        self.processes[action.name] = Process(action.incarnation)
        self.carry_out(self.supervision.forked(action.name, self.next_pid))

    def _forgive(self, name: str) -> None:
        """A failed actor may start again once a request that names it is worked off."""
        if self.supervision.children[name].state != states.FAILED and any(
            name in names for names in self.open_requests.values()
        ):
            self.failed.discard(name)

    def _send(self, action: Send) -> None:
        receiver = self.processes[action.to]
        assert receiver.ready, "sent before the inbox was announced"
        message = action.message
        if isinstance(message, Up):
            assert message.name != action.to
            assert message.name not in receiver.ups, "a second Up without a Down"
            assert self.processes[message.name].ready
            receiver.ups[message.name] = message.incarnation
        elif isinstance(message, Down):
            key = (action.to, message.name, receiver.incarnation, message.incarnation)
            self.downs[key] += 1
            assert self.downs[key] == 1, "a second Down of one incarnation"
            up = receiver.ups.pop(message.name, None)
            assert up in (None, message.incarnation)
        elif isinstance(message, Stop):
            receiver.asked = True
        else:
            assert isinstance(message, Drain)
            assert action.to in ENDING

    def _signal(self, action: Signal) -> None:
        process = self.processes.get(action.name)
        if process is None:  # its fork has just failed
            return
        if action.number == signal.SIGKILL:
            assert not process.killed, "killed twice"
            process.killed = True
        process.asked = True

    # ------------------------------------------------------------ happenings

    def vitals(self, name: str) -> Vitals:
        process = self.processes.get(name)
        if process is None:
            return Vitals()
        silent = 0 if process.silent_since is None else self.now - process.silent_since
        return Vitals(silent_ns=silent, stopped=process.stopped, done=process.done)

    def tick(self, passed: int = TURN) -> None:
        self.now += passed
        self.do(self.supervision.tick(self.now, {name: self.vitals(name) for name in NAMES}))

    def exit(self, name: str, code: int) -> None:
        vitals = self.vitals(name)
        del self.processes[name]
        self.do(self.supervision.exited(name, code, vitals, self.now))

    def ready(self, name: str, incarnation: int) -> None:
        process = self.processes.get(name)
        child = self.supervision.children[name]
        if process is not None and process.incarnation == incarnation:
            taken = child.state == states.STARTING and child.kill_cause is None
            process.ready = process.ready or taken
        self.do(self.supervision.received(Ready(name, incarnation), self.now))

    def lose_fork_server(self, *, killed: bool) -> None:
        self.fork_server = "lost"
        self.do(self.supervision.fork_server_lost("it is gone", self.now, killed=killed))

    def request_restart(self, names: list[str], *, kill: bool) -> None:
        self.last_request += 1
        self.open_requests[self.last_request] = names
        self.do(self.supervision.restart(self.last_request, names, self.now, kill=kill))

    # ------------------------------------------------------------ what always holds

    def check(self) -> None:
        supervision = self.supervision
        for name, child in supervision.children.items():
            process = self.processes.get(name)
            self._forgive(name)
            if child.up:
                assert process is not None
                assert process.ready
                assert supervision.incarnation(name) == process.incarnation == child.incarnation
            if child.state == states.RUNNING:
                assert child.up or child.kill_cause is not None
            if child.pid == 0 and child.alive:
                assert child.state in (states.STARTING, states.STOPPING)  # amid a fork
            if process is not None and not child.alive:
                assert process.sleeps or supervision.phase == STOPPING
            if child.state == states.FAILED and supervision.phase == RUNNING:
                assert process is None
        if supervision.phase == STOPPING:
            assert not self.open_requests

    def settle(self) -> None:
        """What happens by itself: killed processes exit, asked ones mostly too."""
        if self.fork_server == "starting" and self.fork_server_broken:
            self.lose_fork_server(killed=False)
        elif self.fork_server == "starting" and self.rng.random() < 0.4:
            self.fork_server = "ready"
            self.do(self.supervision.fork_server_ready())
        for name, process in list(self.processes.items()):
            if process.sleeps:
                continue
            if process.killed:
                self.exit(name, -signal.SIGKILL)
            elif process.asked and not process.stopped and self.rng.random() < 0.5:
                self.exit(name, self.rng.choice([0, 0, 0, ENDED_CODE, 1, -signal.SIGTERM]))
            elif name in self.broken:
                self.exit(name, 1)
            elif not process.ready and self.rng.random() < 0.7:
                self.ready(name, process.incarnation)

    def disturb(self) -> None:
        rng = self.rng
        name = rng.choice(NAMES)
        process = self.processes.get(name)
        kind = rng.randrange(12)
        if kind == 0:
            self.request_restart(rng.sample(NAMES, rng.randint(1, 3)), kill=rng.random() < 0.5)
        elif kind == 1:
            self.lose_fork_server(killed=rng.random() < 0.5)
        elif kind == 2:
            self.ready(name, rng.randint(1, 9))
        elif kind == 3:
            level = rng.choice(["info", "warning", "error", "fatal"])
            excuses = tuple(rng.sample([*NAMES, "unknown"], rng.randint(0, 3)))
            sender = rng.choice([name, "unknown"])
            self.do(self.supervision.received(Note(sender, level, "x", "y", excuses), self.now))
        elif kind == 4 and rng.random() < 0.3:
            self.do(self.supervision.stop(self.now))
        elif kind == 5:
            self.wrong_events()
        elif process is not None and not process.sleeps:
            if kind == 6:
                process.silent_since = self.now
                process.stopped = rng.random() < 0.5
            elif kind == 7 and rng.random() < 0.3:
                process.sleeps = True
                process.silent_since = process.silent_since or self.now
            elif kind == 8:
                process.done += 1
            else:
                self.exit(name, rng.choice([0, 1, 1, ENDED_CODE, -9, -11, -15]))

    def wrong_events(self) -> None:
        """Each raises and changes nothing."""
        before = copy.deepcopy(vars(self.supervision), {id(self): self})
        for name, child in self.supervision.children.items():
            if not child.pid:
                with pytest.raises(ValueError, match="has no process"):
                    self.supervision.exited(name, 0, Vitals(), self.now)
            with pytest.raises(ValueError, match="was not to be forked"):
                self.supervision.forked(name, 1)
        with pytest.raises(KeyError):
            self.supervision.exited("unknown", 0, Vitals(), self.now)
        after = vars(self.supervision)
        assert _rows(before["children"]) == _rows(after["children"])
        assert before["phase"] == after["phase"]


def _rows(children: dict[str, Child]) -> list[str]:
    return [repr({**vars(child), "policy": vars(child.policy)}) for child in children.values()]


def _history(seed: int) -> World:
    rng = random.Random(seed)
    world = World(rng)
    for _ in range(rng.randint(5, 120)):
        if rng.random() < 0.3:
            world.disturb()
        world.settle()
        world.tick(rng.choice([MS, 10 * MS, TURN, TURN, TURN, 2_000 * MS, START_NS // 2]))
        if world.supervision.over:
            break
    return world


def test_random_histories() -> None:
    """Each ends within its bounds after a stop, whatever the processes do."""
    seen: Counter[str] = Counter()
    for seed in range(HISTORIES):
        world = _history(seed)
        supervision = world.supervision
        if not supervision.over:
            already = supervision.phase == STOPPING
            hurried = seed % 2 == 0 or not already
            if hurried:
                world.do(supervision.stop(world.now))
            bound = DRAIN_NS + CLOSE_HURRIED_NS if hurried else CLOSE_NS + LONG_CLOSE_NS
            end = world.now + bound + KILL_NS + 4 * TURN
            while not supervision.over:
                assert world.now <= end, f"seed {seed}: the run does not end"
                if seed % 3:
                    world.settle()
                else:  # only SIGKILL ends them
                    for name, process in list(world.processes.items()):
                        if process.killed and not process.sleeps:
                            world.exit(name, -signal.SIGKILL)
                world.tick()
        assert not world.open_requests
        for process in world.processes.values():
            assert process.sleeps
        seen += world.seen
        seen[f"phase over after failure: {supervision.failure is not None}"] += 1
        seen["outlived"] += len(world.processes)
        seen["failed"] += len(world.failed)
    # The histories reach what they are about.
    for kind in (
        "Fork",
        "Send",
        "Signal",
        "Log",
        "Answer",
        "RenewForkServer",
        "outlived",
        "failed",
    ):
        assert seen[kind] > HISTORIES // 50, (kind, seen)
    assert seen["phase over after failure: True"] > HISTORIES // 50


def test_restart_requests_are_answered_while_nothing_else_happens() -> None:
    """Each within its bound, in an undisturbed run with processes that may ignore a stop."""
    for seed in range(300):
        rng = random.Random(seed)
        world = World(rng)
        for _ in range(3):
            world.tick()
            world.settle()
        names = rng.sample(NAMES, rng.randint(1, 5))
        world.request_restart(names, kill=seed % 2 == 0)
        end = world.now + len(names) * (START_NS + STOP_NS + HANG_NS)
        while world.open_requests:
            assert world.now < end
            world.tick()
            world.settle()
