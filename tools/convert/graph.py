"""What an ONNX model is, and how it must be cut so that int8 leaves its scores alive.

A quantised tensor has one scale. Where boxes (0 to 640) and scores (0 to 1) lie in one tensor, its
step is 2.5 and every score becomes 0: the usual fate of a stock Ultralytics export. So the graph is
followed from its outputs back to the last tensors that still lie on the grids, (1, channels, rows,
columns), where boxes and scores are apart, and what comes after them is left to the decoder, which
does it anyway. Names play no part in this: exporters change them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import onnx
from onnx import TensorProto, helper, shape_inference, version_converter

from actors.vision.heads.description import STRIDES

Shape = tuple[int, ...]

NEWEST_OPSET = 19
"""That rknn-toolkit2 2.5 reads."""
_NEWEST_IR = 9
BOX = 64
"""Channels of a box whose sides are distributions over 16 distances (YOLOv8 and its like)."""
_YOLOX_BOX = 4


@dataclass(frozen=True)
class Graph:
    """A model with its shapes inferred."""

    model: onnx.ModelProto
    size: tuple[int, int]
    """Width and height of its input."""

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        graph = shape_inference.infer_shapes(self.model).graph
        infos = (*graph.input, *graph.value_info, *graph.output)
        return {info.name: _shape(info) for info in infos}

    @cached_property
    def makers(self) -> Mapping[str, onnx.NodeProto]:
        """The node that makes each tensor."""
        return {name: node for node in self.model.graph.node for name in node.output}

    @cached_property
    def readers(self) -> Mapping[str, list[onnx.NodeProto]]:
        readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.model.graph.node:
            for name in node.input:
                readers.setdefault(name, []).append(node)
        return readers

    @property
    def outputs(self) -> list[str]:
        return [output.name for output in self.model.graph.output]

    @property
    def opset(self) -> int:
        return max(int(o.version) for o in self.model.opset_import if o.domain in ("", "ai.onnx"))

    def grid(self, name: str) -> int | None:
        """The index of the grid that a tensor (1, channels, rows, columns) lies on."""
        shape = self.shapes.get(name, ())
        width, height = self.size
        grids = [(height // stride, width // stride) for stride in STRIDES]
        flat = len(shape) == 4 and shape[0] == 1
        return grids.index((shape[2], shape[3])) if flat and shape[2:] in grids else None

    def channels(self, name: str) -> int:
        return int(self.shapes[name][1])


def _shape(info: onnx.ValueInfoProto) -> Shape:
    return tuple(d.dim_value for d in info.type.tensor_type.shape.dim)


@dataclass(frozen=True)
class Cut:
    """Where a graph ends instead: the new outputs, in the decoder's order, and what was done."""

    outputs: tuple[str, ...]
    remark: str


def frontier(graph: Graph) -> list[list[str]]:
    """Per grid the tensors on it that the outputs are made of, first met first."""
    found: list[list[str]] = [[] for _ in STRIDES]
    seen: set[str] = set()
    todo = list(reversed(graph.outputs))
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        grid = graph.grid(name)
        if grid is not None:
            found[grid].append(name)
        elif name in graph.makers:
            todo += reversed(graph.makers[name].input)
    return found


def find_cut(graph: Graph, classes: int | None) -> Cut | None:
    """Where to cut so that no tensor holds two kinds of values; None where nothing is to be gained.

    `classes` where known. Layouts that keep them apart already, the vendor's, are left alone.
    """
    scales = frontier(graph)
    if not all(scales):
        return None
    parts = [_box_and_scores(graph, scale, classes) for scale in scales]
    if all(parts):
        outputs = tuple(name for part in parts if part for name in part)
        if set(outputs) <= set(graph.outputs):
            return None
        dropped = [c for c in _dropped(graph, scales[0], outputs) if c > 1]
        rest = f"; {dropped} more channels are not used by any head here" if dropped else ""
        return Cut(
            outputs,
            f"cut before boxes and scores share a tensor: {len(outputs)} outputs, "
            f"{BOX} box channels and {graph.channels(outputs[1])} class logits on each grid{rest}",
        )
    if all(len(scale) == 1 for scale in scales):
        outputs = tuple(scale[0] for scale in scales)
        if set(outputs) == set(graph.outputs):
            return None
        count = graph.channels(outputs[0])
        return Cut(outputs, f"cut before the grids are joined: 3 outputs of {count} channels")
    return None


def _box_and_scores(
    graph: Graph, scale: Iterable[str], classes: int | None
) -> tuple[str, str] | None:
    """The box tensor and the class tensor of one grid of a YOLOv8's head."""
    names = [part for name in scale for part in _parts(graph, name)]
    boxes = [name for name in names if graph.channels(name) == BOX]
    if not boxes:
        return None
    # With 64 classes both fit; only a box goes through a softmax, or else it comes first.
    box = next((name for name in boxes if _meets(graph, name, "Softmax")), boxes[0])
    rest = [name for name in names if name != box]
    scores = [n for n in rest if classes in (None, graph.channels(n))]
    # A vendor's sum of scores has one channel, and comes after the classes.
    return (box, scores[0]) if scores else None


def _parts(graph: Graph, name: str) -> list[str]:
    """A tensor that joins box and classes channel by channel, taken apart; others as they are."""
    node = graph.makers.get(name)
    if node is not None and node.op_type == "Concat" and graph.channels(name) > BOX:
        parts = list(node.input)
        if len(parts) > 1 and all(graph.grid(part) is not None for part in parts):
            return parts
    return [name]


def _dropped(graph: Graph, scale: Iterable[str], outputs: tuple[str, ...]) -> list[int]:
    names = [part for name in scale for part in _parts(graph, name)]
    return [graph.channels(name) for name in names if name not in outputs]


def _meets(graph: Graph, name: str, kind: str) -> bool:
    """Whether what is made of a tensor goes through such a node."""
    todo, seen = [name], set[str]()
    while todo:
        for node in graph.readers.get(todo.pop(), ()):
            if node.op_type == kind:
                return True
            fresh = [output for output in node.output if output not in seen]
            seen.update(fresh)
            todo += fresh
    return False


def joins_kinds(graph: Graph) -> str | None:
    """A sentence where an output still holds boxes and scores together; None where none does."""
    for name in graph.outputs:
        grid, shape = graph.grid(name), graph.shapes.get(name, ())
        if grid is None and len(shape) == 3:
            return (
                f"its output {name} {shape} holds boxes and scores on one scale: as int8 its "
                "scores will be zero; export it as the vendor's model zoo does, or convert with "
                "--dtype float16"
            )
        parts = [graph.channels(part) for part in _concat_of(graph, name)]
        if _YOLOX_BOX in parts:
            return (
                "box offsets and probabilities share each output tensor, and so one int8 scale: "
                "scores lose precision; --report measures how much"
            )
    return None


def _concat_of(graph: Graph, name: str) -> list[str]:
    node = graph.makers.get(name)
    if node is None or node.op_type != "Concat":
        return []
    return [part for part in node.input if graph.grid(part) is not None]


def cut(graph: Graph, outputs: tuple[str, ...]) -> onnx.ModelProto:
    """The model that ends with these tensors, without what they do not need."""
    nodes = list(_needed(graph, outputs))
    used = {name for node in nodes for name in node.input}
    source = graph.model.graph
    shorter = helper.make_graph(
        nodes,
        source.name,
        list(source.input),
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, graph.shapes[name])
            for name in outputs
        ],
        [tensor for tensor in source.initializer if tensor.name in used],
    )
    model = helper.make_model(shorter, opset_imports=list(graph.model.opset_import))
    model.ir_version = graph.model.ir_version
    model.metadata_props.extend(graph.model.metadata_props)
    return model


def _needed(graph: Graph, outputs: Iterable[str]) -> Iterator[onnx.NodeProto]:
    """The nodes above the outputs, in the model's order."""
    needed: set[str] = set()
    todo = list(outputs)
    while todo:
        name = todo.pop()
        if name not in needed:
            needed.add(name)
            todo += graph.makers[name].input if name in graph.makers else ()
    return (n for n in graph.model.graph.node if needed.intersection(n.output))


def lower_opset(graph: Graph) -> onnx.ModelProto:
    """The model in an opset that the toolkit reads. Raises what onnx raises where it cannot be."""
    model = graph.model
    if graph.opset > NEWEST_OPSET:
        model = version_converter.convert_version(model, NEWEST_OPSET)
    model.ir_version = min(model.ir_version, _NEWEST_IR)
    return model
