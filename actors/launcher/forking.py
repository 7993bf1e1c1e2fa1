"""The run's fork server, and the pipe into which it and all that it forks write their logs."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from actors.config.schema import Topology
from actors.launcher.plan import role_wanted
from actors.launcher.signals import exit_on_signal
from actors.processes import ROLES
from actors.runtimes.registry import preloaded
from actors.system.fork_server import ForkServer, ForkServerError
from actors.system.linux import adopt_orphans


class RunForkServer:
    """Started at once; it imports what the topology's actors need while the caller continues.

    `log` is the reading end of the pipe, non-blocking; `process` the fork server.
    """

    def __init__(self, topology: Topology) -> None:
        self.log, write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.log, False)
        adopt_orphans()
        runtimes = preloaded(m.runtime for m in topology.models.values() if m.runtime)
        roles = [role.module for role in ROLES.values() if role_wanted(role, topology)]
        modules = ["actors.launcher.probe", *roles, *sorted(runtimes)]
        self.process = ForkServer(modules, write_end)
        exit_on_signal(self.process.process.pid)
        os.close(write_end)

    def __enter__(self) -> RunForkServer:
        return self

    def __exit__(self, kind: object, error: object, _: object) -> None:
        self.process.close()
        if isinstance(error, ForkServerError):
            with suppress(BlockingIOError):
                sys.stderr.buffer.write(os.read(self.log, 65536))
        os.close(self.log)
