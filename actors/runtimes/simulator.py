"""The vendor's simulator on a PC: exactly the int8 numerics of a .rknn, tile by tile.

The simulator runs only what was just built, never a .rknn file. So `tritile convert
--simulator` keeps, beside NAME.rknn, the quantised model that the file was made from, and a context
here builds that again (1 to 3 s) in its own toolkit process, which ends with the worker. Its
numbers are the board's; its speed is not (YOLOv8n at 640: some 0.3 s a tile).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from actors.runtimes.contract import ComputeError, ModelFile, RuntimeSpec, Tensor
from actors.runtimes.rknn_description import RknnDescription, kept_build_of, read
from actors.runtimes.rknn_file import inspect_rknn
from actors.runtimes.toolkit.client import Toolkit, environment, interpreter

_LONGEST_LOG = 10_000_000


class SimulatorRuntime:
    """One toolkit process. Its `span` is the simulation, which takes a CPU and no NPU core."""

    def __init__(self, spec: RuntimeSpec) -> None:
        path = Path(spec.path)
        description = _described(path)
        self._toolkit = Toolkit(_log())
        self.span = (0, 0)
        try:
            _build(self._toolkit, description, kept_build_of(path))
            self._toolkit.ask("open")
        except ComputeError:
            self.close()
            raise

    def run(self, tile: npt.NDArray[np.uint8]) -> Sequence[Tensor]:
        """One simulated inference, see `Runtime.run`."""
        outputs, self.span = self._toolkit.run(tile)
        return outputs

    def close(self) -> None:
        """End the toolkit's process. May be called again."""
        self._toolkit.close()


def inspect_simulator(path: str) -> ModelFile:
    """The .rknn's description; ComputeError also where it cannot be simulated on this machine."""
    file = inspect_rknn(path)
    _described(Path(path))
    interpreter()
    return file


def _log() -> Path:
    """The file for what the toolkit prints. ComputeError where it cannot be written."""
    path = environment().with_name("simulator.log")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            if file.tell() > _LONGEST_LOG:
                file.truncate(0)
    except OSError as error:
        raise ComputeError(
            f"{path} cannot be written ({error.strerror}); set XDG_CACHE_HOME to another folder"
        ) from None
    return path


def _described(path: Path) -> RknnDescription:
    description = read(path)
    if description is None or not kept_build_of(path).is_dir():
        source = description.source if description else "MODEL.onnx"
        raise ComputeError(
            "the simulator runs what convert has quantised and kept; make it with: python -m "
            f"tritile convert {source} -o {path.name} --dataset FOLDER --simulator"
        )
    return description


def _build(toolkit: Toolkit, description: RknnDescription, kept: Path) -> None:
    config = description.config
    if description.algorithm is None:
        toolkit.ask("build_float", onnx=str(kept / "model.onnx"), config=config)
    else:
        floating = list(description.floating)
        toolkit.ask("build", source=str(kept), config=config, floating=floating)
