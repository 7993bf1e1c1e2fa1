"""What tests of whole runs share: topologies, the records of a run, and what it may not leave."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from actors.client import End, Result
from tests.support.poison_runtime import RUNTIME
from tools.run_harness import ROOT, Harness
from tools.run_resources import leftovers as leftovers
from tools.run_resources import processes_of as processes_of

Record = dict[str, Any]


def stream(source: Path | str, name: str = "cam0", **keys: Any) -> str:
    """A [streams.NAME] table."""
    return _table(f"streams.{name}", source=str(source), **keys)


def instant(size: tuple[int, int] = (640, 640), name: str = "m") -> str:
    """A model that takes no time and whose results follow from the pixels."""
    return _table(f"models.{name}", runtime="instant", size=list(size))


def poison(size: tuple[int, int]) -> str:
    """The same, but tiles that hold a pattern make it fail (tests.support.poison_runtime)."""
    return _table("models.m", runtime=RUNTIME, size=list(size))


def model(path: Path, name: str = "m", **keys: Any) -> str:
    return _table(f"models.{name}", path=str(path), **keys)


def stage(name: str, view: str, model: str = "m", **keys: Any) -> str:
    return _table(f"stages.{name}", view=view, model=model, **keys)


def workers(count: int, models: tuple[str, ...] = ("m",)) -> str:
    return "".join(
        _table(f"workers.npu{core}", core=core, models=list(models)) for core in range(count)
    )


def cascade(video: Path) -> str:
    """A video, looped at its own rate, whole frames and tiles on three instant workers."""
    stages = stage("large", "frame") + stage("small", "tiles")
    return stream(video, loop=True, pace="realtime") + instant() + stages + workers(3)


def table(name: str, **keys: Any) -> str:
    """Any other table."""
    return _table(name, **keys)


def _table(name: str, **keys: Any) -> str:
    # JSON's strings, numbers, lists and booleans are TOML's.
    return "\n".join([f"[{name}]", *(f"{k} = {json.dumps(v)}" for k, v in keys.items())]) + "\n\n"


def collect(
    harness: Harness, timeout: float = 120.0
) -> tuple[dict[str, list[Record]], dict[str, int]]:
    """Subscribe until every stream has ended: records by stream, and the count of each `end`."""
    records: dict[str, list[Record]] = {}
    ends: dict[str, int] = {}
    for message in messages(harness, timeout):
        if isinstance(message, End):
            ends[message.stream] = message.frames
        else:
            records.setdefault(message.stream, []).append(message.raw)
    return records, ends


def messages(harness: Harness, timeout: float = 120.0) -> Iterator[Result | End]:
    with harness.subscriber(timeout) as subscriber:
        yield from subscriber


def run(topology: str, *options: str) -> tuple[dict[str, list[Record]], dict[str, int]]:
    """A whole run that must end well: its records and ends."""
    with Harness(topology, *options) as harness:
        records, ends = collect(harness)
        assert harness.wait(20) == 0, harness.stderr
    return records, ends


def launch_again(harness: Harness, *options: str) -> subprocess.CompletedProcess[str]:
    """`launch` once more, with a Harness's topology and run directories."""
    return subprocess.run(
        [sys.executable, "-m", "actors.launch", str(harness.topology), *options],
        cwd=ROOT,
        env=harness.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def essence(records: list[Record]) -> list[Record]:
    """Records without what differs between two runs of the same input: times and names."""
    passing = ("captured_ns", "published_ns", "run", "stream")
    return [{k: v for k, v in record.items() if k not in passing} for record in records]


def in_order_once(records: list[Record], frames: int) -> bool:
    """Whether seq runs from 0 to frames - 1, each once, in order."""
    return [record["seq"] for record in records] == list(range(frames))


def wait_for(condition: Any, seconds: float = 20.0, what: str = "") -> None:
    """Poll until `condition()` holds; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain {what}"
        time.sleep(0.01)
