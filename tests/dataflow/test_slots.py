"""Frame slots: random histories of files and live sources, with a death between any two writes."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from math import inf
from random import Random

import pytest

from actors.dataflow.messages import End, Frame
from actors.dataflow.settings import MERGER, TILER
from actors.dataflow.slots import (
    Action,
    CloseSource,
    Exit,
    Fill,
    ReportUnreadable,
    Send,
    SlotError,
    Slots,
)
from actors.sources.pace import Pace
from actors.sources.reading import CapturedFrame, SourceCounts
from tests.support.mortal_words import Killed, MortalRecords

SIZE = (8, 6)


class File:
    """A file with frames that cannot be read, looped or not, read from `start`."""

    def __init__(self, readable: list[bool], *, start: int, loop: bool) -> None:
        self.readable = readable
        self.at = start
        self.loop = loop
        self.unreadable = 0

    def read(self) -> int | None:
        """The next readable frame's index; None at the end."""
        while True:
            if self.at >= len(self.readable):
                if not self.loop:
                    return None
                self.at = 0
            self.at += 1
            if self.readable[self.at - 1]:
                return self.at - 1
            self.unreadable += 1


class Camera:
    """A live source: every frame that came is taken or counted as dropped."""

    def __init__(self) -> None:
        self.received = self.newer = self.no_slot = 0
        self.newest: int | None = None
        self.room = False

    def arrive(self) -> None:
        if self.newest is not None:
            self.newer += self.room
            self.no_slot += not self.room
        self.newest = self.received
        self.received += 1

    def take(self) -> int | None:
        taken, self.newest = self.newest, None
        return taken

    def counts(self) -> SourceCounts:
        return SourceCounts(dropped_newer_frame=self.newer, dropped_no_free_slot=self.no_slot)


class World:
    """A capture that may die at any write, and the actors that it sends frames to."""

    def __init__(self, random: Random, *, live: bool, deaths: float) -> None:
        self.random = random
        self.live = live
        self.deaths = deaths
        self.records = MortalRecords(random.randint(2, 5))
        self.limit = random.choice([None, 1, 7])
        self.loop = not live and self.limit is not None and random.random() < 0.5
        self.readable = [random.random() < 0.8 for _ in range(random.randint(0, 12))]
        self.loop = self.loop and any(self.readable)
        self.pixels: list[tuple[str, int]] = [("", -1)] * len(self.records.slots)
        self.committed: list[Frame] = []
        self.in_tiler: dict[int, Frame] = {}
        self.ends: list[int] = []
        self.drained = self.exited = False
        self.killed = 0
        self.late = 0
        self.start()

    # ------------------------------------------------------------ lives

    def start(self) -> None:
        """A new incarnation; it is sent which actors are ready, as every new actor does."""
        while True:
            self.may_die(0.5)
            try:
                self.slots = Slots(
                    "cam0",
                    self.records.stream,
                    self.records.slots,
                    live=self.live,
                    frame_limit=self.limit,
                    workers=("npu0",),
                )
                break
            except Killed:
                self.killed += 1
        self.records.words.left = inf
        self.camera = Camera()
        self.file = File(self.readable, start=self.slots.next_source_frame, loop=self.loop)
        for name in (TILER, MERGER, "npu0"):
            self.perform(self.slots.up(name))

    def may_die(self, share: float = 1.0) -> None:
        dies = self.random.random() < self.deaths * share
        self.records.words.left = self.random.randint(0, 12) if dies else inf

    def step(self) -> None:
        """One event; afterwards the records are compared with what has happened."""
        self.may_die()
        try:
            self.random.choice([self.turn, self.turn, self.turn, self.finish, self.other])()
        except Killed:
            self.killed += 1
            self.records.words.left = inf
            self.compare()
            self.start()
        self.records.words.left = inf
        self.compare()

    def turn(self) -> None:
        self.perform(self.slots.turn(0, subscribed=True))

    def finish(self) -> None:
        """The pipeline has finished the next frame; it needs to have been sent it."""
        others = self.records.others
        following = [frame.seq for frame in self.committed if frame.seq > others.finished_seq]
        if following and following[0] in self.in_tiler:
            others.finish(following[0], 0)
        over = others.end_seq >= 0 and others.end_seq in self.ends
        if over and others.finished_seq == others.last_seq:
            others.ended = 1

    def other(self) -> None:
        """Another actor restarts, the source receives a frame, the user drains the run."""
        what = self.random.random()
        if what < 0.3:
            name = self.random.choice([TILER, MERGER])
            if name == TILER:
                self.in_tiler.clear()
            else:
                self.ends.clear()
            self.perform(self.slots.up(name))
        elif what < 0.32:
            self.drained = True
            self.perform(self.slots.end())
        elif what < 0.5 and self.deaths:
            raise Killed
        elif self.live:
            self.camera.arrive()

    # ------------------------------------------------------------ actions

    def perform(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Fill):
                self.fill(action.slot)
            elif isinstance(action, Send) and isinstance(action.message, Frame):
                assert action.receiver == TILER
                self.in_tiler[action.message.seq] = action.message
            elif isinstance(action, Send) and isinstance(action.message, End):
                assert action.receiver == MERGER
                self.ends.append(action.message.frames)
            elif isinstance(action, Exit):
                self.exited = True
            else:
                assert isinstance(action, (CloseSource, ReportUnreadable))

    def fill(self, slot: int) -> None:
        """Read a frame into a slot that no frame in flight has."""
        finished = self.records.others.finished_seq
        assert slot not in {frame.slot for frame in self.committed if frame.seq > finished}
        self.pixels[slot] = ("half written", -1)
        if self.live:
            self.camera.room = True
            taken = self.camera.take()
            if taken is None:
                return
            before = self.camera.newer + self.camera.no_slot
            for _ in range(self.random.choice([0, 0, 1, 2])):
                self.camera.arrive()
            self.perform(self.slots.counted(self.camera.counts()))
            self.late = self.camera.newer + self.camera.no_slot - before
            frame = CapturedFrame(SIZE, 1, 2, number=taken)
            self.pixels[slot] = ("frame", self.slots._first_seq + taken)
        else:
            source_frame = self.file.read()
            self.perform(self.slots.counted(SourceCounts(unreadable=self.file.unreadable)))
            if source_frame is None:
                self.perform(self.slots.end())
                return
            frame = CapturedFrame(SIZE, 1, 2, source_frame=source_frame)
            self.pixels[slot] = ("frame", source_frame)
        self.perform(self.slots.filled(slot, frame))

    # ------------------------------------------------------------ checks

    def compare(self) -> None:
        """What the records say is what has happened."""
        stream = self.records.others
        if stream.captured > len(self.committed):
            index = next(i for i, s in enumerate(self.records.slots) if s.seq == stream.last_seq)
            slot = self.records.slots[index]
            previous = self.committed[-1].seq if self.committed else -1
            assert slot.previous == previous < slot.seq
            self.committed.append(
                Frame("cam0", slot.seq, previous, slot.source_frame, index, *SIZE, 1, 2)
            )
            if self.live:
                assert stream.last_seq + 1 + self.late == stream.captured + stream.dropped
        assert stream.captured == len(self.committed)
        assert stream.last_seq == (self.committed[-1].seq if self.committed else -1)
        in_flight = [frame for frame in self.committed if frame.seq > stream.finished_seq]
        for frame in in_flight:
            assert [s.seq for s in self.records.slots].count(frame.seq) == 1
            assert self.records.slots[frame.slot].seq == frame.seq
            assert self.pixels[frame.slot] == ("frame", frame.source_frame)
            assert (self.in_tiler.get(frame.seq) or frame).slot == frame.slot

    def expected_file(self) -> tuple[list[int], int]:
        """The source frames that the stream has, and how many unreadable ones lie among them."""
        file = File(self.readable, start=0, loop=self.loop)
        frames: list[int] = []
        while self.limit is None or len(frames) < self.limit:
            source_frame = file.read()
            if source_frame is None:
                break
            frames.append(source_frame)
        return frames, file.unreadable

    def live_through(self) -> None:
        """Until the capture exits; then nothing is lost, doubled or leaked."""
        for _ in range(400):
            self.step()
            if self.exited:
                break
        self.deaths = 0
        if self.live:
            self.perform(self.slots.end())
        for _ in range(1000):
            if self.exited:
                break
            self.step()
        assert self.exited
        stream = self.records.others
        assert stream.finished_seq == stream.last_seq == stream.end_seq - 1
        assert self.ends[-1] == stream.end_seq
        assert set(self.slots._free) == set(range(len(self.records.slots)))
        numbers = [frame.seq for frame in self.committed]
        if self.live:
            gaps = stream.end_seq - len(numbers)
            assert 0 <= gaps <= stream.dropped
            assert numbers == sorted(set(numbers))
            return
        frames, unreadable = self.expected_file()
        found = [frame.source_frame for frame in self.committed]
        assert numbers == list(range(len(found)))
        if self.drained:
            assert found == frames[: len(found)]
            assert stream.unreadable <= unreadable
        else:
            assert (found, stream.unreadable) == (frames, unreadable)


@pytest.mark.parametrize("live", [False, True], ids=["file", "live"])
@pytest.mark.parametrize("deaths", [0.0, 0.1, 0.5])
def test_histories(live: bool, deaths: float) -> None:
    killed = 0
    for seed in range(700):
        world = World(Random(seed), live=live, deaths=deaths)
        world.live_through()
        killed += world.killed
    assert (killed > 700) == (deaths > 0)


# ---------------------------------------------------------------- one death, everywhere


def survivor(records: MortalRecords, writes: int, again: int, live: bool) -> Slots:
    """The capture after one that was killed after so many writes of its third frame.

    Between the two one was killed after `again` writes of its recovery.
    """

    def start() -> Slots:
        return Slots("cam0", records.stream, records.slots, live=live)

    slots = start()
    records.words.left = inf
    for number in range(3):
        records.words.left = writes if number == 2 else inf
        with suppress(Killed):
            slots.counted(
                SourceCounts(unreadable=number, dropped_newer_frame=number if live else 0)
            )
            frame = CapturedFrame(SIZE, 1, 2, source_frame=2 * number)
            slots.filled(number, replace(frame, number=2 * number) if live else frame)
    records.words.left = again
    with suppress(Killed):
        start()
    records.words.left = inf
    return start()


@pytest.mark.parametrize("live", [False, True], ids=["file", "live"])
@pytest.mark.parametrize("again", range(3))
def test_a_death_after_any_write_captures_a_frame_wholly_or_not_at_all(
    live: bool, again: int
) -> None:
    outcomes = []
    for writes in range(20):
        records = MortalRecords(4)
        slots = survivor(records, writes, again, live)
        stream = records.others
        sent = [action.message for action in slots.up(TILER) if isinstance(action, Send)]
        seqs = [message.seq for message in sent if isinstance(message, Frame)]
        assert seqs == ([0, 2, 4] if live else [0, 1, 2])[: len(seqs)]
        assert (stream.captured, slots.leased, stream.last_seq) == (len(seqs), len(seqs), seqs[-1])
        if not live:
            assert slots.next_source_frame == 2 * len(seqs) - 1
        outcomes.append(len(seqs))
    assert set(outcomes) == {2, 3}
    assert outcomes == sorted(outcomes)


# ---------------------------------------------------------------- single rules


def made(records: MortalRecords, **options: object) -> Slots:
    return Slots("cam0", records.stream, records.slots, **{"live": False, **options})  # type: ignore[arg-type]


def frame(source_frame: int = 0) -> CapturedFrame:
    return CapturedFrame(SIZE, 1, 2, source_frame=source_frame)


def test_a_wrong_event_raises_and_changes_nothing() -> None:
    records = MortalRecords(2)
    slots = made(records)
    slots.filled(0, frame())
    records.words.left = 0
    for slot, wrong in ((0, frame()), (2, frame()), (1, replace(frame(), number=3))):
        with pytest.raises(SlotError):
            slots.filled(slot, wrong)
    records.words.left = inf
    slots.end()
    with pytest.raises(SlotError):
        slots.filled(1, frame())
    assert slots.end() == []
    with pytest.raises(SlotError, match="two at least"):
        made(MortalRecords(1))
    live = made(MortalRecords(3), live=True)
    live.filled(0, CapturedFrame(SIZE, 1, 2, number=4))
    with pytest.raises(SlotError, match="cannot come after frame 4"):
        live.filled(1, CapturedFrame(SIZE, 1, 2, number=4))


def test_a_source_is_read_once_it_is_wanted() -> None:
    slots = made(MortalRecords(2), wait_for_subscriber=True)
    assert slots.turn(0, subscribed=False) == []
    assert slots.due_ns(0) is None
    assert slots.turn(0, subscribed=True) == [Fill(0)]
    live = made(MortalRecords(2), live=True, workers=("npu0", "npu1"))
    live.up(TILER)
    assert live.turn(0, subscribed=True) == []
    live.up("npu1")
    assert live.turn(0, subscribed=True) == [Fill(0)]


def test_a_paced_file_is_read_when_its_frames_are_due() -> None:
    slots = made(MortalRecords(2), pace=Pace(25.0))
    assert slots.turn(5, subscribed=True) == [Fill(0)]
    slots.filled(0, frame())
    assert slots.turn(6, subscribed=True) == []
    assert slots.due_ns(7) == 40_000_005
    assert slots.turn(40_000_005, subscribed=True) == [Fill(1)]
    slots.filled(1, frame(1))
    assert slots.due_ns(40_000_006) is None  # no slot is free


def test_unreadable_frames_are_reported_when_they_are_new() -> None:
    records = MortalRecords(2)
    slots = made(records)
    assert slots.counted(SourceCounts(unreadable=1)) == [ReportUnreadable()]
    assert slots.counted(SourceCounts(unreadable=1)) == []
    assert slots.counted(SourceCounts(unreadable=2)) == [ReportUnreadable()]
    # Killed before the frame after them: the next one passes over the same two.
    slots = made(records)
    assert slots.counted(SourceCounts(unreadable=2)) == []
    assert slots.counted(SourceCounts(unreadable=3)) == [ReportUnreadable()]
    assert records.others.unreadable == 3
    live = made(MortalRecords(2), live=True)
    assert live.counted(SourceCounts(unreadable=1)) == [ReportUnreadable()]
    assert live.counted(SourceCounts(unreadable=2)) == []
