"""ONNX Runtime on the CPU: for machines without an NPU."""

from __future__ import annotations

import ast
import time
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime

from actors.runtimes.contract import ComputeError, ModelFile, RuntimeSpec, Tensor

_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


def _session(path: str, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin while they wait would take the cores from the other workers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = str(error).strip().splitlines()[0].rpartition(" : ")[2]
        raise ComputeError(
            f"ONNX Runtime cannot load it ({reason}); export the model again as ONNX"
        ) from None


class _Input:
    """The input of a session and the memory in which it is made from a tile's pixels."""

    def __init__(self, session: Any) -> None:
        inputs = session.get_inputs()
        if len(inputs) != 1:
            raise ComputeError(f"it has {len(inputs)} inputs; an image model with one is needed")
        self.name: str = inputs[0].name
        shape = inputs[0].shape
        fixed = isinstance(shape, list) and len(shape) == 4
        if not fixed or any(not isinstance(side, int) or side < 1 for side in shape[1:]):
            raise ComputeError(
                f"its input has the shape {shape}; export it with a fixed size (1, 3, height, "
                "width), without dynamic axes"
            )
        if isinstance(shape[0], int) and shape[0] != 1:
            raise ComputeError(
                f"its input takes {shape[0]} images at once; export it with batch 1, tiles run one "
                "by one"
            )
        self.channels_last = shape[3] == 3
        if 3 not in (shape[1], shape[3]):
            raise ComputeError(f"its input has the shape {shape}; an image has three channels")
        rows, columns = (shape[1], shape[2]) if self.channels_last else (shape[2], shape[3])
        self.size = (columns, rows)
        kind = inputs[0].type
        if kind != "tensor(uint8)" and kind not in _FLOATS:
            raise ComputeError(f"its input is {kind}; float32, float16 or uint8 is needed")
        self.dtype = _FLOATS.get(kind, np.uint8)
        layout = (1, rows, columns, 3) if self.channels_last else (1, 3, rows, columns)
        self.memory: npt.NDArray[Any] = np.zeros(layout, self.dtype)
        self._planes = np.zeros((3, rows, columns), np.uint8)

    def fill(
        self, tile: npt.NDArray[np.uint8], mean: npt.NDArray[np.float32], scale: Tensor
    ) -> npt.NDArray[Any]:
        """(pixel - mean) * scale, in the layout of the input."""
        if self.dtype is np.uint8:
            self.memory[0] = tile if self.channels_last else tile.transpose(2, 0, 1)
            return self.memory
        if self.channels_last:
            np.subtract(tile, mean, out=self.memory[0], casting="unsafe")
            np.multiply(self.memory[0], scale, out=self.memory[0], casting="unsafe")
            return self.memory
        # Splitting first lets numpy run along whole planes: 0.5 ms a 640 tile, strided 1.0.
        cv2.split(tile, list(self._planes))
        for channel in range(3):
            plane = self.memory[0, channel]
            np.multiply(self._planes[channel], scale[channel], out=plane, casting="unsafe")
            if mean[channel]:
                np.subtract(plane, mean[channel] * scale[channel], out=plane, casting="unsafe")
        return self.memory


class OnnxRuntime:
    """One session. Its `span` is the whole call: when a CPU really computes is not known."""

    def __init__(self, spec: RuntimeSpec) -> None:
        self._session = _session(spec.path, spec.threads)
        self._input = _Input(self._session)
        self.size: tuple[int, int] = self._input.size
        """(width, height) of the input, from the file."""
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        self._mean = np.asarray(spec.mean, np.float32)
        self._scale = (1.0 / np.asarray(spec.std, np.float64)).astype(np.float32)
        self.span = (0, 0)

    def run(self, tile: npt.NDArray[np.uint8]) -> Sequence[Tensor]:
        """One inference, see `Runtime.run`."""
        begin = time.monotonic_ns()
        pixels = self._input.fill(tile, self._mean, self._scale)
        try:
            outputs = self._session.run(None, {self._input.name: pixels})
        except Exception as error:
            raise ComputeError(f"ONNX Runtime failed: {str(error).splitlines()[0]}") from None
        self.span = (begin, time.monotonic_ns())
        return [output.astype(np.float32, copy=False) for output in outputs]

    def close(self) -> None:
        """Close the session. May be called again."""
        self._session = None


def inspect_onnx(path: str) -> ModelFile:
    """A file's description of itself, and its outputs for a gray image with some noise."""
    runtime = OnnxRuntime(RuntimeSpec(kind="onnx", path=path, size=(0, 0), threads=0))
    samples = tuple(runtime.run(_trial_image(runtime.size)))
    shapes = tuple(sample.shape for sample in samples)
    return ModelFile(runtime.size, shapes, _labels(runtime.metadata.get("names", "")), samples)


def _trial_image(size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 3.0).astype(np.uint8)


def _labels(names: str) -> tuple[str, ...]:
    """Ultralytics' metadata: the text of a Python dict {0: 'person', ...} or of a list."""
    try:
        value = ast.literal_eval(names)
    except (ValueError, SyntaxError):
        return ()
    if isinstance(value, dict) and value and set(value) == set(range(len(value))):
        value = [value[index] for index in range(len(value))]
    if isinstance(value, (list, tuple)):
        return tuple(str(name) for name in value)
    return ()
