"""Network streams through FFmpeg, from real servers: what is found out, what is said when not."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from actors.sources.classify import hide_password
from actors.sources.contract import SourceError, SourceRequest
from actors.sources.live import LiveFrame, LiveSource
from actors.sources.opening import inspect, open_live
from tests.support.streams import JpegServer, RtspServer, free_port


@pytest.fixture(scope="module")
def rtsp() -> Iterator[RtspServer]:
    with RtspServer() as server:
        yield server


@pytest.fixture
def jpegs() -> Iterator[JpegServer]:
    with JpegServer() as server:
        yield server


@pytest.fixture(scope="module")
def web(scene_video: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A web server that hands out two videos; the address of its folder."""
    folder = tmp_path_factory.mktemp("web")
    shutil.copy(scene_video, folder / "late.mp4")
    code = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(folder / "video.mkv"), cv2.CAP_FFMPEG, code, 30, (320, 180))
    for number in range(40):
        writer.write(np.full((180, 320, 3), number * 6, np.uint8))
    writer.release()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    handler = functools.partial(Quiet, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


def take(source: LiveSource, slot: np.ndarray, seconds: float = 10.0) -> LiveFrame:  # type: ignore[type-arg]
    deadline = time.monotonic() + seconds
    while True:
        taken = source.take(slot)
        if taken is not None:
            return taken
        assert time.monotonic() < deadline, source.trouble
        time.sleep(0.002)


def test_rtsp(rtsp: RtspServer) -> None:
    info = inspect(rtsp.url)
    assert (info.width, info.height, info.live, info.frames) == (640, 360, True, None)
    assert info.fps is not None
    assert 20 < info.fps < 31


def test_jpegs_over_http_have_the_rate_that_was_measured(jpegs: JpegServer) -> None:
    jpegs.fps = 12
    info = inspect(jpegs.url)
    assert (info.width, info.height, info.frame_bytes) == (640, 360, 640 * 360 * 3)
    assert info.fps == pytest.approx(12, rel=0.15)  # FFmpeg itself says 25
    assert info.remarks == ()


def test_options_for_ffmpeg_do_not_outlive_the_opening(jpegs: JpegServer) -> None:
    before = dict(os.environ)
    inspect(jpegs.url)
    assert "OPENCV_FFMPEG_CAPTURE_OPTIONS" not in set(os.environ) - set(before)


def test_stream_that_ends_and_comes_back(jpegs: JpegServer) -> None:
    slot = np.zeros(640 * 360 * 3, np.uint8)
    source = open_live(jpegs.url, SourceRequest(), slot.nbytes, lambda: None)
    source.start()
    try:
        first = take(source, slot)
        assert first.size == (640, 360)
        assert slot.std() > 10
        jpegs.stop()
        deadline = time.monotonic() + 10
        while source.connected:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        jpegs.start()
        # What came before the end may still wait to be taken.
        while source.reconnects == 0:
            take(source, slot)
        assert source.reconnects == 1
        # The sizes differ after that: the smaller one fits.
        jpegs.set_size((320, 180))
        jpegs.stop()
        jpegs.start()
        while take(source, slot).size != (320, 180):
            pass
    finally:
        source.close()


def test_recording_from_a_web_server_comes_at_its_own_rate_and_ends(web: str) -> None:
    slot = np.zeros(320 * 180 * 3, np.uint8)
    source = open_live(f"{web}video.mkv", SourceRequest(), slot.nbytes, lambda: None)
    source.set_room(True)
    began = time.monotonic()
    source.start()
    taken = 0
    while not source.ended:
        taken += source.take(slot) is not None
        assert time.monotonic() - began < 20, source.trouble
        time.sleep(0.002)
    # Forty frames at 30 a second, but FFmpeg may drop what it looked at to find the codec.
    assert source.received in (39, 40)
    assert time.monotonic() - began > 38 / 30
    assert taken + source.dropped_newer_frame + source.dropped_no_free_slot == source.received
    source.close()


def test_recording_is_looked_at(web: str) -> None:
    info = inspect(f"{web}video.mkv")
    assert (info.width, info.height, info.fps, info.live) == (320, 180, 30.0, True)


def test_failures_are_one_sentence(web: str, rtsp: RtspServer) -> None:
    port = free_port()
    answers = "127.0.0.1 port {} answers, but gives no video that can be decoded; check the path"
    nowhere = rtsp.url.replace("/live", "/other").replace("//", "//me:secret@")
    for url, expected in {
        f"rtsp://127.0.0.1:{port}/live": f"no connection to 127.0.0.1 port {port} (Connection ref",
        f"http://127.0.0.1:{port}/live": f"no connection to 127.0.0.1 port {port} (Connection ref",
        nowhere: answers.format(rtsp.port),
        # Its index is at its end, and this server cannot skip to it.
        f"{web}late.mp4": "it has no picture that can be found from its start; ",
        f"{web}missing.mp4": answers.format(web.rstrip("/").rpartition(":")[2]),
        "rtsp://no-such-host.invalid/live": "no host is named no-such-host.invalid; ",
        "rtsp://127.0.0.1:70000/live": "the port is not a number from 1 to 65535; ",
        "gopher://127.0.0.1/live": "unknown protocol; use one of rtsp, rtsps, http, https, ",
    }.items():
        with pytest.raises(SourceError) as caught:
            inspect(url)
        assert str(caught.value).startswith(f"{hide_password(url)}: {expected}"), url
        assert "secret" not in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "safe"),
    {
        "rtsp://me:pw@cam/a": "rtsp://me:***@cam/a",
        "rtsp://me:p@w:d@cam:554/a": "rtsp://me:***@cam:554/a",
        "rtsp://cam:554/a@b": "rtsp://cam:554/a@b",
        "rtsp://me@cam/a": "rtsp://me@cam/a",
        "/dev/video0": "/dev/video0",
    }.items(),
)
def test_a_password_is_never_shown(url: str, safe: str) -> None:
    assert hide_password(url) == safe
