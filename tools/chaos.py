"""Kill, stop and restart the actors of a run, and check that its results stay the same.

The topology runs once undisturbed, for the reference, and once while random actors of all roles but
the supervisor get SIGKILL, SIGSTOP, SIGTERM and `actorctl restart` at random moments; now and then
two at once, or one that is just starting again. Then every published frame is compared with the
reference, and processes, files and memory that were left behind are searched. The run has a name, a
results address and outputs of its own, whatever the topology says.

The seed fixes what is done when; which actor it hits also depends on which are running then.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from actors.config.errors import TopologyError
from actors.config.loading import load
from actors.config.schema import Topology
from actors.sources.classify import source_kind
from actors.system.control_socket import ControlError

from . import scene
from .entry import missing, run
from .fault_injection import KINDS, Plan
from .printing import console
from .run_harness import Harness, HarnessError

ROLES = ("capture", "tiler", "worker", "merger", "renderer")
_EXAMPLE = """\
examples:
  tritile chaos topology.toml --kills 1000 --stops 200 --seed 7
  tritile chaos topology.toml --kills 20 --roles worker --interval-ms 100 --json
  tritile chaos topology.toml --restarts 50 --set streams.cam0.source=street.mp4

exit: 0 every promise was kept, 1 one was broken, 2 wrong arguments or topology
"""
_RECORDED = 60
"""Frames of a drawn scene, which has no end, that are played over and over."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry; returns its exit code."""
    arguments = parser()
    options = arguments.parse_args(argv)
    plan = _plan(arguments, options)
    if absent := missing("psutil"):
        print(f"chaos: {absent}", file=sys.stderr)
        return 2
    try:
        topology = load(options.topology, options.set)
    except TopologyError as error:
        print("\n".join(error.lines()), file=sys.stderr)
        return 2
    if topology.render.video is None and plan.roles == ("renderer",):
        arguments.error("there is no renderer; give it a video: --set render.video=out.mp4")
    for name, stream in topology.streams.items():
        if source_kind(stream.source) in ("camera", "network"):
            arguments.error(
                f"streams.{name}.source is live, so no two runs get the same frames; give a file: "
                f"--set streams.{name}.source=FILE"
            )
    try:
        return _run(options, plan, topology)
    except (HarnessError, ControlError) as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _run(options: argparse.Namespace, plan: Plan, topology: Topology) -> int:
    """Both runs and the report: 0 every promise was kept, 1 one was broken."""
    # Imported here: they need psutil.
    from .chaos_report import as_json, show
    from .chaos_run import ChaosRun

    with TemporaryDirectory(prefix="tritile-") as folder, _progress(quiet=options.json) as report:
        settings = [*options.set, *_recordings(topology, Path(folder), report)]
        given = [part for setting in settings for part in ("--set", setting)]
        topology = load(options.topology, settings)
        make = partial(_harness(options), options.topology, *given)
        outcome = ChaosRun(make, topology, report).run(plan)
    if options.json:
        print(json.dumps(as_json(options.topology, plan, topology, outcome)))
    else:
        show(options.topology, plan, topology, outcome)
    return 1 if outcome.broken else 0


def _harness(options: argparse.Namespace) -> Callable[..., Harness]:
    if getattr(options, "board", None) is None:
        return Harness
    from .board.board_harness import BoardHarness

    return partial(BoardHarness, options.board)


def _recordings(topology: Topology, folder: Path, report: Callable[[str], None]) -> list[str]:
    """Settings that play drawn scenes from videos: two runs are compared over the same frames."""
    settings = []
    for name, stream in topology.streams.items():
        if source_kind(stream.source) == "synthetic":
            report(f"recording the scene of {name}")
            video = folder / f"{name}.mp4"
            scene.write_video(video, _RECORDED, seed=stream.seed or 0)
            settings.append(f"streams.{name}={{source = {json.dumps(str(video))}}}")
    return [*settings, "results.ground_truth=false"] if settings else []


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog="tritile chaos",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("topology", type=Path, metavar="TOPOLOGY.toml")
    for kind, what in zip(KINDS, ("SIGKILL", "SIGSTOP", "SIGTERM", "restart"), strict=True):
        made.add_argument(
            f"--{kind}s", type=int, default=0, metavar="N", help=f"how often: {what} of an actor"
        )
    made.add_argument("--seed", type=int, default=1, help="default: 1")
    made.add_argument("--roles", help=f"only these (default: {','.join(ROLES)})")
    made.add_argument(
        "--interval-ms",
        type=float,
        default=400.0,
        metavar="MS",
        help="mean time between two disturbances (default: 400)",
    )
    made.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override one value of the topology, as `launch` does (repeatable)",
    )
    if find_spec(f"{__package__}.board"):
        made.add_argument(
            "--board", type=Path, metavar="FOLDER", help="run it on this emulated board"
        )
    made.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return made


def _plan(arguments: argparse.ArgumentParser, options: argparse.Namespace) -> Plan:
    counts = {kind: getattr(options, f"{kind}s") for kind in KINDS}
    roles = ROLES if options.roles is None else tuple(options.roles.split(","))
    for role in roles:
        if role not in ROLES:
            arguments.error(f"--roles: no role is called {role!r}; there are {', '.join(ROLES)}")
    if min(counts.values()) < 0 or not any(counts.values()):
        arguments.error("nothing to do; give --kills, --stops, --terms or --restarts a number")
    if not options.interval_ms > 0:
        arguments.error(f"--interval-ms is {options.interval_ms:g}; give milliseconds above 0")
    return Plan(counts, roles, options.seed, options.interval_ms / 1000)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """A line that changes, on a terminal; nothing elsewhere."""
    err = console(stderr=True)
    if quiet or not err.is_terminal:
        yield lambda text: None
        return
    shown = 0.0
    with err.status("starting") as status:

        def show(text: str) -> None:
            nonlocal shown
            if time.monotonic() - shown > 0.2:
                shown = time.monotonic()
                status.update(text)

        yield show


if __name__ == "__main__":
    sys.exit(run(main))
