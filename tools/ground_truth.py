"""Ground truth of three kinds, as `Targets` by frame.

synthetic   The records themselves carry it: `[results] ground_truth = true`, source "synthetic".
COCO        JSON for a folder or glob of images, which are known by their file names. The label is
            the category's name, iscrowd is ignored, the size goes by `area` where there is one.
video       JSON for a video, by frame: {"annotations": [{"frame": 0, "objects": [{"bbox": [x, y,
            width, height], "label": "person"}]}], "ignore": [[x1, y1, x2, y2]]}. Frames that are
            not in it are not counted; in the regions of "ignore" nothing is. `label` may be given
            once for all, and "width" and "height" of the video.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import numpy as np
from pydantic import AfterValidator, BaseModel, Field, ValidationError

from actors.config.errors import dotted
from actors.config.file_errors import file_problem
from actors.sources.classify import is_images, source_kind
from actors.sources.images import list_images

from .scoring import Found, Targets, area

Record = Mapping[str, Any]
SYNTHETIC = "synthetic"
_PERSON = "person"


class GroundTruthError(Exception):
    """A truth that cannot be used; the message is one sentence with the place and the remedy."""


class GroundTruth(Protocol):
    """The targets of a run's frames."""

    @property
    def numbers(self) -> dict[str, int]:
        """Class numbers by label: the targets', and of whatever else got one from `found`."""

    @property
    def labels(self) -> Collection[str]:
        """The labels that there may be targets of; those of a scene as they come."""

    @property
    def frames(self) -> int | None:
        """Number of each source's frames up to the last annotated one; None: there is no end."""

    def targets(self, record: Record) -> Targets | None:
        """Those of a published frame; None when it is not annotated. May raise GroundTruthError."""


def read_truth(truth: str, sources: Mapping[str, str], label: str | None = None) -> GroundTruth:
    """The truth of these streams, whose `sources` are as the topology has them.

    `truth` is "synthetic" or a file. `label` is that of a video's objects that have none. Raises
    GroundTruthError.
    """
    if truth == SYNTHETIC:
        for name, source in sources.items():
            if source_kind(source) != "synthetic":
                raise GroundTruthError(
                    f"--truth synthetic: streams.{name}.source is {source}, and only the source "
                    '"synthetic" has its own truth; give --truth FILE'
                )
        _refuse_label(label, "the synthetic scene's objects")
        return SyntheticGroundTruth()
    path = Path(truth)
    data = _read_json(path)
    for name, source in sources.items():
        if source_kind(source) in ("camera", "network", "synthetic"):
            raise GroundTruthError(
                f"{path}: streams.{name}.source is {source}, whose frames no file can describe; "
                f"give the video or the images that it is about: --set streams.{name}.source=FILE"
            )
    if "images" in data:
        _refuse_label(label, f"the objects of {path}")
        return _coco(path, _checked(path, data, _CocoFile), sources)
    if len(sources) > 1:
        raise GroundTruthError(
            f"{path} is about one video and the topology has {len(sources)} streams; say which is "
            f"counted: --stream {next(iter(sources))}"
        )
    return _video(path, _checked(path, data, _VideoFile), next(iter(sources)), label)


def found(record: Record, numbers: dict[str, int]) -> Found:
    """A record's detections; labels that `numbers` does not have yet get the next number."""
    detections = record["detections"]
    return Found(
        boxes=np.array([one["box"] for one in detections], np.float64).reshape(-1, 4),
        scores=np.array([one["score"] for one in detections], np.float64),
        classes=_numbers([one["label"] for one in detections], numbers),
    )


def of_known_labels(frame: Found, truth: GroundTruth) -> tuple[Found, Counter[str]]:
    """The detections of labels that there may be targets of, and how many of each other label."""
    others = {n: label for label, n in truth.numbers.items() if label not in truth.labels}
    numbers = frame.classes.tolist()
    known = np.array([number not in others for number in numbers], bool)
    unknown_labels = Counter(others[number] for number in numbers if number in others)
    return Found(frame.boxes[known], frame.scores[known], frame.classes[known]), unknown_labels


# ---------------------------------------------------------------- the records' own


class SyntheticGroundTruth:
    """The truth that comes with each record."""

    frames: int | None = None

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.labels: set[str] = set()

    def targets(self, record: Record) -> Targets | None:
        truth = record.get("ground_truth")
        if truth is None:
            raise GroundTruthError(
                f"frame {record['seq']} of {record['stream']} came without ground truth; give "
                "--truth FILE"
            )
        labels = [one["label"] for one in truth]
        self.labels.update(labels)
        boxes = [one["box"] for one in truth]
        return _targets(boxes, labels, [one["ignore"] for one in truth], self.numbers)


# ---------------------------------------------------------------- files


@dataclass(frozen=True)
class Known:
    """What a file says of one frame, which it calls `name`; `size` is (width, height)."""

    name: str
    size: tuple[int, int] | None
    targets: Targets


@dataclass(frozen=True)
class FileGroundTruth:
    """What a file says, by stream and `source_frame`."""

    path: Path
    numbers: dict[str, int]
    labels: frozenset[str]
    known: Mapping[tuple[str, int], Known]

    @property
    def frames(self) -> int:
        return 1 + max(number for _, number in self.known)

    def targets(self, record: Record) -> Targets | None:
        known = self.known.get((record["stream"], record["source_frame"]))
        if known is None:
            return None
        size = tuple(record["size"])
        if known.size is not None and known.size != size:
            raise GroundTruthError(
                f"{self.path}: {known.name} is {known.size[0]}x{known.size[1]} there and "
                f"{size[0]}x{size[1]} in the run; give the frames that it is about, unscaled"
            )
        return known.targets


def _corners_in_order(region: tuple[float, float, float, float]) -> Any:
    if region[0] > region[2] or region[1] > region[3]:
        raise ValueError("must be x1, y1, x2, y2 with x1 <= x2 and y1 <= y2")
    return region


_Number = Annotated[float, Field(allow_inf_nan=False)]
_Length = Annotated[float, Field(allow_inf_nan=False, ge=0)]
_Box = tuple[_Number, _Number, _Length, _Length]
_Region = Annotated[tuple[_Number, _Number, _Number, _Number], AfterValidator(_corners_in_order)]


class _Object(BaseModel):
    bbox: _Box
    label: str | None = None
    ignore: bool = False


class _Annotated(BaseModel):
    frame: int
    objects: list[_Object]


class _VideoFile(BaseModel):
    annotations: list[_Annotated]
    ignore: list[_Region] = []
    label: str | None = None
    width: int | None = None
    height: int | None = None


def _video(path: Path, data: _VideoFile, stream: str, label: str | None) -> FileGroundTruth:
    objects = [thing for annotation in data.annotations for thing in annotation.objects]
    nameless = sum(thing.label is None for thing in objects) if data.label is None else 0
    if label is not None and not nameless:
        _refuse_label(label, f"the objects of {path}")
    rest = label or data.label or _PERSON
    size = None if data.width is None or data.height is None else (data.width, data.height)
    numbers: dict[str, int] = {}
    known: dict[tuple[str, int], Known] = {}
    for place, annotation in enumerate(data.annotations):
        if (stream, annotation.frame) in known:
            raise GroundTruthError(
                f"{path}: annotations.{place}: frame {annotation.frame} is annotated twice; put "
                "its objects into one"
            )
        targets = _targets(
            [_corners(thing.bbox) for thing in annotation.objects],
            [thing.label or rest for thing in annotation.objects],
            [thing.ignore for thing in annotation.objects],
            numbers,
            regions=data.ignore,
        )
        known[stream, annotation.frame] = Known(f"frame {annotation.frame}", size, targets)
    if not objects:
        raise GroundTruthError(f"{path}: no object is annotated; nothing can be right or missed")
    return FileGroundTruth(path, numbers, frozenset(numbers), known)


class _Image(BaseModel):
    id: int
    file_name: str
    width: int | None = None
    height: int | None = None


class _Annotation(BaseModel):
    image_id: int
    category_id: int
    bbox: _Box
    area: _Length | None = None
    iscrowd: bool = False


class _Category(BaseModel):
    id: int
    name: str


class _CocoFile(BaseModel):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def _coco(path: Path, data: _CocoFile, sources: Mapping[str, str]) -> FileGroundTruth:
    names = {category.id: category.name for category in data.categories}
    by_image: dict[int, list[_Annotation]] = {image.id: [] for image in data.images}
    for place, annotation in enumerate(data.annotations):
        for key, there in (("image_id", by_image), ("category_id", names)):
            number = getattr(annotation, key)
            if number not in there:
                raise GroundTruthError(
                    f"{path}: annotations.{place}.{key}: there is no {key[:-3]} {number}; add it "
                    "or remove the annotation"
                )
        by_image[annotation.image_id].append(annotation)
    numbers: dict[str, int] = {}
    _numbers(list(names.values()), numbers)
    images = _Names(path, data.images)
    known: dict[tuple[str, int], Known] = {}
    for stream, source in sources.items():
        if not is_images(source):
            raise GroundTruthError(
                f"{path} is about images and streams.{stream}.source is {source}; give their "
                f"folder: --set streams.{stream}.source=FOLDER"
            )
        before = len(known)
        for number, file in enumerate(list_images(source)):
            image = images.find(file)
            if image is not None:
                size = None if not (image.width and image.height) else (image.width, image.height)
                targets = _coco_targets(by_image[image.id], names, numbers)
                known[stream, number] = Known(image.file_name, size, targets)
        if len(known) == before:
            example = f" (as {data.images[0].file_name})" if data.images else ""
            raise GroundTruthError(
                f"{path}: none of its {len(data.images)} images{example} is in streams.{stream}."
                f"source, {source}; give their folder"
            )
    return FileGroundTruth(path, numbers, frozenset(numbers), known)


def _coco_targets(
    annotations: Sequence[_Annotation], names: Mapping[int, str], numbers: dict[str, int]
) -> Targets:
    targets = _targets(
        [_corners(one.bbox) for one in annotations],
        [names[one.category_id] for one in annotations],
        [one.iscrowd for one in annotations],
        numbers,
    )
    for place, one in enumerate(annotations):
        if one.area is not None:
            targets.areas[place] = one.area
    return targets


class _Names:
    """Finds a COCO file's image for a file: by as much of the path as is the same, or the name."""

    def __init__(self, path: Path, images: Sequence[_Image]) -> None:
        self._by_name: dict[str, _Image] = {}
        self._by_last: dict[str, list[_Image]] = {}
        for place, image in enumerate(images):
            name = Path(image.file_name).as_posix()
            if name in self._by_name:
                raise GroundTruthError(
                    f"{path}: images.{place}: {name} is there twice; keep one of the two"
                )
            self._by_name[name] = image
            self._by_last.setdefault(Path(name).name, []).append(image)

    def find(self, file: Path) -> _Image | None:
        for start in range(len(file.parts)):
            if image := self._by_name.get("/".join(file.parts[start:])):
                return image
        alike = self._by_last.get(file.name, [])
        return alike[0] if len(alike) == 1 else None


# ---------------------------------------------------------------- what all need


def _numbers(labels: Sequence[str], numbers: dict[str, int]) -> np.typing.NDArray[np.int64]:
    return np.array([numbers.setdefault(one, len(numbers)) for one in labels], np.int64)


def _targets(
    boxes: Sequence[Sequence[float]],
    labels: Sequence[str],
    ignore: Sequence[bool],
    numbers: dict[str, int],
    regions: Sequence[Sequence[float]] = (),
) -> Targets:
    corners = np.array(boxes, np.float64).reshape(-1, 4)
    return Targets(
        boxes=corners,
        classes=_numbers(labels, numbers),
        ignore=np.array(ignore, bool),
        areas=area(corners),
        regions=np.array(regions, np.float64).reshape(-1, 4),
    )


def _corners(box: _Box) -> tuple[float, float, float, float]:
    x, y, width, height = box
    return x, y, x + width, y + height


def _refuse_label(label: str | None, what: str) -> None:
    if label is not None:
        raise GroundTruthError(f"--label {label}: {what} have labels of their own; leave it out")


_Content = TypeVar("_Content", bound=BaseModel)


def _read_json(path: Path) -> dict[str, Any]:
    if problem := file_problem(path.absolute(), str(path)):
        raise GroundTruthError(f"--truth: {problem}")
    try:
        data = json.loads(path.read_bytes())
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise GroundTruthError(f"{path}: {place}: {error.msg}; give a JSON file") from None
    except (ValueError, RecursionError):
        raise GroundTruthError(f"{path} is not a JSON file; give one in COCO's format") from None
    if not isinstance(data, dict) or "annotations" not in data:
        raise GroundTruthError(
            f"{path} has no \"annotations\"; give a file in COCO's format, or one of a video's "
            "frames as tools/ground_truth.py describes it"
        )
    return data


def _checked(path: Path, data: dict[str, Any], kind: type[_Content]) -> _Content:
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = dotted(first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise GroundTruthError(
            f"{path}: {place}: {message[0].lower()}{message[1:]}; correct the file"
        ) from None
