"""What int8 leaves of real models, in the vendor's simulator on real images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actors.runtimes.rknn_description import read
from tools.convert.__main__ import main

pytestmark = [
    pytest.mark.toolkit,
    pytest.mark.slow,
    pytest.mark.usefixtures("toolkit_environment"),
]


def report(
    name: str, data: Path, folder: Path, capfd: pytest.CaptureFixture[str]
) -> tuple[int, dict[str, Any]]:
    """Convert one of the real models; the exit code and the report."""
    arguments = [str(data / "models" / f"{name}.onnx"), "-o", str(folder / "m.rknn")]
    arguments += ["--dataset", str(data / "coco" / "images"), "--algorithms", "normal"]
    arguments += ["--report", str(data / "coco" / "instances.json"), "--json"]
    code = main(arguments)
    return code, json.loads(capfd.readouterr().out)["report"]


@pytest.mark.parametrize("name", ["yolov8n_zoo9", "yolov8n_stock"])
def test_yolov8_keeps_its_accuracy(
    name: str, shared_data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, found = report(name, shared_data, tmp_path, capfd)
    assert code == 0
    assert found["float"]["map"] > 0.44
    assert found["entries"][0]["loss"] <= 0.025
    assert found["entries"][0]["fused"]["ConvExSwish"] > 50
    described = read(tmp_path / "m.rknn")
    assert described is not None
    assert described.labels[0] == "person"


def test_yolox_is_ruined_and_what_is_recommended_is_not(
    shared_data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, found = report("yolox_nano", shared_data, tmp_path, capfd)
    assert code == 1
    assert found["entries"][0]["loss"] > 0.1
    assert "INT8 RUINS THIS MODEL" in found["verdict"]
    chosen = next(e for e in found["alternatives"] if e["name"] == found["recommended"])
    assert chosen["loss"] <= 0.02
    assert chosen["bytes"] < 1.2 * found["entries"][0]["bytes"]
