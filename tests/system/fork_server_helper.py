"""Scenarios for test_fork_server: a supervisor in a process of its own, and what its actors run.

`python -m tests.system.fork_server_helper SCENARIO` plays one and prints the outcome as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from actors.system.child_process import ChildProcess
from actors.system.fork_server import ForkServer, ForkServerError, Spec
from actors.system.linux import adopt_orphans

ENTRIES = "tests.system.fork_server_helper"


# ---------------------------------------------------------------- what actors run


def report(spec: Spec[Any]) -> int:
    """Report what this process is, and exit with the code that the settings name."""
    fds = {}
    for fd in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with contextlib.suppress(OSError):  # the listing's own
            fds[fd] = os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115
    facts = {
        "name": spec.name,
        "role": spec.role,
        "run": spec.run,
        "incarnation": spec.incarnation,
        "rundir": spec.rundir,
        "settings": spec.settings,
        "pid": os.getpid(),
        "parent": os.getppid(),
        "session": os.getsid(0),
        "threads": len(os.listdir("/proc/self/task")),  # noqa: PTH208
        "title": Path("/proc/self/cmdline").read_bytes().rstrip(b"\0").decode(),
        "ignores_sigint": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
        "beside": os.read(spec.fds["in"], 100).decode() if "in" in spec.fds else None,
        "fds": fds,
        "given": dict(spec.fds),
    }
    os.write(spec.fds["out"], json.dumps(facts).encode())
    return int(spec.settings.get("code", 0))


def hold(_: Spec[Any]) -> int:
    """Do nothing until a signal comes."""
    while True:
        signal.pause()


def stumble(spec: Spec[Any]) -> int:
    """End in another way than by returning."""
    how = spec.settings["how"]
    if how == "raise":
        raise RuntimeError("the reason")
    if how == "exit":
        sys.exit(0)
    os.kill(os.getpid(), signal.Signals[how])
    return 0


def size(spec: Spec[Any]) -> int:
    """Report how large the settings are."""
    os.write(spec.fds["out"], str(len(spec.settings)).encode())
    return 0


# ---------------------------------------------------------------- the supervisor's process


@contextlib.contextmanager
def fork_server(*preload: str) -> Iterator[ForkServer]:
    adopt_orphans()
    opened = ForkServer(preload, 2)
    try:
        yield opened
    finally:
        opened.close()


def spec(name: str, entry: str, settings: Any, **fds: int) -> Spec[Any]:
    return Spec(
        name=name,
        role="worker",
        entry=f"{ENTRIES}:{entry}",
        run="street",
        incarnation=3,
        rundir="/run/x",
        settings=settings,
        fds=fds,
    )


def exit_code(pid: int) -> int:
    """Wait for a child as the supervisor does."""
    process = ChildProcess(pid)
    select.select([process.fd], [], [], 60)
    code = process.reap()
    assert code is not None
    return code


def state(pid: int) -> dict[str, Any]:
    """What /proc says of a process."""
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return {
        "threads": int(status["Threads"]),
        "children": Path(f"/proc/{pid}/task/{pid}/children").read_text().split(),
        "fds": sorted(
            os.readlink(path).partition(":")[0]  # noqa: PTH115
            for path in Path(f"/proc/{pid}/fd").iterdir()
        ),
    }


def play_reports() -> Any:
    """Three actors in turn, each with descriptors of its own."""
    actors = []
    with fork_server(ENTRIES) as server:
        server.wait_ready()
        before = state(server.process.pid)
        for number in range(3):
            out, write_end = os.pipe()
            read_end, give = os.pipe()
            os.write(give, f"for {number}".encode())
            settings = {"code": [0, 64, 7][number], "text": "ß" * number}
            fds = {"out": write_end, "in": read_end}
            pid = server.fork(spec(f"npu{number}", "report", settings, **fds))
            os.close(write_end)
            facts = json.loads(os.read(out, 100_000))
            actors.append({"pid": pid, "facts": facts, "code": exit_code(pid)})
        after = state(server.process.pid)
        pid = server.process.pid
    return {
        "supervisor": os.getpid(),
        "fork server": pid,
        "session": os.getsid(0),
        "before": before,
        "after": after,
        "actors": actors,
    }


def play_stumbles() -> Any:
    codes = {}
    with fork_server() as server:
        for how in ("raise", "exit", "SIGSEGV", "SIGKILL", "SIGTERM"):
            codes[how] = exit_code(server.fork(spec("npu0", "stumble", {"how": how})))
    return codes


def play_hold(fd: str) -> Any:
    """Actors that hold `fd` until this process is killed."""
    with fork_server() as server:
        pids = [server.fork(spec(f"npu{n}", "hold", None, held=int(fd))) for n in range(4)]
        os.close(int(fd))
        print(json.dumps([server.process.pid, *pids]), flush=True)
        signal.pause()


def play_sizes(*sizes: str) -> Any:
    sizes_seen = []
    with fork_server() as server:
        for count in sizes:
            out, write_end = os.pipe()
            pid = server.fork(spec("npu0", "size", "x" * int(count), out=write_end))
            sizes_seen.append(int(os.read(out, 100)))
            assert exit_code(pid) == 0
    return sizes_seen


def play_many_descriptors(count: str) -> Any:
    with fork_server() as server:
        out, write_end = os.pipe()
        more = {f"frames.cam{n}": os.open("/dev/null", os.O_RDONLY) for n in range(int(count))}
        pid = server.fork(spec("tiler", "report", {}, out=write_end, **more))
        facts = json.loads(os.read(out, 100_000))
        return {"code": exit_code(pid), "given": len(facts["given"])}


def play_preload(*modules: str) -> Any:
    """The modules that a real run preloads; then an actor, to see that it still can fork."""
    with fork_server(*modules) as server:
        server.wait_ready()
        found = state(server.process.pid)
        out, write_end = os.pipe()
        pid = server.fork(spec("npu0", "report", {}, out=write_end))
        threads = json.loads(os.read(out, 100_000))["threads"]
        return {"fork server": found, "threads": threads, "code": exit_code(pid)}


def play_failure(*modules: str) -> Any:
    with fork_server(*modules) as server:
        try:
            server.fork(spec("npu0", "hold", None))
        except ForkServerError as error:
            return str(error)
    return None


def play_killed_fork_server() -> Any:
    with fork_server() as server:
        server.wait_ready()
        server.process.kill()
        server.process.wait()
        try:
            server.fork(spec("npu0", "hold", None))
        except ForkServerError as error:
            return str(error)
    return None


def play_sigint() -> Any:
    """Servers that get SIGINT in all the first moments of their lives."""
    codes: list[int | None] = []
    for milliseconds in (0, 0, 0, 1, 2, 4, 8, 16, 32, 64):
        with fork_server() as server:
            time.sleep(milliseconds / 1000)
            server.process.send_signal(signal.SIGINT)
            codes.append(exit_code(server.fork(spec("npu0", "stumble", {"how": "SIGINT"}))))
            codes.append(server.process.poll())
    return codes


if __name__ == "__main__":
    print(json.dumps(globals()[f"play_{sys.argv[1]}"](*sys.argv[2:])))
