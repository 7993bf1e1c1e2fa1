"""Control of the emulated NPU: script its failures, and read the record of its calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path


@dataclass(frozen=True)
class Call:
    """One call of the device's library. Times are CLOCK_MONOTONIC, ns.

    `core` is None while a context is not bound to one. `details` are the words that follow: of
    "run" when its core was taken from and until, of "ran" the code that it returned.
    """

    time_ns: int
    pid: int
    thread: int
    context: str
    core: int | None
    call: str
    details: tuple[str, ...]

    @property
    def span(self) -> tuple[int, int]:
        """Of a "run": from when to when it held its core."""
        return int(self.details[0]), int(self.details[1])


class Npu:
    """The folder that RKNN_EMULATED names for a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def script(self, *rules: str) -> None:
        """What shall go wrong (see device/npu.c), in place of what was said before."""
        (self.folder / "script").write_text("".join(f"{rule}\n" for rule in rules))
        # The counts of the rules before start anew; the cores' times stay.
        cores = self.folder / "cores"
        if cores.exists():
            with cores.open("r+b") as file:
                file.seek(16 * 8)
                file.write(bytes(64 * 8))

    def calls(self) -> list[Call]:
        """Everything so far, in order."""
        try:
            lines = (self.folder / "record").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [_parse(line) for line in lines]


def _parse(line: str) -> Call:
    time_ns, pid, thread, context, core, call, *details = line.split()
    number = None if core == "-" else int(core)
    return Call(int(time_ns), int(pid), int(thread), context, number, call, tuple(details))


def overlaps(calls: Sequence[Call]) -> list[tuple[Call, Call]]:
    """Pairs of runs that held one core at the same time: there must be none."""
    runs = sorted((c for c in calls if c.call == "run"), key=lambda c: (c.core, c.span))
    return [
        (one, next_)
        for one, next_ in pairwise(runs)
        if one.core == next_.core and next_.span[0] < one.span[1]
    ]


def cores_of_contexts(calls: Sequence[Call]) -> dict[tuple[int, str], set[int | None]]:
    """The cores that each context (by process and handle) has run on."""
    cores: dict[tuple[int, str], set[int | None]] = {}
    for call in calls:
        if call.call == "run":
            cores.setdefault((call.pid, call.context), set()).add(call.core)
    return cores
