"""Every tile of every frame to a worker, until the frame is published.

The tiler's decisions without socket, clock or memory: events go in, and each method returns the
actions that follow. A frame's tiles are jobs (see tile_job). Which worker gets one is decided in
job_queue, which stage can start in cascade, and what is poison in suspects.

Done is not forgotten: the answer may have died with the merger, and then every job of an
unpublished frame is pending again; or it died in a socket of the worker although the credit got
through (measured: 12 of 100 times when a worker is killed right after its first answer to a new
merger), so a worker's end makes what it answered pending again. That a job runs twice harms
nothing, because its pixels do not change and the merger keeps the first answer. Only a job given up
stays so, and a new merger gets that sent again.

While the merger is down no job is given out: it could not be answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from actors.dataflow.cascade import UNKNOWN, Cascade
from actors.dataflow.job_queue import HeldJob, JobQueue, WorkerRule
from actors.dataflow.messages import STALE, Expect, Frame, Missing
from actors.dataflow.settings import StageSettings
from actors.dataflow.suspects import ERROR, blame
from actors.dataflow.tile_job import DONE, FORGOTTEN, GIVEN_UP, PENDING, TileJob
from actors.system.text import plural
from actors.vision.detections import Detections
from actors.vision.tiling import Size, Tile


class DispatchError(ValueError):
    """An event that cannot be: nothing was changed."""


@dataclass(frozen=True, slots=True)
class Assign:
    """Action: cut the tile into the slot and send the job."""

    id: int
    frame: Frame
    stage: int
    index: int
    tile: Tile
    worker: str
    slot: int


@dataclass(frozen=True, slots=True)
class Notice:
    """Action: note this for people. `excuses` are actors that an input brought down."""

    level: str
    kind: str
    text: str
    excuses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FrameDone:
    """Action: count a frame, which is published and forgotten."""

    stream: str
    seq: int


Action = Assign | Expect | Missing | Notice | FrameDone
"""Expect and Missing are for the merger."""


@dataclass(slots=True)
class _FrameJobs:
    """A frame that is not published yet."""

    message: Frame
    order: int
    jobs: list[list[TileJob]]
    """By stage."""
    open: list[int]
    """By stage: jobs neither answered nor given up; UNKNOWN before the stage starts."""


@dataclass(frozen=True, slots=True)
class _Recovery:
    """What a dead worker held, until it is done elsewhere."""

    worker: str
    since_ns: int
    jobs: tuple[TileJob, ...]


class Dispatch:
    """All streams of a run. See the module's docstring."""

    def __init__(
        self,
        *,
        stages: Sequence[StageSettings],
        sizes: Sequence[Size],
        workers: Mapping[str, WorkerRule],
        slots: Mapping[str, int],
        first_id: int,
    ) -> None:
        """`sizes` are the model inputs by stage, `slots` the frame slots by stream.

        Ids start after `first_id`: workers may still end jobs of an earlier tiler.
        """
        self._names = [stage.name for stage in stages]
        self._cascade = Cascade(stages, sizes)
        self._queue = JobQueue(len(stages), workers, first_id)
        self._slots = slots
        self._finished = dict.fromkeys(slots, -1)
        self._frames: dict[tuple[str, int], _FrameJobs] = {}
        self._recoveries: list[_Recovery] = []
        self._merger_up = False
        self._next_order = 0

    # ------------------------------------------------------------ frames

    def frame_arrived(self, message: Frame) -> list[Action]:
        """A frame is in its slot; it comes again when its outcome may be lost."""
        key = (message.stream, message.seq)
        if not 0 <= message.slot < self._slots.get(message.stream, 0):
            raise DispatchError(f"no frame slot {message.slot} of stream {message.stream!r}")
        if key in self._frames or message.seq <= self._finished[message.stream]:
            return []
        tiles = self._cascade.first((message.width, message.height))
        count = len(self._names)
        frame = _FrameJobs(message, self._next_order, [[] for _ in range(count)], [UNKNOWN] * count)
        self._next_order += 1
        self._frames[key] = frame
        for stage, part in tiles:
            self._begin_stage(frame, stage, part)
        self._begin_stages(frame)
        return self._expect(frame)

    def published(self, stream: str, seq: int) -> list[Action]:
        """A frame is published: forget it. Jobs of it that are held only bring slots back."""
        frame = self._frames.pop((stream, seq), None)
        if frame is None:
            return []
        for job in _all_jobs(frame):
            job.state = FORGOTTEN
        return [FrameDone(stream, seq)]

    def finished_up_to(self, stream: str, seq: int) -> list[Action]:
        """The pixels of a stream's frames up to `seq` are not needed any more."""
        if stream not in self._finished:
            raise DispatchError(f"no stream named {stream!r}")
        if seq <= self._finished[stream]:
            return []
        self._finished[stream] = seq
        over = [key for key in self._frames if key[0] == stream and key[1] <= seq]
        return [action for key in over for action in self.published(*key)]

    # ------------------------------------------------------------ workers

    def worker_up(self, name: str) -> list[Action]:
        """A worker is ready, with all its slots free. What it held before is pending again."""
        self._check_worker(name)
        actions = self._lose(name, self._queue.worker_down(name), "stopped", ())
        self._queue.worker_up(name)
        return actions

    def worker_down(
        self, name: str, cause: str, suspects: Iterable[int], now_ns: int
    ) -> list[Action]:
        """A worker has ended; `suspects` are ids that it was computing. Its jobs go to others."""
        self._check_worker(name)
        held = self._queue.worker_down(name)
        actions = self._lose(name, held, cause, suspects)
        jobs = tuple(dict.fromkeys(each.job for each in held if each.job.open))
        if jobs:
            self._recoveries.append(_Recovery(name, now_ns, jobs))
        return actions

    def finished(self, worker: str, id_: int, error: str, detections: bytes = b"") -> list[Action]:
        """A worker ended a job: "" answered, STALE not run after all, else why it failed.

        `detections` are those of a stage that others need. An id that the worker does not hold
        (from before a restart) changes nothing.
        """
        self._check_worker(worker)
        job = self._queue.take_back(worker, id_)
        if job is None or job.state != id_:
            return []
        if detections and not error and not _readable(detections):
            error = "its detections cannot be read"
        if error:
            return self._run_again(job, worker, "" if error == STALE else ERROR, error)
        job.state, job.answered_by, job.detections, job.suspicion = DONE, worker, detections, 0
        frame = self._frames[job.stream, job.seq]
        frame.open[job.stage] -= 1
        return self._expect(frame) if self._begin_stages(frame) else []

    # ------------------------------------------------------------ merger

    def merger_up(self) -> list[Action]:
        """The merger is ready, and has no answer yet: every job is to run (again)."""
        self._merger_up = True
        actions: list[Action] = []
        for frame in self._frames.values():
            actions += self._expect(frame)
            for job in _all_jobs(frame):
                if job.state == GIVEN_UP:
                    actions.append(_missing(job))
                elif job.state != PENDING:
                    _reopen(job, frame, self._queue)
        return actions

    def merger_down(self) -> list[Action]:
        """Nothing can be answered."""
        self._merger_up = False
        return []

    # ------------------------------------------------------------ time

    def turn(self, now_ns: int) -> list[Action]:
        """Give jobs to free slots; say which dead workers' jobs are done."""
        actions: list[Action] = []
        if self._merger_up:
            for held in self._queue.assign():
                job = held.job
                frame = self._frames[job.stream, job.seq].message
                actions.append(
                    Assign(held.id, frame, job.stage, job.index, job.tile, held.worker, held.slot)
                )
        if self._recoveries:
            actions += self._report_recoveries(now_ns)
        return actions

    # ------------------------------------------------------------ questions

    def returns_detections(self, stage: int) -> bool:
        """Whether a stage's detections must come back with `finished`."""
        return stage in self._cascade.returning

    @property
    def waiting(self) -> int:
        """Jobs that no worker holds."""
        return sum(
            job.state == PENDING
            for frame in self._frames.values()
            for jobs in frame.jobs
            for job in jobs
        )

    @property
    def held(self) -> int:
        """Jobs that workers hold: tile slots in use."""
        return self._queue.held

    # ------------------------------------------------------------ inside

    def _check_worker(self, name: str) -> None:
        if name not in self._queue:
            raise DispatchError(f"no worker named {name!r}")

    def _report_recoveries(self, now_ns: int) -> list[Action]:
        """A notice for each dead worker whose jobs others have finished."""
        over = [each for each in self._recoveries if not any(job.open for job in each.jobs)]
        self._recoveries = [each for each in self._recoveries if each not in over]
        notices: list[Action] = []
        for each in over:
            count = sum(job.state != GIVEN_UP for job in each.jobs)
            jobs = f"{plural(count, 'job')} of {each.worker}"
            took = (now_ns - each.since_ns) / 1e6
            if count:
                text = f"{jobs} finished elsewhere after {took:.0f} ms"
                notices.append(Notice("info", "recovered", text))
        return notices

    def _expect(self, frame: _FrameJobs) -> list[Action]:
        if not self._merger_up:
            return []
        counts = tuple(
            UNKNOWN if left == UNKNOWN else len(jobs)
            for left, jobs in zip(frame.open, frame.jobs, strict=True)
        )
        return [Expect(frame.message, counts)]

    def _begin_stages(self, frame: _FrameJobs) -> bool:
        """Begin the stages that can begin; whether there were any."""
        begun = False
        while (stage := self._cascade.next_stage(frame.open)) is not None:
            size = (frame.message.width, frame.message.height)
            tiles = self._cascade.tiles(
                stage, size, lambda other: [job.detections for job in frame.jobs[other]]
            )
            self._begin_stage(frame, stage, tiles)
            begun = True
        return begun

    def _begin_stage(self, frame: _FrameJobs, stage: int, tiles: Sequence[Tile]) -> None:
        frame.open[stage] = len(tiles)
        stream, seq = frame.message.stream, frame.message.seq
        for index, tile in enumerate(tiles):
            job = TileJob(stream, seq, stage, index, frame.order, tile)
            frame.jobs[stage].append(job)
            self._queue.push(job)

    def _lose(
        self, name: str, held: Iterable[HeldJob], cause: str, suspects: Iterable[int]
    ) -> list[Action]:
        """Whatever a worker held or has answered is to run again."""
        actions: list[Action] = []
        blamed = set(suspects)
        for each in held:
            if each.job.state == each.id:
                why = cause if each.id in blamed else ""
                actions += self._run_again(each.job, name, why, cause)
        for frame in self._frames.values():
            for job in _all_jobs(frame):
                if job.state == DONE and job.answered_by == name:
                    _reopen(job, frame, self._queue)
        return actions

    def _run_again(self, job: TileJob, worker: str, cause: str, reason: str) -> list[Action]:
        """A held job came back undone, by its own fault or not: pending again, or given up."""
        if not blame(job, worker, cause):
            self._queue.push(job)
            return []
        job.state, job.reason = GIVEN_UP, f"{worker}: {reason}"
        frame = self._frames[job.stream, job.seq]
        frame.open[job.stage] -= 1
        name = f"{self._names[job.stage]}/{job.index}"
        text = f"{job.stream} #{job.seq}: tile {name} given up ({job.reason})"
        actions: list[Action] = [Notice("error", "given_up", text, job.victims)]
        if self._merger_up:
            actions.append(_missing(job))
        return actions + (self._expect(frame) if self._begin_stages(frame) else [])


def _all_jobs(frame: _FrameJobs) -> Iterable[TileJob]:
    return (job for jobs in frame.jobs for job in jobs)


def _reopen(job: TileJob, frame: _FrameJobs, queue: JobQueue) -> None:
    """Make a job pending whose answer may be lost, done or not."""
    if job.state == DONE:
        frame.open[job.stage] += 1
    queue.push(job)


def _missing(job: TileJob) -> Missing:
    return Missing(job.stream, job.seq, job.stage, job.index, job.reason)


def _readable(detections: bytes) -> bool:
    """Whether a worker's bytes are whole, finite detections."""
    try:
        Detections.from_bytes(detections)
    except ValueError:
        return False
    return True
