"""Worker: runs tile jobs on one core and turns the outputs into detections.

The core must never wait for Python. So a worker runs two or three contexts, each on a thread of its
own with its own copy of the models: while one decodes, another computes, and the next job lies in
the queue before the last one ends. The main thread only takes jobs in.

Its heartbeat says that work goes on: it stops when a run takes ten times as long as the longest of
the last ones, however lively the main thread is. So that there is something to compare with, every
model is run once before the worker is ready.
"""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from contextlib import suppress

import cv2
import numpy as np

from actors.dataflow.messages import CODEC, STALE, Answer, Finished, Job
from actors.dataflow.settings import MERGER, TILER, ModelSettings, RunSettings
from actors.dataflow.shared_records import ControlBlock
from actors.runtimes.contract import ComputeError, Runtime, RuntimeSpec
from actors.runtimes.registry import open_runtime
from actors.system.actor import Actor, ActorError
from actors.system.codec import Message
from actors.system.fork_server import Spec
from actors.system.hang_detector import HangDetector
from actors.system.linux import now_ns
from actors.system.memory import Pool, view
from actors.system.messages import Down
from actors.vision.detections import Detections
from actors.vision.heads import Decoder, build
from actors.vision.merging import nms_indices
from actors.vision.tiling import Tile, to_frame
from actors.vision.truncation import truncated_by_tile

# How long an answer may wait to hear of a tiler and a merger that the job's sender knows to be up.
# A credit that is not sent because the tiler seems to be down would be lost for good.
_PEER_SECONDS = 5.0
# A run is not taken for hung before this.
_SHORTEST_LIMIT_NS = 400_000_000
# Runs of a model, in each context, that tell how long the next may take. A run that was held up (a
# process stopped and continued) is forgotten after so many.
_RECENT = 16
_LOAD_SECONDS = 55.0


def main(spec: Spec[RunSettings]) -> int:
    """The process's entry."""
    return Worker(spec).run()


class Worker(Actor[RunSettings]):
    """One core."""

    def __init__(self, spec: Spec[RunSettings]) -> None:
        self.control = ControlBlock(spec.settings.layout, view(spec.fds["control"], write=True))
        super().__init__(spec, CODEC, self.control.actors[spec.name])
        self.mine = mine = spec.settings.workers[spec.name]
        self.jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.lock = threading.Lock()
        self.busy_until_ns = 0
        self.recent_ns = {name: deque[int](maxlen=_RECENT * mine.contexts) for name in mine.models}
        """How long the last runs of each model took."""
        self.has_computed = False
        self.said_computing = False
        self.contexts = [Context(self, index) for index in range(mine.contexts)]

    def open(self) -> None:
        if self.mine.cpus:
            try:
                os.sched_setaffinity(0, self.mine.cpus)
            except OSError as error:
                raise ActorError(
                    f"cannot run on CPUs {list(self.mine.cpus)}: {error.strerror}; change "
                    f"workers.{self.name}.cpus"
                ) from None
        cv2.setNumThreads(1)
        tiles = Pool(self.fds["tiles"], len(self.control.tile_slots), write=False)
        self.tile_pixels = [np.frombuffer(tiles[i], np.uint8) for i in range(len(tiles))]
        for context in self.contexts:
            context.start()
        deadline = now_ns() + round(_LOAD_SECONDS * 1e9)
        for context in self.contexts:
            while not context.loaded.wait(0.1):
                self.beat()
                if now_ns() > deadline:
                    raise ActorError(f"the models were not loaded within {_LOAD_SECONDS:.0f} s")
            if context.failure:
                raise ActorError(context.failure)

    def on_message(self, message: Message) -> None:
        if isinstance(message, Job):
            self.jobs.put(message)

    def on_down(self, down: Down) -> None:
        if down.name == TILER:
            # A new tiler knows nothing of these and gives them out anew.
            self._forget_jobs()

    def work(self) -> None:
        self.record.queued = self.jobs.qsize()
        if self.incarnation > 1 and not self.said_computing and self.has_computed:
            self.said_computing = True
            self.note("info", "computing again", "computing")
        for context in self.contexts:
            if not context.is_alive():
                raise ActorError(f"a context ended: {context.failure or 'fault in the program'}")

    def goes_on(self) -> bool:
        now = now_ns()
        return all(context.goes_on(now) for context in self.contexts)

    def close(self) -> None:
        # A context that waits for a merger which is down would hold up the exit. What it had goes
        # to the other workers, like all that this one has answered and nobody has published.
        self.peers.give_up()
        self._forget_jobs()
        started = [context for context in self.contexts if context.is_alive()]
        for _ in started:
            self.jobs.put(None)
        for context in started:
            context.join(5.0)

    def _forget_jobs(self) -> None:
        """Empty the queue, of which the contexts take too."""
        with suppress(queue.Empty):
            while True:
                self.jobs.get_nowait()

    def hung(self, model: str, took_ns: int) -> bool:
        """Whether a run of a model has taken too long, measured by the last ones."""
        if took_ns < _SHORTEST_LIMIT_NS:
            return False
        with self.lock:
            return took_ns >= 10 * max(self.recent_ns[model])

    def account(self, model: str, span: tuple[int, int]) -> None:
        """Add a run to the core's busy time; contexts overlap, the core is busy once."""
        begin, end = span
        with self.lock:
            self.recent_ns[model].append(end - begin)
            self.record.done += 1
            self.has_computed = True
            if end > self.busy_until_ns:
                self.record.busy_ns += end - max(begin, self.busy_until_ns)
                self.busy_until_ns = end


class _Model:
    """A model loaded in one context, and its decoder."""

    def __init__(self, settings: ModelSettings, runtime: Runtime) -> None:
        self.settings = settings
        self.runtime = runtime
        self.decode: Decoder = build(settings.head, settings.size)


class Context(threading.Thread):
    """One thread with its own contexts of the worker's models and its own sockets."""

    def __init__(self, worker: Worker, index: int) -> None:
        super().__init__(name=f"{worker.name}.{index}", daemon=True)
        self.worker = worker
        self.index = index
        self.loaded = threading.Event()
        self.failure = ""
        self._models: dict[str, _Model] = {}
        self._outbox = worker.new_outbox()
        self._silence = HangDetector()
        self._running = ""

    def goes_on(self, now: int) -> bool:
        """Whether the job in hand has not taken too long, waits for a processor not counted."""
        since, model = self.worker.record.computing_since(self.index), self._running
        if since == 0 or not model:
            return True
        took = self._silence.observe(now, since, os.getpid(), self.native_id or 0)
        return not self.worker.hung(model, took)

    def run(self) -> None:
        try:
            self._load()
        except ComputeError as error:
            self.failure = str(error)
            return
        finally:
            self.loaded.set()
        try:
            while (job := self.worker.jobs.get()) is not None:
                self._do(job)
        except Exception as error:
            self.failure = f"{type(error).__name__}: {error}"
            self.worker.log.debug("fault", exc_info=True)
        finally:
            for model in self._models.values():
                model.runtime.close()
            self._outbox.close(500)

    def _load(self) -> None:
        mine = self.worker.mine
        for name in mine.models:
            model = self.worker.settings.models[name]
            spec = RuntimeSpec(
                kind=model.runtime,
                path=model.path,
                size=model.size,
                mean=model.mean,
                std=model.std,
                threads=mine.threads,
                latency_ms=model.latency_ms,
                core_fd=self.worker.fds.get("core"),
                core=mine.core,
            )
            try:
                opened = _Model(model, open_runtime(spec))
                self._models[name] = opened
                width, height = model.size
                opened.runtime.run(np.zeros((height, width, 3), np.uint8))
            except ComputeError as error:
                raise ComputeError(f"model {name} ({model.path}): {error}") from None
            begin, end = opened.runtime.span
            with self.worker.lock:
                self.worker.recent_ns[name].append(end - begin)

    def _do(self, job: Job) -> None:
        """Run one job, answer the merger, give the credit back to the tiler."""
        worker = self.worker
        worker.record.computing(self.index, job.id, now_ns())
        detections = b""
        try:
            found = self._detect(job)
            error = ""
        except ComputeError as failure:
            found = None
            error = str(failure)
        worker.record.computing(self.index, 0, 0)
        if worker.control.tile_slots[job.slot].generation != job.generation:
            error = STALE
        elif found is not None:
            detections = found.to_bytes()
            worker.peers.wait_for(MERGER, job.merger, _PEER_SECONDS)
            answer = Answer(job.stream, job.seq, job.stage, job.index, detections)
            if not self._outbox.send(MERGER, answer):
                error = STALE
        returned = detections if job.return_detections and not error else b""
        worker.peers.wait_for(TILER, job.tiler, _PEER_SECONDS)
        self._outbox.send(TILER, Finished(worker.name, job.id, error, returned))

    def _detect(self, job: Job) -> Detections:
        """A tile's detections, in frame pixels."""
        name = self.worker.settings.stages[job.stage].model
        model = self._models[name]
        self._running = name
        width, height = model.settings.size
        pixels = self.worker.tile_pixels[job.slot][: width * height * 3]
        outputs = model.runtime.run(pixels.reshape(height, width, 3))
        self.worker.account(name, model.runtime.span)
        rows = model.decode(outputs, model.settings.conf)
        if not np.isfinite(rows).all():
            # A float16 model can overflow; such a box is nowhere and would spoil the merging.
            rows = rows[np.isfinite(rows).all(axis=1)]
        if len(rows) > 1:
            kept = nms_indices(
                rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64), threshold=model.settings.iou
            )
            rows = rows[kept]
        tile, frame = Tile.from_tuple(job.tile), (job.width, job.height)
        boxes = to_frame(rows[:, :4], tile, frame)
        return Detections(
            boxes=boxes,
            scores=rows[:, 4],
            class_ids=rows[:, 5].astype(np.int64),
            stages=np.full(len(rows), job.stage),
            truncated=truncated_by_tile(boxes, tile, frame),
        )
