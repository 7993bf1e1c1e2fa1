"""A V4L2 camera as a live source: the mode that is requested, and the one that it really uses.

A camera need not do what is requested. So the mode is chosen from those that it lists, requested in
the only order that works (pixel format, size, rate), and read back; a difference from what the
user requested is one sentence. 1920x1080 as YUYV is often 5 frames/s where MJPG gives 30, because
the raw frames do not fit through USB; hence the preference for MJPG.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import cv2

from actors.sources import v4l2
from actors.sources.contract import SourceError, SourceRequest
from actors.sources.feed import Feed
from actors.sources.v4l2 import Device, Mode

# What OpenCV converts to BGR; others (H264, HEVC, depth) come out as bytes that are not a picture.
DECODABLE = ("MJPG", "JPEG", "YUYV", "UYVY", "NV12", "NV21", "YU12", "YV12", "RGB3", "BGR3", "GREY")
_LARGEST = (1920, 1080)
_WIDE = 16 / 9
# A size at which a camera gives fewer is not used, unless it is requested.
_FEWEST_FPS = 15.0
# How long OpenCV waits for a frame; 10 s unless this is set before it opens its first camera.
_WAIT = ("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "5")


def connect(path: str, request: SourceRequest) -> Feed:
    """Opens the camera in the mode that fits `request` best. SourceError when it cannot be used."""
    device = inspect_camera(path)
    mode = choose(device.modes, request)
    if mode is None:
        offered = ", ".join(dict.fromkeys(mode.fourcc for mode in device.modes)) or "none"
        raise SourceError(
            f"{path}: {device.name} has no pixel format that can be decoded here (it offers "
            f"{offered}; usable are {', '.join(DECODABLE)})"
        )
    capture = open_mode(path, mode, request.fps or mode.fps)
    got = read_back(capture)
    differs = difference(request, got, device.modes)
    return Feed(path, capture, got.fps or None, (f"{path}: {differs}",) if differs else ())


def inspect_camera(path: str) -> Device:
    """The camera at `path` and its modes. SourceError when there is none or it may not be used."""
    try:
        device = v4l2.inspect_device(path)
    except OSError as error:
        raise SourceError(f"{path}: {_reason(error)}") from None
    if device is None:
        raise SourceError(f"{path}: it is not a camera, but another kind of device; {_others()}")
    return device


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return f"no such camera; {_others()}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "it may not be read by this user; add the user to the group video"
    if error.errno == errno.EBUSY:
        return "another program uses it; stop that one (fuser -v /dev/video* names it)"
    return f"{error.strerror}; unplug the camera and plug it in again"


def _others() -> str:
    """The cameras of this machine, as a remedy."""
    cameras = []
    for path in v4l2.paths():
        try:
            device = v4l2.inspect_device(path)
        except OSError:
            continue
        if device is not None:
            cameras.append(f"{path} ({device.name})")
    return f"there are {', '.join(cameras)}" if cameras else "this machine has no camera plugged in"


def choose(modes: Sequence[Mode], request: SourceRequest) -> Mode | None:
    """The mode to request; None when none can be decoded.

    What the user requested comes first: the format, then the size (the nearest where it is not
    offered), then the rate. What was left open becomes MJPG, and the largest 16:9 size up to
    1920x1080 that comes at the requested rate, or at 15 frames/s at least.
    """
    usable = [mode for mode in modes if mode.fourcc in DECODABLE]
    if not usable:
        return None
    return max(usable, key=lambda mode: _merits(mode, request))


def _merits(mode: Mode, request: SourceRequest) -> tuple[float, ...]:
    """The sort key of a mode: its merits, the most important first."""
    width, height = mode.size
    area = width * height
    asked_format = float(mode.fourcc == request.fourcc)
    # Drivers that list no rates are given the benefit of the doubt.
    quick = float(not mode.rates or mode.fps >= (request.fps or _FEWEST_FPS) - 0.5)
    mjpg = float(mode.fourcc in ("MJPG", "JPEG"))
    if request.size is not None:
        away = abs(width - request.size[0]) + abs(height - request.size[1])
        return (asked_format, -away, quick, mjpg, mode.fps)
    fits = float(width <= _LARGEST[0] and height <= _LARGEST[1])
    wide = float(abs(width / height - _WIDE) < 0.02)
    # Where nothing fits, the smallest of the too large ones.
    return (asked_format, fits, mjpg, quick, wide, area if fits else -area, mode.fps)


def open_mode(path: str, mode: Mode, fps: float) -> cv2.VideoCapture:
    """Opens the camera and requests a mode and a rate. SourceError when it cannot be opened."""
    os.environ.setdefault(*_WAIT)
    # A name under /dev/v4l/by-id is a link, which leads elsewhere after the camera was replugged.
    capture = cv2.VideoCapture(str(Path(path).resolve()), cv2.CAP_V4L2)
    if not capture.isOpened():
        raise SourceError(
            f"{path}: it cannot be opened; another program may be using it (fuser -v {path} names "
            "it)"
        )
    width, height = mode.size
    capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*mode.fourcc))
    capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
    capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
    if fps:
        capture.set(cv2.CAP_PROP_FPS, fps)
    return capture


def read_back(capture: cv2.VideoCapture) -> Mode:
    """The mode that an opened camera is in, with the rate that it states as the only one."""
    code = int(capture.get(cv2.CAP_PROP_FOURCC))
    size = (
        int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
        int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
    )
    fps = capture.get(cv2.CAP_PROP_FPS)
    rates = (round(fps, 3),) if 0 < fps <= 1000 else ()
    return Mode(code.to_bytes(4, "little", signed=code < 0).decode("latin-1"), size, rates)


def difference(request: SourceRequest, got: Mode, modes: Sequence[Mode]) -> str | None:
    """How the camera differs from the request, and why, in one sentence; None: it does not."""
    size, offered = "{}x{}".format(*got.size), [m for m in modes if m.fourcc == got.fourcc]
    asked: list[str] = []
    given: list[str] = []
    whys: list[str] = []
    if request.fourcc is not None and request.fourcc != got.fourcc:
        asked.append(request.fourcc)
        given.append(got.fourcc)
        if request.fourcc not in DECODABLE:
            whys.append(f"{request.fourcc} cannot be decoded here")
        elif all(mode.fourcc != request.fourcc for mode in modes):
            whys.append(f"it has no {request.fourcc}")
    if request.size is not None and request.size != got.size:
        asked.append("{}x{}".format(*request.size))
        given.append(size)
        if all(mode.size != request.size for mode in offered):
            whys.append("it has no such size in " + got.fourcc)
    if request.fps is not None and abs(request.fps - got.fps) > 0.5:
        asked.append(f"{request.fps:g} fps")
        given.append(f"{got.fps:g}" if len(asked) == 1 else f"{got.fps:g} fps")
        rates = [rate for mode in offered if mode.size == got.size for rate in mode.rates]
        if rates and max(rates) < request.fps - 0.5:
            whys.append(f"its {size} {got.fourcc} mode ends there")
        elif rates:
            listed = ", ".join(f"{rate:g}" for rate in rates)
            whys.append(f"its {size} {got.fourcc} mode offers {listed}")
    if not asked:
        return None
    why = f": {' and '.join(whys)}" if whys else ""
    return f"asked for {' at '.join(asked)}, the camera gives {' at '.join(given)}{why}"
