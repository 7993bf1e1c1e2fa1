"""The command `actorctl`: look at a run and act on its actors."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from actors.runtimes.npu_status import Npu
from actors.system import run_directory as rundir
from actors.system.control_socket import SOCKET, ControlError, request

_SECONDS = 5.0
# A restart waits for models to be loaded, one actor after another.
_RESTART_SECONDS = 70.0
_STOP_SECONDS = 10.0
_EXAMPLE = """\
examples:
  actorctl status                      what runs, how fast, what holds it back
  actorctl restart npu0 npu1           anew, one after another, while the others go on
  actorctl --run street restart npu0 --kill
  actorctl events                      what happened so far and what happens, until Ctrl-C
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry; returns its exit code: 0 done, 1 not done, 2 wrong arguments."""
    options = _parser().parse_args(argv)
    try:
        folder = _run_folder(options.run)
        return int(options.act(folder, options))
    except ControlError as error:
        print(f"actorctl: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except OSError as error:
        print(f"actorctl: cannot print: {error.strerror}; give another output", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python would try once more, and tell of it
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="actorctl",
        description="Look at a run of `launch` and act on its actors.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--run", metavar="NAME", help="which run, when several are up")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    status = commands.add_parser("status", help="actors, streams and cores")
    status.add_argument("--json", action="store_true", help="one JSON object")
    status.set_defaults(act=_status)
    restart = commands.add_parser("restart", help="start actors anew; waits until they run")
    restart.add_argument("actors", nargs="+", metavar="ACTOR")
    restart.add_argument("--kill", action="store_true", help="SIGKILL in place of a graceful stop")
    restart.set_defaults(act=_restart)
    stop = commands.add_parser("stop", help="finish the frames in flight and end the run")
    stop.set_defaults(act=_stop)
    events = commands.add_parser("events", help="what happened, and what happens (Ctrl-C ends)")
    events.add_argument("--json", action="store_true", help="one JSON object a line")
    events.add_argument("--no-follow", action="store_true", help="only what happened so far")
    events.set_defaults(act=_events)
    return parser


def _run_folder(name: str | None) -> Path:
    runs = rundir.live_runs(SOCKET)
    if name is not None:
        if name not in runs:
            up = f"; up are: {', '.join(runs)}" if runs else "; none is up"
            raise ControlError(f"no run named {name!r} is up{up}")
    elif not runs:
        raise ControlError("no run is up; start one with: launch topology.toml")
    elif len(runs) > 1:
        raise ControlError(f"several runs are up ({', '.join(runs)}); choose one with --run NAME")
    return rundir.base() / (name or runs[0])


def _status(folder: Path, options: argparse.Namespace) -> int:
    status = request(folder, {"do": "status"}, _SECONDS)["status"]
    if options.json:
        print(json.dumps(status))
        return 0
    console = Console(highlight=False)
    state = "DEGRADED" if status["degraded"] else "running"
    mark = next((kind for kind in ("simulated", "emulated") if status[kind]), None)
    cores_are = f" ({mark} cores)" if mark else ""
    console.print(
        f"run {status['run']}: {state}{cores_are}, up {status['uptime_s']:.0f} s, "
        f"results on {status['results']}"
    )
    console.print(_streams(status["streams"]))
    console.print(_actors(status["actors"]))
    cores = ", ".join(f"core {core['core']} {core['busy']:.0%}" for core in status["cores"])
    if status["npu"] is not None and (npu := str(Npu(**status["npu"]))):
        cores += f"; NPU: {npu}"
    console.print(f"{cores}; limited by {status['limited_by'] or 'nothing known yet'}")
    return 0


def _streams(streams: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in (
        "STREAM",
        "captured",
        "published",
        "in flight",
        "fps",
        "p50 ms",
        "p99 ms",
        "incomplete",
        "dropped",
    ):
        table.add_column(column, justify="left" if column == "STREAM" else "right")
    for stream in streams:
        latency = stream["latency_ms"]
        table.add_row(
            stream["name"],
            str(stream["captured"]),
            str(stream["published"]),
            str(stream["in_flight"]),
            f"{stream['fps']:.1f}",
            f"{latency['p50']:.0f}",
            f"{latency['p99']:.0f}",
            str(stream["incomplete"]),
            str(sum(stream["dropped"].values())),
        )
    return table


def _actors(actors: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    left = ("ACTOR", "role", "state", "last error")
    for column in (
        "ACTOR",
        "role",
        "state",
        "pid",
        "restarts",
        "rss MB",
        "busy",
        "done",
        "queued",
        "last error",
    ):
        table.add_column(column, justify="left" if column in left else "right")
    for actor in actors:
        table.add_row(
            actor["name"],
            actor["role"],
            actor["state"],
            str(actor["pid"] or "-"),
            str(actor["restarts"]),
            f"{actor['rss_mb']:.0f}",
            f"{actor['busy']:.0%}",
            str(actor["done"]),
            str(actor["queued"]),
            actor["last_error"] or "",
        )
    return table


def _restart(folder: Path, options: argparse.Namespace) -> int:
    seconds = _RESTART_SECONDS * len(options.actors)
    begin = time.monotonic()
    request(folder, {"do": "restart", "actors": options.actors, "kill": options.kill}, seconds)
    names = ", ".join(options.actors)
    print(f"{names} running again after {time.monotonic() - begin:.2f} s")
    return 0


def _stop(folder: Path, _: argparse.Namespace) -> int:
    request(folder, {"do": "stop"}, _SECONDS)
    if not rundir.wait_until_free(folder.name, _STOP_SECONDS):
        raise ControlError(f"run {folder.name!r} is still stopping after {_STOP_SECONDS:.0f} s")
    print(f"run {folder.name} stopped")
    return 0


def _events(folder: Path, options: argparse.Namespace) -> int:
    last = 0
    while True:
        try:
            events = request(folder, {"do": "events", "after": last}, _SECONDS)["events"]
        except ControlError:
            if last and not folder.exists():
                return 0
            raise
        for event in events:
            last = event["id"]
            if options.json:
                print(json.dumps(event), flush=True)
            else:
                at = time.strftime("%H:%M:%S", time.localtime(event["time"]))
                mark = "" if event["level"] == "info" else f"{event['level']}: "
                print(f"{at} {event['actor']}: {mark}{event['text']}", flush=True)
        if options.no_follow:
            return 0


if __name__ == "__main__":
    sys.exit(main())
