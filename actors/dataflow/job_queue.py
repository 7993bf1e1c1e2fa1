"""Which worker gets which tile job next: pending jobs, and the workers with their credits.

A worker's credits are its tile slots. A slot is taken by giving a job and comes back when that very
job (identified by its id) is finished or the worker is down, and by nothing else. Any worker with a
free slot whose models include the job's gets it, the oldest job first, so no core waits while
another has a queue.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field

from actors.dataflow.suspects import Suspects, suspected
from actors.dataflow.tile_job import PENDING, TileJob


@dataclass(frozen=True, slots=True)
class WorkerRule:
    """The stages that a worker can run, and the tile slots that are its credits."""

    stages: frozenset[int]
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class HeldJob:
    """A job that a worker holds under an id, with its tile in a slot."""

    id: int
    job: TileJob
    worker: str
    slot: int


@dataclass(slots=True)
class _Worker:
    rule: WorkerRule
    free: list[int] = field(default_factory=list)
    held: dict[int, HeldJob] = field(default_factory=dict)


class JobQueue:
    """Ids start after `first_id`: those of a tiler that came back must not repeat earlier ones."""

    def __init__(self, stages: int, workers: Mapping[str, WorkerRule], first_id: int) -> None:
        self._workers = {name: _Worker(rule) for name, rule in workers.items()}
        self._pending: list[list[tuple[int, int, TileJob]]] = [[] for _ in range(stages)]
        self._suspects = Suspects()
        self._next_id = first_id

    def __contains__(self, worker: str) -> bool:
        return worker in self._workers

    def push(self, job: TileJob) -> None:
        """A job is to run, for the first time or again."""
        job.state = PENDING
        if suspected(job):
            self._suspects.push(job)
        else:
            heapq.heappush(self._pending[job.stage], (job.order, job.index, job))

    def worker_up(self, name: str) -> None:
        """All slots of a worker that holds nothing are free."""
        self._workers[name].free = list(self._workers[name].rule.slots)

    def worker_down(self, name: str) -> list[HeldJob]:
        """A worker gets no more jobs: those that it held."""
        worker = self._workers[name]
        held = list(worker.held.values())
        worker.free, worker.held = [], {}
        self._suspects.release(name)
        return held

    def take_back(self, name: str, id_: int) -> TileJob | None:
        """A worker ended a job: its slot is free. None when that worker does not hold it."""
        worker = self._workers[name]
        held = worker.held.pop(id_, None)
        if held is None:
            return None
        worker.free.append(held.slot)
        self._suspects.release(name, id_)
        return held.job

    def assign(self) -> list[HeldJob]:
        """Give pending jobs to free slots, the oldest job first; each result is held from now."""
        given = self._assign_suspect()
        while (best := self._oldest_that_can_run()) is not None:
            job, worker = best
            heapq.heappop(self._pending[job.stage])
            given.append(self._give(worker, job))
        return given

    @property
    def held(self) -> int:
        """Jobs that workers hold: tile slots in use."""
        return sum(len(worker.held) for worker in self._workers.values())

    def held_by(self, name: str) -> list[HeldJob]:
        """The jobs of one worker."""
        return list(self._workers[name].held.values())

    def _oldest_that_can_run(self) -> tuple[TileJob, str] | None:
        """The first job, by age and stage, for which a worker is free, and that worker."""
        best: tuple[TileJob, str] | None = None
        for stage, heap in enumerate(self._pending):
            while heap and heap[0][2].state != PENDING:
                heapq.heappop(heap)
            if heap and (best is None or heap[0][0] < best[0].order):
                worker = self._freest(stage)
                if worker is not None:
                    best = heap[0][2], worker
        return best

    def _freest(self, stage: int, avoid: str = "") -> str | None:
        """The worker with a free slot for `stage` that has the least to do."""
        best: tuple[int, int, str] | None = None
        reserved = self._suspects.reserved
        for name, worker in self._workers.items():
            if worker.free and stage in worker.rule.stages and name not in (reserved, avoid):
                rank = (len(worker.held), len(worker.rule.stages), name)
                best = rank if best is None else min(best, rank)
        return None if best is None else best[2]

    def _give(self, name: str, job: TileJob) -> HeldJob:
        worker = self._workers[name]
        self._next_id += 1
        job.state = self._next_id
        held = HeldJob(self._next_id, job, name, worker.free.pop())
        worker.held[held.id] = held
        return held

    def _assign_suspect(self) -> list[HeldJob]:
        """Run the oldest suspect alone: keep one worker free of other jobs until it is idle.

        Which one is found out each time. That ends: the one that is kept gets nothing new, so only
        one with still less to do takes its place.
        """
        suspects = self._suspects
        if suspects.running:
            return []
        suspects.reserved = None
        job = suspects.oldest()
        if job is None:
            return []
        name = self._freest(job.stage, job.avoid) or self._freest(job.stage)
        suspects.reserved = name
        if name is None or self._workers[name].held:
            return []
        held = self._give(name, job)
        suspects.start(held.id)
        return [held]
