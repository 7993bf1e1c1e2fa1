"""Subscribe to the results of a run: a Python API with typed values.

    from actors.client import Result, Subscriber

    with Subscriber("tcp://127.0.0.1:5570") as subscriber:
        for message in subscriber:
            if isinstance(message, Result):
                print(message.stream, message.seq, message.labels, message.boxes)

Results come over one ZeroMQ PUB socket, two parts a message: a topic and a msgpack map. Delivery
is at-least-once: after a crash of the merger the last frame may come again, with the same `seq`.
A subscriber that is too slow, or that connects late, misses results; missing numbers are counted.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt
import zmq
from zmq.utils.monitor import recv_monitor_message

from actors.system.keys import KeysError, present

VERSION = 1
"""Of the records; it changes when a key changes its meaning."""
_CHECK_MS = 500
_CONNECTED, _DISCONNECTED = zmq.EVENT_HANDSHAKE_SUCCEEDED, zmq.EVENT_DISCONNECTED
_REFUSED, _MISMATCH = zmq.EVENT_HANDSHAKE_FAILED_AUTH, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
_FAILED = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL


class ResultError(Exception):
    """Results that cannot be read or are refused; the message is one sentence with the remedy."""


@dataclass(frozen=True, eq=False)
class Result:
    """The detections of one frame, highest score first."""

    run: str
    stream: str
    seq: int
    """Number of the frame in its stream, from 0."""
    source_frame: int
    """Index of the frame in its source."""
    captured_ns: int
    """When the frame was captured; CLOCK_REALTIME."""
    published_ns: int
    """When the result was published; CLOCK_REALTIME."""
    size: tuple[int, int]
    """(width, height) of the frame, pixels."""
    complete: bool
    """False when a tile of the frame was given up: `missing` says which."""
    missing: tuple[Any, ...]
    """The tiles without an inference, as maps."""
    boxes: npt.NDArray[np.float32]
    """(n, 4) as x1, y1, x2, y2, pixels of the frame."""
    scores: npt.NDArray[np.float32]
    """(n,), 0 to 1."""
    class_ids: npt.NDArray[np.int32]
    """(n,), merged over all models."""
    labels: tuple[str, ...]
    """(n,) class names."""
    stages: tuple[str, ...]
    """(n,) names of the stages that found them."""
    raw: dict[str, Any]
    """The record as it was received."""

    @property
    def latency_ms(self) -> float:
        """From capture to publication, milliseconds."""
        return (self.published_ns - self.captured_ns) / 1e6


@dataclass(frozen=True, eq=False)
class End:
    """A stream has ended, and each of its frames is published."""

    run: str
    stream: str
    frames: int
    """Number of frames published."""
    raw: dict[str, Any]
    """The record as it was received."""


class Subscriber:
    """Iterates over the results of the named streams, or of all.

    It stops once each named stream has ended; without names, once each stream that a message came
    from has ended. It waits for a publisher that is not up yet, and reconnects to one that comes
    back. To be used by one thread.
    """

    gaps: Counter[str]
    """Per stream, how many sequence numbers were missing between two results: frames that a live
    source dropped, or results lost because this subscriber was too slow."""
    repeats: Counter[str]
    """Per stream, how many results came more than once; they are returned each time."""
    malformed: int
    """Messages that are not results; they are skipped."""

    def __init__(
        self,
        endpoint: str,
        streams: Sequence[str] | None = None,
        *,
        timeout: float | None = None,
        keys: Path | None = None,
    ) -> None:
        """Connect to `endpoint`, the topology's [results] bind.

        `streams` are the names of those wanted; None is all. `timeout` is in seconds: so long
        without a result raises TimeoutError; None waits. `keys` is the folder that `tritile
        make_keys` made for this subscriber, where the publisher requires keys. Raises ResultError
        when `endpoint` is not an endpoint or the keys cannot be read.
        """
        if isinstance(streams, str):
            raise TypeError(f'streams is a sequence of names; give ["{streams}"]')
        self.gaps, self.repeats, self.malformed = Counter(), Counter(), 0
        self._endpoint = endpoint
        self._wanted = None if streams is None else frozenset(streams)
        self._timeout, self._keys = timeout, keys
        self._last: dict[str, int] = {}  # the seq of each stream's newest result
        self._running: set[str] = set(self._wanted or ())
        self._ended: set[str] = set()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.linger = 0
        self._handshake: int | None = None  # the newest event of the connection
        events = _CONNECTED | _DISCONNECTED | _REFUSED | _MISMATCH | _FAILED
        self._socket.monitor("inproc://monitor", events)
        self._monitor = self._context.socket(zmq.PAIR)
        self._monitor.rcvhwm = 0  # else ZeroMQ stops at a full queue, which is read at times only
        self._monitor.connect("inproc://monitor")
        for name in [""] if self._wanted is None else self._wanted:
            # A prefix: "det.cam1" lets "det.cam10" pass too, which _parse then drops.
            self._socket.subscribe(f"det.{name}")
            self._socket.subscribe(f"end.{name}")
        try:
            if keys is not None:
                present(self._socket, keys)
            self._socket.connect(endpoint)
        except KeysError as error:
            self.close()
            raise ResultError(str(error)) from None
        except zmq.ZMQError as error:
            self.close()
            raise ResultError(
                f"{endpoint}: not an endpoint that ZeroMQ can connect to ({error}); "
                "give the topology's [results] bind, as tcp://127.0.0.1:5570"
            ) from None

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; iterating ends then. May be called again."""
        self._context.destroy()

    def __iter__(self) -> Subscriber:
        return self

    def __next__(self) -> Result | End:
        """The next message.

        Raises TimeoutError when none comes in time, and ResultError for a record of an unknown
        version, or for a key that the publisher refuses, where there is no timeout.
        """
        if self._socket.closed or (self._ended and not self._running):
            raise StopIteration
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        while True:
            message = self._parse(self._receive(deadline))
            if message is not None:
                self._note(message)
                return message

    def _receive(self, deadline: float | None) -> list[bytes]:
        wait_ms = _CHECK_MS
        while True:
            if deadline is not None:
                wait_ms = min(_CHECK_MS, max(0, round((deadline - time.monotonic()) * 1000)))
            if self._socket.poll(wait_ms):
                return self._socket.recv_multipart()
            problem = self.connection_problem()
            if self.refused and deadline is None:
                raise ResultError(f"{self._endpoint}: {problem}")
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(
                    f"no result from {self._endpoint} for {self._timeout:g} s; "
                    f"{problem or 'the publisher is up, and publishes nothing'}"
                )

    @property
    def refused(self) -> bool:
        """Whether the publisher has refused the key; ZeroMQ does not connect again then."""
        return self._handshake in (_REFUSED, _MISMATCH)

    def connection_problem(self) -> str | None:
        """Why no result can come now, with the remedy; None while the publisher is connected."""
        while not self._monitor.closed and self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)["event"]
            if event != _DISCONNECTED:
                self._handshake = event
            elif self._handshake == _CONNECTED:
                self._handshake = None
        if self._handshake == _CONNECTED:
            return None
        if self._handshake is None:
            return "no publisher is up there; start the run, or correct the endpoint"
        if self._handshake == _REFUSED:
            return (
                f"the publisher refused the key in {self._keys}; make one beside the publisher's "
                "with: tritile make_keys FOLDER NAME"
            )
        if self._keys is None:
            return "the publisher refused a subscriber without a key; give the folder of its keys"
        return (
            f"the key in {self._keys} is refused: the publisher has another server key, or none; "
            "copy its server.key, or give no keys"
        )

    def _parse(self, parts: list[bytes]) -> Result | End | None:
        """None for a message of another stream, or a malformed one."""
        try:
            topic, body = parts
            kind, name = topic[:4].decode(), topic[4:].decode()
            if self._wanted is not None and name not in self._wanted:
                return None
            record = msgpack.unpackb(body)
            if record["v"] != VERSION:
                raise ResultError(
                    f"{self._endpoint}: its records are version {record['v']} and this client "
                    f"reads version {VERSION}; update the older of the two"
                )
            message = _READERS[kind](record)
            if message.stream != name:
                raise ValueError("the topic and the record disagree")
        except _MALFORMED:
            self.malformed += 1
            return None
        return message

    def _note(self, message: Result | End) -> None:
        """Count gaps and repeats, and which streams have ended."""
        stream = message.stream
        if isinstance(message, End):
            self._running.discard(stream)
            self._ended.add(stream)
            self._last.pop(stream, None)
            return
        self._running.add(stream)
        last, seq = self._last.get(stream), message.seq
        # The first result after a late connect has any number. 0 after others is a new run.
        if last is None or (seq == 0 and last > 0) or seq > last:
            if last is not None and seq > last + 1:
                self.gaps[stream] += seq - last - 1
            self._last[stream] = seq
        else:
            self.repeats[stream] += 1


def results(
    endpoint: str, streams: Sequence[str] | None = None, *, timeout: float | None = None
) -> Iterator[Result | End]:
    """A `Subscriber` as a plain iterator, closed when it is done."""
    with Subscriber(endpoint, streams, timeout=timeout) as subscriber:
        yield from subscriber


def _result(record: Mapping[str, Any]) -> Result:
    found = record["detections"]
    width, height = record["size"]
    return Result(
        run=str(record["run"]),
        stream=str(record["stream"]),
        seq=int(record["seq"]),
        source_frame=int(record["source_frame"]),
        captured_ns=int(record["captured_ns"]),
        published_ns=int(record["published_ns"]),
        size=(int(width), int(height)),
        complete=bool(record["complete"]),
        missing=tuple(record["missing"]),
        # float(): numpy alone would take None for a number (nan).
        boxes=np.array([[float(x) for x in one["box"]] for one in found], np.float32).reshape(
            len(found), 4
        ),
        scores=np.array([float(one["score"]) for one in found], np.float32),
        class_ids=np.array([int(one["class_id"]) for one in found], np.int32),
        labels=tuple(str(one["label"]) for one in found),
        stages=tuple(str(one["stage"]) for one in found),
        raw=dict(record),
    )


def _end(record: Mapping[str, Any]) -> End:
    return End(
        run=str(record["run"]),
        stream=str(record["stream"]),
        frames=int(record["frames"]),
        raw=dict(record),
    )


_READERS: dict[str, Callable[[Mapping[str, Any]], Result | End]] = {"det.": _result, "end.": _end}
# What reading a map of unknown content may raise.
_MALFORMED = (ValueError, LookupError, TypeError, OverflowError, msgpack.UnpackException)
