"""The supervisor: starts actors, sees them end or hang, starts them again, and answers commands.

It carries no pixel and no frame. What it watches: a pidfd for each child (readable when it ends),
each heartbeat in the control block, its own inbox, the control socket, and the pipe into which all
actors log.

A run goes through three phases. *running*; *draining*, when a stop was asked for: sources read no
more and frames in flight are finished; *stopping*: everybody closes what they have and exits, and
who does not is killed.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import zmq

from actors.system import children as states
from actors.system.children import ActorPlan, Child, cause_of, describe_exit
from actors.system.codec import Codec, Message
from actors.system.control_socket import ControlServer, Request
from actors.system.events import Events, Listeners
from actors.system.fork_server import ForkServer, ForkServerError, Spec
from actors.system.linux import children_of, is_stopped, now_ns
from actors.system.mailbox import Inbox, Outbox, Peers, Transport
from actors.system.messages import Down, Drain, Note, Ready, Stop, Summary, Up
from actors.system.restarts import Restarts
from actors.system.shared_records import ActorRecord

_SECOND = 1_000_000_000
# A loop turns every 100 ms when idle and after each frame when not, and a fork comes to its first
# beat in milliseconds; 1.5 s without one is a hang.
_HANG_NS = 1_500_000_000
# Loading a large model on a busy board takes seconds.
_START_NS = 60 * _SECOND
# An actor that was ready for so long did not fail to start.
_LIVED_NS = 10 * _SECOND
_DRAIN_NS = 2 * _SECOND
# After the drain: closing a video file and letting the last results travel.
_CLOSE_NS = 5 * _SECOND
_CLOSE_HURRIED_NS = 700_000_000
# A renderer that died has left a video in parts, and joining hours of it takes minutes.
_LONG_CLOSE_NS = 600 * _SECOND
_TURN_MS = 100
# Subjects with a summary, so that faulty messages cannot fill the memory.
_SUMMARIES = 100
# In a row, after which it is not an accident.
_NURSERY_LOSSES = 5

RUNNING, DRAINING, STOPPING = "running", "draining", "stopping"


class Supervisor:
    """One run's supervisor. `turn()` until `over`; then `close()`."""

    def __init__(
        self,
        run: str,
        rundir: Path,
        fork_server: ForkServer,
        plans: Sequence[ActorPlan[object]],
        records: Mapping[str, ActorRecord],
        codec: Codec,
        fatal_reason: Callable[[Mapping[str, str]], str | None],
    ) -> None:
        """`fatal_reason` gets the failed actors' last errors: why the run is over, or None."""
        self.run = run
        self.rundir = rundir
        self.records = records
        self.children = {plan.name: Child(plan) for plan in plans}
        self.events = Events()
        self.phase = RUNNING
        self.failure: str | None = None
        self.status: Callable[[], dict[str, Any]] = dict
        self.summaries: dict[str, str] = {}
        """What each stream's newest frame shows, in some words."""
        self._fork_server = fork_server
        self._cannot_go_on = fatal_reason
        self._fork_server_losses = 0
        self._deadline_ns = 0
        self._hurried = False
        self._restarts = Restarts(self)
        self._listeners = Listeners(self.events)
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._context = context
        self._peers = Peers()
        self._token = os.urandom(8)
        transport = Transport(context, rundir, codec, self._token)
        self._inbox = Inbox(transport, "supervisor")
        self._outbox = Outbox(transport, self._peers)
        self._server = ControlServer(context, rundir)
        self._poller = zmq.Poller()
        self._poller.register(self._inbox.socket, zmq.POLLIN)
        self._poller.register(self._server.socket, zmq.POLLIN)

    @property
    def malformed(self) -> int:
        """Messages and requests that made no sense, or were not of this run."""
        return self._inbox.malformed + self._server.malformed

    def watch(self, fd: int) -> None:
        """Have `turn` wake when `fd` becomes readable."""
        self._poller.register(fd, zmq.POLLIN)

    # ------------------------------------------------------------ life

    @property
    def over(self) -> bool:
        """Nothing runs any more and nothing will."""
        return self.phase == STOPPING and not any(c.alive for c in self.children.values())

    def turn(self) -> set[int]:
        """Wait for something (0.1 s at most), handle it; the watched fds that are readable."""
        readable = {ready for ready, _ in self._poller.poll(_TURN_MS) if isinstance(ready, int)}
        for child in list(self.children.values()):
            if child.alive and child.pidfd in readable:
                self._ended(child)
        for message in self._inbox.drain():
            self._on_message(message)
        for request in self._server.receive():
            self._on_request(request)
        now = now_ns()
        for child in self.children.values():
            self._check(child, now)
        self._restarts.turn(now)
        self._listeners.turn(now)
        self._move_on(now)
        return readable

    def close(self) -> None:
        """Kill what is left and let go of everything."""
        for child in self.children.values():
            child.signal(signal.SIGKILL)
        for child in self.children.values():
            if child.alive:
                child.reap()
        self._outbox.close()
        self._inbox.close()
        self._server.close()
        self._context.term()

    def stop(self) -> None:
        """Begin a graceful stop: drain, then close. A second call ends it at once."""
        if self.phase == RUNNING:
            self.events.add(
                "supervisor", "info", "stop", "stopping: frames in flight are finished first"
            )
            self.phase = DRAINING
            self._hurried = True
            self._deadline_ns = now_ns() + _DRAIN_NS
            for child in self.children.values():
                if child.plan.ends:
                    self._outbox.send(child.name, Drain())
        else:
            for child in self.children.values():
                child.signal(signal.SIGKILL)
            self.phase = STOPPING

    def fail(self, reason: str) -> None:
        """End the run because it cannot go on."""
        if self.failure is None:
            self.failure = reason
            self.events.add("supervisor", "error", "failed", reason)
            self._begin_stopping(now_ns())

    def _begin_stopping(self, now: int) -> None:
        self.phase = STOPPING
        self._deadline_ns = now + (_CLOSE_HURRIED_NS if self._hurried else _CLOSE_NS)
        for child in self.children.values():
            if child.alive:
                child.enter(states.STOPPING, now)
                if not self._outbox.send(child.name, Stop()):
                    child.signal(signal.SIGTERM)

    def _move_on(self, now: int) -> None:
        """Go to the next phase when it is time."""
        if self.phase == STOPPING:
            for child in self.children.values():
                if now > self._deadline_ns and not self._still_closes(child, now):
                    child.signal(signal.SIGKILL)
            return
        ending = [child for child in self.children.values() if child.plan.ends]
        if all(child.state == states.ENDED for child in ending):
            self._begin_stopping(now)
        elif self.phase == DRAINING and now > self._deadline_ns:
            self.events.add(
                "supervisor", "warning", "stop", "frames in flight were not finished in time"
            )
            self._begin_stopping(now)

    def _still_closes(self, child: Child, now: int) -> bool:
        """Whether an actor is at work on its outputs and nobody is in a hurry."""
        in_time = now < self._deadline_ns + _LONG_CLOSE_NS
        return not self._hurried and in_time and self._silent_ns(child, now) < _HANG_NS

    def _silent_ns(self, child: Child, now: int) -> int:
        """How long an actor has shown no sign of life though it could have."""
        sign = self.records[child.name].heartbeat_ns or child.since_ns
        return child.silence.observe(now, sign, child.pid, child.pid)

    # ------------------------------------------------------------ children

    def start(self, child: Child) -> None:
        """Fork the actor under a new incarnation."""
        now = now_ns()
        child.incarnation += 1
        child.kill_cause = None
        child.ready_ns = 0
        record = self.records[child.name]
        record.incarnation = child.incarnation
        record.heartbeat_ns = record.slow_step_until_ns = 0
        for context in range(4):
            record.computing(context, 0, 0)
        child.done_at_start = record.done
        plan = child.plan
        spec = Spec(
            name=plan.name,
            role=plan.role,
            entry=plan.entry,
            run=self.run,
            incarnation=child.incarnation,
            rundir=str(self.rundir),
            settings=plan.settings,
            fds=plan.fds,
            token=self._token,
        )
        try:
            child.pid = self._fork_server.fork(spec)
        except ForkServerError as error:
            self._fork_server_lost(child, str(error))
            return
        self._fork_server_losses = 0
        child.pidfd = os.pidfd_open(child.pid)
        record.pid = child.pid
        self._poller.register(child.pidfd, zmq.POLLIN)
        child.enter(states.STARTING, now)

    def _fork_server_lost(self, child: Child, error: str) -> None:
        """Start the fork server anew, and the actor that it failed to fork a moment later."""
        self._fork_server_losses += 1
        if self._fork_server_losses > _NURSERY_LOSSES:
            self.fail(error)
            return
        self.events.add("supervisor", "warning", "ended", f"{error}; started anew")
        self._fork_server.renew()
        # It may have died between forking and saying so. That actor must not live beside its next
        # incarnation: it would take the inbox.
        known = {other.pid for other in self.children.values()} | {self._fork_server.process.pid}
        for pid in children_of(os.getpid()):
            if pid not in known:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        child.start_at_ns = now_ns()
        child.enter(states.BACKOFF, child.start_at_ns)

    def _check(self, child: Child, now: int) -> None:
        """Start who is due, end who hangs."""
        if child.state == states.BACKOFF and self.phase != STOPPING and now >= child.start_at_ns:
            self.start(child)
        elif child.state in (states.STARTING, states.RUNNING):
            self._check_heart(child, now)

    def _check_heart(self, child: Child, now: int) -> None:
        """End an actor that was not ready in time, or whose heart has stopped."""
        silent = self._silent_ns(child, now)
        if child.state == states.STARTING and now - child.since_ns > _START_NS:
            self.kill_unresponsive(child, "hang", f"was not ready within {_START_NS // _SECOND} s")
        elif silent > _HANG_NS:
            stopped = is_stopped(child.pid)
            if now < self.records[child.name].slow_step_until_ns and not stopped:
                return
            cause = "killed" if stopped else "hang"
            self.kill_unresponsive(
                child, cause, f"hung for {silent / 1e9:.1f} s while {child.state}"
            )

    def kill_unresponsive(self, child: Child, cause: str, why: str) -> None:
        """Kill an actor, and tell the others now that it is down: its work does not wait."""
        if child.kill_cause is None and child.alive:
            child.kill_cause = cause
            child.last_error = why
            self.events.add(child.name, "error", "hung", f"{why}; killed")
            self._tell_down(child, cause)
            child.signal(signal.SIGKILL)

    def _ended(self, child: Child) -> None:
        """A child's process has exited: tell the others and decide what follows."""
        self._poller.unregister(child.pidfd)
        code = child.reap()
        now = now_ns()
        asked = child.state == states.STOPPING
        if child.kill_cause is None:
            cause = "stopped" if asked else cause_of(code)
            self._tell_down(child, cause)
        if code == states.ENDED_CODE:
            child.enter(states.ENDED, now)
            self.events.add(child.name, "info", "ended", "its source is over")
        elif self.phase == STOPPING:
            child.enter(states.ENDED, now)
        else:
            if child.kill_cause is None:
                if not asked and (child.last_error is None or code < 0):
                    child.last_error = describe_exit(code)
                level = "info" if asked and code == 0 else "warning"
                self.events.add(child.name, level, "ended", describe_exit(code))
            self._schedule(child, code, asked, now)

    def _schedule(self, child: Child, code: int, asked: bool, now: int) -> None:
        """Set the time of the next start, or give the actor up."""
        # Who has nothing to do, a camera being away, has not failed for that.
        lived = child.ready_ns > 0 and now - child.ready_ns >= _LIVED_NS
        worked = self.records[child.name].done > child.done_at_start
        killed = (child.kill_cause or cause_of(code)) == "killed"
        delay = child.policy.died(asked or lived or worked, killed)
        child.restarts += 1
        if delay is not None:
            child.start_at_ns = now + delay
            child.enter(states.BACKOFF, now)
            return
        child.enter(states.FAILED, now)
        text = f"given up after several starts: {child.last_error}"
        self.events.add(child.name, "error", "failed", text)
        failed = {
            c.name: c.last_error or "" for c in self.children.values() if c.state == states.FAILED
        }
        reason = self._cannot_go_on(failed)
        if reason is not None:
            self.fail(reason)

    def _tell_down(self, child: Child, cause: str) -> None:
        self._peers.down(child.name, child.incarnation)
        suspects = tuple(item for item, _ in self.records[child.name].items_computing())
        message = Down(child.name, child.incarnation, cause, suspects)
        self._tell_running(child, message)

    def _tell_running(self, about: Child, message: Message) -> None:
        for other in self.children.values():
            if other is not about and other.state == states.RUNNING:
                self._outbox.send(other.name, message)

    # ------------------------------------------------------------ messages

    def _on_message(self, message: Message) -> None:
        if isinstance(message, Ready):
            child = self.children.get(message.name)
            if child is None or message.incarnation != child.incarnation:
                return
            if child.state == states.STARTING and child.kill_cause is None:
                self._ready(child)
        elif isinstance(message, Note):
            child = self.children.get(message.name)
            if child is not None and message.level in ("error", "fatal"):
                child.last_error = message.text
            if message.kind == "given_up":
                for worker in self.children.values():
                    worker.policy.excuse()
            level = "error" if message.level == "fatal" else message.level
            self.events.add(message.name, level, message.kind, message.text)
        elif isinstance(message, Summary) and (
            message.subject in self.summaries or len(self.summaries) < _SUMMARIES
        ):
            self.summaries[message.subject] = message.text

    def _ready(self, child: Child) -> None:
        child.ready_ns = now_ns()
        child.enter(states.RUNNING, child.ready_ns)
        self._peers.up(child.name, child.incarnation)
        self._tell_running(child, Up(child.name, child.incarnation))
        for other in self.children.values():
            if other is not child and other.state == states.RUNNING:
                self._outbox.send(child.name, Up(other.name, other.incarnation))
        again = f"running again (start {child.incarnation})" if child.incarnation > 1 else "running"
        self.events.add(child.name, "info", "running", again)
        if self.phase == DRAINING and child.plan.ends:
            self._outbox.send(child.name, Drain())

    def ask_to_stop(self, child: Child) -> None:
        """Have an actor finish what is in hand and exit; it is started again then."""
        child.enter(states.STOPPING, now_ns())
        if not self._outbox.send(child.name, Stop()):
            child.signal(signal.SIGTERM)

    # ------------------------------------------------------------ commands

    def _on_request(self, request: Request) -> None:
        command = request.content.get("do")
        if command == "status":
            request.succeed(status=self.status())
        elif command == "stop":
            self.stop()
            request.succeed()
        elif command == "restart":
            self._restarts.begin(request, now_ns())
        elif command == "events":
            self._listeners.begin(request, now_ns())
        else:
            request.fail(f"no command named {command!r}; there are status, stop, restart, events")
