"""Whole runs over a small video of our own with the instant model: order, ends, files, views."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support import runs
from tools.run_harness import Harness

FRAMES = 40


@pytest.fixture
def video(scene_video: Path) -> Path:
    return scene_video


def _tiled(video: Path) -> str:
    return runs.stream(video) + runs.instant() + runs.stage("small", "tiles") + runs.workers(3)


def test_every_frame_once_in_order_then_the_end(video: Path) -> None:
    records, ends = runs.run(_tiled(video))
    assert runs.in_order_once(records["cam0"], FRAMES)
    assert ends == {"cam0": FRAMES}
    for record in records["cam0"]:
        assert record["v"] == 1
        assert record["run"] == "harness"
        assert record["source_frame"] == record["seq"]
        assert record["size"] == [1920, 1080]
        assert record["complete"] is True
        assert record["missing"] == []
        assert record["emulated"] is True
        assert record["captured_ns"] < record["published_ns"]
        scores = [detection["score"] for detection in record["detections"]]
        assert scores == sorted(scores, reverse=True)
        assert scores
        for detection in record["detections"]:
            x1, y1, x2, y2 = detection["box"]
            assert 0 <= x1 <= x2 <= 1920
            assert 0 <= y1 <= y2 <= 1080
            assert detection["label"] == ("even", "odd")[detection["class_id"]]
            assert detection["stage"] == "small"


def test_log_holds_the_same_records(video: Path, tmp_path: Path) -> None:
    log = tmp_path / "out.jsonl"
    with Harness(_tiled(video), "--set", f"results.jsonl={log}") as harness:
        records, _ = runs.collect(harness)
        assert harness.wait(20) == 0, harness.stderr
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines[:-1] == records["cam0"]
    assert lines[-1] == {"v": 1, "run": "harness", "stream": "cam0", "frames": FRAMES}


def test_video_has_every_frame_drawn_into(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    runs.run(_tiled(video), "--set", f"render.video={out}", "--set", "render.tiles=true")
    before, after = cv2.VideoCapture(str(video)), cv2.VideoCapture(str(out))
    count = 0
    while True:
        ok, drawn = after.read()
        if not ok:
            break
        _, plain = before.read()
        assert drawn.shape == plain.shape
        # Boxes and labels in strong colours: thousands of pixels differ widely, most do not.
        changed = (np.abs(drawn.astype(int) - plain).max(axis=2) > 60).mean()
        assert 0.001 < changed < 0.3
        count += 1
    assert count == FRAMES


def test_frames_option_ends_each_source(video: Path) -> None:
    records, ends = runs.run(_tiled(video), "--frames", "7")
    assert runs.in_order_once(records["cam0"], 7)
    assert ends == {"cam0": 7}


def test_looped_source_goes_on_with_the_first_frame(video: Path) -> None:
    looped = _tiled(video).replace("[models", "loop = true\n\n[models", 1)
    records, _ = runs.run(looped, "--frames", str(2 * FRAMES + 3))
    assert runs.in_order_once(records["cam0"], 2 * FRAMES + 3)
    positions = [record["source_frame"] for record in records["cam0"]]
    assert positions == [n % FRAMES for n in range(2 * FRAMES + 3)]
    first = runs.essence(records["cam0"])[:FRAMES]
    second = runs.essence(records["cam0"])[FRAMES : 2 * FRAMES]
    assert [r["detections"] for r in first] == [r["detections"] for r in second]


def test_realtime_pace_keeps_the_files_rate(video: Path) -> None:
    paced = _tiled(video).replace("[models", 'pace = "realtime"\n\n[models', 1)
    records, _ = runs.run(paced, "--frames", "31")
    times = [record["captured_ns"] for record in records["cam0"]]
    # 30 frames/s: a whole second for 30 intervals; slower only where the machine is too busy.
    assert times[-1] - times[0] >= 0.98e9


def test_two_streams_give_each_what_it_gives_alone(video: Path) -> None:
    alone, _ = runs.run(_tiled(video))
    both = runs.stream(video, "left") + runs.stream(video, "right")
    both += runs.instant() + runs.stage("small", "tiles") + runs.workers(3)
    records, ends = runs.run(both)
    assert ends == {"left": FRAMES, "right": FRAMES}
    assert runs.essence(records["left"]) == runs.essence(alone["cam0"])
    assert runs.essence(records["right"]) == runs.essence(alone["cam0"])


def test_images_of_many_sizes(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    sizes = [(640, 480), (100, 40), (1280, 720), (33, 700), (640, 480)]
    for number, (width, height) in enumerate(sizes):
        image = random.integers(0, 256, (height, width, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), image)
    topology = runs.stream(tmp_path) + runs.instant((320, 192)) + runs.workers(2)
    topology += runs.stage("large", "frame") + runs.stage("small", "tiles", overlap=0.1)
    records, _ = runs.run(topology)
    assert [tuple(record["size"]) for record in records["cam0"]] == sizes
    for record, (width, height) in zip(records["cam0"], sizes, strict=True):
        boxes = np.array([d["box"] for d in record["detections"]])
        assert boxes.min() >= 0
        assert boxes[:, [0, 2]].max() <= width
        assert boxes[:, [1, 3]].max() <= height


def test_unreadable_image_is_counted_and_passed_over(tmp_path: Path) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((80, 80, 3), 90 * number, np.uint8))
    (tmp_path / "1.png").write_bytes(b"\x89PNG no more")
    topology = runs.stream(tmp_path) + runs.instant() + runs.stage("s", "frame") + runs.workers(1)
    with Harness(topology) as harness:
        records, _ = runs.collect(harness)
        assert harness.wait(20) == 0, harness.stderr
        assert "1 unreadable" in harness.stderr
        assert "1.png" in harness.stderr
    assert [(r["seq"], r["source_frame"]) for r in records["cam0"]] == [(0, 0), (1, 2)]


def test_a_stage_on_condition_and_crops(video: Path) -> None:
    """Every frame has finds in `large`, so `again` runs like it and `close` looks at crops."""
    topology = runs.stream(video) + runs.instant() + runs.workers(2)
    topology += runs.stage("large", "frame")
    topology += runs.stage("again", "frame", condition="large")
    topology += runs.stage("close", "crops", source="large", max_crops=3)
    topology += runs.table("merge", threshold=1.0)
    records, ends = runs.run(topology, "--frames", "10")
    assert ends == {"cam0": 10}
    for record in records["cam0"]:
        by_stage: dict[str, list[list[float]]] = {}
        for detection in record["detections"]:
            by_stage.setdefault(detection["stage"], []).append(detection["box"])
        assert by_stage["close"]
        assert record["complete"]
