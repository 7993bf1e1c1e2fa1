"""Makes and loads the CURVE keys of a socket that other machines may reach.

Each side has the other's public key: a subscriber the server's, the server that of each subscriber
that it lets in. `make` lays them out so that one folder stays and one is handed over:

    FOLDER/server/server.key_secret     the publisher's own
    FOLDER/server/clients/NAME.key      each subscriber that is let in
    FOLDER/NAME/client.key_secret       for the subscriber, with
    FOLDER/NAME/server.key              the publisher's public key
"""

from __future__ import annotations

import shutil
from pathlib import Path

import zmq
import zmq.auth
from zmq.auth.thread import ThreadAuthenticator

SERVER, CLIENTS = "server.key_secret", "clients"
_CLIENT, _SERVER_PUBLIC = "client.key_secret", "server.key"
_REMEDY = "make it with: tritile make_keys FOLDER NAME"


class KeysError(Exception):
    """Keys that cannot be read or written; one sentence."""


def make(folder: Path, client: str) -> Path:
    """Make the server's keys, if they are not there, and a client's; the client's folder."""
    server, mine = folder / "server", folder / client
    if mine.exists():
        raise KeysError(f"{mine} is there already; choose another name or remove it first")
    (server / CLIENTS).mkdir(parents=True, exist_ok=True)
    server.chmod(0o700)
    if not (server / SERVER).exists():
        zmq.auth.create_certificates(server, "server")
    mine.mkdir(mode=0o700)
    zmq.auth.create_certificates(mine, "client")
    shutil.move(mine / "client.key", server / CLIENTS / f"{client}.key")
    shutil.copy(server / _SERVER_PUBLIC, mine / _SERVER_PUBLIC)
    for secret in (server / SERVER, mine / _CLIENT):
        secret.chmod(0o600)
    return mine


def serve(
    context: zmq.Context[zmq.Socket[bytes]], socket: zmq.Socket[bytes], folder: Path
) -> ThreadAuthenticator:
    """Make a socket that is not bound yet let in those alone whose keys are in the folder.

    The authenticator that is returned must be stopped before the context ends.
    """
    socket.curve_publickey, socket.curve_secretkey = _load(folder / SERVER)
    socket.curve_server = True
    authenticator = ThreadAuthenticator(context)
    authenticator.start()
    authenticator.configure_curve(domain="*", location=str(folder / CLIENTS))
    return authenticator


def present(socket: zmq.Socket[bytes], folder: Path) -> None:
    """Give a subscriber's socket that is not connected yet its keys. KeysError when it cannot."""
    socket.curve_publickey, socket.curve_secretkey = _load(folder / _CLIENT)
    socket.curve_serverkey = _load(folder / _SERVER_PUBLIC, secret=False)[0]


def _load(path: Path, *, secret: bool = True) -> tuple[bytes, bytes | None]:
    try:
        public, private = zmq.auth.load_certificate(path)
    except (OSError, ValueError) as error:
        raise KeysError(f"{path} is not a key file ({error}); {_REMEDY}") from None
    if secret and private is None:
        raise KeysError(f"{path} has no secret key in it; {_REMEDY}")
    return public, private
