"""The NPU of a Rockchip board, through the vendor's rknn-toolkit-lite2.

A RknnRuntime is one context of the vendor's library, on one core, in the thread that made it: two
or three of them share a core, so that it computes for one while another converts. The tile's pixels
go in as they are in their slot (uint8, NHWC), the outputs come back as float32 in memory that the
next run overwrites.

The vendor's package reports failures in three ways: None, -1 or an exception, after writing the
reason on the terminal. Here each becomes a ComputeError with that reason and what to do about it.
A process may not be forked once it has made a context (before that it may), and the package is
imported nowhere but here and where processes are forked that will use it.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module, metadata
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.runtimes.contract import ComputeError, RuntimeSpec, Tensor
from actors.runtimes.rknn_file import CHIP_CORES, read
from actors.runtimes.vendor_log import VendorLog

_COMPATIBLE = Path("/proc/device-tree/compatible")
_PACKAGE = "rknn-toolkit-lite2"

_loading = threading.Lock()
_logged_versions: set[str] = set()


class RknnRuntime:
    """One context. Its `span` is the call of rknn_run, in which it may also wait for the core."""

    def __init__(self, spec: RuntimeSpec) -> None:
        self.span = (0, 0)
        self._code = 0
        self._file = read(spec.path)
        self._chip = board_chip()
        if not self._file.runs_on(self._chip):
            raise ComputeError(
                f"it was converted for {' or '.join(self._file.chips)} and this is "
                f"{self._chip}; convert it for {self._chip}"
            )
        mask = core_mask(self._chip, spec.core)
        self._log = VendorLog()
        self._lite: Any = None
        self._options: dict[str, Any] = {}
        # One at a time: what is written on the terminal meanwhile belongs to this context.
        with _loading:
            package = _package()
            try:
                with self._log:
                    self._open(package, spec.path, mask)
            except _RefusedError as refused:
                self.close()
                raise self._log.failure(str(refused), refused.cause) from None
        self._log_versions()
        width, height = self._file.size
        self._probe(np.zeros((height, width, 3), np.uint8), spec.core)

    def _open(self, package: Any, path: str, mask: int | None) -> None:
        self._lite = package.RKNNLite()
        self._log.attach()
        # From 2.5 on. Fresh arrays cost page faults: 11.8 ms a call, reused 10.9 (emulated).
        # The package leaves 36 objects in cycles behind each call; Python's collector frees them
        # every 20 calls or so, without growth (2.5.0), and needs no help.
        if "reuse_outputs" in signature(package.RKNNLite.inference).parameters:
            self._options["reuse_outputs"] = True
        chosen = {} if mask is None else {"core_mask": mask}
        steps: dict[str, Callable[[], Any]] = {
            "cannot load the model": partial(self._lite.load_rknn, path),
            "cannot start a context": partial(self._lite.init_runtime, **chosen),
        }
        for what, step in steps.items():
            try:
                code = step()
            except Exception as error:
                raise _RefusedError(what, error) from None
            if code != 0:
                raise _RefusedError(what, None)
        # A copy of the whole file, which is not read any more.
        self._lite.rknn_data = None
        inner = self._lite.rknn_runtime
        inner.run = partial(self._watch, inner.run)

    def _log_versions(self) -> None:
        """Log the versions in use, once a process and model."""
        versions = [f"{_PACKAGE} {metadata.version(_PACKAGE)}", *self._log.versions]
        line = f"{self._chip}: {', '.join(versions)}; model made by toolkit {self._file.toolkit}"
        if line not in _logged_versions:
            _logged_versions.add(line)
            logging.getLogger().info(line)

    def _probe(self, image: npt.NDArray[np.uint8], core: int) -> None:
        """One inference, so that a core that does not work is found before its first tile."""
        try:
            shapes = [output.shape for output in self.run(image)]
        except ComputeError as error:
            self.close()
            raise ComputeError(f"core {core} fails its first inference: {error}") from None
        promised = list(self._file.outputs.values())
        if shapes != promised:
            self.close()
            raise ComputeError(
                f"it gives outputs {shapes} where its header promises {promised}; convert it again "
                "with the toolkit of librknnrt.so's version"
            )

    def run(self, tile: npt.NDArray[np.uint8]) -> Sequence[Tensor]:
        """One inference, see `Runtime.run`."""
        self._log.clear()
        try:
            outputs = self._lite.inference(inputs=[tile[np.newaxis]], **self._options)
        except Exception as error:
            raise self._log.failure("the NPU failed", error) from None
        if self._code != 0:
            raise self._log.failure(f"the NPU failed: rknn_run returned {self._code}")
        if outputs is None:
            raise self._log.failure("the NPU failed")
        found: list[Tensor] = outputs
        return found

    def _watch(self, run: Callable[..., Any], *arguments: Any) -> Any:
        """The package's own call of rknn_run, with its time and its code noted.

        The package ignores the code: when a run fails, it returns what the outputs' memory still
        holds, the detections of another tile.
        """
        begin = time.monotonic_ns()
        answer = run(*arguments)
        self.span = (begin, time.monotonic_ns())
        self._code = answer[0] if isinstance(answer, tuple) else answer
        return answer

    def close(self) -> None:
        """Release the context. May be called again."""
        lite, self._lite = self._lite, None
        self._log.detach()
        if lite is not None:
            lite.release()


class _RefusedError(Exception):
    """A call of the package's that failed while a context was made."""

    def __init__(self, what: str, cause: Exception | None) -> None:
        super().__init__(what)
        self.cause = cause


def board_chip() -> str:
    """The chip of this board, as in "rk3588"; ComputeError where there is none."""
    try:
        names = _COMPATIBLE.read_text(errors="replace").split("\0")
    except OSError:
        names = []
    # As in "rockchip,rk3588s-orangepi-5", "rockchip,rk3588": the last is the most general.
    for name in reversed(names):
        for chip in CHIP_CORES:
            if chip in name.lower():
                return chip
    raise ComputeError(
        "there is no Rockchip NPU here; run it on the board (in a container, map "
        f'{_COMPATIBLE} into it), or use the .onnx file or runtime = "emulated"'
    )


def core_mask(chip: str, core: int) -> int | None:
    """The vendor's mask for one core; None where the chip has one core and no mask may be set."""
    cores = CHIP_CORES[chip]
    if core >= cores:
        have = "one NPU core, 0" if cores == 1 else f"the NPU cores 0 to {cores - 1}"
        raise ComputeError(f"there is no core {core}: {chip} has {have}; correct the worker's core")
    return None if cores == 1 else 1 << core


def _package() -> Any:
    """The vendor's module; its log then goes where ours goes."""
    try:
        package = import_module("rknnlite.api")
    except ImportError as error:
        missing = re.match("No module named 'rknnlite", str(error))
        remedy = f"pip install {_PACKAGE} (Linux on aarch64, Python 3.7 to 3.12)"
        raise ComputeError(
            f"{_PACKAGE} is not installed; {remedy}"
            if missing
            else f"{_PACKAGE} cannot be imported ({error}); install it again: {remedy}"
        ) from None
    return package
