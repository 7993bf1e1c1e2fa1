"""Outputs that break, vanish or are left from an earlier run: the run continues and reports it."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
from pathlib import Path

import cv2
import numpy as np
import pytest

from actors.dataflow.shared_records import ControlBlock, Layout, StreamRecord
from actors.launcher import summary
from actors.outputs.video import VideoFile
from actors.outputs.video_files import joined, part, parts
from tests.support import runs
from tools.run_harness import Harness, pids


def _topology(video: Path) -> str:
    """More frames than slots, so that a run that loses its slots stops."""
    topology = runs.stream(video, loop=True) + runs.instant() + runs.stage("s", "frame")
    return topology + runs.workers(1)


def _broken(harness: Harness) -> bool:
    return any(event["kind"] == "broken_output" for event in harness.events())


def _kill_renderer(harness: Harness) -> None:
    """SIGKILL, and wait until there is another one."""
    before = pids(harness.status())["renderer"]
    os.kill(before, signal.SIGKILL)
    runs.wait_for(lambda: pids(harness.status()).get("renderer", before) != before)


def _continues(harness: Harness) -> None:
    """The run publishes far more frames than there are slots."""
    published = harness.status()["streams"][0]["published"]
    runs.wait_for(lambda: harness.status()["streams"][0]["published"] > published + 50)


def _stop(harness: Harness) -> list[str]:
    """End a run with a broken output; what it printed about its outputs."""
    harness.ask(do="stop")
    assert harness.wait(20) == 1, harness.stderr
    lines = harness.stderr.splitlines()
    assert lines[-1].startswith("launch: error: an output is incomplete")
    return [line for line in lines[-6:] if "out.mp4" in line]


@pytest.mark.slow
def test_a_broken_video_stays_broken_when_the_renderer_dies(
    scene_video: Path, tmp_path: Path
) -> None:
    """A limit on the size of files stands in for the end of the disk."""
    out = tmp_path / "out.mp4"
    options = ("--set", f"render.video={out}", "--set", "results.wait_for_subscriber=false")
    with Harness(_topology(scene_video), *options) as harness:
        renderer = pids(harness.wait_until_running())["renderer"]
        resource.prlimit(renderer, resource.RLIMIT_FSIZE, (600_000, 600_000))
        runs.wait_for(lambda: _broken(harness))
        _continues(harness)
        _kill_renderer(harness)  # the next one has no such limit
        _continues(harness)
        lines = _stop(harness)
    (drawn,) = (line for line in lines if "drawn into" in line)
    state = re.fullmatch(r".*: incomplete, (\d+) frames? of it can be used", drawn)
    assert state is not None, drawn
    assert VideoFile(out, 30).frames >= int(state[1])
    assert any("warning" in line and "File too large" in line for line in lines), lines
    assert parts(out) == [out]


@pytest.mark.slow
def test_a_video_that_was_deleted_is_broken_for_the_next_renderer(
    scene_video: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    options = ("--set", f"render.video={out}", "--set", "results.wait_for_subscriber=false")
    with Harness(_topology(scene_video), *options) as harness:
        harness.wait_until_running()
        runs.wait_for(lambda: out.exists())
        _continues(harness)
        _kill_renderer(harness)
        runs.wait_for(lambda: len(parts(out)) == 2)
        # Without its first file, listing a video's parts was once endless.
        out.unlink()
        _kill_renderer(harness)
        runs.wait_for(lambda: _broken(harness))
        _continues(harness)
        _kill_renderer(harness)
        _continues(harness)
        lines = _stop(harness)
    assert any("warning" in line and "are gone from it" in line for line in lines), lines
    assert any("incomplete, nothing of it can be used" in line for line in lines), lines
    assert not out.exists()


@pytest.mark.slow
def test_frames_that_cannot_be_encoded_break_the_video_not_the_run(tmp_path: Path) -> None:
    out, images = tmp_path / "out.mp4", tmp_path / "images"
    images.mkdir()
    for number in range(4):
        cv2.imwrite(str(images / f"{number}.png"), np.zeros((64, 20_000, 3), np.uint8))
    topology = runs.stream(images) + runs.instant() + runs.stage("s", "frame") + runs.workers(1)
    with Harness(topology, "--set", f"render.video={out}") as harness:
        _, ends = runs.collect(harness)
        assert harness.wait(20) == 1, harness.stderr
        lines = harness.stderr.splitlines()
    assert ends == {"cam0": 4}
    assert any("no video can be made of 20000x64 frames" in line for line in lines[-4:]), lines


def _leave_outputs(folder: Path) -> tuple[Path, Path]:
    """A video, a part of it and a log as an earlier run may have left them."""
    video, log = folder / "out.mp4", folder / "out.jsonl"
    for path in (video, part(video, 1), log):
        path.write_text('{"stream":"cam0","seq":99}\n')
    return video, log


def test_actors_killed_at_their_start_do_not_go_on_with_an_earlier_runs_outputs(
    scene_video: Path, tmp_path: Path
) -> None:
    video, log = _leave_outputs(tmp_path)
    options = ("--set", f"render.video={video}", "--set", f"results.jsonl={log}")
    with Harness(_topology(scene_video), *options, "--frames", "12", "--overwrite") as harness:
        waiting = {"merger", "renderer"}
        while waiting:
            for name, pid in pids(harness.status(), tuple(waiting)).items():
                os.kill(pid, signal.SIGKILL)
                waiting.remove(name)
        records, _ = runs.collect(harness)
        assert harness.wait(20) == 0, harness.stderr
    assert runs.in_order_once(records["cam0"], 12)
    assert [json.loads(line) for line in log.read_text().splitlines()][:-1] == records["cam0"]
    assert parts(video) == [video]
    assert VideoFile(video, 30).frames == 12


def test_a_launch_that_fails_leaves_an_earlier_runs_outputs(
    scene_video: Path, tmp_path: Path
) -> None:
    video, log = _leave_outputs(tmp_path)
    options = ["--set", f"render.video={video}", "--set", f"results.jsonl={log}"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = f"results.bind=tcp://127.0.0.1:{server.getsockname()[1]}"
        with Harness(_topology(scene_video), *options, "--set", taken) as harness:
            assert harness.wait() == 2, harness.stderr
    # A run of this name is on already: what lies there may be its.
    with Harness(_topology(scene_video)) as harness:
        harness.wait_until_running()
        again = runs.launch_again(harness, *options, "--set", "results.bind=tcp://127.0.0.1:*")
    assert again.returncode == 1, again.stderr
    assert {path.read_text() for path in (video, part(video, 1), log)} == {
        '{"stream":"cam0","seq":99}\n'
    }


def test_the_summary_says_what_a_renderer_left_that_died_while_it_joined(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    for left in (path, part(path, 1), joined(path)):
        left.touch()
    record = _stream_record(rendered=6, end_seq=6)
    text = summary.video_files(path, record)
    assert text == f"2 parts, {path} to {part(path, 1).name}, which were not joined"
    assert not joined(path).exists()
    record.video_broken = 6 + 1
    assert summary.video_files(path, record) == f"{text}: incomplete, 6 frames of it can be used"


def _stream_record(*, rendered: int, end_seq: int) -> StreamRecord:
    """The record of a stream of which so many frames are in the video."""
    layout = Layout(actors=(), streams={"cam0": 1}, tile_slots=0)
    block = ControlBlock(layout, memoryview(bytearray(layout.size)))
    block.initialise(0)
    record = block.streams["cam0"]
    record.finish(rendered - 1, rendered)
    record.end_seq = end_seq
    return record
