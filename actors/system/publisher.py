"""Publisher: an XPUB socket, with CURVE keys if wanted, and what its subscribers send to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import zmq
from zmq.auth.thread import ThreadAuthenticator

from actors.system import keys

# A subscriber that falls this far behind loses messages.
_HIGH_WATER = 10_000
# A subscription is a few bytes. What is longer and not longer than this is read, to be counted;
# what is longer still ends its connection before it fills the memory, which ZeroMQ does not report.
_LONGEST_REQUEST = 1 << 20
# Requests of one peer that wait to be read: of the longest, 16 MB.
_WAITING_REQUESTS = 16
# How long the last messages may still travel to slow subscribers when the socket is closed.
_LINGER_MS = 1000


class Publisher:
    """`socket` sends messages of two parts: topic, content."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.socket = context.socket(zmq.XPUB)
        self._context = context
        self._guard: ThreadAuthenticator | None = None

    def open(self, bind: str, key_folder: Path | None) -> None:
        """Bind to an address. KeysError for the folder of keys, ZMQError for the address."""
        self.socket.set(zmq.SNDHWM, _HIGH_WATER)
        self.socket.set(zmq.RCVHWM, _WAITING_REQUESTS)
        self.socket.set(zmq.LINGER, _LINGER_MS)
        self.socket.set(zmq.MAXMSGSIZE, _LONGEST_REQUEST)
        # Pass on every subscription, not only the first to a topic: they are counted.
        self.socket.set(zmq.XPUB_VERBOSER, 1)
        self.socket.set(zmq.IPV6, "[" in bind)
        if key_folder is not None:
            self._guard = keys.serve(self._context, self.socket, key_folder)
        self.socket.bind(bind)

    def requests(self) -> Iterator[bytes]:
        """What subscribers have sent: 1 or 0 and a topic to subscribe or unsubscribe, or junk."""
        while True:
            try:
                yield self.socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return

    def close(self) -> None:
        """Close the socket; the last messages have a second to leave."""
        self.socket.close(_LINGER_MS)
        if self._guard is not None:
            self._guard.stop()
