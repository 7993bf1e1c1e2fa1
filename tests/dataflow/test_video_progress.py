"""Which frames are in a video: random histories with deaths at every step, against a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from random import Random

import pytest

from actors.dataflow.video_progress import (
    Action,
    Broken,
    EndVideo,
    Finished,
    JoinParts,
    Output,
    Paint,
    ProgressError,
    VideoProgress,
)
from tests.support.mortal_words import Killed, MortalRecords


@dataclass
class Disk:
    """What survives a renderer: the frames in the video file, the pictures."""

    video: list[int] = field(default_factory=list)
    pictures: set[int] = field(default_factory=set)
    joined: bool = False


class World:
    """A renderer that may die anywhere, the merger that sends it frames, and the disk."""

    def __init__(self, random: Random, *, video: bool, pictures: bool, deaths: float) -> None:
        self.random = random
        self.deaths = deaths
        self.wanted: dict[Output, bool] = {"video": video, "pictures": pictures}
        self.breaking = random.random() < 0.3
        self.records = MortalRecords(2)
        step = random.choice([1, 1, 3])  # a live stream has gaps
        self.seqs = [number * step for number in range(random.randint(0, 9))]
        self.published = 0
        self.disk = Disk()
        self.reports: list[Broken] = []
        self.killed = 0
        self.start()

    # ------------------------------------------------------------ lives

    def die(self, share: float = 1.0) -> None:
        if self.random.random() < self.deaths * share:
            raise Killed

    def start(self) -> None:
        """A new renderer opens what is on the disk and is sent what is not finished."""
        while True:
            try:
                self.progress = VideoProgress(
                    self.records.stream,
                    video=self.wanted["video"],
                    pictures=self.wanted["pictures"],
                )
                self.encoder: int | None = None
                self.finished_message = -1
                self.die()
                if self.progress.wants_video:
                    if self.breaking and self.random.random() < 0.05:
                        self.perform(self.progress.broken("video", "cannot be opened"))
                    else:
                        self.perform(self.progress.opened(len(self.disk.video)))
                self.send()
                return
            except Killed:
                self.killed += 1
                self.records.words.left = inf

    def send(self) -> None:
        """The merger sends every published frame that is not finished, perhaps once more."""
        for seq in self.seqs[: self.published]:
            if seq > self.records.others.finished_seq:
                self.perform(self.progress.frame(seq))

    def step(self) -> None:
        dies = self.random.random() < self.deaths
        self.records.words.left = self.random.randint(0, 3) if dies else inf
        try:
            what = self.random.random()
            if what < 0.2:
                self.publish()
            elif what < 0.25:
                self.send()
            else:
                self.perform(self.progress.step())
        except Killed:
            self.killed += 1
            # What the encoder holds may reach the disk in the last instant, or not.
            if self.encoder is not None and self.random.random() < 0.5:
                self.disk.video.append(self.encoder)
            self.records.words.left = inf
            self.start()
        self.records.words.left = inf
        self.check()

    def publish(self) -> None:
        if self.published < len(self.seqs):
            self.published += 1
            self.perform(self.progress.frame(self.seqs[self.published - 1]))
        else:
            self.records.others.end_seq = self.seqs[-1] + 1 if self.seqs else 0

    # ------------------------------------------------------------ actions

    def perform(self, actions: list[Action]) -> None:
        for action in actions:
            self.die(0.3)
            if isinstance(action, Paint):
                self.paint(action)
            elif isinstance(action, Finished):
                self.finished_message = action.seq
            elif isinstance(action, EndVideo):
                self.end()
            elif isinstance(action, JoinParts):
                self.disk.joined = True
            else:
                self.reports.append(action)

    def paint(self, action: Paint) -> None:
        """The picture first, then the video; a death may come between any two steps."""
        if self.progress.wants_pictures:
            if self.fails():
                self.perform(self.progress.broken("pictures", "disk full"))
            else:
                self.disk.pictures.add(action.seq)
        self.die(0.3)
        if self.progress.wants_video:
            if self.fails():
                self.encoder = None
                self.perform(self.progress.broken("video", "disk full"))
            else:
                self.flush()
                self.encoder = action.seq
        self.die(0.3)
        self.perform(self.progress.painted(len(self.disk.video)))

    def end(self) -> None:
        if self.fails():
            self.encoder = None
            self.perform(self.progress.broken("video", "disk full"))
            return
        self.flush()
        self.encoder = None
        self.die(0.3)
        self.perform(self.progress.ended())

    def flush(self) -> None:
        if self.encoder is not None:
            self.disk.video.append(self.encoder)

    def fails(self) -> bool:
        return self.breaking and self.random.random() < 0.1

    # ------------------------------------------------------------ checks

    def check(self) -> None:
        """No frame is finished before it is in every output that is not broken; none is twice."""
        stream = self.records.others
        finished = [seq for seq in self.seqs if seq <= stream.finished_seq]
        assert self.disk.video == self.seqs[: len(self.disk.video)]
        if self.wanted["video"]:
            sound = finished if not stream.video_broken else self.seqs[: stream.video_broken - 1]
            assert self.disk.video[: len(sound)] == sound
        if self.wanted["pictures"]:
            sound = (
                finished if not stream.pictures_broken else self.seqs[: stream.pictures_broken - 1]
            )
            assert self.disk.pictures.issuperset(sound)
            if not stream.pictures_broken:
                assert self.disk.pictures.issuperset(self.disk.video)
        good = [
            broken - 1 if broken else len(finished)
            for output, broken in (
                ("video", stream.video_broken),
                ("pictures", stream.pictures_broken),
            )
            if self.wanted[output]  # type: ignore[index]
        ]
        assert stream.rendered <= len(finished)
        if any(not broken for broken in self.broken()):
            assert stream.rendered == len(finished)
        else:
            assert stream.rendered <= max(good, default=0)

    def broken(self) -> list[int]:
        """The words of the outputs that there are."""
        stream = self.records.others
        words: dict[Output, int] = {
            "video": stream.video_broken,
            "pictures": stream.pictures_broken,
        }
        return [word for output, word in words.items() if self.wanted[output]]

    def live_through(self) -> None:
        """Until every frame is finished and the renderer has closed."""
        for _ in range(60):
            self.step()
        self.deaths = 0
        while self.published < len(self.seqs) or self.records.others.end_seq < 0:
            self.publish()
        for _ in range(60):
            self.perform(self.progress.step())
            self.check()
        self.perform(self.progress.close())
        self.check()
        stream = self.records.others
        assert stream.finished_seq == (self.seqs[-1] if self.seqs else -1)
        if self.wanted["video"] and not stream.video_broken:
            assert self.disk.video == self.seqs
            assert self.disk.joined
        if self.wanted["pictures"] and not stream.pictures_broken:
            assert self.disk.pictures == set(self.seqs)
        if not any(self.broken()):
            assert stream.rendered == len(self.seqs) * any(self.wanted.values())
        for report in self.reports:
            assert self.seqs[: report.frames][-1:] == [report.last_seq][: report.frames]


@pytest.mark.parametrize("outputs", [("video",), ("pictures",), ("video", "pictures")])
@pytest.mark.parametrize("deaths", [0.0, 0.1, 0.4])
def test_histories(outputs: tuple[str, ...], deaths: float) -> None:
    killed = broken = 0
    for seed in range(700):
        world = World(
            Random(seed), video="video" in outputs, pictures="pictures" in outputs, deaths=deaths
        )
        world.live_through()
        killed += world.killed
        broken += any(world.broken())
    assert (killed > 400) == (deaths > 0)
    assert broken > 20


# ---------------------------------------------------------------- single rules


def progress(
    records: MortalRecords, *, video: bool = True, pictures: bool = False
) -> VideoProgress:
    return VideoProgress(records.stream, video=video, pictures=pictures)


def test_a_frame_is_finished_when_the_next_is_in_the_file_or_the_stream_is_over() -> None:
    records = MortalRecords(2)
    machine = progress(records)
    assert machine.opened(0) == []
    for seq in range(2):
        assert machine.frame(seq) == []
    assert machine.queued == 2
    assert machine.step() == [Paint(0)]
    assert machine.painted(0) == []
    assert machine.step() == [Paint(1)]
    assert machine.painted(1) == [Finished(0)]
    assert (records.others.finished_seq, records.others.rendered) == (0, 1)
    assert machine.step() == []
    records.others.end_seq = 2
    assert machine.step() == [EndVideo()]
    assert machine.ended() == [Finished(1)]
    assert machine.close() == [JoinParts()]
    assert (records.others.finished_seq, records.others.rendered) == (1, 2)


def test_frames_that_are_in_the_file_already_are_finished_without_being_added() -> None:
    records = MortalRecords(2)
    records.others.finish(4, 5)
    machine = progress(records)
    machine.opened(6)
    machine.frame(4)  # finished before
    for seq in (5, 5, 6):
        machine.frame(seq)
    assert machine.step() == [Finished(5)]
    assert machine.step() == [Paint(6)]


def test_a_broken_video_says_how_far_it_is_good_and_rendered_stays() -> None:
    records = MortalRecords(2)
    records.others.finish(6, 4)  # of a live stream: frames were dropped
    machine = progress(records)
    machine.opened(4)
    for seq in (7, 9, 10):
        machine.frame(seq)
    machine.step()
    machine.painted(4)
    machine.step()
    assert machine.broken("video", "No space left") == [
        Broken("video", "No space left", 4, 6),
        Finished(7),
    ]
    assert machine.painted(0) == [Finished(9)]
    assert machine.step() == [Finished(10)]
    assert machine.close() == []
    assert (records.others.finished_seq, records.others.rendered) == (10, 4)
    assert records.others.video_broken == 4 + 1
    # A renderer that comes back does not open it again.
    machine = progress(records)
    assert not machine.wants_video
    machine.frame(11)
    assert machine.step() == [Finished(11)]
    assert records.others.rendered == 4


def test_frames_that_are_gone_from_the_file_break_it() -> None:
    records = MortalRecords(2)
    records.others.finish(4, 5)
    machine = progress(records)
    reason = "2 frames that were in it are gone from it"
    assert machine.opened(3) == [Broken("video", reason, 5, 4)]


def test_pictures_continue_without_the_video_and_the_other_way_round() -> None:
    records = MortalRecords(2)
    machine = progress(records, pictures=True)
    machine.opened(0)
    machine.frame(0)
    machine.step()
    assert machine.broken("video", "full") == [Broken("video", "full", 0, -1)]
    assert machine.painted(0) == [Finished(0)]
    machine.frame(1)
    assert machine.step() == [Paint(1)]
    machine.painted(0)
    assert (records.others.rendered, records.others.video_broken) == (2, 1)

    records = MortalRecords(2)
    machine = progress(records, pictures=True)
    machine.opened(0)
    for seq in range(2):
        machine.frame(seq)
    machine.step()
    machine.painted(0)
    machine.step()
    # The picture of frame 0 is there although the frame is not in the video for sure.
    assert machine.broken("pictures", "full") == [Broken("pictures", "full", 1, 0)]
    assert machine.painted(1) == [Finished(0)]
    assert not machine.wants_pictures


def test_a_wrong_event_raises_and_changes_nothing() -> None:
    records = MortalRecords(2)
    machine = progress(records)
    records.words.left = 0
    with pytest.raises(ProgressError, match="before the last one is done"):
        machine.step()
    with pytest.raises(ProgressError, match="no frame is being painted"):
        machine.painted(0)
    with pytest.raises(ProgressError, match="no pictures"):
        machine.broken("pictures", "full")
    machine.opened(0)
    with pytest.raises(ProgressError, match="not to be opened"):
        machine.opened(0)
    machine.frame(0)
    machine.step()
    with pytest.raises(ProgressError, match="before the last one is done"):
        machine.step()
    with pytest.raises(ProgressError, match="being painted"):
        machine.ended()
    with pytest.raises(ProgressError, match="5 frames cannot be"):
        machine.painted(5)
    assert machine.painted(0) == []
