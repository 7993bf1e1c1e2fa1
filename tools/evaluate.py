"""Run a topology and compare the detections that it publishes with ground truth.

Right, wrong and missed by score, in total and by size, recall and precision, COCO's mAP, and frames
per second beside them; for one topology, or for several variants of it, each a run of its own:

  --tilings whole,2x2,tiles,whole+tiles    the usual views of the frame, each by the model that has
                                           it (small@whole: by the model "small")
  --vary NAME KEY=VALUE [KEY=VALUE ...]    any variant, written as for --set

The truth is "synthetic" (the drawn scene's own), a file in COCO's format for a folder of images, or
a JSON file about a video's frames (see tools/ground_truth.py).

Models report everything from --conf on, and the thresholds are applied afterwards. Merging has then
seen the weak boxes too: a run with that conf of its own differs a little (on the street video at
0.25, whole frame and tiles: recall 0.876 for 0.878, precision 0.840 for 0.834). mAP as it is
published takes --conf 0.001, and is higher (YOLOv8n on 60 images of COCO: 0.442 for 0.422).
An ignored or crowd box is not a target, and finding it is not a mistake.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from actors.config.errors import TopologyError
from actors.config.file_errors import output_problem
from actors.config.loading import load
from actors.config.schema import Topology
from actors.sources.classify import source_kind
from actors.system.text import printable

from .entry import missing, run
from .evaluation_report import Criteria, ScoredVariant, as_json, plot, show
from .ground_truth import SYNTHETIC, GroundTruth, GroundTruthError, read_truth
from .printing import ProgressLines, console
from .run_harness import HarnessError
from .scoring import COCO_SIZES, coco_map, judge
from .topology_variants import RunError, Variant, VariantError, VariantRun, run_variant, tilings

_EXAMPLE = """\
examples:
  tritile evaluate topology.toml --truth synthetic
  tritile evaluate topology.toml --truth instances.json --set streams.cam0.source=images
  tritile evaluate topology.toml --truth street_gt.json --plot curves.png \\
      --set streams.cam0.source=street.mp4 --tilings whole,2x2,tiles,whole+tiles
  tritile evaluate topology.toml --truth synthetic --vary nms merge.method=nms \\
      --vary "nmm, IoS" merge.method=nmm merge.metric=ios

exit: 0 done, 1 a run or the plot failed, 2 wrong arguments, topology or truth
"""
_THRESHOLDS = tuple(round(0.1 * step, 1) for step in range(1, 10))
_ENDLESS_FRAMES = 300


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry; returns its exit code."""
    arguments = parser()
    options = arguments.parse_args(argv)
    criteria = _criteria(arguments, options)
    # Checked first, not after minutes of running.
    if absent := missing("pycocotools", *(["matplotlib"] if options.plot else [])):
        print(f"evaluate: {absent}", file=sys.stderr)
        return 2
    try:
        scored = _evaluate(options, criteria)
    except TopologyError as error:
        print("\n".join(error.lines()), file=sys.stderr)
        return 2
    except (GroundTruthError, VariantError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        print(error if error.wrong_input else f"evaluate: the run failed: {error}", file=sys.stderr)
        return 2 if error.wrong_input else 1
    except HarnessError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    drawn: Path | None = options.plot
    if drawn is not None:
        try:
            plot(criteria, drawn, scored)
        except OSError as error:
            print(f"evaluate: {drawn} cannot be written: {error.strerror}", file=sys.stderr)
            drawn = None
    if options.json:
        plotted = {"plot": None if drawn is None else str(drawn)}
        print(json.dumps(as_json(criteria, scored) | plotted))
    else:
        show(criteria, scored)
        if drawn is not None:
            print(f"curves: {drawn}")
    return 0 if drawn == options.plot else 1


def _evaluate(options: argparse.Namespace, criteria: Criteria) -> list[ScoredVariant]:
    """Every variant run and judged. Nothing runs before all of them are known to be sound."""
    topology = load(options.topology, options.set)
    streams = list(topology.streams)
    if options.stream is not None:
        if options.stream not in streams:
            raise VariantError(f"--stream {options.stream}: the streams are {', '.join(streams)}")
        streams = [options.stream]
    sources = {name: topology.streams[name].source for name in streams}
    truth = read_truth(options.truth, sources, options.label)
    variants = _variants(options, topology)
    common = _common_settings(options, topology)
    runs = [(variant, [*common, *variant.settings]) for variant in variants]
    for variant, settings in runs:
        try:
            load(options.topology, settings)
        except TopologyError as error:
            lines = "\n".join(error.lines())
            raise VariantError(f"{variant.name}: {lines}") from None
    frames = options.frames or truth.frames or _ENDLESS_FRAMES
    scored = []
    with _progress(frames * len(topology.streams)) as start:
        for variant, settings in runs:
            launch = [part for setting in settings for part in ("--set", setting)]
            launch += ["--frames", str(frames)]
            tick = start(variant.name)
            ran = run_variant(options.topology, variant, launch, truth, streams, tick)
            _must_compare(options.truth, ran, truth)
            verdicts = judge(zip(ran.targets, ran.found, strict=True), criteria.iou)
            average = coco_map(ran.targets, ran.found, criteria.sizes)
            scored.append(ScoredVariant(ran, verdicts, average))
    return scored


def _variants(options: argparse.Namespace, topology: Topology) -> list[Variant]:
    variants = list(tilings(options.tilings, topology)) if options.tilings else []
    for name, *settings in options.vary:
        if "=" in name:
            raise VariantError(f'--vary {name}: a name comes first, as in --vary "{name}" {name}')
        variants.append(Variant(name, tuple(settings)))
    names = [variant.name for variant in variants]
    for name in names:
        if names.count(name) > 1:
            raise VariantError(f'two variants are called "{name}"; give each a name of its own')
    return variants or [Variant(options.topology.stem)]


def _common_settings(options: argparse.Namespace, topology: Topology) -> list[str]:
    """The user's, and what an evaluation needs: low scores too, an end, and no outputs."""
    settings = list(options.set)
    settings += [f"models.{name}.conf={options.conf}" for name in topology.models]
    for name, stream in topology.streams.items():
        if source_kind(stream.source) in ("file", "folder", "glob"):
            settings.append(f"streams.{name}.loop=false")
    settings += ["render={}", "results={}"]
    if options.truth == SYNTHETIC:
        settings.append("results.ground_truth=true")
    return settings


def _must_compare(name: str, ran: VariantRun, truth: GroundTruth) -> None:
    """GroundTruthError where the run and the truth have no frame or no label in common."""
    if not ran.counted:
        raise GroundTruthError(
            f"{name}: none of the {ran.frames} frames that were published is annotated; give the "
            "source that it is about"
        )
    if ran.unknown_labels and not ran.detections:
        wanted = sorted(truth.labels)[:5]
        given = [label for label, _ in ran.unknown_labels.most_common(5)]
        raise GroundTruthError(
            f"{name}: its labels are {', '.join(wanted)} and the run found only "
            f"{', '.join(given)}; make them the same: --set models.NAME.labels=FILE, or --label "
            "for objects of a video that have none"
        )


@contextmanager
def _progress(frames: int) -> Iterator[Callable[[str], Callable[[], None]]]:
    """On stderr: bars on a terminal, elsewhere a line when a variant starts and every 5 s."""
    err = console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    shown = err.is_terminal
    with Progress(*columns, TimeRemainingColumn(), console=err, disable=not shown) as progress:

        def start(name: str) -> Callable[[], None]:
            task = progress.add_task(printable(name), total=frames)
            lines = None if shown else ProgressLines(f"evaluate: {printable(name)}", frames)

            def tick() -> None:
                progress.advance(task)
                if lines is not None:
                    lines.tick()

            return tick

        yield start


# ---------------------------------------------------------------- arguments


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog="tritile evaluate",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("topology", type=Path, metavar="TOPOLOGY.toml")
    add("--truth", required=True, metavar="FILE", help='a JSON file, or "synthetic"')
    add("--label", help="of a video's objects that have none (default: person)")
    add("--stream", metavar="NAME", help="count only this one")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="as `launch` takes it")
    add(
        "--frames",
        type=_positive,
        metavar="N",
        help=f"of each source (default: as many as are annotated; a scene: {_ENDLESS_FRAMES})",
    )
    add("--tilings", metavar="LIST", help="as in whole,2x2,tiles,whole+tiles,MODEL@whole")
    add(
        "--vary",
        nargs="+",
        action="append",
        default=[],
        metavar=("NAME", "KEY=VALUE"),
        help="a variant (repeatable); without values: the topology as it is",
    )
    add(
        "--thresholds",
        type=_numbers,
        default=_THRESHOLDS,
        metavar="LIST",
        help="default: 0.1,0.2..",
    )
    add("--conf", type=float, default=0.05, help="score that models report from (default: 0.05)")
    add("--iou", type=float, default=0.5, help="from which a detection is right (default: 0.5)")
    add("--sizes", type=_numbers, default=COCO_SIZES, metavar="A,B", help="default: 32,96 pixels")
    add("--plot", type=Path, metavar="FILE", help="draw curves: .png, .svg or .pdf")
    add("--json", action="store_true", help="one JSON object on stdout")
    return made


def _criteria(arguments: argparse.ArgumentParser, options: argparse.Namespace) -> Criteria:
    if not all(0 < score < 1 for score in options.thresholds):
        arguments.error("--thresholds: a score lies between 0 and 1, as in --thresholds 0.25,0.5")
    if not 0 < options.conf < 1:
        arguments.error(f"--conf is {options.conf:g}; give a score between 0 and 1")
    if not 0 < options.iou <= 1:
        arguments.error(f"--iou is {options.iou:g}; give more than 0 and at most 1")
    if len(options.sizes) != 2 or not 0 < options.sizes[0] < options.sizes[1] < np.inf:
        arguments.error("--sizes: give two sides in pixels, the smaller first, as in --sizes 32,96")
    if options.plot is not None:
        problem = output_problem(
            options.plot.absolute(), str(options.plot), (".png", ".svg", ".pdf")
        )
        if problem:
            arguments.error(f"--plot: {problem}")
    return Criteria(
        topology=options.topology,
        truth=options.truth,
        conf=options.conf,
        thresholds=sorted(options.thresholds),
        iou=options.iou,
        sizes=tuple(options.sizes),
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of frames from 1 on")
    return int(text)


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f'"{text}" is not a list of numbers, as 0.25,0.5'
        ) from None


if __name__ == "__main__":
    sys.exit(run(main))
