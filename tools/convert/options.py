"""The command's arguments, checked as far as that goes without opening the model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn, cast

from actors.config.file_errors import labels_problem, output_problem
from actors.runtimes.rknn_file import CHIP_CORES
from actors.vision.heads import HEADS

from .dataset import COUNTS
from .errors import ConvertError
from .settings import ALGORITHMS, FLOAT, QUANTISED, Convention

_EXAMPLE = """\
examples:
  tritile convert --setup
  tritile convert yolov8n.onnx -o yolov8n.rknn --dataset images/
  tritile convert yolov8n.onnx -o yolov8n.rknn --dataset images/ --report coco.json

The environment of the vendor's toolkit is made once with --setup, or named by TRITILE_TOOLKIT (the
path of a Python that has rknn-toolkit2).

exit: 0 done, 1 int8 loses too much accuracy in the report, 2 wrong arguments or input
"""

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Options:
    """What the user asked for."""

    model: Path
    output: Path | None
    dataset: Path | None
    count: int | None
    algorithm: str
    method: str
    dtype: str
    hybrid: str
    target: str
    given: Convention
    report: Path | None
    images: Path | None
    algorithms: tuple[str, ...]
    page: Path
    simulator: bool
    json: bool

    @property
    def calibration_count(self) -> int:
        """How many images to prepare: what was asked for, or what any of the algorithms uses."""
        used = (self.algorithm, *(self.algorithms if self.report else ()))
        return self.count or max(COUNTS[name] for name in used)


@dataclass(frozen=True)
class Setup:
    """--setup: make the toolkit's environment instead of converting."""

    json: bool


def parse(argv: Sequence[str] | None) -> Options | Setup:
    """The arguments, checked. ConvertError where they contradict each other."""
    given = parser().parse_args(argv)
    if given.setup:
        return Setup(json=given.json)
    if given.model is None:
        raise ConvertError("no model; give the .onnx file")
    if given.output is None and given.report is None:
        raise ConvertError("nothing to do; give -o MODEL.rknn, or --report COCO.json, or both")
    if given.dataset is None and (given.dtype != FLOAT or given.report is not None):
        raise ConvertError(
            "quantisation needs images to measure with; give --dataset FOLDER, or --dtype float16"
        )
    name: Path = given.output or Path(given.model.name)
    page: Path = given.page or name.with_suffix(".report.html")
    _check_paths(given, page)
    unknown = [name for name in given.algorithms.split(",") if name not in ALGORITHMS]
    if unknown:
        raise ConvertError(f"--algorithms {unknown[0]}: there are {', '.join(ALGORITHMS)}")
    if given.simulator and given.output is None:
        raise ConvertError("--simulator keeps what lies beside the .rknn; give -o MODEL.rknn")
    if given.simulator and given.hybrid == "toolkit":
        raise ConvertError(
            "--simulator cannot keep the toolkit's own hybrid; give --hybrid analysis"
        )
    if given.simulator and given.algorithm == "mmse" and given.dtype != FLOAT:
        raise ConvertError(
            "--simulator builds at every start, which takes minutes with mmse; give another "
            "--algorithm"
        )
    if given.hybrid != "none" and given.dtype == FLOAT:
        raise ConvertError("--hybrid goes with a quantised --dtype; remove one of the two")
    return Options(
        model=given.model,
        output=given.output,
        dataset=given.dataset,
        count=given.count,
        algorithm=given.algorithm,
        method=given.method,
        dtype=given.dtype,
        hybrid=given.hybrid,
        target=given.target,
        given=Convention(
            head=given.head,
            labels=_labels(given.labels),
            color=cast("Literal['rgb', 'bgr'] | None", given.color),
            mean=_triple(given.mean),
            std=_triple(given.std),
        ),
        report=given.report,
        images=given.images,
        algorithms=tuple(given.algorithms.split(",")),
        page=page,
        simulator=given.simulator,
        json=given.json,
    )


def _check_paths(given: argparse.Namespace, page: Path) -> None:
    written: Path | None = given.output
    if written is not None:
        if written.suffix.lower() != ".rknn":
            raise ConvertError(f"-o {written} must end in .rknn")
        if problem := output_problem(written, str(written)):
            raise ConvertError(f"-o {problem}")
    problem = output_problem(page, str(page), (".htm", ".html"))
    if problem and given.report is not None:
        raise ConvertError(f"--page {problem}")


def _labels(path: Path | None) -> tuple[str, ...]:
    if path is None:
        return ()
    if problem := labels_problem(path, str(path)):
        raise ConvertError(f"--labels {problem}")
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(line.strip() for line in lines if line.strip())


def _triple(values: Sequence[float] | None) -> Triple | None:
    if values is None:
        return None
    if len(values) not in (1, 3):
        raise ConvertError("--mean and --std take one number, or three, in the model's own order")
    first, second, third = values if len(values) == 3 else (values[0],) * 3
    return first, second, third


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _hybrid(text: str) -> str:
    if text not in ("none", "analysis", "toolkit") and not (text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError("must be a number of tensors, analysis or toolkit")
    return text


class _Parser(argparse.ArgumentParser):
    """Reports a wrong argument in one line."""

    def error(self, message: str) -> NoReturn:
        raise ConvertError(f"{message}; see --help")


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = _Parser(
        prog="tritile convert",
        description="Convert an ONNX detection model to .rknn, and measure what int8 makes of it.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("model", type=Path, nargs="?", help="the .onnx file")
    add("-o", "--output", type=Path, metavar="MODEL.rknn")
    add("--dataset", type=Path, help="calibration: a folder of images, or a text file naming them")
    counts = ", ".join(f"{name} {count}" for name, count in COUNTS.items())
    add("--count", type=_positive, help=f"calibration images to use ({counts})")
    add("--algorithm", choices=ALGORITHMS, default="normal")
    add("--method", choices=("channel", "layer"), default="channel", help="scales of the weights")
    add("--dtype", choices=(*QUANTISED, FLOAT), default="w8a8", help="float16: no quantisation")
    add(
        "--hybrid",
        type=_hybrid,
        default="none",
        metavar="N|analysis|toolkit",
        help="keep in float16: the first N tensors, as many of these as an analysis of all layers "
        "says, or what the toolkit chooses",
    )
    add("--target", choices=tuple(CHIP_CORES), default="rk3588", help="the chip")
    add("--head", choices=tuple(HEADS), help="layout of the outputs; absent: found out")
    add("--labels", type=Path, metavar="FILE", help="class names, one a line")
    add("--color", choices=("rgb", "bgr"), help="channel order that the model takes")
    add("--mean", type=float, nargs="+", metavar="N", help="subtracted from 0..255")
    add("--std", type=float, nargs="+", metavar="N", help="divides after that")
    add("--report", type=Path, metavar="COCO.json", help="measure float against int8 on this set")
    add("--images", type=Path, metavar="FOLDER", help="the set's images; absent: beside it")
    add("--algorithms", default=",".join(ALGORITHMS), help="to compare in the report")
    add("--page", type=Path, metavar="FILE.html", help="the report's page; absent: by the output")
    add("--simulator", action="store_true", help='keep what runtime = "simulator" runs')
    add("--json", action="store_true", help="one JSON object on stdout")
    add("--setup", action="store_true", help="make the toolkit's environment")
    return made
