"""The report as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from .comparison import Comparison, worst
from .errors import ConvertError
from .plots import bars, profile, scatter
from .tables import COLUMNS, cells, cpu_text, fused_text

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1240px; margin: 2em auto; padding: 0 1em;
  color: #1c2330; background: #fff }
h1 { font-size: 1.5em } h2 { font-size: 1.15em; margin-top: 2em }
.verdict { padding: .8em 1em; border-left: 6px solid; font-weight: 600 }
.holds { border-color: #2a8a4a; background: #eaf6ee } .fails { border-color: #b3261e;
  background: #fdeceb; color: #7a1712 }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9em }
td, th { padding: .3em .6em; border-bottom: 1px solid #dde1e8; text-align: right;
  white-space: nowrap } td:first-child, th:first-child { text-align: left }
tr.chosen td { background: #eaf6ee; font-weight: 600 }
svg { font: 12px system-ui, sans-serif; max-width: 100%; height: auto }
.int8 { fill: #4a6fa5 } .other { fill: #8a94a6 } .chosen { fill: #2a8a4a } .float { fill: #c9ced8 }
.reference { stroke: #b3261e; stroke-dasharray: 4 3 } .frame { fill: none; stroke: #b9c0cc }
.dot { fill: #4a6fa5; fill-opacity: .5 } .rule { stroke: #e6e9ee }
.up, .alone { fill: none; stroke-width: 1.5 } .up { stroke: #b3261e } .alone { stroke: #2a8a4a }
.note { color: #56607a; font-size: .9em }
"""


def write_page(comparison: Comparison, path: Path) -> None:
    """Write it; ConvertError where it cannot be written."""
    try:
        path.write_text(_page(comparison), encoding="utf-8")
    except OSError as error:
        raise ConvertError(f"{path} cannot be written ({error.strerror}); give --page") from None


def _page(comparison: Comparison) -> str:
    title = f"{comparison.model} for {comparison.target.upper()}: float against int8"
    state = "holds" if comparison.holds else "fails"
    parts = [
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        f'<p class="verdict {state}">{escape(comparison.verdict)}</p>',
        f'<p class="note">{comparison.images} labelled images in the simulator of rknn-toolkit2 '
        f"{escape(comparison.toolkit)}. It computes what the board computes; it says nothing of "
        "speed. MB moved and cycles are the compiler's own estimates for one inference.</p>",
        "<h2>Builds</h2>",
        _builds(comparison),
        _notes((f"{name}: {reason}" for name, reason in comparison.failures)),
        "<h2>mAP</h2>",
        bars(_bars(comparison), comparison.reference.map),
        "<h2>Scores of the same boxes</h2>",
        '<p class="note">What float finds with 0.25 or more, and the score of the box that meets it'
        " at IoU 0.5; 0 where none does. On the line nothing has changed.</p><p>",
        *(
            scatter(entry.name, entry.drift.pairs)
            for entry in (*comparison.entries, *comparison.alternatives)
            if entry.drift is not None
        ),
        "</p>",
        *_layers(comparison),
        *_compiled(comparison),
        _notes(f"warning: {warning}" for warning in comparison.warnings),
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _builds(comparison: Comparison) -> str:
    chosen = comparison.recommended
    rows = [(cells(comparison.reference, comparison), False)]
    rows += [
        (cells(entry, comparison), entry is chosen)
        for entry in (*comparison.entries, *comparison.alternatives)
    ]
    return _table(COLUMNS, rows)


def _table(columns: Sequence[str], rows: Iterable[tuple[Sequence[str], bool]]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(
        f"<tr{' class=chosen' if chosen else ''}>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in row)
        + "</tr>"
        for row, chosen in rows
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _notes(texts: Iterable[str]) -> str:
    return "".join(f'<p class="note">{escape(text)}</p>' for text in texts)


def _bars(comparison: Comparison) -> list[tuple[str, float, str]]:
    chosen = comparison.recommended
    found = [(comparison.reference.name, comparison.reference.map, "float")]
    for entries, kind in ((comparison.entries, "int8"), (comparison.alternatives, "other")):
        found += [(e.name, e.map, "chosen" if e is chosen else kind) for e in entries]
    return found


def _layers(comparison: Comparison) -> Iterable[str]:
    deviations = comparison.deviations
    if not deviations:
        return
    yield f"<h2>Layers of {escape(comparison.analysed)}</h2>"
    yield (
        '<p class="note">Cosine between a layer\'s output as int8 and as float, on one calibration '
        "image. Green: the layer alone, from a float input. Red: with all that came before it.</p>"
    )
    yield profile([d.alone for d in deviations], [d.up_to_it for d in deviations])
    rows = [
        ((d.name, d.kind, f"{d.alone:.5f}", f"{d.up_to_it:.5f}"), False) for d in worst(deviations)
    ]
    yield _table(("layer, worst first", "kind", "alone", "up to it"), rows)


def _compiled(comparison: Comparison) -> Iterable[str]:
    best = comparison.best
    if best is None or best.built is None:
        return
    yield f"<h2>As compiled ({escape(best.name)})</h2>"
    yield f"<p>Fused: {escape(fused_text(best.built))}.</p>"
    yield f"<p>Left to the CPU: {escape(cpu_text(best.built))}.</p>"
