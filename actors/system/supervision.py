"""Decides what a run does: start, stop and restart actors, renew the fork server, end.

Events in, actions out: no process, socket or clock here. `supervisor.Supervisor` carries out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from actors.system import children as states
from actors.system.actions import Action, Answer, Log, RenewForkServer, Send, Vitals
from actors.system.child_table import HANG_NS, START_NS, ChildTable
from actors.system.children import ActorPlan, delay_ns
from actors.system.codec import Message
from actors.system.messages import Drain, Note, Ready, Summary
from actors.system.rolling_restarts import RollingRestarts, refusal

_SECOND = 1_000_000_000
DRAIN_NS = 2 * _SECOND
# After the drain: closing a video file and letting the last results travel.
CLOSE_NS = 5 * _SECOND
CLOSE_HURRIED_NS = 700_000_000
# A renderer that died has left a video in several files, and joining hours of it takes minutes.
LONG_CLOSE_NS = 600 * _SECOND
# Starts of the fork server that fail in a row are no accident.
FAILED_STARTS = 5

# Subjects with a summary, so that faulty messages cannot fill the memory.
_SUMMARIES = 100

RUNNING, DRAINING, STOPPING = "running", "draining", "stopping"


@dataclass
class _ForkServerState:
    """Ready; or starting; or lost, to be renewed at `renew_at_ns`."""

    ready: bool = True
    renew_at_ns: int | None = None
    renewed_ns: int = 0
    losses: int = 0
    """In a row, with nothing forked between."""
    failed_starts: int = 0
    """In a row, of its own fault."""

    def lost(self, *, killed: bool, now: int) -> None:
        self.losses += 1
        self.failed_starts += not killed and not self.ready
        self.ready = False
        self.renew_at_ns = now + delay_ns(self.losses)


class Supervision:
    """The decisions of one run. Every event's method returns the actions that follow from it.

    The run is *running*; *draining*, when a stop was asked for: actors that end by themselves take
    in nothing more and finish what they have; *stopping*: every actor closes what it has and exits.

    ========  ===========  ==============  =======================  ==========
    phase     stop asked   all have ended  an actor that is needed  2 s passed
                                           fails, or the fork
                                           server cannot start
    ========  ===========  ==============  =======================  ==========
    running   draining     stopping        stopping
    draining  stopping(*)  stopping        stopping                 stopping
    stopping  stopping(*)
    ========  ===========  ==============  =======================  ==========

    (*) with SIGKILL at once. Otherwise actors are killed that have not exited 0.7 s after a stop
    that was asked for was drained, or 5 s after all have ended, later while their heartbeats show
    that they still close. A killed process that does not exit is not waited for.
    """

    def __init__(
        self,
        plans: Sequence[ActorPlan[object]],
        fatal_reason: Callable[[Mapping[str, str]], str | None],
    ) -> None:
        """`fatal_reason` gets the failed actors' last errors: why the run is over, or None."""
        self._table = ChildTable(plans)
        self.children = self._table.children
        self.phase = RUNNING
        self.failure: str | None = None
        """Why the run was ended, when it could not continue."""
        self.summaries: dict[str, str] = {}
        """What was said last of each subject, see `messages.Summary`."""
        self._fatal_reason = fatal_reason
        self._restarts = RollingRestarts()
        self._fork_server = _ForkServerState()
        self._hurried = False
        self._deadline_ns = 0

    @property
    def over(self) -> bool:
        """Nothing runs any more and nothing will."""
        return self.phase == STOPPING and not any(c.alive for c in self.children.values())

    def incarnation(self, name: str) -> int:
        """Under which incarnation an actor may be sent messages; 0 when it is down."""
        child = self.children[name]
        return child.incarnation if child.up else 0

    # ------------------------------------------------------------ time

    def tick(self, now: int, vitals: Mapping[str, Vitals]) -> list[Action]:
        """Time has passed; `vitals` of every child."""
        actions: list[Action] = []
        for step in self._restarts.step(self.children, now):
            if isinstance(step, Answer):
                actions.append(step)
            else:
                actions += self._table.restart(self.children[step.name], now, kill=step.kill)
        if self.phase == STOPPING:
            return actions + self._close(now, vitals)
        actions += self._start(now, vitals)
        for child in self.children.values():
            actions += self._table.check(child, vitals[child.name], now)
        if all(c.state == states.ENDED for c in self.children.values() if c.plan.ends):
            actions += self._begin_stopping(now)
        elif self.phase == DRAINING and now > self._deadline_ns:
            text = "work in flight was not finished in time"
            actions.append(Log("supervisor", "warning", "stop", text))
            actions += self._begin_stopping(now)
        return actions

    def _start(self, now: int, vitals: Mapping[str, Vitals]) -> list[Action]:
        """Renew the fork server, or fork what is due."""
        server = self._fork_server
        if server.renew_at_ns is not None and now >= server.renew_at_ns:
            server.renew_at_ns, server.renewed_ns = None, now
            return [RenewForkServer()]
        starting = server.renew_at_ns is None and not server.ready
        if starting and now - server.renewed_ns > START_NS:
            text = f"the fork server process does not start within {START_NS // _SECOND} s"
            return self.fork_server_lost(text, now, killed=False)
        actions: list[Action] = []
        for child in self.children.values():
            if server.ready and child.state == states.BACKOFF and now >= child.start_at_ns:
                actions += self._table.start(child, vitals[child.name], now)
        return actions

    def _close(self, now: int, vitals: Mapping[str, Vitals]) -> list[Action]:
        """Kill what has not closed in time."""
        actions: list[Action] = []
        in_time = not self._hurried and now <= self._deadline_ns + LONG_CLOSE_NS
        for child in self.children.values():
            closes = in_time and vitals[child.name].silent_ns < HANG_NS
            if child.killed_ns:
                actions += self._table.check(child, vitals[child.name], now)
                if child.alive and child.outlives_kill:
                    child.enter(states.ENDED, now)
            elif now > self._deadline_ns and not closes:
                actions += self._table.kill(child, now)
        return actions

    # ------------------------------------------------------------ actors

    def forked(self, name: str, pid: int) -> list[Action]:
        """An actor has a process."""
        child = self.children[name]
        if not child.alive or child.pid:
            raise ValueError(f"{name} was not to be forked: it is {child.state}")
        child.pid = pid
        self._fork_server.losses = self._fork_server.failed_starts = 0
        return []

    def received(self, message: Message, now: int) -> list[Action]:
        """A message of an actor; one of a dead incarnation or another kind changes nothing."""
        if isinstance(message, Summary):
            if message.subject in self.summaries or len(self.summaries) < _SUMMARIES:
                self.summaries[message.subject] = message.text
        elif isinstance(message, Note) and message.name in self.children:
            return self._table.noted(self.children[message.name], message)
        elif isinstance(message, Ready) and message.name in self.children:
            child = self.children[message.name]
            actions = self._table.ready(child, message.incarnation, now)
            if actions and self.phase == DRAINING and child.plan.ends:
                actions.append(Send(child.name, Drain()))
            return actions
        return []

    def exited(self, name: str, code: int, vitals: Vitals, now: int) -> list[Action]:
        """The process of an actor has exited with that code, or minus the signal that ended it."""
        child = self.children[name]
        stops = self.phase == STOPPING
        actions = self._table.exited(child, code, vitals, now, run_stops=stops)
        if child.state == states.FAILED:
            children = self.children.values()
            failed = {c.name: c.last_error or "" for c in children if c.state == states.FAILED}
            reason = self._fatal_reason(failed)
            if reason is not None:
                actions += self._fail(reason, now)
        return actions

    # ------------------------------------------------------------ the fork server

    def fork_server_ready(self) -> list[Action]:
        """The fork server that was renewed can fork, perhaps after its time."""
        self._fork_server.ready, self._fork_server.renew_at_ns = True, None
        return []

    def fork_server_lost(
        self, reason: str, now: int, *, killed: bool, child: str | None = None
    ) -> list[Action]:
        """The fork server has ended or does not fork; `child` is what it was to fork.

        Being killed from outside is not its fault, however often. One that cannot start several
        times in a row, as when an import fails, ends the run.
        """
        if child is not None:
            lost = self.children[child]
            if lost.state == states.STARTING:
                lost.wait(0, now)
            else:  # the run has begun to stop in the same tick
                lost.enter(states.ENDED, now)
        server = self._fork_server
        if server.renew_at_ns is not None or self.phase == STOPPING:
            return []
        server.lost(killed=killed, now=now)
        if server.failed_starts > FAILED_STARTS:
            return self._fail(reason, now)
        return [Log("supervisor", "warning", "ended", f"{reason}; it is started again")]

    # ------------------------------------------------------------ requests and phases

    def restart(self, request: int, names: object, now: int, *, kill: bool) -> list[Action]:
        """A person asks for a restart of actors: the answer comes when all of them run again."""
        error = refusal(names, self.children)
        if error is None and self.phase != RUNNING:
            error = "the run is stopping"
        if error is not None or not isinstance(names, list):
            return [Answer(request, error)]
        self._restarts.add(request, names, kill=kill)
        return []

    def stop(self, now: int) -> list[Action]:
        """A person asks for a graceful stop: drain, then close. A second time ends it at once."""
        self._hurried = True
        if self.phase == RUNNING:
            self.phase = DRAINING
            self._deadline_ns = now + DRAIN_NS
            text = "stopping: work in flight is finished first"
            return [
                Log("supervisor", "info", "stop", text),
                *self._restarts.refuse_all("the run is stopping"),
                *(Send(c.name, Drain()) for c in self.children.values() if c.plan.ends and c.up),
            ]
        actions = self._begin_stopping(now) if self.phase == DRAINING else []
        for child in self.children.values():
            actions += self._table.kill(child, now)
        return actions

    def _begin_stopping(self, now: int) -> list[Action]:
        self.phase = STOPPING
        self._deadline_ns = now + (CLOSE_HURRIED_NS if self._hurried else CLOSE_NS)
        actions: list[Action] = [*self._restarts.refuse_all("the run is stopping")]
        for child in self.children.values():
            if child.state == states.BACKOFF:
                child.enter(states.ENDED, now)
            elif child.alive:
                actions += self._table.ask_to_stop(child, now)
        return actions

    def _fail(self, reason: str, now: int) -> list[Action]:
        """End the run because it cannot continue."""
        self.failure = reason
        failed = Log("supervisor", "error", "failed", reason)
        return [failed, *self._begin_stopping(now)]
