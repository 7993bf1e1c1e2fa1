"""Outputs that break, vanish or are left from an earlier run: the run goes on and says so."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

from actors.vision.parts import parts
from tests import runs
from tools.lab import Lab, pids


def _topology(video: Path) -> str:
    """More frames than slots, so that a run whose slots do not come back stands still."""
    topology = runs.stream(video, loop=True) + runs.instant() + runs.stage("s", "frame")
    return topology + runs.workers(1)


def _broken(lab: Lab) -> bool:
    return any(event["kind"] == "broken_output" for event in lab.events())


def _kill_renderer(lab: Lab) -> None:
    """SIGKILL, and wait until there is another one."""
    before = pids(lab.status())["renderer"]
    os.kill(before, signal.SIGKILL)
    runs.wait_for(lambda: pids(lab.status()).get("renderer", before) != before)


def _goes_on(lab: Lab) -> None:
    """The run publishes far more frames than there are slots."""
    published = lab.status()["streams"][0]["published"]
    runs.wait_for(lambda: lab.status()["streams"][0]["published"] > published + 50)


def _stop(lab: Lab) -> list[str]:
    """End the run well; what it said about its outputs."""
    lab.ask(do="stop")
    assert lab.wait(20) == 0, lab.stderr
    return [line for line in lab.stderr.splitlines()[-6:] if "out.mp4" in line]


@pytest.mark.slow
def test_a_broken_video_stays_broken_when_the_renderer_dies(
    scene_video: Path, tmp_path: Path
) -> None:
    """A limit on the size of files stands in for the end of the disk."""
    out = tmp_path / "out.mp4"
    options = ("--set", f"render.video={out}", "--set", "results.wait_for_subscriber=false")
    with Lab(_topology(scene_video), *options) as lab:
        renderer = pids(lab.wait_until_running())["renderer"]
        resource.prlimit(renderer, resource.RLIMIT_FSIZE, (600_000, 600_000))
        runs.wait_for(lambda: _broken(lab))
        _goes_on(lab)
        _kill_renderer(lab)  # the next one has no such limit
        _goes_on(lab)
        lines = _stop(lab)
    assert any("drawn into" in line and "broken" in line for line in lines), lines
    assert any("warning" in line and "File too large" in line for line in lines), lines
    assert parts(out) == [out]


@pytest.mark.slow
def test_a_video_that_was_deleted_is_broken_for_the_next_renderer(
    scene_video: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    options = ("--set", f"render.video={out}", "--set", "results.wait_for_subscriber=false")
    with Lab(_topology(scene_video), *options) as lab:
        lab.wait_until_running()
        runs.wait_for(lambda: out.exists())
        _goes_on(lab)
        _kill_renderer(lab)
        runs.wait_for(lambda: len(parts(out)) == 2)
        # The parts of a film whose beginning is gone once made their listing endless.
        out.unlink()
        _kill_renderer(lab)
        runs.wait_for(lambda: _broken(lab))
        _goes_on(lab)
        _kill_renderer(lab)
        _goes_on(lab)
        lines = _stop(lab)
    assert any("warning" in line and "are gone from it" in line for line in lines), lines
    assert not out.exists()


@pytest.mark.slow
def test_frames_that_cannot_be_encoded_break_the_video_not_the_run(tmp_path: Path) -> None:
    out, images = tmp_path / "out.mp4", tmp_path / "images"
    images.mkdir()
    for number in range(4):
        cv2.imwrite(str(images / f"{number}.png"), np.zeros((64, 20_000, 3), np.uint8))
    topology = runs.stream(images) + runs.instant() + runs.stage("s", "frame") + runs.workers(1)
    with Lab(topology, "--set", f"render.video={out}") as lab:
        _, ends = runs.collect(lab)
        assert lab.wait(20) == 0, lab.stderr
        lines = lab.stderr.splitlines()
    assert ends == {"cam0": 4}
    assert any("no video can be made of 20000x64 frames" in line for line in lines[-4:]), lines
