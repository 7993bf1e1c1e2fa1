"""The run's fork server, and the pipe into which it and all that it forks write their logs."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from actors.config.schema import Topology
from actors.launcher.signals import exit_on_signal
from actors.runtimes.registry import kinds
from actors.system.fork_server import ForkServer, ForkServerError
from actors.system.linux import adopt_orphans

_ROLES = ("capture", "tiler", "worker", "merger")


class RunForkServer:
    """Started at once; it imports what the topology's actors need while the caller continues.

    `log` is the reading end of the pipe, non-blocking; `process` the fork server.
    """

    def __init__(self, topology: Topology) -> None:
        self.log, write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.log, False)
        adopt_orphans()
        wanted = {module for m in topology.models.values() for module in kinds()[m.runtime or ""]}
        roles = [*_ROLES, "renderer"] if topology.render.video is not None else _ROLES
        modules = ["actors.launcher.probe", *(f"actors.{role}" for role in roles), *sorted(wanted)]
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
