"""ONNX Runtime: what goes into the model, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from actors.runtimes.contract import ComputeError, RuntimeSpec
from actors.runtimes.registry import inspect, open_runtime

FLOAT, HALF, BYTE, INT = (
    TensorProto.FLOAT,
    TensorProto.FLOAT16,
    TensorProto.UINT8,
    TensorProto.INT64,
)


def _write(path: Path, shape: list[Any], kind: int = FLOAT, inputs: int = 1) -> str:
    """A model that returns its (first) input as it came."""
    names = [f"image{index}" for index in range(inputs)]
    values = [helper.make_tensor_value_info(name, kind, shape) for name in names]
    out = helper.make_tensor_value_info("out", kind, shape)
    nodes = [helper.make_node("Identity", ["image0"], ["out"])]
    graph = helper.make_graph(nodes, "g", values, [out])
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    return str(path)


def _spec(path: str, mean: tuple[float, ...], std: tuple[float, ...]) -> RuntimeSpec:
    return RuntimeSpec(kind="onnx", path=path, size=(6, 4), mean=mean, std=std)  # type: ignore[arg-type]


TILE = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
        ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        ((123.7, 116.3, 103.5), (58.4, 57.1, 57.4)),
    ],
)
@pytest.mark.parametrize("last", [False, True], ids=["NCHW", "NHWC"])
@pytest.mark.parametrize("kind", [FLOAT, HALF], ids=["float32", "float16"])
def test_input_is_pixels_less_mean_over_std(
    mean: tuple[float, ...], std: tuple[float, ...], last: bool, kind: int, tmp_path: Path
) -> None:
    shape = [1, 4, 6, 3] if last else [1, 3, 4, 6]
    runtime = open_runtime(_spec(_write(tmp_path / "m.onnx", shape, kind), mean, std))
    (output,) = runtime.run(TILE)
    expected = (TILE.astype(np.float64) - mean) / std
    expected = expected[None] if last else expected.transpose(2, 0, 1)[None]
    assert output.dtype == np.float32
    np.testing.assert_allclose(output, expected, rtol=2e-3 if kind == HALF else 1e-5, atol=2e-3)


def test_byte_input_gets_the_bytes(tmp_path: Path) -> None:
    path = _write(tmp_path / "m.onnx", [1, 3, 4, 6], BYTE)
    runtime = open_runtime(_spec(path, (0.0,) * 3, (255.0,) * 3))
    (output,) = runtime.run(TILE)
    np.testing.assert_array_equal(output, TILE.transpose(2, 0, 1)[None].astype(np.float32))


@pytest.mark.parametrize(
    ("shape", "kind", "inputs", "words"),
    [
        ([3, 3, 4, 6], FLOAT, 1, "takes 3 images at once; export it with batch 1"),
        ([1, 3, "h", "w"], FLOAT, 1, "export it with a fixed size"),
        ([1, 4, 4, 6], FLOAT, 1, "an image has three channels"),
        ([1, 12], FLOAT, 1, "export it with a fixed size"),
        ([1, 3, 4, 6], INT, 1, "float32, float16 or uint8 is needed"),
        ([1, 3, 4, 6], FLOAT, 2, "it has 2 inputs"),
    ],
)
def test_refusals(shape: list[Any], kind: int, inputs: int, words: str, tmp_path: Path) -> None:
    path = _write(tmp_path / "m.onnx", shape, kind, inputs)
    with pytest.raises(ComputeError) as caught:
        inspect("onnx", path, (0, 0))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_labels_come_from_the_metadata(tmp_path: Path) -> None:
    path = _write(tmp_path / "m.onnx", [1, 3, 4, 6])
    for text, labels in [
        ("{0: 'person', 1: 'hair drier'}", ("person", "hair drier")),
        ("['a', 'b']", ("a", "b")),
        ("{1: 'gap'}", ()),
        ("__import__('os')", ()),
        ("", ()),
    ]:
        model = onnx.load(path)
        del model.metadata_props[:]
        helper.set_model_props(model, {"names": text})
        onnx.save(model, path)
        assert inspect("onnx", path, (0, 0)).labels == labels
