"""The newcomer's first command: the package's scene and models, from an empty folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from actors.config.packaged import TOPOLOGY
from tools import evaluate
from tools.run_harness import ROOT


def _launch(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "actors.launch", *arguments],
        cwd=folder,
        env={**os.environ, "XDG_RUNTIME_DIR": str(folder), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
def test_launch_alone_shows_the_scene_and_what_the_models_see(short_tmp: Path) -> None:
    options = ["--set", "results.bind=tcp://127.0.0.1:*", "--set", "results.jsonl=found.jsonl"]
    done = _launch(short_tmp, "topology.toml", "--frames", "30", *options)
    assert done.returncode == 0, done.stderr
    assert f"there is no topology.toml here; this is the demo of {TOPOLOGY}" in done.stderr
    assert "30 frames" in done.stderr
    *records, end = map(json.loads, (short_tmp / "found.jsonl").read_text().splitlines())
    assert [record["seq"] for record in records] == list(range(30))
    assert end["frames"] == 30
    found = {(d["stage"], d["label"]) for record in records for d in record["detections"]}
    assert {stage for stage, _ in found} == {"large", "small"}
    assert {label for _, label in found} >= {"person", "car"}


@pytest.mark.slow
def test_they_find_nearly_all_in_a_scene_that_they_never_saw(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Both together at the default confidence; the models' card has the figures of many scenes."""
    arguments = ["--truth", "synthetic", "--frames", "12", "--set", "streams.cam0.seed=99"]
    code = evaluate.main([str(TOPOLOGY), *arguments, "--thresholds", "0.25", "--json"])
    outcome = json.loads(capsys.readouterr().out)
    assert code == 0
    (variant,) = outcome["variants"]
    (level,) = variant["thresholds"]
    assert level["recall"] > 0.9
    assert level["precision"] > 0.9
