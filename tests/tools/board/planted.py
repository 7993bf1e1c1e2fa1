"""Frames with targets that the emulated device sees, and where they are."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

SIZE = (1920, 1080)
# What device/detector.c says, written again: red, green, blue of classes 0 to 5.
COLORS = ((255, 0, 255), (0, 255, 0), (255, 0, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255))
LABELS = tuple(f"target{number}" for number in range(len(COLORS)))

Boxes = npt.NDArray[np.float32]


def targets(frame: int, count: int = 24, sides: tuple[int, int] = (24, 96)) -> tuple[Boxes, Boxes]:
    """Boxes (n, 4) in pixels and classes (n,) of a frame; they stay 8 pixels apart."""
    random = np.random.default_rng(frame)
    boxes: list[tuple[int, int, int, int]] = []
    while len(boxes) < count:
        width, height = random.integers(sides[0], sides[1] + 1, 2)
        x, y = random.integers(0, SIZE[0] - width), random.integers(0, SIZE[1] - height)
        new = (int(x), int(y), int(x + width), int(y + height))
        if all(
            new[0] > b[2] + 8 or new[2] < b[0] - 8 or new[1] > b[3] + 8 or new[3] < b[1] - 8
            for b in boxes
        ):
            boxes.append(new)
    return np.array(boxes, np.float32), random.integers(0, len(COLORS), count).astype(np.float32)


def write(folder: Path, frames: int) -> None:
    """Frames as lossless images 000.png, 001.png ..."""
    for number in range(frames):
        image = np.full((SIZE[1], SIZE[0], 3), 118, np.uint8)
        image += np.random.default_rng(number).integers(0, 20, image.shape, np.uint8)
        for (x1, y1, x2, y2), kind in zip(*targets(number), strict=True):
            red, green, blue = COLORS[int(kind)]
            image[int(y1) : int(y2), int(x1) : int(x2)] = (blue, green, red)
        cv2.imwrite(str(folder / f"{number:03}.png"), image)
