"""The address that results are published on: checked, and a free port chosen, before the run."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

from actors.config.errors import Fault, TopologyError
from actors.config.schema import Topology
from actors.system.run_directory import listens


def bindable(topology: Topology) -> str:
    """The address of `[results] bind`, with a port number in place of "*".

    The port must stay the same when the merger is started again. TopologyError when the address
    cannot be had.
    """
    bind = topology.results.bind
    if bind.startswith("tcp://"):
        return _tcp(topology, bind)
    path = Path(bind.removeprefix("ipc://"))
    if listens(path):
        reason = f"another program listens on {path}; choose another or stop that program"
    elif path.exists() and not path.is_socket():
        reason = f"{path} is not a socket and would be overwritten; choose another"
    else:
        return bind
    raise _fault(topology, reason)


def _tcp(topology: Topology, bind: str) -> str:
    host, _, port = bind.removeprefix("tcp://").rpartition(":")
    name = host.strip("[]")
    family = socket.AF_INET6 if ":" in name else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("" if name == "*" else name, 0 if port == "*" else int(port)))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                reason = (
                    f"another program uses port {port}; choose another (tcp://{host}:* takes a "
                    "free one) or stop that program"
                )
            elif error.errno == errno.EACCES:
                reason = f"ports below 1024 need root, and {port} is one; choose another"
            else:
                reason = (
                    f"cannot bind to {bind}: {error.strerror}; choose an address of this machine"
                )
            raise _fault(topology, reason) from None
        address = "127.0.0.1" if name == "localhost" else host
        return f"tcp://{address}:{trial.getsockname()[1]}"


def remove_socket_file(bind: str) -> None:
    """Remove what a merger that was killed leaves of an ipc:// address."""
    if bind.startswith("ipc://") and not bind.startswith("ipc://@"):
        Path(bind.removeprefix("ipc://")).unlink(missing_ok=True)


def _fault(topology: Topology, reason: str) -> TopologyError:
    return TopologyError(topology.file.name, [Fault("results.bind", reason)])
