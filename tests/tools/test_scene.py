"""`tritile scene`: what it writes, and what it refuses to write."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from tools import scene


def test_a_video_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video, picture = tmp_path / "scene.mp4", tmp_path / "scene.PNG"
    assert scene.main([str(video), "--frames", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": str(video), "frames": 3, "seed": 0}
    capture = cv2.VideoCapture(str(video))
    assert [capture.read()[0] for _ in range(4)] == [True, True, True, False]
    assert scene.main([str(picture)]) == 0
    assert capsys.readouterr().out == f"written: {picture}\n"
    image = cv2.imread(str(picture))
    assert image is not None
    assert image.shape == (540, 960, 3)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("x.txt", [], "must end in .png, .jpg, .jpeg or .mp4"),
        ("x", [], "must end in"),
        ("none/x.mp4", [], "lies in a folder that does not exist"),
        ("x.mp4", ["--frames", "0"], "--frames is 0; give a number from 1 on"),
        ("x.mp4", ["--seed", "-1"], "--seed is -1; give a number from 0 on"),
    ],
)
def test_what_cannot_be_written_is_refused(
    name: str,
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        scene.main([str(tmp_path / name), *arguments])
    assert ended.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert not list(tmp_path.iterdir())
