"""The address of the results: a free port, and sentences for what cannot be had."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from actors.config.errors import TopologyError
from actors.config.schema import Results, Topology
from actors.launcher.binding import bindable, remove_socket_file


def topology(bind: str) -> Topology:
    return Topology(
        file=Path("/here/topology.toml"),
        streams={},
        models={},
        stages={},
        workers={},
        results=Results(bind=bind),
    )


def problem(bind: str) -> str:
    with pytest.raises(TopologyError) as raised:
        bindable(topology(bind))
    (fault,) = raised.value.faults
    assert fault.place == "results.bind"
    return fault.problem


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_star_becomes_a_free_port(host: str) -> None:
    address = bindable(topology(f"tcp://{host}:*"))
    head, _, port = address.rpartition(":")
    assert head == "tcp://127.0.0.1"
    assert int(port) > 1023


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert problem(f"tcp://127.0.0.1:{port}") == (
            f"another program uses port {port}; choose another (tcp://127.0.0.1:* takes a free "
            "one) or stop that program"
        )


def test_an_address_of_another_machine() -> None:
    assert problem("tcp://192.0.2.1:5570") == (
        "cannot bind to tcp://192.0.2.1:5570: Cannot assign requested address; choose an address "
        "of this machine"
    )


def test_a_port_that_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket.socket, "bind", refuse)
    assert problem("tcp://127.0.0.1:80") == (
        "ports below 1024 need root, and 80 is one; choose another"
    )


def test_ipc_addresses(short_tmp: Path) -> None:
    path = short_tmp / "results"
    bind = f"ipc://{path}"
    assert bindable(topology(bind)) == bind
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert problem(bind) == (
            f"another program listens on {path}; choose another or stop that program"
        )
    # What a publisher that was killed has left is used again.
    assert bindable(topology(bind)) == bind
    remove_socket_file(bind)
    assert not path.exists()
    path.write_text("precious")
    assert problem(bind) == f"{path} is not a socket and would be overwritten; choose another"
