"""What the probe finds out about models: where a problem lies, and what to do about it."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from actors.config.loading import load
from actors.launcher import probe
from actors.launcher.findings import Findings
from tests.support import runs

YOLOX_OF_COCO = (1, 8400, 85)
YOLOX_OF_TWO = (1, 8400, 7)
END_TO_END = (1, 300, 6)


def write_model(path: Path, shape: tuple[int, ...]) -> Path:
    """A model of 640x640 whose one output has that shape, every value the picture's mean."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 640, 640))
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)
    target = helper.make_tensor("shape", TensorProto.INT64, (len(shape),), shape)
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("Expand", ["mean", "shape"], ["output"]),
    ]
    graph = helper.make_graph(nodes, "g", [image], [output], initializer=[target])
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    return path


def probed(folder: Path, shape: tuple[int, ...], name: str = "m", **keys: object) -> Findings:
    model = write_model(folder / "m.onnx", shape)
    tables = (
        runs.stream("synthetic"),
        runs.model(model, name, **keys),
        runs.stage("s", "frame", name),
        runs.workers(1, (name,)),
    )
    path = folder / "topology.toml"
    path.write_text("".join(tables) + '[results]\nbind = "tcp://127.0.0.1:*"\n')
    return probe.inspect_all(load(path))


@pytest.mark.parametrize("name", ["pathfinder", "m", "path"])
def test_the_place_of_an_unknown_head_has_the_models_name_as_it_is(
    name: str, tmp_path: Path
) -> None:
    (fault,) = probed(tmp_path, (1, 3), name).faults
    assert fault.place == f"models.{name}.head"


def test_detections_after_suppression_are_refused_in_one_sentence(tmp_path: Path) -> None:
    (fault,) = probed(tmp_path, END_TO_END).faults
    assert fault.place == "models.m.head"
    assert fault.problem == (
        "outputs (1, 300, 6) of a 640x640 model are detections after the model's own suppression "
        "(end to end); export it without: nms=False, and for YOLO26 or YOLOv10 end2end=False"
    )


def test_eighty_numbered_classes_are_offered_the_names_of_coco(tmp_path: Path) -> None:
    findings = probed(tmp_path, YOLOX_OF_COCO)
    assert findings.warnings == [
        "models.m: no class names found, classes are numbered 0 to 79; if they are the 80 of COCO "
        'write labels = "coco", or else labels = FILE'
    ]
    assert findings.models["m"].labels[16] == "16"


def test_the_names_of_coco_can_be_given(tmp_path: Path) -> None:
    findings = probed(tmp_path, YOLOX_OF_COCO, labels="coco")
    assert findings.warnings == []
    assert findings.models["m"].labels[16] == "dog"


def test_other_numbered_classes_are_asked_for_a_file(tmp_path: Path) -> None:
    assert probed(tmp_path, YOLOX_OF_TWO, head="yolox").warnings == [
        "models.m: no class names found, classes are numbered 0 to 1; give labels = FILE, with one "
        "name a line"
    ]


def test_names_for_another_number_of_classes_are_refused(tmp_path: Path) -> None:
    (fault,) = probed(tmp_path, YOLOX_OF_TWO, labels="coco").faults
    assert fault.place in ("models.m.labels", "models.m.head")
    assert "80" in fault.problem
