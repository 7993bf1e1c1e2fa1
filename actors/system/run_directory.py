"""The run directory: a private folder for a run's sockets, locked by its supervisor.

A second live bind of an ipc path succeeds and silently steals it (measured), so the lock on the
folder, not the socket, is what keeps two runs of one name apart.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import time
from contextlib import suppress
from pathlib import Path

# sun_path holds 108 bytes; the longest file in the folder is an actor's name.
_LONGEST_SOCKET_PATH = 107
LONGEST_NAME = 32


class RunDirectoryError(Exception):
    """The folder cannot be had; the message says why and what to do."""


def base() -> Path:
    """Where this user's run directories live: $XDG_RUNTIME_DIR/tritile or /tmp/tritile-UID."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        return Path(runtime) / "tritile"
    return Path("/tmp") / f"tritile-{os.getuid()}"


def _private_folder(path: Path) -> None:
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise RunDirectoryError(
            f"{path} must be a folder that belongs to you alone (mode 0700); remove it or set "
            "XDG_RUNTIME_DIR to a private folder"
        )


class RunDirectory:
    """A held run directory. `acquire` it, `release` it; a crash leaves files but no lock."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @staticmethod
    def acquire(name: str) -> RunDirectory:
        """Take the folder of run `name`, emptied; RunDirectoryError when a run holds it."""
        parent = base()
        path = parent / name
        if len(os.fsencode(path)) + 1 + LONGEST_NAME > _LONGEST_SOCKET_PATH:
            raise RunDirectoryError(
                f"{path} is too long for socket files; set XDG_RUNTIME_DIR to a shorter folder"
            )
        try:
            _private_folder(parent)
            directory = RunDirectory(path, RunDirectory._lock_folder(path, name))
            try:
                directory._empty()
            except OSError:
                os.close(directory._lock)
                raise
        except OSError as error:
            raise RunDirectoryError(
                f"cannot use {error.filename or path} for the run's sockets ({error.strerror}); "
                "set XDG_RUNTIME_DIR to a private folder"
            ) from None
        return directory

    @staticmethod
    def _lock_folder(path: Path, name: str) -> int:
        """A descriptor that holds the lock on the folder, made if need be."""
        # The run that held it may remove the folder at any moment until we have the lock.
        while True:
            try:
                _private_folder(path)
                lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:
                if not path.parent.exists():
                    raise
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                raise RunDirectoryError(
                    f"a run named {name!r} is already up; stop it (actorctl --run {name} stop) or "
                    "give this one another name (--set run.name=OTHER)"
                ) from None
            with suppress(FileNotFoundError):
                if os.fstat(lock).st_ino == path.stat().st_ino:
                    return lock
            os.close(lock)

    def _empty(self) -> None:
        for entry in self.path.iterdir():
            entry.unlink(missing_ok=True)

    def release(self) -> None:
        """Remove the folder and what is in it, then release the lock."""
        # It is gone already when the last logout of the user removed XDG_RUNTIME_DIR.
        with suppress(FileNotFoundError):
            self._empty()
            self.path.rmdir()
        os.close(self._lock)


def endpoint(rundir: Path | str, name: str) -> str:
    """The ZeroMQ address of `name`'s inbox in a run directory."""
    return f"ipc://{rundir}/{name}"


def live_runs(socket_name: str) -> list[str]:
    """Names of the runs whose socket `socket_name` is listened on."""
    try:
        folders = sorted(path for path in base().iterdir() if path.is_dir())
    except OSError:
        return []
    return [folder.name for folder in folders if listens(folder / socket_name)]


def listens(path: Path) -> bool:
    """Whether a process listens on this socket file."""
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    probe.settimeout(1.0)
    try:
        probe.connect(str(path))
    except OSError:
        return False
    else:
        return True
    finally:
        probe.close()


def wait_until_free(name: str, seconds: float) -> bool:
    """Wait for a run's folder to go; True when it did. For commands that stop a run."""
    deadline = time.monotonic() + seconds
    while (base() / name).exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
