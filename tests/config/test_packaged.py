"""Which file of a model is taken, and what comes with the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.config import packaged as builtin
from actors.config.loading import load

HERE = ("large.onnx", "large.rknn")


@pytest.mark.parametrize(
    ("written", "there", "board", "taken"),
    [
        ("large", HERE, False, "large.onnx"),
        ("large", HERE, True, "large.rknn"),
        ("large", HERE[:1], True, "large.onnx"),
        ("large", HERE[1:], False, "large.rknn"),
        # Neither exists: the one that this machine would take is reported as missing.
        ("large", (), False, "large.onnx"),
        ("large", (), True, "large.rknn"),
        ("large.onnx", HERE, True, "large.onnx"),
        ("large.rknn", HERE, False, "large.rknn"),
        # A dot in the name does not begin a suffix of ours, and a file of that very name is taken.
        ("yolo.v8", ("yolo.v8.onnx",), False, "yolo.v8.onnx"),
        ("large", ("large", *HERE), False, "large"),
        ("weights.pt", (), False, "weights.pt"),
    ],
)
def test_a_models_file(
    written: str,
    there: tuple[str, ...],
    board: bool,
    taken: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(builtin, "on_board", lambda: board)
    for name in there:
        (tmp_path / name).touch()
    assert builtin.model_file(tmp_path / written) == tmp_path / taken


def test_only_the_prefix_names_a_model_of_the_package() -> None:
    assert builtin.packaged("models/large") is None
    packaged = builtin.packaged("tritile:large")
    assert packaged is not None
    assert packaged.parent == Path(builtin.__file__).parents[1] / "demo"


@pytest.mark.parametrize("board", [False, True])
def test_the_packages_topology_is_sound(board: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin, "on_board", lambda: board)
    topology = load(builtin.TOPOLOGY, ["results.bind=tcp://127.0.0.1:*"])
    assert [stage.view for stage in topology.stages.values()] == ["frame", "tiles"]
    suffixes = {model.path.suffix for model in topology.models.values() if model.path}
    assert suffixes == {".rknn" if board else ".onnx"}
