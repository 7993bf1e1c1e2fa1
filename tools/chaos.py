"""Kills, stops and restarts the actors of a run, and proves that nothing came of it.

The topology runs once undisturbed, for the reference, and once while random actors of all roles but
the supervisor get SIGKILL, SIGSTOP, SIGTERM and `actorctl restart` at random moments; now and then
two at once, or one that is just starting again. Then every published frame is compared with the
reference, and what is left behind is looked for. The run has a name, a results address and outputs
of its own, whatever the topology says.

The seed fixes what is done when; whom it hits also depends on who is up at that moment.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from actors.config.errors import TopologyError
from actors.config.loading import load
from actors.config.schema import Topology
from actors.sources.classify import source_kind
from actors.system.control_socket import ControlError
from tools import scene
from tools.board.board_harness import BoardHarness
from tools.chaos_run import ChaosRun, Outcome, Plan
from tools.fault_injection import KINDS
from tools.recovery_times import MEASURES, Spread
from tools.run_harness import Harness, HarnessError

ROLES = ("capture", "tiler", "worker", "merger", "renderer")
_EXAMPLE = """\
examples:
  python -m tools.chaos topology.toml --kills 1000 --stops 200 --seed 7
  python -m tools.chaos topology.toml --kills 20 --roles worker --interval-ms 100 --json
  python -m tools.chaos topology.toml --restarts 50 --set streams.cam0.source=street.mp4

exit: 0 every promise was kept, 1 one was broken, 2 wrong arguments or topology
"""
_FILMED = 60
"""Frames of a drawn scene, which has no end, that are played over and over."""
_HEADINGS = ("noticed", "work finished elsewhere", "back", "computing again")
# Medians in milliseconds that are wanted where the models take no time.
_WANTED = {
    ("kill", "noticed"): 20.0,
    ("kill", "elsewhere"): 50.0,
    ("kill", "computing"): 1000.0,
    ("stop", "noticed"): 2000.0,
}


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry; returns its exit code."""
    parser = _parser()
    options = parser.parse_args(argv)
    plan = _plan(parser, options)
    try:
        topology = load(options.topology, options.set)
    except TopologyError as error:
        print("\n".join(error.lines()), file=sys.stderr)
        return 2
    if topology.render.video is None and plan.roles == ("renderer",):
        parser.error("there is no renderer; give it a video: --set render.video=out.mp4")
    for name, stream in topology.streams.items():
        if source_kind(stream.source) in ("camera", "network"):
            parser.error(
                f"streams.{name}.source is live, so no two runs see the same frames; give a file: "
                f"--set streams.{name}.source=FILE"
            )
    try:
        with TemporaryDirectory(prefix="tritile-") as folder, _progress(quiet=options.json) as show:
            settings = [*options.set, *_films(topology, Path(folder), show)]
            given = [part for setting in settings for part in ("--set", setting)]
            make = Harness if options.board is None else partial(BoardHarness, options.board)
            topology = load(options.topology, settings)
            outcome = ChaosRun(partial(make, options.topology, *given), topology, show).run(plan)
    except (HarnessError, ControlError) as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    if options.json:
        print(json.dumps(_as_json(options.topology, plan, topology, outcome)))
    else:
        _print(options.topology, plan, topology, outcome)
    return 1 if outcome.broken else 0


def _films(topology: Topology, folder: Path, show: Callable[[str], None]) -> list[str]:
    """Settings that play drawn scenes from films: two runs are compared over the same frames."""
    settings = []
    for name, stream in topology.streams.items():
        if source_kind(stream.source) == "synthetic":
            show(f"filming the scene of {name}")
            film = folder / f"{name}.mp4"
            scene.write_video(film, _FILMED, seed=stream.seed or 0)
            settings.append(f"streams.{name}={{source = {json.dumps(str(film))}}}")
    return [*settings, "results.ground_truth=false"] if settings else []


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.chaos",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("topology", type=Path, metavar="TOPOLOGY.toml")
    for kind, what in zip(KINDS, ("SIGKILL", "SIGSTOP", "SIGTERM", "restart"), strict=True):
        parser.add_argument(
            f"--{kind}s", type=int, default=0, metavar="N", help=f"{what} for so many"
        )
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    parser.add_argument("--roles", help=f"only these (default: {','.join(ROLES)})")
    parser.add_argument(
        "--interval-ms",
        type=float,
        default=400.0,
        metavar="MS",
        help="mean time between two disturbances (default: 400)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override one value of the topology, as `launch` does (repeatable)",
    )
    parser.add_argument(
        "--board", type=Path, metavar="FOLDER", help="run it on this emulated board (tools.board)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return parser


def _plan(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Plan:
    counts = {kind: getattr(options, f"{kind}s") for kind in KINDS}
    roles = ROLES if options.roles is None else tuple(options.roles.split(","))
    for role in roles:
        if role not in ROLES:
            parser.error(f"--roles: no role is called {role!r}; there are {', '.join(ROLES)}")
    if min(counts.values()) < 0 or not any(counts.values()):
        parser.error("nothing to do; give --kills, --stops, --terms or --restarts a number")
    if not options.interval_ms > 0:
        parser.error(f"--interval-ms is {options.interval_ms:g}; give milliseconds above 0")
    return Plan(counts, roles, options.seed, options.interval_ms / 1000)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """A line that changes, on a terminal; nothing elsewhere."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda text: None
        return
    shown = 0.0
    with console.status("starting") as status:

        def show(text: str) -> None:
            nonlocal shown
            if time.monotonic() - shown > 0.2:
                shown = time.monotonic()
                status.update(text)

        yield show


# ---------------------------------------------------------------- report


def _missed(topology: Topology, outcome: Outcome) -> list[str]:
    """Medians above what is wanted; told, but no promise: they are also the machine's."""
    if any(model.runtime != "instant" for model in topology.models.values()):
        return []
    lines = []
    for (kind, role), columns in sorted(outcome.delays.items()):
        for measure, values in columns.items():
            wanted, spread = _WANTED.get((kind, measure)), Spread.of(values)
            if wanted is not None and spread is not None and spread.p50 > wanted:
                lines.append(f"{kind} {role}: {measure} {spread.p50:.0f} ms, wanted {wanted:.0f}")
    return lines


def _as_json(path: Path, plan: Plan, topology: Topology, outcome: Outcome) -> dict[str, Any]:
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


def _print(path: Path, plan: Plan, topology: Topology, outcome: Outcome) -> None:
    console = Console(highlight=False)
    compared = outcome.compared
    done = ", ".join(f"{outcome.done[kind]} {kind}s" for kind in KINDS if outcome.done.get(kind))
    hows = ", ".join(f"{n} {how}" for how, n in sorted(outcome.hows.items()))
    console.print(
        f"{path}, seed {plan.seed}: {done} ({hows}) in {outcome.seconds:.0f} s; reference: "
        f"{outcome.reference_frames} frames in {outcome.reference_seconds:.1f} s",
        soft_wrap=True,
    )
    if outcome.made_to_loop:
        console.print("the sources were looped, because one pass is shorter than that")
    table = Table(box=None, pad_edge=False, title="milliseconds: p50 / p99 / max (cases)")
    table.add_column("what")
    table.add_column("whom")
    for heading in _HEADINGS:
        table.add_column(heading, justify="right")
    for (kind, role), columns in sorted(outcome.delays.items()):
        table.add_row(kind, role, *[_cell(Spread.of(columns[name])) for name in MEASURES])
    console.print(table)
    frames = ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in compared.counts.items())
    console.print(
        f"{compared.published} frames: {frames}; {compared.repeats} came once more after the "
        f"merger's death, as allowed",
        soft_wrap=True,
    )
    in_gap = (
        ", ".join(f"{injection.kind} {injection.actor}" for injection in outcome.in_gap)
        or "nothing"
    )
    console.print(
        f"longest gap between two frames: {compared.longest_gap_ms:.0f} ms, with {in_gap} "
        f"(undisturbed: {outcome.reference_gap_ms:.0f} ms)",
        soft_wrap=True,
    )
    held = "; ".join(
        f"{name} {then.fds} -> {now.fds}, {then.own_bytes / 1e6:.0f} -> {now.own_bytes / 1e6:.0f}"
        for name, (then, now) in outcome.held.items()
    )
    console.print(f"descriptors, own MB: {held}", soft_wrap=True)
    for line in _missed(topology, outcome):
        console.print(f"slower than wanted: {line}", style="yellow", soft_wrap=True)
    for line in (*compared.examples, *(line for line in outcome.broken)):
        console.print(f"  {line}", style="red", soft_wrap=True)
    if outcome.broken:
        console.print("BROKEN: see the lines above", style="bold red")
    else:
        console.print("HELD: nothing lost, nothing different, nothing left", style="bold green")


def _cell(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    return f"{spread.p50:.0f} / {spread.p99:.0f} / {spread.max:.0f} ({spread.count})"


if __name__ == "__main__":
    sys.exit(main())
