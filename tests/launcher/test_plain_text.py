"""Names of files are plain text in all that `launch` prints: escape sequences do not reach it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support import runs
from tools.run_harness import ROOT

ESCAPE = "\x1b[31m"


def test_escape_sequences_in_names_are_shown_and_not_obeyed(
    short_tmp: Path, scene_video: Path
) -> None:
    video = short_tmp / f"a{ESCAPE}.mp4"
    shutil.copy(scene_video, video)
    tables = (runs.stream(video), runs.instant(), runs.stage("s", "frame"))
    workers = runs.workers(1) + runs.table("workers.other", core=0, models=["m"])
    path = short_tmp / f"t{ESCAPE}.toml"
    path.write_text("".join(tables) + workers + '[results]\nbind = "tcp://127.0.0.1:*"\n')
    outputs = ""
    # A plan with a warning, a topology with an error, a run.
    for options, code in (("--check",), 0), (("--set", "streams.cam0.loop=1"), 2), ((), 0):
        done = subprocess.run(
            [sys.executable, "-m", "actors.launch", str(path), *options],
            cwd=ROOT,
            env={**os.environ, "XDG_RUNTIME_DIR": str(short_tmp)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stderr
        outputs += done.stdout + done.stderr
    assert "\x1b" not in outputs
    assert "a\\x1b[31m.mp4" in outputs
    assert "t\\x1b[31m.toml: warning: " in outputs
    assert "t\\x1b[31m.toml: streams.cam0.loop: " in outputs
