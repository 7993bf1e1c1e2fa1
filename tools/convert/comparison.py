"""Float against its quantised builds on a labelled set, in the vendor's simulator.

Where int8 ruins a model it usually does so early: a stem of few channels with wide ranges is off
by a per cent, and the layers behind it amplify that. Measured with YOLOX-nano on 60 COCO images:
float 0.338, int8 0.12 to 0.20, but with the first 30 of its 270 tensors in float16 0.34 to 0.35.
So what is tried instead is a beginning of the network in float16, as far as an analysis of all
layers says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console

from actors.runtimes.contract import ComputeError, RuntimeSpec
from actors.runtimes.registry import open_runtime

from ..scoring import CocoMap
from .builds import Bench, Built, Choice
from .errors import ConvertError
from .labelled import Drift, LabelledSet, Model, Run, detect, drift, score
from .options import Options
from .progress import Progress, say
from .settings import FLOAT

ALLOWED = 0.02
"""Loss of mAP from which int8 is said to ruin a model."""
_GOOD_ENOUGH = 0.01
# The cosine below which an output is no longer what float gives; YOLOv8n, which int8 leaves whole,
# falls to 0.92 in single layers and is above 0.98 at its outputs, YOLOX-nano to 0.2.
_BROKEN = 0.9
_FEWEST = 8

Rows = Sequence[npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Deviation:
    """How far a quantised layer's output is from float: cosines, 1 for none."""

    kind: str
    name: str
    up_to_it: float
    alone: float


@dataclass(frozen=True)
class Entry:
    """A build and what it finds. `built`, `bytes` and `drift` are None for the ONNX file itself."""

    name: str
    scores: CocoMap
    drift: Drift | None = None
    built: Built | None = None
    bytes: int | None = None
    images: int = 0

    @property
    def map(self) -> float:
        return self.scores.map or 0.0


@dataclass(frozen=True)
class Comparison:
    """A report. `failures` are builds that the toolkit refused, and why."""

    model: str
    target: str
    images: int
    reference: Entry
    entries: tuple[Entry, ...]
    alternatives: tuple[Entry, ...]
    """What was tried because int8 loses too much."""
    failures: tuple[tuple[str, str], ...]
    deviations: tuple[Deviation, ...]
    analysed: str
    """The build that has these layers."""
    warnings: tuple[str, ...]
    toolkit: str

    @property
    def best(self) -> Entry | None:
        """The best of the algorithms that were compared."""
        return max(self.entries, key=lambda entry: entry.map, default=None)

    @property
    def holds(self) -> bool:
        """Whether the best of them loses no more than ALLOWED."""
        return self.best is not None and self.loss(self.best) <= ALLOWED

    @property
    def recommended(self) -> Entry | None:
        """What to use: the best of int8 if that holds, else the cheapest alternative that does."""
        if self.holds:
            return self.best
        sound = [entry for entry in self.alternatives if self.loss(entry) <= ALLOWED]
        return min(sound, key=lambda entry: entry.bytes or 0, default=None)

    def loss(self, entry: Entry) -> float:
        """Of mAP, against float."""
        return self.reference.map - entry.map

    @property
    def verdict(self) -> str:
        """The report in a sentence or two."""
        best, chosen = self.best, self.recommended
        if best is None:
            return "NO ALGORITHM COULD BE BUILT; see the log"
        if self.holds:
            return f"int8 holds: {best.name} loses {max(self.loss(best), 0):.3f} mAP"
        text = (
            f"INT8 RUINS THIS MODEL: at best ({best.name}) mAP falls from {self.reference.map:.3f} "
            f"to {best.map:.3f}."
        )
        if chosen is None:
            return f"{text} Nothing that was tried is within {ALLOWED} of float."
        return f"{text} Use {chosen.name}: {chosen.map:.3f} ({_option(chosen)})."

    def as_json(self) -> dict[str, Any]:
        """Everything, for a program."""
        chosen = self.recommended
        return {
            "model": self.model,
            "target": self.target,
            "images": self.images,
            "float": _entry_json(self.reference, self),
            "entries": [_entry_json(entry, self) for entry in self.entries],
            "alternatives": [_entry_json(entry, self) for entry in self.alternatives],
            "recommended": chosen.name if chosen else None,
            "holds": self.holds,
            "verdict": self.verdict,
            "failures": dict(self.failures),
            "worst_layers": [vars(d) for d in worst(self.deviations)],
        }


def _option(entry: Entry) -> str:
    """The arguments that make it."""
    assert entry.built is not None
    choice = entry.built.choice
    if not choice.quantised:
        return f"--dtype {choice.dtype}"
    return f"--algorithm {choice.algorithm} --hybrid {len(choice.floating)}"


def _entry_json(entry: Entry, comparison: Comparison) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": entry.name,
        "map": entry.scores.map,
        "ap50": entry.scores.ap50,
        "ap75": entry.scores.ap75,
        "by_size": entry.scores.by_size,
        "loss": comparison.loss(entry),
    }
    if entry.drift is not None and entry.built is not None:
        found |= {
            "score_drift": entry.drift.mean,
            "lost": entry.drift.lost,
            "of": len(entry.drift.pairs),
            "bytes": entry.bytes,
            "cycles": entry.built.cycles,
            "megabytes": entry.built.megabytes,
            "seconds": entry.built.seconds,
            "calibration_images": entry.images,
            "floating": list(entry.built.choice.floating),
            "fused": dict(entry.built.fused),
            "on_cpu": [layer.kind + ":" + layer.name for layer in entry.built.on_cpu],
        }
    return found


def worst(deviations: Sequence[Deviation], count: int = 12) -> list[Deviation]:
    """Those that are furthest off by themselves."""
    return sorted(deviations, key=lambda d: d.alone)[:count]


class _Meter:
    """Builds and measures one after another, against one reference."""

    def __init__(self, bench: Bench, known: LabelledSet, progress: Progress) -> None:
        self.bench = bench
        self.known = known
        self.progress = progress
        self.failures: list[tuple[str, str]] = []
        with progress.step(f"float32: {len(known.paths)} images"):
            self._float = self._detect(_float_run(bench))
        self.reference = Entry("float32", self._score(self._float))

    def measure(self, name: str, choice: Choice) -> Entry | None:
        """None, and a failure noted, where it cannot be built."""
        try:
            with self.progress.step(f"{name}: building"):
                built = self.bench.build(choice)
                path = self.bench.toolkit.folder / "measured.rknn"
                self.bench.toolkit.ask("export", path=str(path))
                self.bench.toolkit.ask("open")
            with self.progress.step(f"{name}: {len(self.known.paths)} images in the simulator"):
                rows = self._detect(lambda pixels: self.bench.toolkit.run(pixels)[0])
        except (ConvertError, ComputeError) as error:
            self.failures.append((name, str(error)))
            return None
        return Entry(
            name,
            self._score(rows),
            drift(self._float, rows),
            built,
            path.stat().st_size,
            self.bench.images(choice),
        )

    def _detect(self, run: Run) -> Rows:
        return list(detect(run, self.bench.prepared.model, self.known.paths))

    def _score(self, rows: Rows) -> CocoMap:
        return score(rows, self.bench.prepared.model, self.known)


def _float_run(bench: Bench) -> Run:
    prepared = bench.prepared
    spec = RuntimeSpec(
        kind="onnx",
        path=str(prepared.path),
        size=prepared.model.size,
        mean=prepared.mean,
        std=prepared.std,
    )
    return open_runtime(spec).run


def compare(
    bench: Bench, options: Options, known: LabelledSet, progress: Progress, console: Console
) -> Comparison:
    """Measure float, every algorithm asked for, and what helps where these do not."""
    meter = _Meter(bench, known, progress)
    plain = Choice(method=options.method, target=options.target)
    if options.dtype != FLOAT:
        plain = replace(plain, dtype=options.dtype)
    names = {name: f"{plain.dtype} {name}" for name in options.algorithms}
    entries = list[Entry]()
    for algorithm, name in names.items():
        entry = meter.measure(name, replace(plain, algorithm=algorithm))
        if entry is not None:
            entries.append(entry)
            say(console, f"{name}: mAP {entry.map:.3f}")
    best = max((entry.map for entry in entries), default=0.0)
    analysed = _to_analyse(entries)
    alternatives, deviations = list[Entry](), list[Deviation]()
    if analysed is not None and analysed.built is not None:
        with progress.step(f"{analysed.name}: comparing layers with float"):
            deviations = analyse(bench, analysed.built.choice)
        if meter.reference.map - best > ALLOWED:
            alternatives = _alternatives(meter, analysed.built.choice, deviations, console)
    return Comparison(
        model=bench.prepared.source.name,
        target=options.target,
        images=len(known.paths),
        reference=meter.reference,
        entries=tuple(entries),
        alternatives=tuple(alternatives),
        failures=tuple(meter.failures),
        deviations=tuple(deviations),
        analysed=analysed.name if analysed else "",
        warnings=(*bench.prepared.warnings, *_shared_images(bench, known)),
        toolkit=bench.toolkit.ask("hello")["toolkit"],
    )


def _to_analyse(entries: Sequence[Entry]) -> Entry | None:
    """The build whose layers are compared and hybrids are made from: normal, where it is there.

    Once the beginning that int8 breaks is float, narrower ranges only cost: YOLOX-nano with its
    first 30 tensors float has 0.353 and loses 22 of 411 sure boxes with normal, 0.338 and 50 with
    kl_divergence. Mmse measures weights anew in every build, which takes minutes.
    """
    built = {entry.built.choice.algorithm: entry for entry in entries if entry.built}
    order = ("normal", "kl_divergence", "mmse")
    return next((built[name] for name in order if name in built), None)


def check_labels(model: Model, known: LabelledSet) -> None:
    """ConvertError where the set cannot be about this model's classes."""
    if model.labels and not set(model.labels) & set(known.categories):
        raise ConvertError(
            f"--report: none of the model's labels ({', '.join(model.labels[:3])}, ...) is a "
            "category of the set; give a set of the model's classes, or --labels FILE"
        )
    if not model.labels and len(known.categories) != model.head.classes:
        raise ConvertError(
            f"--report: the model has {model.head.classes} classes without names and the set has "
            f"{len(known.categories)} categories; give --labels FILE"
        )


def _shared_images(bench: Bench, known: LabelledSet) -> Iterator[str]:
    used = {path.resolve() for path in bench.calibration.sources} if bench.calibration else set()
    count = len(used & {path.resolve() for path in known.paths})
    if count:
        yield (
            f"{count} of the {len(known.paths)} images measured here are calibration images too, "
            "which flatters int8 a little; give a --dataset of others"
        )


def _alternatives(
    meter: _Meter, choice: Choice, deviations: Sequence[Deviation], console: Console
) -> list[Entry]:
    """Hybrids, the shortest first, until one is as good as float; then what is not int8 at all."""
    found = list[Entry]()

    def attempt(name: str, other: Choice) -> bool:
        entry = meter.measure(name, other)
        if entry is None:
            return False
        found.append(entry)
        say(console, f"{name}: mAP {entry.map:.3f}")
        return meter.reference.map - entry.map <= _GOOD_ENOUGH

    tensors = meter.bench.tensors(choice)
    for count in beginnings(tensors, deviations):
        hybrid = replace(choice, floating=tensors[:count])
        if attempt(f"{choice.algorithm}, first {count} float16", hybrid):
            break
    attempt("w8a16", replace(choice, dtype="w8a16"))
    attempt(FLOAT, replace(choice, dtype=FLOAT))
    return found


def beginnings(tensors: Sequence[str], deviations: Sequence[Deviation]) -> list[int]:
    """How many tensors to keep float, ascending: to where the network breaks, and twice as many.

    That is the first layer whose output is no longer float's, with all that came before it; or else
    the layer that is furthest off by itself.
    """
    place = {name: number for number, name in enumerate(tensors, 1)}
    known = [one for one in deviations if one.name in place]
    broken = [place[one.name] for one in known if one.up_to_it < _BROKEN]
    off = [place[one.name] for one in worst(known, 1)]
    half = max(1, len(tensors) // 2)
    count = max([_FEWEST, *(broken[:1] or off)])
    counts = []
    while count < half:
        counts.append(count)
        count *= 2
    return [*counts, half]


def analyse(bench: Bench, choice: Choice) -> list[Deviation]:
    """The toolkit's comparison of every layer with float, on one calibration image."""
    bench.build(choice)
    assert bench.calibration is not None
    folder = bench.toolkit.folder / "analysis"
    image = str(bench.calibration.files[0])
    found = bench.toolkit.ask("analyse", image=image, folder=str(folder))
    return [
        Deviation(kind, name, up_to_it, alone)
        for kind, name, up_to_it, _, alone, _ in found["layers"]
    ]


def floating_by_analysis(bench: Bench, choice: Choice) -> Choice:
    """The choice, with the beginning of the network in float16, twice as far as it breaks.

    Without labelled images it is unknown how far is enough; with YOLOX-nano that much was.
    """
    tensors = bench.tensors(choice)
    counts = beginnings(tensors, analyse(bench, choice))
    return replace(choice, floating=tensors[: counts[min(1, len(counts) - 1)]])
