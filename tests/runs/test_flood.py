"""Random and mutated messages sent to every socket: counted, and without any other effect.

TRITILE_FLOOD is how many; a million were sent once.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
import zmq

from actors.dataflow.messages import CODEC, Answer, Finished, Job, Published
from actors.system.codec import Message
from actors.system.messages import Down, Drain, Stop
from tests.support import runs
from tools.run_harness import Harness

COUNT = int(os.environ.get("TRITILE_FLOOD", "20000"))

GENUINE: tuple[Message, ...] = (
    Stop(),
    Drain(),
    Down("npu0", 9, "crash", (1, 2)),
    Published("cam0", 3),
    Finished("npu0", (1 << 32) + 5, "", b""),
    Answer("cam0", 4, 0, 1, bytes(32)),
    Job(1, "cam0", 1, 0, 0, 0, 1, (0, 0, 64, 64, 0, 0, 64, 64), 1920, 1080, 1, 0, False),
)


def _junk(source: random.Random) -> bytes:
    """Noise, a message of another run, or one with a few bytes changed."""
    if source.random() < 0.3:
        return source.randbytes(source.choice((0, 1, 8, 60, 3000)))
    data = bytearray(source.randbytes(8) + CODEC.encode(source.choice(GENUINE)))
    for _ in range(source.choice((0, 0, 1, 3))):
        data[source.randrange(len(data))] = source.randrange(256)
    return bytes(data)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_flood(scene_video: Path) -> None:
    topology = runs.stream(scene_video, loop=True) + runs.instant()
    topology += runs.stage("small", "tiles") + runs.workers(2)
    names = ["cam0", "tiler", "npu0", "npu1", "merger", "supervisor"]
    source = random.Random(5)
    sent = dict.fromkeys([*names, "control", "results"], 0)
    with Harness(topology, "--set", "results.wait_for_subscriber=false") as harness:
        before = harness.wait_until_running()
        with zmq.Context() as context:
            sockets = {}
            for name in names:
                sockets[name] = context.socket(zmq.PUSH)
                sockets[name].connect(f"ipc://{harness.run_directory}/{name}")
            sockets["control"] = context.socket(zmq.DEALER)
            sockets["control"].connect(f"ipc://{harness.run_directory}/control")
            # An XPUB reads what subscribers send: here it is noise.
            sockets["results"] = context.socket(zmq.XSUB)
            sockets["results"].sndhwm = 0  # it would drop what does not fit
            sockets["results"].connect(harness.endpoint)
            for _ in range(COUNT):
                name, junk = source.choice(list(sockets)), _junk(source)
                sockets[name].send(junk)
                # What begins with 0 or 1 is a subscription, whatever its topic.
                sent[name] += name != "results" or junk[:1] not in (b"\0", b"\1")
            sent["merger"] += sent.pop("results")
            counted = _counted(harness)
            runs.wait_for(
                lambda: all(_counted(harness)[name] >= sent[name] for name in names[:-1]),
                60,
                f"{sent} {counted}",
            )
            runs.wait_for(
                lambda: harness.status()["malformed"] >= sent["supervisor"] + sent["control"], 60
            )
            context.destroy(linger=0)
        after = harness.status()
        assert [a["pid"] for a in after["actors"]] == [a["pid"] for a in before["actors"]]
        assert all(actor["state"] == "running" for actor in after["actors"])
        published = after["streams"][0]["published"]
        runs.wait_for(lambda: harness.status()["streams"][0]["published"] > published + 50)
        assert harness.status()["streams"][0]["incomplete"] == 0
        for name in names[:-1]:
            assert _counted(harness)[name] == sent[name]


def test_what_is_not_a_subscription_is_counted_and_what_is_oversized_cut_off(
    scene_video: Path,
) -> None:
    """100 kB to the results' port are counted as invalid; 300 MB end their connection."""
    topology = runs.stream(scene_video, loop=True) + runs.instant()
    topology += runs.stage("small", "tiles") + runs.workers(1)
    with Harness(topology, "--set", "results.wait_for_subscriber=false") as harness:
        before = _merger(harness.wait_until_running())
        with zmq.Context() as context:
            socket = context.socket(zmq.XSUB)
            closed = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            socket.connect(harness.endpoint)
            for _ in range(3):
                socket.send(b"\2" + bytes(100_000))
            runs.wait_for(lambda: _counted(harness)["merger"] == before["malformed"] + 3)
            socket.send(b"\2" + bytes(300_000_000))
            assert closed.poll(20_000), "it was taken"
            context.destroy(linger=0)
        after = _merger(harness.status())
        assert after["pid"] == before["pid"]
        assert after["rss_mb"] < before["rss_mb"] + 100


def _merger(status: dict[str, Any]) -> dict[str, Any]:
    merger: dict[str, Any] = next(a for a in status["actors"] if a["name"] == "merger")
    return merger


def _counted(harness: Harness) -> dict[str, int]:
    return {actor["name"]: actor["malformed"] for actor in harness.status()["actors"]}
