"""The vendor's runtime as far as it can be looked at without a board; tests/board has the rest."""

from __future__ import annotations

import logging
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from actors.runtimes import rknn, vendor_log
from actors.runtimes.contract import ComputeError, RuntimeSpec
from actors.runtimes.registry import open_runtime, preloaded
from actors.runtimes.rknn import board_chip, core_mask
from actors.runtimes.vendor_log import VendorLog
from tools.board.model import Model, write


@pytest.mark.parametrize(
    ("chip", "core", "mask"),
    [
        ("rk3588", 0, 1),
        ("rk3588", 1, 2),
        ("rk3588", 2, 4),
        ("rk3576", 0, 1),
        ("rk3576", 1, 2),
        ("rk3566", 0, None),
        ("rk3568", 0, None),
        (
            "rk3588",
            3,
            "there is no core 3: rk3588 has the NPU cores 0 to 2; correct the worker's core",
        ),
        ("rk3568", 1, "there is no core 1: rk3568 has one NPU core, 0; correct the worker's core"),
    ],
)
def test_masks(chip: str, core: int, mask: int | str | None) -> None:
    if isinstance(mask, str):
        with pytest.raises(ComputeError) as caught:
            core_mask(chip, core)
        assert str(caught.value) == mask
    else:
        assert core_mask(chip, core) == mask


@pytest.mark.parametrize(
    ("compatible", "chip"),
    [
        (b"radxa,rock-5b\0rockchip,rk3588\0", "rk3588"),
        (b"rockchip,rk3588s-orangepi-5\0rockchip,rk3588\0", "rk3588"),
        (b"xunlong,orangepi-5\0rockchip,rk3588s\0", "rk3588"),
        (b"radxa,zero3\0rockchip,rk3566\0", "rk3566"),
        (b"raspberrypi,4-model-b\0brcm,bcm2711\0", None),
        (b"", None),
        (None, None),
    ],
)
def test_the_board_is_recognised(
    compatible: bytes | None, chip: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "compatible"
    if compatible is not None:
        path.write_bytes(compatible)
    monkeypatch.setattr(rknn, "_COMPATIBLE", path)
    if chip is None:
        with pytest.raises(ComputeError, match=r"^there is no Rockchip NPU here; run it on"):
            board_chip()
    else:
        assert board_chip() == chip


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("rknnlite"):
        pytest.skip("it is installed here")
    (tmp_path / "compatible").write_bytes(b"rockchip,rk3588\0")
    monkeypatch.setattr(rknn, "_COMPATIBLE", tmp_path / "compatible")
    write(tmp_path / "m.rknn", Model((96, 64), 2, 1.0))
    spec = RuntimeSpec(kind="rknn", path=str(tmp_path / "m.rknn"), size=(96, 64))
    with pytest.raises(
        ComputeError, match=r"^rknn-toolkit-lite2 is not installed; pip install rknn"
    ):
        open_runtime(spec)


def test_it_is_imported_beforehand_only_where_it_is() -> None:
    assert all(name in sys.modules or __import__(name) for name in preloaded(["rknn"]))


# ---- words

_DEVICE_GONE = (
    "the kernel's NPU driver does not answer: load or update it, and in a container map "
    "/nowhere/renderD129 into it"
)

SAID = {
    "driver": (
        "E RKNN: [12:00:01.123] failed to open rknpu module, need to insmod rknpu dirver!\n"
        "E Catch exception when init runtime!\n"
        "E Traceback (most recent call last):\n"
        '  File "rknnlite/api/rknn_runtime.py", line 1, in build_graph\n'
        "Exception: RKNN init failed. error code: RKNN_ERR_FAIL\n",
        "it failed: failed to open rknpu module, need to insmod rknpu dirver; ",
    ),
    "no library": (
        "E Catch exception when init runtime!\n"
        "E Traceback (most recent call last):\n"
        '  File "x.py", line 1, in _load_library\n'
        "Exception: Can not find dynamic library on RK3588!\n"
        "Please download the librknnrt.so from https://example.org and move it to /usr/lib/\n",
        "it failed: Can not find dynamic library on RK3588; put librknnrt.so ",
    ),
    "container": (
        "E Traceback (most recent call last):\nException: Please specify the target in "
        "init_runtime!\n",
        "it failed: Please specify the target in init_runtime; the board is not recognised: in a "
        "container, map /proc/device-tree/compatible into it",
    ),
    "version": (
        "E RKNN: [12:00:01.123] 6, 1\nE RKNN: [12:00:01.124] Invalid RKNN model version 6\n",
        "it failed: Invalid RKNN model version 6; librknnrt.so is older than the toolkit that made "
        "the model: ",
    ),
    "nothing": ("", "it failed; TRITILE_LOG=debug in the environment shows all that "),
}


@pytest.mark.parametrize("kind", SAID)
def test_words_become_a_sentence(
    kind: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(vendor_log, "_DEVICE", "/nowhere/renderD129")
    text, expected = SAID[kind]
    with VendorLog() as words:
        os.write(2, text.encode())
    sentence = str(words.failure("it failed"))
    assert sentence.startswith(expected)
    assert "\n" not in sentence
    assert capfd.readouterr().err == ""


def test_a_forbidden_device_names_the_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "renderD129"
    device.touch()
    monkeypatch.setattr(vendor_log, "_DEVICE", str(device))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with VendorLog() as words:
        os.write(2, SAID["driver"][0].encode())
    assert str(words.failure("it failed")).endswith(
        f"this user may not use {device}: add them to the groups render and video"
    )


def test_versions_are_kept_and_others_lines_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    with VendorLog() as words:
        os.write(1, b"I RKNN: [1:2] RKNN Runtime Information, librknnrt version: 2.3.2 (429f97)\n")
        os.write(2, b"npu0: a line of ours\n")
        os.write(2, b"I RKNN: [1:2] RKNN Driver Information, version: 0.9.8\n")
        os.write(2, b"W Query dynamic range failed. Ret code: RKNN_ERR_MODEL_INVALID.\n")
    assert words.versions == ["librknnrt 2.3.2", "driver 0.9.8"]
    assert capfd.readouterr() == ("", "npu0: a line of ours\n")


def test_the_packages_log_is_heard_by_the_thread_it_belongs_to(
    capfd: pytest.CaptureFixture[str],
) -> None:
    logger = logging.getLogger("acuityLogger")
    logger.addHandler(logging.StreamHandler(sys.stderr))
    one, other = VendorLog(), VendorLog()
    one.attach()
    other.attach()
    other._thread = -1
    logger.error("Catch exception when running RKNN model.")
    logger.error("Traceback\n  File x\nException: Inputs are invalid!\n")
    assert str(one.failure("it failed")).startswith("it failed: Inputs are invalid; ")
    assert str(one.failure("it failed")).startswith("it failed; ")
    assert str(other.failure("it failed")).startswith("it failed; ")
    assert capfd.readouterr().err == ""
    one.detach()
    other.detach()
