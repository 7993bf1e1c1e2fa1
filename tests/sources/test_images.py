"""Folders and globs of images."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from actors.sources.contract import Source, SourceError, SourceInfo
from actors.sources.images import list_images
from actors.sources.opening import inspect, open_source

Frames = list[tuple[int, NDArray[np.uint8]]]


def plain(width: int, height: int, value: int) -> NDArray[np.uint8]:
    """One grey, with a white corner that shows whether the image is turned."""
    image = np.full((height, width, 3), value, np.uint8)
    image[: height // 4, : width // 4] = 255
    return image


def write(path: Path, image: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return path


def read_all(source: Source, limit: int = 1000) -> Frames:
    """(source_frame, a copy of the frame) until the end."""
    frames: Frames = []
    slot = np.zeros(source.info.frame_bytes + 100, np.uint8)
    while len(frames) < limit:
        slot[:] = 77
        at = source.position()
        size = source.read(slot)
        if size is None:
            break
        width, height = size
        assert (slot[width * height * 3 :] == 77).all()
        frames.append((at, slot[: width * height * 3].reshape(height, width, 3).copy()))
    return frames


def positions(frames: Frames) -> list[int]:
    return [at for at, _ in frames]


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """A JPEG with an EXIF segment of one entry, the orientation (tag 0x0112)."""
    entry = struct.pack(">HHLHH", 0x0112, 3, 1, orientation, 0)
    tiff = b"MM\0*" + struct.pack(">LH", 8, 1) + entry + struct.pack(">L", 0)
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def test_a_folder_is_read_in_natural_order_without_its_subfolders(tmp_path: Path) -> None:
    for value, name in enumerate(["img1.png", "img2.png", "img10.png", "img011.png"]):
        write(tmp_path / name, plain(32, 24, value * 10))
    write(tmp_path / "deeper" / "img3.png", plain(32, 24, 200))
    (tmp_path / "._img5.png").write_bytes(b"what macOS leaves beside a file")
    (tmp_path / "notes.txt").write_text("no image")
    source = open_source(str(tmp_path))
    assert source.info == SourceInfo(
        width=32, height=24, frame_bytes=2304, fps=None, frames=4, live=False, sizes=((32, 24),)
    )
    frames = read_all(source)
    assert positions(frames) == [0, 1, 2, 3]
    for value, (_, image) in enumerate(frames):
        np.testing.assert_array_equal(image, plain(32, 24, value * 10))
    assert source.read(np.zeros(2304, np.uint8)) is None
    assert (source.unreadable, source.last_error) == (0, None)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.png", ["a.png"]),
        ("**/*.png", ["a.png", "x2/b.png", "x2/deep/c1.png", "x10/c.png"]),
        ("x*/*.png", ["x2/b.png", "x10/c.png"]),
        ("*", ["A.JPG", "a.png"]),
        ("x[0-9]/*", ["x2/b.png"]),
        ("x2", ["x2/b.png"]),
        ("a.png", ["a.png"]),
        ("*.gif", []),
    ],
)
def test_globs(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    for name in ["a.png", "A.JPG", "x2/b.png", "x10/c.png", "x2/deep/c1.png"]:
        write(tmp_path / name, plain(8, 8, 0))
    found = [str(path.relative_to(tmp_path)) for path in list_images(str(tmp_path / pattern))]
    assert sorted(found) == sorted(expected)
    if pattern == "**/*.png":
        # Folder by folder, x2 before x10; a file sorts among the folders by its name.
        assert found == expected


def test_the_order_does_not_depend_on_the_file_system(tmp_path: Path) -> None:
    names = ["1.png", "01.png", "001.png", "a.png", "B.png", "b1.png", "b 1.png"]
    for name in names:
        write(tmp_path / name, plain(8, 8, 0))
    found = [path.name for path in list_images(str(tmp_path))]
    assert found == ["001.png", "01.png", "1.png", "a.png", "b1.png", "b 1.png", "B.png"]


def test_every_suffix_is_decoded_as_opencv_does(tmp_path: Path) -> None:
    image = cv2.resize(
        np.random.default_rng(3).integers(0, 255, (9, 12, 3), np.uint8), (48, 36)
    ).astype(np.uint8)
    for number, suffix in enumerate(["jpg", "JPEG", "png", "bmp", "webp", "tif", "tiff"]):
        write(tmp_path / f"{number}.{suffix}", image)
    write(tmp_path / "7.png", np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8))
    write(tmp_path / "8.png", np.dstack([image, image[:, :, :1]]))
    frames = read_all(open_source(str(tmp_path)))
    assert positions(frames) == list(range(9))
    for path, (_, frame) in zip(list_images(str(tmp_path)), frames, strict=True):
        np.testing.assert_array_equal(frame, cv2.imread(str(path), cv2.IMREAD_COLOR))


def test_mixed_sizes_are_reported_before_the_run(tmp_path: Path) -> None:
    for number, size in enumerate([(40, 30), (64, 16), (40, 30), (20, 80), (64, 16), (40, 30)]):
        write(tmp_path / f"{number}.jpg", plain(*size, 50))
    info = inspect(str(tmp_path))
    assert (info.width, info.height, info.frames) == (40, 30, 6)
    assert info.frame_bytes == 20 * 80 * 3
    assert info.sizes == ((40, 30), (64, 16), (20, 80))
    shapes = [image.shape for _, image in read_all(open_source(str(tmp_path)))]
    assert shapes == [(30, 40, 3), (16, 64, 3), (30, 40, 3), (80, 20, 3), (16, 64, 3), (30, 40, 3)]


def test_sixteen_sizes_are_listed_at_most(tmp_path: Path) -> None:
    for number in range(20):
        write(tmp_path / f"{number}.png", plain(10 + number, 8, 0))
    info = inspect(str(tmp_path))
    assert len(info.sizes) == 16
    assert info.frame_bytes == 29 * 8 * 3


@pytest.mark.parametrize(
    ("orientation", "size", "corner"),
    [
        (1, (40, 20), (0, 0)),
        (3, (40, 20), (-1, -1)),
        (6, (20, 40), (0, -1)),
        (8, (20, 40), (-1, 0)),
    ],
)
def test_exif_turns_an_image(
    tmp_path: Path, orientation: int, size: tuple[int, int], corner: tuple[int, int]
) -> None:
    jpeg = cv2.imencode(".jpg", plain(40, 20, 0))[1].tobytes()
    (tmp_path / "turned.jpg").write_bytes(with_orientation(jpeg, orientation))
    source = open_source(str(tmp_path))
    assert (source.info.width, source.info.height) == size
    assert source.info.frame_bytes == 40 * 20 * 3
    assert source.info.sizes == (size,)
    [(_, image)] = read_all(source)
    assert image.shape == (size[1], size[0], 3)
    bright = [c for c in [(0, 0), (0, -1), (-1, 0), (-1, -1)] if image[c].mean() > 200]
    assert bright == [corner]


def damaged_folder(folder: Path) -> None:
    """Frames 0, 3 and 5 can be read; the others each fail in a way of their own."""
    for number in (0, 3, 5):
        write(folder / f"{number}.png", plain(32, 24, 10 * number))
    whole = cv2.imencode(".jpg", np.random.default_rng(1).integers(0, 255, (24, 32, 3)))[1]
    (folder / "1.jpg").write_bytes(whole.tobytes()[: whole.size // 2])
    (folder / "2.png").write_bytes(b"")
    (folder / "4.png").write_bytes(b"not an image at all")
    (folder / "6.png").write_bytes((folder / "5.png").read_bytes()[:40])


def test_unreadable_images_are_passed_over_and_counted(tmp_path: Path) -> None:
    damaged_folder(tmp_path)
    source = open_source(str(tmp_path))
    assert source.info.frames == 7
    frames = read_all(source)
    assert positions(frames) == [0, 3, 5]
    for at, image in frames:
        np.testing.assert_array_equal(image, plain(32, 24, 10 * at))
    assert source.unreadable == 4
    assert source.last_error == f"{tmp_path / '6.png'}: cannot be decoded as an image"


@pytest.mark.parametrize(
    ("start", "expected", "unreadable"),
    [(0, [0, 3, 5], 4), (1, [3, 5], 4), (3, [3, 5], 2), (4, [5], 2), (6, [], 1), (7, [], 0)],
)
def test_continuing(tmp_path: Path, start: int, expected: list[int], unreadable: int) -> None:
    damaged_folder(tmp_path)
    source = open_source(str(tmp_path), start=start)
    assert (source.info.width, source.info.height) == (32, 24)
    assert positions(read_all(source)) == expected
    assert source.unreadable == unreadable


def test_looping_starts_at_0_again(tmp_path: Path) -> None:
    damaged_folder(tmp_path)
    source = open_source(str(tmp_path), start=5, loop=True)
    assert positions(read_all(source, limit=8)) == [5, 0, 3, 5, 0, 3, 5, 0]
    # At the very end: what would come next is frame 0.
    source = open_source(str(tmp_path), start=7, loop=True)
    assert positions(read_all(source, limit=2)) == [0, 3]


def test_a_loop_over_images_that_all_vanished_ends(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"{number}.png", plain(8, 8, 0))
    source = open_source(str(tmp_path), loop=True)
    assert source.read(np.zeros(192, np.uint8)) == (8, 8)
    for path in tmp_path.iterdir():
        path.unlink()
    assert source.read(np.zeros(192, np.uint8)) is None
    assert source.unreadable == 5  # two of the first round, three of the second


def test_an_image_that_grew_since_does_not_fit(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"{number}.png", plain(8, 8, 0))
    source = open_source(str(tmp_path))
    write(tmp_path / "0.png", plain(16, 8, 0))
    slot = np.zeros(192, np.uint8)
    with pytest.raises(SourceError) as error:
        source.read(slot)
    assert str(error.value) == (
        f"{tmp_path / '0.png'}: a frame of 16x8 takes 384 bytes and the frame slot has 192; "
        "give frames of that size a stream of their own or scale them"
    )
    assert source.position() == 1
    assert source.read(slot) == (8, 8)


def test_a_header_that_claims_too_much_does_not_size_the_slots(tmp_path: Path) -> None:
    write(tmp_path / "0.png", plain(8, 8, 0))
    png = bytearray((tmp_path / "0.png").read_bytes())
    png[16:24] = struct.pack(">LL", 60_000, 60_000)
    (tmp_path / "1.png").write_bytes(png)
    assert inspect(str(tmp_path)).frame_bytes == 192


@pytest.mark.parametrize("name", ["empty", "none/*.jpg"])
def test_nothing_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError) as error:
        inspect(str(tmp_path / name))
    assert str(error.value) == (
        f"{tmp_path / name}: no images there; "
        "images end in .jpg, .jpeg, .png, .bmp, .webp, .tif, .tiff"
    )


def test_no_image_can_be_decoded(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"{number}.png").write_bytes(b"no")
    with pytest.raises(SourceError) as error:
        inspect(str(tmp_path))
    assert str(error.value) == (
        f"{tmp_path}: none of its 2 images can be decoded; "
        "check that 1.png opens in an image viewer"
    )


def test_close_may_be_called_again(tmp_path: Path) -> None:
    write(tmp_path / "0.png", plain(8, 8, 0))
    source = open_source(str(tmp_path), loop=True)
    source.close()
    source.close()
    assert source.read(np.zeros(192, np.uint8)) is None


def test_odd_names(tmp_path: Path) -> None:
    write(tmp_path / "größe 1.png", plain(8, 8, 0))
    with_bytes = os.fsencode(tmp_path) + b"/\xff2.png"
    Path(os.fsdecode(with_bytes)).write_bytes((tmp_path / "größe 1.png").read_bytes())
    assert positions(read_all(open_source(str(tmp_path)))) == [0, 1]


def test_the_real_images(shared_data: Path) -> None:
    folder = shared_data / "coco" / "images"
    source = open_source(str(folder))
    frames = read_all(source)
    assert len(frames) == source.info.frames == 60
    assert source.unreadable == 0
    sizes = {(image.shape[1], image.shape[0]) for _, image in frames}
    assert set(source.info.sizes) <= sizes
    assert source.info.frame_bytes == max(image.nbytes for _, image in frames)


def test_each_frame_has_its_file_name_from_the_folder_or_the_first_wildcard_on(
    tmp_path: Path,
) -> None:
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        assert cv2.imwrite(str(tmp_path / name), np.zeros((8, 8, 3), np.uint8))
    sources = {
        str(tmp_path / "a"): ["1.png", "2.png"],
        f"{tmp_path}/*/*.png": ["a/1.png", "a/2.png", "b/1.png"],
        f"{tmp_path}/b/?.png": ["1.png"],
    }
    for source, names in sources.items():
        images = open_source(source)
        slot = np.zeros(images.info.frame_bytes, np.uint8)
        read = []
        while images.read(slot) is not None:
            read.append(images.frame_name)
        assert read == names
