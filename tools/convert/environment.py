"""The toolkit's environment: made once, outside of the project's, since it pins an old numpy.

Without torch, which on x86_64 draws several GB of CUDA and which ONNX models do not need (see
`actors/runtimes/toolkit/server.py`). It can be installed there afterwards.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from actors.runtimes.contract import ComputeError
from actors.runtimes.toolkit.client import VARIABLE, VERSION, Toolkit, environment

from .errors import ConvertError
from .progress import say

# What 2.5.0 was tried with. Its own list asks for more, and for older ones.
_PACKAGES = (
    "numpy==1.26.4",
    "onnx==1.16.1",
    "onnxruntime",
    "protobuf==4.25.4",
    "setuptools<80",  # it wants pkg_resources
    "psutil",
    "ruamel.yaml",
    "scipy",
    "tqdm",
    "opencv-python-headless<4.11",
    "fast-histogram",
)
_PYTHONS = ("python3.12", "python3.11", "python3.10")
_NEWEST = (3, 12)


def setup(console: Console) -> Path:
    """Make the environment anew; its Python. ConvertError where that fails."""
    if os.environ.get(VARIABLE):
        raise ConvertError(f"{VARIABLE} names an environment already; unset it to make another")
    folder = environment()
    log = folder.with_name(folder.name + ".log")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise ConvertError(
            f"{folder} cannot be made ({error.strerror}); set XDG_CACHE_HOME to a folder that can "
            "be written"
        ) from None
    python = str(folder / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    steps: tuple[tuple[str, Sequence[str]], ...] = (
        ("an empty environment", [_base(), "-m", "venv", str(folder)]),
        (f"rknn-toolkit2 {VERSION}", [*pip, "--no-deps", f"rknn-toolkit2=={VERSION}"]),
        (f"{len(_PACKAGES)} packages that it needs", [*pip, *_PACKAGES]),
    )
    for number, (what, command) in enumerate(steps, 1):
        with console.status(f"{number} of {len(steps)}: {what}"):
            _run(command, log)
        say(console, f"{number} of {len(steps)}: {what}")
    with console.status("trying it"):
        try:
            with Toolkit(log) as toolkit:
                found = toolkit.ask("hello")
        except ComputeError as error:
            raise ConvertError(f"the environment was made, but {error}") from None
    say(console, f"ready: {python} (Python {found['python']}, toolkit {found['toolkit']})")
    return Path(python)


def _base() -> str:
    """A Python that the toolkit has a wheel for: this one, or a named one."""
    if sys.version_info[:2] <= _NEWEST:
        return sys.executable
    for name in _PYTHONS:
        if found := shutil.which(name):
            return found
    raise ConvertError(
        f"rknn-toolkit2 {VERSION} has no wheel for Python {sys.version_info[0]}."
        f"{sys.version_info[1]}; install Python 3.12 or older beside it"
    )


def _run(command: Sequence[str], log: Path) -> None:
    with log.open("ab") as words:
        code = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=words, stderr=words
        ).returncode
    if code:
        lines = log.read_text(errors="replace").strip().splitlines()
        last = next((line for line in reversed(lines) if "rror" in line), "it says nothing")
        raise ConvertError(f"{' '.join(command[1:4])} failed ({last.strip()}); see {log}")
