"""Requests to a real supervisor, of no actors, over its control socket: no content ends it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq

from actors.system.codec import Codec
from actors.system.control_socket import SOCKET, ControlError, request
from actors.system.events import Events
from actors.system.fork_server import ForkServer
from actors.system.messages import SUPERVISION
from actors.system.run_directory import endpoint
from actors.system.supervisor import Supervisor


@pytest.fixture
def supervisor(short_tmp: Path) -> Iterator[Supervisor]:
    """Turned by a thread until the test ends."""
    fork_server = ForkServer((), 2)
    supervisor = Supervisor(
        run="street",
        rundir=short_tmp,
        fork_server=fork_server,
        plans=[],
        records={},
        codec=Codec(*SUPERVISION),
        fatal_reason=lambda _: None,
        status=lambda _: {},
        events=Events(),
    )
    supervisor.events.add("npu0", "info", "running", "running")
    done = threading.Event()

    def turn() -> None:
        while not done.is_set():
            supervisor.turn()

    thread = threading.Thread(target=turn)
    thread.start()
    yield supervisor
    done.set()
    thread.join()
    supervisor.close()
    fork_server.close()


REFUSED: list[tuple[dict[Any, Any], str]] = [
    ({}, "no command named None; there are status, stop, restart, events"),
    ({"do": "dance"}, "no command named 'dance'; there are status, stop, restart, events"),
    ({"do": ["stop"]}, "no command named ['stop']; there are status, stop, restart, events"),
    ({"do": {}}, "no command named {}; there are status, stop, restart, events"),
    ({"do": "restart"}, "name at least one actor"),
    ({"do": "restart", "actors": []}, "name at least one actor"),
    ({"do": "restart", "actors": "npu0"}, "name at least one actor"),
    ({"do": "restart", "actors": {"npu0": 1}}, "name at least one actor"),
    ({"do": "restart", "actors": ["npu0"]}, "no actor named 'npu0'; there are "),
    ({"do": "restart", "actors": [["npu0"]]}, "no actor named ['npu0']; there are "),
    ({"do": "restart", "actors": [{}, 1]}, "no actor named {}; there are "),
    ({"do": "restart", "actors": [None]}, "no actor named None; there are "),
]


@pytest.mark.parametrize(("content", "sentence"), REFUSED)
def test_what_cannot_be_done_is_refused_in_a_sentence(
    supervisor: Supervisor, content: dict[Any, Any], sentence: str
) -> None:
    with pytest.raises(ControlError) as caught:
        request(supervisor.rundir, content, 5)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    "more", [{}, {"after": 0}, {"after": -5}, {"after": "x"}, {"after": None}, {"_since": "x"}]
)
def test_events(supervisor: Supervisor, more: dict[str, Any]) -> None:
    answer = request(supervisor.rundir, {"do": "events", **more}, 5)
    assert [event["actor"] for event in answer["events"]] == ["npu0"]


def test_events_that_are_not_there_are_waited_for_a_second(supervisor: Supervisor) -> None:
    assert request(supervisor.rundir, {"do": "events", "after": 2**62}, 5) == {
        "ok": True,
        "events": [],
    }


def test_junk_is_counted_and_the_next_request_is_answered(supervisor: Supervisor) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        outsider = context.socket(zmq.DEALER)
        outsider.connect(endpoint(supervisor.rundir, SOCKET))
        for parts in ([b"x"], [b"", b"\xc1"], [b"", msgpack.packb([1])], [b"", b"", b""]):
            outsider.send_multipart(parts)
        outsider.send_multipart([b"", msgpack.packb({"do": "status"})])
        assert outsider.poll(5000)
        assert msgpack.unpackb(outsider.recv_multipart()[1]) == {"ok": True, "status": {}}
    finally:
        context.destroy(linger=0)
    assert supervisor.malformed == 4
