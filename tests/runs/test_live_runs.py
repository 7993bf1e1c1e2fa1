"""Whole runs from live sources: RTSP and HTTP from real servers, and a camera in a folder.

They drop out, they come back, they are faster than the pipeline, their capture is killed; what is
published stays in order, and every gap in it is a drop that was counted.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.client import End
from tests.support import runs
from tests.support.streams import FakeCamera, JpegServer, RtspServer, free_port
from tools import placeholder_model
from tools.run_harness import ROOT, Harness, pids

WARM_UP = 10


@pytest.fixture
def jpegs() -> Iterator[JpegServer]:
    with JpegServer() as server:
        yield server


def _topology(source: str, **keys: Any) -> str:
    return (
        runs.stream(source, **keys)
        + runs.instant((320, 320))
        + runs.stage("small", "tiles")
        + runs.workers(2)
    )


class Watch:
    """Reads a run's results on a thread, so that a test can do things to the source meanwhile."""

    def __init__(self, harness: Harness) -> None:
        self.records: list[runs.Record] = []
        self.end: int | None = None
        self._harness = harness
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        # A run that fails sends no end, and then nothing more.
        with suppress(TimeoutError):
            for message in runs.messages(self._harness, 15):
                if isinstance(message, End):
                    self.end = message.frames
                # After a merger's death its last frame may come twice.
                elif not self.records or message.seq != self.records[-1]["seq"]:
                    self.records.append(message.raw)

    def wait_for(self, frames: int) -> None:
        runs.wait_for(lambda: len(self.records) >= frames, 20, f"for {frames} frames")

    def join(self) -> list[runs.Record]:
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self.records


def _cam0(harness: Harness) -> dict[str, Any]:
    stream: dict[str, Any] = harness.status()["streams"][0]
    return stream


def _gaps(records: list[runs.Record]) -> int:
    """Frames that came and were not published; the order is checked on the way."""
    numbers = [record["seq"] for record in records]
    assert all(a < b for a, b in pairwise(numbers)), numbers
    return int(numbers[-1]) + 1 - len(numbers)


def _dropped(harness: Harness) -> int:
    """What the run says at its end that it dropped."""
    match = re.search(r"cam0: \d+ frames in .* (\d+) dropped", harness.stderr)
    return int(match[1]) if match else 0


def _kinds(harness: Harness) -> list[str]:
    return [event["kind"] for event in harness.events()]


# ---- frames arrive, the source goes and comes back


def _until_the_source_came_back(
    harness: Harness, watch: Watch, server: JpegServer | RtspServer
) -> None:
    watch.wait_for(20)
    status = _cam0(harness)
    assert (status["live"], status["connected"], status["reconnects"]) == (True, True, 0)
    server.stop()
    runs.wait_for(lambda: not _cam0(harness)["connected"], 8, "for the stream to be missed")
    assert _cam0(harness)["reconnects"] == 0
    before = len(watch.records)
    server.start()
    runs.wait_for(lambda: _cam0(harness)["connected"], 10, "for the stream to come back")
    watch.wait_for(before + 10)
    assert _cam0(harness)["reconnects"] == 1
    kinds = _kinds(harness)
    assert kinds.count("source_lost") == kinds.count("source_back") == 1


@pytest.mark.parametrize("kind", ["rtsp", pytest.param("http", marks=pytest.mark.slow)])
def test_stream_drops_out_and_comes_back(kind: str) -> None:
    server: JpegServer | RtspServer = RtspServer() if kind == "rtsp" else JpegServer()
    with server, Harness(_topology(server.url)) as harness:
        watch = Watch(harness)
        _until_the_source_came_back(harness, watch, server)
        processes = runs.processes_of(harness)
        assert harness.process is not None
        harness.process.send_signal(signal.SIGINT)
        assert harness.wait(10) == 0, harness.stderr
        records = watch.join()
        assert watch.end == len(records)
        assert _gaps(records) == _dropped(harness)
        assert "source_lost" not in harness.stderr
        assert "trying again until it is back" in harness.stderr
        assert runs.leftovers(harness, processes) == []
    for record in records:
        assert record["size"] == [640, 360]
        assert record["source_frame"] == record["seq"]
        assert record["complete"]
        assert record["detections"]


def test_frames_option_ends_a_stream(jpegs: JpegServer) -> None:
    with Harness(_topology(jpegs.url), "--frames", "25") as harness:
        records, ends = runs.collect(harness)
        assert harness.wait(20) == 0, harness.stderr
        assert len(records["cam0"]) == ends["cam0"] == 25
        assert _gaps(records["cam0"]) == _dropped(harness)
    times = [record["captured_ns"] for record in records["cam0"]]
    assert times == sorted(set(times))


def test_stream_of_another_size_after_it_came_back(jpegs: JpegServer) -> None:
    with Harness(_topology(jpegs.url), "--frames", "60") as harness:
        watch = Watch(harness)
        watch.wait_for(10)
        jpegs.stop()
        jpegs.set_size((320, 240))
        jpegs.start()
        assert harness.wait(20) == 0, harness.stderr
        sizes = [tuple(record["size"]) for record in watch.join()]
    assert set(sizes) == {(640, 360), (320, 240)}
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.slow
def test_stream_that_comes_back_too_large_ends_the_run_with_a_sentence(jpegs: JpegServer) -> None:
    with Harness(_topology(jpegs.url)) as harness:
        watch = Watch(harness)
        watch.wait_for(10)
        jpegs.stop()
        jpegs.set_size((1280, 720))
        jpegs.start()
        assert harness.wait(20) == 1
        last = harness.stderr.splitlines()[-1]
    assert last.startswith("launch: cam0 cannot run: http://127.0.0.1:")
    assert "a frame of 1280x720 takes 2764800 bytes and the frame slot has 692224" in last


# ---- too fast for the pipeline


@pytest.mark.slow
@pytest.mark.parametrize("slots", [2, 4])
def test_latency_is_bounded_when_the_pipeline_has_half_the_rate(
    slots: int, jpegs: JpegServer, tmp_path: Path
) -> None:
    """Slow on purpose: what a busy machine adds is small beside a frame's time then."""
    jpegs.fps = 12
    model = tmp_path / "placeholder.onnx"
    placeholder_model.write(model)
    frame_ms = 1000 / 6
    topology = (
        runs.stream(jpegs.url, slots=slots)
        + runs.model(model, runtime="emulated", latency_ms=frame_ms)
        + runs.stage("all", "frame")
        + runs.workers(1)
    )
    with Harness(topology, "--frames", "54") as harness:
        watch = Watch(harness)
        watch.wait_for(WARM_UP)
        capture = pids(harness.status())["cam0"]
        before, memory = _cam0(harness), _resident(capture)
        watch.wait_for(50)
        after, grown = _cam0(harness), _resident(capture) - memory
        assert harness.wait(20) == 0, harness.stderr
        records = watch.join()
        # Every gap is a drop that was counted, and nearly all for want of a slot.
        assert _gaps(records) == _dropped(harness)
    assert before["in_flight"] <= slots
    assert after["dropped"]["no_free_slot"] > before["dropped"]["no_free_slot"] + 20
    assert after["dropped"]["newer_frame"] <= 0.2 * after["dropped"]["no_free_slot"]
    assert grown < 1_000_000
    captured, published = np.array([(r["captured_ns"], r["published_ns"]) for r in records]).T
    pipeline_ms = (published[-1] - published[WARM_UP]) / (len(records) - 1 - WARM_UP) / 1e6
    assert 0.95 * frame_ms < pipeline_ms < 2 * frame_ms
    # A frame waits for those in the slots, for the one that the reader holds ready and for the one
    # that it receives. Counted in publications, this holds on a busy machine too, where a bound in
    # milliseconds (p99 350 of 500 when idle, 430 beside four busy processes) fails now and then.
    before_it = slots + 2
    assert (captured[before_it:] > published[:-before_it]).all()
    assert 0 < after["latency_ms"]["p50"] <= after["latency_ms"]["p99"]


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# ---- deaths and ends


def test_killed_capture_goes_on_with_the_next_frame(jpegs: JpegServer) -> None:
    with Harness(_topology(jpegs.url), "--frames", "60") as harness:
        watch = Watch(harness)
        for frames in (15, 35):
            watch.wait_for(frames)
            os.kill(pids(harness.status(), ["capture"])["cam0"], signal.SIGKILL)
            runs.wait_for(lambda: _cam0(harness)["connected"] == 1, 10)
        watch.wait_for(50)
        actors = {actor["name"]: actor["restarts"] for actor in harness.status()["actors"]}
        assert actors["cam0"] == 2
        processes = runs.processes_of(harness)
        assert harness.wait(20) == 0, harness.stderr
        records = watch.join()
        assert len(records) == watch.end == 60
        # The counters have outlived two captures.
        assert _gaps(records) == _dropped(harness)
        assert runs.leftovers(harness, processes) == []


@pytest.mark.slow
def test_gaps_survive_the_death_of_everybody_else(jpegs: JpegServer, tmp_path: Path) -> None:
    """While frames are dropped, an actor that is restarted finds its place among the gaps."""
    model = tmp_path / "placeholder.onnx"
    placeholder_model.write(model)
    topology = (
        runs.stream(jpegs.url, slots=4)
        + runs.model(model, runtime="emulated", latency_ms=70)
        + runs.stage("all", "frame")
        + runs.workers(1)
    )
    with Harness(topology, "--frames", "90") as harness:
        watch = Watch(harness)
        for count, name in enumerate(["npu0", "tiler", "merger", "cam0", "tiler", "merger"]):
            watch.wait_for(10 + 12 * count)
            os.kill(pids(harness.status())[name], signal.SIGKILL)
        assert harness.wait(30) == 0, harness.stderr
        records = watch.join()
        assert len(records) == watch.end == 90
        assert _gaps(records) == _dropped(harness) > 20
        assert all(record["complete"] for record in records)


def test_signal_while_the_source_is_away(jpegs: JpegServer) -> None:
    with Harness(_topology(jpegs.url)) as harness:
        watch = Watch(harness)
        watch.wait_for(5)
        jpegs.stop()
        runs.wait_for(lambda: not _cam0(harness)["connected"], 8)
        processes = runs.processes_of(harness)
        assert harness.process is not None
        harness.process.send_signal(signal.SIGINT)
        assert harness.wait(3) == 0, harness.stderr
        assert watch.end is None or watch.end == len(watch.join())
        assert runs.leftovers(harness, processes, 1.0) == []


@pytest.mark.parametrize("option", ["--check", "--frames=3"])
def test_source_that_is_not_there_at_launch(option: str, tmp_path: Path) -> None:
    port = free_port()
    file = tmp_path / "away.toml"
    file.write_text(_topology(f"rtsp://me:secret@127.0.0.1:{port}/live"))
    bind = f"results.bind=ipc://{tmp_path / 'results'}"
    done = subprocess.run(
        [sys.executable, "-m", "actors.launch", str(file), option, "--set", bind],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"away.toml: streams.cam0.source: rtsp://me:***@127.0.0.1:{port}/live: no connection to "
        f"127.0.0.1 port {port} (Connection refused); is the stream running?"
    ]


# ---- a camera


def test_camera_gives_what_it_can_and_survives_its_cable(tmp_path: Path) -> None:
    camera = FakeCamera(tmp_path, "MJPG 640 480 30\nMJPG 1920 1080 15 5\nYUYV 1920 1080 5\n")
    topology = _topology(camera.path, size=[1920, 1080], fps=30)
    harness = Harness(topology, "--frames", "45")
    harness.environment |= camera.environment
    with harness:
        watch = Watch(harness)
        watch.wait_for(10)
        camera.unplug()
        runs.wait_for(lambda: not _cam0(harness)["connected"], 8)
        camera.plug_in()
        runs.wait_for(lambda: _cam0(harness)["reconnects"] == 1, 8)
        assert harness.wait(20) == 0, harness.stderr
        records = watch.join()
        assert _gaps(records) == _dropped(harness)
        assert harness.stderr.splitlines()[0] == (
            "topology.toml: warning: streams.cam0.source: /dev/video77: asked for 30 fps, the "
            "camera gives 15: its 1920x1080 MJPG mode ends there"
        )
    assert len(records) == 45
    assert {tuple(record["size"]) for record in records} == {(1920, 1080)}
