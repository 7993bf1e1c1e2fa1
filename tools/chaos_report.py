"""The report of a chaos run: an object for `--json`, tables and lines for a person."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from actors.config.schema import Topology
from actors.system.text import plural

from .chaos_run import Outcome
from .fault_injection import KINDS, Plan
from .printing import console
from .recovery_times import MEASURES, Spread

_HEADINGS = ("noticed", "work finished elsewhere", "back", "computing again")
# Medians in milliseconds that are aimed at where inference takes no time.
_AIMS = {
    ("kill", "noticed"): 20.0,
    ("kill", "elsewhere"): 50.0,
    ("kill", "computing"): 1000.0,
    ("stop", "noticed"): 2000.0,
}


def _missed(topology: Topology, outcome: Outcome) -> list[str]:
    """Medians above the aims; reported only, since they depend on the machine too."""
    if any(model.runtime != "instant" for model in topology.models.values()):
        return []
    lines = []
    for (kind, role), columns in sorted(outcome.delays.items()):
        for measure, values in columns.items():
            aim, spread = _AIMS.get((kind, measure)), Spread.of(values)
            if aim is not None and spread is not None and spread.p50 > aim:
                lines.append(f"{kind} {role}: {measure} {spread.p50:.0f} ms, aim {aim:.0f}")
    return lines


def as_json(path: Path, plan: Plan, topology: Topology, outcome: Outcome) -> dict[str, Any]:
    delays = []
    for (kind, role), columns in sorted(outcome.delays.items()):
        for measure, values in columns.items():
            spread = Spread.of(values)
            if spread is not None:
                delays.append({"kind": kind, "role": role, "measure": measure, **asdict(spread)})
    return {
        "topology": str(path),
        "held": not outcome.broken,
        "broken": list(outcome.broken),
        **asdict(plan),
        "disturbances": {kind: outcome.done.get(kind, 0) for kind in KINDS},
        "hows": dict(outcome.hows),
        "made_to_loop": outcome.made_to_loop,
        "seconds": outcome.seconds,
        "frames": {**asdict(outcome.compared), "longest_gap_ms": outcome.compared.longest_gap_ms},
        "in_gap": [asdict(injection) for injection in outcome.in_gap],
        "delays_ms": delays,
        "held_before_after": {
            name: [asdict(then), asdict(now)] for name, (then, now) in outcome.held.items()
        },
        "medians_missed": _missed(topology, outcome),
        "reference": {
            "seconds": outcome.reference_seconds,
            "frames": outcome.reference_frames,
            "longest_gap_ms": outcome.reference_gap_ms,
        },
    }


def show(path: Path, plan: Plan, topology: Topology, outcome: Outcome) -> None:
    out = console()
    compared = outcome.compared
    done = ", ".join(plural(outcome.done[kind], kind) for kind in KINDS if outcome.done.get(kind))
    hows = ", ".join(f"{n} {how}" for how, n in sorted(outcome.hows.items()))
    out.print(
        f"{path}, seed {plan.seed}: {done} ({hows}) in {outcome.seconds:.0f} s; reference: "
        f"{plural(outcome.reference_frames, 'frame')} in {outcome.reference_seconds:.1f} s",
        soft_wrap=True,
    )
    if outcome.made_to_loop:
        out.print("the sources were looped, because one pass is shorter than that")
    table = Table(box=None, pad_edge=False, title="milliseconds: p50 / p99 / max (cases)")
    table.add_column("disturbance")
    table.add_column("role")
    for heading in _HEADINGS:
        table.add_column(heading, justify="right")
    for (kind, role), columns in sorted(outcome.delays.items()):
        table.add_row(kind, role, *[_cell(Spread.of(columns[name])) for name in MEASURES])
    out.print(table)
    frames = ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in compared.counts.items())
    out.print(
        f"{plural(compared.published, 'frame')}: {frames}; {compared.repeats} came once more "
        f"after the merger's death, as allowed",
        soft_wrap=True,
    )
    in_gap = (
        ", ".join(f"{injection.kind} {injection.actor}" for injection in outcome.in_gap)
        or "nothing"
    )
    out.print(
        f"longest gap between two frames: {compared.longest_gap_ms:.0f} ms, with {in_gap} "
        f"(undisturbed: {outcome.reference_gap_ms:.0f} ms)",
        soft_wrap=True,
    )
    held = "; ".join(
        f"{name} {then.fds} -> {now.fds}, {then.own_bytes / 1e6:.0f} -> {now.own_bytes / 1e6:.0f}"
        for name, (then, now) in outcome.held.items()
    )
    out.print(f"descriptors, own MB: {held}", soft_wrap=True)
    for line in _missed(topology, outcome):
        out.print(f"slower than aimed at: {line}", style="yellow", soft_wrap=True)
    for line in (*compared.examples, *(line for line in outcome.broken)):
        out.print(f"  {line}", style="red", soft_wrap=True)
    if outcome.broken:
        out.print("BROKEN: see the lines above", style="bold red")
    else:
        out.print("HELD: nothing lost, nothing different, nothing left", style="bold green")


def _cell(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    return f"{spread.p50:.0f} / {spread.p99:.0f} / {spread.max:.0f} ({spread.count})"
