"""A thread with runtime contexts of its own: it loads the models, then does the jobs of a queue."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

import numpy as np

from actors.runtimes.contract import ComputeError, Runtime, RuntimeSpec
from actors.runtimes.registry import open_runtime

_Job = TypeVar("_Job")


class ContextThread(threading.Thread, Generic[_Job]):
    """Base of what does the jobs. Ends after a None in the queue, which others may share.

    It also ends when it cannot work any more, and then has a `failure`.
    """

    def __init__(
        self, name: str, specs: Mapping[str, RuntimeSpec], jobs: queue.SimpleQueue[_Job | None]
    ) -> None:
        """`specs` are the models by name."""
        super().__init__(name=name, daemon=True)
        self.runtimes: dict[str, Runtime] = {}
        """The models that are loaded and have run once."""
        self.is_loaded = threading.Event()
        """Set when all are, or one cannot be."""
        self.failure = ""
        self._specs = specs
        self._jobs = jobs

    def on_loaded(self) -> None:
        """All models are loaded. Called on the thread, as the other two."""

    def do(self, job: _Job) -> None:
        """Do one job. ComputeError ends the thread, as any other error."""
        raise NotImplementedError

    def on_end(self) -> None:
        """The thread ends. Let go of what it holds."""

    def run(self) -> None:
        """Load, and do jobs until the end."""
        try:
            for model, spec in self._specs.items():
                self._load(model, spec)
            self.on_loaded()
            self.is_loaded.set()
            while (job := self._jobs.get()) is not None:
                self.do(job)
        except ComputeError as error:
            self.failure = str(error)
        except Exception as error:
            self.failure = f"fault in the program: {type(error).__name__}: {error}"
        finally:
            self.is_loaded.set()
            for runtime in self.runtimes.values():
                runtime.close()
            self.on_end()

    def _load(self, model: str, spec: RuntimeSpec) -> None:
        try:
            self.runtimes[model] = runtime = open_runtime(spec)
            runtime.run(np.zeros((spec.size[1], spec.size[0], 3), np.uint8))
        except ComputeError as error:
            raise ComputeError(f"model {model} ({spec.path}): {error}") from None


def clear(jobs: queue.SimpleQueue[_Job | None]) -> None:
    """Empty a queue of which threads take too."""
    with suppress(queue.Empty):
        while True:
            jobs.get_nowait()


def end(
    threads: Sequence[ContextThread[_Job]], jobs: queue.SimpleQueue[_Job | None], seconds: float
) -> None:
    """Have the threads of a queue end after the job in hand, and wait so long for each."""
    clear(jobs)
    started = [thread for thread in threads if thread.is_alive()]
    for _ in started:
        jobs.put(None)
    for thread in started:
        thread.join(seconds)
