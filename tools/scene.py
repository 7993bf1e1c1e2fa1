"""The drawn scene as a video for benchmarks, or as a picture with its known targets.

    python -m tools.scene out.mp4 --frames 120
    python -m tools.scene picture.png --seed 3

It is what the source "synthetic" shows. The picture is drawn as the renderer draws detections, but
from the ground truth: the number beside a label is the part of the target that is seen.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from actors.scene.scene import Scene
from actors.scene.shapes import LABELS
from actors.vision.drawing import banner, draw
from actors.vision.tiling import View, plan

SIZE = (1920, 1080)
_PICTURED = 40


def write_video(path: Path, frames: int, fps: float = 30.0, seed: int = 0) -> None:
    """Write the first `frames` frames as a video."""
    scene = Scene(SIZE, seed)
    image = np.empty((SIZE[1], SIZE[0], 3), np.uint8)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, SIZE)
    for number in range(frames):
        scene.frame(number, image)
        writer.write(image)
    writer.release()


def write_picture(path: Path, width: int = 960, seed: int = 0) -> None:
    """Draw a frame, its targets that can be seen, and the tiles; shrunk to `width`."""
    scene = Scene(SIZE, seed)
    image = np.empty((SIZE[1], SIZE[0], 3), np.uint8)
    scene.frame(_PICTURED, image)
    truth = scene.truth(_PICTURED)
    # `draw` wants the surest first, and lays it on top.
    order = np.argsort(-truth.visible, kind="stable")
    order = order[~truth.ignored[order]]
    draw(
        image,
        truth.boxes[order],
        truth.visible[order],
        truth.class_ids[order],
        LABELS,
        tiles=plan(View("tiles"), SIZE, (640, 640)),
    )
    banner(image, f"#{_PICTURED}  {len(order)} objects")
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
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    if options.path.suffix.lower() in (".png", ".jpg"):
        write_picture(options.path, seed=options.seed)
    else:
        write_video(options.path, options.frames, seed=options.seed)
    print(f"written: {options.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
