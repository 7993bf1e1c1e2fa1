"""A video that is cut, continued and joined."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

from actors.outputs.video import VideoFile
from actors.outputs.video_files import joined, part, remove


def picture(number: int, size: tuple[int, int] = (96, 64)) -> np.ndarray:
    """A frame with the brightness of its number."""
    return np.full((size[1], size[0], 3), 10 + 5 * number, np.uint8)


def numbers(path: Path) -> list[int]:
    """Which pictures a video shows."""
    video = cv2.VideoCapture(str(path))
    found: list[int] = []
    while True:
        ok, frame = video.read()
        if not ok:
            return found
        found.append(round((float(frame.mean()) - 10) / 5))


def write_and_die(path: Path, first: int, count: int) -> None:
    """Write frames in a process that is killed right after the last `add`."""
    pid = os.fork()
    if pid == 0:
        video = VideoFile(path, 30)
        for number in range(first, first + count):
            video.add(picture(number))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_whole(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"v{suffix}"
    video = VideoFile(path, 30)
    assert [video.add(picture(n)) for n in range(20)] == list(range(20))
    assert video.end() == 20
    assert numbers(path) == list(range(20))
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) == pytest.approx(30, abs=0.1)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_killed_twice_then_continued_is_one_video(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"v{suffix}"
    write_and_die(path, 0, 8)
    assert numbers(path) == list(range(7))  # the eighth was not followed by another yet
    write_and_die(path, 7, 6)
    video = VideoFile(path, 30)
    assert video.frames == 12
    for number in range(12, 20):
        video.add(picture(number))
    assert video.end() == 20
    assert video.parts == 3
    video.join()
    assert video.parts == 1
    assert numbers(path) == list(range(20))
    assert list(tmp_path.iterdir()) == [path]
    # A joined file is a plain one; its frames are counted all the same.
    assert VideoFile(path, 30).frames == 20


def test_what_an_earlier_run_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    path, other = tmp_path / "v.mp4", tmp_path / "v2.mp4"
    other.touch()
    write_and_die(path, 0, 8)
    write_and_die(path, 0, 8)
    joined(path).touch()
    assert len(list(tmp_path.iterdir())) == 4
    remove(path)
    assert list(tmp_path.iterdir()) == [other]
    remove(path)  # nothing there is fine


def test_other_sizes_are_fitted(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    video = VideoFile(path, 30)
    for size in ((97, 65), (96, 64), (40, 300), (1, 1)):
        video.add(picture(2, size))
    assert video.end() == 4
    assert len(numbers(path)) == 4


@pytest.mark.parametrize("size", [(97, 64), (96, 65), (97, 65), (1, 1)])
def test_frames_of_odd_size_are_padded_and_not_resampled(
    size: tuple[int, int], tmp_path: Path
) -> None:
    """Stripes of one pixel stay as they are; the last column and row stand twice."""
    path = tmp_path / "v.mp4"
    stripes = np.zeros((size[1], size[0], 3), np.uint8)
    stripes[:, ::2] = 255
    video = VideoFile(path, 30)
    for _ in range(2):
        video.add(stripes)
    video.end()
    ok, frame = cv2.VideoCapture(str(path)).read()
    assert ok
    width, height = size[0] + size[0] % 2, size[1] + size[1] % 2
    assert frame.shape == (height, width, 3)
    expected = np.pad(stripes, ((0, height - size[1]), (0, width - size[0]), (0, 0)), mode="edge")
    assert np.abs(frame.astype(int) - expected).mean() < 12


def test_parts_that_cannot_be_joined_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    for _ in range(2):
        video = VideoFile(path, 30)
        for number in range(3):
            video.add(picture(number))
        video.end()
    joined(path).mkdir()
    with pytest.raises(OSError, match="directory"):
        video.join()
    assert VideoFile(path, 30).frames == 6


def test_full_disk_is_an_oserror(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    path.symlink_to("/dev/full")
    video = VideoFile(path, 30)
    video._part = path
    with pytest.raises(OSError, match="No space left"):
        for number in range(5):
            video.add(picture(number))
    video.abandon()


def test_frames_that_no_encoder_takes_are_an_oserror(tmp_path: Path) -> None:
    """FFmpeg's errors are not all OSErrors; this one comes from a real encoder."""
    video = VideoFile(tmp_path / "v.mp4", 30)
    with pytest.raises(OSError, match="no video can be made of 20000x64 frames: "):
        video.add(picture(0, (20_000, 64)))
    video.abandon()
    assert video.end() == 0


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("without", [0, 1])
def test_a_part_whose_writer_died_before_its_first_frame_is_passed_over(
    suffix: str, without: int, tmp_path: Path
) -> None:
    path = tmp_path / f"v{suffix}"
    files = [path, part(path, 1), part(path, 2)]
    files[without].touch()
    for one in (one for number, one in enumerate(files) if number != without):
        part_file = tmp_path / f"w{suffix}"
        write_and_die(part_file, 0, 6)
        part_file.rename(one)
    video = VideoFile(path, 30)
    assert video.frames == 2 * 5
    video.add(picture(7))
    assert video.end() == 11
    video.join()
    assert numbers(path) == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 7]
    assert list(tmp_path.iterdir()) == [path]
