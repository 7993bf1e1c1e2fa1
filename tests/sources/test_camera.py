"""Which mode is asked of a camera and how its answer is described, with real mode tables; and the
whole way through OpenCV's V4L2 code with a camera in a folder (no real one is at hand here)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from actors.sources.camera import choose, difference
from actors.sources.contract import SourceError, SourceRequest
from actors.sources.opening import inspect
from actors.sources.v4l2 import Mode
from tests.conftest import ROOT
from tests.support.streams import FakeCamera


def modes(table: str) -> list[Mode]:
    """Lines of "MJPG 1920 1080 30 15"."""
    rows = [line.split() for line in table.strip().splitlines()]
    return [
        Mode(fourcc, (int(width), int(height)), tuple(map(float, rates)))
        for fourcc, width, height, *rates in rows
    ]


# As `v4l2-ctl --list-formats-ext` prints them, rates below 5 left out.
WEBCAM = modes(
    """
    YUYV 640 480 30 24 20 15 10 7.5 5
    YUYV 1280 720 10 7.5 5
    YUYV 1920 1080 5
    YUYV 2304 1536 2
    H264 640 480 30 24 20 15 10 7.5 5
    H264 1920 1080 30 24 20 15 10 7.5 5
    MJPG 640 480 30 24 20 15 10 7.5 5
    MJPG 1280 720 60 30 24 20 15 10 7.5 5
    MJPG 1600 1200 30
    MJPG 1920 1080 30 24 20 15 10 7.5 5
    """
)
RAW_ONLY = modes("YUYV 640 480 30\nYUYV 1280 720 10\nYUYV 640 360 30\nYUYV 1920 1080 5")
BOARD_PORT = modes("UYVY 3840 2160 60 1\nNV12 3840 2160 60 1\nNV12 1920 1080 60 1\nNV12 640 480 60")
STILL_CAMERA = modes("MJPG 3264 2448 15\nMJPG 2592 1944 15")
NO_RATES = modes("MJPG 1280 720\nMJPG 1920 1080\nYUYV 1920 1080")


@pytest.mark.parametrize(
    ("table", "ask", "chosen"),
    [
        # Nothing asked: MJPG, 16:9, up to 1080p.
        (WEBCAM, SourceRequest(), "MJPG 1920 1080"),
        (NO_RATES, SourceRequest(), "MJPG 1920 1080"),
        # The largest raw one would be 5 frames/s.
        (RAW_ONLY, SourceRequest(), "YUYV 640 360"),
        (BOARD_PORT, SourceRequest(), "NV12 1920 1080"),
        (STILL_CAMERA, SourceRequest(), "MJPG 2592 1944"),
        # A rate: the largest that has it.
        (WEBCAM, SourceRequest(fps=30), "MJPG 1920 1080"),
        (WEBCAM, SourceRequest(fps=60), "MJPG 1280 720"),
        (RAW_ONLY, SourceRequest(fps=10), "YUYV 1280 720"),
        # A size: in the format that is quick enough there.
        (WEBCAM, SourceRequest(size=(1920, 1080)), "MJPG 1920 1080"),
        (WEBCAM, SourceRequest(size=(2304, 1536)), "YUYV 2304 1536"),
        (WEBCAM, SourceRequest(size=(1300, 700)), "MJPG 1280 720"),
        (RAW_ONLY, SourceRequest(size=(1920, 1080), fps=30), "YUYV 1920 1080"),
        # A format: wherever it leads.
        (WEBCAM, SourceRequest(fourcc="YUYV"), "YUYV 640 480"),
        (WEBCAM, SourceRequest(fourcc="YUYV", size=(1920, 1080), fps=30), "YUYV 1920 1080"),
        (WEBCAM, SourceRequest(fourcc="H264"), "MJPG 1920 1080"),
        (WEBCAM, SourceRequest(fourcc="NV12", size=(640, 480)), "MJPG 640 480"),
    ],
)
def test_choice(table: list[Mode], ask: SourceRequest, chosen: str) -> None:
    mode = choose(table, ask)
    assert mode is not None
    assert f"{mode.fourcc} {mode.size[0]} {mode.size[1]}" == chosen


def test_no_choice_without_a_format_that_can_be_decoded() -> None:
    assert choose([], SourceRequest()) is None
    assert choose(modes("H264 1920 1080 30\nZ16 640 480 30"), SourceRequest()) is None


@pytest.mark.parametrize(
    ("table", "ask", "got", "described"),
    [
        (WEBCAM, SourceRequest(), "MJPG 1920 1080 30", None),
        (WEBCAM, SourceRequest((1920, 1080), 30, "MJPG"), "MJPG 1920 1080 30", None),
        (WEBCAM, SourceRequest(fps=29.97), "MJPG 1920 1080 30", None),
        (modes("MJPG 1920 1080 15 5"), SourceRequest((1920, 1080), 30), "MJPG 1920 1080 15",
         "asked for 30 fps, the camera gives 15: its 1920x1080 MJPG mode ends there"),
        (WEBCAM, SourceRequest((1920, 1080), 30, "YUYV"), "YUYV 1920 1080 5",
         "asked for 30 fps, the camera gives 5: its 1920x1080 YUYV mode ends there"),
        (modes("MJPG 640 480 30 15"), SourceRequest(fps=20), "MJPG 640 480 15",
         "asked for 20 fps, the camera gives 15: its 640x480 MJPG mode offers 30, 15"),
        (WEBCAM, SourceRequest(size=(1300, 700)), "MJPG 1280 720 60",
         "asked for 1300x700, the camera gives 1280x720: it has no such size in MJPG"),
        (WEBCAM, SourceRequest(fourcc="H264"), "MJPG 1920 1080 30",
         "asked for H264, the camera gives MJPG: H264 cannot be decoded here"),
        (RAW_ONLY, SourceRequest((1920, 1080), 30, "MJPG"), "YUYV 1920 1080 5",
         "asked for MJPG at 30 fps, the camera gives YUYV at 5 fps: it has no MJPG and its "
         "1920x1080 YUYV mode ends there"),
        # What a driver does for no known reason is described without one.
        (WEBCAM, SourceRequest(fourcc="YUYV"), "MJPG 640 480 30",
         "asked for YUYV, the camera gives MJPG"),
        (NO_RATES, SourceRequest(fps=60), "MJPG 1920 1080 30",
         "asked for 60 fps, the camera gives 30"),
    ],
)  # fmt: skip
def test_difference(table: list[Mode], ask: SourceRequest, got: str, described: str | None) -> None:
    assert difference(ask, modes(got)[0], table) == described


# ---- through OpenCV

CAMERA = """\
YUYV 640 480 30 15
YUYV 1920 1080 5
MJPG 640 480 30 15
MJPG 1920 1080 15 5
"""


@pytest.fixture
def camera(tmp_path: Path) -> FakeCamera:
    return FakeCamera(tmp_path, CAMERA)


def seen(camera: FakeCamera, ask: SourceRequest) -> str:
    """What `inspect` says of the camera, or its error, in a process that can see it."""
    program = (
        "from actors.sources.contract import *\n"
        "from actors.sources.opening import inspect\n"
        f"try: print(inspect({camera.path!r}, {ask!r}))\n"
        "except SourceError as error: print(error)\n"
    )
    return _python(camera, "-c", program).stdout.strip()


def _python(camera: FakeCamera, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **camera.environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_camera_states_its_size_and_rate(camera: FakeCamera) -> None:
    found = seen(camera, SourceRequest())
    assert "width=1920, height=1080, frame_bytes=6220800, fps=15.0, frames=None, live=True" in found
    assert "remarks=()" in found


def test_difference_follows_from_the_drivers_answer(camera: FakeCamera) -> None:
    found = seen(camera, SourceRequest(size=(1920, 1080), fps=30))
    assert (
        "'/dev/video77: asked for 30 fps, the camera gives 15: its 1920x1080 MJPG mode ends there'"
        in found
    )
    assert "width=640, height=480" in seen(camera, SourceRequest(size=(640, 480), fourcc="YUYV"))


def test_camera_that_is_slower_than_it_states(camera: FakeCamera) -> None:
    camera.set_rate(8)
    found = seen(camera, SourceRequest())
    assert "it states 15 frames/s, and " in found
    fps = float(found.partition("fps=")[2].partition(",")[0])
    assert 6.5 < fps < 8.5


def test_missing_camera(camera: FakeCamera) -> None:
    camera.unplug()
    assert seen(camera, SourceRequest()).startswith("/dev/video77: no such camera; ")


def test_device_that_is_no_camera() -> None:
    with pytest.raises(SourceError, match=r"^/dev/null: it is not a camera, but another kind"):
        inspect("/dev/null")


# ---- the tool


def test_tool_measures_every_mode(camera: FakeCamera) -> None:
    camera.set_rate(20)
    done = _python(camera, "-m", "tools.probe_camera", camera.path, "--seconds", "0.6", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    (found,) = report["cameras"]
    assert (found["device"], found["name"]) == (camera.path, "Fake Camera")
    stated = [(m["fourcc"], m["width"], m["height"], *m["rates"]) for m in found["modes"]]
    assert stated == [
        ("YUYV", 640, 480, 30.0, 15.0),
        ("YUYV", 1920, 1080, 5.0),
        ("MJPG", 640, 480, 30.0, 15.0),
        ("MJPG", 1920, 1080, 15.0, 5.0),
    ]
    assert [mode["slow"] for mode in found["modes"]] == [True, False, True, False]
    for mode, real in zip(found["modes"], (20, 5, 20, 15), strict=True):
        assert mode["measured_fps"] == pytest.approx(real, rel=0.25)


def test_tool_shows_a_table(camera: FakeCamera) -> None:
    done = _python(camera, "-m", "tools.probe_camera", camera.path, "--seconds", "0.3")
    assert done.returncode == 0, done.stderr
    assert "Fake Camera" in done.stdout
    assert len([line for line in done.stdout.splitlines() if "MJPG" in line]) == 2


def test_tool_without_a_camera(camera: FakeCamera) -> None:
    camera.unplug()
    done = _python(camera, "-m", "tools.probe_camera", camera.path)
    assert done.returncode == 2
    assert done.stderr.startswith("probe_camera: /dev/video77: no such camera; ")
    assert len(done.stderr.splitlines()) == 1
