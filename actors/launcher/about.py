"""Which tritile this is and what it runs on, for messages and `status`."""

from __future__ import annotations

import os
from pathlib import Path

import actors
from actors.runtimes.npu_status import board_chip


def version() -> str:
    """As in "tritile 0.2.0", what `--version` prints."""
    return f"tritile {actors.__version__}"


def machine(root: Path = Path("/")) -> str:
    """The board's chip or the kind of machine: "RK3588 (aarch64)", "a PC (x86_64)".

    `root` is where `proc` lies.
    """
    architecture = os.uname().machine
    chip = board_chip(root)
    if chip is not None:
        return f"{chip} ({architecture})"
    kind = "a PC" if architecture in ("x86_64", "i686") else "a machine without a Rockchip NPU"
    return f"{kind} ({architecture})"
