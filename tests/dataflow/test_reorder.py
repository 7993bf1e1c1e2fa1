"""The reorder buffer: an example of each rule, and random arrivals against a model.

A frame here has stage 0 with tiles known from the start and, in some tests, stage 1 whose number of
tiles is not known at first. Its info is a text, and an answer is a text too.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from actors.dataflow.reorder import UNKNOWN, ReadyFrame, ReorderBuffer

Key = tuple[int, int]


def reorder(published: int = -1, cursor: int = -1, slots: int = 4) -> ReorderBuffer[str, str]:
    return ReorderBuffer(published=published, cursor=cursor, slots=slots)


def out(frames: ReorderBuffer[str, str]) -> list[ReadyFrame[str, str]]:
    """All frames that are ready, in their order."""
    return list(iter(frames.pop_ready, None))


def seqs(frames: ReorderBuffer[str, str]) -> list[int]:
    return [frame.seq for frame in out(frames)]


# ---------------------------------------------------------------- examples


def test_a_frame_comes_out_once_when_every_tile_is_here() -> None:
    frames = reorder()
    assert frames.expect(0, -1, "info", (2, 1))
    frames.answer(0, 1, 0, "c")
    frames.answer(0, 0, 1, "b")
    assert out(frames) == []
    frames.answer(0, 0, 0, "a")
    (whole,) = out(frames)
    assert whole == ReadyFrame(0, "info", True, {(0, 0): "a", (0, 1): "b", (1, 0): "c"}, {})
    assert list(whole.answers) == [(0, 0), (0, 1), (1, 0)]
    assert out(frames) == []
    assert (frames.waiting(), frames.cursor, frames.published) == (0, 0, 0)


def test_answers_may_come_before_their_frame() -> None:
    frames = reorder()
    frames.answer(0, 0, 0, "a")
    assert out(frames) == []
    frames.expect(0, -1, "info", (1,))
    assert out(frames) == [ReadyFrame(0, "info", True, {(0, 0): "a"}, {})]


def test_a_frame_without_tiles_comes_out_at_once() -> None:
    frames = reorder()
    frames.expect(0, -1, "info", (0, 0))
    assert out(frames) == [ReadyFrame(0, "info", True, {}, {})]


def test_frames_come_out_in_order() -> None:
    frames = reorder()
    for seq in (2, 0, 1):
        frames.expect(seq, seq - 1, "", (1,))
    frames.answer(2, 0, 0, "")
    frames.answer(1, 0, 0, "")
    assert seqs(frames) == []
    frames.answer(0, 0, 0, "")
    assert seqs(frames) == [0, 1, 2]


def test_after_a_dropped_frame_the_next_follows_the_last_captured() -> None:
    frames = reorder()
    frames.expect(9, 4, "", (0,))
    frames.expect(4, -1, "", (1,))
    assert seqs(frames) == []
    frames.answer(4, 0, 0, "")
    assert seqs(frames) == [4, 9]


def test_the_first_answer_counts() -> None:
    frames = reorder()
    frames.expect(0, -1, "", (1,))
    frames.answer(0, 0, 0, "first")
    frames.answer(0, 0, 0, "second")
    frames.missing(0, 0, 0, "given up elsewhere")
    assert out(frames) == [ReadyFrame(0, "", True, {(0, 0): "first"}, {})]


def test_a_missing_tile_completes_its_frame_and_says_why() -> None:
    frames = reorder()
    frames.expect(0, -1, "", (2,))
    frames.missing(0, 0, 1, "npu0: crash")
    frames.answer(0, 0, 0, "a")
    assert out(frames) == [ReadyFrame(0, "", True, {(0, 0): "a"}, {(0, 1): "npu0: crash"})]


def test_an_answer_replaces_a_missing_tile() -> None:
    frames = reorder()
    frames.expect(0, -1, "", (1, 1))
    frames.missing(0, 0, 0, "npu0: crash")
    frames.answer(0, 0, 0, "a")
    frames.answer(0, 1, 0, "b")
    assert out(frames) == [ReadyFrame(0, "", True, {(0, 0): "a", (1, 0): "b"}, {})]


def test_a_stage_of_unknown_tiles_is_waited_for() -> None:
    frames = reorder()
    frames.expect(0, -1, "", (1, UNKNOWN))
    frames.answer(0, 0, 0, "a")
    assert out(frames) == []
    frames.expect(0, -1, "", (1, 0))
    assert out(frames) == [ReadyFrame(0, "", True, {(0, 0): "a"}, {})]


def test_a_frame_comes_out_with_only_the_tiles_that_it_has() -> None:
    """A restarted tiler may find other crops than before; a faulty message may name any tile."""
    frames = reorder()
    frames.expect(0, -1, "", (1, 3))
    frames.answer(0, 1, 2, "a crop of the tiler before")
    frames.answer(0, 7, 0, "a stage that does not exist")
    frames.missing(0, 1, 1, "given up as well")
    frames.expect(0, -1, "", (1, UNKNOWN))
    frames.expect(0, -1, "", (1, 1))
    frames.answer(0, 0, 0, "a")
    frames.answer(0, 1, 0, "b")
    assert out(frames) == [ReadyFrame(0, "", True, {(0, 0): "a", (1, 0): "b"}, {})]


def test_what_comes_too_late_is_ignored() -> None:
    frames = reorder()
    frames.expect(0, -1, "", (1,))
    frames.answer(0, 0, 0, "a")
    assert seqs(frames) == [0]
    assert not frames.expect(0, -1, "", (1,))
    frames.answer(0, 0, 0, "a")
    frames.missing(0, 0, 0, "late")
    assert (frames.waiting(), frames.stray, seqs(frames)) == (0, 1, [])


def test_after_a_restart_published_frames_come_out_for_the_renderer_only() -> None:
    frames = reorder(published=3, cursor=1)
    for seq in (4, 3, 2, 1):
        frames.expect(seq, seq - 1, f"info {seq}", (0,))
    assert [(frame.seq, frame.publish) for frame in out(frames)] == [
        (2, False),
        (3, False),
        (4, True),
    ]
    assert (frames.cursor, frames.published) == (4, 4)


def test_frames_that_a_surviving_renderer_finished_are_not_waited_for() -> None:
    """The merger was restarted when 1 was rendered and 2 and 3 were queued in the renderer."""
    frames = reorder(published=3, cursor=1)
    frames.answer(3, 0, 0, "not needed any more")
    for seq in (4, 5):
        frames.expect(seq, seq - 1, "", (0,))
    assert seqs(frames) == []
    frames.finished(3)
    assert (frames.waiting(), frames.cursor, frames.published) == (2, 3, 3)
    assert [(frame.seq, frame.publish) for frame in out(frames)] == [(4, True), (5, True)]
    frames.finished(2)
    assert frames.cursor == 5


def test_faulty_messages_do_not_fill_the_memory() -> None:
    frames = reorder(slots=4)
    for seq in range(1000, 3000):
        frames.answer(seq, 0, 0, "?")
        frames.missing(seq, 0, 0, "?")
    assert frames.waiting() <= 8
    # Frames that are expected are those in the slots, and always find a place.
    for seq in range(4):
        assert frames.expect(seq, seq - 1, "", (1,))
        frames.answer(seq, 0, 0, "a")
    assert seqs(frames) == [0, 1, 2, 3]


# ---------------------------------------------------------------- random arrivals


@dataclass
class ModelFrame:
    """A frame in a slot. `counts` are its tiles; `sent` what the merger was sent."""

    seq: int
    previous: int
    counts: tuple[int, ...]
    dependent: bool
    sent: tuple[int, ...] | None = None
    answers: dict[Key, str] = field(default_factory=dict)
    missing: dict[Key, str] = field(default_factory=dict)

    def tiles(self) -> list[Key]:
        return [(stage, index) for stage, count in enumerate(self.counts) for index in range(count)]

    def whole(self) -> bool:
        known = self.answers.keys() | self.missing.keys()
        return self.sent == self.counts and known == set(self.tiles())

    def forget(self) -> None:
        self.sent = None
        self.answers.clear()
        self.missing.clear()


class Arrivals(RuleBasedStateMachine):
    """A capture with a few slots, a merger that may die, and messages in any order."""

    @initialize(slots=st.integers(1, 4), rendering=st.booleans())
    def begin(self, slots: int, rendering: bool) -> None:
        self.slots = slots
        self.rendering = rendering
        self.flying: dict[int, ModelFrame] = {}
        """Frames in their slots, in order."""
        self.last = self.published = self.finished = self.cursor = -1
        self.published_seqs: list[int] = []
        self.captured: list[int] = []
        self.count = 0
        self.frames = reorder(slots=slots)

    def _one(self, data: st.DataObject) -> ModelFrame:
        return data.draw(st.sampled_from(list(self.flying.values())), "frame")

    def _text(self) -> str:
        self.count += 1
        return f"#{self.count}"

    @precondition(lambda self: len(self.flying) < self.slots)
    @rule(
        gap=st.integers(0, 2),
        counts=st.tuples(st.integers(0, 3), st.integers(0, 2)),
        dependent=st.booleans(),
    )
    def capture(self, gap: int, counts: tuple[int, int], dependent: bool) -> None:
        frame = ModelFrame(self.last + 1 + gap, self.last, counts, dependent)
        self.last = frame.seq
        self.captured.append(frame.seq)
        self.flying[frame.seq] = frame

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), known=st.booleans())
    def expect(self, data: st.DataObject, known: bool) -> None:
        """The tiler sends a frame, perhaps again, perhaps before all its tiles are known."""
        frame = self._one(data)
        known = known or not frame.dependent
        tiles = frame.counts if known else (frame.counts[0], UNKNOWN)
        taken = self.frames.expect(frame.seq, frame.previous, f"info {frame.seq}", tiles)
        assert taken == (frame.seq > self.cursor)
        if taken:
            frame.sent = tiles

    @precondition(lambda self: any(f.tiles() for f in self.flying.values()))
    @rule(data=st.data(), lost=st.booleans())
    def tile(self, data: st.DataObject, lost: bool) -> None:
        """A tile is answered or given up, for the first time or again, in time or too late."""
        frames = [frame for frame in self.flying.values() if frame.tiles()]
        frame = data.draw(st.sampled_from(frames), "frame")
        key = data.draw(st.sampled_from(frame.tiles()), "tile")
        self._arrive(frame, key, lost)

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def all_tiles(self, data: st.DataObject) -> None:
        frame = self._one(data)
        for key in data.draw(st.permutations(frame.tiles()), "order"):
            self._arrive(frame, key, False)

    def _arrive(self, frame: ModelFrame, key: Key, lost: bool) -> None:
        text = self._text()
        strays = self.frames.stray
        if lost:
            self.frames.missing(frame.seq, *key, text)
        else:
            self.frames.answer(frame.seq, *key, text)
        assert self.frames.stray == strays + (not lost and frame.seq <= self.cursor)
        if frame.seq > self.cursor and not lost:
            frame.answers.setdefault(key, text)
            frame.missing.pop(key, None)
        elif frame.seq > self.cursor and key not in frame.answers:
            frame.missing[key] = text

    @rule()
    def pop_ready(self) -> None:
        """Exactly those frames come out that are complete and follow one that is out."""
        expected = []
        for frame in self.flying.values():
            if frame.seq <= self.cursor:
                continue
            if not frame.whole():
                break
            publish = frame.seq > self.published
            tiles = dict(frame.answers), dict(frame.missing)
            expected.append(ReadyFrame(frame.seq, f"info {frame.seq}", publish, *tiles))
            self.cursor = frame.seq
            self.published = max(self.published, frame.seq)
            if publish:
                self.published_seqs.append(frame.seq)
        ready = out(self.frames)
        assert ready == expected
        for whole in ready:
            assert list(whole.answers) == sorted(whole.answers)
            assert list(whole.missing) == sorted(whole.missing)
        if not self.rendering:
            self._finish(self.cursor)

    @precondition(lambda self: self.finished < self.cursor)
    @rule(data=st.data())
    def rendered(self, data: st.DataObject) -> None:
        ready = [seq for seq in self.flying if self.finished < seq <= self.cursor]
        self._finish(data.draw(st.sampled_from(ready), "seq"))

    def _finish(self, seq: int) -> None:
        self.finished = max(self.finished, seq)
        self.flying = {seq: f for seq, f in self.flying.items() if seq > self.finished}

    @rule()
    def merger_restarts(self) -> None:
        self.cursor = self.finished if self.rendering else self.published
        self.frames = reorder(self.published, self.cursor, self.slots)
        for frame in self.flying.values():
            frame.forget()

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "frames"):
            return
        assert self.published_seqs == self.captured[: len(self.published_seqs)]
        assert (self.frames.cursor, self.frames.published) == (self.cursor, self.published)
        begun = [
            frame
            for frame in self.flying.values()
            if frame.seq > self.cursor and (frame.sent or frame.answers or frame.missing)
        ]
        assert self.frames.waiting() == len(begun) <= self.slots

    def teardown(self) -> None:
        """When everything arrives after all, every captured frame has been published once."""
        if not hasattr(self, "frames"):
            return
        event(f"published before the end: {min(len(self.published_seqs), 5)}")
        for frame in reversed(list(self.flying.values())):
            for key in frame.tiles():
                self._arrive(frame, key, False)
            if self.frames.expect(frame.seq, frame.previous, f"info {frame.seq}", frame.counts):
                frame.sent = frame.counts
        self.pop_ready()
        assert self.published_seqs == self.captured
        assert self.frames.waiting() == 0


def test_random_arrivals() -> None:
    run_state_machine_as_test(
        Arrivals,
        settings=settings(
            max_examples=120,
            stateful_step_count=60,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("slots", [1, 3])
def test_memory_stays_bounded_over_a_long_stream(slots: int) -> None:
    frames = reorder(slots=slots)
    for seq in range(2000):
        frames.expect(seq, seq - 1, "", (1,))
        frames.answer(seq, 0, 0, "a")
        frames.answer(seq - 1, 0, 0, "late")
        assert seqs(frames) == [seq]
        assert frames.waiting() == 0
