"""The command `actorctl` against a real run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import psutil
import pytest

import actors
from actors.launcher.status_report import ActorStatus, CoreStatus, RunStatus, StreamStatus
from tests.support import runs
from tools.run_harness import ROOT, Harness


@pytest.fixture(scope="module")
def harness(scene_video: Path) -> Iterator[Harness]:
    """A run without an end: three instant workers on a looped video, in its own time."""
    topology = (
        runs.stream(scene_video, loop=True, pace="realtime")
        + runs.instant()
        + runs.stage("small", "tiles")
        + runs.workers(3)
    )
    with Harness(topology, "--set", "results.wait_for_subscriber=false") as harness:
        harness.wait_until_running()
        yield harness


def actorctl(
    harness: Harness, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "actors.actorctl", *arguments],
        cwd=ROOT,
        env={**harness.environment, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_status_has_what_the_contract_says(harness: Harness) -> None:
    runs.wait_for(lambda: harness.status()["streams"][0]["published"] > 60)
    done = actorctl(harness, "status", "--json")
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    assert status["run"] == "harness"
    assert status["uptime_s"] > 0
    assert status["version"] == actors.__version__
    assert f"({os.uname().machine})" in status["machine"]
    names = ["cam0", "tiler", "npu0", "npu1", "npu2", "merger"]
    roles = ["capture", "tiler", "worker", "worker", "worker", "merger"]
    assert [actor["name"] for actor in status["actors"]] == names
    assert [actor["role"] for actor in status["actors"]] == roles
    for actor in status["actors"]:
        assert actor["state"] == "running"
        assert psutil.pid_exists(actor["pid"])
        assert actor["restarts"] == 0
        assert actor["rss_mb"] > 10
        assert 0 <= actor["busy"] <= 1
        assert actor["done"] > 0
        assert actor["last_error"] is None
    (stream,) = status["streams"]
    assert stream["name"] == "cam0"
    assert stream["captured"] >= stream["published"] > 60
    assert 0 <= stream["in_flight"] <= 8
    assert 10 < stream["fps"] < 40
    assert stream["dropped"]["no_free_slot"] == 0
    assert stream["incomplete"] == 0
    assert 0 < stream["latency_ms"]["p50"] <= stream["latency_ms"]["p99"]
    assert [core["core"] for core in status["cores"]] == [0, 1, 2]
    assert all(core["jobs"] > 0 for core in status["cores"])


def test_the_keys_of_the_status_are_those_that_are_documented(harness: Harness) -> None:
    status = harness.status()
    assert status.keys() == get_type_hints(RunStatus).keys()
    assert status["actors"][0].keys() == get_type_hints(ActorStatus).keys()
    assert status["streams"][0].keys() == get_type_hints(StreamStatus).keys()
    assert status["cores"][0].keys() == get_type_hints(CoreStatus).keys()


def test_status_for_a_person(harness: Harness) -> None:
    done = actorctl(harness, "status", COLUMNS="140")
    assert done.returncode == 0
    assert "run harness: running on emulated cores" in done.stdout
    assert f"tritile {actors.__version__} on " in done.stdout
    assert "npu2" in done.stdout


@pytest.mark.parametrize("width", [80, 100, 160])
def test_status_fits_the_terminal(width: int, harness: Harness) -> None:
    done = actorctl(harness, "status", COLUMNS=str(width))
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= width
    (titles,) = [line for line in lines if line.startswith("ACTOR")]
    for title in ("role", "state", "pid", "restarts", "MB", "busy", "done", "queued"):
        assert title in titles.split()
    assert "…" not in done.stdout


def test_restart_returns_when_the_actor_runs_again(harness: Harness) -> None:
    before = {actor["name"]: actor["pid"] for actor in harness.status()["actors"]}
    done = actorctl(harness, "restart", "npu2", "tiler")
    assert done.returncode == 0, done.stderr
    after = {actor["name"]: actor for actor in harness.status()["actors"]}
    for name, actor in after.items():
        assert actor["state"] == "running"
        assert (actor["pid"] != before[name]) == (name in ("npu2", "tiler"))
    assert after["npu2"]["restarts"] == 1


def test_restart_of_an_unknown_actor_is_refused(harness: Harness) -> None:
    done = actorctl(harness, "restart", "npu7")
    assert done.returncode == 1
    assert done.stderr == (
        "actorctl: no actor named 'npu7'; there are cam0, tiler, npu0, npu1, npu2, merger\n"
    )


def test_events_tell_what_happened(harness: Harness) -> None:
    assert actorctl(harness, "restart", "npu0", "--kill").returncode == 0
    done = actorctl(harness, "events", "--json", "--no-follow")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    mine = [event for event in events if event["actor"] == "npu0"]
    assert [event["kind"] for event in mine][:2] == ["running", "ended"]
    assert "killed by SIGKILL" in mine[1]["text"]
    assert any(event["kind"] == "running" for event in mine[2:])


def test_events_for_a_person_have_date_and_time(harness: Harness) -> None:
    done = actorctl(harness, "events", "--no-follow")
    first, *others = done.stdout.splitlines()
    today = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (.*)")
    assert all(map(today.fullmatch, others))
    match = today.fullmatch(first)
    assert match is not None
    assert match[1].startswith(f"supervisor: tritile {actors.__version__} on ")


def test_supervisor_is_idle(harness: Harness) -> None:
    """Under 2 % of a core beside a running pipeline; measured over 3 s, in 10 ms steps."""
    assert harness.process is not None
    supervisor = psutil.Process(harness.process.pid)
    before = sum(supervisor.cpu_times()[:2])
    time.sleep(3.0)
    assert sum(supervisor.cpu_times()[:2]) - before < 0.02 * 3.0 + 0.02


def test_malformed_requests_and_messages_are_counted_and_harmless(harness: Harness) -> None:
    import zmq

    with zmq.Context() as context:
        control = context.socket(zmq.DEALER)
        control.connect(f"ipc://{harness.run_directory}/control")
        inboxes = []
        for name in ("tiler", "merger", "npu1", "cam0", "supervisor"):
            push = context.socket(zmq.PUSH)
            push.connect(f"ipc://{harness.run_directory}/{name}")
            inboxes.append(push)
        for junk in (b"", b"\x00" * 100, b"\x81\xa1t\xa3job", os.urandom(1000)):
            control.send_multipart([b"", junk])
            for push in inboxes:
                push.send(junk)
                push.send_multipart([junk, junk])

        def malformed(name: str) -> int:
            return {a["name"]: int(a["malformed"]) for a in harness.status()["actors"]}[name]

        runs.wait_for(lambda: malformed("tiler") >= 8 and malformed("merger") >= 8)
        control.send_multipart([b"", b"\x81\xa2do\xa4none"])
        assert control.poll(5000)
        assert b"no command named" in control.recv_multipart()[-1]
        context.destroy(linger=0)
    assert all(actor["state"] == "running" for actor in harness.status()["actors"])


def test_no_run_is_said_so(short_tmp: Path, harness: Harness) -> None:
    done = actorctl(harness, "status", XDG_RUNTIME_DIR=str(short_tmp))
    assert done.returncode == 1
    assert done.stderr.startswith("actorctl: no run is up")
    done = actorctl(harness, "--run", "other", "status")
    assert done.returncode == 1
    assert done.stderr == "actorctl: no run named 'other' is up; up are: harness\n"


def test_stop_ends_the_run_and_waits_for_it(scene_video: Path) -> None:
    topology = runs.stream(scene_video, loop=True) + runs.instant()
    topology += runs.stage("s", "frame") + runs.workers(1)
    with Harness(topology) as harness:
        harness.wait_until_running()
        processes = runs.processes_of(harness)
        done = actorctl(harness, "stop")
        assert done.returncode == 0, done.stderr
        assert harness.wait(5) == 0, harness.stderr
        assert runs.leftovers(harness, processes) == []
