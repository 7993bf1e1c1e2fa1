"""Actors killed, stopped and restarted in mid-run: the results are those of an undisturbed run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from actors.client import End
from tests.support import runs
from tools.run_harness import ROOT, Harness, pids

FRAMES = 120

Disturb = Callable[[Harness], None]


@pytest.fixture(scope="module")
def topology(scene_video: Path) -> str:
    return runs.cascade(scene_video)


@pytest.fixture(scope="module")
def undisturbed(topology: str) -> list[runs.Record]:
    records, _ = runs.run(topology, "--frames", str(FRAMES))
    return records["cam0"]


def _actorctl(harness: Harness, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "actors.actorctl", *arguments],
        cwd=ROOT,
        env=harness.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _kill(*names: str) -> Disturb:
    def disturb(harness: Harness) -> None:
        processes = pids(harness.status())
        for name in names:
            os.kill(processes[name], signal.SIGKILL)

    return disturb


def _stop_signal(name: str) -> Disturb:
    return lambda harness: os.kill(pids(harness.status())[name], signal.SIGSTOP)


def _restart(*arguments: str) -> Disturb:
    def disturb(harness: Harness) -> None:
        done = _actorctl(harness, "restart", *arguments)
        assert done.returncode == 0, done.stderr
        assert "running again" in done.stdout

    return disturb


def _kill_fork_server(harness: Harness) -> None:
    """The process that all actors are forked from."""
    for process in runs.processes_of(harness):
        if "fork server" in process.cmdline()[0]:
            process.kill()


DISTURBANCES: dict[str, list[Disturb]] = {
    "restart npu0": [_restart("npu0")],
    "restart npu1 with SIGKILL": [_restart("npu1", "--kill")],
    "restart all workers one after another": [_restart("npu0", "npu1", "npu2")],
    "kill each worker": [_kill("npu0"), _kill("npu1"), _kill("npu2")],
    "kill all workers at once": [_kill("npu0", "npu1", "npu2")],
    "kill the tiler": [_kill("tiler"), _kill("tiler")],
    "kill the merger": [_kill("merger"), _kill("merger")],
    "kill the capture": [_kill("cam0"), _kill("cam0")],
    "kill tiler and merger at once": [_kill("tiler", "merger")],
    "kill all actors at once": [_kill("cam0", "tiler", "npu0", "npu1", "npu2", "merger")],
    "a worker hangs": [_stop_signal("npu1")],
    "the tiler hangs": [_stop_signal("tiler")],
    "kill the fork server, then workers": [_kill_fork_server, _kill("npu0"), _kill("npu1")],
    "restart the merger and the tiler": [_restart("merger", "tiler")],
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", DISTURBANCES)
def test_results_are_those_of_an_undisturbed_run(
    kind: str, topology: str, undisturbed: list[runs.Record]
) -> None:
    acts = list(DISTURBANCES[kind])
    records: list[runs.Record] = []
    frames = None
    with Harness(topology, "--frames", str(FRAMES)) as harness:
        for message in runs.messages(harness):
            if isinstance(message, End):
                frames = message.frames
                break
            # Delivery is at least once: after a merger's death its last frame may come twice.
            merger_died = "merger" in kind or "all actors" in kind
            if merger_died and records and message.seq == records[-1]["seq"]:
                continue
            records.append(message.raw)
            if acts and message.seq >= 15 + 25 * (3 - len(acts)):
                acts.pop(0)(harness)
        processes = runs.processes_of(harness)
        assert harness.wait(20) == 0, harness.stderr
        assert runs.leftovers(harness, processes) == []
    assert not acts
    assert frames == FRAMES
    assert runs.in_order_once(records, FRAMES)
    assert runs.essence(records) == runs.essence(undisturbed)


@pytest.mark.slow
def test_video_survives_the_renderers_death(topology: str, tmp_path: Path) -> None:
    """Each frame is in the video once, in order, though three renderers wrote it."""
    out = tmp_path / "out.mp4"
    acts = [_kill("renderer"), _kill("renderer", "merger"), _restart("renderer")]
    options = ("--frames", str(FRAMES), "--set", f"render.video={out}")
    with Harness(topology, *options) as harness:
        for message in runs.messages(harness):
            if isinstance(message, End):
                break
            if acts and message.seq >= 20 + 25 * (3 - len(acts)):
                acts.pop(0)(harness)
        assert harness.wait(20) == 0, harness.stderr
    assert not acts
    assert list(tmp_path.iterdir()) == [out]
    video, shown = cv2.VideoCapture(str(out)), []
    while video.grab():
        shown.append(round(video.get(cv2.CAP_PROP_POS_MSEC) * 30 / 1000))
    assert shown == list(range(FRAMES))


def test_all_processes_end_with_a_killed_supervisor(topology: str) -> None:
    with Harness(topology) as harness:
        harness.wait_until_running()
        processes = runs.processes_of(harness)
        assert len(processes) >= 7
        assert harness.process is not None
        harness.process.kill()
        harness.process.wait()
        assert [p for p in runs.leftovers(harness, processes, 1.0) if p.startswith("process")] == []
        # The folder it left does not keep the next run of that name from starting.
        again = runs.launch_again(
            harness, "--frames", "3", "--set", "results.wait_for_subscriber=false"
        )
        assert again.returncode == 0, again.stderr
        assert "cam0: 3 frames" in again.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", [0.0, 0.3, 0.8, 1.5, 3.0])
def test_a_signal_at_any_moment_ends_the_run_and_leaves_nothing(
    number: signal.Signals, moment: float, topology: str
) -> None:
    with Harness(topology) as harness:
        assert harness.process is not None
        processes = []
        try:
            harness.process.wait(moment + 0.05)
        except subprocess.TimeoutExpired:
            processes = runs.processes_of(harness)
        harness.process.send_signal(number)
        code = harness.wait(10)
        # Before Python has come to the program's first line, the signal itself ends it.
        assert code == 0 or (moment == 0.0 and code in (-number, 1)), harness.stderr
        assert "Traceback" not in harness.stderr or moment == 0.0
        assert runs.leftovers(harness, processes, 1.0) == []


def test_second_run_of_a_name_is_refused(topology: str) -> None:
    with Harness(topology) as harness:
        harness.wait_until_running()
        second = runs.launch_again(harness)
        assert second.returncode in (1, 2)
        assert "harness" in second.stderr.splitlines()[-1]
        assert len(second.stderr.splitlines()) == 1
        assert harness.status()["run"] == "harness"
