"""Live sources for tests: an HTTP server of JPEGs, GStreamer's RTSP server, a camera in a folder.

All of them are real to their reader: FFmpeg and OpenCV's V4L2 code do their whole work.
"""

from __future__ import annotations

import http.server
import os
import shutil
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
import pytest

Size = tuple[int, int]

_HERE = Path(__file__).resolve().parent
_APT = (
    "apt-get install --no-install-recommends python3-gi gir1.2-gst-rtsp-server-1.0 "
    "gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly"
)
# Debian's, which has the bindings; a virtual environment's own does not.
_SYSTEM_PYTHON = "/usr/bin/python3"


class JpegServer:
    """`multipart/x-mixed-replace`, as webcams and ESP32 boards serve it, at `fps`."""

    def __init__(self, size: Size = (640, 360), fps: float = 30.0) -> None:
        self.fps = fps
        self.port = 0
        self._server: http.server.ThreadingHTTPServer | None = None
        self.set_size(size)
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/live"

    def set_size(self, size: Size) -> None:
        """What is sent from the next connection on."""
        random = np.random.default_rng(4)
        image = cv2.resize(random.integers(0, 256, (9, 16, 3), np.uint8), size)
        self._jpegs = [
            cv2.imencode(".jpg", np.roll(image, 16 * n, axis=1))[1].tobytes() for n in range(8)
        ]

    def start(self) -> None:
        """Listen, on the port it had before if it had one."""
        streams, running = self, threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=cut")
                self.end_headers()
                with suppress(OSError):  # the reader has gone
                    streams._send(self, running)

            def log_message(self, *_: object) -> None: ...

        running.set()
        self._running = running
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening and close every connection."""
        self._running.clear()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _send(self, handler: http.server.BaseHTTPRequestHandler, running: threading.Event) -> None:
        start, jpegs, count = time.monotonic(), self._jpegs, 0
        while running.is_set():
            jpeg = jpegs[count % len(jpegs)]
            head = f"--cut\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            handler.wfile.write(head.encode() + jpeg + b"\r\n")
            count += 1
            time.sleep(max(0.0, start + count / self.fps - time.monotonic()))

    def __enter__(self) -> JpegServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


class RtspServer:
    """H.264 over RTSP, in a process of its own. Skips the test where GStreamer is missing."""

    def __init__(self, size: Size = (640, 360), fps: int = 30) -> None:
        self._size, self._fps = size, fps
        self.port = 0
        self.process: subprocess.Popen[str] | None = None
        if not Path(_SYSTEM_PYTHON).exists() or self._run("check").wait(30) != 0:
            pytest.skip(f"no RTSP server to test against: {_APT}")
        self.start()

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/live"

    def start(self) -> None:
        """Listen, on the port it had before if it had one."""
        self.process = self._run(str(self.port))
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def stop(self) -> None:
        """Kill the server."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def _run(self, port: str) -> subprocess.Popen[str]:
        numbers = (*self._size, self._fps)
        return subprocess.Popen(
            [_SYSTEM_PYTHON, str(_HERE / "rtsp_server.py"), port, *map(str, numbers)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
        )

    def __enter__(self) -> RtspServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


class FakeCamera:
    """A webcam behind OpenCV's own V4L2 code (tests/fake_camera.c). Skips without a compiler.

    Its `environment` is for the processes that shall see it. `modes` are lines as in the C file.
    """

    path = "/dev/video77"

    def __init__(self, folder: Path, modes: str) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            pytest.skip("no C compiler to build the fake camera with: apt-get install gcc")
        self._folder = folder
        library = folder / "fake_camera.so"
        source = _HERE / "fake_camera.c"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"],
            check=True,
        )
        (folder / "modes").write_text(modes)
        noise = np.random.default_rng(1).integers(0, 256, (12, 16, 3), np.uint8)
        for line in modes.splitlines():
            _, width, height, *_ = line.split()
            picture = cv2.resize(noise, (int(width), int(height)))
            cv2.imwrite(str(folder / f"{width}x{height}.jpg"), picture)
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKE_CAMERA": self.path,
            "FAKE_CAMERA_DIR": str(folder),
        }

    def set_rate(self, fps: float) -> None:
        """Deliver no more than so many frames/s, whatever the mode states."""
        (self._folder / "rate").write_text(f"{fps}")

    def unplug(self) -> None:
        (self._folder / "unplugged").touch()

    def plug_in(self) -> None:
        (self._folder / "unplugged").unlink()


def free_port() -> int:
    """A port on which no process listens."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port
