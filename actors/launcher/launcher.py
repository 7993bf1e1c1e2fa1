"""A run from its topology to its end: load, probe, plan, allocate, start, watch, sum up."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from actors.config.errors import Fault, TopologyError
from actors.config.loading import load
from actors.config.schema import Topology
from actors.dataflow.messages import CODEC
from actors.dataflow.settings import RunSettings
from actors.dataflow.shared_records import ControlBlock
from actors.launcher import about, output_files
from actors.launcher.actor_plans import actor_plans, fatal_reason
from actors.launcher.binding import bindable, remove_socket_file
from actors.launcher.descriptors import raise_descriptor_limit
from actors.launcher.display import Display
from actors.launcher.errors import LaunchError
from actors.launcher.forking import RunForkServer
from actors.launcher.frame_memory import allocate, memory_bytes
from actors.launcher.plan import make
from actors.launcher.probing import probe
from actors.launcher.report import plan_lines
from actors.launcher.signals import StopSignals
from actors.launcher.status import Status
from actors.launcher.summary import Summary
from actors.system import memory
from actors.system.control_socket import SOCKET
from actors.system.events import Events
from actors.system.linux import now_ns
from actors.system.run_directory import RunDirectory, live_runs
from actors.system.supervisor import Supervisor
from actors.system.text import printable

_SAMPLE_NS = 1_000_000_000


def launch(
    path: Path,
    overrides: Sequence[str],
    *,
    frame_limit: int | None = None,
    check: bool = False,
    overwrite: bool = False,
) -> int:
    """Run the topology in `path`, or with `check` only show its plan; the exit code.

    `overrides` are KEY=VALUE, `frame_limit` ends each source after N frames, and `overwrite`
    allows outputs that exist. Raises TopologyError for what is wrong with the topology, and
    LaunchError, ForkServerError, RunDirectoryError, OutOfMemoryError or OSError for a run that
    cannot start or failed.
    """
    raise_descriptor_limit()
    topology = load(path, overrides)
    _warn(topology, topology.warnings)
    with RunForkServer(topology) as fork_server:
        settings = _plan(topology, fork_server, frame_limit, guard=not (check or overwrite))
        if not check:
            return _Run(topology, settings, fork_server).run()
        if not overwrite:
            found = output_files.existing(topology)
            _warn(topology, [f"{fault.place}: {fault.problem}" for fault in found])
        with suppress(BrokenPipeError):
            text = "".join(f"{printable(line)}\n" for line in plan_lines(settings))
            os.write(1, text.encode(errors="backslashreplace"))
        return 0


def _plan(
    topology: Topology, fork_server: RunForkServer, frame_limit: int | None, *, guard: bool
) -> RunSettings:
    """The run's settings from what the sources and models are; TopologyError for what is wrong."""
    findings = probe(topology, fork_server.process)
    faults = list(findings.faults)
    # Of a run of this name that is up, RunDirectory tells: its address and outputs are in use.
    if topology.run.name not in live_runs(SOCKET):
        try:
            bindable(topology)
        except TopologyError as error:
            faults += error.faults
        if guard:
            faults += output_files.existing(topology)
    if faults:
        raise TopologyError(topology.file.name, faults)
    _warn(topology, findings.warnings)
    try:
        return make(topology, findings.sources, findings.models, frame_limit)
    except ValueError as error:
        raise TopologyError(topology.file.name, [Fault("stages", str(error))]) from None


def _warn(topology: Topology, warnings: Sequence[str]) -> None:
    for warning in warnings:
        print(printable(f"{topology.file.name}: warning: {warning}"), file=sys.stderr)


class _Run:
    """One run of a topology."""

    def __init__(
        self, topology: Topology, settings: RunSettings, fork_server: RunForkServer
    ) -> None:
        self._topology = topology
        self._settings = settings
        self._fork_server = fork_server

    def run(self) -> int:
        """Allocate, start and watch until the end; the exit code. LaunchError when it failed."""
        memory.check_available(memory_bytes(self._settings), "the run's frame memory")
        signals = StopSignals()
        rundir = RunDirectory.acquire(self._settings.name)
        try:
            return self._start(rundir.path, signals)
        finally:
            rundir.release()

    def _start(self, rundir: Path, signals: StopSignals) -> int:
        bind = bindable(self._topology)
        results = self._settings.results.model_copy(update={"bind": bind})
        run = replace(self._settings, results=results)
        fds = allocate(run)
        control = ControlBlock(run.layout, memory.view(fds["control"], write=True))
        control.initialise(now_ns())
        status = Status(run, control)
        display = Display()
        events = Events(display.event)
        supervisor = Supervisor(
            run=run.name,
            rundir=rundir,
            fork_server=self._fork_server.process,
            plans=actor_plans(run, fds),
            records=control.actors,
            codec=CODEC,
            fatal_reason=partial(fatal_reason, run),
            status=status.report,
            events=events,
        )
        started = f"{about.version()} on {about.machine()}"
        events.add("supervisor", "info", "start", started)
        display.line(f"launch: {started}, run {run.name!r}, results on {bind}")
        try:
            output_files.clear(self._topology)
            self._watch(supervisor, signals, display, status)
        finally:
            supervisor.close()
            display.log(self._fork_server.log)
            display.close(status.report(supervisor))
            remove_socket_file(bind)
        if supervisor.failure is not None:
            raise LaunchError(supervisor.failure)
        summary = Summary(run, control, events.of_kind("broken_output"))
        for line in summary.lines():
            display.line(f"launch: {line}")
        return summary.exit_code

    def _watch(
        self, supervisor: Supervisor, signals: StopSignals, display: Display, status: Status
    ) -> None:
        """Turn the supervisor until the run is over, and show it."""
        log = self._fork_server.log
        supervisor.watch(log)
        supervisor.watch(signals.fd)
        next_sample_ns = now_ns()
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
            if now_ns() >= next_sample_ns:
                next_sample_ns = now_ns() + _SAMPLE_NS
                status.sample(supervisor)
                if display.due(now_ns()):
                    display.show(status.report(supervisor))
