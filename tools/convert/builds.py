"""One build of a prepared model: quantise, build, and read the toolkit's log."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from actors.runtimes.contract import ComputeError
from actors.runtimes.toolkit.client import Toolkit

from .dataset import COUNTS, Calibration
from .errors import ConvertError
from .recognition import Prepared
from .settings import FLOAT

# A row of the "Network Layer Information Table" in the toolkit's log.
_ROW = re.compile(
    r"\] (\d+)\s+(\S+)\s+(\S+)\s+(NPU|CPU|GPU)\s+\S+\s+\S+\s+(\d+)/(\d+)/(\d+)\s+(\d+)(?:\s+(\S+))?"
)
_ENDS = ("InputOperator", "OutputOperator")


@dataclass(frozen=True)
class Choice:
    """How to quantise."""

    algorithm: str = "normal"
    method: str = "channel"
    dtype: str = "w8a8"
    target: str = "rk3588"
    floating: tuple[str, ...] = ()
    """Tensors that stay float16."""
    automatic: bool = False
    """The toolkit chooses the tensors that stay float16 itself."""

    @property
    def quantised(self) -> bool:
        return self.dtype != FLOAT

    def config(self, prepared: Prepared) -> dict[str, Any]:
        """The arguments of the toolkit's `config`."""
        config: dict[str, Any] = {
            "mean_values": [list(prepared.mean)],
            "std_values": [list(prepared.std)],
            "target_platform": self.target,
        }
        if self.quantised:
            config["quantized_dtype"] = self.dtype
            config["quantized_algorithm"] = self.algorithm
            config["quantized_method"] = self.method
        return config


@dataclass(frozen=True)
class Layer:
    """An operator as it was compiled. `cycles` are the compiler's estimate; 0 where it has none."""

    kind: str
    dtype: str
    place: str
    cycles: int
    kilobytes: int
    """Read and written."""
    name: str


@dataclass(frozen=True)
class Built:
    """What came of it."""

    choice: Choice
    seconds: float
    layers: tuple[Layer, ...]

    @property
    def on_cpu(self) -> list[Layer]:
        """Operators that fell back to the CPU."""
        return [layer for layer in self.layers if layer.place == "CPU" and layer.kind not in _ENDS]

    @property
    def fused(self) -> Mapping[str, int]:
        """Operators that are more than one of the model's: how many of each."""
        kinds = Counter(layer.kind for layer in self.layers)
        return {k: n for k, n in sorted(kinds.items()) if re.fullmatch("Conv[A-Z]\\w+", k)}

    @property
    def floats(self) -> int:
        """Operators on the NPU that compute in float16."""
        return sum(layer.dtype == "FLOAT16" and layer.place == "NPU" for layer in self.layers)

    @property
    def cycles(self) -> int:
        """The compiler's estimate of all NPU operators."""
        return sum(layer.cycles for layer in self.layers)

    @property
    def megabytes(self) -> float:
        """Read and written for one inference, by the compiler's table."""
        return sum(layer.kilobytes for layer in self.layers) / 1024


class _Measured(NamedTuple):
    """The files of a quantised model, its tensors without the input, and how long that took."""

    folder: Path
    tensors: tuple[str, ...]
    seconds: float


@dataclass
class Bench:
    """A toolkit at work on one prepared model. Ranges are measured once for each way of it."""

    toolkit: Toolkit
    prepared: Prepared
    calibration: Calibration | None
    count: int | None = None
    """Calibration images that the user asked for; None: as many as the algorithm bears."""
    _measured: dict[str, _Measured] = field(default_factory=dict)

    def tensors(self, choice: Choice) -> tuple[str, ...]:
        """The quantised tensors in the order in which they are computed, without the input."""
        return self._quantised(choice).tensors

    def folder(self, choice: Choice) -> Path:
        """Where the quantised files are."""
        return self._quantised(choice).folder

    def _quantised(self, choice: Choice) -> _Measured:
        key = f"{choice.algorithm}-{choice.method}-{choice.dtype}-{choice.target}"
        if key not in self._measured:
            folder, begin = self.toolkit.folder / key, time.monotonic()
            folder.mkdir()
            found = self._ask(
                choice,
                "quantise",
                onnx=str(self.prepared.path),
                folder=str(folder),
                dataset=str(self._listing(choice)),
                config=choice.config(self.prepared),
            )
            # The first is the input, which the toolkit never lets be float.
            seconds = time.monotonic() - begin
            self._measured[key] = _Measured(folder, tuple(found["tensors"][1:]), seconds)
        return self._measured[key]

    def build(self, choice: Choice) -> Built:
        """Build and hold it, for `export` and `Toolkit.run`. ConvertError when it fails."""
        measured = 0.0
        if choice.quantised and not choice.automatic:
            measured = self._quantised(choice).seconds
        begin, start = time.monotonic(), self._log_size()
        config = choice.config(self.prepared)
        onnx = str(self.prepared.path)
        if not choice.quantised:
            self._ask(choice, "build_float", onnx=onnx, config=config)
        elif choice.automatic:
            listing = str(self._listing(choice))
            self._ask(choice, "build_hybrid", onnx=onnx, dataset=listing, config=config)
        else:
            source = str(self.folder(choice))
            floating = list(choice.floating)
            self._ask(choice, "build", source=source, config=config, floating=floating)
        seconds = measured + time.monotonic() - begin
        return Built(choice, seconds, tuple(layers_of(self._log_since(start))))

    def images(self, choice: Choice) -> int:
        """How many images a quantisation is measured with."""
        if not choice.quantised or self.calibration is None:
            return 0
        return min(self.count or COUNTS[choice.algorithm], self.calibration.count)

    def _listing(self, choice: Choice) -> Path:
        if self.calibration is None:
            raise ConvertError(
                "quantisation needs images to measure with; give --dataset FOLDER, or --dtype "
                "float16"
            )
        return self.calibration.part(self.images(choice))

    def _ask(self, choice: Choice, do: str, **request: Any) -> dict[str, Any]:
        try:
            return self.toolkit.ask(do, **request)
        except ComputeError as error:
            if "not support in" in str(error):
                raise ConvertError(
                    f"{choice.target.upper()} does not compute {choice.dtype}; give --dtype w8a8 "
                    "or float16"
                ) from None
            raise ConvertError(str(error)) from None

    def _log_size(self) -> int:
        return self.toolkit.log.stat().st_size if self.toolkit.log.exists() else 0

    def _log_since(self, start: int) -> str:
        with self.toolkit.log.open("rb") as file:
            file.seek(start)
            return file.read().decode(errors="replace")


def layers_of(log: str) -> Sequence[Layer]:
    """The rows of the last table in the log."""
    found: list[Layer] = []
    for line in log.splitlines():
        match = _ROW.search(line)
        if match is None:
            continue
        if match[1] == "0":
            found = []
        name = (match[9] or "").partition(":")[2]
        found.append(Layer(match[2], match[3], match[4], int(match[7]), int(match[8]), name))
    return found
