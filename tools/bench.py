"""Benchmarks of the pipeline: `python -m tools.bench NAME`.

saturation  Emulated cores at 13.6 ms a tile, six tiles a 1080p frame: which share of what the cores
            allow is reached, and how busy each core is. The limits are computed: three cores give
            36.8 frames/s of six tiles, and 31.5 where a second model looks at the whole frame too.
pipeline    A model that takes no time: how many frames a second everything else allows, and what a
            frame costs each actor in processor time.

Ratios are against the limit in the same run. Absolute rates depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from tools import placeholder_model, scene
from tools.run_harness import Harness, HarnessError, pids, shared_file

LATENCY_MS = 13.6
CORES = 3
TILES = 6
WANTED_SHARE = 0.95
_EXAMPLE = """\
examples:
  python -m tools.bench saturation
  python -m tools.bench saturation --video street.mp4 --model yolov8n.onnx --seconds 60 --json
  python -m tools.bench pipeline
"""


@dataclass(frozen=True)
class Measured:
    """One case. Rates in frames per second, `cpu_ms` in milliseconds of processor time a frame."""

    case: str
    fps: float
    frames: int
    seconds: float
    cores: list[dict[str, float]]
    cpu_ms: dict[str, float]
    limit: float | None = None

    @property
    def share(self) -> float | None:
        """Of the limit."""
        return None if self.limit is None else self.fps / self.limit


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry: 0 measured and good enough, 1 not good enough, 2 wrong input."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=("saturation", "pipeline"), metavar="NAME")
    parser.add_argument("--video", type=Path, help="default: the real street video, else our own")
    parser.add_argument("--model", type=Path, help="ONNX file, 640x640; default: YOLOv8n, else own")
    parser.add_argument("--seconds", type=float, default=20.0, help="measured time of each case")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args(argv)
    for path in (options.video, options.model):
        if path is not None and not path.is_file():
            print(f"bench: {path}: there is no such file", file=sys.stderr)
            return 2
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tritile-")))
            video = options.video or shared_file("street/street.mp4") or _own_video(folder)
            model = options.model or shared_file("models/yolov8n_zoo9.onnx") or _own_model(folder)
            if options.name == "saturation":
                results = _saturation(video.resolve(), model.resolve(), options.seconds)
            else:
                results = _pipeline(video.resolve(), options.seconds)
            _report(options, results, {"video": video.name, "model": model.name})
    except HarnessError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    good = all(result.share is None or result.share >= WANTED_SHARE for result in results)
    return 0 if good else 1


def _own_video(folder: Path) -> Path:
    path = folder / "scene.mp4"
    scene.write_video(path, frames=120)
    return path


def _own_model(folder: Path) -> Path:
    path = folder / "placeholder.onnx"
    placeholder_model.write(path)
    return path


# ---------------------------------------------------------------- cases


def _saturation(video: Path, model: Path, seconds: float) -> list[Measured]:
    tables = _stream(video) + _emulated("small", model) + _stage("small", "tiles")
    one = _measure("one model: six tiles", tables + _workers(["small"]), seconds)
    tables += _emulated("large", model) + _stage("large", "frame")
    two = _measure(
        "two models: whole frame and six tiles", tables + _workers(["large", "small"]), seconds
    )
    rate = CORES * 1000 / LATENCY_MS
    return [_with_limit(one, rate / TILES), _with_limit(two, rate / (TILES + 1))]


def _pipeline(video: Path, seconds: float) -> list[Measured]:
    instant = '[models.small]\nruntime = "instant"\n'
    tables = instant + _stage("small", "tiles") + _workers(["small"])
    return [_measure("instant model: six tiles", _stream(video) + tables, seconds)]


def _stream(video: Path) -> str:
    return f"[streams.cam0]\nsource = {json.dumps(str(video))}\nloop = true\n"


def _emulated(name: str, model: Path) -> str:
    return (
        f'[models.{name}]\npath = {json.dumps(str(model))}\nruntime = "emulated"\n'
        f"latency_ms = {LATENCY_MS}\n"
    )


def _stage(model: str, view: str) -> str:
    return f'[stages.{model}]\nmodel = "{model}"\nview = "{view}"\n'


def _workers(models: list[str]) -> str:
    return "".join(
        f"[workers.npu{core}]\ncore = {core}\nmodels = {json.dumps(models)}\n"
        for core in range(CORES)
    )


def _with_limit(measured: Measured, limit: float) -> Measured:
    return Measured(**{**vars(measured), "limit": limit})


def _measure(case: str, topology: str, seconds: float) -> Measured:
    """Run the topology, let it settle, and measure over that time."""
    with Harness(topology) as harness, harness.subscriber() as results:
        harness.wait_until_running()
        settled = time.monotonic() + 3.0
        for _ in results:
            if time.monotonic() > settled:
                break
        before, begin = harness.status(), time.monotonic()
        used = _cpu_seconds(before)
        first = last = next(results)
        for result in results:
            last = result
            if time.monotonic() > begin + seconds:
                break
        after, elapsed = harness.status(), time.monotonic() - begin
        frames = last.seq - first.seq
        jobs = {core["core"]: core["jobs"] for core in before["cores"]}
        return Measured(
            case=case,
            fps=frames / ((last.published_ns - first.published_ns) / 1e9),
            frames=frames,
            seconds=elapsed,
            cores=[
                {
                    "core": core["core"],
                    "busy": (core["jobs"] - jobs[core["core"]]) * LATENCY_MS / 1000 / elapsed
                    if "instant" not in case
                    else core["busy"],
                }
                for core in after["cores"]
            ],
            cpu_ms={
                name: (value - used.get(name, 0.0)) * 1000 / frames
                for name, value in _cpu_seconds(after).items()
            },
        )


def _cpu_seconds(status: dict[str, Any]) -> dict[str, float]:
    """Processor time of each actor so far, and of the supervisor."""
    used = {}
    for name, pid in pids(status).items():
        process = psutil.Process(pid)
        used[name] = sum(process.cpu_times()[:2])
        if "supervisor" not in used:
            used["supervisor"] = sum(process.parent().cpu_times()[:2])
    return used


# ---------------------------------------------------------------- report


def _report(options: argparse.Namespace, results: list[Measured], used: dict[str, str]) -> None:
    if options.json:
        cases = [{**asdict(result), "share": result.share} for result in results]
        machine = {"cpus": os.cpu_count(), **used}
        print(json.dumps({"benchmark": options.name, **machine, "cases": cases}))
        return
    console = Console(highlight=False)
    console.print(
        f"{options.name} on {os.cpu_count()} CPUs, {used['video']}"
        + (f", EMULATED cores at {LATENCY_MS} ms" if options.name == "saturation" else "")
    )
    table = Table(box=None, pad_edge=False)
    for column in ("case", "frames/s", "limit", "share", "cores busy"):
        table.add_column(column, justify="left" if column == "case" else "right")
    for result in results:
        table.add_row(
            result.case,
            f"{result.fps:.1f}",
            "-" if result.limit is None else f"{result.limit:.1f}",
            "-" if result.share is None else f"{result.share:.1%}",
            " ".join(f"{core['busy']:.0%}" for core in result.cores),
        )
    console.print(table)
    for result in results:
        parts = ", ".join(f"{name} {ms:.2f}" for name, ms in result.cpu_ms.items())
        total = sum(result.cpu_ms.values())
        console.print(f"{result.case}: {total:.2f} ms of processor time a frame: {parts}")


if __name__ == "__main__":
    sys.exit(main())
