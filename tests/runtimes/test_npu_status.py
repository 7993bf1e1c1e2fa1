"""The NPU's load, clock and temperature, from files as boards have shown them."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.runtimes.npu_status import Npu, inspect_npu

RK3588 = {
    "sys/kernel/debug/rknpu/load": "NPU load:  Core0: 21%, Core1: 11%, Core2:  0%,\n",
    "sys/class/devfreq/fdab0000.npu/cur_freq": "600000000\n",
    "sys/class/devfreq/fdab0000.npu/available_frequencies": "300000000 600000000 1000000000\n",
    "sys/class/devfreq/fb000000.gpu/cur_freq": "200000000\n",
    "sys/class/thermal/thermal_zone0/type": "soc-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "51000\n",
    "sys/class/thermal/thermal_zone6/type": "npu-thermal\n",
    "sys/class/thermal/thermal_zone6/temp": "84538\n",
}


def _board(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_whole_board(tmp_path: Path) -> None:
    npu = inspect_npu(_board(tmp_path, RK3588))
    assert npu == Npu((0.21, 0.11, 0.0), 600, 1000, 84.538)
    assert npu.slowed() == "its clock is at 600 of 1000 MHz at 85 °C"
    assert str(npu) == "load by the driver 21% 11% 0%, 600 of 1000 MHz, 85 °C"


def test_no_board(tmp_path: Path) -> None:
    npu = inspect_npu(tmp_path)
    assert npu == Npu(None, None, None, None)
    assert npu.slowed() is None
    assert str(npu) == ""


@pytest.mark.parametrize(
    ("text", "load"),
    [
        ("NPU load:  0%\n", (0.0,)),
        ("NPU load:  Core0: 429496%, Core1: 7%, Core2: 100%,\n", (1.0, 0.07, 1.0)),
        ("", None),
        ("no such thing", None),
    ],
)
def test_loads(text: str, load: tuple[float, ...] | None, tmp_path: Path) -> None:
    assert inspect_npu(_board(tmp_path, {"sys/kernel/debug/rknpu/load": text})).load == load


def test_the_whole_chips_temperature_where_the_npu_has_none(tmp_path: Path) -> None:
    zones = {name: text for name, text in RK3588.items() if "zone0" in name}
    assert inspect_npu(_board(tmp_path, zones)).celsius == 51.0


def test_a_clock_without_its_steps_is_not_called_slow(tmp_path: Path) -> None:
    files = {name: text for name, text in RK3588.items() if "available" not in name}
    npu = inspect_npu(_board(tmp_path, files))
    assert (npu.mhz, npu.highest_mhz, npu.slowed()) == (600, None, None)
