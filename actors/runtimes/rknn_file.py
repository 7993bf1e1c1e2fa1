"""Reads what a .rknn file states: inputs, outputs, chip; without the vendor's software.

The file is 64 bytes of header ("RKNN", at 8 the format's version and at 16 the size of what
follows, both u64), the network, the length of a JSON text (u64), and that text, which names the
tensors in order and the chip. Inside the network, a Python literal holds the converter's settings
and measurements: mean and std, whether channels are swapped, the range of each quantised tensor.
Found in files of toolkit 2.0.0 to 2.5.0; the vendor documents neither.
"""

from __future__ import annotations

import ast
import json
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from actors.runtimes import rknn_description
from actors.runtimes.contract import ComputeError, ModelFile, Tensor

CHIP_CORES: Mapping[str, int] = {
    "rk3588": 3,
    "rk3576": 2,
    "rk3566": 1,
    "rk3568": 1,
    "rk3562": 1,
}
"""NPU cores by chip. RK3566 and RK3568 run each other's files."""

_HEADER = 64
_LITERAL = b"{'attrs':"
_LONGEST_TEXT = 1 << 26
_AGAIN = "convert or copy the model again"


@dataclass(frozen=True)
class RknnFile:
    """What a file states. Shapes are NCHW; `ranges` are (least, greatest) of quantised outputs."""

    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[int, ...]]
    chips: tuple[str, ...]
    toolkit: str
    ranges: Mapping[str, tuple[float, float]]
    swaps_channels: bool
    """The file swaps red and blue of its input itself."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the one image it takes; ComputeError when it takes another input."""
        if len(self.inputs) != 1:
            raise ComputeError(
                f"it has {len(self.inputs)} inputs; an image model with one is needed"
            )
        shape = next(iter(self.inputs.values()))
        if len(shape) != 4 or shape[1] != 3:
            raise ComputeError(f"its input has the shape {shape}; an image has three channels")
        if shape[0] != 1:
            raise ComputeError(
                f"its input takes {shape[0]} images at once, which no single core holds; convert "
                "it without rknn_batch_size, tiles run one by one"
            )
        return shape[3], shape[2]

    def runs_on(self, chip: str) -> bool:
        """Whether it was made for that chip."""
        return any(_family(name) == _family(chip) for name in self.chips)


def _family(chip: str) -> str:
    name = chip.lower()
    return "rk356x" if name in ("rk3566", "rk3568") else name.removesuffix("s")


def read(path: str) -> RknnFile:
    """Read a file's description; ComputeError in one sentence when it is none or not whole."""
    try:
        with (
            Path(path).open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as m,
        ):
            described = _description(m)
            converter = _converter_settings(m)
    except (OSError, ValueError) as error:
        raise ComputeError(f"it cannot be read ({error}); correct the path") from None
    try:
        return _parse(described, converter)
    except (KeyError, IndexError, TypeError, ValueError):
        raise ComputeError(
            "its description is not understood (it was made by an unknown toolkit version); "
            "convert the model with rknn-toolkit2 2.3 or newer"
        ) from None


def _description(file: mmap.mmap) -> Any:
    if file[:4] != b"RKNN":
        encrypted = file[:4] in (b"RKCE", b"CRYP")
        problem = "it is encrypted" if encrypted else "it is not a .rknn file"
        raise ComputeError(f"{problem}; convert the model again, as a plain .rknn")
    start = _HEADER + int.from_bytes(file[16:24], "little") + 8
    end = start + int.from_bytes(file[start - 8 : start], "little")
    if end > len(file) or start > len(file):
        whole = f"{end:,}" if start <= len(file) else f"more than {start:,}"
        raise ComputeError(f"the file is cut off at {len(file):,} bytes of {whole}; {_AGAIN}")
    try:
        return json.loads(file[start:end])
    except ValueError:
        raise ComputeError(f"the file is damaged; {_AGAIN}") from None


def _converter_settings(file: mmap.mmap) -> dict[str, Any]:
    """The literal inside the network; empty where it is absent or not understood."""
    start = file.find(_LITERAL)
    length = int.from_bytes(file[start - 4 : start], "little") if start >= 4 else 0
    if not 0 < length <= min(_LONGEST_TEXT, len(file) - start):
        return {}
    try:
        value = ast.literal_eval(file[start : start + length].decode())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _parse(described: Any, converter: dict[str, Any]) -> RknnFile:
    shapes = {
        tensor["tensor_id"]: (str(tensor["url"]), tuple(int(side) for side in tensor["size"]))
        for tensor in described["norm_tensor"]
    }
    sides: dict[str, list[tuple[int, int]]] = {"input": [], "output": []}
    for edge in described["graph"]:
        sides[edge["left"]].append((edge["left_tensor_id"], edge["right_tensor_id"]))
    inputs, outputs = (
        dict(shapes[tensor] for _, tensor in sorted(sides[side])) for side in ("input", "output")
    )
    if not outputs:
        raise KeyError("outputs")
    chips = described["target_platform"]
    attributes = converter.get("attrs", {})
    ranges = {}
    for name in outputs:
        entry = converter.get("quant_tab", {}).get(name, {})
        if entry.get("min") and entry.get("max"):
            ranges[name] = (float(min(entry["min"])), float(max(entry["max"])))
    return RknnFile(
        inputs=inputs,
        outputs=outputs,
        chips=tuple(str(chip) for chip in ([chips] if isinstance(chips, str) else chips)),
        toolkit=str(described.get("version", "")).partition("+")[0],
        ranges=ranges,
        swaps_channels=any(attributes.get(name, {}).get("rgb2bgr") for name in inputs),
    )


def inspect_rknn(path: str) -> ModelFile:
    """A file as the other runtimes describe theirs.

    It is not run. Whether scores are logits, for which others make a trial run, follows from the
    quantised ranges where boxes and scores are separate tensors: the samples then hold only each
    tensor's least and greatest value. The description beside the file has precedence over both.
    """
    file = read(path)
    size = file.size
    described = rknn_description.read(Path(path))
    color: Literal["rgb", "bgr"] | None = "rgb" if file.swaps_channels else None
    return ModelFile(
        size=size,
        shapes=tuple(file.outputs.values()),
        labels=described.labels if described else (),
        samples=_samples(file),
        color=described.color if described else color,
        chip=file.chips[0] if file.chips else None,
        cores=CHIP_CORES.get(file.chips[0]) if file.chips else None,
        head=described.head if described else None,
        logits=described.logits if described else None,
    )


def _samples(file: RknnFile) -> tuple[Tensor, ...]:
    if len(file.outputs) < 6 or set(file.ranges) != set(file.outputs):
        return ()
    samples = []
    for name, shape in file.outputs.items():
        sample = np.full(shape, file.ranges[name][0], np.float32)
        sample[..., 0] = file.ranges[name][1]
        samples.append(sample)
    return tuple(samples)
