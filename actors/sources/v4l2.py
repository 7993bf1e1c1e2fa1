"""Names and modes of V4L2 cameras, queried through the kernel's ioctls.

A query does not disturb a program that streams from the device. Nothing is chosen here, see
`actors.sources.camera`. The structures are those of linux/videodev2.h; requests are encoded as on
x86, ARM and RISC-V. (The library `linuxpy` does the same, and much more; it is under the GPL, so
this project cannot depend on it.)
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

Size = tuple[int, int]
Ioctl = Callable[[int, int, bytearray], int]
"""Of a descriptor, a request and its structure, which is filled in place; raises OSError."""

_READ, _WRITE = 2, 1
_CAPABILITY = struct.Struct("16s 32s 32s I I I 12x")
_FORMAT = struct.Struct("I I I 32s 4s 16x")
_FRAME_SIZE = struct.Struct("I 4s I 6I 8x")
_FRAME_INTERVAL = struct.Struct("I 4s I I I 6I 8x")


def _request(direction: int, number: int, layout: struct.Struct) -> int:
    return direction << 30 | layout.size << 16 | ord("V") << 8 | number


QUERYCAP = _request(_READ, 0, _CAPABILITY)
ENUM_FMT = _request(_READ | _WRITE, 2, _FORMAT)
ENUM_FRAMESIZES = _request(_READ | _WRITE, 74, _FRAME_SIZE)
ENUM_FRAMEINTERVALS = _request(_READ | _WRITE, 75, _FRAME_INTERVAL)

# Capabilities, and the buffer type under which a device of that kind lists its formats.
_CAPTURE_KINDS = ((0x00000001, 1), (0x00001000, 9))  # single- and multi-planar video capture
_DEVICE_CAPS = 0x80000000  # the third number is about this node, not about the whole device
_DISCRETE = 1
# Tried where a driver states a range of sizes instead of listing them.
_COMMON: tuple[Size, ...] = ((3840, 2160), (1920, 1080), (1280, 720), (640, 480))
# More than any driver lists; a limit in case that one never ends its list.
_MOST = 128


@dataclass(frozen=True)
class Mode:
    """One pixel format at one size, and the frame rates that it is offered at."""

    fourcc: str
    size: Size
    rates: tuple[float, ...]
    """Frames per second, highest first; the two ends where the driver states a range."""

    @property
    def fps(self) -> float:
        """The highest rate; 0 where the driver lists none."""
        return self.rates[0] if self.rates else 0.0


@dataclass(frozen=True)
class Device:
    """A camera and its modes, in the driver's order."""

    path: str
    name: str
    modes: tuple[Mode, ...]


def paths() -> list[str]:
    """The video devices of this machine, cameras or not, by number."""
    found = [path for path in Path("/dev").glob("video*") if re.fullmatch(r"video\d+", path.name)]
    return [str(path) for path in sorted(found, key=lambda path: int(path.name[5:]))]


def inspect_device(path: str, ioctl: Ioctl = fcntl.ioctl) -> Device | None:
    """The camera at `path`; None for another kind of device. OSError when it cannot be queried.

    Webcams have a second node for metadata, and decoders are video devices too: these are None.
    """
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return describe(path, fd, ioctl)
    except OSError as error:
        if error.errno in (errno.ENOTTY, errno.EINVAL):  # a device, but not of V4L2
            return None
        raise
    finally:
        os.close(fd)


def describe(path: str, fd: int, ioctl: Ioctl) -> Device | None:
    """As `inspect_device`, of an open descriptor."""
    data = bytearray(_CAPABILITY.size)
    ioctl(fd, QUERYCAP, data)
    _, card, _, _, capabilities, of_node = _CAPABILITY.unpack(data)
    if capabilities & _DEVICE_CAPS:
        capabilities = of_node
    kind = next((kind for bit, kind in _CAPTURE_KINDS if capabilities & bit), None)
    if kind is None:
        return None
    modes = [
        Mode(fourcc.decode("latin-1"), size, _rates(fd, ioctl, fourcc, size))
        for fourcc in _formats(fd, ioctl, kind)
        for size in _sizes(fd, ioctl, fourcc)
    ]
    return Device(path, card.split(b"\0")[0].decode(errors="replace"), tuple(modes))


def _listed(fd: int, ioctl: Ioctl, request: int, pack: Callable[[int], bytes]) -> Iterator[bytes]:
    """The answers to a request for index 0, 1, ... until the driver ends the list."""
    for index in range(_MOST):
        data = bytearray(pack(index))
        try:
            ioctl(fd, request, data)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOTTY):
                return
            raise
        yield bytes(data)


def _formats(fd: int, ioctl: Ioctl, kind: int) -> list[bytes]:
    answers = _listed(fd, ioctl, ENUM_FMT, lambda i: _FORMAT.pack(i, kind, 0, b"", b""))
    return list(dict.fromkeys(_FORMAT.unpack(answer)[4] for answer in answers))


def _sizes(fd: int, ioctl: Ioctl, fourcc: bytes) -> list[Size]:
    empty = (0,) * 6
    pack: Callable[[int], bytes] = lambda i: _FRAME_SIZE.pack(i, fourcc, 0, *empty)  # noqa: E731
    found: list[Size] = []
    for answer in _listed(fd, ioctl, ENUM_FRAMESIZES, pack):
        _, _, kind, *numbers = _FRAME_SIZE.unpack(answer)
        if kind == _DISCRETE:
            found.append((numbers[0], numbers[1]))
            continue
        # A range, in one answer: least, most and step of the width, then of the height.
        least, most = (numbers[0], numbers[3]), (numbers[1], numbers[4])
        found += [
            size
            for size in dict.fromkeys((most, *_COMMON))
            if least[0] <= size[0] <= most[0] and least[1] <= size[1] <= most[1]
        ]
        break
    return list(dict.fromkeys(found))


def _rates(fd: int, ioctl: Ioctl, fourcc: bytes, size: Size) -> tuple[float, ...]:
    empty = (0,) * 6
    pack: Callable[[int], bytes] = lambda i: _FRAME_INTERVAL.pack(  # noqa: E731
        i, fourcc, *size, 0, *empty
    )
    rates: set[float] = set()
    for answer in _listed(fd, ioctl, ENUM_FRAMEINTERVALS, pack):
        _, _, _, _, kind, *numbers = _FRAME_INTERVAL.unpack(answer)
        # Seconds a frame as fractions: one, or the shortest and the longest.
        ends = [numbers[:2]] if kind == _DISCRETE else [numbers[:2], numbers[2:4]]
        rates |= {round(below / above, 3) for above, below in ends if above and below}
        if kind != _DISCRETE:
            break
    return tuple(sorted(rates, reverse=True))
