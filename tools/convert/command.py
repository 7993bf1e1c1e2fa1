"""What `tritile convert` does: one build and its file, and a report where one is asked."""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
from rich.console import Console

from actors.runtimes.contract import ComputeError
from actors.runtimes.rknn_description import RknnDescription, kept_build_of, sha256, write
from actors.runtimes.toolkit.client import Toolkit, environment, interpreter

from ..printing import console as plain_console
from . import dataset
from . import environment as environments
from .builds import Bench, Built, Choice
from .comparison import Comparison, check_labels, compare, floating_by_analysis
from .errors import ConvertError
from .labelled import read_set
from .options import Options, Setup
from .page import write_page
from .progress import Progress, say
from .recognition import Prepared, prepare, prove
from .tables import print_built, print_comparison


def convert(options: Options | Setup) -> int:
    """Convert, or make the toolkit's environment: 0 done, 1 int8 loses too much, 2 failed."""
    console = plain_console(stderr=True)
    try:
        if isinstance(options, Setup):
            python = environments.setup(console)
            if options.json:
                print(json.dumps({"python": str(python)}))
            return 0
        return _convert(options, console)
    except (ConvertError, ComputeError) as error:
        print(f"convert: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"convert: {error.filename}: {error.strerror}; nothing was finished", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("convert: stopped; nothing more was written", file=sys.stderr)
        return 2


def _convert(options: Options, console: Console) -> int:
    cv2.setNumThreads(1)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="tritile-convert-")))
        log = _log_of(options)
        progress = Progress(console, log)
        known = read_set(options.report, options.images) if options.report else None
        images = dataset.find_images(options.dataset) if options.dataset else []
        with progress.step(f"recognising {options.model.name}"):
            prepared = prepare(options.model, options.given, folder)
        _show_model(console, prepared)
        if known is not None:
            check_labels(prepared.model, known)
        calibration = None
        if images:
            calibration = dataset.prepare(images, options.calibration_count, prepared.model, folder)
            _show_calibration(console, prepared, calibration)
        interpreter()
        log.unlink(missing_ok=True)
        toolkit = stack.enter_context(Toolkit(log))
        bench = Bench(toolkit, prepared, calibration, options.count)
        found: dict[str, Any] = {"log": str(log), "warnings": list(prepared.warnings)}
        if options.output is not None:
            built = _build(options, bench, progress)
            found |= _export(options, options.output, bench, built)
            if not options.json:
                print_built(plain_console(), options.output, built)
        holds = True
        if known is not None:
            comparison = compare(bench, options, known, progress, console)
            found["report"] = _report(options, comparison)
            holds = comparison.holds
    if options.json:
        print(json.dumps(found))
    return 0 if holds else 1


def _report(options: Options, comparison: Comparison) -> dict[str, Any]:
    """Show it and write its page; its part of the JSON object."""
    write_page(comparison, options.page)
    if not options.json:
        print_comparison(plain_console(), comparison)
        print(f"page: {options.page}")
    return comparison.as_json() | {"page": str(options.page)}


def _log_of(options: Options) -> Path:
    """Where the toolkit's noise goes: beside the output, or into the cache."""
    if options.output is not None:
        return options.output.with_name(options.output.name + ".log").absolute()
    folder = environment().parent
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"convert-{options.model.stem}.log"


def _show_model(console: Console, prepared: Prepared) -> None:
    model = prepared.model
    say(
        console,
        f"{prepared.source.name}: {model.head.name}, {model.head.classes} classes, "
        f"{model.size[0]}x{model.size[1]}, {model.color}, mean {prepared.mean[0]:g}, "
        f"std {prepared.std[0]:g}",
    )
    for remark in prepared.remarks:
        say(console, f"  {remark}")
    for warning in prepared.warnings:
        say(console, f"warning: {warning}", style="yellow")


def _show_calibration(
    console: Console, prepared: Prepared, calibration: dataset.Calibration
) -> None:
    """What is calibrated with, and that nothing was lost on the way to the toolkit's model."""
    width, height = prepared.model.size
    say(
        console,
        f"calibration: {calibration.count} of {calibration.available} images, letterboxed to "
        f"{width}x{height}",
    )
    for path in calibration.unreadable:
        say(console, f"warning: {path} cannot be read and is left out", style="yellow")
    if proof := prove(prepared, calibration.pictures(), os.cpu_count() or 1):
        say(console, f"  {proof}")


def _build(options: Options, bench: Bench, progress: Progress) -> Built:
    choice = Choice(
        algorithm=options.algorithm,
        method=options.method,
        dtype=options.dtype,
        target=options.target,
        automatic=options.hybrid == "toolkit",
    )
    if options.hybrid == "analysis":
        with progress.step("comparing layers with float"):
            choice = floating_by_analysis(bench, choice)
    if options.hybrid.isdigit():
        with progress.step("measuring ranges"):
            tensors = bench.tensors(choice)
        choice = replace(choice, floating=tensors[: int(options.hybrid)])
    what = f"{options.dtype}, {options.algorithm}" if choice.quantised else options.dtype
    with progress.step(f"building for {options.target.upper()}: {what}"):
        return bench.build(choice)


def _export(options: Options, output: Path, bench: Bench, built: Built) -> dict[str, Any]:
    """Write the .rknn and its description; their part of the JSON object."""
    bench.toolkit.ask("export", path=str(output.absolute()))
    prepared, choice = bench.prepared, built.choice
    description = RknnDescription(
        head=prepared.model.head.name,
        logits=prepared.model.head.logits,
        labels=prepared.model.labels,
        size=prepared.model.size,
        color=prepared.model.color,
        mean=prepared.mean,
        std=prepared.std,
        chip=options.target,
        algorithm=choice.algorithm if choice.quantised else None,
        method=choice.method if choice.quantised else None,
        dtype=choice.dtype,
        floating=choice.floating,
        hybrid=options.hybrid,
        calibration_images=bench.images(choice),
        toolkit=bench.toolkit.ask("hello")["toolkit"],
        source=prepared.source.name,
        source_sha256=sha256(prepared.source),
        rknn_sha256=sha256(output),
    )
    beside = write(description, output)
    kept = kept_build_of(output)
    shutil.rmtree(kept, ignore_errors=True)
    if options.simulator:
        _keep(bench, choice, kept)
    return {
        "rknn": str(output),
        "description": str(beside),
        "bytes": output.stat().st_size,
        "seconds": round(built.seconds, 1),
        "fused": dict(built.fused),
        "on_cpu": [asdict(layer) for layer in built.on_cpu],
        "float_layers": built.floats,
    }


def _keep(bench: Bench, choice: Choice, folder: Path) -> None:
    """Copy what the simulator is built from."""
    folder.mkdir()
    if not choice.quantised:
        shutil.copy(bench.prepared.path, folder / "model.onnx")
        return
    for name in ("model.model", "model.data", "model.quantization.cfg"):
        shutil.copy(bench.folder(choice) / name, folder / name)
