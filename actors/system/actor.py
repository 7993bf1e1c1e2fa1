"""The base of every actor: an inbox, a record in shared memory and a loop.

A role subclasses Actor and says what it does when it opens, when a message comes, and each turn.
The loop's every turn writes the heartbeat; a turn waits at most `wait_ms()` for messages.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Generic, TypeVar

import zmq

from actors.system.children import ENDED_CODE
from actors.system.codec import Codec, Message
from actors.system.fork_server import Spec
from actors.system.linux import now_ns
from actors.system.mailbox import Inbox, Outbox, Peers, Transport
from actors.system.messages import Down, Note, Ready, Stop, Up
from actors.system.shared_records import ActorRecord

SUPERVISOR = "supervisor"

# The longest an idle actor sleeps: it then writes its heartbeat and reads the control block, which
# has what a lost message would have said.
_TURN_MS = 100
# How long what was sent last may still travel when an actor exits; ipc takes microseconds.
_LINGER_MS = 500

# Between two heartbeats during a slow step.
_BEAT_SECONDS = 0.2
_Found = TypeVar("_Found")
_Settings = TypeVar("_Settings")

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.ERROR,
}


class ActorError(Exception):
    """An actor cannot continue; one sentence with the remedy. Ends it with exit code 1."""


class Actor(Generic[_Settings]):
    """Base of the roles. `run()` is the process's life and returns its exit code."""

    def __init__(self, spec: Spec[_Settings], codec: Codec, record: ActorRecord) -> None:
        """`codec` has the run's messages, `record` is the actor's own in shared memory."""
        self.name = spec.name
        self.log = logging.getLogger(spec.name)
        self.incarnation = spec.incarnation
        self.settings = spec.settings
        self.fds = spec.fds
        self.stopping = False
        self.ended = False
        self.invalid_messages = 0
        """On the role's other sockets."""
        self.record = record
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.peers = Peers()
        self.peers.up(SUPERVISOR, 1)
        self._transport = Transport(self.context, Path(spec.rundir), codec, spec.token)
        self.inbox = Inbox(self._transport, spec.name, spec.incarnation)
        self.outbox = self.new_outbox()
        self._malformed_before = self.record.malformed
        self._unsent_before = self.record.unsent
        self._poller = zmq.Poller()
        self._poller.register(self.inbox.socket, zmq.POLLIN)
        self.beat()
        self._signal_in, self._signal_out = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poller.register(self._signal_in, zmq.POLLIN)

    # -------------------------------------------------------- a role's own

    def open(self) -> None:
        """Get what the role needs. Called once, before the actor is ready."""

    def on_message(self, message: Message) -> None:
        """A message of the role's own."""

    def on_up(self, name: str) -> None:
        """Another actor is ready, perhaps anew."""

    def on_down(self, down: Down) -> None:
        """Another actor has ended."""

    def work(self) -> None:
        """One turn's work, after its messages."""

    def wait_ms(self) -> int:
        """How long the next turn may wait for a message."""
        return _TURN_MS

    def healthy(self) -> bool:
        """Whether the role works, threads of its own included; without, heartbeats stop."""
        return True

    def close(self) -> None:
        """Release everything. Called once, also after a failure."""

    # -------------------------------------------------------- the loop around it

    def new_outbox(self) -> Outbox:
        """An outbox for the calling thread."""
        return Outbox(self._transport, self.peers)

    def watch(self, socket: zmq.Socket[bytes] | int) -> None:
        """Have a turn begin when something comes in on another socket, or on a descriptor."""
        self._poller.register(socket, zmq.POLLIN)

    def beat(self) -> None:
        """Write the heartbeat, where `open` takes longer than a turn of the loop may."""
        self.record.heartbeat_ns = now_ns()

    def run_with_heartbeat(self, action: Callable[[], _Found], seconds: float, what: str) -> _Found:
        """Do something slow in `open` on a thread of its own while heartbeats continue.

        ActorError when it takes more than `seconds`; what it raises is raised.
        """
        done: Future[_Found] = Future()

        def run() -> None:
            try:
                done.set_result(action())
            except BaseException as error:
                done.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        deadline = now_ns() + round(seconds * 1e9)
        while True:
            try:
                return done.result(timeout=_BEAT_SECONDS)
            except FutureTimeoutError:
                if done.done():
                    raise
                self.beat()
                if now_ns() > deadline:
                    raise ActorError(f"{what} took more than {seconds:.0f} s") from None

    def note(
        self, level: str, text: str, kind: str = "note", excuses: tuple[str, ...] = ()
    ) -> None:
        """Log a line and send it to the supervisor, see `messages.Note`."""
        self.log.log(_LEVELS[level], text)
        self.outbox.send(SUPERVISOR, Note(self.name, level, kind, text, excuses))

    def run(self) -> int:
        """Open, say ready, turn until stopped, close. The process's exit code.

        ENDED_CODE when the role has set `ended`: there is nothing more to do, ever.
        """
        signal.signal(signal.SIGTERM, self._on_sigterm)
        signal.set_wakeup_fd(self._signal_out)
        code = 0
        try:
            self.open()
            self.beat()
            self.outbox.send(SUPERVISOR, Ready(self.name, self.incarnation))
            while not self.stopping:
                self._turn()
        except ActorError as error:
            self.note("fatal", str(error), "fatal")
            code = 1
        except Exception as error:
            self.log.debug("fault", exc_info=True)
            self.note("fatal", f"fault in the program: {type(error).__name__}: {error}", "fatal")
            code = 1
        try:
            self.close()
        except Exception as error:
            # After a fatal note this is its consequence, and must not stand in its place.
            self.note("warning" if code else "error", f"while closing: {error}")
            code = 1
        self.outbox.close(_LINGER_MS)
        self.inbox.close()
        self.context.term()
        return ENDED_CODE if code == 0 and self.ended else code

    def _on_sigterm(self, *_: object) -> None:
        self.stopping = True

    def _turn(self) -> None:
        for ready, _ in self._poller.poll(self.wait_ms()):
            if ready == self._signal_in:
                os.read(self._signal_in, 64)
        for message in self.inbox.drain():
            self._dispatch(message)
        self.work()
        record = self.record
        record.malformed = self._malformed_before + self.inbox.malformed + self.invalid_messages
        record.unsent = self._unsent_before + self.outbox.unsent
        if self.healthy():
            self.beat()

    def _dispatch(self, message: Message) -> None:
        if isinstance(message, Up):
            self.peers.up(message.name, message.incarnation)
            self.on_up(message.name)
        elif isinstance(message, Down):
            self.peers.down(message.name, message.incarnation)
            self.on_down(message)
        elif isinstance(message, Stop):
            self.stopping = True
        else:
            self.on_message(message)
