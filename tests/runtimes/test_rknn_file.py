"""What a .rknn file says of itself: a real one, ours, and damaged ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from actors.runtimes.contract import ComputeError
from actors.runtimes.registry import inspect
from actors.runtimes.rknn_file import RknnFile, read
from actors.vision.heads import HeadDescription, identify
from tools.board.model import Model, encode

SMALL = Model((96, 64), 2, 1.0)


def test_real_file(shared_data: Path) -> None:
    path = str(shared_data / "models" / "yolov10n_rk3588_i8.rknn")
    file = read(path)
    assert dict(file.inputs) == {"images": (1, 3, 640, 640)}
    assert dict(file.outputs) == {
        "yolov10_output0_box": (1, 64, 80, 80),
        "yolov10_output0_class": (1, 80, 80, 80),
        "yolov10_output0_class_sum": (1, 1, 80, 80),
        "yolov10_output1_box": (1, 64, 40, 40),
        # The file's own mistake: the names of these two are swapped, the shapes are right.
        "yolov10_output1_class_sum": (1, 80, 40, 40),
        "yolov10_output1_class": (1, 1, 40, 40),
        "yolov10_output2_box": (1, 64, 20, 20),
        "yolov10_output2_class": (1, 80, 20, 20),
        "yolov10_output2_class_sum": (1, 1, 20, 20),
    }
    assert (file.chips, file.toolkit, file.swaps_channels) == (("rk3588",), "2.0.0b12", False)
    assert file.ranges["yolov10_output0_class"] == (0.0, pytest.approx(0.5102982521))
    assert file.runs_on("rk3588")
    assert not file.runs_on("rk3568")

    model = inspect("rknn", path, (0, 0))
    assert (model.size, model.color, model.chip, model.cores) == ((640, 640), None, "rk3588", 3)
    assert model.labels == ()
    head = identify(model.shapes, model.size, samples=model.samples)
    assert head == HeadDescription("yolov8", 80, False, tuple(range(9)))


def test_written_file_reads_back(tmp_path: Path) -> None:
    model = inspect("rknn", str(_write(tmp_path, encode(SMALL))), (0, 0))
    assert model.size == (96, 64)
    assert model.shapes == (
        (1, 64, 8, 12),
        (1, 2, 8, 12),
        (1, 1, 8, 12),
        (1, 64, 4, 6),
        (1, 2, 4, 6),
        (1, 1, 4, 6),
        (1, 64, 2, 3),
        (1, 2, 2, 3),
        (1, 1, 2, 3),
    )


@pytest.mark.parametrize(
    ("made_for", "here", "runs"),
    [
        ("rk3588", "rk3588", True),
        ("rk3588s", "rk3588", True),
        ("RK3588", "rk3588", True),
        ("rk3566", "rk3568", True),
        ("rk3568", "rk3566", True),
        ("rk3566", "rk3562", False),
        ("rk3576", "rk3588", False),
    ],
)
def test_chips(made_for: str, here: str, runs: bool, tmp_path: Path) -> None:
    path = _write(tmp_path, encode(replace(SMALL, chip=made_for)))
    assert read(str(path)).runs_on(here) is runs


def test_logits_are_recognised_by_their_range(tmp_path: Path) -> None:
    """A model cut before its sigmoid has classes far below 0; the header has their range."""
    content = encode(replace(SMALL, sums=False))
    for text, logits in (
        (content, False),
        (content.replace(b"'min': [0.0]", b"'min': [-9.]"), True),
    ):
        model = inspect("rknn", str(_write(tmp_path, text)), (0, 0))
        head = identify(model.shapes, model.size, samples=model.samples)
        assert (head.name, head.logits) == ("yolov8", logits)


def test_channels_swapped_inside_want_rgb(tmp_path: Path) -> None:
    content = encode(SMALL).replace(b"'rgb2bgr': False", b"'rgb2bgr': True ")
    assert inspect("rknn", str(_write(tmp_path, content)), (0, 0)).color == "rgb"


def test_without_the_converters_words(tmp_path: Path) -> None:
    """The literal inside the network is a help, not a need."""
    content = encode(SMALL).replace(b"{'attrs':", b"{'xxxxx':")
    model = inspect("rknn", str(_write(tmp_path, content)), (0, 0))
    assert (model.size, len(model.shapes), model.samples) == ((96, 64), 9, ())


_WHOLE = encode(SMALL)
_TAIL = _WHOLE.rindex(b'{"graph"')

DAMAGED = {
    "empty": (b"", "it cannot be read (cannot mmap an empty file); correct the path"),
    "onnx": (
        b"\x08\x07" + bytes(100),
        "it is not a .rknn file; convert the model again, as a plain",
    ),
    "encrypted": (
        b"RKCE" + bytes(100),
        "it is encrypted; convert the model again, as a plain .rknn",
    ),
    "four bytes": (b"RKNN", "the file is cut off at 4 bytes of more than 72; convert or"),
    "without its text": (
        _WHOLE[: _TAIL - 8],
        f"the file is cut off at {_TAIL - 8:,} bytes of more than {_TAIL:,}; convert or copy",
    ),
    "one byte less": (
        _WHOLE[:-1],
        f"the file is cut off at {len(_WHOLE) - 1:,} bytes of {len(_WHOLE):,}; convert or copy",
    ),
    "text overwritten": (
        _WHOLE[:_TAIL] + b"\xff" * (len(_WHOLE) - _TAIL),
        "the file is damaged; convert or copy the model again",
    ),
    "another text": (
        _WHOLE.replace(b'"norm_tensor":[', b'"norm_tensXr":['),
        "its description is not understood (it was made by an unknown toolkit version); convert",
    ),
    "batch": (
        encode(replace(SMALL, batch=3)),
        "its input takes 3 images at once, which no single core holds; convert it without "
        "rknn_batch_size, tiles run one by one",
    ),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged(kind: str, tmp_path: Path) -> None:
    content, expected = DAMAGED[kind]
    with pytest.raises(ComputeError) as caught:
        inspect("rknn", str(_write(tmp_path, content)), (0, 0))
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)


def test_any_cut_of_a_file_is_a_sentence(tmp_path: Path) -> None:
    for length in (*range(0, 80), *range(80, len(_WHOLE), 97)):
        with pytest.raises(ComputeError):
            inspect("rknn", str(_write(tmp_path, _WHOLE[:length])), (0, 0))


def test_any_flipped_byte_is_read_or_refused(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    for place in random.integers(0, len(_WHOLE), 300):
        content = bytearray(_WHOLE)
        content[place] ^= int(random.integers(1, 256))
        try:
            found = read(str(_write(tmp_path, bytes(content))))
        except ComputeError:
            continue
        assert isinstance(found, RknnFile)


def _write(folder: Path, content: bytes) -> Path:
    path = folder / "m.rknn"
    path.write_bytes(content)
    return path
