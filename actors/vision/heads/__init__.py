"""Detection heads: what a model's output tensors mean, recognised from their shapes.

`identify` reads the shapes once, when a model is inspected, and returns a description, a small
value that is sent to other processes. `build` makes the decoder from it, once in each process. A
decoder is called for every tile, so it reads the scores first and the boxes of the survivors only.

A new head is a module with a function that recognises it, a decoder, and an entry in `HEADS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy.typing as npt

from actors.vision.heads import yolov5, yolov8, yolox
from actors.vision.heads.decoding import Decoder
from actors.vision.heads.description import (
    STRIDES,
    HeadDescription,
    Outputs,
    UnknownHeadError,
)

__all__ = [
    "HEADS",
    "Decoder",
    "Head",
    "HeadDescription",
    "UnknownHeadError",
    "build",
    "convention",
    "identify",
]

# Channels and divisor that a family was trained with: RGB from 0 to 1, or BGR from 0 to 255.
_RGB_UNIT = ("rgb", 255.0)
_BGR_BYTE = ("bgr", 1.0)

# Without labels, tensors that fit several heads are taken for the one with COCO's classes.
_COCO = 80

# Exporters keep 300 detections unless asked for more; a raw head has one row a cell, 8,400 at 640.
_MOST_DETECTIONS = 1000


@dataclass(frozen=True)
class Head:
    """One kind of head."""

    recognise: Callable[[Outputs], HeadDescription | None]
    """The description of outputs of this kind, None for any other."""
    build: Callable[[HeadDescription, tuple[int, int]], Decoder]
    """The decoder for a description and a model size."""
    convention: tuple[str, float]
    """Channel order of the input, and what its bytes are divided by."""
    layout: str
    """For a message: the tensors, in terms of {cells} and {anchored} (three a cell)."""


HEADS: dict[str, Head] = {
    "yolov8": Head(
        yolov8.recognise_scales,
        yolov8.ScaleDecoder,
        _RGB_UNIT,
        "on each grid 64 box channels, the classes and perhaps their sum, or 64 + classes",
    ),
    "yolov8-stock": Head(
        yolov8.recognise_stock,
        lambda description, _model: yolov8.StockDecoder(description),
        _RGB_UNIT,
        "(1, 4 + classes, {cells})",
    ),
    "yolov5": Head(
        yolov5.recognise_raw,
        yolov5.RawDecoder,
        _RGB_UNIT,
        "on each grid 3 * (5 + classes) channels",
    ),
    "yolov5-decoded": Head(
        yolov5.recognise_decoded,
        lambda description, _model: yolov5.DecodedDecoder(description),
        _RGB_UNIT,
        "(1, {anchored}, 5 + classes)",
    ),
    "yolox": Head(
        yolox.recognise,
        yolox.YoloxDecoder,
        _BGR_BYTE,
        "(1, {cells}, 5 + classes), or on each grid 5 + classes channels",
    ),
}


def identify(
    shapes: Sequence[tuple[int, ...]],
    model: tuple[int, int],
    *,
    classes: int | None = None,
    name: str | None = None,
    samples: Sequence[npt.NDArray[Any]] | None = None,
) -> HeadDescription:
    """Find out which head a model has.

    Args:
        shapes: of the model's outputs, in the model's order (any order is understood).
        model: width and height of the model's input in pixels.
        classes: number of labels, where known. A model whose keypoints follow its classes is
            understood only with it; the keypoints are ignored.
        name: a head that the user states. A family's name stands for all of its layouts
            ("yolov5" for "yolov5-decoded" too).
        samples: the outputs of one real inference, which tell logits from probabilities.

    Raises:
        UnknownHeadError: no head fits, several do, or the name is unknown; one sentence.
    """
    heads = _named(name)
    if any(side < STRIDES[-1] or side % STRIDES[-1] for side in model):
        raise UnknownHeadError(
            f"the model's input is {model[0]}x{model[1]}, but the known heads need a width and "
            f"a height that are multiples of {STRIDES[-1]}"
        )
    shapes = tuple(tuple(int(n) for n in shape) for shape in shapes)
    outputs = Outputs(shapes, model, classes, samples)
    found = _recognise(outputs, heads)
    if not found and classes is not None:
        found = _recognise(Outputs(shapes, model, classes, samples, keypoints=True), heads)
    if not found:
        raise UnknownHeadError(_unknown(outputs, heads))
    found = _likeliest(found)
    if len(found) > 1:
        raise UnknownHeadError(
            f"outputs {_list(shapes)} of a {model[0]}x{model[1]} model could be "
            f"{_either(found)}: give the model's labels, or its head"
        )
    if found[0].name == "yolox" and yolox.is_decoded(outputs):
        raise UnknownHeadError(
            f"output {_list(shapes)} holds boxes in pixels, but a yolox head is understood "
            "before it is decoded: export the model without --decode_in_inference"
        )
    return found[0]


def build(description: HeadDescription, model: tuple[int, int]) -> Decoder:
    """The decoder for a head that `identify` found in a model of this (width, height)."""
    return HEADS[description.name].build(description, model)


def convention(name: str) -> tuple[str, float]:
    """Input convention of a head's family: channel order, and the divisor of its bytes.

    ("rgb", 255.0): RGB, values 0 to 1. ("bgr", 1.0): BGR, values 0 to 255. These are what the
    families are trained with; for another model the topology says it (color, mean, std).
    """
    return next(iter(_named(name).values())).convention


def _named(name: str | None) -> dict[str, Head]:
    """All heads, or those that a name stands for."""
    if name is None:
        return HEADS
    heads = {key: head for key, head in HEADS.items() if key == name or key.startswith(f"{name}-")}
    if not heads:
        close = get_close_matches(name, HEADS, n=1)
        hint = f'; did you mean "{close[0]}"?' if close else ""
        raise UnknownHeadError(f'no head named "{name}", there are {", ".join(HEADS)}{hint}')
    return heads


def _recognise(outputs: Outputs, heads: dict[str, Head]) -> list[HeadDescription]:
    answers = (head.recognise(outputs) for head in heads.values())
    return [answer for answer in answers if answer is not None]


def _likeliest(found: list[HeadDescription]) -> list[HeadDescription]:
    coco = [head for head in found if head.classes == _COCO]
    return coco if len(coco) == 1 else found


def _unknown(outputs: Outputs, heads: dict[str, Head]) -> str:
    """Why these outputs are refused: the wrong number of labels, the wrong head, or no head."""
    width, height = outputs.model
    received = f"outputs {_list(outputs.shapes)} of a {width}x{height} model"
    fitting = _likeliest(_recognise(Outputs(outputs.shapes, outputs.model), heads))
    if fitting:
        return (
            f"{received} are {_either(fitting)}, but the number of labels is {outputs.classes}: "
            "correct the labels"
        )
    other = _likeliest(_recognise(outputs, HEADS))
    if other:
        return (
            f"{received} are not {' or '.join(heads)} but {_either(other)}: "
            "correct the head, or leave it out"
        )
    if _is_end_to_end(outputs):
        return (
            f"{received} are detections after the model's own suppression (end to end); export it "
            "without: nms=False, and for YOLO26 or YOLOv10 end2end=False"
        )
    grids = ", ".join(f"{rows}x{columns}" for rows, columns in outputs.grids)
    sizes = {"cells": outputs.cells, "anchored": 3 * outputs.cells}
    known = "; ".join(f"{key}: {head.layout.format(**sizes)}" for key, head in heads.items())
    return (
        f"{received} are of no known head; with its grids (rows x columns) of {grids}, "
        f"these are understood: {known}"
    )


def _is_end_to_end(outputs: Outputs) -> bool:
    """Whether each row is a detection (x1, y1, x2, y2, score, class, ...), as in (1, 300, 6)."""
    rows, columns = outputs.single() or (0, 0)
    return 6 <= columns < rows <= _MOST_DETECTIONS


def _either(heads: list[HeadDescription]) -> str:
    """The heads and their class counts, for a message."""
    return " or ".join(
        f"{head.name} with {head.classes} class{'' if head.classes == 1 else 'es'}"
        for head in heads
    )


def _list(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(f"({', '.join(map(str, shape))})" for shape in shapes) or "(none)"
