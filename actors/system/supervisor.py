"""Carries out what `Supervision` decides: forks, signals, reaps, sends, and reads what comes in.

It touches no frame. What it polls: a pidfd for each child (readable when it exits), the fork
server's socket, its own inbox, the control socket, and the descriptors that `watch` adds. At every
turn it reads the heartbeats in the control block.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import zmq

from actors.system.actions import Action, Answer, Fork, Log, Send, Signal, Vitals
from actors.system.child_process import ChildProcess
from actors.system.child_table import HANG_NS
from actors.system.children import ActorPlan
from actors.system.codec import Codec
from actors.system.control_socket import ControlServer, Request
from actors.system.events import EventRequests, Events
from actors.system.fork_server import ForkServer, ForkServerError, Spec
from actors.system.linux import children_of, is_stopped, now_ns
from actors.system.mailbox import Inbox, Outbox, Transport
from actors.system.shared_records import ActorRecord
from actors.system.supervision import Supervision

_TURN_MS = 100
# For processes that `close` has killed: SIGKILL takes milliseconds.
_CLOSE_SECONDS = 2.0


class Supervisor:
    """One run's supervisor. `turn()` until `over`; then `close()`."""

    def __init__(
        self,
        *,
        run: str,
        rundir: Path,
        fork_server: ForkServer,
        plans: Sequence[ActorPlan[object]],
        records: Mapping[str, ActorRecord],
        codec: Codec,
        fatal_reason: Callable[[Mapping[str, str]], str | None],
        status: Callable[[Supervisor], Mapping[str, object]],
        events: Events,
    ) -> None:
        """`fork_server` is ready; it is not closed here. `status` makes the answer to a request.

        `fatal_reason` gets the failed actors' last errors: why the run is over, or None.
        """
        self.rundir = rundir
        self.events = events
        self._run = run
        self._fork_server = fork_server
        self._records = records
        self._status = status
        self._supervision = Supervision(plans, fatal_reason)
        self.children = self._supervision.children
        self.summaries = self._supervision.summaries
        self._processes: dict[str, ChildProcess] = {}
        self._restarts: dict[int, Request] = {}
        self._event_requests = EventRequests(events)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._token = os.urandom(8)
        transport = Transport(self._context, rundir, codec, self._token)
        self._inbox = Inbox(transport, "supervisor")
        self._outbox = Outbox(transport, self._supervision)
        self._server = ControlServer(self._context, rundir)
        self._poller = zmq.Poller()
        for source in (self._inbox.socket, self._server.socket, fork_server.fileno()):
            self._poller.register(source, zmq.POLLIN)

    @property
    def malformed(self) -> int:
        """Messages and requests that made no sense, or were not of this run."""
        return self._inbox.malformed + self._server.malformed

    @property
    def over(self) -> bool:
        """Nothing runs any more and nothing will."""
        return self._supervision.over

    @property
    def failure(self) -> str | None:
        """Why the run was ended, when it could not continue."""
        return self._supervision.failure

    def watch(self, fd: int) -> None:
        """Have `turn` return when `fd` becomes readable."""
        self._poller.register(fd, zmq.POLLIN)

    def stop(self) -> None:
        """Begin a graceful stop: drain, then close. A second call ends it at once."""
        self._do(self._supervision.stop(now_ns()))

    def turn(self) -> set[int]:
        """Wait for something (0.1 s at most), handle it; the watched fds that are readable."""
        readable = {ready for ready, _ in self._poller.poll(_TURN_MS) if isinstance(ready, int)}
        for name, process in list(self._processes.items()):
            if process.fd in readable:
                self._reap(name, process)
        if self._fork_server.fileno() in readable:
            self._check_fork_server()
        for message in self._inbox.drain():
            self._do(self._supervision.received(message, now_ns()))
        for request in self._server.receive():
            self._on_request(request)
        now = now_ns()
        vitals = {name: self._vitals(name, now) for name in self.children}
        self._do(self._supervision.tick(now, vitals))
        self._event_requests.turn(now)
        return readable

    def close(self) -> None:
        """Kill what is left and release everything. A process that cannot be killed is named."""
        for process in self._processes.values():
            process.signal(signal.SIGKILL)
        for name, process in self._processes.items():
            select.select([process.fd], [], [], _CLOSE_SECONDS)
            if process.reap() is None and not self.children[name].outlives_kill:
                text = f"process {process.pid} was killed and does not exit"
                self.events.add(name, "error", "hung", text)
        self._outbox.close()
        self._inbox.close()
        self._server.close()
        self._context.term()

    # ------------------------------------------------------------ what happened

    def _vitals(self, name: str, now: int) -> Vitals:
        """What an actor's record and the kernel say of it."""
        record = self._records[name]
        process = self._processes.get(name)
        if process is None:
            return Vitals(done=record.done)
        sign = record.heartbeat_ns or self.children[name].since_ns
        silent = process.hang_detector.observe(now, sign, process.pid, process.pid)
        return Vitals(
            silent_ns=silent,
            slow_step_until_ns=record.slow_step_until_ns,
            stopped=silent > HANG_NS and is_stopped(process.pid),
            done=record.done,
            suspects=tuple(item for item, _ in record.items_computing()),
        )

    def _reap(self, name: str, process: ChildProcess) -> None:
        now = now_ns()
        vitals = self._vitals(name, now)
        code = process.reap()
        if code is not None:
            self._poller.unregister(process.fd)
            del self._processes[name]
            self._do(self._supervision.exited(name, code, vitals, now))

    def _check_fork_server(self) -> None:
        try:
            self._fork_server.check_ready()
        except ForkServerError as error:
            self._lose_fork_server(error)
        else:
            self._do(self._supervision.fork_server_ready())

    def _lose_fork_server(self, error: ForkServerError, child: str | None = None) -> None:
        self._ignore_fork_server()
        lost = self._supervision.fork_server_lost(
            str(error), now_ns(), killed=error.killed, child=child
        )
        self._do(lost)

    def _on_request(self, request: Request) -> None:
        command = request.content.get("do")
        if command == "status":
            request.succeed(status=self._status(self))
        elif command == "stop":
            self.stop()
            request.succeed()
        elif command == "restart":
            number = max(self._restarts, default=0) + 1
            self._restarts[number] = request
            names, kill = request.content.get("actors"), bool(request.content.get("kill"))
            self._do(self._supervision.restart(number, names, now_ns(), kill=kill))
        elif command == "events":
            self._event_requests.begin(request, now_ns())
        else:
            request.fail(f"no command named {command!r}; there are status, stop, restart, events")

    # ------------------------------------------------------------ what follows

    def _do(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, Fork):
                self._fork(action)
            elif isinstance(action, Send):
                self._outbox.send(action.to, action.message)
            elif isinstance(action, Signal):
                if action.name in self._processes:
                    self._processes[action.name].signal(action.number)
            elif isinstance(action, Log):
                self.events.add(action.actor, action.level, action.kind, action.text)
            elif isinstance(action, Answer):
                request = self._restarts.pop(action.request)
                if action.error is None:
                    request.succeed()
                else:
                    request.fail(action.error)
            else:
                self._renew_fork_server()

    def _fork(self, action: Fork) -> None:
        record = self._records[action.name]
        record.incarnation = action.incarnation
        record.heartbeat_ns = record.slow_step_until_ns = 0
        for context in range(4):
            record.computing(context, 0, 0)
        plan = self.children[action.name].plan
        spec = Spec(
            name=plan.name,
            role=plan.role,
            entry=plan.entry,
            run=self._run,
            incarnation=action.incarnation,
            rundir=str(self.rundir),
            settings=plan.settings,
            fds=plan.fds,
            token=self._token,
        )
        try:
            pid = self._fork_server.fork(spec)
        except ForkServerError as error:
            self._lose_fork_server(error, action.name)
            return
        process = self._processes[action.name] = ChildProcess(pid)
        record.pid = pid
        self._poller.register(process.fd, zmq.POLLIN)
        self._do(self._supervision.forked(action.name, pid))

    def _ignore_fork_server(self) -> None:
        if self._fork_server.fileno() in self._poller:
            self._poller.unregister(self._fork_server.fileno())

    def _renew_fork_server(self) -> None:
        self._ignore_fork_server()
        self._fork_server.renew()
        self._poller.register(self._fork_server.fileno(), zmq.POLLIN)
        # It may have died between forking and saying so. That actor must not live beside its next
        # incarnation: it would take the inbox.
        known = {process.pid for process in self._processes.values()}
        known.add(self._fork_server.process.pid)
        for pid in children_of(os.getpid()):
            if pid not in known:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
