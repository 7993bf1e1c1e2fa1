"""Scenarios for test_supervisor: a real supervisor with real actors that do nothing.

`python -m tests.system.supervisor_helper SCENARIO FOLDER` plays one, prints the outcome as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actors.system import control_socket, memory
from actors.system.actor import Actor
from actors.system.child_process import ChildProcess
from actors.system.children import ActorPlan
from actors.system.codec import Codec
from actors.system.events import Events
from actors.system.fork_server import ForkServer, Spec
from actors.system.linux import adopt_orphans
from actors.system.messages import SUPERVISION
from actors.system.shared_records import ActorRecord
from actors.system.supervisor import Supervisor

NAMES = ("a", "b")
BYTES = 8 * ActorRecord.length


def idle(spec: Spec[None]) -> int:
    """An actor that answers the supervisor and does nothing else."""
    return Actor(spec, Codec(*SUPERVISION), _record(spec.fds["control"], spec.name)).run()


def _record(fd: int, name: str) -> ActorRecord:
    words = memory.view(fd, write=True)[: BYTES * len(NAMES)].cast("q")
    return ActorRecord(words, NAMES.index(name) * ActorRecord.length)


class Scenario:
    """A supervisor of two idle actors."""

    def __init__(self, folder: Path, *preload: str) -> None:
        adopt_orphans()
        fd = memory.create("records", BYTES * len(NAMES))
        self.fork_server = ForkServer(preload, 2)
        self.fork_server.wait_ready()
        self.events = Events()
        self.supervisor = Supervisor(
            run="test",
            rundir=folder,
            fork_server=self.fork_server,
            plans=[
                ActorPlan(
                    name=name,
                    role="idle",
                    entry="tests.system.supervisor_helper:idle",
                    settings=None,
                    fds={"control": fd},
                    ends=True,
                )
                for name in NAMES
            ],
            records={name: _record(fd, name) for name in NAMES},
            codec=Codec(*SUPERVISION),
            fatal_reason=lambda _: None,
            status=lambda supervisor: {"malformed": supervisor.malformed},
            events=self.events,
        )
        self.children = self.supervisor.children

    def turn_until(self, condition: Callable[[], bool], seconds: float = 30.0) -> float:
        """Turn the supervisor until the condition holds; how long that took, in seconds."""
        begin = time.monotonic()
        while not condition():
            self.supervisor.turn()
            if time.monotonic() - begin > seconds:
                raise TimeoutError(f"not within {seconds:g} s: {self.events.after(0)}")
        return time.monotonic() - begin

    def running(self) -> bool:
        return all(child.state == "running" for child in self.children.values())

    def kill(self, name: str) -> None:
        os.kill(self.children[name].pid, signal.SIGKILL)

    def request(self, **content: Any) -> dict[str, Any]:
        """Send a request and turn the supervisor until it is answered."""
        answers: list[dict[str, Any]] = []

        def ask() -> None:
            try:
                answers.append(control_socket.request(self.supervisor.rundir, content, 30))
            except control_socket.ControlError as error:
                answers.append({"error": str(error)})

        thread = threading.Thread(target=ask)
        thread.start()
        self.turn_until(lambda: bool(answers))
        thread.join()
        return answers[0]

    def outcome(self, **more: Any) -> dict[str, Any]:
        return {
            "events": self.events.after(0),
            "failure": self.supervisor.failure,
            "incarnations": {name: child.incarnation for name, child in self.children.items()},
            "errors": {name: child.last_error for name, child in self.children.items()},
            **more,
        }


@contextmanager
def scenario(folder: Path, *preload: str) -> Iterator[Scenario]:
    """Two running actors; the outcome is printed by the caller before the end."""
    played = Scenario(folder, *preload)
    try:
        played.turn_until(played.running)
        yield played
    finally:
        played.supervisor.close()
        played.fork_server.close()


def play_killed_fork_server(folder: Path) -> Any:
    """The fork server is killed again and again, as soon as it is started; then an actor is."""
    with scenario(folder) as played:
        for _ in range(8):
            pid = played.fork_server.process.pid
            os.kill(pid, signal.SIGKILL)
            played.turn_until(lambda: played.fork_server.process.pid != pid)  # noqa: B023
        played.kill("a")
        played.turn_until(lambda: played.children["a"].state != "running")
        played.turn_until(played.running)
        return played.outcome()


def play_broken_fork_server(folder: Path) -> Any:
    """A module that can be imported once."""
    (folder / "fragile.py").write_text(
        "import pathlib\n"
        "used = pathlib.Path(__file__).with_name('used')\n"
        "if used.exists(): raise ImportError('it is broken')\n"
        "used.touch()\n"
    )
    os.environ["PYTHONPATH"] = f"{folder}:{os.environ.get('PYTHONPATH', '')}"
    with scenario(folder, "fragile") as played:
        os.kill(played.fork_server.process.pid, signal.SIGKILL)
        played.turn_until(lambda: played.supervisor.over)
        return played.outcome()


def play_stopped_fork_server(folder: Path) -> Any:
    """One that is there and does not answer."""
    with scenario(folder) as played:
        os.kill(played.fork_server.process.pid, signal.SIGSTOP)
        played.kill("a")
        played.turn_until(lambda: played.children["a"].state != "running")
        played.turn_until(played.running)
        return played.outcome()


def play_restarts(folder: Path) -> Any:
    with scenario(folder) as played:
        answers = [
            played.request(do="restart", actors=["a"], kill=True),
            played.request(do="restart", actors=["b", "a"]),
            played.request(do="restart", actors=["c"]),
            played.request(do="status"),
        ]
        return played.outcome(answers=answers)


def play_outlived_kill(folder: Path) -> Any:
    """One process takes no signal, as in uninterruptible sleep; the run stops."""
    with scenario(folder) as played:
        pid = played.children["a"].pid
        processes = played.supervisor._processes
        processes["a"] = _Sleeping(pid)
        os.kill(pid, signal.SIGSTOP)
        played.supervisor.stop()
        seconds = played.turn_until(lambda: played.supervisor.over)
        begin = time.monotonic()
        played.supervisor.close()
        closing = time.monotonic() - begin
        played.supervisor.close = lambda: None  # type: ignore[method-assign]
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return played.outcome(pid=pid, seconds=seconds, closing=closing)


class _Sleeping(ChildProcess):
    def signal(self, number: signal.Signals) -> None:
        """It has no effect."""


if __name__ == "__main__":
    print(json.dumps(globals()[f"play_{sys.argv[1]}"](Path(sys.argv[2]))))
