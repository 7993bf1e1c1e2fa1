"""Which version runs, and on what."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import actors
from actors.launcher import about
from tools.run_harness import ROOT


@pytest.mark.parametrize("command", ["launch", "actorctl"])
def test_each_command_has_a_version(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"actors.{command}", "--version"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == f"tritile {actors.__version__}\n"


def test_the_version_is_the_installed_packages_or_says_that_it_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from importlib import metadata

    monkeypatch.setattr(metadata, "version", lambda name: "7.8.9")
    assert actors.__version__ == "7.8.9"

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert actors.__version__ == "0+unknown"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(actors, "nothing")  # noqa: B009


def test_the_declared_version_is_a_number() -> None:
    declared = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.M)
    assert declared is not None
    assert re.fullmatch(r"\d+(\.\d+)+\S*", declared[1])


def test_a_board_is_called_by_its_chip(tmp_path: Path) -> None:
    architecture = os.uname().machine
    assert f"({architecture})" in about.machine(tmp_path)
    names = tmp_path / "proc/device-tree/compatible"
    names.parent.mkdir(parents=True)
    names.write_bytes(b"rockchip,rk3588s-orangepi-5\0rockchip,rk3588\0")
    assert about.machine(tmp_path) == f"RK3588 ({architecture})"
    names.write_bytes(b"raspberrypi,4-model-b\0brcm,bcm2711\0")
    assert "RK" not in about.machine(tmp_path)
