"""Dispatch among workers, a merger and a capture that die at any step: thousands of whole runs.

Every run must come to its end by itself: each frame is published once with every tile answered, or
given up where the tile is poison and nowhere else; the merger is sent the right numbers of tiles;
and at the end every credit is back. The simulated actors lose what real ones lose: what a worker
has in hand, an answer whose credit got through, a credit whose answer got through, all answers of a
merger that is killed, and everything that a tiler knew.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from random import Random

import pytest

from actors.dataflow.dispatch import Action, Assign, FrameDone, Notice
from actors.dataflow.job_queue import WorkerRule
from actors.dataflow.messages import STALE, Expect, Frame, Missing
from actors.dataflow.settings import StageSettings
from tests.support.dispatch_world import (
    STREAMS,
    FrameKey,
    JobKey,
    boxes_found,
    frame_message,
    key_of,
    new_dispatch,
    rows_found,
    stage,
)

TOPOLOGIES: list[list[StageSettings]] = [
    [stage("tiles")],
    [stage("whole", "frame"), stage("tiles")],
    [stage("tiles"), stage("crops", "crops", source=0, max_crops=3)],
    [stage("tiles", condition=1), stage("whole", "frame"), stage("crops", "crops", source=0)],
    [
        stage("crops of crops", "crops", source=1, max_crops=2),
        stage("crops", "crops", source=2, condition=3),
        stage("tiles"),
        stage("halves", "halves"),
    ],
]
FRAMES = 5
# A job that a worker was computing when it was killed from outside three times, and that ran beside
# a poison job once, is not given up yet.
KILLS = 3
# So many steps that only a run that never ends can need them.
STEPS = 20_000


@dataclass
class Worker:
    up: bool = True
    jobs: deque[Assign] = field(default_factory=deque)


@dataclass
class MergedFrame:
    """What the merger has of a frame."""

    counts: tuple[int, ...] = ()
    tiles: dict[tuple[int, int], str] = field(default_factory=dict)
    """Answered or given up, and why."""


class Run:
    """One run. `step` does one thing that could happen next; `over` says when it has ended."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.stages = random.choice(TOPOLOGIES)
        self.rules: dict[str, WorkerRule] = {}
        everything = range(len(self.stages))
        for number in range(random.randint(1, 3)):
            able = everything if number == 0 else random.sample(everything, 1)
            slots = tuple(range(4 * number, 4 * number + random.randint(1, 3)))
            self.rules[f"npu{number}"] = WorkerRule(frozenset(able), slots)
        self.workers = {name: Worker() for name in self.rules}
        self.frames = {
            (stream, seq): frame_message(stream, seq, random.randint(1, 3), seq % slots)
            for stream, slots in STREAMS.items()
            for seq in range(FRAMES)
        }
        self.poison_rate = random.choice([0, 0, 0.1, 0.3])
        self.poison: dict[JobKey, bool] = {}
        self.kills = KILLS
        self.merger_up = True
        self.merged: dict[FrameKey, MergedFrame] = {}
        self.published: dict[FrameKey, MergedFrame] = {}
        self.sent: set[FrameKey] = set()
        """Frames that the capture has sent, of which so many are in flight as there are slots."""
        self.to_tiler: deque[tuple[str, int, str, bytes]] = deque()
        """Credits on their way: worker, id, error, rows."""
        self.to_forget: deque[FrameKey] = deque()
        """Published messages on their way to the tiler."""
        self.excused: set[str] = set()
        self.crashed: set[str] = set()
        self.starts = 0
        self.now = 0
        self._start_tiler()

    def _start_tiler(self) -> None:
        """Its first start, or one after it was killed."""
        self.starts += 1
        self.dispatch = new_dispatch(self.stages, self.rules, self.starts << 32)
        for name, worker in self.workers.items():
            worker.jobs.clear()
            if worker.up:
                self._act(self.dispatch.worker_up(name))
        if self.merger_up:
            self._act(self.dispatch.merger_up())
        for key in sorted(self.sent - set(self.published)):
            self._act(self.dispatch.frame_arrived(self.frames[key]))

    # ------------------------------------------------------------ what can happen

    def step(self) -> None:
        things = [self._capture, self._turn, self._compute, self._credit, self._come_back]
        weights = [3, 6, 8, 6, 3]
        if self.kills:
            things += [self._kill_worker, self._kill_merger, self._kill_tiler]
            weights += [1, 1, 1]
        (thing,) = self.random.choices(things, weights)
        thing()
        self.now += 1

    @property
    def over(self) -> bool:
        idle = not self.dispatch.held and not self.dispatch.waiting
        return idle and len(self.published) == len(self.frames)

    def _capture(self) -> None:
        """A frame is sent where a slot is free, or one in flight is sent again."""
        stream = self.random.choice(sorted(STREAMS))
        flying = sorted(key for key in self.sent - set(self.published) if key[0] == stream)
        first = self._count_published(stream)
        fresh = [(stream, seq) for seq in range(first, min(first + STREAMS[stream], FRAMES))]
        choices = [key for key in fresh if key not in self.sent] or flying
        if choices:
            key = choices[0]
            self.sent.add(key)
            self._act(self.dispatch.frame_arrived(self.frames[key]))

    def _turn(self) -> None:
        for stream in STREAMS:
            self._act(self.dispatch.finished_up_to(stream, self._count_published(stream) - 1))
        self._act(self.dispatch.turn(self.now))

    def _busy(self) -> str | None:
        busy = [name for name, worker in self.workers.items() if worker.jobs]
        return self.random.choice(busy) if busy else None

    def _compute(self) -> None:
        name = self._busy()
        if name is None:
            return
        job = self.workers[name].jobs[0]
        key = key_of(job)
        if self._is_poison(key):
            trouble = self.random.choice(["crash", "hang", "error"])
            if trouble == "error":
                self.workers[name].jobs.popleft()
                self.to_tiler.append((name, job.id, "failed", b""))
            else:
                self.crashed.add(name)
                self._worker_down(name, trouble, 2)
            return
        self.workers[name].jobs.popleft()
        returned = rows_found(key) if self.dispatch.returns_detections(job.stage) else b""
        if not self.merger_up or self.random.random() < 0.05:
            self.to_tiler.append((name, job.id, STALE, b""))
            return
        # It may be killed between the two, and the one that was sent first may be lost all the
        # same: of answer and credit either may come alone.
        fate = self.random.random() if self.kills else 1.0
        if fate > 0.05:
            self._answer(key)
        if fate <= 0.05:
            self._act(self.dispatch.finished(name, job.id, "", returned))
        elif fate > 0.1:
            self.to_tiler.append((name, job.id, "", returned))
        if fate <= 0.1:
            self.kills -= 1
            self._worker_down(name, "killed", 1)

    def _credit(self) -> None:
        if self.to_tiler:
            self._act(self.dispatch.finished(*self.to_tiler.popleft()))
        if self.to_forget:
            self._act(self.dispatch.published(*self.to_forget.popleft()))

    def _come_back(self) -> None:
        down = [name for name, worker in self.workers.items() if not worker.up]
        if not self.merger_up and self.random.random() < 0.5:
            self.merger_up = True
            self._act(self.dispatch.merger_up())
        elif down:
            name = self.random.choice(down)
            self.workers[name].up = True
            self._act(self.dispatch.worker_up(name))

    def _kill_worker(self) -> None:
        name = self.random.choice(sorted(self.workers))
        if self.workers[name].up:
            self.kills -= 1
            self._worker_down(name, "killed", 1)

    def _worker_down(self, name: str, cause: str, contexts: int) -> None:
        worker = self.workers[name]
        worker.up = False
        suspects = [job.id for job in list(worker.jobs)[:contexts]]
        worker.jobs.clear()
        # The kernel keeps some of what it had sent, not all.
        self.to_tiler = deque(
            c for c in self.to_tiler if c[0] != name or self.random.random() < 0.5
        )
        self._act(self.dispatch.worker_down(name, cause, suspects, self.now))

    def _kill_merger(self) -> None:
        if self.merger_up:
            self.kills -= 1
            self.merger_up = False
            self.merged.clear()
            self._act(self.dispatch.merger_down())

    def _kill_tiler(self) -> None:
        self.kills -= 1
        self._start_tiler()

    # ------------------------------------------------------------ what follows

    def _is_poison(self, key: JobKey) -> bool:
        return self.poison.setdefault(key, self.random.random() < self.poison_rate)

    def _act(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Assign):
                worker = self.workers[action.worker]
                assert worker.up
                assert self.merger_up
                worker.jobs.append(action)
                assert len(worker.jobs) <= len(self.rules[action.worker].slots)
            elif isinstance(action, Expect):
                assert self.merger_up
                key = (action.frame.stream, action.frame.seq)
                self._check_expected(action.frame, action.tiles)
                self.merged.setdefault(key, MergedFrame()).counts = action.tiles
                self._publish(key[0])
            elif isinstance(action, Missing):
                assert self.merger_up
                assert self.poison[action.stream, action.seq, action.stage, action.index]
                key = (action.stream, action.seq)
                tiles = self.merged.setdefault(key, MergedFrame()).tiles
                tiles.setdefault((action.stage, action.index), action.reason)
                self._publish(key[0])
            elif isinstance(action, Notice):
                assert action.kind in ("given_up", "recovered")
                self.excused.update(action.excuses)
            else:
                assert isinstance(action, FrameDone)

    def _answer(self, key: JobKey) -> None:
        self.merged.setdefault(key[:2], MergedFrame()).tiles[key[2:]] = ""
        self._publish(key[0])

    def _publish(self, stream: str) -> None:
        """Frames are published in order when all is there. The tiler is sent that, or finds it."""
        while (key := (stream, self._count_published(stream))) in self.merged:
            frame = self.merged[key]
            wanted = {(of, i) for of, count in enumerate(frame.counts) for i in range(count)}
            if not frame.counts or -1 in frame.counts or not wanted <= set(frame.tiles):
                return
            self.published[key] = frame
            if self.random.random() < 0.7:
                self.to_forget.append(key)

    def _count_published(self, stream: str) -> int:
        return sum(key[0] == stream for key in self.published)

    def _check_expected(self, frame: Frame, counts: tuple[int, ...]) -> None:
        """Numbers of tiles that follow from what the tiles of the stages before find."""
        key = (frame.stream, frame.seq)
        for number, each in enumerate(self.stages):
            if counts[number] == -1:
                continue
            for other in (each.source, each.condition):
                assert other is None or counts[other] >= 0, "it needs a stage that has not begun"
            if each.condition is not None:
                found = self._found(key, each.condition, counts[each.condition])
                if not found:
                    assert counts[number] == 0
                    continue
            if each.source is not None:
                found = self._found(key, each.source, counts[each.source])
                inside = sum(left < frame.width for left in found)
                assert counts[number] == min(inside, each.max_crops)
            elif each.view.kind == "frame":
                assert counts[number] == 1
            else:
                assert counts[number] == (2 if each.view.grid else frame.width // 100)

    def _found(self, key: FrameKey, of: int, count: int) -> list[int]:
        """The left edges of what a stage's tiles find, those that are poison finding nothing."""
        return [
            20 * (4 * index + number)
            for index in range(count)
            if not self.poison.get((*key, of, index), False)
            for number in range(boxes_found((*key, of, index)))
        ]


def _run(seed: int) -> Run:
    run = Run(seed)
    for _ in range(STEPS):
        if run.over:
            return run
        run.step()
    raise AssertionError(f"seed {seed} does not end: {run.dispatch.waiting} jobs wait")


@pytest.mark.parametrize("block", range(8))
def test_every_run_ends_with_every_tile_answered_or_given_up(block: int) -> None:
    for seed in range(250 * block, 250 * (block + 1)):
        run = _run(seed)
        for key, frame in run.published.items():
            for (of, index), reason in frame.tiles.items():
                if index < frame.counts[of]:
                    assert bool(reason) == run.poison.get((*key, of, index), False), (seed, key)
        # Only a worker that died of an input is excused.
        assert run.excused <= run.crashed | {name for name in run.rules if run.kills < KILLS}
        _check_credits(run)


def _check_credits(run: Run) -> None:
    """All credits are there: more new frames than slots fill every slot that they can."""
    for name, worker in run.workers.items():
        if not worker.up:
            run.dispatch.worker_up(name)
    run.dispatch.merger_up()
    for stream in STREAMS:
        run.dispatch.finished_up_to(stream, FRAMES - 1)
    for seq in range(FRAMES, FRAMES + 12):
        run.dispatch.frame_arrived(frame_message("a", seq))
    first = {n for n, each in enumerate(run.stages) if each.source is each.condition is None}
    given = [action for action in run.dispatch.turn(0) if isinstance(action, Assign)]
    for name, rule in run.rules.items():
        slots = [action.slot for action in given if action.worker == name]
        assert sorted(slots) == (list(rule.slots) if rule.stages & first else [])
