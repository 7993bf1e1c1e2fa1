"""Write a .rknn file that the emulated device runs and that reads like a real one.

The layout is that of the vendor's converter (see actors/runtimes/rknn_file.py), with nothing where
the network would be. The outputs are YOLOv8's as the vendor's model zoo exports them.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STRIDES = (8, 16, 32)
BOX_CHANNELS = 64
_HEADER = 64
_VERSION = 6


@dataclass(frozen=True)
class Model:
    """What the file says. `size` is (width, height); `sums` adds the scores' sum to each grid."""

    size: tuple[int, int] = (640, 640)
    classes: int = 80
    latency_ms: float = 13.6
    chip: str = "rk3588"
    batch: int = 1
    sums: bool = True
    toolkit: str = "2.3.2"

    def outputs(self) -> dict[str, tuple[int, int, int, int]]:
        """Shapes (batch, channels, rows, columns) by name, in the model's order."""
        kinds = {"box": BOX_CHANNELS, "class": self.classes, **({"sum": 1} if self.sums else {})}
        return {
            f"{kind}{number}": (self.batch, channels, self.size[1] // s, self.size[0] // s)
            for number, s in enumerate(STRIDES)
            for kind, channels in kinds.items()
        }


def write(path: Path, model: Model) -> None:
    """Write the file."""
    path.write_bytes(encode(model))


def encode(model: Model) -> bytes:
    """The file's bytes."""
    network = _literal(model)
    text = json.dumps(_description(model), separators=(",", ":")).encode()
    header = struct.pack("<4s4xQQ", b"RKNN", _VERSION, len(network))
    return header.ljust(_HEADER, b"\0") + network + struct.pack("<Q", len(text)) + text


def _tensors(model: Model) -> dict[str, tuple[int, ...]]:
    return {"images": (model.batch, 3, model.size[1], model.size[0]), **model.outputs()}


def _description(model: Model) -> dict[str, Any]:
    tensors = _tensors(model)
    sides = ["input", *("output" for _ in model.outputs())]
    return {
        "graph": [
            {
                "left": side,
                "left_tensor_id": max(0, number - 1),
                "right": "norm_tensor",
                "right_tensor_id": number,
            }
            for number, side in enumerate(sides)
        ],
        "name": "rknn model",
        "norm_tensor": [
            {
                "dim_num": 4,
                "dtype": {"qnt_method": "layer", "qnt_type": "int8", "vx_type": "int8"},
                "size": shape,
                "tensor_id": number,
                "url": name,
            }
            for number, (name, shape) in enumerate(tensors.items())
        ],
        "output_num": len(model.outputs()),
        "target_platform": [model.chip],
        "version": f"{model.toolkit}+emulated",
        "emulated": {"latency_ms": model.latency_ms},
    }


def _literal(model: Model) -> bytes:
    """The converter's literal, with its length before it."""
    attributes: dict[str, Any] = {
        "images": {
            "shape": list(_tensors(model)["images"]),
            "is_output": False,
            "mean": [0, 0, 0],
            "std": [255, 255, 255],
            "rgb2bgr": False,
        }
    }
    ranges = {
        name: {"min": [-12.8 if "box" in name else 0.0], "max": [12.7 if "box" in name else 1.0]}
        for name in model.outputs()
    }
    text = repr({"attrs": attributes, "quant_tab": ranges, "dynamic_shapes": {}}).encode()
    return struct.pack("<I", len(text)) + text
