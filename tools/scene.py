"""A small moving scene of our own: a video for benchmarks, and the picture in the README.

    python -m tools.scene out.mp4 --frames 120
    python -m tools.scene picture.png

Frame n is the same whoever asks. Its targets are known, so the picture shows what the renderer
draws without a model.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from actors.vision.drawing import banner, draw
from actors.vision.tiling import View, plan

SIZE = (1920, 1080)
LABELS = ("van", "walker")
_VANS, _WALKERS = 5, 26

Image = npt.NDArray[np.uint8]


def ground(size: tuple[int, int] = SIZE) -> Image:
    """The still background: a plaza of slabs with light and grain, (height, width, 3) BGR."""
    width, height = size
    random = np.random.default_rng(3)
    light = cv2.resize(random.normal(0, 1, (6, 9)).astype(np.float32), size, None, 0, 0, 2)
    grain = random.normal(0, 5, (height, width)).astype(np.float32)
    slabs = (np.add.outer(np.arange(height) // 90, np.arange(width) // 120) % 2) * 9.0
    shade = (118 + 14 * light + grain + slabs)[..., None] * np.array([0.92, 0.98, 1.0])
    return np.clip(shade, 0, 255).astype(np.uint8)


def targets(number: int, size: tuple[int, int] = SIZE) -> tuple[Image, Image, Image]:
    """Frame `number`'s targets: boxes float32 (n, 4), classes (n,), colours (n, 3)."""
    width, height = size
    random = np.random.default_rng(11)
    count = _VANS + _WALKERS
    classes = np.array([0] * _VANS + [1] * _WALKERS)
    large = classes == 0
    sides = np.where(large, random.uniform(150, 330, count), random.uniform(16, 34, count))
    boxes = np.zeros((count, 4), np.float32)
    speed = np.where(large, 7.0, 2.0) * random.choice((-1.0, 1.0), count)
    across = (random.uniform(0, width + 400, count) + speed * number) % (width + 400) - 200
    down = random.uniform(0.12, 0.95, count) * height
    wide = np.where(large, sides, sides * 0.5)
    tall = np.where(large, sides * 0.5, sides * 1.1)
    boxes[:, 0], boxes[:, 2] = across - wide / 2, across + wide / 2
    boxes[:, 1], boxes[:, 3] = down - tall / 2, down + tall / 2
    return boxes, classes, random.integers(40, 230, (count, 3))


def frame(number: int, background: Image) -> Image:
    """Frame `number` on a copy of `background`."""
    image = background.copy()
    size = (image.shape[1], image.shape[0])
    for box, kind, color in zip(*targets(number, size), strict=True):
        x1, y1, x2, y2 = (int(side) for side in box)
        paint = tuple(int(part) for part in color)
        if kind == 0:
            cv2.rectangle(image, (x1, y1), (x2, y2), paint, -1, cv2.LINE_AA)
            cv2.rectangle(image, (x1, y1), ((3 * x1 + x2) // 4, y2), (60, 50, 45), -1)
            for wheel in ((4 * x1 + x2) // 5, (x1 + 4 * x2) // 5):
                cv2.circle(image, (wheel, y2 - 12), 16, (25, 25, 25), -1, cv2.LINE_AA)
        else:
            middle, head = (x1 + x2) // 2, max(2, (y2 - y1) // 7)
            cv2.ellipse(
                image,
                ((middle, (y1 + y2) // 2 + head), (x2 - x1, y2 - y1 - 2 * head), 0),
                paint,
                -1,
                cv2.LINE_AA,
            )
            cv2.circle(image, (middle, y1 + head), head, (120, 150, 200), -1, cv2.LINE_AA)
    return image


def write_video(path: Path, frames: int, fps: float = 30.0) -> None:
    """Write the first `frames` frames as a video."""
    background = ground()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, SIZE)
    for number in range(frames):
        writer.write(frame(number, background))
    writer.release()


def write_picture(path: Path, width: int = 960) -> None:
    """Draw a frame's targets and the tiles as the renderer draws detections, and shrink it."""
    image = frame(40, ground())
    boxes, classes, _ = targets(40)
    inside = (boxes[:, 2] > 0) & (boxes[:, 0] < SIZE[0]) & (boxes[:, 3] < SIZE[1])
    scores = np.random.default_rng(5).uniform(0.55, 0.95, len(boxes)).astype(np.float32)
    tiles = plan(View("tiles"), SIZE, (640, 640))
    draw(
        image,
        np.clip(boxes[inside], 0, np.tile(SIZE, 2)),
        scores[inside],
        classes[inside],
        LABELS,
        tiles=tiles,
    )
    banner(image, f"#40  {int(inside.sum())} objects")
    small = cv2.resize(image, (width, width * SIZE[1] // SIZE[0]), None, 0, 0, cv2.INTER_AREA)
    cv2.imwrite(str(path), small)


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.scene",
        description="Write the scene as a video (.mp4) or one annotated picture (.png, .jpg).",
        epilog="example: python -m tools.scene scene.mp4 --frames 300",
    )
    parser.add_argument("path", type=Path)
    parser.add_argument("--frames", type=int, default=120)
    options = parser.parse_args(argv)
    if options.path.suffix.lower() in (".png", ".jpg"):
        write_picture(options.path)
    else:
        write_video(options.path, options.frames)
    print(f"written: {options.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
