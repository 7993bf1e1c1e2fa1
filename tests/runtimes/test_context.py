"""Context threads: they load, do the jobs of a shared queue, and end."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping

import numpy as np

from actors.runtimes.context import ContextThread, clear, end
from actors.runtimes.contract import ComputeError, RuntimeSpec

WAIT = 20.0
Jobs = queue.SimpleQueue[int | None]


def _spec(kind: str) -> RuntimeSpec:
    return RuntimeSpec(
        kind=kind,
        path="m.onnx",
        size=(64, 32),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        threads=1,
        latency_ms=None,
        core_fd=None,
    )


class Recorder(ContextThread[int]):
    """Writes down what happens on the thread. Negative jobs fail."""

    def __init__(self, specs: Mapping[str, RuntimeSpec], jobs: Jobs) -> None:
        super().__init__("npu0.0", specs, jobs)
        self.done: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.began = threading.Event()
        self.ended = 0
        self.warmed_up: list[str] = []

    def on_loaded(self) -> None:
        self.warmed_up = [name for name, each in self.runtimes.items() if each.span[1] > 0]

    def do(self, job: int) -> None:
        self.began.set()
        assert self.gate.wait(WAIT)
        if job == -1:
            raise ComputeError("the core is gone")
        if job == -2:
            raise KeyError("odd")
        tile = np.zeros((32, 64, 3), np.uint8)
        assert len(self.runtimes["a"].run(tile)) == 1
        self.done.append(job)

    def on_end(self) -> None:
        self.ended += 1


def _started(jobs: Jobs, *kinds: str) -> Recorder:
    thread = Recorder({"ab"[i]: _spec(kind) for i, kind in enumerate(kinds)}, jobs)
    thread.start()
    assert thread.is_loaded.wait(WAIT)
    return thread


def test_models_run_once_before_the_thread_is_loaded_and_jobs_in_order() -> None:
    jobs: Jobs = queue.SimpleQueue()
    thread = _started(jobs, "instant", "instant")
    assert thread.warmed_up == ["a", "b"]
    for job in (1, 2, 3, None):
        jobs.put(job)
    thread.join(WAIT)
    assert (thread.done, thread.failure, thread.ended) == ([1, 2, 3], "", 1)


def test_a_model_that_cannot_be_loaded_is_named() -> None:
    thread = _started(queue.SimpleQueue(), "instant", "nothing")
    thread.join(WAIT)
    assert thread.failure.startswith("model b (m.onnx): no runtime is named 'nothing'")
    assert (thread.warmed_up, thread.ended) == ([], 1)


def test_an_error_in_a_job_ends_the_thread_with_its_reason() -> None:
    for job, reason in [(-1, "the core is gone"), (-2, "fault in the program: KeyError: 'odd'")]:
        jobs: Jobs = queue.SimpleQueue()
        thread = _started(jobs, "instant")
        jobs.put(job)
        thread.join(WAIT)
        assert (thread.failure, thread.ended) == (reason, 1)


def test_all_threads_of_a_queue_end_after_the_job_in_hand() -> None:
    jobs: Jobs = queue.SimpleQueue()
    threads = [_started(jobs, "instant") for _ in range(3)]
    failed = _started(jobs, "nothing")
    failed.join(WAIT)
    for thread in threads:
        thread.gate.clear()
    for job in range(3):
        jobs.put(job)
    for thread in threads:
        assert thread.began.wait(WAIT)
    for job in range(3, 10):
        jobs.put(job)
    for thread in threads:
        threading.Timer(0.05, thread.gate.set).start()
    end([*threads, failed], jobs, WAIT)
    assert not any(thread.is_alive() for thread in threads)
    assert sorted(job for thread in threads for job in thread.done) == [0, 1, 2]


def test_a_thread_that_does_not_end_is_not_waited_for_longer() -> None:
    jobs: Jobs = queue.SimpleQueue()
    thread = _started(jobs, "instant")
    thread.gate.clear()
    jobs.put(1)
    assert thread.began.wait(WAIT)
    end([thread], jobs, 0.01)
    assert thread.is_alive()
    thread.gate.set()
    thread.join(WAIT)
    assert not thread.is_alive()


def test_clear_empties_a_queue() -> None:
    jobs: Jobs = queue.SimpleQueue()
    clear(jobs)
    jobs.put(1)
    jobs.put(2)
    clear(jobs)
    assert jobs.empty()
