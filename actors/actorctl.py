"""The command `actorctl`: shows a run and controls its actors."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from actors.launcher import tables
from actors.launcher.about import version
from actors.launcher.status_report import RunStatus
from actors.system import run_directory as rundir
from actors.system.control_socket import SOCKET, ControlError, request
from actors.system.text import printable

_SECONDS = 5.0
# A restart waits for models to be loaded, one actor after another.
_RESTART_SECONDS = 70.0
_STOP_SECONDS = 10.0
_EXAMPLES = """\
examples:
  actorctl status                      what runs, how fast, and what limits the rate
  actorctl restart npu0 npu1           one after another, while the other actors work
  actorctl --run street restart npu0 --kill
  actorctl events                      what happened so far, then what happens, until Ctrl-C
  actorctl events --no-follow --json   the same for a program, so far

exit code: 0 done, 1 not done (the last line says why), 2 wrong arguments
"""
_STATUS_HELP = """
streams: frames published of how many, time left at the present rate, frames per second, frames
in memory (in flight), and the time from capture to publication in milliseconds: half of the frames
take at most p50, 99 of 100 at most p99.
actors: MB is resident memory; busy is a worker's share of its core's time, another actor's of one
processor; done counts frames, or tiles for a worker; queued is what waits there.
A narrow terminal shows fewer columns; a pipe and --json have all.
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
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python would try once more, and say so
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="actorctl",
        description="Show a run of `launch` and control its actors.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=version())
    parser.add_argument("--run", metavar="NAME", help="which run, when several are up")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    status = _add(commands, "status", "show streams, actors and cores", "", _STATUS_HELP)
    status.add_argument("--json", action="store_true", help="one JSON object")
    status.set_defaults(act=_status)
    restart = _add(commands, "restart", "start actors again; returns when they run", " npu0 npu1")
    restart.add_argument("actors", nargs="+", metavar="ACTOR")
    restart.add_argument("--kill", action="store_true", help="SIGKILL in place of a graceful stop")
    restart.set_defaults(act=_restart)
    stop = _add(commands, "stop", "finish the frames in flight and end the run")
    stop.set_defaults(act=_stop)
    events = _add(commands, "events", "show what happened and what happens, until Ctrl-C")
    events.add_argument("--json", action="store_true", help="one JSON object a line")
    events.add_argument("--no-follow", action="store_true", help="only what happened so far")
    events.set_defaults(act=_events)
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str,
    arguments: str = "",
    more: str = "",
) -> argparse.ArgumentParser:
    """A command's parser, with an example in its help."""
    return commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"example:\n  actorctl --run street {name}{arguments}\n{more}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


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
    status: RunStatus = request(folder, {"do": "status"}, _SECONDS)["status"]
    if options.json:
        print(json.dumps(status))
        return 0
    # As wide as the terminal (or COLUMNS, if that is set); in a pipe nothing is cut.
    on_terminal = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal()
    width = max(40, shutil.get_terminal_size().columns) if on_terminal else None
    lines = [
        tables.heading(status),
        f"tritile {status['version']} on {status['machine']}, results on {status['results']}",
        "",
        *tables.stream_lines(status["streams"], width),
        "",
        *tables.actor_lines(status["actors"], width),
        "",
        *tables.summary_lines(status, width),
    ]
    print("\n".join(lines if width is None else (tables.cut(line, width) for line in lines)))
    return 0


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
                at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["time"]))
                mark = "" if event["level"] == "info" else f"{event['level']}: "
                text = printable(f"{event['actor']}: {mark}{event['text']}")
                print(f"{at} {text}", flush=True)
        if options.no_follow:
            return 0


if __name__ == "__main__":
    sys.exit(main())
