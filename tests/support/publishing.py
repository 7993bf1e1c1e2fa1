"""A publisher of result records, in the place of a run, for the tests of subscribers."""

from __future__ import annotations

from typing import Any

import msgpack
import zmq

PERSON = {
    "box": [10.5, 20.0, 110.25, 220.0],
    "score": 0.875,
    "class_id": 0,
    "label": "person",
    "stage": "small",
}
HANDBAG = {
    "box": [0.0, 0.0, 8.0, 9.0],
    "score": 0.25,
    "class_id": 26,
    "label": "handbag",
    "stage": "large",
}


def det(stream: str, seq: int, *found: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "v": 1,
        "run": "street",
        "stream": stream,
        "seq": seq,
        "source_frame": seq + 100,
        "captured_ns": 1_700_000_000_000_000_000,
        "published_ns": 1_700_000_000_041_000_000,
        "size": [1920, 1080],
        "complete": True,
        "missing": [],
        "detections": list(found),
        **changes,
    }


def end(stream: str, frames: int) -> dict[str, Any]:
    return {"v": 1, "run": "street", "stream": stream, "frames": frames}


def packed(record: dict[str, Any]) -> list[bytes]:
    """The two parts of a message, the topic as documented."""
    kind = "end" if "frames" in record else "det"
    return [f"{kind}.{record['stream']}".encode(), msgpack.packb(record)]


class Publisher:
    """A PUB socket that waits for a subscription before anything is sent."""

    def __init__(self, endpoint: str = "tcp://127.0.0.1:*") -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.XPUB)
        self.socket.set(zmq.XPUB_VERBOSE, 1)
        self.socket.linger = 2000
        self.socket.sndhwm = 0
        self.socket.bind(endpoint)
        self.endpoint = self.socket.get_string(zmq.LAST_ENDPOINT)

    def wait(self, subscriptions: int = 2) -> list[bytes]:
        """The topics that are asked for."""
        found = []
        for _ in range(subscriptions):
            assert self.socket.poll(20_000), "no subscriber came"
            found.append(self.socket.recv())
        return found

    def send(self, *records: dict[str, Any] | list[bytes]) -> None:
        for record in records:
            self.socket.send_multipart(packed(record) if isinstance(record, dict) else record)

    def close(self) -> None:
        self.context.destroy(linger=2000)
