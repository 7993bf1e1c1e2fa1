"""Small detection models with random weights, in the layouts that exporters write."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from actors.vision.heads.yolov5 import ANCHORS

Layout = Literal[
    "stock", "split", "joined", "vendor", "selected", "yolox", "yolox-scales", "yolov5"
]
CLASSES = 2
NAMES = ("cat", "dog")
SIZE = (96, 64)
_STRIDES = (8, 16, 32)
_CHANNELS = 16


class Net:
    """An ONNX graph in the making; every call returns the name of a tensor."""

    def __init__(self, size: tuple[int, int], batch: int | str = 1) -> None:
        self.size = size
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.input = helper.make_tensor_value_info(
            "images", TensorProto.FLOAT, [batch, 3, size[1], size[0]]
        )
        self._random = np.random.default_rng(5)

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, value: Any, kind: Any = np.float32) -> str:
        name = f"constant{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def conv(self, source: str, inside: int, outside: int, stride: int, spread: float) -> str:
        weight = self._random.normal(0.0, spread, (outside, inside, stride, stride))
        bias = self._random.normal(0.0, 0.1, outside)
        shape = {"kernel_shape": [stride] * 2, "strides": [stride] * 2}
        return self.add("Conv", source, self.constant(weight), self.constant(bias), **shape)

    def pyramid(self) -> list[str]:
        scales, source, inside = [], "images", 3
        for stride in (8, 2, 2):
            source = self.conv(source, inside, _CHANNELS, stride, 1.0 / (stride * inside**0.5))
            source = self.add("Relu", source)
            scales.append(source)
            inside = _CHANNELS
        return scales

    def head(self, source: str, channels: int, spread: float = 0.8) -> str:
        return self.conv(source, _CHANNELS, channels, 1, spread)

    def flat(self, tensor: str, channels: int) -> str:
        return self.add("Reshape", tensor, self.constant([1, channels, -1], np.int64))


def write(
    path: Path,
    layout: Layout = "stock",
    *,
    size: tuple[int, int] = SIZE,
    classes: int = CLASSES,
    batch: int | str = 1,
    opset: int = 13,
    names: tuple[str, ...] = NAMES,
) -> Path:
    """A model file; the layouts with distributions are YOLOv8's."""
    net = Net(size, batch)
    families = {"yolox": _yolox, "yolox-scales": _yolox, "yolov5": _yolov5}
    outputs = families.get(layout, _yolov8)(net, layout, classes)
    graph = helper.make_graph(
        net.nodes,
        "net",
        [net.input],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        net.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 9
    if names:
        helper.set_model_props(model, {"names": str(dict(enumerate(names)))})
    model = onnx.shape_inference.infer_shapes(model)
    path.write_bytes(model.SerializeToString())
    return path


def _yolov8(net: Net, layout: str, classes: int) -> list[str]:
    boxes, scores = [], []
    for source in net.pyramid():
        boxes.append(net.head(source, 64))
        scores.append(net.head(source, classes))
    pairs = list(zip(boxes, scores, strict=True))
    if layout == "split":
        return [name for pair in pairs for name in pair]
    if layout == "joined":
        return [net.add("Concat", *pair, axis=1) for pair in pairs]
    if layout == "vendor":
        outputs = []
        for box, score in pairs:
            chance = net.add("Sigmoid", score)
            total = net.add("ReduceSum", chance, net.constant([1], np.int64), keepdims=1)
            outputs += [box, chance, net.add("Clip", total, net.constant(0.0), net.constant(1.0))]
        return outputs
    joined = _decoded(net, pairs, classes)
    return [joined if layout == "stock" else _selected(net, joined, classes)]


def _decoded(net: Net, pairs: list[tuple[str, str]], classes: int) -> str:
    """As Ultralytics exports: one tensor (1, 4 + classes, cells)."""
    whole = [net.add("Concat", *pair, axis=1) for pair in pairs]
    flat = net.add("Concat", *(net.flat(name, 64 + classes) for name in whole), axis=2)
    parts = net.constant([64, classes], np.int64)
    net.nodes.append(helper.make_node("Split", [flat, parts], ["box", "score"], axis=1))
    sides = net.add("Reshape", "box", net.constant([1, 4, 16, -1], np.int64))
    weights = net.add("Softmax", sides, axis=2)
    bins = net.constant(np.arange(16).reshape(1, 1, 16, 1))
    product = net.add("Mul", weights, bins)
    far = net.add("ReduceSum", product, net.constant([2], np.int64), keepdims=0)
    net.nodes.append(helper.make_node("Split", [far], ["low", "high"], axis=1))
    centres, strides = _cells(net.size)
    cells = net.constant(centres)
    first, second = net.add("Sub", cells, "low"), net.add("Add", cells, "high")
    middle = net.add("Mul", net.add("Add", first, second), net.constant(0.5))
    corners = net.add("Concat", middle, net.add("Sub", second, first), axis=1)
    pixels = net.add("Mul", corners, net.constant(strides))
    return net.add("Concat", pixels, net.add("Sigmoid", "score"), axis=1)


def _cells(size: tuple[int, int]) -> tuple[object, object]:
    """Centres (1, 2, cells) in strides and strides (1, 1, cells)."""
    centres, strides = [], []
    for stride in _STRIDES:
        y, x = np.mgrid[: size[1] // stride, : size[0] // stride]
        centres.append(np.stack([x.ravel(), y.ravel()]) + 0.5)
        strides.append(np.full((1, x.size), stride))
    return np.concatenate(centres, 1)[None], np.concatenate(strides, 1)[None]


def _selected(net: Net, joined: str, classes: int) -> str:
    """As exports with the selection inside: the best 20 as x1, y1, x2, y2, score, class."""
    rows = net.add("Transpose", joined, perm=[0, 2, 1])
    parts = net.constant([2, 2, classes], np.int64)
    net.nodes.append(helper.make_node("Split", [rows, parts], ["middle", "size", "all"], axis=2))
    half = net.add("Mul", "size", net.constant(0.5))
    box = net.add("Concat", net.add("Sub", "middle", half), net.add("Add", "middle", half), axis=2)
    best = net.add("ReduceMax", "all", axes=[2], keepdims=1)
    kind = net.add("Cast", net.add("ArgMax", "all", axis=2, keepdims=1), to=TensorProto.FLOAT)
    table = net.add("Concat", box, best, kind, axis=2)
    flat = net.add("Reshape", best, net.constant([1, -1], np.int64))
    top = helper.make_node("TopK", [flat, net.constant([20], np.int64)], ["values", "places"])
    net.nodes.append(top)
    places = net.add("Reshape", "places", net.constant([-1], np.int64))
    return net.add("Gather", table, places, axis=1)


def _yolox(net: Net, layout: str, classes: int) -> list[str]:
    scales = []
    for source in net.pyramid():
        box = net.head(source, 4, 0.1)
        chances = [net.add("Sigmoid", net.head(source, count)) for count in (1, classes)]
        scales.append(net.add("Concat", box, *chances, axis=1))
    if layout == "yolox-scales":
        return scales
    flat = [net.flat(name, 5 + classes) for name in scales]
    return [net.add("Transpose", net.add("Concat", *flat, axis=2), perm=[0, 2, 1])]


def _yolov5(net: Net, _layout: str, classes: int) -> list[str]:
    """As YOLOv5 exports: one tensor of boxes in pixels, (1, anchors of all cells, 5 + classes)."""
    rows = []
    for stride, anchors, source in zip(_STRIDES, ANCHORS, net.pyramid(), strict=True):
        height, width = net.size[1] // stride, net.size[0] // stride
        raw = net.head(source, 3 * (5 + classes))
        shape = net.constant([1, 3, 5 + classes, height, width], np.int64)
        apart = net.add("Reshape", raw, shape)
        chances = net.add("Sigmoid", net.add("Transpose", apart, perm=[0, 1, 3, 4, 2]))
        names = [f"{part}{stride}" for part in ("xy", "wh", "rest")]
        parts = net.constant([2, 2, 1 + classes], np.int64)
        net.nodes.append(helper.make_node("Split", [chances, parts], names, axis=4))
        y, x = np.mgrid[:height, :width]
        grid = net.constant(np.stack([x, y], 2)[None, None] - 0.5)
        twice = net.add("Mul", names[0], net.constant(2.0))
        centre = net.add("Mul", net.add("Add", twice, grid), net.constant(float(stride)))
        side = net.add("Mul", names[1], net.constant(2.0))
        sides = net.add("Mul", net.add("Mul", side, side), net.constant(_spread(anchors)))
        whole = net.add("Concat", centre, sides, names[2], axis=4)
        rows.append(net.add("Reshape", whole, net.constant([1, -1, 5 + classes], np.int64)))
    return [net.add("Concat", *rows, axis=1)]


def _spread(anchors: object) -> object:
    return np.asarray(anchors).reshape(1, 3, 1, 1, 2)
