"""A run of `launch` on the emulated board, under the same observation as one on this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ..run_harness import Harness
from .npu import Npu


def on_board(folder: Path, *command: str, chip: str = "rk3588") -> list[str]:
    """The command line that runs a command on the board."""
    inside = ["--chip", chip, str(folder), "--", *command]
    return [sys.executable, "-m", "tools.board", "run", *inside]


class BoardHarness(Harness):
    """As a Harness, on the board in `board`, with an NPU of its own."""

    def __init__(self, board: Path, topology: str | Path, *options: str) -> None:
        super().__init__(topology, *options)
        self.npu = Npu(self.folder / "npu")
        self.environment["RKNN_EMULATED"] = str(self.npu.folder)
        self._board = board.absolute()

    def __enter__(self) -> BoardHarness:
        launch = ("python3", "-m", "actors.launch", str(self.topology.absolute()), *self._options)
        with self.stderr_path.open("wb") as stderr:
            self.process = subprocess.Popen(
                on_board(self._board, *launch),
                cwd=self._directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
            )
        return self
