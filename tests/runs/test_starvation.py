"""A machine that gives the actors no processor for a while: a slow actor is not hung."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from actors.client import End
from tests.support import runs
from tools.run_harness import Harness

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

FRAMES = 120
# Twice what a hang takes to be noticed.
PAUSE_S = 3.0


def _restarts(harness: Harness) -> dict[str, int]:
    return {actor["name"]: actor["restarts"] for actor in harness.status()["actors"]}


def test_pause_of_the_whole_machine_is_no_hang(scene_video: Path) -> None:
    """As a container that is paused, or a virtual machine: all stop, the supervisor wakes first."""
    records: list[runs.Record] = []
    paused = False
    with Harness(runs.cascade(scene_video), "--frames", str(FRAMES)) as harness:
        for message in runs.messages(harness):
            if isinstance(message, End):
                break
            records.append(message.raw)
            if message.seq == 30:
                assert harness.process is not None
                processes = [psutil.Process(harness.process.pid), *runs.processes_of(harness)]
                for process in processes:
                    process.send_signal(signal.SIGSTOP)
                time.sleep(PAUSE_S)
                for process in processes:
                    process.send_signal(signal.SIGCONT)
                paused = True
            if message.seq == 100:
                restarts = _restarts(harness)
        assert harness.wait(20) == 0, harness.stderr
    assert paused
    assert set(restarts.values()) == {0}, harness.stderr
    assert runs.in_order_once(records, FRAMES)
    assert all(record["complete"] for record in records)


def test_an_image_that_takes_long_to_decode_is_no_hang(tmp_path: Path) -> None:
    """81 megapixels of noise, progressive: 2.7 s where it was measured."""
    noise = np.random.default_rng(1).integers(0, 255, (9000, 9000, 3), np.uint8)
    options = [cv2.IMWRITE_JPEG_QUALITY, 100, cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    cv2.imwrite(str(tmp_path / "huge.jpg"), noise, options)
    topology = runs.stream(tmp_path, slots=2) + runs.instant() + runs.stage("large", "frame")
    with Harness(topology + runs.workers(1)) as harness:
        records, ends = runs.collect(harness)
        assert harness.wait(20) == 0, harness.stderr
        assert "hung" not in harness.stderr
    assert ends == {"cam0": 1}
    assert runs.in_order_once(records["cam0"], 1)
