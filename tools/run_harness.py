"""Start and observe a run of `launch`, for the benchmarks, the chaos tool and the tests.

    with Harness(topology_text) as harness:
        for result in harness.subscriber(): ...
        harness.status()["streams"]

A Harness has a run directory, an address and a folder of its own, so several may run side by side,
and it leaves nothing behind however it ends.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from actors.client import End, Result, Subscriber
from actors.system.control_socket import SOCKET, ControlError, request

ROOT = Path(__file__).resolve().parent.parent
_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
# How long a run may publish nothing before it counts as stuck: a hang is noticed in 1.5 s.
_SILENCE_S = 30.0
_RUN = "harness"


class HarnessError(Exception):
    """The run did not start or end as it should; the message has the end of its output."""


def shared_file(name: str) -> Path | None:
    """A file of the real data that may lie beside the checkout, or None."""
    path = ROOT.parent / "shared" / "data" / name
    return path if path.exists() else None


class Harness:
    """One `launch` process and a folder of its own."""

    def __init__(self, topology: str | Path, *options: str) -> None:
        """`topology` is TOML text without [run] and [results], or a user's file.

        `options` are for `launch`. A file's own run name and results address are overridden.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="tritile-"))
        self.environment = {**os.environ, "XDG_RUNTIME_DIR": str(self.folder)}
        self.stderr_path = self.folder / "stderr"
        self._options = options
        self._directory = ROOT
        self.process: subprocess.Popen[bytes] | None = None
        if isinstance(topology, Path):
            self.topology = topology
            ours = (f"run.name={_RUN}", f"results.bind={self.endpoint}")
            for setting in (*ours, "results.wait_for_subscriber=true"):
                self._options += ("--set", setting)
            # The options' paths are relative to where the caller is, the package may be elsewhere.
            self._directory = Path.cwd()
            self.environment["PYTHONPATH"] = os.pathsep.join(
                [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
            )
        else:
            self.topology = self.folder / "topology.toml"
            self.topology.write_text(
                f'[run]\nname = "{_RUN}"\n\n[results]\nbind = "{self.endpoint}"\n'
                f"wait_for_subscriber = true\n\n{topology}"
            )

    @property
    def endpoint(self) -> str:
        return f"ipc://{self.folder}/results"

    @property
    def run_directory(self) -> Path:
        return self.folder / "tritile" / _RUN

    def __enter__(self) -> Harness:
        with self.stderr_path.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "actors.launch", str(self.topology), *self._options],
                cwd=self._directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        process = self.process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ------------------------------------------------------------ observing

    @property
    def stderr(self) -> str:
        """What the run has printed so far."""
        return self.stderr_path.read_text(errors="replace")

    def subscriber(self, timeout: float = 60.0) -> Subscriber:
        """A subscriber to all streams; the sources start once it is there."""
        return Subscriber(self.endpoint, timeout=timeout)

    def ask(self, *, seconds: float = 70.0, **content: Any) -> dict[str, Any]:
        """A command to the supervisor and its answer; ControlError when it refuses."""
        return request(self.run_directory, content, seconds)

    def events(self, after: int = 0) -> list[dict[str, Any]]:
        """The events after that id; waits a second for one. ControlError when the run is over."""
        events: list[dict[str, Any]] = self.ask(do="events", after=after, seconds=5.0)["events"]
        return events

    def status(self) -> dict[str, Any]:
        """The run's status; waits until there is one."""
        deadline = time.monotonic() + _START_SECONDS
        while not (self.run_directory / SOCKET).exists():
            self._check_alive(deadline)
            time.sleep(0.02)
        status: dict[str, Any] = self.ask(do="status")["status"]
        return status

    def wait_until_running(self) -> dict[str, Any]:
        """Wait until every actor is ready; the status then."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                status = self.status()
            except ControlError:
                self._check_alive(deadline)
                continue
            if all(actor["state"] in ("running", "ended") for actor in status["actors"]):
                return status
            self._check_alive(deadline)
            time.sleep(0.02)

    def wait(self, seconds: float = 60.0) -> int:
        """Wait for the run to end; its exit code."""
        assert self.process is not None
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise HarnessError(f"the run did not end in {seconds:g} s:\n{self.stderr}") from None

    def _check_alive(self, deadline: float) -> None:
        assert self.process is not None
        if self.process.poll() is not None:
            raise HarnessError(f"the run ended with code {self.process.returncode}:\n{self.stderr}")
        if time.monotonic() > deadline:
            raise HarnessError(f"the run did not start in {_START_SECONDS:g} s:\n{self.stderr}")


def pids(status: dict[str, Any], roles: Sequence[str] = ()) -> dict[str, int]:
    """The actors' processes by name, of these roles or of all."""
    return {
        actor["name"]: actor["pid"]
        for actor in status["actors"]
        if actor["pid"] and (not roles or actor["role"] in roles)
    }


def messages_until_end(
    results: Subscriber,
    harness: Harness,
    given_up: Callable[[], bool] = lambda: False,
    silence_s: float = _SILENCE_S,
) -> Iterator[Result | End]:
    """All messages until the streams' ends, or until there will be no more.

    `results` must time out every second or so. HarnessError when nothing comes for `silence_s`.
    """
    assert harness.process is not None
    received = time.monotonic()
    while not given_up():
        gone = harness.process.poll() is not None
        try:
            message = next(results)
        except StopIteration:
            return
        except TimeoutError:
            if gone:
                return
            if time.monotonic() - received > silence_s:
                raise HarnessError(f"nothing was published for {silence_s:.0f} s") from None
            continue
        received = time.monotonic()
        yield message
