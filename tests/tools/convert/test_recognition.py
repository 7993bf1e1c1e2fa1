"""How models are recognised and cut, on graphs of our own; no toolkit is needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.tools.convert import models
from tools.convert.errors import ConvertError
from tools.convert.graph import Graph, find_cut, joins_kinds
from tools.convert.recognition import prepare, prove
from tools.convert.settings import Convention

NOTHING = Convention()
GRIDS = ((8, 12), (4, 6), (2, 3))


def shapes_of(path: Path) -> list[list[int]]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [output.shape for output in session.get_outputs()]


def noise(size: tuple[int, int] = models.SIZE) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)


@pytest.mark.parametrize("layout", ["stock", "joined", "selected"])
def test_cut_before_boxes_meet_scores(layout: models.Layout, tmp_path: Path) -> None:
    source = models.write(tmp_path / "m.onnx", layout)
    prepared = prepare(source, NOTHING, tmp_path)
    expected = [[1, channels, *grid] for grid in GRIDS for channels in (64, models.CLASSES)]
    assert shapes_of(prepared.path) == expected
    head = prepared.model.head
    assert (head.name, head.classes, head.logits) == ("yolov8", models.CLASSES, True)
    assert prepared.model.labels == models.NAMES
    assert (prepared.model.color, prepared.mean, prepared.std) == ("rgb", (0.0,) * 3, (255.0,) * 3)
    assert prepared.warnings == ()
    assert "cut before boxes and scores" in prepared.remarks[0]
    assert "same" in prove(prepared, [noise()], 1)


@pytest.mark.parametrize(("layout", "logits"), [("vendor", False), ("split", True)])
def test_layouts_that_are_apart_pass(layout: models.Layout, logits: bool, tmp_path: Path) -> None:
    source = models.write(tmp_path / "m.onnx", layout)
    prepared = prepare(source, NOTHING, tmp_path)
    assert shapes_of(prepared.path) == shapes_of(source)
    assert prepared.model.head.logits is logits
    assert not prepared.changed
    assert prepared.warnings == ()


def test_yolox_ends_before_its_grids_are_joined_and_is_warned_of(tmp_path: Path) -> None:
    source = models.write(tmp_path / "m.onnx", "yolox")
    prepared = prepare(source, NOTHING, tmp_path)
    assert shapes_of(prepared.path) == [[1, 5 + models.CLASSES, *grid] for grid in GRIDS]
    assert prepared.model.head.name == "yolox"
    assert (prepared.model.color, prepared.std) == ("bgr", (1.0,) * 3)
    assert "share each output tensor" in prepared.warnings[0]
    assert "same" in prove(prepared, [noise()], 1)
    scales = prepare(models.write(tmp_path / "s.onnx", "yolox-scales"), NOTHING, tmp_path)
    assert not scales.changed
    assert scales.model.head == prepared.model.head


def test_yolov5_ends_before_its_anchors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = models.write(tmp_path / "m.onnx", "yolov5")
    prepared = prepare(source, NOTHING, tmp_path)
    assert shapes_of(prepared.path) == [[1, 3 * (5 + models.CLASSES), *grid] for grid in GRIDS]
    head = prepared.model.head
    assert (head.name, head.classes, head.logits) == ("yolov5", models.CLASSES, True)
    assert "same" in prove(prepared, [noise()], 1)
    # Anchors of its own are inside the whole model and nowhere else.
    larger = tuple(tuple((2 * w, 2 * h) for w, h in scale) for scale in models.ANCHORS)
    monkeypatch.setattr(models, "ANCHORS", larger)
    other = prepare(models.write(tmp_path / "o.onnx", "yolov5"), NOTHING, tmp_path)
    with pytest.raises(ConvertError, match=r"anchors of its own\?"):
        prove(other, [noise()], 1)


def test_64_classes_are_told_from_a_box_by_its_softmax(tmp_path: Path) -> None:
    names = tuple(f"c{number}" for number in range(64))
    source = models.write(tmp_path / "m.onnx", "stock", classes=64, names=names)
    graph = Graph(onnx.load(str(source)), models.SIZE)
    found = find_cut(graph, 64)
    assert found is not None
    # The box comes first in the model; here it is looked for as if the classes did.
    for node in graph.model.graph.node:
        if node.op_type == "Split" and "score" in node.output:
            del node.output[:]
            node.output.extend(["score", "box"])
    swapped = find_cut(Graph(graph.model, models.SIZE), 64)
    assert swapped is not None
    # Both come from one concatenation of convolutions, so what is upstream decides: the order.
    assert set(swapped.outputs) == set(found.outputs)
    assert "same" in prove(prepare(source, NOTHING, tmp_path), [noise()], 1)


def test_what_is_mixed_is_told_before_a_build(tmp_path: Path) -> None:
    source = models.write(tmp_path / "m.onnx", "stock")
    graph = Graph(onnx.load(str(source)), models.SIZE)
    assert "scores will be zero" in (joins_kinds(graph) or "")


def test_newest_opset_is_converted_down(tmp_path: Path) -> None:
    source = models.write(tmp_path / "m.onnx", "stock", opset=13)
    newer = onnx.version_converter.convert_version(onnx.load(str(source)), 20)
    onnx.save(newer, str(source))
    prepared = prepare(source, NOTHING, tmp_path)
    assert Graph(onnx.load(str(prepared.path)), models.SIZE).opset == 19
    assert prepared.remarks[-1] == "opset 20 converted down to 19"
    assert "same" in prove(prepared, [noise()], 1)


def test_a_wrong_cut_is_found(tmp_path: Path) -> None:
    prepared = prepare(models.write(tmp_path / "m.onnx", "stock"), NOTHING, tmp_path)
    cut = onnx.load(str(prepared.path))
    first = cut.graph.initializer[0]
    values = onnx.numpy_helper.to_array(first) * 1.5
    first.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), first.name))
    onnx.save(cut, str(prepared.path))
    with pytest.raises(ConvertError, match="whole, and other ones"):
        prove(prepared, [noise()], 1)


def test_what_the_user_states_goes_first(tmp_path: Path) -> None:
    source = models.write(tmp_path / "m.onnx", "yolox", names=())
    given = Convention(labels=("a", "b"), color="rgb", mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0))
    prepared = prepare(source, given, tmp_path)
    assert prepared.model.labels == ("a", "b")
    assert (prepared.model.color, prepared.mean) == ("rgb", (1.0, 2.0, 3.0))
    assert prepared.std == (4.0, 5.0, 6.0)


def test_real_models(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "models"
    for name, count, head in (
        ("yolov8n_stock", 6, "yolov8"),
        ("yolov8n_zoo9", 9, "yolov8"),
        ("face_yolov8_lite_t", 6, "yolov8"),
        ("yolox_nano", 3, "yolox"),
    ):
        given = Convention(labels=("face",) if name.startswith("face") else ())
        prepared = prepare(folder / f"{name}.onnx", given, tmp_path)
        assert len(shapes_of(prepared.path)) == count, name
        assert prepared.model.head.name == head
