"""The client against a real PUB socket, counted to the message."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import zmq

from actors.client import End, Result, ResultError, Subscriber, results
from actors.system import keys
from tests.support.publishing import HANDBAG, PERSON, Publisher, det, end
from tests.support.runs import wait_for


def exchange(
    publisher: Publisher,
    records: Sequence[dict[str, Any] | list[bytes]],
    streams: Sequence[str] | None = None,
) -> tuple[list[Result | End], Subscriber]:
    """What a subscriber that is there before the first record makes of them."""
    with Subscriber(publisher.endpoint, streams, timeout=5) as subscriber:
        publisher.wait(2 * len(streams or [""]))
        publisher.send(*records)
        return list(subscriber), subscriber


def brief(messages: Sequence[Result | End]) -> list[tuple[str, int | str]]:
    return [(m.stream, m.seq if isinstance(m, Result) else f"end {m.frames}") for m in messages]


def test_a_result_field_by_field(publisher: Publisher) -> None:
    record = det(
        "cam0",
        17,
        PERSON,
        HANDBAG,
        complete=False,
        missing=[{"stage": "small", "tile": 3, "reason": "deadline"}],
        new_key={"that": "a later version has"},
    )
    [result, over], subscriber = exchange(publisher, [record, end("cam0", 18)])
    assert isinstance(result, Result)
    assert (result.run, result.stream, result.seq, result.source_frame) == (
        "street",
        "cam0",
        17,
        117,
    )
    assert result.captured_ns == 1_700_000_000_000_000_000
    assert result.published_ns == 1_700_000_000_041_000_000
    assert result.latency_ms == 41.0
    assert result.size == (1920, 1080)
    assert result.complete is False
    assert result.missing == ({"stage": "small", "tile": 3, "reason": "deadline"},)
    for array, expected, kind in [
        (result.boxes, [[10.5, 20.0, 110.25, 220.0], [0.0, 0.0, 8.0, 9.0]], np.float32),
        (result.scores, [0.875, 0.25], np.float32),
        (result.class_ids, [0, 26], np.int32),
    ]:
        np.testing.assert_array_equal(array, np.array(expected, kind), strict=True)
    assert result.labels == ("person", "handbag")
    assert result.stages == ("small", "large")
    assert result.raw == record
    assert isinstance(over, End)
    assert (over.run, over.stream, over.frames, over.raw) == (
        "street",
        "cam0",
        18,
        end("cam0", 18),
    )
    assert (subscriber.gaps, subscriber.repeats, subscriber.malformed) == ({}, {}, 0)


def test_a_frame_without_detections(publisher: Publisher) -> None:
    [result, _], _ = exchange(publisher, [det("cam0", 0), end("cam0", 1)])
    assert isinstance(result, Result)
    np.testing.assert_array_equal(result.boxes, np.zeros((0, 4), np.float32), strict=True)
    np.testing.assert_array_equal(result.scores, np.zeros(0, np.float32), strict=True)
    np.testing.assert_array_equal(result.class_ids, np.zeros(0, np.int32), strict=True)
    assert result.complete
    assert result.labels == result.stages == result.missing == ()


@pytest.mark.parametrize(
    ("streams", "sent", "received"),
    [
        pytest.param(
            None,
            [det("a", 0), det("b", 0), end("a", 1), det("b", 1), end("b", 2), det("c", 0)],
            [("a", 0), ("b", 0), ("a", "end 1"), ("b", 1), ("b", "end 2")],
            id="all: until every stream that has sent a record has ended",
        ),
        pytest.param(None, [end("a", 0)], [("a", "end 0")], id="an empty stream"),
        pytest.param(
            ["b", "c"],
            [det("a", 0), det("b", 0), end("b", 1), det("a", 1), end("a", 2), end("c", 0)],
            [("b", 0), ("b", "end 1"), ("c", "end 0")],
            id="named: until all of them have ended, with records or without",
        ),
        pytest.param(
            ["cam1"],
            [det("cam10", 0), det("cam1", 0), end("cam10", 1), det("cam1.x", 0), end("cam1", 1)],
            [("cam1", 0), ("cam1", "end 1")],
            id="a name is whole, not a prefix",
        ),
    ],
)
def test_which_streams_and_when_it_stops(
    publisher: Publisher,
    streams: list[str] | None,
    sent: list[dict[str, Any]],
    received: list[tuple[str, int | str]],
) -> None:
    messages, subscriber = exchange(publisher, sent, streams)
    assert brief(messages) == received
    assert subscriber.malformed == 0


def test_only_what_is_wanted_is_asked_for(publisher: Publisher) -> None:
    with Subscriber(publisher.endpoint, ["cam1"], timeout=5):
        assert publisher.wait() == [b"\x01det.cam1", b"\x01end.cam1"]
    with Subscriber(publisher.endpoint, timeout=5):
        # libzmq passes an unsubscription on as well.
        asked = publisher.wait(4)
        assert asked[-2:] == [b"\x01det.", b"\x01end."]


@pytest.mark.parametrize(
    ("seqs", "gaps", "repeats"),
    [
        ([0, 1, 2], 0, 0),
        ([5, 6, 7], 0, 0),  # joined late
        ([0, 1, 4, 5, 9], 5, 0),
        ([0, 1, 1, 2], 0, 1),
        ([0, 0, 1], 0, 1),
        ([0, 1, 2, 1, 2, 3], 0, 2),
        ([0, 3, 3, 5], 3, 1),
        ([7, 8, 0, 1, 2], 0, 0),  # a new run without an end of the old one
    ],
)
def test_gaps_and_repeats(publisher: Publisher, seqs: list[int], gaps: int, repeats: int) -> None:
    others = [det("b", seq) for seq in range(3)]
    messages, subscriber = exchange(
        publisher, [*(det("a", seq) for seq in seqs), *others, end("a", 9), end("b", 3)]
    )
    # Repeats are handed on: delivery is at least once, and the record may be what one waits for.
    assert [seq for stream, seq in brief(messages) if stream == "a"] == [*seqs, "end 9"]
    assert (subscriber.gaps["a"], subscriber.gaps["b"]) == (gaps, 0)
    assert (subscriber.repeats["a"], subscriber.repeats["b"]) == (repeats, 0)


def without(key: str) -> dict[str, Any]:
    return {k: v for k, v in det("a", 0, PERSON).items() if k != key}


@pytest.mark.parametrize(
    "garbage",
    [
        [b"det.a"],
        [b"det.a", msgpack.packb(det("a", 0)), b"third"],
        [b"det.a", b""],
        [b"det.a", b"\xc1"],
        [b"det.a", msgpack.packb(det("a", 0))[:-3]],
        [b"det.a", msgpack.packb(det("a", 0)) + b"x"],
        [b"det.a", msgpack.packb([1, 2])],
        [b"det.a", msgpack.packb(7)],
        [b"det.a", msgpack.packb({})],
        [b"det.a", msgpack.packb(det("b", 0))],
        [b"det.\xff", msgpack.packb(det("a", 0))],
        [b"det.a", msgpack.packb(end("a", 1))],
        [b"end.a", msgpack.packb(det("a", 0))],
        [b"det.a", msgpack.packb(det("a", 0, {**PERSON, "box": [1, 2, 3]}))],
        [b"det.a", msgpack.packb(det("a", 0, {**PERSON, "box": [[1, 2], [3]]}))],
        [b"det.a", msgpack.packb(det("a", 0, {**PERSON, "score": "high"}))],
        [b"det.a", msgpack.packb(det("a", 0, {**PERSON, "class_id": 1 << 40}))],
        [b"det.a", msgpack.packb(det("a", 0, {**PERSON, "score": None}))],
        [b"det.a", msgpack.packb(det("a", 0, {**PERSON, "box": [1.0, 2.0, None, 4.0]}))],
        [b"det.a", msgpack.packb(det("a", 0, size=[1920]))],
        [b"det.a", msgpack.packb(det("a", 0, detections=None))],
        [b"det.a", msgpack.packb({**det("a", 0), "seq": "first"})],
        *([b"det.a", msgpack.packb(without(key))] for key in det("a", 0)),
    ],
)
def test_malformed_messages_are_skipped_and_counted(
    publisher: Publisher, garbage: list[bytes]
) -> None:
    messages, subscriber = exchange(publisher, [det("a", 0), garbage, det("a", 1), end("a", 2)])
    assert brief(messages) == [("a", 0), ("a", 1), ("a", "end 2")]
    assert subscriber.malformed == 1


@pytest.mark.parametrize("record", [det("a", 0, v=2), {**end("a", 1), "v": 2}])
def test_a_version_that_is_not_known(publisher: Publisher, record: dict[str, Any]) -> None:
    with pytest.raises(ResultError) as error:
        exchange(publisher, [record])
    assert str(error.value) == (
        f"{publisher.endpoint}: its records are version 2 and this client reads version 1; "
        "update the older of the two"
    )


def test_no_publisher_in_time(short_tmp: Path) -> None:
    endpoint = f"ipc://{short_tmp}/none"
    with (
        Subscriber(endpoint, timeout=0.1) as subscriber,
        pytest.raises(TimeoutError, match="no publisher is up there; start the run"),
    ):
        next(subscriber)
    assert not subscriber.refused


def test_a_refused_key_is_an_error_where_there_is_no_timeout(tmp_path: Path) -> None:
    context = zmq.Context()
    socket = context.socket(zmq.PUB)
    keys.make(tmp_path, "laptop")
    authenticator = keys.serve(context, socket, tmp_path / "server")
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    try:
        with (
            Subscriber(f"tcp://127.0.0.1:{port}") as subscriber,
            pytest.raises(ResultError, match="the publisher refused a subscriber without a key"),
        ):
            next(subscriber)
        assert subscriber.refused
    finally:
        authenticator.stop()
        context.destroy(linger=0)


def test_a_publisher_that_comes_and_goes(short_tmp: Path) -> None:
    endpoint = f"ipc://{short_tmp}/results"
    with Subscriber(endpoint, timeout=20) as subscriber:
        for seq in range(2):
            publisher = Publisher(endpoint)
            # While it waits for a message it subscribes, again after each connection.
            sending = threading.Thread(
                target=lambda p, n: (p.wait(), p.send(det("cam0", n))), args=(publisher, seq)
            )
            sending.start()
            assert next(subscriber).stream == "cam0"
            sending.join()
            assert subscriber.connection_problem() is None
            publisher.close()
            wait_for(lambda: subscriber.connection_problem() is not None)
        assert not subscriber.refused


def test_nothing_in_time(publisher: Publisher) -> None:
    begin = time.monotonic()
    with (
        Subscriber(publisher.endpoint, timeout=0.3) as subscriber,
        pytest.raises(TimeoutError, match=r"^no result from tcp://127\.0\.0\.1:\d+ for 0\.3 s; "),
    ):
        next(subscriber)
    assert 0.29 < time.monotonic() - begin < 2


def test_other_messages_do_not_prolong_the_wait(publisher: Publisher) -> None:
    stop = threading.Event()

    def chatter() -> None:
        while not stop.wait(0.02):
            publisher.send(det("cam10", 0))

    with Subscriber(publisher.endpoint, ["cam1"], timeout=0.4) as subscriber:
        publisher.wait()
        thread = threading.Thread(target=chatter)
        thread.start()
        try:
            with pytest.raises(TimeoutError):
                next(subscriber)
        finally:
            stop.set()
            thread.join()


@pytest.mark.parametrize(
    "endpoint", ["", "nonsense", "tcp://127.0.0.1", "tcp://127.0.0.1:port", "http://localhost:1"]
)
def test_an_endpoint_that_is_none(endpoint: str) -> None:
    with pytest.raises(ResultError) as error:
        Subscriber(endpoint)
    assert str(error.value).startswith(f"{endpoint}: not an endpoint that ZeroMQ can connect to (")
    assert str(error.value).endswith(
        "; give the topology's [results] bind, as tcp://127.0.0.1:5570"
    )


def test_one_name_instead_of_a_list() -> None:
    with pytest.raises(TypeError, match=r'give \["cam0"\]'):
        Subscriber("tcp://127.0.0.1:5570", "cam0")


def test_a_publisher_that_comes_later_and_comes_back() -> None:
    first = Publisher()
    endpoint = first.endpoint
    first.close()

    def publish() -> None:
        for seqs in [(0, 1), (1, 2)]:
            publisher = Publisher(endpoint)
            publisher.wait()
            publisher.send(*(det("a", seq) for seq in seqs))
            publisher.close()

    with Subscriber(endpoint, timeout=20) as subscriber:
        thread = threading.Thread(target=publish)
        thread.start()
        received = [next(subscriber).raw["seq"] for _ in range(4)]
        thread.join()
    assert received == [0, 1, 1, 2]
    assert subscriber.repeats == {"a": 1}
    assert list(subscriber) == []  # closed


def test_results_is_the_same_as_a_function(publisher: Publisher) -> None:
    sent = [det("a", seq, PERSON) for seq in range(500)]

    def publish() -> None:
        publisher.wait()
        publisher.send(*sent, end("a", 500))

    thread = threading.Thread(target=publish)
    thread.start()
    received = list(results(publisher.endpoint, ["a"], timeout=10))
    thread.join()
    assert [message.raw for message in received] == [*sent, end("a", 500)]
