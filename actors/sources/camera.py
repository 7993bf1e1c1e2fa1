"""A V4L2 camera as a live source: which mode to ask for, and what the camera made of it.

A camera decides itself what it gives. So the mode is chosen from those that it lists, asked for in
the only order that works (pixel format, size, rate), and read back; a difference from what the
user asked is one sentence. 1920x1080 as YUYV is often 5 frames/s where MJPG gives 30, because the
raw frames do not fit through USB; hence the preference for MJPG.
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

# What OpenCV turns into BGR; others (H264, HEVC, depth) come out as bytes that are no picture.
DECODABLE = ("MJPG", "JPEG", "YUYV", "UYVY", "NV12", "NV21", "YU12", "YV12", "RGB3", "BGR3", "GREY")
_LARGEST = (1920, 1080)
_WIDE = 16 / 9
# A camera that cannot give as much at a size is not used at that size, unless it is asked to.
_FEWEST_FPS = 15.0
# How long OpenCV waits for a frame; 10 s unless this is set before it opens its first camera.
_WAIT = ("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "5")


def connect(path: str, ask: SourceRequest) -> Feed:
    """Opens the camera in the mode that fits `ask` best. SourceError when it cannot be used."""
    device = look_up(path)
    mode = choose(device.modes, ask)
    if mode is None:
        offered = ", ".join(dict.fromkeys(mode.fourcc for mode in device.modes)) or "none"
        raise SourceError(
            f"{path}: {device.name} has no pixel format that can be decoded here (it offers "
            f"{offered}; usable are {', '.join(DECODABLE)})"
        )
    capture = open_mode(path, mode, ask.fps or mode.fps)
    got = read_back(capture)
    told = difference(ask, got, device.modes)
    return Feed(path, capture, got.fps or None, (f"{path}: {told}",) if told else ())


def look_up(path: str) -> Device:
    """The camera at `path`. SourceError when there is none or it may not be used."""
    try:
        device = v4l2.ask(path)
    except OSError as error:
        raise SourceError(f"{path}: {_reason(error)}") from None
    if device is None:
        raise SourceError(f"{path}: no camera, but another kind of device; {_others()}")
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
    """The cameras that there are, as a remedy."""
    cameras = []
    for path in v4l2.paths():
        try:
            device = v4l2.ask(path)
        except OSError:
            continue
        if device is not None:
            cameras.append(f"{path} ({device.name})")
    return f"there are {', '.join(cameras)}" if cameras else "this machine has no camera plugged in"


def choose(modes: Sequence[Mode], ask: SourceRequest) -> Mode | None:
    """The mode to ask for; None when none can be decoded.

    What was asked comes first: the format, then the size (the nearest where it is not offered),
    then the rate. What was left open is MJPG, and the largest 16:9 size up to 1920x1080 that comes
    at the asked rate, or at 15 frames/s at least.
    """
    usable = [mode for mode in modes if mode.fourcc in DECODABLE]
    if not usable:
        return None
    return max(usable, key=lambda mode: _merits(mode, ask))


def _merits(mode: Mode, ask: SourceRequest) -> tuple[float, ...]:
    """What counts for a mode, in the order in which it counts."""
    width, height = mode.size
    area = width * height
    asked_format = float(mode.fourcc == ask.fourcc)
    # Drivers that tell no rates are given the benefit of the doubt.
    quick = float(not mode.rates or mode.fps >= (ask.fps or _FEWEST_FPS) - 0.5)
    mjpg = float(mode.fourcc in ("MJPG", "JPEG"))
    if ask.size is not None:
        away = abs(width - ask.size[0]) + abs(height - ask.size[1])
        return (asked_format, -away, quick, mjpg, mode.fps)
    fits = float(width <= _LARGEST[0] and height <= _LARGEST[1])
    wide = float(abs(width / height - _WIDE) < 0.02)
    # Where nothing fits, the smallest of the too large ones.
    return (asked_format, fits, mjpg, quick, wide, area if fits else -area, mode.fps)


def open_mode(path: str, mode: Mode, fps: float) -> cv2.VideoCapture:
    """Opens the camera and asks for a mode and a rate. SourceError when it cannot be opened."""
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


def difference(ask: SourceRequest, got: Mode, modes: Sequence[Mode]) -> str | None:
    """What the camera gives instead of what was asked, and why, in one sentence; None: nothing."""
    size, offered = "{}x{}".format(*got.size), [m for m in modes if m.fourcc == got.fourcc]
    asked: list[str] = []
    given: list[str] = []
    whys: list[str] = []
    if ask.fourcc is not None and ask.fourcc != got.fourcc:
        asked.append(ask.fourcc)
        given.append(got.fourcc)
        if ask.fourcc not in DECODABLE:
            whys.append(f"{ask.fourcc} cannot be decoded here")
        elif all(mode.fourcc != ask.fourcc for mode in modes):
            whys.append(f"it has no {ask.fourcc}")
    if ask.size is not None and ask.size != got.size:
        asked.append("{}x{}".format(*ask.size))
        given.append(size)
        if all(mode.size != ask.size for mode in offered):
            whys.append("it has no such size in " + got.fourcc)
    if ask.fps is not None and abs(ask.fps - got.fps) > 0.5:
        asked.append(f"{ask.fps:g} fps")
        given.append(f"{got.fps:g}" if len(asked) == 1 else f"{got.fps:g} fps")
        rates = [rate for mode in offered if mode.size == got.size for rate in mode.rates]
        if rates and max(rates) < ask.fps - 0.5:
            whys.append(f"its {size} {got.fourcc} mode ends there")
        elif rates:
            listed = ", ".join(f"{rate:g}" for rate in rates)
            whys.append(f"its {size} {got.fourcc} mode offers {listed}")
    if not asked:
        return None
    why = f": {' and '.join(whys)}" if whys else ""
    return f"asked for {' at '.join(asked)}, the camera gives {' at '.join(given)}{why}"
