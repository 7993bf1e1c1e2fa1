"""What the name of a source means: the check and the run decide the same for one table of names."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from actors.config.loading import load
from actors.sources import camera, live, network
from actors.sources.classify import has_image_name, is_images, is_live, source_kind
from actors.sources.contract import SourceError, SourceRequest
from actors.sources.images import ImageSource
from actors.sources.opening import inspect, open_live, open_source
from actors.sources.synthetic import SyntheticSource
from actors.sources.video import VideoSource
from tests.support.footage import encode
from tests.support.topology_base import BASE, lay_out

# SHM is a folder in /dev/shm, DIR the topology's own.
KINDS = {
    "file": [
        "DIR/street.mp4",
        "SHM/street.mp4",
        "DIR/b[2].mp4",
        "DIR/a*.mp4",
        "DIR/frame.png",
        "DIR/synthetic",
        "DIR/video-link.mp4",
        "DIR/missing.mp4",
        "/dev/shm/missing.mp4",
        "missing" * 800,
    ],
    "folder": ["DIR/images", "DIR/images/", "DIR/images.mp4", "SHM"],
    "glob": ["DIR/images/*.jpg", "DIR/images/0?.jpg", "DIR/images/[01].jpg", "DIR/**/*.jpg"],
    "camera": [
        "/dev/video0",
        "/dev/video12",
        "/dev/v4l/by-id/usb-cam",
        "/dev/null",
        "DIR/camera-link",
    ],
    "network": [
        "rtsp://host/path",
        "HTTPS://host/live.m3u8",
        "rtmp://host/app",
        "HTTP://cam/live.mp4",
        "udp://@:5000",
    ],
    "synthetic": ["synthetic"],
}
TABLE = [(source, kind) for kind, sources in KINDS.items() for source in sources]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The topology's folder and one in /dev/shm, with the files of the table."""
    folder = tmp_path_factory.mktemp("classify")
    lay_out(folder)
    encode(folder / "street.mp4", 3)
    for name in ("b[2].mp4", "a*.mp4", "synthetic"):
        (folder / name).write_bytes((folder / "street.mp4").read_bytes())
    (folder / "images.mp4").mkdir()
    for image in ("frame.png", "images/0.jpg", "images/01.jpg", "images.mp4/0.jpg"):
        assert cv2.imwrite(str(folder / image), np.zeros((8, 8, 3), np.uint8))
    (folder / "video-link.mp4").symlink_to(folder / "street.mp4")
    (folder / "camera-link").symlink_to("/dev/null")
    with tempfile.TemporaryDirectory(prefix="tritile-test-", dir="/dev/shm") as memory:
        encode(Path(memory) / "street.mp4", 3)
        assert cv2.imwrite(f"{memory}/0.jpg", np.zeros((8, 8, 3), np.uint8))
        yield str(folder), memory


def named(source: str, places: tuple[str, str]) -> str:
    return source.replace("DIR", places[0]).replace("SHM", places[1])


@pytest.mark.parametrize(("source", "kind"), TABLE)
def test_kinds(source: str, kind: str, places: tuple[str, str]) -> None:
    name = named(source, places)
    assert source_kind(name) == kind
    assert is_live(name) == (kind in ("camera", "network"))


@pytest.mark.parametrize(("source", "kind"), [row for row in TABLE if "missing" not in row[0]])
def test_the_check_hands_on_what_the_run_takes_for_the_same(
    source: str, kind: str, places: tuple[str, str]
) -> None:
    """Only a camera may be asked for a pixel format and only what is finite may be looped."""
    name = named(source, places)
    topology = Path(places[0]) / "topology.toml"
    asked = {"camera": 'fourcc = "MJPG"', "synthetic": "seed = 1", "network": ""}
    entry = f"source = {name!r}\n{asked.get(kind, 'loop = true')}"
    topology.write_text(BASE.replace('source = "street.mp4"', entry))
    checked = load(topology).streams["cam0"].source
    assert source_kind(checked) == kind
    opened = OPENED.get(kind)
    if opened is None:
        connected: list[str] = []

        def connect(source: str, *_: object) -> live.Connection:
            connected.append(f"{kind} {source}")
            raise SourceError("stop here")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(camera if kind == "camera" else network, "connect", connect)
            with pytest.raises(SourceError, match="stop here"):
                inspect(checked)
        assert connected == [f"{kind} {checked}"]
        return
    found = open_source(checked, request=SourceRequest(size=(64, 64)))
    found.close()
    assert isinstance(found, ImageSource if source.endswith(".png") else opened)


OPENED = {
    "file": VideoSource,
    "folder": ImageSource,
    "glob": ImageSource,
    "synthetic": SyntheticSource,
}


def test_a_relative_name_is_judged_where_its_topology_lies(
    places: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    topology = Path(places[0]) / "topology.toml"
    for name, kind in {"camera-link": "camera", "images": "folder", "i*/*.jpg": "glob"}.items():
        topology.write_text(BASE.replace("street.mp4", name))
        source = load(topology).streams["cam0"].source
        assert (source, source_kind(source)) == (f"{places[0]}/{name}", kind)


def test_a_device_that_is_not_a_camera_is_named() -> None:
    with pytest.raises(SourceError, match=r"^/dev/null: it is not a camera, but another kind"):
        inspect("/dev/null")


def test_a_name_that_no_file_can_have_is_a_file() -> None:
    for name in ("a\0b", "\ud800", os.fsdecode(b"\xff")):
        assert source_kind(name) == "file"


def test_image_names(places: tuple[str, str]) -> None:
    assert has_image_name(Path("a/B.JPEG"))
    assert not has_image_name(Path("a/._b.jpg"))
    assert not has_image_name(Path("a/b.mp4"))
    assert is_images(f"{places[0]}/frame.png")
    assert not is_images(f"{places[0]}/street.mp4")


def test_a_live_source_is_of_its_kind(places: tuple[str, str]) -> None:
    source = open_live("/dev/video99", SourceRequest(), 100, lambda: None)
    assert source.name == "/dev/video99"
    source.close()
