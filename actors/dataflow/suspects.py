"""Poison: which jobs may have brought their worker down, and when such a job is given up.

A job that was being computed when its worker crashed or hung is suspected. It runs again, but alone
on its worker, so that the next crash has one possible cause; then it is given up. A worker killed
from outside is hardly its jobs' fault, so such a death weighs little.
"""

from __future__ import annotations

import heapq

from actors.dataflow.tile_job import PENDING, TileJob

# What one death adds to the suspicion against a job that was being computed. Two crashes or hangs
# in a row are enough. A SIGKILL comes from outside (or from the kernel's OOM killer, which an input
# could provoke every time): 1,000 random kills on the street video never hit one job three times.
_WEIGHTS = {"crash": 4, "hang": 4, "error": 4, "killed": 1}
_ALONE = 4
_GIVE_UP = 8
# The cause that is the runtime's answer and no death: the worker lives.
ERROR = "error"


def blame(job: TileJob, worker: str, cause: str) -> bool:
    """Hold an end (crash, hang, killed, stopped or ERROR) against a job; True: give it up."""
    weight = _WEIGHTS.get(cause, 0)
    if not weight:
        return False
    job.suspicion += weight
    job.avoid = worker
    if cause != ERROR and worker not in job.victims:
        job.victims += (worker,)
    return job.suspicion >= _GIVE_UP


def suspected(job: TileJob) -> bool:
    """Whether a job must run alone."""
    return job.suspicion >= _ALONE


class Suspects:
    """Pending suspects, oldest first, and the worker kept for the one that is next or runs."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, int, TileJob]] = []
        self.reserved: str | None = None
        """The worker that gets no other job."""
        self.running = 0
        """The id of the suspect that runs there, 0 before it does."""

    def push(self, job: TileJob) -> None:
        """A suspect is pending."""
        heapq.heappush(self._waiting, (job.order, job.stage, job.index, job))

    def oldest(self) -> TileJob | None:
        """The oldest pending suspect."""
        while self._waiting:
            job = self._waiting[0][3]
            if job.state == PENDING:
                return job
            heapq.heappop(self._waiting)
        return None

    def start(self, id_: int) -> None:
        """The oldest one runs under this id on the reserved worker."""
        heapq.heappop(self._waiting)
        self.running = id_

    def release(self, worker: str, id_: int | None = None) -> None:
        """That worker has ended, or has ended the job `id_`: keep it no longer for that one."""
        if self.reserved == worker and id_ in (None, self.running):
            self.reserved, self.running = None, 0
