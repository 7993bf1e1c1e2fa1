"""Checks the CPUs that workers are pinned to against those of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from actors.config.errors import Finding, dotted
from actors.config.partial import PartialConfig
from actors.config.schema import Tables
from actors.runtimes.npu_status import on_board
from actors.runtimes.registry import runtime_kind

_ONLINE = Path("/sys/devices/system/cpu/online")


def check_cpus(config: PartialConfig) -> Iterator[Finding]:
    """A worker's CPUs exist here, where it can run here."""
    for name, index, problem in _absent(config.tables, elsewhere=False):
        yield ("workers", name, "cpus", index), f"{problem}; correct or remove it"


def cpu_warnings(tables: Tables) -> Iterator[str]:
    """CPUs that this machine does not have, of workers whose models are for a board."""
    for name, _, problem in _absent(tables, elsewhere=True):
        place = dotted(("workers", name, "cpus"))
        yield f"{place}: {problem}; it is taken for one of the .rknn's board"


def _absent(tables: Tables, *, elsewhere: bool) -> Iterator[tuple[str, int, str]]:
    """(worker, index in its cpus, problem) of the first CPU of each that this machine lacks.

    `elsewhere` selects the workers that cannot run here: a .rknn needs a board, but its topology
    may be checked on a PC.
    """
    text = _online()
    online = {cpu for part in text.split(",") for cpu in _range(part)}
    for name, worker in tables.workers.items():
        models = [tables.models[model] for model in worker.models if model in tables.models]
        kinds = [runtime_kind(model.runtime) if model.runtime else None for model in models]
        for_board = not on_board() and all(kind and kind.on_npu for kind in kinds)
        absent = [i for i, cpu in enumerate(worker.cpus or ()) if cpu not in online]
        if absent and for_board == elsewhere:
            problem = (
                f"this machine has no CPU {(worker.cpus or [])[absent[0]]}, its CPUs are {text}"
            )
            yield name, absent[0], problem


def _online() -> str:
    """The CPUs of this machine as the kernel writes them, as in "0-3,6"."""
    try:
        return _ONLINE.read_text().strip()
    except OSError:
        return f"0-{(os.cpu_count() or 1) - 1}"


def _range(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)
