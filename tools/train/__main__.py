"""Train the two models that come with the project, on the synthetic scene, on a CPU.

`large` learns trucks, buses and cars on whole frames, `small` people, dogs and cones on native
tiles. Needs PyTorch (a CPU build will do), onnx, and 5 GB for pictures that both share (--pool).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.table import Table

from actors.runtimes.contract import ComputeError
from actors.scene.scene import Scene
from actors.vision.cutting import Cutter
from actors.vision.tiling import View, plan

from ..entry import missing, run
from ..printing import console
from .data import FRAME, MODEL, SUBJECTS, TRAINING_SEEDS, Pool, Subject
from .score import Detector, Tally, score

_SEEDS = 12
_FRAMES = (40, 171, 303, 512)
_LEVELS = (0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7)
_VIEWS = {"frame": View("frame"), "tiles": View("tiles"), "overlap": View("tiles", 0.1)}


_EXAMPLE = """\
examples:
  tritile train large --out models
  tritile train score models/small.onnx small
  tritile train calibration pictures --count 60

exit: 0 done, 2 wrong arguments, or a file that cannot be read or written
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry: 0 done, 2 wrong arguments or input."""
    options = parser().parse_args(argv)
    cv2.setNumThreads(1)
    do: Callable[[argparse.Namespace], int] = options.do
    try:
        return do(options)
    except (OSError, ComputeError) as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog="tritile train",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(required=True, metavar="large | small | score | calibration")
    for name, batch in (("large", 8), ("small", 16)):
        command = commands.add_parser(name, help=f"train the {name} model")
        command.set_defaults(do=partial(_train, SUBJECTS[name]))
        command.add_argument("--out", type=Path, required=True, help="folder for the .onnx file")
        command.add_argument("--pool", type=Path, help="folder for pictures (default: in --out)")
        command.add_argument("--scenes", type=whole, default=220, help="how many to learn from")
        command.add_argument("--steps", type=whole, default=2000)
        command.add_argument("--batch", type=whole, default=batch)
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--float32", action="store_true", help="do not compute in bfloat16")
        _add_json(command)
    command = commands.add_parser("score", help="recall and precision on scenes never trained on")
    command.set_defaults(do=_score)
    command.add_argument("model", type=Path)
    command.add_argument("subject", choices=SUBJECTS)
    command.add_argument("--view", choices=_VIEWS, help="default: frame for large, tiles for small")
    command.add_argument("--first", type=int, default=0, help="the first scene's seed")
    command.add_argument("--seeds", type=whole, default=_SEEDS, help="how many scenes")
    _add_json(command)
    command = commands.add_parser("calibration", help="pictures to calibrate int8 with")
    command.set_defaults(do=_calibrate)
    command.add_argument("folder", type=Path)
    command.add_argument("--count", type=whole, default=60, help="pictures for each model")
    _add_json(command)
    return made


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="one JSON object on stdout")


def whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value}: at least 1")
    return value


def _train(subject: Subject, options: argparse.Namespace) -> int:
    if absent := missing("torch", "onnx"):
        print(f"train: {absent}", file=sys.stderr)
        return 2
    from .exporting import export
    from .training import Recipe, train

    report = partial(print, file=sys.stderr if options.json else sys.stdout, flush=True)
    path: Path = options.out / f"{subject.name}.onnx"
    report(f"{subject.name}: rendering {options.scenes} scenes, unless they are there")
    samples = Pool(options.pool or options.out / "pool", subject, options.scenes)
    recipe = Recipe(options.steps, options.batch, options.seed, half=not options.float32)
    report(f"{subject.name}: {len(samples)} pictures, {recipe}")
    save = partial(export, labels=subject.labels)
    network = train(
        samples,
        len(subject.labels),
        recipe,
        report,
        lambda now: save(now, path=path.with_suffix(".partial.onnx")),
    )
    save(network, path=path)
    path.with_suffix(".partial.onnx").unlink(missing_ok=True)
    report(f"written: {path}, {path.stat().st_size / 1e6:.1f} MB")
    tallies = {view: _measure(path, subject, view, range(_SEEDS)) for view in _views(subject)}
    if options.json:
        print(json.dumps({"path": str(path), "views": _as_json(tallies)}))
    else:
        _print(subject, tallies)
    return 0


def _views(subject: Subject) -> tuple[str, ...]:
    return ("frame",) if subject.name == "large" else ("tiles", "overlap", "frame")


def _measure(path: Path, subject: Subject, view: str, seeds: range) -> Tally:
    return score(Detector(path, subject), subject, _VIEWS[view], seeds, _FRAMES)


def _score(options: argparse.Namespace) -> int:
    subject = SUBJECTS[options.subject]
    views = (options.view,) if options.view else _views(subject)
    seeds = range(options.first, options.first + options.seeds)
    if seeds.start < 0 or seeds.stop > TRAINING_SEEDS:
        print(
            f"train: --first {options.first} --seeds {options.seeds}: the seeds from 0 to "
            f"{TRAINING_SEEDS - 1} are for measuring, those above are trained on; choose from the "
            "former",
            file=sys.stderr,
        )
        return 2
    tallies = {view: _measure(options.model, subject, view, seeds) for view in views}
    if options.json:
        print(json.dumps(_as_json(tallies)))
    else:
        _print(subject, tallies)
    return 0


def _as_json(tallies: dict[str, Tally]) -> dict[str, Any]:
    return {
        view: {
            "targets": tally.asked,
            "levels": [
                dict(zip(("conf", "recall", "precision"), (conf, *tally.at(conf)), strict=True))
                for conf in _LEVELS
            ],
        }
        for view, tally in tallies.items()
    }


def _print(subject: Subject, tallies: dict[str, Tally]) -> None:
    table = Table("view", "confidence", "recall", "precision", title=f"{subject.name} targets")
    for view, tally in tallies.items():
        for conf in _LEVELS:
            recall, precision = tally.at(conf)
            table.add_row(view, f"{conf:.2f}", f"{recall:.3f}", f"{precision:.3f}")
        table.add_section()
    console().print(table)


def _calibrate(options: argparse.Namespace) -> int:
    """Letterboxed frames and native tiles as the pipeline cuts them, from scenes trained on."""
    cutter = Cutter()
    frame = np.empty((FRAME[1], FRAME[0], 3), np.uint8)
    image = np.empty((MODEL[1], MODEL[0], 3), np.uint8)
    for name, view in (("large", View("frame")), ("small", View("tiles"))):
        folder = options.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        tiles = plan(view, FRAME, MODEL)
        for index in range(options.count):
            if index % 6 == 0:
                scene = Scene(FRAME, TRAINING_SEEDS + index // 6)
            scene.frame(101 * index, frame)
            cutter.cut(frame, tiles[index % len(tiles)], image, "bgr")
            cv2.imwrite(str(folder / f"{index:04}.png"), image)
        if not options.json:
            print(f"written: {options.count} pictures in {folder}")
    if options.json:
        folders = [str(options.folder / name) for name in ("large", "small")]
        print(json.dumps({"folders": folders, "count": options.count}))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
