"""Inboxes and outboxes: one PULL socket an actor, PUSH sockets to the others by name.

The supervisor's last Up or Down says whether an actor is up. A message to one that is down is not
sent: the sender gets its next Up and sends again what still matters. A new incarnation gets a new
socket, so that nothing queued for the old one stands before what is for it.

Every message begins with the run's token, random bytes that only this run's processes have: what
other processes, those of an earlier run too, send to an inbox is counted and ignored. Then comes
the incarnation that it is for: what was queued for a dead one before its Down came reaches the next
as soon as that has bound its inbox, and is ignored there.

A ZeroMQ socket belongs to one thread. An actor with several threads gives each its own Outbox; they
share the Peers.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import zmq

from actors.system.codec import LARGEST, Codec, Message, MessageError
from actors.system.run_directory import endpoint

# Every flow is paced by credits that are far below this; it bounds what a fault could pile up.
_HIGH_WATER = 1000
_DRAIN = 64


@dataclass(frozen=True)
class Transport:
    """What every mailbox of one process shares. `token` begins each message of the run."""

    context: zmq.Context[zmq.Socket[bytes]]
    rundir: Path
    codec: Codec
    token: bytes = b""


class Addresses(Protocol):
    """Which incarnation of each actor takes messages."""

    def incarnation(self, name: str) -> int:
        """0 when the actor is down."""


class Peers:
    """The incarnation under which each other actor is up, by the Ups and Downs so far."""

    def __init__(self) -> None:
        self._up: dict[str, int] = {}
        self._changed = threading.Condition()
        self._given_up = False

    def up(self, name: str, incarnation: int) -> None:
        """An actor is up."""
        with self._changed:
            self._up[name] = incarnation
            self._changed.notify_all()

    def down(self, name: str, incarnation: int) -> None:
        """An actor is down, unless a later incarnation of it is up."""
        with self._changed:
            if self._up.get(name, 0) <= incarnation:
                self._up.pop(name, None)

    def incarnation(self, name: str) -> int:
        """Under which incarnation `name` is up; 0 when it is down."""
        return self._up.get(name, 0)

    def wait_for(self, name: str, incarnation: int, seconds: float) -> bool:
        """Wait until `name` is up under that incarnation or a later one; False when it is not."""
        if self._up.get(name, 0) >= incarnation:
            return True
        deadline = time.monotonic() + seconds
        with self._changed:
            while self._up.get(name, 0) < incarnation:
                left = deadline - time.monotonic()
                if self._given_up or left <= 0 or not self._changed.wait(left):
                    return False
        return True

    def give_up(self) -> None:
        """End all waiting, now and from now on: no Up will be read any more."""
        with self._changed:
            self._given_up = True
            self._changed.notify_all()


def _tag(incarnation: int) -> bytes:
    return incarnation.to_bytes(4, "big")


class Inbox:
    """A bound PULL socket. `malformed` counts what came in and was not a message of this run.

    Not counted: what is larger than LARGEST. ZeroMQ closes its connection before the socket has it,
    and reports that as it reports a sender that exits. Only this user's processes can connect, and
    an Outbox sends nothing so large.
    """

    def __init__(self, transport: Transport, name: str, incarnation: int = 1) -> None:
        self.malformed = 0
        self._codec = transport.codec
        self._token = transport.token
        self._tag = _tag(incarnation)
        self.socket = transport.context.socket(zmq.PULL)
        self.socket.set(zmq.LINGER, 0)
        self.socket.set(zmq.RCVHWM, _HIGH_WATER)
        self.socket.set(zmq.MAXMSGSIZE, LARGEST)
        self.socket.bind(endpoint(transport.rundir, name))

    def drain(self) -> list[Message]:
        """The messages that are here now, at most a few dozen, without waiting."""
        messages: list[Message] = []
        for _ in range(_DRAIN):
            try:
                parts = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            try:
                if len(parts) != 1:
                    raise MessageError(f"{len(parts)} parts")
                if not parts[0].startswith(self._token):
                    raise MessageError("not of this run")
                begin = len(self._token) + len(self._tag)
                if parts[0][len(self._token) : begin] == self._tag:
                    messages.append(self._codec.decode(parts[0][begin:]))
            except MessageError:
                self.malformed += 1
        return messages

    def close(self) -> None:
        """Close the socket."""
        self.socket.close(0)


class Outbox:
    """Sockets to the other actors, opened when first needed. For one thread."""

    def __init__(self, transport: Transport, peers: Addresses) -> None:
        self._transport = transport
        self._peers = peers
        self._sockets: dict[str, tuple[int, zmq.Socket[bytes]]] = {}
        self.unsent = 0

    def send(self, name: str, message: Message) -> bool:
        """Send to an actor; False when it is down.

        Also False, and counted in `unsent`: it does not read, or the message is too large for it.
        """
        incarnation = self._peers.incarnation(name)
        known = self._sockets.get(name)
        if known is not None and known[0] != incarnation:
            known[1].close(0)
            del self._sockets[name]
            known = None
        if incarnation == 0:
            return False
        if known is None:
            socket = self._transport.context.socket(zmq.PUSH)
            socket.set(zmq.SNDHWM, _HIGH_WATER)
            socket.set(zmq.LINGER, 0)
            socket.connect(endpoint(self._transport.rundir, name))
            self._sockets[name] = known = (incarnation, socket)
        head = self._transport.token + _tag(incarnation)
        data = head + self._transport.codec.encode(message)
        try:
            if len(data) > LARGEST:
                raise zmq.Again
            known[1].send(data, zmq.NOBLOCK)
        except zmq.Again:
            self.unsent += 1
            return False
        return True

    def close(self, linger_ms: int = 0) -> None:
        """Close every socket; `linger_ms` bounds how long what was sent may still travel."""
        for _, socket in self._sockets.values():
            socket.close(linger_ms)
        self._sockets.clear()
