"""What an evaluation found out, told: tables for a person, an object for `--json`, and curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from tools.scoring import CocoMap, Count, Verdicts, count, size_ranges
from tools.topology_variants import Ran

# Of a table that is not written to a terminal.
_WIDTH = 120


@dataclass(frozen=True)
class Asked:
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
class Scored:
    """One variant's run, judged."""

    ran: Ran
    verdicts: Verdicts
    map: CocoMap


def as_json(asked: Asked, scored: Sequence[Scored]) -> dict[str, Any]:
    return {
        "topology": str(asked.topology),
        "truth": asked.truth,
        "conf": asked.conf,
        "iou": asked.iou,
        "sizes": asked.sizes,
        "variants": [
            {
                "name": one.ran.variant.name,
                "settings": list(one.ran.variant.settings),
                "frames": one.ran.frames,
                "counted": one.ran.counted,
                "incomplete": one.ran.incomplete,
                "lost": one.ran.lost,
                "not_counted": dict(one.ran.strange),
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
                            for size, areas in size_ranges(asked.sizes).items()
                        },
                    }
                    for score in asked.thresholds
                ],
            }
            for one in scored
        ],
    }


def _count_as_json(counted: Count) -> dict[str, Any]:
    return {**asdict(counted), "recall": counted.recall, "precision": counted.precision}


def show(asked: Asked, scored: Sequence[Scored]) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    small, medium = (f"{side:g}" for side in asked.sizes)
    console.print(
        f"{asked.topology} against {asked.truth}: right is IoU >= {asked.iou:g}; small below "
        f"{small}x{small} pixels, medium below {medium}x{medium} (right/wrong/missed); models run "
        f"at conf {asked.conf:g}, where mAP's curve ends",
        soft_wrap=True,
    )
    console.print(_summary(scored))
    console.print(_curves(asked, scored))
    for one in scored:
        for remark in _remarks(one.ran):
            console.print(f"{one.ran.variant.name}: {remark}", style="yellow", soft_wrap=True)


def _summary(scored: Sequence[Scored]) -> Table:
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


def _curves(asked: Asked, scored: Sequence[Scored]) -> Table:
    table = _table("variant", "score", "right", "wrong", "missed", "recall", "precision")
    ranges = size_ranges(asked.sizes)
    for size in ranges:
        table.add_column(size, justify="right", overflow="fold")
    for one in scored:
        table.add_section()
        for place, score in enumerate(asked.thresholds):
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
    # Where the terminal is narrow a figure goes on in the next line; none is cut.
    table.add_column(first, overflow="fold")
    for other in others:
        table.add_column(other, justify="right", overflow="fold")
    return table


def _rate(ran: Ran) -> str:
    rate = "-" if ran.fps is None else f"{ran.fps:.1f}"
    return rate + " EMULATED" * ran.emulated + " SIMULATED" * ran.simulated


def _part(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _remarks(ran: Ran) -> Iterator[str]:
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
    if ran.strange:
        most = ", ".join(f"{number} {label}" for label, number in ran.strange.most_common(4))
        yield (
            f"{ran.strange.total()} detections are of labels without targets and do not count: "
            f"{most}{', ...' if len(ran.strange) > 4 else ''}"
        )


def plot(asked: Asked, path: Path, scored: Sequence[Scored]) -> None:
    """Recall and precision over the score, a line a variant."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    scores = np.linspace(asked.conf, 1.0, 201)
    for axes, what in zip(figure.subplots(1, 2), ("recall", "precision"), strict=True):
        for one in scored:
            counts = [count(one.verdicts, score) for score in scores]
            values = [getattr(counted, what) for counted in counts]
            known = [np.nan if value is None else value for value in values]
            axes.plot(scores, known, label=one.ran.variant.name)
        axes.set(xlabel="score from which a detection counts", ylabel=what)
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)
