"""The command `tritile NAME ...`: finds the tool of that name and runs it.

Imports little: `tritile --help` needs no dependency, and a tool's imports begin once it is chosen.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from .entry import run

TOOLS = {
    "convert": "an ONNX model to .rknn for the NPU, and what int8 costs in accuracy",
    "evaluate": "detections against ground truth: recall, precision, mAP",
    "subscribe": "print the results of a run as they are published",
    "compare": "two result logs, frame by frame",
    "make_keys": "CURVE keys for results that other machines may read",
    "probe_camera": "a camera's modes, and the frame rate that it really delivers in each",
    "scene": "write the drawn scene as a video or a picture",
    "bench": "measure the pipeline's throughput on emulated cores",
    "chaos": "kill, stop and restart the actors of a run, and check that no result changed",
    "soak": "run for a long time, and check that memory and descriptors do not grow",
    "train": "train the two models that come with the project",
    "board": "run anything on an emulated RK3588 board",
    "topology_docs": "write docs/topology.md and the JSON Schema for editors",
}
"""Names and what each does, in the order of the list that `tritile --help` shows."""
CHECKOUT_ONLY = ("board", "topology_docs")
"""Tools that need the project's other files; they are run as `python -m tools.NAME`."""

_COMMANDS = ("launch", "actorctl")


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry: the tool's exit code, 2 for an unknown name."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    name, *arguments = (list(sys.argv[1:]) if argv is None else list(argv)) or ["--help"]
    if name in ("-h", "--help"):
        print(_help())
        return 0
    if name == "--version":
        print(f"tritile {_version()}")
        return 0
    if name not in available():
        print(f"tritile: {_unknown(name)}", file=sys.stderr)
        return 2
    module = import_module(module_of(name))
    return run(lambda: module.main(arguments))


def available() -> list[str]:
    """Names of the tools that can run here."""
    if (Path(__file__).parents[1] / "pyproject.toml").is_file():
        return list(TOOLS)
    return [name for name in TOOLS if name not in CHECKOUT_ONLY]


def module_of(name: str) -> str:
    """The module with a tool's `main` and `parser`."""
    package = f"{__package__}.{name}"
    return f"{package}.__main__" if (Path(__file__).parent / name).is_dir() else package


def _help() -> str:
    width = max(map(len, TOOLS))
    return "\n".join(
        [
            "usage: tritile NAME ...",
            "",
            "tools:",
            *(f"  {name:{width}}  {TOOLS[name]}" for name in available()),
            "",
            "`tritile NAME --help` describes one, with an example; `tritile --version` says which",
            "version this is. Runs are started with `launch` and controlled with `actorctl`.",
        ]
    )


def _unknown(name: str) -> str:
    if name in _COMMANDS:
        return f"{name} is a command of its own: {name} --help"
    if name in TOOLS:
        return f"{name} needs the project's checkout; there: python -m tools.{name} --help"
    # Imported here: it is needed for mistakes only.
    from difflib import get_close_matches

    if name.startswith("-"):
        return f"there is no option {name} before the tool's name; see tritile --help"
    near = get_close_matches(name.replace("-", "_").lower(), available(), n=1)
    hint = f'did you mean "{near[0]}"?' if near else "see tritile --help"
    return f'there is no tool "{name}"; {hint}'


def _version() -> str:
    from actors import __version__

    return __version__


def _leave(*_: object) -> NoReturn:
    """End on a signal while modules are imported: KeyboardInterrupt would be a traceback then."""
    raise SystemExit(130)


if __name__ == "__main__":
    sys.exit(main())
