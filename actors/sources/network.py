"""A network stream as a live source: RTSP, HTTP, RTMP, UDP and the like, through FFmpeg.

RTSP goes over TCP: over UDP a lost packet smears the picture until the next key frame. FFmpeg must
not buffer (`nobuffer`), and one thread decodes, because each further one delays the picture by a
frame. Every wait has a limit. OPENCV_FFMPEG_CAPTURE_OPTIONS in the environment replaces all of
these options.

A recording that a web server hands out would come as fast as the network allows; it is played at
its own rate instead, and is over at its end.
"""

from __future__ import annotations

import os
import socket
import time
from urllib.parse import urlsplit

import cv2

from actors.sources.classify import hide_password
from actors.sources.contract import SourceError
from actors.sources.feed import Feed
from actors.sources.ffmpeg import OPTIONS, ffmpeg_options
from actors.sources.pace import Pace

SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "udp", "rtp", "srt", "tcp")
_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443, "rtmp": 1935, "rtmps": 443}
_OPTIONS = "rtsp_transport;tcp|fflags;nobuffer|flags;low_delay"
_OPEN_MS = 7_000
# FFmpeg tries an RTSP read twice, so a stream that stalls is given up after twice this.
_READ_MS = 3_000
_REACH_SECONDS = 2.0
# As for files (see `actors.sources.video`): more needs a second thread.
_ONE_THREAD_BYTES = 1920 * 1088 * 3


def connect(url: str, frame_bytes: int = 0) -> Feed:
    """Opens the stream. `frame_bytes` is the size of its frames, where known.

    SourceError, with the reason, when it cannot be opened.
    """
    name = hide_password(url)
    scheme = urlsplit(url).scheme.lower()
    if scheme not in SCHEMES:
        raise SourceError(f"{name}: unknown protocol; use one of {', '.join(SCHEMES)}")
    with ffmpeg_options(os.environ.get(OPTIONS, _OPTIONS)):
        capture = cv2.VideoCapture(
            url,
            cv2.CAP_FFMPEG,
            [
                *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _OPEN_MS),
                *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, _READ_MS),
                *(cv2.CAP_PROP_N_THREADS, 2 if frame_bytes > _ONE_THREAD_BYTES else 1),
            ],
        )
    if not capture.isOpened():
        raise SourceError(f"{name}: {_reason(url, scheme)}")
    fps = capture.get(cv2.CAP_PROP_FPS)
    stated = fps if 0 < fps <= 240 else None
    frames = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    if stated is not None and 0 < frames < 1 << 31:
        return _Recording(name, capture, stated, int(frames))
    if int(capture.get(cv2.CAP_PROP_FOURCC)) == cv2.VideoWriter.fourcc(*"MJPG"):
        stated = None  # JPEGs one after another have no rate; FFmpeg states 25
    return Feed(name, capture, stated)


def _reason(url: str, scheme: str) -> str:
    """Why the stream cannot be opened: OpenCV gives no reason, but a connection to the host may."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port or _PORTS.get(scheme)
    except ValueError:
        return "the port is not a number from 1 to 65535; correct it"
    if scheme not in _PORTS or not host or not port:
        return "nothing comes that can be decoded; check the address and that it is being sent"
    try:
        socket.create_connection((host, port), _REACH_SECONDS).close()
    except socket.gaierror:
        return f"no host is named {host}; correct the name or the network's settings"
    except TimeoutError:
        return f"{host} does not answer on port {port}; check the address and that it is on"
    except OSError as error:
        return f"no connection to {host} port {port} ({error.strerror}); is the stream running?"
    return (
        f"{host} port {port} answers, but gives no video that can be decoded; check the path, the "
        "user and the password"
    )


class _Recording(Feed):
    """A file behind a URL, at its own rate."""

    def __init__(self, name: str, capture: cv2.VideoCapture, fps: float, frames: int) -> None:
        super().__init__(name, capture, fps)
        self._pace = Pace(fps)
        self._left = frames
        self._last_second = fps

    def grab(self) -> bool:
        if not super().grab():
            # Containers are wrong about how many frames they hold, but by no more than that.
            self.ended = self._left <= self._last_second
            return False
        self._left -= 1
        now = time.monotonic_ns()
        time.sleep((self._pace.due_ns(now) - now) / 1e9)
        return True
