"""Worker: runs tile jobs on one core and turns the outputs into detections.

The core must never wait for Python. So a worker runs two or three contexts, each on a thread of its
own with its own copy of the models: while one decodes, another computes, and the next job lies in
the queue before the last one ends. The main thread only takes jobs in. Its heartbeat stops when a
run takes too long (see dataflow/run_time), however lively the main thread is.
"""

from __future__ import annotations

import os
import queue
import threading

import cv2
import numpy as np

from actors.dataflow.messages import CODEC, STALE, Answer, Finished, Job
from actors.dataflow.run_time import RunTimes
from actors.dataflow.settings import MERGER, TILER, RunSettings
from actors.dataflow.shared_records import ControlBlock
from actors.runtimes.context import ContextThread, clear, end
from actors.runtimes.contract import ComputeError
from actors.system.actor import Actor, ActorError
from actors.system.codec import Message
from actors.system.fork_server import Spec
from actors.system.hang_detector import HangDetector
from actors.system.linux import now_ns
from actors.system.memory import Pool, view
from actors.system.messages import Down
from actors.vision.detector import Detector
from actors.vision.tiling import Tile

# For `up` of a tiler and a merger that were up when the job was sent; a credit that is never sent
# would be lost for good.
_PEER_SECONDS = 5.0
_LOAD_SECONDS = 55.0
_END_SECONDS = 5.0
_LINGER_MS = 500


def main(spec: Spec[RunSettings]) -> int:
    """The process's entry."""
    return Worker(spec).run()


class Worker(Actor[RunSettings]):
    """One core."""

    def __init__(self, spec: Spec[RunSettings]) -> None:
        self.control = ControlBlock(spec.settings.layout, view(spec.fds["control"], write=True))
        super().__init__(spec, CODEC, self.control.actors[spec.name])
        self.mine = spec.settings.workers[spec.name]
        self.jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.times = RunTimes(self.mine.models, self.mine.contexts)
        self.lock = threading.Lock()
        """Of `times`, and of what the contexts add up in the record."""
        self.done_before = self.record.done
        self.noted = self.incarnation == 1
        self.contexts = [TileContext(self, index) for index in range(self.mine.contexts)]

    def open(self) -> None:
        try:
            os.sched_setaffinity(0, self.mine.cpus or os.sched_getaffinity(0))
        except OSError as error:
            cpus = f"CPUs {list(self.mine.cpus)}: {error.strerror}"
            raise ActorError(f"cannot run on {cpus}; change workers.{self.name}.cpus") from None
        cv2.setNumThreads(1)
        tiles = Pool(self.fds["tiles"], len(self.control.tile_slots), write=False)
        self.tile_pixels = [np.frombuffer(tiles[i], np.uint8) for i in range(len(tiles))]
        for context in self.contexts:
            context.start()
        for context in self.contexts:
            self.run_with_heartbeat(context.is_loaded.wait, _LOAD_SECONDS, "loading the models")
            if context.failure:
                raise ActorError(context.failure)

    def on_message(self, message: Message) -> None:
        if isinstance(message, Job):
            self.jobs.put(message)

    def on_down(self, down: Down) -> None:
        if down.name == TILER:
            # A new tiler has no record of these and gives them out anew.
            clear(self.jobs)

    def work(self) -> None:
        self.record.queued = self.jobs.qsize()
        if not self.noted and self.record.done > self.done_before:
            self.noted = True
            self.note("info", "computing again", "computing")
        for context in self.contexts:
            if not context.is_alive():
                raise ActorError(f"a context ended: {context.failure}")

    def healthy(self) -> bool:
        return not any(context.hangs() for context in self.contexts)

    def close(self) -> None:
        # A context that waits for a merger which is down would hold up the exit.
        self.peers.give_up()
        end(self.contexts, self.jobs, _END_SECONDS)


class TileContext(ContextThread[Job]):
    """Computes tiles, answers the merger and gives the credits back, with sockets of its own."""

    def __init__(self, worker: Worker, index: int) -> None:
        specs = worker.settings.runtime_specs(worker.name, worker.fds.get("core"))
        super().__init__(f"{worker.name}.{index}", specs, worker.jobs)
        self._worker, self._index = worker, index
        self._outbox, self._hang_detector = worker.new_outbox(), HangDetector()
        self._detectors: dict[str, Detector] = {}
        self._model = ""

    def hangs(self) -> bool:
        """Whether the job in hand takes too long, waits for a processor not counted."""
        worker, since_ns = self._worker, self._worker.record.computing_since(self._index)
        if since_ns == 0:
            return False
        took_ns = self._hang_detector.observe(now_ns(), since_ns, os.getpid(), self.native_id or 0)
        with worker.lock:
            return worker.times.too_long(self._model, took_ns)

    def on_loaded(self) -> None:
        for name, runtime in self.runtimes.items():
            model = self._worker.settings.models[name]
            self._detectors[name] = Detector(model.head, model.size, model.conf, model.iou)
            with self._worker.lock:
                self._worker.times.warmed_up(name, runtime.span)

    def do(self, job: Job) -> None:
        worker = self._worker
        self._model = worker.settings.stages[job.stage].model
        worker.record.computing(self._index, job.id, now_ns())
        try:
            detections, error = self._detect(job), ""
        except ComputeError as failure:
            detections, error = b"", str(failure)
        worker.record.computing(self._index, 0, 0)
        if worker.control.tile_slots[job.slot].generation != job.generation:
            error = STALE
        elif not error:
            worker.peers.wait_for(MERGER, job.merger, _PEER_SECONDS)
            answer = Answer(job.stream, job.seq, job.stage, job.index, detections)
            if not self._outbox.send(MERGER, answer):
                error = STALE
        returned = detections if job.return_detections and not error else b""
        worker.peers.wait_for(TILER, job.tiler, _PEER_SECONDS)
        self._outbox.send(TILER, Finished(worker.name, job.id, error, returned))

    def _detect(self, job: Job) -> bytes:
        """A tile's detections, in frame pixels."""
        worker, runtime = self._worker, self.runtimes[self._model]
        width, height = worker.settings.models[self._model].size
        pixels = worker.tile_pixels[job.slot][: width * height * 3]
        outputs = runtime.run(pixels.reshape(height, width, 3))
        with worker.lock:
            worker.record.busy_ns += worker.times.ran(self._model, runtime.span)
            worker.record.done += 1
        tile, frame = Tile.from_tuple(job.tile), (job.width, job.height)
        return self._detectors[self._model].detect(outputs, tile, frame, job.stage).to_bytes()

    def on_end(self) -> None:
        self._outbox.close(_LINGER_MS)
