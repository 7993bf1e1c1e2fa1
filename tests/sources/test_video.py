"""Video files: order, exact continuation, damage, looping.

The oracle is OpenCV's own sequential `read` from the start, and a number painted into every frame.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from actors.sources import contract, video
from actors.sources.contract import SourceError, SourceInfo
from actors.sources.opening import inspect, open_source
from tests.support.footage import (
    FRAME_BYTES,
    chunks,
    encode,
    frames_of,
    index_first,
    number_of,
    sequential,
    with_durations,
    with_hidden_start,
)


@pytest.mark.parametrize(("name", "fourcc"), [("a.mp4", "mp4v"), ("a.avi", "MJPG")])
def test_all_frames_in_order(tmp_path: Path, name: str, fourcc: str) -> None:
    path = encode(tmp_path / name, 40, fourcc)
    source = open_source(str(path))
    assert source.info == SourceInfo(
        width=96,
        height=64,
        frame_bytes=FRAME_BYTES,
        fps=25.0,
        frames=40,
        live=False,
        sizes=((96, 64),),
    )
    assert source.info == inspect(str(path))
    frames = frames_of(source)
    assert [(at, number) for at, number, _ in frames] == [(n, n) for n in range(40)]
    assert [checksum for _, _, checksum in frames] == sequential(path)
    assert source.position() == 40
    assert source.read(np.zeros(FRAME_BYTES, np.uint8)) is None
    assert (source.unreadable, source.last_error) == (0, None)


def test_frames_are_decoded_in_the_slot_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(str(encode(tmp_path / "a.mp4", 5)))
    memory = np.full(FRAME_BYTES * 2 + 64, 9, np.uint8)
    slot = memory[64:]  # larger than a frame, and not at the start of its memory
    arrived: list[bool] = []
    copy_to_slot = contract.copy_to_slot

    def watch(image: NDArray[np.uint8], slot: NDArray[np.uint8], where: str) -> tuple[int, int]:
        arrived.append(np.shares_memory(image, slot) and image.ctypes.data == slot.ctypes.data)
        return copy_to_slot(image, slot, where)

    monkeypatch.setattr(video, "copy_to_slot", watch)
    for number in range(5):
        assert source.read(slot) == (96, 64)
        assert number_of(slot[:FRAME_BYTES].reshape(64, 96, 3)) == number
    assert arrived == [True] * 5
    assert (memory[:64] == 9).all()
    assert (slot[FRAME_BYTES:] == 9).all()


def test_a_slot_that_is_too_small(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", 3)
    source = open_source(str(path))
    with pytest.raises(SourceError) as error:
        source.read(np.zeros(1000, np.uint8))
    assert str(error.value) == (
        f"{path} frame 0 (the first is 96x64): a frame of 96x64 takes 18432 bytes and the frame "
        "slot has 1000; give frames of that size a stream of their own or scale them"
    )
    assert [at for at, _, _ in frames_of(source)] == [1, 2]


class Resizing:
    """A decoder whose frames change their size, as some builds of OpenCV do."""

    def __init__(self, sizes: list[tuple[int, int]]) -> None:
        self.sizes = sizes
        self.at = -1

    def grab(self) -> bool:
        self.at += 1
        return self.at < len(self.sizes)

    def get(self, _: int) -> float:
        return self.at * 40.0

    def retrieve(self, image: NDArray[np.uint8]) -> tuple[bool, NDArray[np.uint8]]:
        width, height = self.sizes[self.at]
        value = self.at + 1
        if image.shape == (height, width, 3):
            image[...] = value
            return True, image
        return True, np.full((height, width, 3), value, np.uint8)


def test_a_size_that_changes_midway(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", 3)
    source = video.VideoSource(str(path))
    source._open()
    source._capture = Resizing([(96, 64), (48, 32), (128, 64), (96, 64)])  # type: ignore[assignment]
    slot = np.zeros(FRAME_BYTES, np.uint8)
    assert source.read(slot) == (96, 64)
    assert source.read(slot) == (48, 32)
    np.testing.assert_array_equal(slot[: 48 * 32 * 3], 2)
    np.testing.assert_array_equal(slot[48 * 32 * 3 :], 1)
    with pytest.raises(SourceError, match=r"frame 2 \(the first is 96x64\): a frame of 128x64 "):
        source.read(slot)
    assert source.position() == 3
    assert source.read(slot) == (96, 64)
    np.testing.assert_array_equal(slot, 4)


def test_a_real_stream_of_two_sizes_is_never_garbage(tmp_path: Path) -> None:
    """Four white frames of 96x64, then four of 48x32: every pixel that is given is white."""
    path = tmp_path / "two.mjpeg"
    stills = [
        cv2.imencode(".jpg", np.full((height, width, 3), 255, np.uint8))[1].tobytes()
        for width, height in [(96, 64)] * 4 + [(48, 32)] * 4
    ]
    path.write_bytes(b"".join(stills))
    if tuple(int(part) for part in cv2.__version__.split(".")[:2]) < (4, 13):
        pytest.skip("OpenCV before 4.13 cannot do it and does not say so")
    source = open_source(str(path))
    assert source.info.frames is None  # a bare stream does not know
    slot = np.zeros(source.info.frame_bytes, np.uint8)
    for _ in range(8):
        slot[:] = 0
        size = source.read(slot)
        assert size is not None
        assert slot[: size[0] * size[1] * 3].min() > 250
    assert source.read(slot) is None


# ---------------------------------------------------------------- continuing


def count_seeks(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    outcomes: list[bool] = []
    seek = video.VideoSource._seek

    def watched(self: video.VideoSource, start: int) -> bool:
        outcomes.append(seek(self, start))
        return outcomes[-1]

    monkeypatch.setattr(video.VideoSource, "_seek", watched)
    return outcomes


def same(data: bytes) -> bytes:
    return data


def jumpy(data: bytes) -> bytes:
    """Frames of one tick and of seven: seeking by rate misses."""
    ticks = struct.unpack_from(">L", data, data.index(b"stts") + 16)[0]
    return with_durations(data, [(1, ticks * (7 if i % 5 == 0 else 1)) for i in range(240)])


def slow_start(data: bytes) -> bytes:
    """Half the frames take most of the time: OpenCV's own frame count runs ahead of the file."""
    ticks = struct.unpack_from(">L", data, data.index(b"stts") + 16)[0]
    return with_durations(data, [(120, ticks * 6), (120, ticks)])


def hiding(data: bytes) -> bytes:
    return with_hidden_start(data, 5, 240)


@pytest.mark.parametrize(
    ("name", "fourcc", "change", "seeks"),
    [
        ("a.mp4", "mp4v", same, True),
        ("a.avi", "MJPG", same, True),
        ("a.mkv", "mp4v", same, True),
        ("a.mp4", "mp4v", jumpy, None),
        ("a.mp4", "mp4v", slow_start, None),
        ("a.mp4", "mp4v", hiding, None),
    ],
)
def test_continuing_gives_the_very_frames(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    fourcc: str,
    change: Callable[[bytes], bytes],
    seeks: bool | None,
) -> None:
    path = encode(tmp_path / name, 240, fourcc)
    path.write_bytes(change(path.read_bytes()))
    whole = frames_of(open_source(str(path)))
    assert [checksum for _, _, checksum in whole] == sequential(path)
    assert [at for at, _, _ in whole] == list(range(len(whole)))
    outcomes = count_seeks(monkeypatch)
    for start in (1, 2, 11, 12, 13, 60, 100, 143, 144, 145, 200, 231, 234, 239):
        rest = frames_of(open_source(str(path), start=start), limit=20)
        assert rest == whole[start : start + 20], start
    assert frames_of(open_source(str(path), start=90)) == whole[90:]
    if seeks:
        # From frame 100 on a seek is worth it and proven; before, decoding from 0 is as quick.
        assert outcomes == [False] * 6 + [True] * 8 + [True]


def test_continuing_at_the_end_and_beyond(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", 20)
    for start in (20, 25):
        source = open_source(str(path), start=start)
        assert frames_of(source) == []
        assert source.unreadable == 0
        looped = open_source(str(path), start=start, loop=True)
        assert [at for at, _, _ in frames_of(looped, limit=22)] == [*range(20), 0, 1]


@pytest.mark.parametrize("start", [200, 205])
def test_the_end_of_a_long_file_is_found_without_decoding_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: int
) -> None:
    path = encode(tmp_path / "a.mp4", 200)
    outcomes = count_seeks(monkeypatch)
    source = open_source(str(path), start=start)
    assert outcomes == [True]
    assert frames_of(source) == []
    assert source.unreadable == 0
    looped = open_source(str(path), start=start, loop=True)
    assert [at for at, _, _ in frames_of(looped, limit=3)] == [0, 1, 2]


@pytest.mark.slow
def test_continuing_in_the_real_video(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """H.264, 302 frames, key frames at 0, 128 and 256."""
    path = str(shared_data / "street" / "street.mp4")
    source = open_source(path)
    slot = np.zeros(source.info.frame_bytes, np.uint8)
    sums = []
    while source.read(slot):
        sums.append(crc32(slot.data))
    assert len(sums) == source.info.frames == 302
    assert source.unreadable == 0
    outcomes = count_seeks(monkeypatch)
    for start in (1, 29, 128, 129, 255, 256, 257, 258, 280, 301):
        source = open_source(path, start=start)
        for at in range(start, min(start + 2, 302)):
            assert source.position() == at
            assert source.read(slot) == (1920, 1080)
            assert crc32(slot.data) == sums[at], (start, at)
        source.close()
    assert outcomes == [False] * 5 + [True] * 5


# ---------------------------------------------------------------- damage


def test_a_file_that_was_cut_off(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.avi", 60, "MJPG")
    data = path.read_bytes()
    offset, size = chunks(data)[41]
    path.write_bytes(data[: offset + size // 2])
    source = open_source(str(path))
    assert source.info.frames == 60
    frames = frames_of(source)
    # The half frame may be shown or not, as the decoder likes; the 41 before it are whole.
    assert [(at, number) for at, number, _ in frames[:41]] == [(n, n) for n in range(41)]
    assert len(frames) in (41, 42)
    lost = 60 - len(frames)
    assert source.unreadable == lost
    assert source.last_error == (
        f"{path}: {lost} frames are missing at frame {len(frames)}; "
        "the file is damaged or was cut off there"
    )
    assert source.read(np.zeros(FRAME_BYTES, np.uint8)) is None
    assert source.unreadable == lost  # counted once


def test_an_mp4_that_was_cut_off(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", 60)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=r"a\.mp4: it is incomplete: .* no index"):
        inspect(str(path))
    data = index_first(whole)
    path.write_bytes(data[: len(data) // 2])
    source = open_source(str(path))
    assert source.info.frames == 60
    frames = frames_of(source)
    assert 20 <= len(frames) <= 40
    assert [number for _, number, _ in frames[:-1]] == list(range(len(frames) - 1))
    assert source.unreadable == 60 - len(frames)


def test_frames_hidden_by_an_edit_list_are_no_loss(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", 60)
    path.write_bytes(with_hidden_start(path.read_bytes(), 5, 60))
    source = open_source(str(path))
    assert source.info.frames == 60  # what the container says
    assert [(at, number) for at, number, _ in frames_of(source)] == [(n, n + 5) for n in range(55)]
    assert (source.unreadable, source.last_error) == (0, None)


@pytest.mark.parametrize("holes", [[30], [30, 31, 32], [0, 1], [10, 50], [*range(20, 50)]])
def test_damage_in_the_middle_is_passed_over(tmp_path: Path, holes: list[int]) -> None:
    path = encode(tmp_path / "a.avi", 60, "MJPG")
    data = bytearray(path.read_bytes())
    for number, (offset, size) in enumerate(chunks(bytes(data))):
        if number in holes:
            data[offset : offset + size] = bytes(size)
    path.write_bytes(data)
    source = open_source(str(path))
    frames = frames_of(source)
    left = [number for number in range(60) if number not in holes]
    # Frames keep their index: the gaps show which are missing.
    assert [(at, number) for at, number, _ in frames] == [(n, n) for n in left]
    assert source.unreadable == len(holes)
    for start in (1, 15, 29, 31, 55):
        rest = open_source(str(path), start=start)
        assert frames_of(rest) == [frame for frame in frames if frame[0] >= start]
        assert rest.unreadable == sum(1 for hole in holes if hole >= start)


def test_nothing_can_be_decoded(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.avi", 10, "MJPG")
    data = bytearray(path.read_bytes())
    for offset, size in chunks(bytes(data)):
        data[offset : offset + size] = bytes(size)
    path.write_bytes(data)
    for loop in (False, True):
        with pytest.raises(SourceError) as error:
            open_source(str(path), loop=loop)
        assert str(error.value) == (
            f"{path}: no frame of it can be decoded; check that it plays, or convert it: "
            "ffmpeg -i IN -c:v libx264 OUT.mp4"
        )


def test_nothing_is_written_to_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = encode(tmp_path / "a.mp4", 60)
    data = bytearray(index_first(path.read_bytes()))
    data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
    path.write_bytes(data)
    frames_of(open_source(str(path), start=3))
    (tmp_path / "b.mp4").write_bytes(b"nothing")
    (tmp_path / "c.png").write_bytes(b"nothing")
    for name in ("b.mp4", "c.png"):
        with pytest.raises(SourceError):
            inspect(str(tmp_path / name))
    assert capfd.readouterr() == ("", "")


# ---------------------------------------------------------------- looping, closing, names


def test_looping_starts_at_0_again(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", 7)
    frames = frames_of(open_source(str(path), start=4, loop=True), limit=20)
    expected = [4, 5, 6, *range(7), *range(7), 0, 1, 2]
    assert [(at, number) for at, number, _ in frames] == [(n, n) for n in expected]


def test_a_loop_over_a_file_that_became_useless_ends(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.avi", 5, "MJPG")
    source = open_source(str(path), loop=True)
    slot = np.zeros(FRAME_BYTES, np.uint8)
    assert source.read(slot) is not None
    data = bytearray(path.read_bytes())
    for offset, size in chunks(bytes(data)):
        data[offset : offset + size] = bytes(size)
    path.write_bytes(data)
    for _ in range(10):
        if source.read(slot) is None:
            break
    else:
        pytest.fail("continues without a frame to give")


def test_close_may_be_called_again(tmp_path: Path) -> None:
    source = open_source(str(encode(tmp_path / "a.mp4", 5)), loop=True)
    source.close()
    source.close()
    assert source.read(np.zeros(FRAME_BYTES, np.uint8)) is None


@pytest.mark.parametrize("name", ["concat:a.mp4", "größe 1.mp4", "a%03d.mp4", "x[1].mp4", "-y.mp4"])
def test_odd_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    encode(tmp_path / "plain.mp4", 3).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert inspect(name).frames == 3


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("none.mp4", "none.mp4: no such file; give a video file, a folder or a glob of images"),
        ("", "the source is empty; give a video file, a folder or a glob of images"),
    ],
)
def test_sources_that_cannot_be(source: str, message: str) -> None:
    with pytest.raises(SourceError) as error:
        inspect(source)
    assert str(error.value) == message
