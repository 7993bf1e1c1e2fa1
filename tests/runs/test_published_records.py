"""Whole runs: names of images in the records, and a result log that breaks or is deleted."""

from __future__ import annotations

import json
import os
import resource
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support import runs
from tools.run_harness import Harness, pids

MODEL = runs.instant() + runs.stage("s", "frame") + runs.workers(1)


def write_images(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), np.full((48, 64, 3), 100, np.uint8))


def test_a_picture_of_a_folder_has_its_file_name_and_a_frame_of_a_video_has_none(
    tmp_path: Path, scene_video: Path
) -> None:
    write_images(tmp_path / "shop", "img10.png", "img2.png", "ü [b].png")
    write_images(tmp_path / "days", "mon/1.png", "tue/1.png")
    topology = runs.stream(tmp_path / "shop", "shop")
    topology += runs.stream(f"{tmp_path}/days/*/1.png", "days")
    topology += runs.stream(scene_video, "clip") + MODEL
    records, _ = runs.run(topology, "--frames", "3")
    names = {stream: [r.get("source_name") for r in found] for stream, found in records.items()}
    assert names == {
        "shop": ["img2.png", "img10.png", "ü [b].png"],
        "days": ["mon/1.png", "tue/1.png"],
        "clip": [None] * 3,
    }


def _published(harness: Harness) -> int:
    count: int = harness.status()["streams"][0]["published"]
    return count


def _is_healthy(harness: Harness) -> None:
    """Far more frames are published than there are slots."""
    before = _published(harness)
    runs.wait_for(lambda: _published(harness) > before + 50)


def _kill_merger(harness: Harness) -> None:
    before = pids(harness.status())["merger"]
    os.kill(before, signal.SIGKILL)
    runs.wait_for(lambda: pids(harness.status()).get("merger", before) != before)


def _broken(harness: Harness) -> bool:
    return any(event["kind"] == "broken_output" for event in harness.events())


def _end(harness: Harness, log: Path) -> str:
    """Stop the run, which fails; its line about the log."""
    harness.ask(do="stop")
    assert harness.wait(20) == 1, harness.stderr
    (line,) = [line for line in harness.stderr.splitlines() if f"records in {log}" in line]
    return line


@pytest.mark.slow
def test_a_log_on_a_full_disk_is_good_up_to_the_frame_that_the_summary_names(
    scene_video: Path, tmp_path: Path
) -> None:
    """A limit on the size of files stands in for the end of the disk."""
    log = tmp_path / "out.jsonl"
    options = ("--set", f"results.jsonl={log}", "--set", "results.wait_for_subscriber=false")
    with Harness(runs.stream(scene_video, loop=True) + MODEL, *options) as harness:
        merger = pids(harness.wait_until_running())["merger"]
        resource.prlimit(merger, resource.RLIMIT_FSIZE, (200_000, 200_000))
        runs.wait_for(lambda: _broken(harness))
        _is_healthy(harness)
        _kill_merger(harness)  # the next one has no such limit
        _is_healthy(harness)
        line = _end(harness, log)
    seqs = [json.loads(each)["seq"] for each in log.read_text().splitlines()]
    assert seqs == list(range(len(seqs)))
    assert log.stat().st_size <= 200_000
    assert line.endswith(f"good up to frame {seqs[-1]} of cam0")


@pytest.mark.slow
@pytest.mark.parametrize("killed", [False, True])
def test_a_log_that_is_deleted_does_not_begin_again_in_the_middle(
    killed: bool, scene_video: Path, tmp_path: Path
) -> None:
    log = tmp_path / "out.jsonl"
    options = ("--set", f"results.jsonl={log}", "--set", "results.wait_for_subscriber=false")
    with Harness(runs.stream(scene_video, loop=True) + MODEL, *options) as harness:
        harness.wait_until_running()
        runs.wait_for(lambda: _published(harness) > 10)
        log.unlink()
        # A merger that is killed right away may have no time to report it.
        if not killed:
            runs.wait_for(lambda: _broken(harness))
            _is_healthy(harness)
        _kill_merger(harness)
        _is_healthy(harness)
        assert _end(harness, log).endswith("nothing is in it")
    assert not log.exists()
