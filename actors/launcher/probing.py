"""Runs the probe in a process of its own and reads what it found."""

from __future__ import annotations

import os
import pickle
import select
import signal
import time

from actors.config.schema import Topology
from actors.launcher.errors import LaunchError
from actors.launcher.findings import Findings
from actors.system.children import describe_exit
from actors.system.fork_server import ForkServer, Spec

_PROBE_SECONDS = 120.0


def probe(topology: Topology, fork_server: ForkServer) -> Findings:
    """What the sources and models are; opened by a fork, as this process must not import OpenCV.

    LaunchError when the probe dies or takes longer than two minutes.
    """
    answer, write_end = os.pipe2(os.O_CLOEXEC)
    spec = Spec(
        name="probe",
        role="probe",
        entry="actors.launcher.probe:main",
        run=topology.run.name,
        incarnation=1,
        rundir="",
        settings=topology,
        fds={"answer": write_end},
    )
    try:
        pid = fork_server.fork(spec)
    finally:
        os.close(write_end)
    data = _read_all(answer, pid)
    os.close(answer)
    _, status = os.waitpid(pid, 0)
    if status != 0 or not data:
        raise LaunchError(
            "inspecting the models and sources failed "
            f"({describe_exit(os.waitstatus_to_exitcode(status))}); one of the files is broken "
            "beyond reading, try them one by one with --check"
        )
    findings: Findings = pickle.loads(data)
    return findings


def _read_all(fd: int, pid: int) -> bytes:
    """What comes out of the pipe until its end; kills the probe when that takes too long."""
    data = b""
    deadline = time.monotonic() + _PROBE_SECONDS
    while select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
        chunk = os.read(fd, 1 << 20)
        if not chunk:
            return data
        data += chunk
    os.kill(pid, signal.SIGKILL)
    return b""
