"""The description beside a .rknn file, as a topology reads it. No toolkit is needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from actors.config.loading import load
from actors.launcher import probe
from actors.launcher.findings import Findings
from actors.runtimes.contract import ComputeError, RuntimeSpec
from actors.runtimes.registry import inspect, open_runtime
from actors.runtimes.rknn_description import (
    RknnDescription,
    kept_build_of,
    path_of,
    read,
    sha256,
    write,
)
from tests.support import runs
from tools.board import model as board

SMALL = board.Model((96, 64), 2, 1.0)


@pytest.fixture
def rknn(tmp_path: Path) -> Path:
    """A .rknn whose class scores are probabilities, as far as it says itself."""
    path = tmp_path / "m.rknn"
    path.write_bytes(board.encode(SMALL))
    return path


def described(rknn: Path) -> RknnDescription:
    return RknnDescription(
        head="yolov8",
        logits=True,
        labels=("cat", "dog"),
        size=(96, 64),
        color="bgr",
        mean=(0.0, 0.0, 0.0),
        std=(255.0, 255.0, 255.0),
        chip="rk3588",
        algorithm="normal",
        method="channel",
        dtype="w8a8",
        floating=("a", "b"),
        hybrid="2",
        calibration_images=20,
        toolkit="2.5.0",
        source="m.onnx",
        source_sha256="0",
        rknn_sha256=sha256(rknn),
    )


def probed(rknn: Path, tmp_path: Path) -> Findings:
    source = tmp_path / "v.mp4"
    source.write_bytes(b"x")
    topology = tmp_path / "t.toml"
    topology.write_text(
        runs.stream(source) + runs.model(rknn) + runs.stage("s", "frame") + runs.workers(1)
    )
    findings = probe.inspect_all(load(topology))
    findings.faults = [fault for fault in findings.faults if fault.place.startswith("models")]
    return findings


def test_it_reads_back(rknn: Path) -> None:
    description = described(rknn)
    assert read(rknn) is None
    assert write(description, rknn) == path_of(rknn)
    assert read(rknn) == description


def test_the_probe_takes_what_it_says(rknn: Path, tmp_path: Path) -> None:
    before = probed(rknn, tmp_path).models["m"]
    assert (before.labels, before.color, before.head.logits) == (("0", "1"), "rgb", False)
    write(described(rknn), rknn)
    findings = probed(rknn, tmp_path)
    after = findings.models["m"]
    assert (after.labels, after.color, after.head.logits) == (("cat", "dog"), "bgr", True)
    assert replace(after.head, logits=False) == before.head
    assert not [warning for warning in findings.warnings if "class names" in warning]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"v": 1}', '{"v": 9}', "\x00"])
def test_a_damaged_one_is_a_fault_and_not_ignored(text: str, rknn: Path, tmp_path: Path) -> None:
    path_of(rknn).write_text(text)
    (fault,) = probed(rknn, tmp_path).faults
    assert fault.place == "models.m.path"
    assert "is damaged; convert the model again" in fault.problem


def test_one_that_another_file_left_behind_is_not_believed(rknn: Path) -> None:
    write(described(rknn), rknn)
    rknn.write_bytes(board.encode(board.Model((96, 64), 3, 1.0)))
    with pytest.raises(ComputeError, match="is about another file"):
        inspect("rknn", str(rknn), (0, 0))


def test_the_simulator_says_what_it_lacks(rknn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = RuntimeSpec(kind="simulator", path=str(rknn), size=(96, 64))
    with pytest.raises(ComputeError, match="--dataset FOLDER --simulator"):
        inspect("simulator", str(rknn), (0, 0))
    write(described(rknn), rknn)
    kept_build_of(rknn).mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(rknn.parent / "cache"))
    monkeypatch.delenv("TRITILE_TOOLKIT", raising=False)
    with pytest.raises(ComputeError, match=r"tritile convert --setup"):
        inspect("simulator", str(rknn), (0, 0))
    with pytest.raises(ComputeError, match=r"tritile convert --setup"):
        open_runtime(spec)
    monkeypatch.setenv("TRITILE_TOOLKIT", "/bin/false")
    with pytest.raises(ComputeError, match="ended with 1"):
        open_runtime(spec)
