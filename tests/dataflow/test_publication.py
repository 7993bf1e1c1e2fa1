"""Publication: an example of each rule, with a fake clock."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from actors.dataflow.frame_merging import FrameMerging
from actors.dataflow.latencies import Latencies
from actors.dataflow.messages import (
    Answer,
    Begin,
    End,
    Expect,
    FlushBarrier,
    Frame,
    Missing,
    Published,
    Result,
)
from actors.dataflow.publication import (
    SETTLE_NS,
    SUBSCRIBERS_NS,
    SUMMARY_NS,
    Publication,
    PublicationError,
    StreamState,
)
from actors.dataflow.publication_actions import (
    Action,
    Ended,
    Finish,
    Flush,
    NoteFirstSubscriber,
    NoteLatency,
    NoteSubscriptions,
    Publish,
    PublishEnd,
    Send,
    Settle,
    Summarise,
)
from actors.dataflow.settings import RENDERER, TILER
from tests.support.publication_run import found, run_settings

NOW = 50 * SETTLE_NS


def publication(*, rendering: bool = False, subscriptions: int = 0, **state: Any) -> Publication:
    """Of one stream, "a", with three slots; `state` is what the merger before has left."""
    made = Publication(
        {"a": StreamState(slots=3, **state)},
        merging=FrameMerging(run_settings(rendering)),
        rendering=rendering,
        subscriptions=subscriptions,
    )
    if not subscriptions:
        made.turn(NOW)
    return made


def frame(seq: int, stream: str = "a", slot: int = 0) -> Frame:
    return Frame(stream, seq, seq - 1, seq, slot, 1920, 1080, NOW - 30_000_000, 1)


def complete(machine: Publication, seq: int, *, missing: bool = False) -> None:
    """A frame with one tile is complete."""
    machine.message(Expect(frame(seq), (1, 0)), NOW)
    if missing:
        machine.message(Missing("a", seq, 0, 0, "npu0: crash"), NOW)
    else:
        machine.message(Answer("a", seq, 0, 0, found(0, 0).to_bytes()), NOW)


def flushed(machine: Publication, seq: int, now_ns: int = NOW) -> list[Action]:
    return machine.message(FlushBarrier("a", seq, NOW), now_ns)


def kinds(actions: Iterable[Action]) -> list[type]:
    """Without latencies and summaries, which have tests of their own."""
    return [type(each) for each in actions if not isinstance(each, NoteLatency | Summarise)]


# ---------------------------------------------------------------- frames


def test_a_complete_frame_is_published_with_a_flush_barrier_behind_it() -> None:
    machine = publication()
    assert machine.message(Expect(frame(0), (1, 0)), NOW) == []
    assert machine.turn(NOW) == []
    assert machine.message(Answer("a", 0, 0, 0, found(0, 0).to_bytes()), NOW) == []
    assert machine.waiting == 1
    publish, flush = machine.turn(NOW)
    assert isinstance(publish, Publish) and publish.frame.info == frame(0)
    assert flush == Flush("a", 0)
    assert machine.unsettled
    assert machine.turn(NOW) == []


def test_without_a_renderer_a_settled_frame_is_finished_at_once() -> None:
    machine = publication()
    complete(machine, 0)
    machine.turn(NOW)
    assert flushed(machine, 0)[:4] == [
        Settle("a", 0, complete=True),
        Finish("a", 0),
        Send("a", Published("a", 0)),
        Send(TILER, Published("a", 0)),
    ]
    assert not machine.unsettled


def test_with_a_renderer_a_settled_frame_is_sent_to_it_until_it_is_finished() -> None:
    machine = publication(rendering=True)
    complete(machine, 0)
    machine.turn(NOW)
    assert machine.renderer_up() == []
    actions = flushed(machine, 0)
    assert kinds(actions) == [Settle, Send, Send]
    (to_renderer,) = [a for a in actions if isinstance(a, Send) and a.receiver == RENDERER]
    assert isinstance(to_renderer.message, Result) and to_renderer.message.complete
    assert machine.renderer_up() == [to_renderer]
    machine.finished("a", 0)
    assert machine.renderer_up() == []


def test_one_record_at_a_time_is_unsettled() -> None:
    machine = publication()
    for seq in (1, 0):
        complete(machine, seq)
    assert kinds(machine.turn(NOW)) == [Publish, Flush]
    assert machine.turn(NOW) == []
    flushed(machine, 0)
    assert machine.turn(NOW)[1] == Flush("a", 1)


def test_an_incomplete_frame_is_published_and_settled_as_such() -> None:
    machine = publication()
    complete(machine, 0, missing=True)
    publish = machine.turn(NOW)[0]
    assert isinstance(publish, Publish) and publish.frame.missing == {(0, 0): "npu0: crash"}
    assert flushed(machine, 0)[0] == Settle("a", 0, complete=False)


def test_a_lost_barrier_settles_after_a_second_and_is_ignored_when_it_comes_yet() -> None:
    machine = publication()
    complete(machine, 0)
    machine.turn(NOW)
    assert machine.turn(NOW + SETTLE_NS - 1) == []
    assert kinds(machine.turn(NOW + SETTLE_NS))[:2] == [Settle, Finish]
    assert flushed(machine, 0) == []


def test_a_settled_frame_that_comes_again_is_reported_to_the_tiler() -> None:
    machine = publication()
    complete(machine, 0)
    machine.turn(NOW)
    again = Expect(frame(0), (1, 0))
    assert machine.message(again, NOW) == [], "it may not have left the process"
    flushed(machine, 0)
    assert machine.message(again, NOW) == [Send(TILER, Published("a", 0))]


# ---------------------------------------------------------------- the end


def test_the_end_is_published_once_after_the_last_frame_is_settled() -> None:
    machine = publication()
    complete(machine, 0)
    machine.end_known("a", 1)
    assert kinds(machine.turn(NOW)) == [Publish, Flush]
    flushed(machine, 0)
    machine.end_known("a", 1)
    assert machine.turn(NOW) == [PublishEnd("a", 1), Flush("a", 1)]
    assert machine.turn(NOW) == []
    assert machine.unsettled
    assert flushed(machine, 1) == [Ended("a")]
    assert machine.turn(NOW + 5 * SETTLE_NS) == []
    assert not machine.unsettled


def test_an_empty_stream_ends() -> None:
    machine = publication()
    machine.end_known("a", 0)
    assert machine.turn(NOW) == [PublishEnd("a", 0), Flush("a", 0)]
    assert machine.turn(NOW + SETTLE_NS) == [Ended("a")]


def test_after_a_death_the_end_comes_again_unless_it_was_settled() -> None:
    machine = publication(published_seq=4, published=5, finished_seq=4)
    machine.end_known("a", 5)
    assert machine.turn(NOW) == [PublishEnd("a", 5), Flush("a", 5)]
    machine = publication(published_seq=4, published=5, finished_seq=4, ended=True)
    machine.end_known("a", 5)
    assert machine.turn(NOW) == []


# ---------------------------------------------------------------- after a death


def test_what_was_settled_and_not_finished_is_finished_by_the_next_merger() -> None:
    machine = Publication(
        {"a": StreamState(slots=3, published_seq=4, published=5, finished_seq=3)},
        merging=FrameMerging(run_settings(False)),
        rendering=False,
    )
    assert machine.turn(NOW) == [
        NoteSubscriptions(0),
        Finish("a", 4),
        Send("a", Published("a", 4)),
    ]


def test_what_was_published_and_not_rendered_goes_to_the_renderer_only() -> None:
    machine = publication(rendering=True, published_seq=1, published=2, finished_seq=0)
    for seq in (1, 2):
        complete(machine, seq)
    actions = machine.turn(NOW)
    assert kinds(actions) == [Send, Send, Publish, Flush]
    assert [a.receiver for a in actions[:2] if isinstance(a, Send)] == [RENDERER, TILER]


# ---------------------------------------------------------------- subscribers


def test_the_first_subscriber_starts_the_streams_that_wait() -> None:
    machine = publication()
    assert machine.subscribed() == [
        NoteSubscriptions(1),
        NoteFirstSubscriber(),
        Send("a", Begin()),
    ]
    assert machine.subscribed() == [NoteSubscriptions(2)]
    assert machine.unsubscribed() == [NoteSubscriptions(1)]


def test_an_unsubscription_without_a_subscription_changes_nothing() -> None:
    assert publication().unsubscribed() == []


def test_a_restarted_merger_waits_for_the_subscribers_of_the_one_before() -> None:
    machine = publication(subscriptions=2)
    complete(machine, 0)
    assert machine.turn(NOW) == []
    assert NoteSubscriptions(1) not in machine.subscribed()
    assert machine.turn(NOW + 1) == []
    machine.subscribed()
    assert kinds(machine.turn(NOW + 2)) == [NoteSubscriptions, Publish, Flush]


def test_it_waits_a_second_at_most() -> None:
    machine = publication(subscriptions=2)
    complete(machine, 0)
    machine.subscribed()
    machine.turn(NOW)
    assert machine.turn(NOW + SUBSCRIBERS_NS - 1) == []
    assert machine.turn(NOW + SUBSCRIBERS_NS)[0] == NoteSubscriptions(1)


# ---------------------------------------------------------------- for people


def test_a_summary_is_sent_twice_a_second_at_most() -> None:
    machine = publication()
    sent = []
    for seq in range(12):
        complete(machine, seq)
        machine.turn(NOW)
        actions = flushed(machine, seq, NOW + seq * SUMMARY_NS // 5)
        sent += [seq for action in actions if isinstance(action, Summarise)]
    assert sent == [0, 5, 10]


def test_the_latency_is_from_capture_until_the_record_was_sent() -> None:
    machine = publication()
    complete(machine, 0)
    machine.turn(NOW)
    actions = flushed(machine, 0, NOW + 999)
    assert NoteLatency("a", 30_000, 30_000) in actions


def test_latency_percentiles_are_over_the_newest_frames() -> None:
    latencies = Latencies()
    given = [latencies.add(us) for us in range(2000)]
    assert all(percentiles is not None for percentiles in given[:15])
    computed = [number + 1 for number, each in enumerate(given) if each is not None]
    assert computed[15:] == list(range(16, 2001, 16))
    newest = np.arange(2000 - 512, 2000)
    assert given[-1] == tuple(int(each) for each in np.percentile(newest, (50, 99)))


# ---------------------------------------------------------------- wrong events


BOX = found(0, 0).to_bytes()
BAD_CLASS = np.frombuffer(BOX, np.float32).copy()
BAD_CLASS[5] = 3
INFINITE = np.frombuffer(BOX, np.float32).copy()
INFINITE[1] = np.inf


@pytest.mark.parametrize(
    "message",
    [
        Answer("b", 0, 0, 0, BOX),
        Answer("a", 0, 2, 0, BOX),
        Answer("a", 0, -1, 0, BOX),
        Answer("a", 0, 0, -1, BOX),
        Answer("a", 0, 1, 0, BOX),
        Answer("a", 0, 0, 0, BOX[:-1]),
        Answer("a", 0, 0, 0, BAD_CLASS.tobytes()),
        Answer("a", 0, 0, 0, INFINITE.tobytes()),
        Missing("b", 0, 0, 0, ""),
        Missing("a", 0, 2, 0, ""),
        Missing("a", 0, 0, -1, ""),
        Expect(frame(0, "b"), (1, 0)),
        Expect(frame(0), (1,)),
        Expect(frame(0), (1, -2)),
        Expect(frame(0, slot=3), (1, 0)),
        Expect(frame(-1), (1, 0)),
        FlushBarrier("b", 0, 0),
        FlushBarrier("a", 7, 0),
        FlushBarrier("a", -1, 0),
    ],
)
def test_a_wrong_message_raises_and_changes_nothing(message: Any) -> None:
    machine = publication()
    with pytest.raises(PublicationError):
        machine.message(message, NOW)
    assert (machine.waiting, machine.unsettled, machine.turn(NOW)) == (0, False, [])


def test_a_message_that_only_wakes_has_no_actions() -> None:
    assert publication().message(End("a", 3), NOW) == []


def test_impossible_words_raise_and_change_nothing() -> None:
    machine = publication()
    complete(machine, 0)
    machine.turn(NOW)
    with pytest.raises(PublicationError, match="finished and not published"):
        machine.finished("a", 0)
    with pytest.raises(PublicationError, match="cannot end before"):
        machine.end_known("a", 0)
    machine.end_known("a", 2)
    with pytest.raises(PublicationError, match="cannot end before"):
        machine.end_known("a", 3)
    assert kinds(flushed(machine, 0)) == [Settle, Finish, Send, Send]
