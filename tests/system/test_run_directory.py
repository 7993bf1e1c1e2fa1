"""The run directory: private, locked, emptied, removed, also with a second run at once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq

from actors.system import run_directory as rundir
from actors.system.run_directory import (
    LONGEST_NAME,
    RunDirectory,
    RunDirectoryError,
    endpoint,
    live_runs,
)
from tests.conftest import ROOT

HOLD = """
import sys
from actors.system.run_directory import RunDirectory
directory = RunDirectory.acquire("street")
(directory.path / "npu0").touch()
print("held", flush=True)
sys.stdin.read()
directory.release()
"""


@contextmanager
def holder() -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the run directory until its stdin closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_base_follows_the_environment(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_tmp))
    assert rundir.base() == short_tmp / "tritile"
    for unusable in (str(short_tmp / "none"), ""):
        monkeypatch.setenv("XDG_RUNTIME_DIR", unusable)
        assert rundir.base() == Path(f"/tmp/tritile-{os.getuid()}")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert rundir.base() == Path(f"/tmp/tritile-{os.getuid()}")


def test_it_is_private_and_goes_away(runtime_dir: Path) -> None:
    before = os.umask(0)
    try:
        directory = RunDirectory.acquire("street")
    finally:
        os.umask(before)
    assert directory.path == runtime_dir / "tritile" / "street"
    assert directory.path.stat().st_mode & 0o777 == 0o700
    assert directory.path.parent.stat().st_mode & 0o777 == 0o700
    (directory.path / "npu0").touch()
    directory.release()
    assert list((runtime_dir / "tritile").iterdir()) == []


def test_one_run_of_a_name(runtime_dir: Path) -> None:
    directory = RunDirectory.acquire("street")
    other = RunDirectory.acquire("yard")
    with pytest.raises(RunDirectoryError) as caught:
        RunDirectory.acquire("street")
    assert str(caught.value) == (
        "a run named 'street' is already up; stop it (actorctl --run street stop) or give this one "
        "another name (--set run.name=OTHER)"
    )
    directory.release()
    RunDirectory.acquire("street").release()
    other.release()


def test_another_process_holds_it_until_it_ends(runtime_dir: Path) -> None:
    with holder() as process:
        with pytest.raises(RunDirectoryError, match="already up"):
            RunDirectory.acquire("street")
        assert (runtime_dir / "tritile" / "street" / "npu0").exists()  # nothing was taken from it
        process.communicate("")
        assert process.returncode == 0
    assert not (runtime_dir / "tritile" / "street").exists()


def test_what_a_killed_run_left_is_cleaned(runtime_dir: Path) -> None:
    with holder() as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    path = runtime_dir / "tritile" / "street"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path / "control"))
    (path / "link").symlink_to(runtime_dir)
    assert sorted(entry.name for entry in path.iterdir()) == ["control", "link", "npu0"]
    directory = RunDirectory.acquire("street")
    assert list(path.iterdir()) == []
    assert runtime_dir.is_dir()  # what a link points at stays
    directory.release()


def test_its_lock_is_not_inherited(runtime_dir: Path) -> None:
    """An actor that outlives the supervisor for a moment must not keep the name taken."""
    directory = RunDirectory.acquire("street")
    with subprocess.Popen(
        [sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE, close_fds=False
    ) as child:
        directory.release()
        RunDirectory.acquire("street").release()
        child.communicate(b"\n")


@pytest.mark.parametrize("mode", [0o777, 0o750, 0o701, 0o704])
@pytest.mark.parametrize("which", ["tritile", "tritile/street"])
def test_a_folder_that_others_may_enter_is_refused(
    runtime_dir: Path, mode: int, which: str
) -> None:
    (runtime_dir / "tritile").mkdir(mode=0o700)
    path = runtime_dir / which
    path.mkdir(exist_ok=True)
    path.chmod(mode)
    with pytest.raises(RunDirectoryError) as caught:
        RunDirectory.acquire("street")
    assert str(caught.value) == (
        f"{path} must be a folder that belongs to you alone (mode 0700); remove it or set "
        "XDG_RUNTIME_DIR to a private folder"
    )


def test_a_link_in_its_place_is_refused(runtime_dir: Path) -> None:
    (runtime_dir / "elsewhere").mkdir(mode=0o700)
    (runtime_dir / "tritile").symlink_to(runtime_dir / "elsewhere")
    with pytest.raises(RunDirectoryError, match="must be a folder that belongs to you alone"):
        RunDirectory.acquire("street")


def test_another_users_folder_is_refused(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (runtime_dir / "tritile").mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(RunDirectoryError, match="must be a folder that belongs to you alone"):
        RunDirectory.acquire("street")


def test_a_file_in_its_place_is_refused_in_a_sentence(runtime_dir: Path) -> None:
    (runtime_dir / "tritile").touch()
    with pytest.raises(RunDirectoryError) as caught:
        RunDirectory.acquire("street")
    assert str(caught.value) == (
        f"{runtime_dir}/tritile must be a folder that belongs to you alone (mode 0700); remove it "
        "or set XDG_RUNTIME_DIR to a private folder"
    )


def test_a_base_that_cannot_be_written_is_refused_in_a_sentence(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # /proc can be entered, and no user can make folders in it, not even root.
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/proc")
    with pytest.raises(RunDirectoryError) as caught:
        RunDirectory.acquire("street")
    assert str(caught.value) == (
        "cannot use /proc/tritile for the run's sockets (No such file or directory); set "
        "XDG_RUNTIME_DIR to a private folder"
    )


def test_a_folder_within_it_is_refused_in_a_sentence(runtime_dir: Path) -> None:
    folder = runtime_dir / "tritile" / "street" / "notes"
    folder.mkdir(parents=True, mode=0o700)
    for path in folder.parents[:2]:
        path.chmod(0o700)
    with pytest.raises(RunDirectoryError) as caught:
        RunDirectory.acquire("street")
    assert str(caught.value) == (
        f"cannot use {folder} for the run's sockets (Is a directory); set XDG_RUNTIME_DIR to a "
        "private folder"
    )
    folder.rmdir()
    RunDirectory.acquire("street").release()  # the lock was let go


def test_a_base_that_was_removed_under_the_run_is_no_fault_at_its_end(runtime_dir: Path) -> None:
    """The last logout of a user removes /run/user/UID, and a run under nohup continues."""
    directory = RunDirectory.acquire("street")
    directory.path.rmdir()
    directory.path.parent.rmdir()
    directory.release()


def test_the_longest_names_make_addresses_that_zeromq_binds(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 107 - 1 - LONGEST_NAME - 1 - LONGEST_NAME - len("/tritile")
    longest = runtime_dir / ("x" * (room - len(str(runtime_dir)) - 1))
    longest.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(longest))
    directory = RunDirectory.acquire("r" * LONGEST_NAME)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        inbox, outbox = context.socket(zmq.PULL), context.socket(zmq.PUSH)
        address = endpoint(directory.path, "a" * LONGEST_NAME)
        assert len(address) == len("ipc://") + 107
        inbox.bind(address)
        outbox.connect(address)
        outbox.send(b"x")
        assert inbox.poll(5000)
    finally:
        context.destroy(linger=0)
        directory.release()
    with pytest.raises(RunDirectoryError, match="too long for socket files; set XDG_RUNTIME_DIR"):
        RunDirectory.acquire("r" * (LONGEST_NAME + 1))


def test_live_runs_are_those_whose_socket_is_listened_on(runtime_dir: Path) -> None:
    assert live_runs("control") == []
    directories = [RunDirectory.acquire(name) for name in ("yard", "street", "dead", "bare")]
    with socket.socket(socket.AF_UNIX) as yard, socket.socket(socket.AF_UNIX) as street:
        for listener, directory in zip((yard, street), directories, strict=False):
            listener.bind(str(directory.path / "control"))
            listener.listen()
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(directories[2].path / "control"))
        assert live_runs("control") == ["street", "yard"]
    for directory in directories:
        directory.release()


def test_wait_until_free(runtime_dir: Path) -> None:
    directory = RunDirectory.acquire("street")
    assert not rundir.wait_until_free("street", 0.03)
    threading.Timer(0.05, directory.release).start()
    assert rundir.wait_until_free("street", 10)
    assert rundir.wait_until_free("never", 0)


def test_many_take_and_release_at_the_same_time(runtime_dir: Path) -> None:
    """No two processes hold it at once, and one that does not get it is refused in a sentence."""
    inside: list[int] = []
    faults: list[str] = []
    taken = [0] * 8

    def work(number: int) -> None:
        try:
            for _ in range(150):
                try:
                    directory = RunDirectory.acquire("street")
                except RunDirectoryError as error:
                    if "already up" not in str(error):
                        faults.append(str(error))
                    continue
                inside.append(number)
                (directory.path / "control").touch()
                if len(inside) != 1 or not directory.path.is_dir():
                    faults.append(f"{inside} at once")
                inside.remove(number)
                directory.release()
                taken[number] += 1
        except BaseException as error:
            faults.append(repr(error))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(switch)
    assert faults == []
    assert sum(taken) > 0
    assert list((runtime_dir / "tritile").iterdir()) == []
