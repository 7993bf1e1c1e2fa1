"""The fork server: a process that has imported everything and forks actors from itself.

Starting an actor from nothing costs its imports (numpy, OpenCV, ONNX Runtime: 0.25 s on a PC, more
on an ARM core), and a dead worker's core stands idle that long. A fork of a process that has them
already takes milliseconds, and the copies share the libraries' memory.

Clean because of three rules. The fork server has one thread and opens no socket, context, model or
video, so a fork copies nothing half done. It forks twice and the middle process exits at once, so
the actor becomes the child of the supervisor (which adopts orphans, see
`linux.adopt_orphans`): exit codes and the death signal work as if the supervisor had forked it.
And everything an actor gets, descriptors included, comes with the request.

Protocol, over one SEQPACKET socket: first `{"ready": true}` or `{"error": ...}` from the
server; then a request a message, which is nothing but descriptors: of memory with the pickled Spec
(a model of many classes has more settings than a socket takes at once), and those of the Spec. The
answer is `{"pid": ...}`. The socket has no name, so no other process can send to it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from setproctitle import setproctitle

from actors.system import logs
from actors.system.children import cause_of, describe_exit
from actors.system.hang_detector import HangDetector
from actors.system.linux import die_with_parent, now_ns

_LARGEST_ANSWER = 1 << 16
_MOST_FDS = 253  # the kernel's limit for one message
# Imports on a slow, busy board take seconds; a fork server silent for longer is broken.
_READY_SECONDS = 60.0
# A fork takes milliseconds; the supervisor waits for nothing else meanwhile.
_FORK_SECONDS = 2.0
_STEP_SECONDS = 0.1
# The first statement of the new process; `_signal` is there without an import from a file.
_IGNORE_SIGINT = (
    "import _signal as s; s.signal(s.SIGINT, s.SIG_IGN); "
    "s.pthread_sigmask(s.SIG_UNBLOCK, [s.SIGINT])"
)

# One thread each: the parallelism is in the processes, and OpenBLAS would start its threads at
# import, which a forking process must not have. ONNX Runtime from 1.29 on has one for telemetry,
# which is not wanted either.
_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}


_Settings_co = TypeVar("_Settings_co", covariant=True)


class ForkServerError(Exception):
    """The fork server cannot start or fork; the message says why.

    `killed`: it was ended from outside, so for nothing that a second start would meet again.
    """

    def __init__(self, text: str, *, killed: bool = False) -> None:
        super().__init__(text)
        self.killed = killed


@dataclass(frozen=True, kw_only=True)
class Spec(Generic[_Settings_co]):
    """What one actor process is given.

    `entry` is "module:function", called with this Spec; it returns the exit code. `fds` names
    the descriptors that come with it. `settings` is the role's own.
    """

    name: str
    role: str
    entry: str
    run: str
    incarnation: int
    rundir: str
    settings: _Settings_co
    fds: Mapping[str, int]
    token: bytes = b""
    """The first bytes of the run's messages, see `mailbox`."""


class ForkServer:
    """The supervisor's side."""

    def __init__(self, preload: Sequence[str], stderr: int) -> None:
        """Start the process; it imports `preload` while the caller continues. See `wait_ready`."""
        self._preload = tuple(preload)
        self._stderr = os.dup(stderr)
        self._start()

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # The package's own folder goes first in the path in place of the caller's directory, where
        # any file called like a module of the standard library would be taken for it.
        package_root = str(Path(__file__).resolve().parents[2])
        boot = (
            f"{_IGNORE_SIGINT}; import sys; sys.path[0] = {package_root!r}; "
            "from actors.system.fork_server import main; main()"
        )
        # Ctrl-C is for the supervisor, which then stops the others. It is blocked from before the
        # fork until the new process ignores it, so that none comes between.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    boot,
                    f"{theirs.fileno()}",
                    f"{os.getpid()}",
                    *self._preload,
                ],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=self._stderr,
                stderr=self._stderr,
                env={**os.environ, **_ENVIRONMENT},
                start_new_session=True,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self._socket = ours
        self._ready = False

    def fileno(self) -> int:
        """Readable when the server became ready or has ended: see `check_ready`."""
        return self._socket.fileno()

    def check_ready(self) -> None:
        """Called when `fileno` is readable: it is ready, or ForkServerError says how it ended."""
        if self._ready:  # and asked for nothing
            raise self._gone()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until the imports are done; ForkServerError when they fail."""
        if self._ready:
            return
        answer = self._receive(_READY_SECONDS, "does not start")
        if "error" in answer:
            raise ForkServerError(str(answer["error"]))
        self._ready = True

    def fork(self, spec: Spec[object]) -> int:
        """Fork an actor; its pid, a child of the calling process.

        `spec.fds` are descriptors here; the actor's Spec has its own numbers for them.
        """
        self.wait_ready()
        with os.fdopen(os.memfd_create("tritile-spec"), "wb") as file:
            pickle.dump(spec, file)
            file.flush()
            try:
                socket.send_fds(self._socket, [b"fork"], [file.fileno(), *spec.fds.values()])
            except OSError as error:
                raise self._gone() from error
        return int(self._receive(_FORK_SECONDS, "does not fork")["pid"])

    def _receive(self, seconds: float, failing: str) -> dict[str, Any]:
        pid, asked_ns, silence = self.process.pid, now_ns(), HangDetector()
        self._socket.settimeout(_STEP_SECONDS)
        data = None
        while data is None:
            try:
                data = self._socket.recv(_LARGEST_ANSWER)
            except TimeoutError:
                if silence.observe(now_ns(), asked_ns, pid, pid) > seconds * 1e9:
                    text = f"the fork server process {failing} within {seconds:.0f} s"
                    raise ForkServerError(text) from None
            except OSError as error:
                raise self._gone() from error
        if not data:
            raise self._gone()
        answer: dict[str, Any] = json.loads(data)
        return answer

    def _gone(self) -> ForkServerError:
        """How the process ended, whose socket is closed already."""
        try:
            code = self.process.wait(1)
        except subprocess.TimeoutExpired:
            return ForkServerError("the fork server process closed its socket")
        end = describe_exit(code)
        end = f"{end}; see the lines above" if code >= 0 else f"was {end}"
        killed = cause_of(code) == "killed"
        return ForkServerError(f"the fork server process {end}", killed=killed)

    def renew(self) -> None:
        """End the process, whatever is left of it, and start another. Actors are not touched."""
        self._end()
        self._start()

    def close(self) -> None:
        """End the process and wait for it."""
        self._end()
        os.close(self._stderr)

    def _end(self) -> None:
        self._socket.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


# ---------------------------------------------------------------- the fork server's own process


def main() -> None:
    """`-c` entry: socket descriptor, supervisor's pid, modules to import."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    supervisor = int(sys.argv[2])
    die_with_parent(supervisor)
    setproctitle("tritile: fork server")
    logs.setup()
    try:
        for module in sys.argv[3:]:
            importlib.import_module(module)
    except Exception as error:
        channel.send(json.dumps({"error": _sentence(module, error)}).encode())
        return
    # What every child has must not be visited, and so copied, by its garbage collector.
    gc.collect()
    gc.freeze()
    channel.send(b'{"ready": true}')
    while True:
        data, received, _, _ = socket.recv_fds(channel, 16, _MOST_FDS)
        if not data:
            return
        content, *fds = received
        with os.fdopen(content, "rb") as file:
            file.seek(0)
            spec: Spec[object] = pickle.load(file)
        spec = replace(spec, fds=dict(zip(spec.fds, fds, strict=True)))
        pid = _fork_twice(spec, channel, supervisor)
        for fd in fds:
            os.close(fd)
        channel.send(json.dumps({"pid": pid}).encode())


def _sentence(module: str, error: Exception) -> str:
    text = f"cannot import {module}: {error}"
    if "libGL" in text or "libxcb" in text or "libgthread" in text:
        text += "; install the system libraries (apt-get install libgl1 libglib2.0-0 libxcb1)"
    return text


def _fork_twice(spec: Spec[object], channel: socket.socket, supervisor: int) -> int:
    pipe_in, pipe_out = os.pipe()
    middle = os.fork()
    if middle == 0:
        middle = os.getpid()
        pid = os.fork()
        if pid == 0:
            os.close(pipe_in)
            os.close(pipe_out)
            channel.close()
            _become(spec, middle, supervisor)
        os.write(pipe_out, str(pid).encode())
        os._exit(0)
    os.close(pipe_out)
    pid = int(os.read(pipe_in, 32))
    os.close(pipe_in)
    os.waitpid(middle, 0)
    return pid


def _become(spec: Spec[object], middle: int, supervisor: int) -> None:
    """Turn this fork into the actor. Never returns."""
    code = 1
    try:
        while os.getppid() == middle:
            time.sleep(0.0005)  # until it has exited: well under a millisecond
        die_with_parent(supervisor)
        setproctitle(f"tritile: {spec.run} {spec.name} ({spec.role})")
        logging.getLogger().name = spec.name
        module, _, function = spec.entry.partition(":")
        code = getattr(importlib.import_module(module), function)(spec)
    except BaseException as error:
        # An actor reports its own failures; what arrives here is a fault in the frame around it.
        logging.getLogger(spec.name).exception("ended by a fault of its own: %s", error)
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(code)
