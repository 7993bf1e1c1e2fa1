"""Write the drawn scene as a video for benchmarks, or as a picture with its known targets.

It is what the source "synthetic" shows. The picture is drawn as the renderer draws detections, but
from the ground truth: the number beside a label is the part of the target that is visible.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from actors.config.file_errors import output_problem
from actors.scene.scene import Scene
from actors.scene.shapes import LABELS
from actors.vision.drawing import banner, draw
from actors.vision.tiling import View, plan

from .entry import run

SIZE = (1920, 1080)
PICTURES = (".png", ".jpg", ".jpeg")
VIDEOS = (".mp4",)
_PICTURED = 40
_EXAMPLE = """\
examples:
  tritile scene out.mp4 --frames 120
  tritile scene picture.png --seed 3
"""


def write_video(path: Path, frames: int, fps: float = 30.0, seed: int = 0) -> None:
    """Write the first `frames` frames as a video. OSError when it cannot be written."""
    scene = Scene(SIZE, seed)
    image = np.empty((SIZE[1], SIZE[0], 3), np.uint8)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, SIZE)
    if not writer.isOpened():
        raise OSError(f"{path} cannot be written; give another file")
    for number in range(frames):
        scene.frame(number, image)
        writer.write(image)
    writer.release()


def write_picture(path: Path, width: int = 960, seed: int = 0) -> None:
    """Draw a frame, its visible targets and the tiles, shrunk to `width`. OSError as above."""
    scene = Scene(SIZE, seed)
    image = np.empty((SIZE[1], SIZE[0], 3), np.uint8)
    scene.frame(_PICTURED, image)
    truth = scene.truth(_PICTURED)
    # `draw` takes the highest score first, and draws it on top.
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
    if not cv2.imwrite(str(path), small):
        raise OSError(f"{path} cannot be written; give another file")


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry: 0 written, 2 wrong arguments or a file that cannot be written."""
    arguments = parser()
    options = arguments.parse_args(argv)
    path: Path = options.path
    if problem := output_problem(path.absolute(), str(path), (*PICTURES, *VIDEOS)):
        arguments.error(problem)
    if options.frames < 1:
        arguments.error(f"--frames is {options.frames}; give a number from 1 on")
    if options.seed < 0:
        arguments.error(f"--seed is {options.seed}; give a number from 0 on")
    picture = path.suffix.lower() in PICTURES
    try:
        if picture:
            write_picture(path, seed=options.seed)
        else:
            write_video(path, options.frames, seed=options.seed)
    except OSError as error:
        print(f"scene: {error}", file=sys.stderr)
        return 2
    frames = 1 if picture else options.frames
    if options.json:
        print(json.dumps({"path": str(path), "frames": frames, "seed": options.seed}))
    else:
        print(f"written: {path}")
    return 0


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog="tritile scene",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("path", type=Path, help=f"ends in {', '.join((*VIDEOS, *PICTURES))}")
    made.add_argument("--frames", type=int, default=120, help="of a video (default: 120)")
    made.add_argument("--seed", type=int, default=0, help="which scene (default: 0)")
    made.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return made


if __name__ == "__main__":
    sys.exit(run(main))
