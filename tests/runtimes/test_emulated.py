"""The emulated core: exclusive across contexts, honest in what it costs."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from actors.runtimes.contract import CORE_BYTES, RuntimeSpec
from actors.runtimes.emulated import EmulatedCore
from actors.runtimes.registry import inspect, open_runtime
from tools import placeholder_model

MS = 1_000_000


@pytest.fixture
def core_fd() -> Iterator[int]:
    fd = os.memfd_create("core")
    os.ftruncate(fd, CORE_BYTES)
    yield fd
    os.close(fd)


def _overlap(spans: list[tuple[int, int]]) -> int:
    """Nanoseconds during which two of the spans were both on the core."""
    spans = sorted(spans)
    return max((a[1] - b[0] for a, b in pairwise(spans)), default=-1)


def test_threads_share_one_core(core_fd: int) -> None:
    spans: list[tuple[int, int]] = []

    def hold() -> None:
        core = EmulatedCore(core_fd)
        for _ in range(10):
            span = core.hold(3 * MS)
            assert time.monotonic_ns() >= span[1]
            spans.append(span)
        core.close()

    threads = [threading.Thread(target=hold) for _ in range(3)]
    begin = time.monotonic_ns()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(spans) == 30
    assert all(end - start == 3 * MS for start, end in spans)
    assert _overlap(spans) <= 0
    assert time.monotonic_ns() - begin >= 90 * MS


def _hold_in_process(fd: int, spans: multiprocessing.SimpleQueue[tuple[int, int]]) -> None:
    core = EmulatedCore(fd)
    for _ in range(8):
        spans.put(core.hold(2 * MS))


def test_processes_share_one_core_and_a_killed_one_does_not_keep_it(core_fd: int) -> None:
    fork = multiprocessing.get_context("fork")
    spans: multiprocessing.SimpleQueue[tuple[int, int]] = fork.SimpleQueue()
    processes = [fork.Process(target=_hold_in_process, args=(core_fd, spans)) for _ in range(3)]
    for process in processes:
        process.start()
    found = [spans.get() for _ in range(24)]
    for process in processes:
        process.join(10)
    assert _overlap(found) <= 0

    killed = fork.Process(target=EmulatedCore(core_fd).hold, args=(200 * MS,))
    killed.start()
    time.sleep(0.05)
    killed.kill()
    killed.join(10)
    begin, end = EmulatedCore(core_fd).hold(MS)
    # The job it had queued runs out, as on the real core; no process waits for its lock.
    assert end - begin == MS
    assert time.monotonic_ns() - end < 1000 * MS


def test_outputs_are_the_models_through_int8(core_fd: int, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    placeholder_model.write(path)
    samples = inspect("onnx", str(path), (0, 0)).samples
    spec = RuntimeSpec(
        kind="emulated", path=str(path), size=(640, 640), latency_ms=5.0, core_fd=core_fd
    )
    runtime = open_runtime(spec)
    begin = time.monotonic_ns()
    outputs = runtime.run(np.zeros((640, 640, 3), np.uint8))
    assert time.monotonic_ns() - begin >= 5 * MS
    assert runtime.span[1] - runtime.span[0] == 5 * MS
    assert len(outputs) == len(samples) == 9
    for output, sample in zip(outputs, samples, strict=True):
        assert output.dtype == np.float32
        assert output.shape == sample.shape
        step = (max(float(sample.max()), 0.0) - min(float(sample.min()), 0.0)) / 255
        assert np.abs(output - sample).max() <= step
    runtime.close()
