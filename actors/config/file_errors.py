"""Why a file that a user named cannot be read or written, each in one sentence."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from actors.config.errors import nearest, show
from actors.runtimes.registry import RuntimeKind

_LONGEST_LABELS = 100_000


def file_problem(path: Path, written: str) -> str | None:
    """Why `path`, which the user wrote as `written`, is not a readable file with content."""
    name = show(written)
    if not written.strip():
        return "the path is empty; give the path of a file"
    if problem := _name_problem(path, name):
        return problem
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return f"{name} is a folder; give a file"
        if not stat.S_ISREG(status.st_mode):
            return f"{name} is not an ordinary file; give one"
        with path.open("rb") as file:
            return None if file.read(1) else f"{name} is empty; give another file"
    except (FileNotFoundError, NotADirectoryError):
        looked_for = "" if str(path) == written else f" (looked for {path})"
        return f"there is no {name}{looked_for}; {_sibling(path)}"
    except (OSError, ValueError) as error:
        return f"{name} cannot be read ({reason(error)}); correct the path or its permissions"


def exists(path: Path) -> bool:
    """Whether something is there. `Path.exists` raises for a name that is too long."""
    return os.path.exists(path)  # noqa: PTH110


def _name_problem(path: Path, name: str) -> str | None:
    """Why a name cannot be used with every library: OpenCV ends the process over such a name."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return f"the name {name} is not UTF-8 text; rename it"
    return None


def folder_problem(path: Path, written: str) -> str | None:
    """Why no files can be written into the folder `path`, which the user wrote as `written`."""
    name = show(written)
    if not written.strip():
        return "the path is empty; give the path of a folder"
    if problem := _name_problem(path, name):
        return problem
    try:
        if not path.exists() and not path.parent.is_dir():
            return f"{name} lies in a folder that does not exist ({path.parent}); make it first"
        if path.exists() and not path.is_dir():
            return f"{name} is a file; give a folder"
        if not os.access(path if path.exists() else path.parent, os.W_OK | os.X_OK):
            return f"{name} cannot be written; give another folder"
    except (OSError, ValueError) as error:
        return f"{name} cannot be written ({reason(error)}); give another folder"
    return None


def output_problem(path: Path, written: str, suffixes: Sequence[str] = ()) -> str | None:
    """Why no file can be written at `path`, which the user wrote as `written`."""
    name = show(written)
    if not written.strip():
        return "the path is empty; give the path of a file"
    if problem := _name_problem(path, name):
        return problem
    if suffixes and path.suffix.lower() not in suffixes:
        return f"{name} must end in {', '.join(suffixes[:-1])} or {suffixes[-1]}"
    if str(path).startswith(("/dev/std", "/dev/fd/", "/proc/")):
        # An actor's standard output is the log.
        return (
            f"{name} is another file in every process; give an ordinary file, or have the records "
            "printed (see tritile subscribe --help)"
        )
    try:
        if not path.parent.is_dir():
            return f"{name} lies in a folder that does not exist ({path.parent}); make it first"
        if not os.access(path.parent, os.W_OK | os.X_OK):
            return f"the folder of {name} cannot be written ({path.parent}); give another"
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return f"{name} is a folder; give a file in it"
        if stat.S_ISFIFO(status.st_mode):
            return f"{name} is not an ordinary file; give one"
        writable = os.access(path, os.W_OK)
        return None if writable else f"{name} exists and cannot be written; give another file"
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return f"{name} cannot be written ({reason(error)}); give another file"


def model_problem(path: Path, written: str, kind: RuntimeKind) -> str | None:
    """Why the file is not a model for a kind of runtime, judged by its first four bytes."""
    if problem := file_problem(path, written):
        return problem
    with path.open("rb") as file:
        start = file.read(4)
    name = show(written)
    if kind.file == "any":
        return None
    if kind.file == "rknn":
        return None if start == b"RKNN" else f"{name} is not a .rknn file; convert the model again"
    if start == b"RKNN":
        return f'{name} is a .rknn file and runtime "{kind.name}" reads .onnx; give the .onnx'
    # Protobuf: field 1 (ir_version) as a varint comes first in every .onnx.
    return None if start[0] == 0x08 else f"{name} is not an ONNX model; export the model again"


def labels_problem(path: Path, written: str) -> str | None:
    """Why the file is not a list of class names, one a line."""
    if problem := file_problem(path, written):
        return problem
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(_LONGEST_LABELS)
    except UnicodeDecodeError:
        return f"{show(written)} is not a text file; give one with a class name a line"
    return None if text.strip() else f"{show(written)} has no class name; write one a line"


def _sibling(path: Path) -> str:
    try:
        # Two names of one suffix are alike already, so more than usual is asked of them.
        meant = nearest(path.name, [other.name for other in path.parent.iterdir()], cutoff=0.75)
    except OSError:
        meant = None
    return f"did you mean {show(meant)}?" if meant else "correct the path"


def reason(error: Exception) -> str:
    """Why the system refuses a path, without its number and the path again."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "no file can have this name" if isinstance(error, ValueError) else str(error)
