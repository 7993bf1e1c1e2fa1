"""Client of the vendor's toolkit, which runs in its own environment: one server process each.

rknn-toolkit2 pins an old numpy, so it is never imported here. `server.py` runs in its
environment, which `tritile convert --setup` makes; this starts it, hands it requests, and
holds the shared memory through which pixels and outputs travel.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.runtimes.contract import ComputeError, Tensor

VERSION = "2.5.0"
"""Of rknn-toolkit2: what this was tried with, and what `--setup` installs."""
VARIABLE = "TRITILE_TOOLKIT"
_SERVER = Path(__file__).with_name("server.py")


def environment() -> Path:
    """The folder of the toolkit's environment, made by `--setup`."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "tritile" / f"toolkit-{VERSION}"


def interpreter() -> Path:
    """The Python that has the toolkit. ComputeError where there is none."""
    if given := os.environ.get(VARIABLE):
        if os.access(given, os.X_OK) and Path(given).is_file():
            return Path(given)
        raise ComputeError(
            f"{VARIABLE} is {given!r}, which is not a program; set it to the Python that has "
            "rknn-toolkit2, or unset it"
        )
    path = environment() / "bin" / "python"
    if not path.exists():
        raise ComputeError(
            "the vendor's toolkit has no environment here; make it with: tritile convert --setup"
        )
    return path


class Toolkit:
    """One server process. Belongs to the thread that uses it; ends with this process."""

    def __init__(self, log: Path) -> None:
        """Start it; what the toolkit prints is added to `log`. ComputeError when it cannot be."""
        program = interpreter()
        self.log = log
        self.folder = Path(tempfile.mkdtemp(prefix="tritile-toolkit-"))
        """For files that pass between both; goes with the server."""
        self._pixels = os.memfd_create("pixels")
        self._outputs = os.memfd_create("outputs")
        self._input: npt.NDArray[np.uint8] | None = None
        self._tensors: list[Tensor] = []
        # In its own session: on a terminal's Ctrl-C this process closes it, the signal does not.
        command = [str(program), "-I", str(_SERVER), str(self.folder), str(log)]
        try:
            self.process = subprocess.Popen(
                [*command, str(self._pixels), str(self._outputs)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=(self._pixels, self._outputs),
                start_new_session=True,
                # The toolkit leaves folders in the place for temporary files.
                env={**os.environ, "TMPDIR": str(self.folder)},
                text=True,
            )
        except OSError as error:
            self._forget()
            raise ComputeError(
                f"{program} cannot be started ({error.strerror}); make the toolkit's environment "
                "again with: tritile convert --setup"
            ) from None

    def __enter__(self) -> Toolkit:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Send one request and wait for the answer; `Server.do_*` in `server.py` are the requests.

        ComputeError, with the log's name, when the toolkit refuses, fails or dies.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            code = self.process.wait()
            raise ComputeError(
                f"the toolkit's process ended with {code} while asked to {do}; see {self.log}"
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ComputeError(f"{answer['error']}; see {self.log}")
        return answer

    def run(self, tile: npt.NDArray[np.uint8]) -> tuple[Sequence[Tensor], tuple[int, int]]:
        """Simulate one inference of uint8 (h, w, 3): outputs, and from when to when it computed.

        The outputs are float32 and valid until the next call.
        """
        height, width = tile.shape[:2]
        if self._input is None:
            os.ftruncate(self._pixels, tile.nbytes)
            memory = mmap.mmap(self._pixels, tile.nbytes)
            self._input = np.frombuffer(memory, np.uint8).reshape(tile.shape)
        np.copyto(self._input, tile)
        answer = self.ask("run", height=height, width=width)
        shapes = [tuple(shape) for shape in answer["shapes"]]
        if [tensor.shape for tensor in self._tensors] != shapes:
            sizes = [int(np.prod(shape)) for shape in shapes]
            memory = mmap.mmap(self._outputs, 4 * sum(sizes), prot=mmap.PROT_READ)
            parts = np.split(np.frombuffer(memory, np.float32), np.cumsum(sizes)[:-1])
            self._tensors = [part.reshape(s) for part, s in zip(parts, shapes, strict=True)]
        begin, end = answer["span"]
        return self._tensors, (begin, end)

    def close(self) -> None:
        """End the server and whatever it is doing. May be called again."""
        if self.process.stdin is None or self.process.stdin.closed:
            return
        with suppress(OSError):  # it died with a request unread
            self.process.stdin.close()
        try:
            self.process.wait(5.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._forget()

    def _forget(self) -> None:
        os.close(self._pixels)
        os.close(self._outputs)
        shutil.rmtree(self.folder, ignore_errors=True)
