"""The fork server with real processes: a supervisor in fork_server_helper forks real actors."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from actors.processes import ROLES
from actors.runtimes.registry import KINDS, preloaded
from tests.conftest import ROOT


@contextmanager
def helper(
    *arguments: str, pass_fds: tuple[int, ...] = (), path: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A process that plays a scenario, killed at the end."""
    search = [str(path)] if path else []
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.system.fork_server_helper", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*search, str(ROOT)])},
        pass_fds=pass_fds,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def play(*arguments: str, path: Path | None = None) -> tuple[Any, str]:
    """What a scenario printed, and what was logged."""
    with helper(*arguments, path=path) as process:
        out, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    return json.loads(out), log


@pytest.fixture(scope="module")
def reports() -> dict[str, Any]:
    seen: dict[str, Any] = play("reports")[0]
    return seen


def test_an_actor_is_the_supervisors_child(reports: dict[str, Any]) -> None:
    for actor in reports["actors"]:
        assert actor["pid"] == actor["facts"]["pid"]
        assert actor["facts"]["parent"] == reports["supervisor"]
    assert len({actor["pid"] for actor in reports["actors"]}) == 3


def test_exit_codes_arrive(reports: dict[str, Any]) -> None:
    assert [actor["code"] for actor in reports["actors"]] == [0, 64, 7]


def test_an_actor_gets_its_spec(reports: dict[str, Any]) -> None:
    for number, actor in enumerate(reports["actors"]):
        facts = actor["facts"]
        assert facts["name"] == f"npu{number}"
        assert (facts["role"], facts["run"], facts["incarnation"]) == ("worker", "street", 3)
        assert facts["rundir"] == "/run/x"
        assert facts["settings"] == {"code": [0, 64, 7][number], "text": "ß" * number}
        assert facts["title"] == f"tritile: street npu{number} (worker)"


def test_an_actor_gets_its_descriptors_and_no_others(reports: dict[str, Any]) -> None:
    for number, actor in enumerate(reports["actors"]):
        facts = actor["facts"]
        assert facts["beside"] == f"for {number}"
        given = {str(fd) for fd in facts["given"].values()}
        beside = {fd: target for fd, target in facts["fds"].items() if fd not in given}
        # stdin, stdout and stderr; the listing itself was closed again.
        assert sorted(beside) == ["0", "1", "2"]
        assert all("socket" not in target for target in facts["fds"].values())


def test_ctrl_c_is_not_an_actors_business(reports: dict[str, Any]) -> None:
    for actor in reports["actors"]:
        assert actor["facts"]["ignores_sigint"]
        assert actor["facts"]["session"] == reports["fork server"] != reports["session"]


def test_the_fork_server_keeps_nothing_of_what_it_forked(reports: dict[str, Any]) -> None:
    assert reports["before"] == reports["after"]
    assert reports["after"]["children"] == []
    assert reports["after"]["threads"] == 1
    # stdin, the log twice, and the channel.
    assert len(reports["after"]["fds"]) == 4


def test_other_ways_to_end() -> None:
    codes, log = play("stumbles")
    assert codes == {"raise": 1, "exit": 1, "SIGSEGV": -11, "SIGKILL": -9, "SIGTERM": -15}
    assert "npu0: error: ended by a fault of its own: the reason" in log


@pytest.mark.parametrize("time_", range(5))
def test_all_are_gone_when_the_supervisor_is_killed(time_: int) -> None:
    """The pipe's write end stands for the memory: its end is read once no process holds it."""
    read_end, write_end = os.pipe()
    with ExitStack() as stack:
        stack.callback(os.close, read_end)
        process = stack.enter_context(helper("hold", str(write_end), pass_fds=(write_end,)))
        os.close(write_end)
        assert process.stdout is not None
        pids = json.loads(process.stdout.readline())
        assert len(pids) == 5
        pidfds = [os.pidfd_open(pid) for pid in pids]
        for pidfd in pidfds:
            stack.callback(os.close, pidfd)
        assert select.select([*pidfds, read_end], [], [], 0)[0] == []  # all there
        process.kill()
        deadline = time.monotonic() + 1.0
        for waited_for in (*pidfds, read_end):
            left = max(0.0, deadline - time.monotonic())
            assert select.select([waited_for], [], [], left)[0], "still there after a second"
        assert os.read(read_end, 1) == b""


def test_the_real_roles_leave_the_fork_server_one_thread_and_no_socket() -> None:
    modules = ["actors.launcher.probe", *(role.module for role in ROLES.values())]
    modules += sorted(preloaded(KINDS))
    seen, _ = play("preload", *modules)
    assert seen["code"] == 0
    assert seen["threads"] == 1
    assert seen["fork server"]["threads"] == 1
    assert [name for name in seen["fork server"]["fds"] if name == "socket"] == ["socket"]


FAILURES = {
    "import no_such_module_there_is": "cannot import failing: No module named "
    "'no_such_module_there_is'",
    "raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')": (
        "cannot import failing: libGL.so.1: cannot open shared object file: No such file or "
        "directory; install the system libraries (apt-get install libgl1 libglib2.0-0 libxcb1)"
    ),
    "1 / 0": "cannot import failing: division by zero",
    "import os; os._exit(3)": "the fork server process exited with code 3; see the lines above",
}


@pytest.mark.parametrize(("source", "sentence"), FAILURES.items())
def test_a_module_that_cannot_be_imported(tmp_path: Path, source: str, sentence: str) -> None:
    (tmp_path / "failing.py").write_text(source)
    message, log = play("failure", "json", "failing", path=tmp_path)
    assert message == sentence
    assert "Traceback" not in log


def test_server_that_was_killed_is_reported_in_a_sentence() -> None:
    message, log = play("killed_fork_server")
    assert message == "the fork server process was killed by SIGKILL"
    assert "Traceback" not in log


def test_ctrl_c_at_any_moment_is_ignored() -> None:
    """Also while the interpreter starts, where Python would print a traceback."""
    codes, log = play("sigint")
    assert codes == [0, None] * 10
    assert log == ""


def test_settings_of_any_size() -> None:
    """A model may have 20,000 classes; a message through a socket is limited to 200 kB."""
    sizes = [0, 200_000, 300_000, 1_500_000]
    assert play("sizes", *map(str, sizes))[0] == sizes


def test_as_many_descriptors_as_streams_need() -> None:
    assert play("many_descriptors", "100")[0] == {"code": 0, "given": 101}
