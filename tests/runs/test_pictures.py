"""Whole runs that write a folder of pictures."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import cv2
import pytest

from actors.outputs.pictures import pictures
from actors.outputs.video import VideoFile
from tests.support import runs
from tools.run_harness import Harness, pids

FRAMES = 90


def _topology(video: Path, *streams: str) -> str:
    """Streams that last three seconds, so that there is time to kill something."""
    tables = [runs.stream(video, name, loop=True, pace="realtime") for name in streams]
    return "".join(tables) + runs.instant() + runs.stage("s", "frame") + runs.workers(1)


def _renderer(harness: Harness) -> int | None:
    return pids(harness.status()).get("renderer")


def _kill_renderer(harness: Harness) -> None:
    before = harness.status()["streams"][0]["published"]
    runs.wait_for(lambda: harness.status()["streams"][0]["published"] > before + 10)
    killed = _renderer(harness)
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    runs.wait_for(lambda: _renderer(harness) not in (None, killed))


def _seqs(folder: Path) -> list[int]:
    return [int(path.stem) for path in pictures(folder)]


def test_several_streams_have_every_picture_in_a_folder_each(
    scene_video: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    options = ("--set", f"render.pictures={folder}", "--frames", "6")
    with Harness(_topology(scene_video, "a", "b"), *options) as harness:
        runs.collect(harness)
        assert harness.wait(20) == 0, harness.stderr
        lines = harness.stderr.splitlines()
    for name in ("a", "b"):
        assert _seqs(folder / name) == list(range(6))
        assert f"launch: {name}: pictures in {folder / name}" in lines, lines
    image = cv2.imread(str(folder / "a" / "00000003.jpg"))
    assert image is not None
    assert image.shape == (1080, 1920, 3)


@pytest.mark.slow
def test_pictures_and_video_are_whole_however_often_the_renderer_is_killed(
    scene_video: Path, tmp_path: Path
) -> None:
    folder, video = tmp_path / "pictures", tmp_path / "out.mp4"
    options = ["--set", f"render.pictures={folder}", "--set", f"render.video={video}"]
    options += ["--set", "results.wait_for_subscriber=false", "--frames", str(FRAMES)]
    with Harness(_topology(scene_video, "cam0"), *options) as harness:
        harness.wait_until_running()
        for _ in range(2):
            _kill_renderer(harness)
        assert harness.wait(60) == 0, harness.stderr
    assert _seqs(folder) == list(range(FRAMES))
    assert VideoFile(video, 30).frames == FRAMES
    assert [path.name for path in folder.glob(".*")] == []


@pytest.mark.slow
def test_pictures_continue_when_the_video_breaks(scene_video: Path, tmp_path: Path) -> None:
    """A limit on the size of files, above a picture's, stands in for the video's full disk."""
    folder, video = tmp_path / "pictures", tmp_path / "out.mp4"
    options = ["--set", f"render.pictures={folder}", "--set", f"render.video={video}"]
    options += ["--set", "results.wait_for_subscriber=false", "--frames", str(FRAMES)]
    with Harness(_topology(scene_video, "cam0"), *options) as harness:
        harness.wait_until_running()
        renderer = _renderer(harness)
        assert renderer is not None
        resource.prlimit(renderer, resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
        assert harness.wait(60) == 1, harness.stderr
        text = harness.stderr
    assert _seqs(folder) == list(range(FRAMES))
    assert "out.mp4 is broken after frame " in text
    assert "out.mp4: incomplete, " in text
    assert f"pictures in {folder}\n" in text


def test_pictures_of_an_earlier_run_are_replaced_only_when_that_is_asked(
    scene_video: Path, tmp_path: Path
) -> None:
    old, other = tmp_path / "00000099.jpg", tmp_path / "mine.jpg"
    for path in (old, other):
        path.write_bytes(b"old")
    options = ["--set", f"render.pictures={tmp_path}", "--frames", "3"]
    with Harness(_topology(scene_video, "cam0"), *options) as harness:
        assert harness.wait(20) == 2, harness.stderr
        assert f"render.pictures: {tmp_path} exists already" in harness.stderr
    with Harness(_topology(scene_video, "cam0"), *options, "--overwrite") as harness:
        runs.collect(harness)
        assert harness.wait(20) == 0, harness.stderr
    assert _seqs(tmp_path) == [0, 1, 2]
    assert other.read_bytes() == b"old"
