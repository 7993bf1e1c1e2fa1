"""A run from its topology to its end: look, plan, allocate, start, watch."""

from __future__ import annotations

import errno
import os
import pickle
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import zmq

from actors.config.errors import Fault, TopologyError
from actors.config.loading import load
from actors.config.schema import Topology
from actors.dataflow.settings import Findings
from actors.launcher.display import Display
from actors.launcher.plan import Plan, make
from actors.launcher.report import plan_lines, summary
from actors.launcher.status import Status
from actors.outputs.video_files import remove
from actors.runtimes.registry import kinds
from actors.system import memory
from actors.system.children import describe_exit
from actors.system.control_block import ControlBlock
from actors.system.control_socket import SOCKET
from actors.system.fork_server import ForkServer, ForkServerError, Spec
from actors.system.linux import adopt_orphans, now_ns
from actors.system.run_directory import RunDirectory, RunDirectoryError, listens, live_runs
from actors.system.supervisor import Supervisor

_ROLES = ("capture", "tiler", "worker", "merger")
_PROBE_SECONDS = 120.0
_EMULATED_CORE_BYTES = 4096
_LOOK_NS = 1_000_000_000
# A run of seven actors has at most 60 open in any process; several streams and cores have more.
_DESCRIPTORS = 256


class LaunchError(Exception):
    """The run cannot start or failed; one sentence that says what and what to do."""


def launch(path: Path, overrides: Sequence[str], frame_limit: int | None, *, check: bool) -> int:
    """Run the topology in `path`, or only show its plan. The exit code of the contract."""
    try:
        _have_descriptors()
        topology = load(path, overrides)
        for warning in topology.warnings:
            print(f"{path.name}: warning: {warning}", file=sys.stderr)
        with _RunForkServer(topology) as fork_server:
            plan = _plan(topology, fork_server, frame_limit)
            if check:
                with suppress(BrokenPipeError):
                    os.write(
                        1, ("\n".join(plan_lines(plan)) + "\n").encode(errors="backslashreplace")
                    )
                return 0
            return _run(plan, fork_server)
    except TopologyError as error:
        print("\n".join(error.lines()), file=sys.stderr)
        return 2
    except (LaunchError, ForkServerError, RunDirectoryError, memory.OutOfMemoryError) as error:
        print(f"launch: {error}", file=sys.stderr)
        return 1
    except (OSError, zmq.ZMQError) as error:
        where = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
        print(
            f"launch: the system refused what a run needs: {error.strerror}{where}; "
            "see its limits with ulimit -a",
            file=sys.stderr,
        )
        return 1


def _have_descriptors() -> None:
    """Raise the soft limit of open files as far as is allowed, and see that it is enough.

    Below it libzmq does not report an error but ends the process.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if wanted < _DESCRIPTORS:
        raise LaunchError(
            f"only {hard} files may be open at once, {_DESCRIPTORS} are needed; raise the limit "
            f"(ulimit -n {_DESCRIPTORS})"
        )


class _RunForkServer:
    """The fork server and the pipe into which it and all that it forks log."""

    def __init__(self, topology: Topology) -> None:
        self.log, write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.log, False)
        adopt_orphans()
        wanted = {module for m in topology.models.values() for module in kinds()[m.runtime or ""]}
        roles = [*_ROLES, "renderer"] if topology.render.video is not None else _ROLES
        modules = ["actors.launcher.probe", *(f"actors.{role}" for role in roles), *sorted(wanted)]
        self.process = ForkServer(modules, write_end)
        os.close(write_end)

    def __enter__(self) -> _RunForkServer:
        return self

    def __exit__(self, kind: object, error: object, _: object) -> None:
        self.process.close()
        if isinstance(error, ForkServerError):
            with suppress(BlockingIOError):
                sys.stderr.buffer.write(os.read(self.log, 65536))
        os.close(self.log)


# ---------------------------------------------------------------- before the run


def _plan(topology: Topology, fork_server: _RunForkServer, frame_limit: int | None) -> Plan:
    """Have the sources and models looked at, and plan; TopologyError for what is wrong."""
    findings = _probe(topology, fork_server)
    faults = list(findings.faults)
    if topology.run.name not in live_runs(SOCKET):  # or else that is what is to be told
        try:
            _bindable(topology)
        except TopologyError as error:
            faults += error.faults
    if faults:
        raise TopologyError(topology.file.name, faults)
    for warning in findings.warnings:
        print(f"{topology.file.name}: warning: {warning}", file=sys.stderr)
    try:
        return make(topology, findings.sources, findings.models, frame_limit)
    except ValueError as error:
        raise TopologyError(topology.file.name, [Fault("stages", str(error))]) from None


def _probe(topology: Topology, fork_server: _RunForkServer) -> Findings:
    """Fork a process that opens what this one must not import the means for."""
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
        pid = fork_server.process.fork(spec)
    finally:
        os.close(write_end)
    data = b""
    deadline = time.monotonic() + _PROBE_SECONDS
    while select.select([answer], [], [], max(0.0, deadline - time.monotonic()))[0]:
        chunk = os.read(answer, 1 << 20)
        if not chunk:
            break
        data += chunk
    else:
        os.kill(pid, signal.SIGKILL)
    os.close(answer)
    _, status = os.waitpid(pid, 0)
    if status != 0 or not data:
        raise LaunchError(
            "looking at the models and sources failed "
            f"({describe_exit(os.waitstatus_to_exitcode(status))}); one of the files is broken "
            "beyond reading, try them one by one with --check"
        )
    findings: Findings = pickle.loads(data)
    return findings


def _bindable(topology: Topology) -> str:
    """The address that results are published on, with a port in place of "*".

    The port must stay the same when the merger is started again. TopologyError when it is taken.
    """
    bind = topology.results.bind
    if not bind.startswith("tcp://"):
        path = Path(bind.removeprefix("ipc://"))
        if listens(path):
            reason = f"somebody listens on {path} already; choose another or stop that program"
        elif path.exists() and not path.is_socket():
            reason = f"{path} is no socket and would be lost; choose another"
        else:
            return bind
        raise TopologyError(topology.file.name, [Fault("results.bind", reason)])
    host, _, port = bind.removeprefix("tcp://").rpartition(":")
    name = host.strip("[]")
    family = socket.AF_INET6 if ":" in name else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("" if name == "*" else name, 0 if port == "*" else int(port)))
        except OSError as error:
            reason = (
                f"port {port} is in use; choose another (tcp://{host}:* takes a free one) or stop "
                "the program that uses it"
                if error.errno == errno.EADDRINUSE
                else f"cannot bind to {bind}: {error.strerror}; choose an address of this machine"
            )
            raise TopologyError(topology.file.name, [Fault("results.bind", reason)]) from None
        number = trial.getsockname()[1]
        address = "127.0.0.1" if name == "localhost" else host
        return f"tcp://{address}:{number}"


# ---------------------------------------------------------------- the run


class _Signals:
    """SIGINT and SIGTERM from here on: counted, and a descriptor that wakes the loop."""

    def __init__(self) -> None:
        self.count = 0
        self.fd, self._write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._write_end)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # which is what nohup is for
            signal.signal(signal.SIGHUP, self._note)

    def _note(self, *_: object) -> None:
        self.count += 1

    def clear(self) -> None:
        os.read(self.fd, 64)


def _run(plan: Plan, fork_server: _RunForkServer) -> int:
    """Allocate, start, watch until the end; the exit code."""
    topology = plan.topology
    memory.check_available(plan.memory_bytes, "the run's frame memory")
    signals = _Signals()
    rundir = RunDirectory.acquire(topology.run.name)
    try:
        bind = _bindable(topology)
        fds = _allocate(plan)
        control = ControlBlock(plan.layout, memory.view(fds["control"], write=True))
        control.initialise(now_ns())
        supervisor = Supervisor(
            topology.run.name,
            rundir.path,
            fork_server.process,
            plan.actors(fds, bind),
            control,
            plan.fatal_reason,
        )
        status = Status(plan, control, supervisor, bind)
        supervisor.status = status.to_dict
        display = Display(plan, control, status)
        supervisor.events.told = display.event
        display.line(f"launch: run {topology.run.name!r}, results on {bind}")
        try:
            _clear_outputs(plan)
            _watch(supervisor, signals, fork_server.log, display, status)
        finally:
            supervisor.close()
            display.log(fork_server.log)
            display.close()
            if bind.startswith("ipc://") and not bind.startswith("ipc://@"):
                Path(bind.removeprefix("ipc://")).unlink(missing_ok=True)
    finally:
        rundir.release()
    if supervisor.failure is not None:
        raise LaunchError(supervisor.failure)
    broken = [f"warning: {text}" for text in supervisor.events.of_kind("broken_output")]
    for line in summary(plan, control) + broken:
        display.line(f"launch: {line}")
    return 0


def _clear_outputs(plan: Plan) -> None:
    """Empty or remove what an earlier run has written, once, before there is any actor.

    Not the actors' business: whichever incarnation comes first to its file goes on after what it
    finds there, and an incarnation may be killed before it has found anything.
    """
    log = plan.topology.results.jsonl
    try:
        if log is not None and log.is_file():
            os.truncate(log, 0)
        for video in plan.videos().values():
            remove(video)
    except OSError as error:
        raise LaunchError(
            f"{error.filename} cannot be written anew: {error.strerror}; give another file"
        ) from None


def _allocate(plan: Plan) -> dict[str, int]:
    """All shared memory, by the names that `Plan.actors` knows."""
    fds = {"control": memory.create("tritile-control", plan.layout.size)}
    for stream, slots in plan.slots.items():
        size = plan.sources[stream].frame_bytes
        fds[f"frames.{stream}"] = memory.Pool.create(f"tritile-{stream}", slots, size)
    fds["tiles"] = memory.Pool.create("tritile-tiles", plan.layout.tile_slots, plan.tile_bytes)
    for name in [name for name in fds if name != "control"]:
        fds[f"{name}:r"] = memory.reader(fds[name])
    if plan.emulated:
        for core in {worker.core for worker in plan.workers}:
            fds[f"core.{core}"] = memory.create(f"tritile-core{core}", _EMULATED_CORE_BYTES)
    return fds


def _watch(
    supervisor: Supervisor, signals: _Signals, log: int, display: Display, status: Status
) -> None:
    """Turn the supervisor until the run is over, and show it."""
    supervisor.watch(log)
    supervisor.watch(signals.fd)
    next_look_ns = now_ns()
    obeyed = 0
    while not supervisor.over:
        readable = supervisor.turn()
        if log in readable:
            display.log(log)
        if signals.fd in readable:
            signals.clear()
        while obeyed < signals.count:
            obeyed += 1
            supervisor.stop()
        if now_ns() >= next_look_ns:
            next_look_ns = now_ns() + _LOOK_NS
            status.sample()
            display.refresh()
