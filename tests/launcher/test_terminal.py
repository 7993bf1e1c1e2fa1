"""`launch` and `actorctl` on a real (pseudo) terminal, at several widths."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.support import runs, terminal
from tools.run_harness import ROOT


def test_the_screen_of_the_test_terminal() -> None:
    written = "one\r\ntwo\r\x1b[2K\x1b[1A\x1b[2Kthree\r\n" + "x" * 12 + "\r\nend"
    assert terminal.screen(written, 10) == ["three", "x" * 10, "xx", "end"]


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_the_live_table_leaves_its_last_state_and_nothing_else(
    width: int, short_tmp: Path, scene_video: Path
) -> None:
    """Names with markup and escapes; lines of the actors' logs come in between."""
    path = short_tmp / "topology.toml"
    path.write_text(
        runs.stream(scene_video, pace="realtime")
        + runs.table(
            "models.m", runtime="instant", size=[640, 640], labels=["[/b]", "\x1b[31mred", "[x]"]
        )
        + runs.stage("a-stage-of-a-long-name", "tiles")
        + runs.workers(1)
        + runs.table("results", bind="tcp://127.0.0.1:*")
    )
    code, written = terminal.run(
        [sys.executable, "-m", "actors.launch", str(path)],
        width,
        cwd=ROOT,
        env={**os.environ, "XDG_RUNTIME_DIR": str(short_tmp)},
    )
    lines = terminal.screen(written, width)
    text = "\n".join(lines)
    assert code == 0, text
    assert "Traceback" not in text
    assert "\x1b[31m" not in written
    assert len([line for line in lines if line.startswith("STREAM")]) == 1
    (heading,) = (line for line in lines if line.startswith("run topology:"))
    assert heading.startswith("run topology: ended after 0:0")
    table = lines[lines.index(heading) :]
    assert table[2].split()[:2] == ["cam0", "40/40"]
    assert "sees " in text
    (cores,) = (line for line in table if line.startswith("emulated cores busy: 0: "))
    (summary,) = (line for line in table if line.startswith("launch: cam0: 40 frames in "))
    assert table.index(cores) < table.index(summary)
