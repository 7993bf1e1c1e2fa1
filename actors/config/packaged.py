"""What comes with the package (a topology, models, label files), and which file of a model to take.

A model's `path` may be without a suffix: then the .rknn file is taken on a Rockchip board and the
.onnx file elsewhere, or the only one that exists. `tritile:NAME` is a model of the package.
"""

from __future__ import annotations

from pathlib import Path

from actors.config.file_errors import exists
from actors.runtimes.npu_status import on_board
from actors.runtimes.registry import KINDS, kind_for

TOPOLOGY = Path(__file__).parents[1] / "demo" / "topology.toml"
_MODELS = Path(__file__).parents[1] / "demo"
_COCO = Path(__file__).with_name("coco.txt")
_PREFIX = "tritile:"


def packaged(text: str) -> Path | None:
    """The file of `tritile:NAME`, without its suffix; None for any other path."""
    return _MODELS / text.removeprefix(_PREFIX) if text.startswith(_PREFIX) else None


def model_file(path: Path) -> Path:
    """The file meant by a path that may be without a suffix; the path itself where there is none.

    Where neither file exists, the one for this machine: it is the one to be reported as missing.
    """
    if kind_for(path) or exists(path):
        return path
    board = on_board()
    kinds = sorted(KINDS.values(), key=lambda kind: kind.on_npu != board)
    wanted = [path.with_name(path.name + kind.default_for) for kind in kinds if kind.default_for]
    return next((file for file in wanted if exists(file)), wanted[0] if not path.suffix else path)


def labels_file(written: str, path: Path) -> Path:
    """The file of class names meant by `written`: "coco" is the package's where no such file is."""
    return _COCO if written == "coco" and not exists(path) else path
