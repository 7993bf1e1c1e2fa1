"""Inboxes and outboxes over real sockets in a run directory of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from actors.dataflow.messages import CODEC, Answer, Begin, Published, Rendered
from actors.system.codec import LARGEST, Message
from actors.system.mailbox import Inbox, Outbox, Peers, Transport
from actors.system.messages import Stop
from actors.system.run_directory import endpoint

Context = zmq.Context[zmq.Socket[bytes]]

TOKEN = b"of a run"
# What stands before each message to an inbox of this token and the first incarnation.
HEAD = TOKEN + b"\0\0\0\1"


@pytest.fixture
def context() -> Iterator[Context]:
    context: Context = zmq.Context()
    yield context
    context.destroy(linger=0)


@pytest.fixture
def peers() -> Peers:
    peers = Peers()
    peers.up("b", 1)
    return peers


def receive(inbox: Inbox, count: int, seconds: float = 10.0) -> list[Message]:
    """The next messages: at least `count` of them, or those that came in time."""
    messages: list[Message] = []
    deadline = time.monotonic() + seconds
    while len(messages) < count:
        left = deadline - time.monotonic()
        if not inbox.socket.poll(max(0, round(left * 1000))):
            break
        messages += inbox.drain()
    return messages


def raw(context: Context, folder: Path, name: str) -> zmq.Socket[bytes]:
    """A socket that sends anything."""
    socket = context.socket(zmq.PUSH)
    socket.connect(endpoint(folder, name))
    return socket


def test_messages_arrive_in_order(context: Context, short_tmp: Path, peers: Peers) -> None:
    inbox = Inbox(Transport(context, short_tmp, CODEC), "b")
    outbox = Outbox(Transport(context, short_tmp, CODEC), peers)
    sent: list[Message] = [Published("cam0", seq) for seq in range(500)]
    sent.append(Answer("cam0", 1, 0, 0, b"\0" * 240_000))
    assert all(outbox.send("b", message) for message in sent)
    assert receive(inbox, len(sent)) == sent
    assert (inbox.malformed, outbox.unsent) == (0, 0)


def test_a_drain_ends_although_more_keeps_coming(
    context: Context, short_tmp: Path, peers: Peers
) -> None:
    inbox = Inbox(Transport(context, short_tmp, CODEC), "b")
    outbox = Outbox(Transport(context, short_tmp, CODEC), peers)
    for seq in range(300):
        outbox.send("b", Published("cam0", seq))
    assert inbox.socket.poll(10_000)
    assert 0 < len(inbox.drain()) < 300


def test_an_empty_inbox_gives_nothing_at_once(context: Context, short_tmp: Path) -> None:
    assert Inbox(Transport(context, short_tmp, CODEC), "b").drain() == []


def test_what_is_not_a_message_is_counted_and_the_rest_is_read(
    context: Context, short_tmp: Path
) -> None:
    inbox = Inbox(Transport(context, short_tmp, CODEC, TOKEN), "b")
    outsider = raw(context, short_tmp, "b")
    junk = [
        [b""],
        [b"\xc1"],
        [TOKEN[:-1]],
        [HEAD],
        [HEAD + b"{}"],
        [CODEC.encode(Begin())],
        [HEAD + CODEC.encode(Begin()), HEAD + CODEC.encode(Begin())],
        [b"", HEAD + CODEC.encode(Begin())],
        [b"x" * 100_000],
    ]
    for parts in junk:
        outsider.send_multipart(parts)
    outsider.send(HEAD + CODEC.encode(Stop()))
    assert receive(inbox, 1) == [Stop()]
    assert inbox.malformed == len(junk)


def test_what_is_not_of_this_run_is_counted(
    context: Context, short_tmp: Path, peers: Peers
) -> None:
    inbox = Inbox(Transport(context, short_tmp, CODEC, TOKEN), "b")
    outsiders = []
    for token in (b"", b"of a rum", b"of a ru", b"\0\0\0\0\0\0\0\0"):
        outsiders.append(Outbox(Transport(context, short_tmp, CODEC, token), peers))
        assert outsiders[-1].send("b", Stop())
        assert inbox.socket.poll(10_000)
        assert inbox.drain() == []
    assert inbox.malformed == 4
    ours = Outbox(Transport(context, short_tmp, CODEC, TOKEN), peers)
    ours.send("b", Begin())
    assert receive(inbox, 1) == [Begin()]


def test_what_is_too_large_is_dropped_and_the_next_message_arrives(
    context: Context, short_tmp: Path
) -> None:
    inbox = Inbox(Transport(context, short_tmp, CODEC, TOKEN), "b")
    outsider = raw(context, short_tmp, "b")
    outsider.send(HEAD + CODEC.encode(Answer("cam0", 0, 0, 0, b"x" * LARGEST)))
    outsider.send(HEAD + CODEC.encode(Stop()))
    assert receive(inbox, 1) == [Stop()]
    outsider.send(HEAD + CODEC.encode(Answer("cam0", 0, 0, 0, b"x" * (LARGEST - 100))))
    assert len(receive(inbox, 1)) == 1


def test_too_large_a_message_is_not_sent_and_counted(
    context: Context, short_tmp: Path, peers: Peers
) -> None:
    inbox = Inbox(Transport(context, short_tmp, CODEC), "b")
    outbox = Outbox(Transport(context, short_tmp, CODEC), peers)
    assert not outbox.send("b", Answer("cam0", 0, 0, 0, b"x" * LARGEST))
    assert outbox.unsent == 1
    assert outbox.send("b", Answer("cam0", 0, 0, 0, b"x" * (LARGEST - 100)))
    assert len(receive(inbox, 1)) == 1


def test_nothing_is_sent_to_an_actor_that_is_down(
    context: Context, short_tmp: Path, peers: Peers
) -> None:
    outbox = Outbox(Transport(context, short_tmp, CODEC), peers)
    assert not outbox.send("c", Stop())  # never up
    peers.down("b", 1)
    assert not outbox.send("b", Stop())
    inbox = Inbox(Transport(context, short_tmp, CODEC), "b", incarnation=2)
    peers.up("b", 2)
    assert outbox.send("b", Begin())
    assert receive(inbox, 1) == [Begin()]


def test_what_was_queued_for_the_old_incarnation_is_ignored_by_the_new(
    context: Context, short_tmp: Path, peers: Peers
) -> None:
    outbox = Outbox(Transport(context, short_tmp, CODEC), peers)
    for _ in range(5):
        assert outbox.send("b", Stop())  # nothing is bound yet: it waits in the socket
    peers.down("b", 1)
    # While it starts, before its Up, the old socket connects to it.
    inbox = Inbox(Transport(context, short_tmp, CODEC), "b", incarnation=2)
    assert inbox.socket.poll(10_000)
    peers.up("b", 2)
    assert outbox.send("b", Begin())
    assert receive(inbox, 1) == [Begin()]
    assert outbox.send("b", Published("cam0", 1))
    assert receive(inbox, 1) == [Published("cam0", 1)]
    assert inbox.malformed == 0


def test_an_inbox_that_was_bound_anew_is_found(
    context: Context, short_tmp: Path, peers: Peers
) -> None:
    first = Inbox(Transport(context, short_tmp, CODEC), "b")
    outbox = Outbox(Transport(context, short_tmp, CODEC), peers)
    outbox.send("b", Begin())
    assert receive(first, 1) == [Begin()]
    first.close()
    second = Inbox(Transport(context, short_tmp, CODEC), "b", incarnation=2)
    peers.up("b", 2)
    outbox.send("b", Stop())
    assert receive(second, 1) == [Stop()]


def test_receiver_that_does_not_read_makes_no_sender_wait(
    context: Context, short_tmp: Path, peers: Peers
) -> None:
    outbox = Outbox(Transport(context, short_tmp, CODEC), peers)
    sent = [outbox.send("b", Stop()) for _ in range(1200)]
    assert sent == [True] * 1000 + [False] * 200
    assert outbox.unsent == 200


def test_close_lets_what_was_sent_travel(context: Context, short_tmp: Path, peers: Peers) -> None:
    inbox = Inbox(Transport(context, short_tmp, CODEC), "b")
    sender: Context = zmq.Context()
    outbox = Outbox(Transport(sender, short_tmp, CODEC), peers)
    outbox.send("b", Stop())
    outbox.close(5000)
    sender.term()  # returns when it has left
    assert receive(inbox, 1) == [Stop()]


# ---------------------------------------------------------------- peers


def test_peers_have_the_incarnation_under_which_an_actor_is_up() -> None:
    peers = Peers()
    assert peers.incarnation("a") == 0
    peers.up("a", 1)
    assert peers.incarnation("a") == 1
    peers.up("a", 3)
    peers.down("a", 2)  # of the one before
    assert peers.incarnation("a") == 3
    peers.down("a", 3)
    assert peers.incarnation("a") == 0
    peers.down("a", 3)
    peers.down("unknown", 1)
    assert peers.incarnation("a") == 0


def test_wait_for_returns_at_once_when_it_is_up_and_when_no_time_is_given() -> None:
    peers = Peers()
    peers.up("a", 3)
    begin = time.monotonic()
    assert peers.wait_for("a", 2, 30)
    assert peers.wait_for("a", 3, 30)
    assert not peers.wait_for("a", 4, 0)
    assert not peers.wait_for("b", 1, 0.01)
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize("noise", [False, True])
def test_wait_for_wakes_when_it_comes_up(noise: bool) -> None:
    peers = Peers()
    waiting = threading.Event()
    answers: list[bool] = []

    def wait() -> None:
        waiting.set()
        answers.append(peers.wait_for("a", 2, 30))

    thread = threading.Thread(target=wait)
    begin = time.monotonic()
    thread.start()
    try:
        assert waiting.wait(10)
        if noise:
            peers.up("b", 9)
            peers.up("a", 1)
            peers.down("a", 1)
    finally:
        peers.up("a", 5)
        thread.join(30)
    assert answers == [True]
    assert time.monotonic() - begin < 10


def test_giving_up_ends_all_waiting_and_keeps_what_is_up() -> None:
    peers = Peers()
    peers.up("a", 1)
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(peers.wait_for("a", 2, 30)))
    begin = time.monotonic()
    thread.start()
    time.sleep(0.05)
    peers.give_up()
    thread.join(30)
    assert answers == [False]
    assert not peers.wait_for("b", 1, 30)
    assert peers.wait_for("a", 1, 30)
    assert time.monotonic() - begin < 10


def test_threads_have_an_outbox_each(context: Context, short_tmp: Path, peers: Peers) -> None:
    inbox = Inbox(Transport(context, short_tmp, CODEC), "b")

    def work(number: int) -> None:
        outbox = Outbox(Transport(context, short_tmp, CODEC), peers)
        for seq in range(100):
            assert outbox.send("b", Rendered(f"cam{number}", seq))
        outbox.close(5000)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    messages = receive(inbox, 300)
    for thread in threads:
        thread.join()
    assert len(messages) == 300
    for number in range(3):
        mine = [m.seq for m in messages if isinstance(m, Rendered) and m.stream == f"cam{number}"]
        assert mine == list(range(100))
