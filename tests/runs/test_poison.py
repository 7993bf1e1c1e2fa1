"""An input on which a runtime fails, hangs or crashes: given up after the second time, and said."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import cv2
import numpy as np
import pytest

from actors.client import End
from tests.support import runs
from tests.support.poison_runtime import ABSENT_CORE, POISON, TROUBLES
from tools.run_harness import Harness, pids

FRAMES, BAD = 30, 5
# A hang is noticed in 2 s and comes twice.
LONGEST_GAP_S = 20.0
SIZE = (128, 96)


def _images(folder: Path, trouble: str, bad: tuple[int, ...] = (BAD,)) -> None:
    """Images of four tiles of 64x64; the last tile of the bad ones, at (64, 32), is poison."""
    random = np.random.default_rng(0)
    for number in range(FRAMES):
        image = random.integers(0, 200, (SIZE[1], SIZE[0], 3), np.uint8)
        if number in bad:
            # The model gets RGB, the image is BGR.
            rgb = [*POISON, TROUBLES[trouble], 0, 0]
            image[32, 64:67] = np.array(rgb, np.uint8).reshape(3, 3)[:, ::-1]
        cv2.imwrite(str(folder / f"{number:02}.png"), image)


@pytest.mark.slow
@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("workers", [1, 3])
def test_poisoned_tile_is_given_up_and_named(trouble: str, workers: int, tmp_path: Path) -> None:
    _images(tmp_path, trouble)
    topology = (
        # A second or so is left to ask for the status when the bad frame is out.
        runs.stream(tmp_path, loop=True, pace="realtime")
        + runs.poison((64, 64))
        + runs.stage("small", "tiles")
        + runs.workers(workers)
    )
    records: list[runs.Record] = []
    with Harness(topology, "--frames", str(FRAMES + 3)) as harness:
        for message in runs.messages(harness, LONGEST_GAP_S):
            if isinstance(message, End):
                break
            records.append(message.raw)
            if message.seq == BAD:
                status = harness.status()
                events = harness.ask(do="events", after=0)["events"]
        assert harness.wait(20) == 0, harness.stderr
    assert runs.in_order_once(records, FRAMES + 3)
    for record in records:
        assert record["complete"] == (record["seq"] != BAD)
        if record["seq"] == BAD:
            (missing,) = record["missing"]
            assert (missing["stage"], missing["tile"]) == ("small", 3)
            assert missing["reason"]
            assert record["detections"], "the other tiles' detections are there"
        else:
            assert record["missing"] == []
    assert status["streams"][0]["incomplete"] <= 1
    given_up = [event["text"] for event in events if event["kind"] == "given_up"]
    assert len(given_up) == 1
    assert "small/3" in given_up[0]
    if trouble != "error":
        deaths = [e for e in events if e["kind"] in ("ended", "hung") and e["actor"] != "tiler"]
        assert len(deaths) == 2
        assert any(actor["last_error"] for actor in status["actors"] if actor["role"] == "worker")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_poison_in_a_row_ends_no_worker(workers: int, tmp_path: Path) -> None:
    """Neighbouring frames look alike: the workers' deaths count against the tiles, not them."""
    bad = (3, 4, 5, 6, 7)
    _images(tmp_path, "crash", bad)
    topology = (
        runs.stream(tmp_path)
        + runs.poison((64, 64))
        + runs.stage("large", "frame")
        + runs.stage("small", "tiles")
        + runs.workers(workers)
    )
    records, ends = runs.run(topology)
    assert ends == {"cam0": FRAMES}
    assert runs.in_order_once(records["cam0"], FRAMES)
    incomplete = [r["seq"] for r in records["cam0"] if not r["complete"]]
    assert incomplete == list(bad)


@pytest.mark.slow
def test_others_carry_on_when_a_core_is_gone(scene_video: Path) -> None:
    """A worker that cannot start is given up; the rest run its models, and status says degraded."""
    topology = (
        runs.stream(scene_video, loop=True, pace="realtime")
        + runs.poison((640, 640))
        + runs.stage("small", "tiles")
        + runs.workers(2)
        + runs.table("workers.npu2", core=ABSENT_CORE, models=["m"])
    )
    with Harness(topology, "--set", "results.wait_for_subscriber=false") as harness:
        runs.wait_for(lambda: harness.status()["degraded"], 30)
        status = harness.status()
        states = {actor["name"]: actor["state"] for actor in status["actors"]}
        assert states["npu2"] == "failed"
        assert states["npu0"] == states["npu1"] == "running"
        error = next(a["last_error"] for a in status["actors"] if a["name"] == "npu2")
        assert f"core {ABSENT_CORE} does not answer" in error
        published = status["streams"][0]["published"]
        runs.wait_for(lambda: harness.status()["streams"][0]["published"] > published + 20)
        # Another chance, which it does not use: the answer says why.
        with pytest.raises(Exception, match="npu2 did not come back"):
            harness.ask(do="restart", actors=["npu2"], kill=False)
        assert harness.status()["streams"][0]["incomplete"] == 0


@pytest.mark.slow
def test_full_disk_breaks_the_output_not_the_run(scene_video: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands in for the end of the disk."""
    video, log = tmp_path / "out.mp4", tmp_path / "out.jsonl"
    topology = runs.stream(scene_video) + runs.instant() + runs.stage("s", "frame")
    topology += runs.workers(1)
    options = ("--set", f"render.video={video}", "--set", f"results.jsonl={log}")
    with Harness(topology, *options) as harness:
        processes = pids(harness.wait_until_running())
        resource.prlimit(processes["renderer"], resource.RLIMIT_FSIZE, (600_000, 600_000))
        resource.prlimit(processes["merger"], resource.RLIMIT_FSIZE, (10_000, 10_000))
        records, ends = runs.collect(harness)
        assert harness.wait(20) == 1, harness.stderr
        *_, last = lines = harness.stderr.splitlines()
    assert runs.in_order_once(records["cam0"], 40)
    assert ends == {"cam0": 40}
    assert last == (
        "launch: error: an output is incomplete, as said above; free space or give another file, "
        "then run again with --overwrite"
    )
    assert len([line for line in lines[-6:] if "File too large" in line]) == 2, lines
    # What was written before can be used, and the summary says how far.
    whole = [json.loads(line) for line in log.read_text().splitlines()]
    assert 0 < len(whole) < 40
    end = f"launch: records in {log}: incomplete, good up to frame {whole[-1]['seq']} of cam0"
    assert end in lines, lines
    assert cv2.VideoCapture(str(video)).read()[0]
