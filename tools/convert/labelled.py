"""A labelled set of images, and what a model finds in it: COCO's scores of one build."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from actors.runtimes.contract import Tensor
from actors.sources.images import list_images
from actors.vision.cutting import Cutter, Image
from actors.vision.heads import HeadDescription, build
from actors.vision.merging import nms_indices
from actors.vision.tiling import Size, Tile, View, plan, to_frame

from ..ground_truth import FileGroundTruth, GroundTruthError, read_truth
from ..scoring import CocoMap, Found, Targets, coco_map
from .errors import ConvertError

Run = Callable[[Image], Sequence[Tensor]]
"""One inference: uint8 (h, w, 3) in the model's channel order to its outputs."""

# COCO's averages need the unsure detections too; 0.7 is what Ultralytics evaluates with.
_LEAST_SCORE, _IOU = 0.001, 0.7
# What is compared between two builds: a detection with a score that users act on.
_SURE, _SAME_IOU = 0.25, 0.5


@dataclass(frozen=True)
class Model:
    """What a decoder and a tile need of a model."""

    size: Size
    color: Literal["rgb", "bgr"]
    head: HeadDescription
    labels: tuple[str, ...]


@dataclass(frozen=True)
class LabelledSet:
    """Images with their targets. `numbers` are class numbers by label."""

    paths: tuple[Path, ...]
    targets: tuple[Targets, ...]
    numbers: dict[str, int]
    categories: tuple[str, ...]
    """The set's own labels, in the order of their numbers there."""


def read_set(file: Path, images: Path | None) -> LabelledSet:
    """A COCO-format file and its folder of images. ConvertError where it cannot be used."""
    folder = images or (
        file.parent / "images" if (file.parent / "images").is_dir() else file.parent
    )
    if not folder.is_dir():
        raise ConvertError(f"--images {folder}: there is no such folder; correct the path")
    try:
        truth = read_truth(str(file), {"images": str(folder)})
    except GroundTruthError as error:
        raise ConvertError(f"--report {error}") from None
    if not isinstance(truth, FileGroundTruth):
        raise ConvertError(f"--report {file}: a COCO-format file with its images is needed")
    files = list_images(str(folder))
    known = sorted(truth.known.items())
    categories = json.loads(file.read_text(encoding="utf-8"))["categories"]
    names = tuple(str(c["name"]) for c in sorted(categories, key=lambda c: int(c["id"])))
    return LabelledSet(
        tuple(Path(files[number]) for (_, number), _ in known),
        tuple(one.targets for _, one in known),
        dict(truth.numbers),
        names,
    )


def letterboxed(path: Path, model: Model, cutter: Cutter) -> tuple[Image, Tile, Size] | None:
    """An image as the model sees it in the pipeline, its tile and its own size; None if unreadable.

    The picture is whole, in the model's size and channel order.
    """
    frame = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if frame is None:
        return None
    size = (frame.shape[1], frame.shape[0])
    (tile,) = plan(View("frame"), size, model.size)
    out = np.empty((model.size[1], model.size[0], 3), np.uint8)
    cutter.cut(frame.astype(np.uint8, copy=False), tile, out, model.color)
    return out, tile, size


def detect(run: Run, model: Model, paths: Sequence[Path]) -> Iterator[npt.NDArray[np.float32]]:
    """Per image rows (n, 6): box in its pixels, score, class. As a worker does it."""
    decode = build(model.head, model.size)
    cutter = Cutter()
    for path in paths:
        seen = letterboxed(path, model, cutter)
        if seen is None:
            raise ConvertError(f"{path} cannot be read as an image; remove it from the set")
        pixels, tile, size = seen
        rows = decode(run(pixels), _LEAST_SCORE)
        rows = rows[np.isfinite(rows).all(axis=1)]
        kept = nms_indices(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64), threshold=_IOU)
        rows = rows[kept]
        yield np.column_stack([to_frame(rows[:, :4], tile, size), rows[:, 4:]]).astype(np.float32)


def score(rows: Sequence[npt.NDArray[np.float32]], model: Model, known: LabelledSet) -> CocoMap:
    """COCO's figures. Classes go by label, or by number where the model has no labels."""
    labels = model.labels or known.categories
    numbers = dict(known.numbers)
    for label in labels:
        numbers.setdefault(label, len(numbers))
    table = np.array([numbers[label] for label in labels], np.int64)
    found = [
        Found(
            boxes=r[:, :4].astype(np.float64),
            scores=r[:, 4].astype(np.float64),
            classes=table[r[:, 5].astype(np.int64)],
        )
        for r in rows
    ]
    return coco_map(known.targets, found)


@dataclass(frozen=True)
class Drift:
    """How the sure detections of float (score 0.25 or more) fare in another build."""

    pairs: tuple[tuple[float, float], ...]
    """(float score, other score) of boxes that meet at IoU 0.5; 0 where nothing meets."""

    @property
    def mean(self) -> float:
        """Mean change of the score of those that are still there."""
        there = [b - a for a, b in self.pairs if b > 0]
        return float(np.mean(there)) if there else 0.0

    @property
    def lost(self) -> int:
        """Sure detections that are below 0.25 now, or gone."""
        return sum(b < _SURE for _, b in self.pairs)


def drift(
    reference: Sequence[npt.NDArray[np.float32]], other: Sequence[npt.NDArray[np.float32]]
) -> Drift:
    """Pair the float build's sure detections with the other's, image by image."""
    pairs: list[tuple[float, float]] = []
    for sure, found in zip(reference, other, strict=True):
        for row in sure[sure[:, 4] >= _SURE]:
            same = found[found[:, 5] == row[5]]
            low, high = np.maximum(same[:, :2], row[:2]), np.minimum(same[:, 2:4], row[2:4])
            shared = np.prod((high - low).clip(0), axis=1)
            both = np.prod(same[:, 2:4] - same[:, :2], axis=1) + np.prod(row[2:4] - row[:2])
            overlap = shared / (both - shared)
            best = int(overlap.argmax()) if len(same) else -1
            there = best >= 0 and overlap[best] >= _SAME_IOU
            pairs.append((float(row[4]), float(same[best, 4]) if there else 0.0))
    return Drift(tuple(pairs))
