"""The client and `tools/subscribe.py` against a real PUB socket, counted to the message."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import zmq

from actors.client import End, Result, ResultError, Subscriber, results

ROOT = Path(__file__).resolve().parent.parent
TOOL = str(ROOT / "tools" / "subscribe.py")

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
    """The two parts of a message, the topic as the contract says."""
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
            assert self.socket.poll(20_000), "nobody subscribed"
            found.append(self.socket.recv())
        return found

    def send(self, *records: dict[str, Any] | list[bytes]) -> None:
        for record in records:
            self.socket.send_multipart(packed(record) if isinstance(record, dict) else record)

    def close(self) -> None:
        self.context.destroy(linger=2000)


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    made = Publisher()
    yield made
    made.close()


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


# ---------------------------------------------------------------- the client


def test_a_result_field_by_field(publisher: Publisher) -> None:
    record = det(
        "cam0",
        17,
        PERSON,
        HANDBAG,
        complete=False,
        missing=[{"stage": "small", "tile": 3, "reason": "deadline"}],
        new_key={"that": "nobody knows yet"},
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
            id="all: until every stream that was heard of has ended",
        ),
        pytest.param(None, [end("a", 0)], [("a", "end 0")], id="an empty stream"),
        pytest.param(
            ["b", "c"],
            [det("a", 0), det("b", 0), end("b", 1), det("a", 1), end("a", 2), end("c", 0)],
            [("b", 0), ("b", "end 1"), ("c", "end 0")],
            id="named: until all of them have ended, heard of or not",
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


# ---------------------------------------------------------------- the command


def start(*arguments: str, cwd: Path = ROOT, **keys: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, TOOL, *arguments],
        cwd=cwd,
        stdout=keys.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        **keys,
    )


def run_tool(
    publisher: Publisher,
    records: Sequence[dict[str, Any] | list[bytes]],
    *arguments: str,
    **keys: Any,
) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of the command, which is there before the first record."""
    process = start(publisher.endpoint, *arguments, **keys)
    publisher.wait()
    publisher.send(*records)
    stdout, stderr = process.communicate(timeout=30)
    return process.returncode, stdout, stderr


def test_lines_for_a_person_from_any_directory(publisher: Publisher, tmp_path: Path) -> None:
    records = [
        det("cam0", 17, *[PERSON] * 9, HANDBAG, *[{**PERSON, "label": "bicycle"}] * 2),
        det("cam0", 18),
        det("cam0", 19, HANDBAG, complete=False, missing=[{}, {}], emulated=True),
        end("cam0", 20),
    ]
    assert run_tool(publisher, records, cwd=tmp_path) == (
        0,
        "cam0 #17  12 objects: 9 person 2 bicycle 1 handbag   latency 41 ms\n"
        "cam0 #18  0 objects   latency 41 ms\n"
        "cam0 #19  1 object: 1 handbag   INCOMPLETE, 2 tiles missing"
        "   latency 41 ms on emulated cores\n"
        "cam0 ended after 20 frames\n",
        "",
    )


def test_json_is_the_record_as_it_was_published(publisher: Publisher) -> None:
    records = [det("cam0", 0, {**PERSON, "label": "größe"}, new="key"), end("cam0", 1)]
    code, stdout, stderr = run_tool(publisher, records, "--json")
    assert (code, stderr) == (0, "")
    assert [json.loads(line) for line in stdout.splitlines()] == records


def test_a_count_of_one_stream(publisher: Publisher) -> None:
    records = [det(name, seq) for seq in range(10) for name in ("cam1", "cam10")]
    code, stdout, _ = run_tool(publisher, records, "--stream", "cam10", "--count", "3", "--json")
    assert code == 0
    found = [json.loads(line) for line in stdout.splitlines()]
    assert [(record["stream"], record["seq"]) for record in found] == [
        ("cam10", 0),
        ("cam10", 1),
        ("cam10", 2),
    ]


def test_what_did_not_come_is_accounted_for(publisher: Publisher) -> None:
    records = [det("a", 0), det("a", 3), det("a", 3), [b"det.a", b"x"], end("a", 4)]
    code, stdout, stderr = run_tool(publisher, records)
    assert (code, len(stdout.splitlines())) == (0, 4)
    assert stderr == (
        "subscribe: a: 2 sequence numbers are missing (dropped by a live source, "
        "or this reader was too slow)\n"
        "subscribe: a: 1 results came again (the merger was restarted)\n"
        "subscribe: 1 messages were no results and were skipped\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "subscribe: nonsense: not an endpoint that ZeroMQ can connect to ("),
        (["tcp://127.0.0.1:1", "--count", "0"], "--count is 0; give a number of results from 1 on"),
        ([], "the following arguments are required: endpoint"),
    ],
)
def test_wrong_arguments(arguments: list[str], message: str) -> None:
    process = start(*arguments)
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (2, "")
    assert message in stderr
    assert "Traceback" not in stderr


def test_a_newer_version(publisher: Publisher) -> None:
    code, stdout, stderr = run_tool(publisher, [det("a", 0, v=2)])
    assert (code, stdout) == (2, "")
    assert stderr == (
        f"subscribe: {publisher.endpoint}: its records are version 2 and this client reads "
        "version 1; update the older of the two\n"
    )


def test_it_waits_visibly_and_ends_with_ctrl_c(publisher: Publisher) -> None:
    process = start(publisher.endpoint)
    assert process.stderr is not None
    assert (
        process.stderr.readline() == f"subscribe: waiting for results on {publisher.endpoint} ...\n"
    )
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout, stderr) == (0, "", "")


def test_ctrl_c_amid_results(publisher: Publisher) -> None:
    process = start(publisher.endpoint)
    publisher.wait()
    publisher.send(*(det("a", seq) for seq in range(5)))
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(5)]
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout, stderr) == (0, "", "")
    assert [line.split()[1] for line in lines] == ["#0", "#1", "#2", "#3", "#4"]


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_reader_that_has_had_enough(publisher: Publisher, options: list[str]) -> None:
    """`| head -2`: the reader closes the pipe, and more results come."""
    reading, writing = os.pipe()
    process = start(publisher.endpoint, *options, stdout=writing)
    os.close(writing)
    publisher.wait()
    publisher.send(det("a", 0), det("a", 1))
    with os.fdopen(reading) as pipe:
        for _ in range(2):
            assert pipe.readline()
    publisher.send(*(det("a", seq) for seq in range(2, 50)))
    _, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (0, "")


def test_colours_on_a_terminal(publisher: Publisher) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    process = start(publisher.endpoint, stdout=theirs, env=environment)
    os.close(theirs)
    publisher.wait()
    publisher.send(det("cam0", 3, PERSON), end("cam0", 4))
    _, stderr = process.communicate(timeout=30)
    written = os.read(ours, 65536).decode()
    os.close(ours)
    assert (process.returncode, stderr) == (0, "")
    assert "\x1b[36mcam0\x1b[0m" in written
    assert "1 person" in written


def test_as_a_module(publisher: Publisher) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.subscribe", publisher.endpoint],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    publisher.wait()
    publisher.send(det("cam0", 0), end("cam0", 1))
    stdout, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert len(stdout.splitlines()) == 2


def test_the_docstring_of_the_client_runs(publisher: Publisher) -> None:
    """The example that a reader copies: only its endpoint is changed."""
    import actors.client

    example = (actors.client.__doc__ or "").split("values.\n\n", 1)[1].split("\n\nResults come")[0]
    lines = "\n".join(line[4:] for line in example.splitlines())
    code = lines.replace("tcp://127.0.0.1:5570", publisher.endpoint)
    seen: list[Any] = []
    run: Callable[[], None] = lambda: exec(code, {"print": lambda *a: seen.append(a)})  # noqa: E731
    thread = threading.Thread(target=run)
    thread.start()
    publisher.wait()
    publisher.send(det("cam0", 0, PERSON), end("cam0", 1))
    thread.join(10)
    [(stream, seq, labels, boxes)] = seen
    assert (stream, seq, labels, boxes.shape) == ("cam0", 0, ("person",), (1, 4))
