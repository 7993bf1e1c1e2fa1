"""Outputs of an earlier run are replaced only when that is asked for; the demo's always."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.config.packaged import TOPOLOGY
from actors.config.schema import Render, Results, Stream, Topology
from actors.launcher import output_files
from actors.launcher.errors import LaunchError
from actors.outputs.video_files import joined, part


def topology(folder: Path, *streams: str, file: Path | None = None) -> Topology:
    return Topology(
        file=file or folder / "topology.toml",
        streams={name: Stream(source="synthetic") for name in streams or ("cam0",)},
        models={},
        stages={},
        workers={},
        results=Results(jsonl=folder / "out.jsonl"),
        render=Render(video=folder / "out.mp4"),
    )


def places(of: Topology) -> list[tuple[str, str]]:
    return [(fault.place, fault.problem.split(" exists")[0]) for fault in output_files.existing(of)]


def test_what_holds_nothing_is_free(tmp_path: Path) -> None:
    assert places(topology(tmp_path)) == []
    (tmp_path / "out.jsonl").touch()
    (tmp_path / "out.mp4").touch()
    assert places(topology(tmp_path)) == []


def test_each_output_that_holds_something_is_a_fault(tmp_path: Path) -> None:
    log, video = tmp_path / "out.jsonl", tmp_path / "out-b.mp4"
    log.write_text("{}\n")
    video.write_text("video")
    found = places(topology(tmp_path, "a", "b"))
    assert found == [("results.jsonl", str(log)), ("render.video", str(video))]


def test_parts_that_an_earlier_run_left_count_too(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").touch()
    part(tmp_path / "out.mp4", 1).write_text("video")
    assert places(topology(tmp_path)) == [("render.video", str(tmp_path / "out.mp4"))]


def test_the_demo_replaces_what_it_wrote(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text("{}\n")
    assert places(topology(tmp_path, file=TOPOLOGY)) == []


def test_clearing_leaves_nothing_of_an_earlier_run(tmp_path: Path) -> None:
    log, video = tmp_path / "out.jsonl", tmp_path / "out.mp4"
    for path in (log, video, part(video, 1), joined(video)):
        path.write_text("old")
    output_files.clear(topology(tmp_path))
    assert log.read_text() == ""
    assert list(tmp_path.iterdir()) == [log]


def test_a_file_that_cannot_be_replaced_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").mkdir()
    with pytest.raises(LaunchError, match=r"out\.mp4 cannot be replaced: .*; give another file"):
        output_files.clear(topology(tmp_path))
