"""Run on the board: what our runtime and the vendor's package answer to what cannot work.

    python3 -m tests.tools.board.refusals FOLDER

prints one JSON object, case by case the sentence of the ComputeError ("" where there was none).
RKNN_EMULATED must name the NPU's folder.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from actors.runtimes.contract import ComputeError, Runtime, RuntimeSpec
from actors.runtimes.registry import inspect, open_runtime
from tools.board.model import Model, encode
from tools.board.npu import Npu

SMALL = (96, 64)


def opened(path: Path, core: int = 0) -> Runtime:
    return open_runtime(RuntimeSpec(kind="rknn", path=str(path), size=SMALL, core=core))


def sentence(action: Any) -> str:
    """What `action` is refused with."""
    try:
        action()
    except ComputeError as error:
        return str(error)
    return ""


def main() -> None:
    folder, npu = Path(sys.argv[1]), Npu(Path(os.environ["RKNN_EMULATED"]))
    good = folder / "good.rknn"
    good.write_bytes(encode(Model(SMALL, 2, 1.0)))
    files = {
        "batch": Model(SMALL, 2, 1.0, batch=3),
        "rk3566": Model(SMALL, 2, 1.0, chip="rk3566"),
    }
    answers: dict[str, str] = {}
    for name, model in files.items():
        path = folder / f"{name}.rknn"
        path.write_bytes(encode(model))
        answers[name] = sentence(
            lambda path=path: opened(path) and inspect("rknn", str(path), SMALL)
        )
    cut = folder / "cut.rknn"
    cut.write_bytes(good.read_bytes()[:-100])
    answers["truncated"] = sentence(lambda: opened(cut))
    answers["core 3"] = sentence(lambda: opened(good, 3))
    scripts = {
        "no driver": "init return -1 failed to open rknpu module, need to insmod rknpu dirver!",
        "old library": "init return -6 rknn_init, Invalid RKNN model version 6!",
        "init -1": "init return -1",
        "mask": "set_core_mask return -5 core mask = 1 is invalid on rk3588",
        "first run": "run nth=1 return -1",
        "out of memory": "outputs_get nth=1 return -4",
    }
    for name, rule in scripts.items():
        npu.script(rule)
        answers[name] = sentence(lambda: opened(good))
    npu.script()
    runtime = opened(good, 2)
    npu.script("run nth=2 return -1")
    image = np.zeros((SMALL[1], SMALL[0], 3), np.uint8)
    for name in ("run 1", "run 2", "run 3"):
        answers[name] = sentence(lambda: runtime.run(image))
    runtime.close()
    runtime.close()
    npu.script()
    answers["library's masks"] = masks(good.read_bytes())
    answers |= package_alone(good, folder / "batch.rknn")
    # The library is looked for anew by each process.
    hidden = "mount --bind /dev/null /usr/lib/librknnrt.so && "
    child = f"{hidden} exec python3 -m tests.tools.board.refusals_child {good} 0"
    done = subprocess.run(["sh", "-c", child], capture_output=True, text=True, check=False)
    answers["broken library"] = done.stdout.strip() or done.stderr
    print(json.dumps(answers))


def masks(file: bytes) -> str:
    """The library's own codes, by mask."""
    library = ctypes.CDLL("/usr/lib/librknnrt.so")
    context = ctypes.c_uint64()
    assert library.rknn_init(ctypes.byref(context), file, len(file), 0, None) == 0
    tried = (*range(9), 0xFFFF)
    codes = {mask: library.rknn_set_core_mask(context, mask) for mask in tried}
    library.rknn_destroy(context)
    return ", ".join(f"{mask}: {code}" for mask, code in codes.items())


def package_alone(good: Path, batch: Path) -> dict[str, str]:
    """The vendor's package and the emulated library, without us: the code and what is logged."""
    from rknnlite.api import RKNNLite

    answers: dict[str, str] = {}
    stderr = os.dup(2)
    for name, path, mask in (
        ("mask 5", good, 5),
        ("mask 7", good, 7),
        ("batch on core 2", batch, RKNNLite.NPU_CORE_2),
    ):
        lite = RKNNLite()
        lite.load_rknn(str(path))
        with tempfile.TemporaryFile() as captured:
            os.dup2(captured.fileno(), 2)
            code = lite.init_runtime(core_mask=mask)
            os.dup2(stderr, 2)
            captured.seek(0)
            lines = captured.read().decode().splitlines()
        answers[name] = " | ".join([str(code), *(line for line in lines if "core mask" in line)])
        lite.release()
    return answers


if __name__ == "__main__":
    main()
