"""From a user's ONNX file to the one that the toolkit is given: recognised, cut, lowered, proved.

Recognition is the project's own (`actors.vision.heads`), so what a decoder will make of the .rknn
is known before the build. After a cut the shorter model is run beside the whole one on a real
image, and must find the same boxes: a cut in the wrong place is found here, not on the board.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from actors.config.file_errors import file_problem, model_problem
from actors.runtimes.contract import ComputeError, ModelFile, RuntimeSpec, Tensor
from actors.runtimes.registry import KINDS, inspect, open_runtime
from actors.vision.cutting import Image
from actors.vision.heads import HeadDescription, UnknownHeadError, build, convention, identify

from .errors import ConvertError
from .graph import NEWEST_OPSET, Graph, cut, find_cut, joins_kinds, lower_opset
from .labelled import Model
from .settings import Convention

_SURE = 0.25
# Between two runs of the same arithmetic; a wrong cut is off by far more.
_PIXELS, _SCORE = 1.0, 0.01
# Ultralytics' export with the selection inside: x1, y1, x2, y2, score, class of the best 300.
_SELECTED = 6


@dataclass(frozen=True)
class Prepared:
    """What goes to the toolkit. `remarks` say what was done, `warnings` what to expect."""

    path: Path
    source: Path
    model: Model
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    remarks: tuple[str, ...]
    warnings: tuple[str, ...]
    changed: bool
    """It is not the graph of the source: something can have gone wrong."""


def prepare(source: Path, given: Convention, folder: Path) -> Prepared:
    """Recognise a model and write what the toolkit shall read into `folder`.

    Raises ConvertError, in one sentence, for what is not a detection model that can be converted.
    """
    written, onnx = str(source), KINDS["onnx"]
    if problem := file_problem(source, written) or model_problem(source, written, onnx):
        raise ConvertError(problem)
    whole = _inspect(source)
    labels = given.labels or whole.labels
    loaded = _load(source)
    graph = Graph(loaded, whole.size)
    head, problem = _identify(whole, labels, given.head)
    classes = head.classes if head else len(labels) or None
    found = find_cut(graph, classes)
    remarks, warnings = list[str](), list[str]()
    if found is None and head is None:
        raise ConvertError(f"{source.name}: {problem}")
    if found is not None:
        graph = Graph(cut(graph, found.outputs), whole.size)
        remarks.append(found.remark)
    elif head is not None:
        remarks.append(f"left as it is: {len(graph.outputs)} outputs, head {head.name}")
    if mixed := joins_kinds(graph):
        warnings.append(mixed)
    path = folder / "prepared.onnx"
    remarks += _write(graph, path)
    shorter = whole if found is None else _inspect(path)
    head, problem = _identify(shorter, labels, given.head)
    if head is None:
        raise ConvertError(f"{source.name}: {problem}")
    color, divisor = convention(head.name)
    model = Model(
        size=whole.size,
        color=given.color or ("bgr" if color == "bgr" else "rgb"),
        head=head,
        labels=labels,
    )
    if not labels:
        warnings.append("no class names found, classes will be numbered; give --labels FILE")
    return Prepared(
        path=path,
        source=source,
        model=model,
        mean=given.mean or (0.0, 0.0, 0.0),
        std=given.std or (divisor, divisor, divisor),
        remarks=tuple(remarks),
        warnings=tuple(warnings),
        changed=found is not None or graph.opset > NEWEST_OPSET,
    )


def _inspect(path: Path) -> ModelFile:
    try:
        return inspect("onnx", str(path), (0, 0))
    except ComputeError as error:
        raise ConvertError(f"{path.name}: {error}") from None


def _load(path: Path) -> onnx.ModelProto:
    model = onnx.load(str(path))
    kind = model.graph.input[0].type.tensor_type.elem_type
    if kind != onnx.TensorProto.FLOAT:
        name = onnx.TensorProto.DataType.Name(kind).lower()
        raise ConvertError(
            f"{path.name}: its input is {name}; the toolkit needs float32, export it without half "
            "precision or quantisation"
        )
    # The toolkit makes its input of an image whose channels come first in the ONNX file.
    if model.graph.input[0].type.tensor_type.shape.dim[1].dim_value != 3:
        raise ConvertError(
            f"{path.name}: its channels come last; export it with the input (1, 3, height, width)"
        )
    return model


def _identify(
    file: ModelFile, labels: Sequence[str], name: str | None
) -> tuple[HeadDescription | None, str]:
    """The head, or None and why."""
    try:
        found = identify(
            file.shapes,
            file.size,
            classes=len(labels) or None,
            name=name,
            samples=file.samples or None,
        )
    except UnknownHeadError as error:
        return None, str(error)
    return found, ""


def _write(graph: Graph, path: Path) -> list[str]:
    """Write it in an opset that the toolkit reads; the remarks on it."""
    before = graph.opset
    try:
        lowered = lower_opset(graph)
        onnx.save(lowered, str(path))
    except Exception as error:
        # The version converter raises RuntimeError, ConvertError and others, for single operators.
        raise ConvertError(
            f"it is of opset {before}, and cannot be written in one that the toolkit reads "
            f"({str(error).splitlines()[0]}); export it with opset 12 to 19"
        ) from None
    after = Graph(lowered, graph.size).opset
    return [] if after == before else [f"opset {before} converted down to {after}"]


def prove(prepared: Prepared, pictures: Iterable[Image], threads: int) -> str:
    """Run the whole model and the prepared one until an image shows something; what came of it.

    Empty where the graph is the source's own.

    Raises ConvertError where they do not find the same.
    """
    if not prepared.changed:
        return ""
    for pixels in pictures:
        whole = _outputs(prepared, prepared.source, pixels, threads)
        shorter = _outputs(prepared, prepared.path, pixels, threads)
        rows = build(prepared.model.head, prepared.model.size)(shorter, _SURE)
        expected = _expected(prepared, whole)
        if expected is None:
            return "not compared with the whole model, whose own output is not of a known head"
        if (len(expected) or len(rows)) and not _agree(expected, rows):
            raise ConvertError(
                f"{prepared.source.name}: the model finds {len(expected)} boxes whole, and other "
                f"ones ({len(rows)}) as it would be converted (anchors of its own?); export it as "
                "the vendor's model zoo does"
            )
        if len(rows):
            return f"finds the same {len(rows)} boxes as the whole model in a calibration image"
    return "could not be compared with the whole model: nothing is found in calibration images"


def _outputs(prepared: Prepared, path: Path, pixels: Image, threads: int) -> Sequence[Tensor]:
    spec = RuntimeSpec(
        kind="onnx",
        path=str(path),
        size=prepared.model.size,
        mean=prepared.mean,
        std=prepared.std,
        threads=threads,
    )
    runtime = open_runtime(spec)
    try:
        return [np.array(output) for output in runtime.run(pixels)]
    finally:
        runtime.close()


def _expected(prepared: Prepared, outputs: Sequence[Tensor]) -> npt.NDArray[np.float32] | None:
    model = prepared.model
    shapes = tuple(output.shape for output in outputs)
    if len(shapes) == 1 and len(shapes[0]) == 3 and shapes[0][2] == _SELECTED:
        return _best_of_each_box(outputs[0][0])
    head, _ = _identify(ModelFile(model.size, shapes, (), tuple(outputs)), model.labels, None)
    if head is None:
        return None
    decode = build(replace(head, classes=model.head.classes), model.size)
    return decode(outputs, _SURE)


def _best_of_each_box(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The sure rows of a selection, which may hold a box once for each of several classes."""
    rows = rows[rows[:, 4] >= _SURE]
    rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    _, first = np.unique(rows[:, :4].round(2), axis=0, return_index=True)
    return rows[np.sort(first)]


def _agree(expected: npt.NDArray[np.float32], rows: npt.NDArray[np.float32]) -> bool:
    """Whether each expected row has one that is the same; others may come beside a selection."""
    # A score that lies on the threshold may fall on either side of it.
    expected = expected[expected[:, 4] >= _SURE + _SCORE]
    far = np.abs(expected[:, None, :4] - rows[None, :, :4]).max(axis=2) > _PIXELS
    other = np.abs(expected[:, None, 4] - rows[None, :, 4]) > _SCORE
    unlike = expected[:, None, 5] != rows[None, :, 5]
    return bool((~(far | other | unlike)).any(axis=1).all())
