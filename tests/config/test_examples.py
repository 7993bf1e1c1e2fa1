"""Each topology in docs/examples passes `launch --check`, with stand-ins for files and cameras."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.streams import FakeCamera, JpegServer
from tools.run_harness import ROOT

EXAMPLES = ROOT / "docs" / "examples"
DEMO = ROOT / "actors" / "demo"
MODES = "MJPG 640 480 30\nMJPG 1920 1080 30\nYUYV 1920 1080 5\n"
SMALL = "tritile:small"
LAUNCH = (sys.executable, "-m", "actors.launch")

# What stands in for the files that each names, and what its plan must say.
CHECKED: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "one_file": (
        {"streams.cam0.source": "VIDEO", "models.yolo.path": SMALL},
        ("40 frames, 30 frames/s", "4x2 native tiles of 640x640", "8 jobs a frame"),
    ),
    "camera": (
        {"streams.cam0.source": "CAMERA", "models.yolo.path": SMALL},
        ("1920x1080", "7 jobs a frame", "worker npu2: core 2"),
    ),
    "cascade": (
        {
            "streams.site.source": "VIDEO",
            "models.people.path": SMALL,
            "models.helmets.path": SMALL,
        },
        ("up to 4 crops of 640x640 around what near finds", "6 tiles, if near finds any"),
    ),
    "board": (
        {"streams.cam0.source": "CAMERA", "models.yolo.path": str(DEMO / "small.rknn")},
        ("model yolo: rknn", "at most 31.5 frames/s"),
    ),
    "several_cameras": (
        {
            "streams.door.source": "CAMERA",
            "streams.yard.source": "SERVER",
            "streams.gate.source": "SERVER",
            "models.yolo.path": SMALL,
        },
        ("stream door", "stream yard", "stream gate", "2x1 resized tiles"),
    ),
}


def test_every_example_is_checked() -> None:
    assert CHECKED.keys() == {path.stem for path in EXAMPLES.glob("*.toml")}


@pytest.mark.parametrize("name", CHECKED)
def test_an_example_passes_the_check(
    name: str, scene_video: Path, tmp_path: Path, short_tmp: Path
) -> None:
    sets, wanted = CHECKED[name]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(short_tmp), "PYTHONPATH": str(ROOT)}
    with JpegServer() as server:
        stand_ins = {"VIDEO": str(scene_video), "SERVER": server.url, "CAMERA": FakeCamera.path}
        if "CAMERA" in sets.values():
            environment |= FakeCamera(tmp_path, MODES).environment
        options = ["--set", "results.bind=tcp://127.0.0.1:*"]
        for key, value in sets.items():
            options += ["--set", f"{key}={stand_ins.get(value, value)}"]
        done = subprocess.run(
            [*LAUNCH, f"{EXAMPLES / name}.toml", "--check", *options],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    missing = [text for text in wanted if text not in done.stdout]
    assert not missing, done.stdout
