"""A board in a folder for the tests, and runs of `launch` on it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tools.board.board_harness import on_board
from tools.board.npu import Npu
from tools.board.userland import BoardError, build

_DEFAULT = Path.home() / ".cache" / "tritile-board"
_SECONDS = 400.0

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def board() -> Path:
    """The board's folder, built where TRITILE_BOARD says or in the user's cache.

    Skips where it cannot be built, saying what is missing; in CI that is a failure.
    """
    folder = Path(os.environ.get("TRITILE_BOARD") or _DEFAULT)
    try:
        build(folder)
    except BoardError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no board: {error}")
        pytest.skip(f"NO BOARD, its code is not tested: {error}")
    return folder


@pytest.fixture
def run_on_board(board: Path, short_tmp: Path) -> Run:
    """Runs a command on the board to its end, with an NPU of its own in `short_tmp`/npu."""

    def run(
        *command: str, chip: str = "rk3588", script: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        npu = Npu(short_tmp / "npu")
        npu.script(*script)
        return subprocess.run(
            [*on_board(board, *command, chip=chip)],
            cwd=Path(__file__).parents[3],
            env={**os.environ, "RKNN_EMULATED": str(npu.folder)},
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )

    return run
