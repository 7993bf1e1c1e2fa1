"""A folder of pictures: its writer may die or find the disk full."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

from actors.outputs.pictures import PictureFolder, of_streams, pictures, remove


def image(number: int, size: tuple[int, int] = (96, 64)) -> np.ndarray:
    return np.full((size[1], size[0], 3), 10 + number, np.uint8)


def test_one_jpeg_a_frame_named_by_its_number(tmp_path: Path) -> None:
    folder = PictureFolder(tmp_path / "new" / "folder")
    for seq in (0, 7, 123_456_789):
        folder.write(seq, image(seq % 100, (97, 65)))
    names = ["00000000.jpg", "00000007.jpg", "123456789.jpg"]
    assert sorted(path.name for path in folder.folder.iterdir()) == names
    read = cv2.imread(str(folder.folder / "00000007.jpg"))
    assert read is not None
    assert read.shape == (65, 97, 3)
    assert abs(float(read.mean()) - 17) < 1


def test_a_picture_written_again_is_replaced(tmp_path: Path) -> None:
    folder = PictureFolder(tmp_path)
    folder.write(3, image(1))
    folder.write(3, image(100))
    read = cv2.imread(str(tmp_path / "00000003.jpg"))
    assert read is not None
    assert abs(float(read.mean()) - 110) < 1
    assert len(list(tmp_path.iterdir())) == 1


def test_what_a_dead_writer_began_is_not_a_picture_and_goes(tmp_path: Path) -> None:
    """Killed by the kernel in the middle of a write, as by a signal at that moment."""
    pid = os.fork()
    if pid == 0:
        folder = PictureFolder(tmp_path)
        folder.write(0, image(0))
        Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment,method-assign,return-value]
        folder.write(1, image(1))
    os.waitpid(pid, 0)
    assert [path.name for path in pictures(tmp_path)] == ["00000000.jpg"]
    assert len(list(tmp_path.iterdir())) == 2
    PictureFolder(tmp_path).write(1, image(1))
    assert [path.name for path in tmp_path.iterdir()] == [path.name for path in pictures(tmp_path)]
    assert len(pictures(tmp_path)) == 2


def test_a_full_disk_is_an_oserror_and_leaves_whole_pictures(tmp_path: Path) -> None:
    folder = PictureFolder(tmp_path)
    folder.write(0, image(0))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            folder.write(1, image(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert [path.name for path in tmp_path.iterdir()] == ["00000000.jpg"]


def test_a_picture_that_no_encoder_takes_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no JPEG can be made of 70000x1 frames"):
        PictureFolder(tmp_path).write(0, image(0, (70_000, 1)))
    assert list(tmp_path.iterdir()) == []


def test_only_what_a_run_wrote_is_removed(tmp_path: Path) -> None:
    PictureFolder(tmp_path).write(5, image(0))
    for name in ("holiday.jpg", "5.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / ".tritile-00000006.jpg").touch()
    remove(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["5.png", "holiday.jpg", "notes.txt"]
    remove(tmp_path / "not there")


def test_several_streams_have_a_folder_each(tmp_path: Path) -> None:
    assert of_streams(tmp_path, ["a"]) == {"a": tmp_path}
    assert of_streams(tmp_path, ["a", "b"]) == {"a": tmp_path / "a", "b": tmp_path / "b"}
