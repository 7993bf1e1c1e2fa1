"""A stand-in for YOLOv8n's ONNX file, for benchmarks on a machine that has none.

The tensors have the sizes and the rough contents of the vendor's nine outputs at 640x640 and 80
classes; the network between is nearly nothing. The emulated core runs a model only once, so what
its outputs cost to convert and decode is what counts.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

SIZE = 640
CLASSES = 80
SURVIVORS = 20


def write(path: Path) -> None:
    """Write the model. Needs the package `onnx`."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(7)
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
    ]
    constants = [numpy_helper.from_array(np.float32(0), "zero")]
    outputs = []
    for scale, stride in enumerate((8, 16, 32)):
        grid = SIZE // stride
        boxes = random.normal(0.0, 2.0, (1, 64, grid, grid))
        scores = random.uniform(0.0, 0.01, (1, CLASSES, grid, grid))
        chosen = random.integers(0, grid, (SURVIVORS // 3, 2))
        scores[0, 0, chosen[:, 0], chosen[:, 1]] = 0.6
        sums = np.clip(scores.sum(axis=1, keepdims=True), 0, 1)
        for name, values in (("box", boxes), ("cls", scores), ("sum", sums)):
            tensor = values.astype(np.float32)
            constants.append(numpy_helper.from_array(tensor, f"{name}{scale}_values"))
            nodes.append(
                helper.make_node("Add", [f"{name}{scale}_values", "nothing"], [f"{name}{scale}"])
            )
            outputs.append(
                helper.make_tensor_value_info(f"{name}{scale}", TensorProto.FLOAT, tensor.shape)
            )
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, SIZE, SIZE))
    graph = helper.make_graph(nodes, "placeholder", [image], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
