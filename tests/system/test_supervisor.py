"""The supervisor with real processes: a fork server that is lost, restarts, a kill without effect.

What it decides is tested in test_supervision and test_supervision_histories.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT


def play(name: str, folder: Path) -> dict[str, Any]:
    """What a scenario printed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.system.supervisor_helper", name, str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


def levels(outcome: dict[str, Any], actor: str) -> list[tuple[str, str]]:
    """(kind, level) of an actor's events."""
    return [(e["kind"], e["level"]) for e in outcome["events"] if e["actor"] == actor]


def test_fork_server_that_is_killed_again_and_again_does_not_end_the_run(short_tmp: Path) -> None:
    outcome = play("killed_fork_server", short_tmp)
    assert outcome["failure"] is None
    assert outcome["incarnations"] == {"a": 2, "b": 1}
    assert levels(outcome, "supervisor") == [("ended", "warning")] * 8
    assert "was killed by SIGKILL; it is started again" in outcome["events"][-3]["text"]


def test_fork_server_that_cannot_start_ends_the_run_and_says_why(short_tmp: Path) -> None:
    outcome = play("broken_fork_server", short_tmp)
    assert outcome["failure"] == "cannot import fragile: it is broken"


def test_fork_server_that_does_not_answer_is_replaced(short_tmp: Path) -> None:
    outcome = play("stopped_fork_server", short_tmp)
    assert outcome["failure"] is None
    assert outcome["incarnations"]["a"] > 1
    assert levels(outcome, "supervisor") == [("ended", "warning")]


def test_restarts_on_request_are_no_warnings_and_no_errors(short_tmp: Path) -> None:
    outcome = play("restarts", short_tmp)
    assert outcome["answers"] == [
        {"ok": True},
        {"ok": True},
        {"error": "no actor named 'c'; there are a, b"},
        {"ok": True, "status": {"malformed": 0}},
    ]
    assert outcome["incarnations"] == {"a": 3, "b": 2}
    assert outcome["errors"] == {"a": None, "b": None}
    assert {event["level"] for event in outcome["events"]} == {"info"}
    assert [e["text"] for e in outcome["events"] if e["kind"] == "ended"] == [
        "killed by SIGKILL",
        "exited with code 0",
        "exited with code 0",
    ]


@pytest.mark.timeout(60)
def test_process_that_does_not_exit_when_killed_holds_up_a_stop_for_seconds_only(
    short_tmp: Path,
) -> None:
    outcome = play("outlived_kill", short_tmp)
    assert outcome["failure"] is None
    texts = [event["text"] for event in outcome["events"] if event["kind"] == "hung"]
    assert texts[-1].startswith(f"process {outcome['pid']} was killed and does not exit")
    assert outcome["seconds"] + outcome["closing"] < 30
