"""A stand-in for an NPU core where there is none: it takes a core's time, not its arithmetic.

It loads the ONNX file, runs it once to have real output tensors, and keeps them as int8 like the
NPU. From then on a run costs what the vendor's Python runtime costs: the input is copied in, the
core is held for `latency_ms`, the outputs are converted to float32.

The core is exclusive across contexts and processes, as the driver makes the real one: jobs queue,
and a job begins when the one before it ends, not when some process has been woken up. So the core's
memory holds one number, until when it is taken; a context adds its job to the end under a file lock
(which the kernel releases when its holder is killed) and sleeps until that job's end.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from actors.runtimes.contract import CORE_BYTES, ComputeError, RuntimeSpec, Tensor
from actors.runtimes.onnx import inspect_onnx


class EmulatedCore:
    """The queue of one core, in memory that all contexts on that core share."""

    def __init__(self, fd: int) -> None:
        # A lock belongs to an open file; an inherited or duplicated descriptor would share it.
        self._fd = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
        self._taken_until = memoryview(mmap.mmap(self._fd, CORE_BYTES)).cast("q")

    def hold(self, nanoseconds: int) -> tuple[int, int]:
        """Queue for the core and hold it that long; from when to when (CLOCK_MONOTONIC, ns)."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        begin = max(time.monotonic_ns(), self._taken_until[0])
        end = begin + nanoseconds
        self._taken_until[0] = end
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        while (left := end - time.monotonic_ns()) > 0:
            time.sleep(left / 1e9)
        return begin, end

    def close(self) -> None:
        """Close the memory. May be called again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class _Int8:
    """A tensor as the NPU keeps it, and the float32 memory into which it is converted."""

    def __init__(self, tensor: Tensor) -> None:
        low, high = min(float(tensor.min()), 0.0), max(float(tensor.max()), 0.0)
        self.scale = np.float32((high - low) / 255.0 or 1.0)
        self.zero = np.float32(round(-128.0 - low / float(self.scale)))
        quantised = np.round(tensor / self.scale) + self.zero
        self.values = np.clip(quantised, -128, 127).astype(np.int8)
        self.floats: Tensor = np.empty(tensor.shape, np.float32)

    def convert(self) -> Tensor:
        np.subtract(self.values, self.zero, out=self.floats)
        np.multiply(self.floats, self.scale, out=self.floats)
        return self.floats


class EmulatedRuntime:
    """One context on an emulated core."""

    def __init__(self, spec: RuntimeSpec) -> None:
        if spec.core_fd is None or spec.latency_ms is None:
            raise ComputeError("an emulated model needs latency_ms and a core to run on")
        self._outputs = [_Int8(sample) for sample in inspect_onnx(spec.path).samples]
        self._input = np.zeros((spec.size[1], spec.size[0], 3), np.uint8)
        self._core = EmulatedCore(spec.core_fd)
        self._latency_ns = round(spec.latency_ms * 1e6)
        self.span = (0, 0)

    def run(self, tile: npt.NDArray[np.uint8]) -> Sequence[Tensor]:
        """Hold the core; the outputs of the trial run, see `Runtime.run`."""
        np.copyto(self._input, tile)
        self.span = self._core.hold(self._latency_ns)
        return [output.convert() for output in self._outputs]

    def close(self) -> None:
        """Close the core's memory. May be called again."""
        self._core.close()
