"""What the models learn from: pictures of the synthetic scene with their targets.

`large` sees whole frames, letterboxed as the pipeline does it; `small` sees native crops. Pictures
are rendered once into a pool on the disk, from seeds that are used for nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from actors.scene.scene import Scene
from actors.scene.shapes import LABELS, LARGE
from actors.scene.world import SEEN, Truth
from actors.vision.cutting import Cutter
from actors.vision.tiling import Tile, View, plan, to_model

Image = npt.NDArray[np.uint8]

MODEL = (640, 640)
FRAME = (1920, 1080)
TRAINING_SEEDS = 1_000_000
"""Seeds from here on are trained on; those below are for users and for measuring."""
LARGE_ROWS = (128, 512)
"""The rows of a letterboxed 1080p frame that are worth training on: the rest is padding."""
CROP = 320


FRAMES = 12
"""How many frames are taken from each scene."""
CROPS = 4
"""How many native crops are taken from each frame."""


@dataclass(frozen=True)
class Subject:
    """What one of the models learns."""

    name: str
    labels: tuple[str, ...]
    first_class: int
    """Its first class among the scene's."""
    shape: tuple[int, int]
    """Rows and columns of its training pictures."""


SUBJECTS = {
    "large": Subject("large", LABELS[:LARGE], 0, (LARGE_ROWS[1] - LARGE_ROWS[0], MODEL[0])),
    "small": Subject("small", LABELS[LARGE:], LARGE, (CROP, CROP)),
}


@dataclass(frozen=True)
class Sample:
    """One picture (h, w, 3) RGB and its targets, boxes (n, 4) in its pixels."""

    image: Image
    boxes: npt.NDArray[np.float32]
    class_ids: npt.NDArray[np.int64]
    ignored: npt.NDArray[np.bool_]


def targets(subject: Subject, truth: Truth, tile: Tile) -> Sample:
    """The subject's targets in a tile, without the picture.

    What a tile's edge has cut is smaller there, and ignored where too little of it is left.
    """
    chosen = (truth.class_ids >= subject.first_class) & (
        truth.class_ids < subject.first_class + len(subject.labels)
    )
    full = to_model(truth.boxes[chosen], tile)
    corner = np.array([tile.left, tile.top], np.float32)
    far = corner + np.array((tile.fitted_width, tile.fitted_height), np.float32)
    boxes = np.concatenate(
        (np.clip(full[:, :2], corner, far), np.clip(full[:, 2:], corner, far)), axis=1
    )
    area, rest = (np.prod(box[:, 2:] - box[:, :2], axis=1) for box in (full, boxes))
    here = rest > 0
    seen = truth.visible[chosen][here] * rest[here] / area[here]
    kinds = truth.class_ids[chosen][here] - subject.first_class
    return Sample(np.empty((0, 0, 3), np.uint8), boxes[here], kinds, seen < SEEN)


def render(seed: int, frames: int = FRAMES) -> Iterator[tuple[str, Sample]]:
    """The pictures of one scene, each with the name of its subject; the same for the same seed."""
    scene = Scene(FRAME, seed)
    random = np.random.default_rng((seed, 9))
    cutter, frame = Cutter(), np.empty((FRAME[1], FRAME[0], 3), np.uint8)
    for index in range(frames):
        # Far apart, so that traffic has moved on.
        number = index * 67 + int(random.integers(30))
        scene.frame(number, frame)
        truth = scene.truth(number)
        whole = plan(View("frame"), FRAME, MODEL)[0]
        known = targets(SUBJECTS["large"], truth, whole)
        image = np.empty((MODEL[1], MODEL[0], 3), np.uint8)
        cutter.cut(frame, whole, image, "rgb")
        boxes = known.boxes - np.array([0, LARGE_ROWS[0]] * 2, np.float32)
        yield "large", replace(known, image=image[slice(*LARGE_ROWS)], boxes=boxes)
        for tile in _crops(truth, random):
            image = np.empty((CROP, CROP, 3), np.uint8)
            cutter.cut(frame, tile, image, "rgb")
            yield "small", replace(targets(SUBJECTS["small"], truth, tile), image=image)


def _crops(truth: Truth, random: np.random.Generator) -> Iterator[Tile]:
    """Centres of crops: one is anywhere, the others are at targets."""
    small = truth.boxes[truth.class_ids >= LARGE]
    room = np.array(FRAME) - CROP
    for index in range(CROPS):
        start = random.uniform(0, 1, 2) * room
        if index and len(small):
            middle = small[int(random.integers(len(small)))].reshape(2, 2).mean(axis=0)
            start = np.clip(middle - random.uniform(0.05, 0.95, 2) * CROP, 0, room)
        yield Tile(int(start[0]), int(start[1]), CROP, CROP, 0, 0, CROP, CROP)


class Pool:
    """Rendered pictures of one subject, on the disk, and their targets."""

    def __init__(self, folder: Path, subject: Subject, scenes: int) -> None:
        """Opens the pool of the first `scenes` training seeds, rendering what is not there yet."""
        self._images: list[Image] = []
        self._targets: list[npt.NDArray[np.float32]] = []
        for seed in range(TRAINING_SEEDS, TRAINING_SEEDS + scenes):
            fill(folder, seed)
            images = np.load(folder / f"{subject.name}-{seed}.npy", mmap_mode="r")
            rows = np.load(folder / f"{subject.name}-{seed}-targets.npy")
            self._images += list(images)
            self._targets += [rows[rows[:, 0] == index, 1:] for index in range(len(images))]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Sample:
        rows = self._targets[index]
        return Sample(
            np.asarray(self._images[index]),
            rows[:, :4],
            rows[:, 4].astype(np.int64),
            rows[:, 5] > 0,
        )


def fill(folder: Path, seed: int) -> None:
    """Render a scene's pictures for all subjects into a pool's folder, unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    # Written last, so that it stands for all.
    done = folder / f"small-{seed}.npy"
    if done.exists():
        return
    found: dict[str, list[Sample]] = {name: [] for name in SUBJECTS}
    for name, sample in render(seed):
        found[name].append(sample)
    for name, taken in found.items():
        rows = [
            np.column_stack(
                (np.full(len(one.boxes), index), one.boxes, one.class_ids, one.ignored)
            ).astype(np.float32)
            for index, one in enumerate(taken)
        ]
        np.save(folder / f"{name}-{seed}-targets.npy", np.concatenate(rows))
        partial = folder / f"{name}-{seed}.partial.npy"
        np.save(partial, np.stack([one.image for one in taken]))
        partial.rename(folder / f"{name}-{seed}.npy")
