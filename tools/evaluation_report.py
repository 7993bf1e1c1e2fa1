"""The report of an evaluation: tables for a person, an object for `--json`, and curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from .printing import console
from .scoring import CocoMap, Count, Verdicts, count, precision_recall, size_ranges
from .topology_variants import VariantRun

if TYPE_CHECKING:  # matplotlib is an extra
    from matplotlib.figure import Figure

# Of a table that is not written to a terminal.
_WIDTH = 120


@dataclass(frozen=True)
class Criteria:
    """What was evaluated, and how detections are judged."""

    topology: Path
    truth: str
    conf: float
    """The score from which models report."""
    thresholds: Sequence[float]
    """Scores from which a detection counts."""
    iou: float
    """From which a detection is right."""
    sizes: tuple[float, float]
    """Sides in pixels that part small, medium and large."""


@dataclass(frozen=True, eq=False)
class ScoredVariant:
    """One variant's run, judged."""

    ran: VariantRun
    verdicts: Verdicts
    map: CocoMap


def as_json(criteria: Criteria, scored: Sequence[ScoredVariant]) -> dict[str, Any]:
    return {
        "topology": str(criteria.topology),
        "truth": criteria.truth,
        "conf": criteria.conf,
        "iou": criteria.iou,
        "sizes": criteria.sizes,
        "variants": [
            {
                "name": one.ran.variant.name,
                "settings": list(one.ran.variant.settings),
                "frames": one.ran.frames,
                "counted": one.ran.counted,
                "incomplete": one.ran.incomplete,
                "lost": one.ran.lost,
                "not_counted": dict(one.ran.unknown_labels),
                "seconds": one.ran.seconds,
                "fps": one.ran.fps,
                "emulated": one.ran.emulated,
                "simulated": one.ran.simulated,
                **asdict(one.map),
                "thresholds": [
                    {
                        "score": score,
                        **_count_as_json(count(one.verdicts, score)),
                        **{
                            size: _count_as_json(count(one.verdicts, score, *areas))
                            for size, areas in size_ranges(criteria.sizes).items()
                        },
                    }
                    for score in criteria.thresholds
                ],
            }
            for one in scored
        ],
    }


def _count_as_json(counted: Count) -> dict[str, Any]:
    return {**asdict(counted), "recall": counted.recall, "precision": counted.precision}


def show(criteria: Criteria, scored: Sequence[ScoredVariant]) -> None:
    out = console()
    if not out.is_terminal:
        out.width = _WIDTH
    small, medium = (f"{side:g}" for side in criteria.sizes)
    out.print(
        f"{criteria.topology} against {criteria.truth}: right is IoU >= {criteria.iou:g}; "
        f"small below {small}x{small} pixels, medium below {medium}x{medium} (right/wrong/missed); "
        f"models run at conf {criteria.conf:g}, where mAP's curve ends",
        soft_wrap=True,
    )
    out.print(_summary(scored))
    out.print(_curves(criteria, scored))
    for one in scored:
        for remark in _remarks(one.ran):
            out.print(f"{one.ran.variant.name}: {remark}", style="yellow", soft_wrap=True)


def _summary(scored: Sequence[ScoredVariant]) -> Table:
    table = _table(
        "variant", "frames", "mAP", "AP50", "AP75", "small", "medium", "large", "frames/s"
    )
    for one in scored:
        sizes = map(_part, one.map.by_size.values())
        table.add_row(
            one.ran.variant.name,
            str(one.ran.counted),
            *map(_part, (one.map.map, one.map.ap50, one.map.ap75)),
            *sizes,
            _rate(one.ran),
        )
    return table


def _curves(criteria: Criteria, scored: Sequence[ScoredVariant]) -> Table:
    table = _table("variant", "score", "right", "wrong", "missed", "recall", "precision")
    ranges = size_ranges(criteria.sizes)
    for size in ranges:
        table.add_column(size, justify="right", overflow="fold")
    for one in scored:
        table.add_section()
        for place, score in enumerate(criteria.thresholds):
            total = count(one.verdicts, score)
            by_size = [count(one.verdicts, score, *areas) for areas in ranges.values()]
            table.add_row(
                "" if place else one.ran.variant.name,
                f"{score:g}",
                *map(str, (total.right, total.wrong, total.missed)),
                *map(_part, (total.recall, total.precision)),
                *(f"{part.right}/{part.wrong}/{part.missed}" for part in by_size),
            )
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    # Where the terminal is narrow a figure is wrapped, not cut.
    table.add_column(first, overflow="fold")
    for other in others:
        table.add_column(other, justify="right", overflow="fold")
    return table


def _rate(ran: VariantRun) -> str:
    rate = "-" if ran.fps is None else f"{ran.fps:.1f}"
    return rate + " EMULATED" * ran.emulated + " SIMULATED" * ran.simulated


def _part(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _remarks(ran: VariantRun) -> Iterator[str]:
    """What a reader of the figures must know."""
    if ran.emulated:
        yield "EMULATED cores: the rate is a plan's, and what was found means nothing"
    if ran.simulated:
        yield "SIMULATED by the vendor's toolkit: the rate means nothing"
    if ran.incomplete:
        many = "1 frame is" if ran.incomplete == 1 else f"{ran.incomplete} frames are"
        yield f"{many} incomplete: a part of it was not looked at, and counts as missed"
    if ran.lost:
        yield f"{ran.lost} results did not come: dropped by a live source, or lost"
    if ran.frames > ran.counted:
        yield f"{ran.frames - ran.counted} of {ran.frames} frames are not annotated: not counted"
    if ran.unknown_labels:
        most = ", ".join(f"{number} {label}" for label, number in ran.unknown_labels.most_common(4))
        yield (
            f"{ran.unknown_labels.total()} detections are of labels without targets and do not "
            f"count: {most}{', ...' if len(ran.unknown_labels) > 4 else ''}"
        )


def plot(criteria: Criteria, path: Path, scored: Sequence[ScoredVariant]) -> None:
    """Draw the curves into a file. OSError when it cannot be written."""
    curves(criteria, scored).savefig(path, dpi=120)


def curves(criteria: Criteria, scored: Sequence[ScoredVariant]) -> Figure:
    """Recall and precision over the score, and precision over recall, a line a variant."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.8), layout="constrained")
    by_recall, by_precision, curve = figure.subplots(1, 3)
    scores = np.linspace(criteria.conf, 1.0, 201)
    for one in scored:
        name = _label(one)
        counts = [count(one.verdicts, score) for score in scores]
        for axes, what in ((by_recall, "recall"), (by_precision, "precision")):
            values = [getattr(counted, what) for counted in counts]
            axes.plot(scores, [np.nan if v is None else v for v in values], label=name)
        own_scores, recall, precision = precision_recall(one.verdicts)
        (line,) = curve.plot(recall, precision, label=name)
        # The thresholds asked for, as points on the curve.
        for score in criteria.thresholds:
            place = int(np.sum(own_scores >= score)) - 1
            if place >= 0:
                curve.plot(recall[place], precision[place], "o", color=line.get_color(), ms=3.5)
                if len(scored) == 1:
                    point = (recall[place], precision[place])
                    curve.annotate(
                        f"{score:g}",
                        point,
                        xytext=(-3, -9),
                        textcoords="offset points",
                        ha="right",
                        fontsize=8,
                    )
    for axes, what in ((by_recall, "recall"), (by_precision, "precision")):
        axes.set(xlabel="score from which a detection counts", ylabel=what)
    curve.set(xlabel="recall", ylabel="precision")
    curve.set_title("points: scores from which a detection counts", fontsize=9)
    for axes in (by_recall, by_precision, curve):
        axes.set(xlim=(0, 1.04), ylim=(0, 1.04))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(
        f"{criteria.topology.name}, right is IoU >= {criteria.iou:g}".replace("$", r"\$")
    )
    return figure


def _label(one: ScoredVariant) -> str:
    """A variant's name as matplotlib shows it as it is: $ is mathematics, _ first hides it."""
    return " " * one.ran.variant.name.startswith("_") + one.ran.variant.name.replace("$", r"\$")
