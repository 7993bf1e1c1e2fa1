"""Real child processes: signalled, reaped, never waited for."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

import pytest

from actors.system.child_process import ChildProcess


def start(program: str) -> tuple[subprocess.Popen[bytes], ChildProcess]:
    process = subprocess.Popen([sys.executable, "-S", "-c", program])
    return process, ChildProcess(process.pid)


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("pass", 0),
        ("raise SystemExit(64)", 64),
        ("raise SystemExit(255)", 255),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ],
)
def test_exit_code_is_collected_and_the_descriptor_closed(program: str, code: int) -> None:
    process, child = start(program)
    assert select.select([child.fd], [], [], 20)[0]
    assert child.reap() == code
    with pytest.raises(OSError):
        os.fstat(child.fd)
    process.returncode = code  # reaped here, not by the Popen object


def test_process_that_runs_is_not_waited_for() -> None:
    process, child = start("import time; time.sleep(60)")
    assert child.reap() is None
    assert child.reap() is None
    child.signal(signal.SIGKILL)
    assert select.select([child.fd], [], [], 20)[0]
    assert child.reap() == -signal.SIGKILL
    process.returncode = -signal.SIGKILL


def test_signal_to_a_process_that_has_exited_is_not_an_error() -> None:
    process, child = start("pass")
    process.wait()
    child.signal(signal.SIGTERM)
    os.close(child.fd)
