"""A topology without a fault, the files that it refers to, and what a broken one is made of."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

BASE = """\
[results]
bind = "tcp://127.0.0.1:*"

[streams.cam0]
source = "street.mp4"

[models.large]
path = "models/large.onnx"
[models.small]
path = "models/small.onnx"

[stages.large]
model = "large"
view = "frame"
[stages.small]
model = "small"
view = "tiles"
overlap = 0.1

[workers.npu0]
core = 0
models = ["large", "small"]
[workers.npu1]
core = 1
models = ["small"]

[merge]
method = "nms"

[render]
video = "out.mp4"
"""

# The first bytes of a real model: ir_version 8, then producer_name.
ONNX = bytes.fromhex("08081207") + b"pytorch"


def lay_out(folder: Path) -> None:
    """The files around the topology; none holds more than the checks look at."""
    (folder / "models").mkdir()
    (folder / "images").mkdir()
    (folder / "nothing").mkdir()
    (folder / "numbered").mkdir()
    files = {
        "street.mp4": b"\0\0\0\x18ftypmp42",
        "models/large.onnx": ONNX,
        "models/small.onnx": ONNX,
        "models/photo.onnx": b"\xff\xd8\xff\xe0\0\x10JFIF",
        "models/page.onnx": b"<!DOCTYPE html>",
        "models/board.rknn": b"RKNN\0\0\0\0",
        "models/renamed.rknn": ONNX,
        "models/board.onnx": b"RKNN\0\0\0\0",
        "models/weights.pt": b"PK\x03\x04",
        "models/names.txt": b"person\ncar\n",
        "models/blank.txt": b"\n\n",
        "x-b.mp4": b"\0\0\0\x18ftypmp42",
        "images/one.JPG": b"\xff\xd8\xff\xe0",
        "images/notes.txt": b"notes",
        "numbered/0017.jpg": b"\xff\xd8\xff\xe0",
        "nothing/notes.txt": b"notes",
        "empty": b"",
    }
    os.mkfifo(folder / "pipe")
    for name, content in files.items():
        (folder / name).write_bytes(content)


def base(*edits: tuple[str, str]) -> str:
    """`BASE` with pieces of text replaced; each must occur exactly once."""
    text = BASE
    for old, new in edits:
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times"
        text = text.replace(old, new)
    return text


@dataclass(frozen=True)
class Case:
    """A broken topology. `lines` are whole, without the leading file name."""

    id: str
    text: str | bytes | None  # None: there is no file
    lines: tuple[str, ...]
    overrides: tuple[str, ...] = ()

    def expected(self, folder: Path) -> list[str]:
        """The lines with the file name and the folder filled in."""
        return [f"topology.toml: {line}".replace("FOLDER", str(folder)) for line in self.lines]


def case(id: str, text: str | bytes | None, *lines: str, sets: tuple[str, ...] = ()) -> Case:
    """One row of the table."""
    return Case(id, text, lines, sets)


REMEDY = (
    "give keys with curve = KEYS (see tritile make_keys --help), or allow it without keys "
    "with insecure = true"
)
SMALL = '[stages.small]\nmodel = "small"\nview = "tiles"\noverlap = 0.1\n'
NPU1 = '[workers.npu1]\ncore = 1\nmodels = ["small"]\n'
SOURCE = 'source = "street.mp4"'
IMAGES = "jpg, jpeg, png, bmp, webp, tif, tiff"
NAME = "use 1 to 32 of a-z, 0-9, - and _, and begin with a letter or digit"


def stream(line: str) -> str:
    """The base with another source or with more lines beneath it."""
    return base((SOURCE, line))


def large(lines: str) -> str:
    """The base with other keys in [models.large]."""
    return base(('path = "models/large.onnx"', lines))


def small(lines: str) -> str:
    """The base with another [stages.small]."""
    return base((SMALL, f"[stages.small]\n{lines}\n"))


def npu1(lines: str) -> str:
    """The base with another [workers.npu1]."""
    return base((NPU1, f"[workers.npu1]\n{lines}\n"))


def bind(address: str) -> str:
    """The base with another address."""
    return base(("tcp://127.0.0.1:*", address))
