"""Asking a camera for its modes, with a driver written here: bytes at the offsets of the kernel's
structures (linux/videodev2.h), so that a wrong layout in the module cannot agree with itself."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from actors.sources import v4l2
from actors.sources.v4l2 import Device, Mode

CAPTURE, MPLANE, META, STREAMING, DEVICE_CAPS = 0x1, 0x1000, 0x800000, 0x4000000, 0x80000000


def put(data: bytearray, offset: int, *values: int) -> None:
    struct.pack_into(f"<{len(values)}I", data, offset, *values)


def number(data: bytearray, offset: int) -> int:
    return int(struct.unpack_from("<I", data, offset)[0])


class Driver:
    """Answers as a kernel driver does. `table` is {format: [(size, intervals)]}; a size of six
    numbers is a range (least, most, step of both sides), six of an interval likewise."""

    def __init__(
        self,
        table: Mapping[str, Sequence[tuple[Sequence[int], Sequence[Sequence[int]]]]],
        node: int = CAPTURE | STREAMING,
        kind: int = 1,
    ) -> None:
        self.table, self.node, self.kind = table, node, kind

    def __call__(self, fd: int, request: int, data: bytearray) -> int:
        answer: dict[int, Callable[[bytearray], None]] = {
            0x80685600: self.querycap,
            0xC0405602: self.format,
            0xC02C564A: self.size,
            0xC034564B: self.interval,
        }
        answer[request](data)
        return 0

    def querycap(self, data: bytearray) -> None:
        assert len(data) == 104
        data[16:48] = b"HD Pro Webcam C920".ljust(32, b"\0")
        put(data, 84, CAPTURE | META | STREAMING | DEVICE_CAPS, self.node)

    def format(self, data: bytearray) -> None:
        index, kind = number(data, 0), number(data, 4)
        formats = list(self.table) if kind == self.kind else []
        data[44:48] = self._at(formats, index).encode()

    def size(self, data: bytearray) -> None:
        sizes = [size for size, _ in self.table[data[4:8].decode()]]
        size = self._at(sizes, number(data, 0))
        put(data, 8, 1 if len(size) == 2 else 3, *size)

    def interval(self, data: bytearray) -> None:
        asked = (number(data, 8), number(data, 12))
        for size, intervals in self.table[data[4:8].decode()]:
            if len(size) == 6 or tuple(size) == asked:
                interval = self._at(intervals, number(data, 0))
                put(data, 16, 1 if len(interval) == 2 else 3, *interval)
                return
        raise OSError(errno.EINVAL, "no such size")

    @staticmethod
    def _at(listed, index):  # type: ignore[no-untyped-def]
        if index >= len(listed):
            raise OSError(errno.EINVAL, "no more")
        return listed[index]


WEBCAM = {
    "YUYV": [((640, 480), [(1, 30), (1, 15)]), ((1920, 1080), [(1, 5)])],
    "MJPG": [((1920, 1080), [(1, 30), (2, 15), (1001, 30000)])],
}


def test_discrete_modes_in_the_drivers_order() -> None:
    assert v4l2.describe("/dev/video0", 5, Driver(WEBCAM)) == Device(
        "/dev/video0",
        "HD Pro Webcam C920",
        (
            Mode("YUYV", (640, 480), (30.0, 15.0)),
            Mode("YUYV", (1920, 1080), (5.0,)),
            Mode("MJPG", (1920, 1080), (30.0, 29.97, 7.5)),
        ),
    )


def test_ranges_give_the_largest_and_the_common_sizes() -> None:
    # As a camera port of a board states it: any even size up to 4000x3000, 1 to 60 frames/s.
    port = Driver(
        {"NV12": [((32, 4000, 2, 32, 3000, 2), [(1, 60, 1, 1, 1, 1)])]},
        node=MPLANE | STREAMING,
        kind=9,
    )
    device = v4l2.describe("/dev/video11", 5, port)
    assert device is not None
    sizes = [(4000, 3000), (3840, 2160), (1920, 1080), (1280, 720), (640, 480)]
    assert device.modes == tuple(Mode("NV12", size, (60.0, 1.0)) for size in sizes)


def test_a_size_outside_the_range_is_not_offered() -> None:
    device = v4l2.describe("x", 5, Driver({"UYVY": [((1000, 1300, 1, 700, 800, 1), [])]}))
    assert device is not None
    assert [(mode.size, mode.rates, mode.fps) for mode in device.modes] == [
        ((1300, 800), (), 0.0),
        ((1280, 720), (), 0.0),
    ]


def test_a_webcams_metadata_node_is_no_camera() -> None:
    assert v4l2.describe("/dev/video1", 5, Driver(WEBCAM, node=META | STREAMING)) is None


def test_a_driver_that_never_ends_its_list_is_cut_off() -> None:
    class Endless(Driver):
        @staticmethod
        def _at(listed, index):  # type: ignore[no-untyped-def]
            return listed[0]

    device = v4l2.describe("x", 5, Endless({"MJPG": [((640, 480), [(1, 30)])]}))
    assert device is not None
    assert set(device.modes) == {Mode("MJPG", (640, 480), (30.0,))}


def test_a_camera_that_is_unplugged_while_it_is_asked() -> None:
    def gone(fd: int, request: int, data: bytearray) -> int:
        raise OSError(errno.ENODEV, "No such device")

    with pytest.raises(OSError, match="No such device"):
        v4l2.describe("x", 5, gone)


def test_other_devices_and_files_are_no_cameras(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    before = set(Path("/proc/self/fd").iterdir())
    assert v4l2.inspect_device("/dev/null") is None
    assert v4l2.inspect_device(str(file)) is None
    with pytest.raises(FileNotFoundError):
        v4l2.inspect_device(str(tmp_path / "missing"))
    assert set(Path("/proc/self/fd").iterdir()) == before
