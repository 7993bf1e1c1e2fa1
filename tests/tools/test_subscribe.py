"""`tritile subscribe` as a command, against a real PUB socket."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import zmq

from actors.system import keys
from tests.support.publishing import HANDBAG, PERSON, Publisher, det, end

ROOT = Path(__file__).resolve().parents[2]


def start(*arguments: str, cwd: Path = ROOT, **more: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **more.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-m", "tools", "subscribe", *arguments],
        cwd=cwd,
        env=environment,
        stdout=more.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        **more,
    )


def run_tool(
    publisher: Publisher,
    records: Sequence[dict[str, Any] | list[bytes]],
    *arguments: str,
    **more: Any,
) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of the command, which is there before the first record."""
    process = start(publisher.endpoint, *arguments, **more)
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
    records: list[dict[str, Any] | list[bytes]] = [det("a", 0), det("a", 3), det("a", 3)]
    records += [[b"det.a", b"x"], end("a", 4)]
    code, stdout, stderr = run_tool(publisher, records)
    assert (code, len(stdout.splitlines())) == (0, 4)
    assert stderr == (
        "subscribe: a: 2 sequence numbers are missing (dropped by a live source, "
        "or this subscriber was too slow)\n"
        "subscribe: a: 1 result came again (the merger was restarted)\n"
        "subscribe: 1 message skipped: not a result\n"
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_where_a_script_has_it_ignore_them(
    publisher: Publisher, number: signal.Signals
) -> None:
    """A shell without job control starts background commands with SIGINT ignored."""
    process = start(publisher.endpoint, preexec_fn=lambda: signal.signal(number, signal.SIG_IGN))
    assert process.stderr is not None
    assert process.stderr.readline().startswith("subscribe: waiting for results")
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout, stderr) == (0, "", "")


def test_before_the_publisher_is_up_it_says_so_and_then_prints(short_tmp: Path) -> None:
    endpoint = f"ipc://{short_tmp}/results"
    process = start(endpoint)
    assert process.stderr is not None
    assert process.stderr.readline() == (
        f"subscribe: waiting for results on {endpoint} ... no publisher is up there; start the "
        "run, or correct the endpoint\n"
    )
    late = Publisher(endpoint)
    try:
        late.wait()
        late.send(det("cam0", 0), end("cam0", 1))
        stdout, stderr = process.communicate(timeout=30)
    finally:
        late.close()
    assert (process.returncode, stderr) == (0, "")
    assert len(stdout.splitlines()) == 2


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An endpoint that needs keys, and a folder: keys/laptop fits, others/laptop does not."""
    context = zmq.Context()
    socket = context.socket(zmq.PUB)
    keys.make(tmp_path / "keys", "laptop")
    keys.make(tmp_path / "others", "laptop")
    authenticator = keys.serve(context, socket, tmp_path / "keys" / "server")
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    try:
        yield f"tcp://127.0.0.1:{port}", tmp_path
    finally:
        authenticator.stop()
        context.destroy(linger=0)


def test_a_refused_key_is_said(guarded: tuple[str, Path]) -> None:
    endpoint, folder = guarded
    own = folder / "others" / "laptop"
    # The publisher's public key is right, the subscriber's own is not among those it lets in.
    shutil.copy(folder / "keys/laptop/server.key", own / "server.key")
    process = start(endpoint, "--keys", str(own))
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (2, "")
    assert stderr == (
        f"subscribe: {endpoint}: the publisher refused the key in {own}; make one beside the "
        "publisher's with: tritile make_keys FOLDER NAME\n"
    )


def test_a_missing_key_is_said(guarded: tuple[str, Path]) -> None:
    process = start(guarded[0])
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (2, "")
    assert "refused a subscriber without a key" in stderr


def test_another_publishers_key_is_said_while_it_waits(guarded: tuple[str, Path]) -> None:
    endpoint, folder = guarded
    process = start(endpoint, "--keys", str(folder / "others" / "laptop"))
    assert process.stderr is not None
    line = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert "is refused: the publisher has another server key" in line


def test_keys_that_a_publisher_without_keys_cannot_take(
    publisher: Publisher, tmp_path: Path
) -> None:
    process = start(publisher.endpoint, "--keys", str(keys.make(tmp_path, "laptop")))
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (2, "")
    assert "is refused: the publisher has another server key, or none" in stderr


def test_names_are_shown_as_plain_text(publisher: Publisher) -> None:
    records = [det("cam0", 0, {**PERSON, "label": "[/b] \x1b[31mred"}), end("cam0", 1)]
    code, stdout, stderr = run_tool(publisher, records)
    assert (code, stderr) == (0, "")
    assert stdout.splitlines()[0] == ("cam0 #0  1 object: 1 [/b] \\x1b[31mred   latency 41 ms")


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
