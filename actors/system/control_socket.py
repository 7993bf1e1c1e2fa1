"""The control socket: requests of `actorctl` to a supervisor, and their answers.

A request is one msgpack map `{"do": COMMAND, ...}`, its answer `{"ok": true, ...}` or `{"ok":
false, "error": SENTENCE}`. Commands:

    status                          -> {"status": {...}}
    stop                            -> when the stop has begun
    restart, actors=[...], kill=..  -> when all of them run again, one after another
    events, after=ID                -> {"events": [...]}, after a second at most

The socket lies in the run directory, which only its user (and root) may enter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgpack
import zmq

from actors.system.run_directory import endpoint

SOCKET = "control"
_LARGEST = 64 << 10


class ControlError(Exception):
    """A command was refused or not answered; one sentence."""


class Request:
    """A command that waits for its answer."""

    def __init__(self, server: ControlServer, sender: bytes, content: dict[str, Any]) -> None:
        self._server = server
        self._sender = sender
        self.content = content

    def succeed(self, **answer: Any) -> None:
        """Answer that the command was done."""
        self._server.send(self._sender, {"ok": True, **answer})

    def fail(self, error: str) -> None:
        """Answer with why the command was refused, one sentence."""
        self._server.send(self._sender, {"ok": False, "error": error})


class ControlServer:
    """The supervisor's side."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], rundir: Path) -> None:
        self.malformed = 0
        self.socket = context.socket(zmq.ROUTER)
        self.socket.set(zmq.LINGER, 200)
        self.socket.set(zmq.MAXMSGSIZE, _LARGEST)
        self.socket.bind(endpoint(rundir, SOCKET))

    def receive(self) -> list[Request]:
        """The requests that are here, at most a few dozen."""
        requests = []
        for _ in range(32):
            try:
                parts = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            content = _map(parts[2]) if len(parts) == 3 and not parts[1] else None
            if content is None:
                self.malformed += 1
            else:
                requests.append(Request(self, parts[0], content))
        return requests

    def send(self, to: bytes, answer: dict[str, Any]) -> None:
        """Send an answer to the sender of a request."""
        # The sender may be gone; a ROUTER drops the answer then.
        self.socket.send_multipart([to, b"", msgpack.packb(answer)])

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


def _map(data: bytes) -> dict[str, Any] | None:
    try:
        content = msgpack.unpackb(data)
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException):
        return None
    return content if isinstance(content, dict) else None


def request(rundir: Path, content: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Send a command to the run in `rundir` and wait for the answer; ControlError if it fails."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.REQ)
    socket.set(zmq.LINGER, 0)
    try:
        socket.connect(endpoint(rundir, SOCKET))
        socket.send(msgpack.packb(content))
        if not socket.poll(round(seconds * 1000)):
            raise ControlError(f"run {rundir.name!r} did not answer within {seconds:g} s")
        answer = _map(socket.recv()) or {}
    finally:
        socket.close(0)
        context.term()
    if not answer.get("ok"):
        raise ControlError(str(answer.get("error", "the answer made no sense")))
    return answer
