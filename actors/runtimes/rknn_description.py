"""The description beside a .rknn file, NAME.rknn.json: what the file itself does not carry.

`tritile convert` writes it, and a topology that names the .rknn needs no labels, head or
color then. It holds the SHA-256 of the file that it describes, so one that belongs to another file
is an error.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from actors.runtimes.contract import ComputeError

_VERSION = 1


@dataclass(frozen=True)
class RknnDescription:
    """How a .rknn was made. `mean` and `std` are inside the file already."""

    head: str
    logits: bool
    """Class scores come before their sigmoid."""
    labels: tuple[str, ...]
    size: tuple[int, int]
    """(width, height) of the input."""
    color: Literal["rgb", "bgr"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    chip: str
    algorithm: str | None
    """How ranges were chosen; None without quantisation."""
    method: str | None
    """"channel" or "layer"."""
    dtype: str
    floating: tuple[str, ...]
    """Tensors that stay float16 in a quantised model."""
    hybrid: str
    """How they were chosen: none, a number, analysis, or by the toolkit, which names none."""
    calibration_images: int
    toolkit: str
    source: str
    """Name of the ONNX file."""
    source_sha256: str
    rknn_sha256: str

    @property
    def config(self) -> dict[str, Any]:
        """The arguments of the toolkit's `config`."""
        config: dict[str, Any] = {
            "mean_values": [list(self.mean)],
            "std_values": [list(self.std)],
            "target_platform": self.chip,
        }
        if self.algorithm is not None:
            config["quantized_dtype"] = self.dtype
            config["quantized_algorithm"] = self.algorithm
            config["quantized_method"] = self.method
        return config


def path_of(rknn: Path) -> Path:
    """Where a file's description lies."""
    return rknn.with_name(rknn.name + ".json")


def kept_build_of(rknn: Path) -> Path:
    """The folder where what the simulator runs is kept."""
    return rknn.with_name(rknn.name + ".simulator")


def sha256(path: Path) -> str:
    """The hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write(description: RknnDescription, rknn: Path) -> Path:
    """Write it beside the .rknn; its path."""
    path = path_of(rknn)
    text = json.dumps({"v": _VERSION, **asdict(description)}, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def read(rknn: Path) -> RknnDescription | None:
    """The description of a .rknn file, None where there is none. ComputeError where it is wrong."""
    path = path_of(rknn)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        raise ComputeError(f"its description {path} cannot be read; {_REMEDY}") from None
    try:
        found = _parse(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ComputeError(f"its description {path} is damaged; {_REMEDY}") from None
    if found.rknn_sha256 != sha256(rknn):
        raise ComputeError(f"its description {path} is about another file; {_REMEDY}")
    return found


_REMEDY = "convert the model again (tritile convert), or remove the description"


def _parse(values: Mapping[str, Any]) -> RknnDescription:
    """From JSON; what is not known is ignored. Raises ValueError and the like."""
    if values["v"] != _VERSION:
        raise ValueError(values["v"])
    if values["color"] not in ("rgb", "bgr"):
        raise ValueError(values["color"])
    width, height = map(int, values["size"])
    first, second, third = map(float, values["mean"])
    one, two, three = map(float, values["std"])
    return RknnDescription(
        head=str(values["head"]),
        logits=bool(values["logits"]),
        labels=tuple(map(str, values["labels"])),
        size=(width, height),
        color=values["color"],
        mean=(first, second, third),
        std=(one, two, three),
        chip=str(values["chip"]),
        algorithm=values["algorithm"],
        method=values["method"],
        dtype=str(values["dtype"]),
        floating=tuple(map(str, values["floating"])),
        hybrid=str(values["hybrid"]),
        calibration_images=int(values["calibration_images"]),
        toolkit=str(values["toolkit"]),
        source=str(values["source"]),
        source_sha256=str(values["source_sha256"]),
        rknn_sha256=str(values["rknn_sha256"]),
    )
