"""The job ledger: who holds which tile job, and what is given to whom next.

Plain Python without socket, clock or memory: events go in, actions come out. The tiler is the actor
around it, and its tests are random histories.

A job is one tile of one stage of one frame. It is *pending* until a worker with a free slot that
can run its stage gets it (the oldest first), *given* until the worker says how it ended, and *done*
from then until the frame is published. Done is not forgotten: the answer may have died with the
merger, and then `renew` makes every job of an unpublished frame pending again; or it died in a
socket of the worker although the credit got through (measured: 12 of 100 times when a worker is
killed right after its first answer to a new merger), so a worker's end makes what it answered
pending again. That a job runs twice harms nobody, because its pixels do not change and the merger
keeps the first answer.

A worker's credits are its tile slots. A slot is taken by giving a job and comes back when that very
job (told by its id) is finished or the worker is down, and by nothing else.

Poison. A job that was being computed when its worker crashed or hung is suspected. It runs again,
but alone on its worker, so that the next crash has one possible cause; then it is given up. A
worker killed from outside is hardly its jobs' fault, so such a death weighs little.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

FrameKey = tuple[str, int]
"""Stream, sequence number."""
JobKey = tuple[str, int, int, int]
"""Stream, sequence number, stage, tile index."""

# What one death adds to the suspicion against a job that was being computed. Two crashes or hangs
# in a row are enough. A SIGKILL comes from outside (or from the kernel's OOM killer, which an input
# could provoke every time): 1,000 random kills on the street video never hit one job three times.
_WEIGHTS = {"crash": 4, "hang": 4, "error": 4, "killed": 1}
_ALONE = 4
_GIVE_UP = 8


class DispatchError(ValueError):
    """An event that cannot be: nothing was changed."""


@dataclass(frozen=True, slots=True)
class WorkerRule:
    """What a worker can run and the tile slots that are its credits."""

    stages: frozenset[int]
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Assign:
    """Action: cut the tile into the slot and send the job."""

    id: int
    key: JobKey
    worker: str
    slot: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Action: this tile will not be had; its frame is published without it."""

    key: JobKey
    reason: str


@dataclass(slots=True)
class _Worker:
    rule: WorkerRule
    up: bool = False
    free: list[int] = field(default_factory=list)
    given: dict[int, Assign] = field(default_factory=dict)


@dataclass(slots=True)
class _Frame:
    order: int
    state: dict[tuple[int, int], int] = field(default_factory=dict)
    """(stage, index) -> _PENDING, _DONE or the id under which it is given."""
    open_jobs: dict[int, int] = field(default_factory=dict)
    """Jobs not done, by stage whose tiles are known."""
    answered_by: dict[tuple[int, int], str] = field(default_factory=dict)
    suspicion: dict[tuple[int, int], int] = field(default_factory=dict)
    avoid: dict[tuple[int, int], str] = field(default_factory=dict)
    """The worker that a suspect should not meet again, if another can run it."""


_PENDING = 0
_DONE = -1


class Dispatch:
    """See the module's docstring. Ids start after `first_id`: a new tiler's must never repeat."""

    def __init__(self, stages: int, workers: Mapping[str, WorkerRule], first_id: int = 0) -> None:
        self._stages = stages
        self._workers = {name: _Worker(rule) for name, rule in workers.items()}
        self._frames: dict[FrameKey, _Frame] = {}
        self._pending: list[list[tuple[int, int, int, FrameKey]]] = [[] for _ in range(stages)]
        self._suspects: list[tuple[int, JobKey]] = []
        # The worker that is kept for suspects, and the suspect's id once it runs there.
        self._reserved: str | None = None
        self._alone = 0
        self._next_id = first_id
        self._next_order = 0

    # ------------------------------------------------------------ events

    def worker_up(self, name: str) -> None:
        """A worker is ready, with all its slots free. Whatever it held before is pending again."""
        self.worker_down(name, "stopped", ())
        worker = self._worker(name)
        worker.up = True
        worker.free = list(worker.rule.slots)

    def worker_down(self, name: str, cause: str, suspects: Iterable[int]) -> list[GiveUp]:
        """A worker has ended; `suspects` are ids that it was computing. Its jobs go to others."""
        worker = self._worker(name)
        lost = list(worker.given.values())
        worker.up = False
        worker.free = []
        worker.given = {}
        if self._reserved == name:
            self._reserved, self._alone = None, 0
        blamed = set(suspects)
        given_up = []
        for job in lost:
            weight = _WEIGHTS.get(cause, 0) if job.id in blamed else 0
            given_up += self._again(job, weight, name, f"{name}: {cause}")
        for key, frame in self._frames.items():
            for tile in [tile for tile, by in frame.answered_by.items() if by == name]:
                self._reopen(key, tile, frame)
        return given_up

    def frame(self, stream: str, seq: int, tiles: Mapping[int, int]) -> bool:
        """A frame has come, with so many tiles for each of these stages; False when it is known."""
        key = (stream, seq)
        if key in self._frames:
            return False
        for stage, count in tiles.items():
            self._check_tiles(stage, count)
        self._frames[key] = _Frame(self._next_order)
        self._next_order += 1
        for stage, count in tiles.items():
            self.expand(stream, seq, stage, count)
        return True

    def expand(self, stream: str, seq: int, stage: int, count: int) -> None:
        """The tiles of one more stage of a known frame are known."""
        key = (stream, seq)
        frame = self._frames.get(key)
        if frame is None:
            raise DispatchError(f"frame {key} is not known")
        if stage in frame.open_jobs:
            raise DispatchError(f"stage {stage} of {key} has its tiles already")
        self._check_tiles(stage, count)
        frame.open_jobs[stage] = count
        for index in range(count):
            frame.state[stage, index] = _PENDING
            heapq.heappush(self._pending[stage], (frame.order, stage, index, key))

    def finished(
        self, worker_name: str, id_: int, error: str
    ) -> tuple[Assign | None, list[GiveUp]]:
        """A worker ended a job: "" answered, "torn" not run after all, else why it failed.

        Returns the job, or None when that worker does not hold it (an echo from before a restart).
        """
        worker = self._worker(worker_name)
        job = worker.given.pop(id_, None)
        if job is None:
            return None, []
        worker.free.append(job.slot)
        if self._alone == id_:
            self._reserved, self._alone = None, 0
        if error:
            weight = 0 if error == "torn" else _WEIGHTS["error"]
            return job, self._again(job, weight, worker_name, f"{worker_name}: {error}")
        stream, seq, stage, index = job.key
        frame = self._frames.get((stream, seq))
        if frame is not None and frame.state.get((stage, index)) == id_:
            frame.state[stage, index] = _DONE
            frame.open_jobs[stage] -= 1
            frame.answered_by[stage, index] = worker_name
            frame.suspicion.pop((stage, index), None)
        return job, []

    def published(self, stream: str, seq: int) -> None:
        """A frame is out: forget it. Jobs of it that are still given only bring slots back."""
        self._frames.pop((stream, seq), None)

    def renew(self) -> None:
        """The merger lost what it had: every job of every frame here is to run (again)."""
        for key, frame in self._frames.items():
            for tile, state in frame.state.items():
                if state != _PENDING:
                    self._reopen(key, tile, frame)

    # ------------------------------------------------------------ actions

    def assign(self) -> list[Assign]:
        """Give pending jobs to free slots, the oldest job first; each result is now given."""
        actions = self._assign_suspect()
        while True:
            best: tuple[tuple[int, int, int, FrameKey], str] | None = None
            for stage in range(self._stages):
                head = self._head(stage)
                if head is None or (best is not None and best[0] <= head):
                    continue
                worker = self._freest(stage)
                if worker is not None:
                    best = head, worker
            if best is None:
                return actions
            (_, stage, index, key), name = best
            heapq.heappop(self._pending[stage])
            actions.append(self._give(name, (*key, stage, index)))

    # ------------------------------------------------------------ questions

    def knows(self, stream: str, seq: int) -> bool:
        return (stream, seq) in self._frames

    def frames(self) -> Sequence[FrameKey]:
        """The frames that are not published yet, oldest first."""
        return list(self._frames)

    def stage_done(self, stream: str, seq: int, stage: int) -> bool:
        """Whether a stage's tiles are known and none is open."""
        return self._frames[stream, seq].open_jobs.get(stage) == 0

    def waiting(self) -> int:
        """Jobs that no worker has."""
        return sum(
            state == _PENDING for frame in self._frames.values() for state in frame.state.values()
        )

    def held(self, worker: str) -> int:
        """How many jobs a worker has."""
        return len(self._workers[worker].given)

    def jobs_of(self, worker: str) -> list[JobKey]:
        """The jobs that a worker has."""
        return [job.key for job in self._workers[worker].given.values()]

    def open(self, key: JobKey) -> bool:
        """Whether a job is still to be done."""
        frame = self._frames.get((key[0], key[1]))
        return frame is not None and frame.state.get((key[2], key[3]), _DONE) != _DONE

    # ------------------------------------------------------------ inside

    def _worker(self, name: str) -> _Worker:
        worker = self._workers.get(name)
        if worker is None:
            raise DispatchError(f"no worker named {name!r}")
        return worker

    def _check_tiles(self, stage: int, count: int) -> None:
        if not 0 <= stage < self._stages or count < 0:
            raise DispatchError(f"stage {stage} of {self._stages} cannot have {count} tiles")

    def _head(self, stage: int) -> tuple[int, int, int, FrameKey] | None:
        """The oldest entry of a stage that still stands for a pending job."""
        heap = self._pending[stage]
        while heap:
            order, _, index, key = heap[0]
            frame = self._frames.get(key)
            if (
                frame is not None
                and frame.order == order
                and frame.state.get((stage, index)) == _PENDING
                and frame.suspicion.get((stage, index), 0) < _ALONE
            ):
                return heap[0]
            heapq.heappop(heap)
        return None

    def _freest(self, stage: int, avoid: str | None = None) -> str | None:
        """The worker with a free slot for `stage` that has the least to do."""
        best: tuple[int, int, str] | None = None
        for name, worker in self._workers.items():
            if worker.free and stage in worker.rule.stages and name not in (self._reserved, avoid):
                rank = (len(worker.given), len(worker.rule.stages), name)
                best = rank if best is None else min(best, rank)
        return None if best is None else best[2]

    def _give(self, name: str, key: JobKey) -> Assign:
        worker = self._workers[name]
        self._next_id += 1
        job = Assign(self._next_id, key, name, worker.free.pop())
        worker.given[job.id] = job
        self._frames[key[0], key[1]].state[key[2], key[3]] = job.id
        return job

    def _assign_suspect(self) -> list[Assign]:
        """Run the oldest suspect alone: keep one worker free of other jobs until it is idle.

        Which one is found out each time. That ends: the one that is kept gets nothing new, so only
        one with still less to do takes its place.
        """
        if self._alone:
            return []
        self._reserved = None
        head = self._head_suspect()
        if head is None:
            return []
        key, frame = head
        avoid = frame.avoid.get((key[2], key[3]))
        self._reserved = self._freest(key[2], avoid) or self._freest(key[2])
        if self._reserved is None or self._workers[self._reserved].given:
            return []
        heapq.heappop(self._suspects)
        job = self._give(self._reserved, key)
        self._alone = job.id
        return [job]

    def _head_suspect(self) -> tuple[JobKey, _Frame] | None:
        """The oldest entry that still stands for a pending suspect."""
        while self._suspects:
            order, key = self._suspects[0]
            frame = self._frames.get((key[0], key[1]))
            if (
                frame is not None
                and frame.order == order
                and frame.state.get((key[2], key[3])) == _PENDING
                and frame.suspicion.get((key[2], key[3]), 0) >= _ALONE
            ):
                return key, frame
            heapq.heappop(self._suspects)
        return None

    def _again(self, job: Assign, weight: int, worker: str, reason: str) -> list[GiveUp]:
        """A given job came back undone: pending again, or given up."""
        stream, seq, stage, index = job.key
        frame = self._frames.get((stream, seq))
        tile = (stage, index)
        if frame is None or frame.state.get(tile) != job.id:
            return []
        if weight:
            frame.suspicion[tile] = frame.suspicion.get(tile, 0) + weight
            frame.avoid[tile] = worker
            if frame.suspicion[tile] >= _GIVE_UP:
                frame.state[tile] = _DONE
                frame.open_jobs[stage] -= 1
                return [GiveUp(job.key, reason)]
        frame.state[tile] = _PENDING
        self._enqueue(job.key, frame)
        return []

    def _reopen(self, key: FrameKey, tile: tuple[int, int], frame: _Frame) -> None:
        """Make a job pending whose answer may be lost, done or not."""
        if frame.state[tile] == _DONE:
            frame.open_jobs[tile[0]] += 1
            frame.answered_by.pop(tile, None)
        frame.state[tile] = _PENDING
        self._enqueue((*key, *tile), frame)

    def _enqueue(self, key: JobKey, frame: _Frame) -> None:
        if frame.suspicion.get((key[2], key[3]), 0) >= _ALONE:
            heapq.heappush(self._suspects, (frame.order, key))
        else:
            heapq.heappush(self._pending[key[2]], (frame.order, key[2], key[3], key[:2]))
