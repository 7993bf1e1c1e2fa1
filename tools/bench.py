"""Measure the pipeline's throughput on emulated cores.

saturation  Emulated cores at 13.6 ms a tile, six tiles a 1080p frame: which share of what the cores
            allow is reached, and how busy each core is. The limits are computed: three cores give
            36.8 frames/s of six tiles, and 31.5 where a second model takes the whole frame too.
pipeline    A model that takes no time: how many frames a second everything else allows, and what a
            frame costs each actor in processor time.

Ratios are against the limit in the same run. Absolute rates depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from . import placeholder_model, scene
from .entry import missing, run
from .run_harness import HarnessError, shared_file

NAMES = ("saturation", "pipeline")
_EXAMPLE = """\
examples:
  tritile bench saturation
  tritile bench saturation --video street.mp4 --model yolov8n.onnx --seconds 60 --json
  tritile bench pipeline

exit: 0 measured, and at least 95 % of the limit where there is one; 1 less; 2 wrong input
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry: 0 measured and good enough, 1 not good enough, 2 wrong input."""
    options = parser().parse_args(argv)
    for path in (options.video, options.model):
        if path is not None and not path.is_file():
            print(f"bench: {path}: there is no such file; give another", file=sys.stderr)
            return 2
    needed = ["psutil"]
    if options.name == "saturation" and _given_model(options) is None:
        needed.append("onnx")
    if absent := missing(*needed):
        print(f"bench: {absent}", file=sys.stderr)
        return 2
    try:
        return _run(options)
    except HarnessError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _run(options: argparse.Namespace) -> int:
    from . import benchmarks  # imported here: it needs psutil

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tritile-")))
        video = options.video or shared_file("street/street.mp4") or _own_video(folder)
        if options.name == "saturation":
            model = _given_model(options) or _own_model(folder)
            results = benchmarks.saturation(video.resolve(), model.resolve(), options.seconds)
            used = {"video": video.name, "model": model.name}
        else:
            results = benchmarks.pipeline(video.resolve(), options.seconds)
            used = {"video": video.name, "model": "instant"}
    if options.json:
        print(json.dumps(benchmarks.as_json(options.name, results, used)))
    else:
        benchmarks.show(options.name, results, used)
    return 0 if benchmarks.good_enough(results) else 1


def _given_model(options: argparse.Namespace) -> Path | None:
    given: Path | None = options.model
    return given or shared_file("models/yolov8n_zoo9.onnx")


def _own_video(folder: Path) -> Path:
    path = folder / "scene.mp4"
    scene.write_video(path, frames=120)
    return path


def _own_model(folder: Path) -> Path:
    path = folder / "placeholder.onnx"
    placeholder_model.write(path)
    return path


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog="tritile bench",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("name", choices=NAMES, metavar="NAME", help=" or ".join(NAMES))
    made.add_argument("--video", type=Path, help="default: the real street video, else a drawn one")
    made.add_argument(
        "--model", type=Path, help="ONNX file, 640x640; default: YOLOv8n, else a placeholder"
    )
    made.add_argument("--seconds", type=float, default=20.0, help="measured time of each case")
    made.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return made


if __name__ == "__main__":
    sys.exit(run(main))
