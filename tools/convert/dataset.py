"""The calibration set: which images, and as the model will see them on the board.

The toolkit reads image files itself, but has no letterbox; it would squeeze every image into the
model's shape, and measure ranges that no tile has. So they are cut here as the pipeline cuts them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from actors.config.errors import nearest
from actors.sources.contract import SourceError
from actors.sources.images import list_images
from actors.vision.cutting import Cutter, Image

from .errors import ConvertError
from .labelled import Model, letterboxed

_Item = TypeVar("_Item")

# 20 are what the vendor's examples use. Mmse takes 15 s and more an image.
COUNTS = {"normal": 20, "kl_divergence": 20, "mmse": 8}


@dataclass(frozen=True)
class Calibration:
    """Prepared images: files of the model's size, as RGB files whatever the model's order."""

    files: tuple[Path, ...]
    sources: tuple[Path, ...]
    """Of what they were made."""
    available: int
    unreadable: tuple[Path, ...]

    @property
    def count(self) -> int:
        return len(self.files)

    def part(self, count: int) -> Path:
        """A text file for the toolkit that names this number of them, spread evenly."""
        files = spread(self.files, count)
        listing = self.files[0].with_name(f"calibration-{len(files)}.txt")
        listing.write_text("\n".join(map(str, files)) + "\n", encoding="utf-8")
        return listing

    def pictures(self) -> Iterator[Image]:
        """The pixels of each, (h, w, 3) in the model's order."""
        for path in self.files:
            picture = cv2.imread(str(path))
            assert picture is not None
            yield picture[..., ::-1].astype(np.uint8)


def spread(items: Sequence[_Item], count: int) -> list[_Item]:
    """`count` of them, or all, evenly."""
    count = min(count, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def find_images(dataset: Path) -> list[Path]:
    """The images of a folder, or those that a text file names, one a line."""
    if dataset.is_dir():
        try:
            images = [Path(path) for path in list_images(str(dataset))]
        except SourceError:
            images = []
        if not images:
            raise ConvertError(
                f"--dataset {dataset}: no image lies in this folder; give one with images like "
                "those that the model will see"
            )
        return images
    if not dataset.exists():
        raise ConvertError(f"--dataset {dataset}: {_absent(dataset)}")
    try:
        lines = dataset.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise ConvertError(
            f"--dataset {dataset} is neither a folder nor a text file that names images, one a line"
        ) from None
    named = [dataset.parent / line.strip() for line in lines if line.strip()]
    if not named:
        raise ConvertError(f"--dataset {dataset} names no image; write one path a line")
    for path in named:
        if not path.is_file():
            raise ConvertError(f"--dataset {dataset}: {_absent(path)}")
    return named


def _absent(path: Path) -> str:
    beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    meant = nearest(path.name, beside)
    return f"there is no {path}; " + (f"did you mean {meant}?" if meant else "correct the path")


def prepare(images: Sequence[Path], count: int, model: Model, folder: Path) -> Calibration:
    """Letterbox `count` images, spread evenly over all, into the folder. ConvertError if none."""
    chosen = spread(images, count)
    cutter = Cutter()
    written, unreadable = list[Path](), list[Path]()
    for path in chosen:
        seen = letterboxed(path, model, cutter)
        if seen is None:
            unreadable.append(path)
            continue
        target = folder / f"{len(written):04}.png"
        # The toolkit reads files as RGB; a BGR model's channels are written the other way round.
        cv2.imwrite(str(target), seen[0][..., ::-1])
        written.append(target)
    if not written:
        raise ConvertError(
            f"none of the {len(chosen)} calibration images can be read, {unreadable[0]} for one; "
            "give another --dataset"
        )
    sources = tuple(path for path in chosen if path not in unreadable)
    return Calibration(tuple(written), sources, len(images), tuple(unreadable))
