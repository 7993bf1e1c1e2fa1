"""Load, clock and temperature of a Rockchip board's NPU, where the kernel offers them.

The vendor documents none of these files; their forms are those that users of boards have shown. The
load is in debugfs, which only root may read. What cannot be read is None.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_LOAD = "sys/kernel/debug/rknpu/load"
# As in fdab0000.npu on an RK3588; the address is another on each chip.
_CLOCKS = "sys/class/devfreq/*.npu"
_ZONES = "sys/class/thermal/thermal_zone*"


@dataclass(frozen=True)
class Npu:
    """Its state at one time."""

    load: tuple[float, ...] | None
    """Share of its time that each core computed over the last second, by the driver."""
    mhz: int | None
    highest_mhz: int | None
    """What the clock can be set to."""
    celsius: float | None

    def __str__(self) -> str:
        """All that is known, in words; empty where nothing is."""
        parts = []
        if self.load is not None:
            parts.append("load by the driver " + " ".join(f"{share:.0%}" for share in self.load))
        if self.mhz is not None:
            highest = "" if self.highest_mhz is None else f" of {self.highest_mhz}"
            parts.append(f"{self.mhz}{highest} MHz")
        if self.celsius is not None:
            parts.append(f"{self.celsius:.0f} °C")
        return ", ".join(parts)

    def slowed(self) -> str | None:
        """Why it computes slower than it could, in words; None where it does not."""
        if self.mhz is None or self.highest_mhz is None or self.mhz >= self.highest_mhz:
            return None
        heat = "" if self.celsius is None else f" at {self.celsius:.0f} °C"
        return f"its clock is at {self.mhz} of {self.highest_mhz} MHz{heat}"


def inspect_npu(root: Path = Path("/")) -> Npu:
    """The NPU now. `root` is where `sys` lies."""
    clock = next(iter(sorted(root.glob(_CLOCKS))), root / "none")
    steps = _read(clock / "available_frequencies", lambda text: max(map(int, text.split())))
    return Npu(
        load=_read(root / _LOAD, _loads),
        mhz=_read(clock / "cur_freq", _mhz),
        highest_mhz=None if steps is None else steps // 1_000_000,
        celsius=_celsius(root),
    )


def _read(path: Path, parse: Callable[[str], T]) -> T | None:
    try:
        return parse(path.read_text())
    except (OSError, ValueError):
        return None


def _mhz(text: str) -> int:
    return int(text) // 1_000_000


def _loads(text: str) -> tuple[float, ...]:
    """Of "NPU load:  Core0: 21%, Core1: 11%, Core2:  0%," or, with one core, "NPU load:  0%".

    A core that hangs has been seen to show 429496 %.
    """
    found = re.findall(r"(\d+)\s*%", text)
    if not found:
        raise ValueError(text)
    return tuple(min(int(percent), 100) / 100 for percent in found)


def _celsius(root: Path) -> float | None:
    """Of the zone that has the NPU in its name, else of the whole chip's."""
    zones = {}
    for zone in sorted(root.glob(_ZONES)):
        name = _read(zone / "type", str.strip)
        if name is not None:
            zones[name] = zone
    for wanted in ("npu", "soc"):
        for name, zone in zones.items():
            if wanted in name:
                return _read(zone / "temp", lambda text: int(text) / 1000)
    return None


def on_board(root: Path = Path("/")) -> bool:
    """Whether this is a board of Rockchip's, by the device tree."""
    return board_chip(root) is not None


def board_chip(root: Path = Path("/")) -> str | None:
    """The board's chip by the device tree, as in "RK3588"; None where this is not such a board."""
    names = _read(root / "proc/device-tree/compatible", str)
    # As in "rockchip,rk3588s-orangepi-5", "rockchip,rk3588": the last is the most general.
    found = re.findall(r"rockchip,(rk3\w+)", names or "")
    return found[-1].upper() if found else None
