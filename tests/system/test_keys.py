"""Results that need keys."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from actors.client import End, ResultError, Subscriber
from tests.support import runs
from tools.run_harness import ROOT, Harness


def make_keys(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.make_keys", str(folder), name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_only_who_has_keys_reads(scene_video: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    for name in ("laptop", "stranger"):
        assert make_keys(keys, name).returncode == 0
    assert (keys / "laptop" / "client.key_secret").stat().st_mode & 0o077 == 0
    again = make_keys(keys, "laptop")
    assert again.returncode == 2
    assert "is there already" in again.stderr
    (keys / "server" / "clients" / "stranger.key").unlink()

    topology = runs.stream(scene_video) + runs.instant() + runs.stage("s", "frame")
    topology += runs.workers(1)
    options = ("--set", f"results.curve={keys / 'server'}", "--set", "results.bind=tcp://0.0.0.0:*")
    with Harness(topology, *options) as harness:
        address = harness.wait_until_running()["results"].replace("0.0.0.0", "127.0.0.1")
        for wrong in (None, keys / "stranger"):
            outsider = Subscriber(address, timeout=2, keys=wrong)
            with outsider, pytest.raises(TimeoutError, match="the publisher refused "):
                next(outsider)
        with Subscriber(address, timeout=30, keys=keys / "laptop") as subscriber:
            messages = list(subscriber)
        assert harness.wait(20) == 0, harness.stderr
    assert isinstance(messages[-1], End)
    assert len(messages) == 41


def test_broken_keys_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "client.key_secret").write_text("nothing")
    with pytest.raises(ResultError, match="is not a key file"):
        Subscriber("tcp://127.0.0.1:1", keys=tmp_path)
