"""The report and the result of a build for a person at a terminal."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from actors.runtimes.rknn_description import path_of

from ..scoring import SIZE_NAMES
from .builds import Built
from .comparison import Comparison, Entry, worst
from .progress import say


def print_built(console: Console, output: Path, built: Built) -> None:
    """What was written, fused, and left to the CPU."""
    size = output.stat().st_size / 1e6
    say(
        console,
        f"{output}: {size:.1f} MB in {built.seconds:.0f} s, described in {path_of(output).name}",
    )
    say(console, f"  fused: {fused_text(built)}")
    say(console, f"  on the CPU: {cpu_text(built)}")
    if built.choice.quantised and built.floats:
        say(console, f"  in float16: {built.floats} of {len(built.layers)} operators")


def fused_text(built: Built) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in built.fused.items()) or "nothing"


def cpu_text(built: Built) -> str:
    """Operators that fell back, by name."""
    names = [f"{layer.kind} {layer.name}".strip() for layer in built.on_cpu]
    return ", ".join(names) or "nothing"


def figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def cells(entry: Entry, comparison: Comparison) -> list[str]:
    """One row: name, mAP, loss, AP50, AP75, by size, drift, lost, MB, MB moved, seconds."""
    scores, built, drift = entry.scores, entry.built, entry.drift
    by_size = [figure(scores.by_size.get(name)) for name in SIZE_NAMES]
    change = "-" if built is None else f"{round(-comparison.loss(entry), 3) + 0.0:+.3f}"
    row = [entry.name, figure(scores.map), change]
    row += [figure(scores.ap50), figure(scores.ap75), *by_size]
    if built is None or drift is None or entry.bytes is None:
        return [*row, *["-"] * 6]
    return [
        *row,
        f"{drift.mean:+.3f}",
        f"{drift.lost} of {len(drift.pairs)}",
        f"{entry.bytes / 1e6:.2f}",
        f"{built.megabytes:.0f}",
        f"{built.cycles / 1e6:.2f}",
        f"{built.seconds:.0f}",
    ]


COLUMNS = (
    *("build", "mAP", "change", "AP50", "AP75", *SIZE_NAMES),
    *("score drift", "lost", "MB", "MB moved", "M cycles", "s to build"),
)
_ACCURACY = 8
"""The number of columns that are about accuracy."""


def print_comparison(console: Console, comparison: Comparison) -> None:
    """The table, the worst layers, and the verdict."""
    say(
        console,
        f"{comparison.model} for {comparison.target.upper()}, {comparison.images} images, "
        "simulated: the accuracy is the board's, its speed is not measured",
    )
    # One table of all columns would be wider than most terminals.
    for columns in (range(_ACCURACY), (0, *range(_ACCURACY, len(COLUMNS)))):
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for number in columns:
            table.add_column(
                COLUMNS[number], justify="right" if number else "left", no_wrap=number > 0
            )
        for entry in (comparison.reference, *comparison.entries, *comparison.alternatives):
            row = cells(entry, comparison)
            style = "green" if entry is comparison.recommended else None
            table.add_row(*(row[number] for number in columns), style=style)
        console.print(table)
    for name, reason in comparison.failures:
        say(console, f"{name}: {reason}")
    say(console, f"{comparison.analysed}: layers furthest from float, by the cosine between both")
    layers = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("layer", "kind", "alone", "up to it"):
        layers.add_column(column)
    for one in worst(comparison.deviations, 8):
        layers.add_row(one.name, one.kind, f"{one.alone:.5f}", f"{one.up_to_it:.5f}")
    console.print(layers)
    best = comparison.best
    if best is not None and best.built is not None:
        say(console, f"fused: {fused_text(best.built)}")
        say(console, f"on the CPU: {cpu_text(best.built)}")
    for warning in comparison.warnings:
        say(console, f"warning: {warning}", style="yellow")
    style = "bold green" if comparison.holds else "bold red"
    console.print(Panel(comparison.verdict, style=style))
