"""What is refused or explained, each in one sentence on stderr with exit code 2."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from tests.tools.convert import models
from tools.convert.__main__ import main

Case = Callable[[Path], list[str]]


def images(folder: Path, count: int = 2) -> Path:
    place = folder / "images"
    place.mkdir(exist_ok=True)
    for number in range(count):
        cv2.imwrite(str(place / f"{number}.png"), np.full((40, 60, 3), 60 * number, np.uint8))
    return place


def sound(folder: Path, **options: object) -> list[str]:
    """Arguments without a fault, but for what `options` change in the model."""
    model = models.write(folder / "m.onnx", **options)  # type: ignore[arg-type]
    return [str(model), "-o", str(folder / "m.rknn"), "--dataset", str(images(folder))]


def changed(folder: Path, change: Callable[[onnx.ModelProto], None]) -> list[str]:
    arguments = sound(folder)
    model = onnx.load(arguments[0])
    change(model)
    onnx.save(model, arguments[0])
    return arguments


def no_onnx(folder: Path) -> list[str]:
    arguments = sound(folder)
    Path(arguments[0]).write_bytes(b"PK\3\4 something")
    return arguments


def no_head(folder: Path) -> list[str]:
    def change(model: onnx.ModelProto) -> None:
        del model.graph.output[:]
        shape = [1, 16, 8, 12]
        first = onnx.helper.make_tensor_value_info("relu1", onnx.TensorProto.FLOAT, shape)
        model.graph.output.append(first)

    return changed(folder, change)


def swap(arguments: list[str], option: str, value: str | Path) -> list[str]:
    place = arguments.index(option)
    return [*arguments[: place + 1], str(value), *arguments[place + 2 :]]


def unreadable_images(folder: Path) -> list[str]:
    arguments = sound(folder)
    for path in (folder / "images").iterdir():
        path.write_bytes(b"no image")
    return arguments


def listing(folder: Path, text: str) -> list[str]:
    (folder / "list.txt").write_text(text)
    return swap(sound(folder), "--dataset", folder / "list.txt")


def empty(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def locked(folder: Path) -> Path:
    (folder / "locked.rknn").mkdir()
    return folder / "locked.rknn"


def set_of_others(folder: Path) -> list[str]:
    arguments = sound(folder)
    truth = {
        "images": [{"id": 1, "file_name": "0.png"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 1, 9, 9]}],
        "categories": [{"id": 7, "name": "bird"}],
    }
    (folder / "truth.json").write_text(json.dumps(truth))
    return [*arguments, "--report", str(folder / "truth.json")]


CASES: dict[str, tuple[Case, str]] = {
    "batch": (
        lambda f: sound(f, layout="split", batch=3),
        "takes 3 images at once; export it with batch 1",
    ),
    "size": (lambda f: sound(f, size=(80, 64)), "multiples of 32"),
    "no model": (lambda f: ["--dataset", "x", "-o", "x.rknn"], "no model; give the .onnx file"),
    "absent": (lambda f: [str(f / "n.onnx"), *sound(f)[1:]], "there is no"),
    "no ONNX": (no_onnx, "is not an ONNX model; export the model again"),
    "no head": (no_head, "are of no known head"),
    "labels": (lambda f: sound(f, names=("a", "b", "c")), "the number of labels is 3"),
    "nothing to do": (lambda f: sound(f)[:1], "nothing to do; give -o MODEL.rknn"),
    "no dataset": (lambda f: sound(f)[:3], "give --dataset FOLDER, or --dtype float16"),
    "absent dataset": (lambda f: swap(sound(f), "--dataset", f / "imags"), "did you mean images?"),
    "empty dataset": (
        lambda f: swap(sound(f), "--dataset", empty(f)),
        "no image lies in this folder",
    ),
    "unreadable dataset": (unreadable_images, "can be read"),
    "list of nothing": (lambda f: listing(f, "\n"), "names no image; write one path a line"),
    "list of absent": (lambda f: listing(f, "images/9.png\n"), "there is no"),
    "target": (lambda f: [*sound(f), "--target", "rk9999"], "invalid choice: 'rk9999'"),
    "algorithm": (lambda f: [*sound(f), "--algorithm", "best"], "invalid choice: 'best'"),
    "algorithms": (lambda f: [*sound(f), "--algorithms", "normal,best"], "--algorithms best"),
    "count": (lambda f: [*sound(f), "--count", "0"], "must be at least 1"),
    "mean": (lambda f: [*sound(f), "--mean", "1", "2"], "take one number, or three"),
    "output folder": (lambda f: swap(sound(f), "-o", f / "no" / "m.rknn"), "does not exist"),
    "output suffix": (lambda f: swap(sound(f), "-o", f / "m.onnx"), "must end in .rknn"),
    "output is a folder": (lambda f: swap(sound(f), "-o", locked(f)), "is a folder"),
    "simulator": (
        lambda f: [*sound(f), "--simulator", "--hybrid", "toolkit"],
        "give --hybrid analysis",
    ),
    "simulator mmse": (
        lambda f: [*sound(f), "--simulator", "--algorithm", "mmse"],
        "takes minutes with mmse",
    ),
    "hybrid number": (lambda f: [*sound(f), "--hybrid", "0"], "must be a number of tensors"),
    "hybrid float": (
        lambda f: [*sound(f), "--dtype", "float16", "--hybrid", "analysis"],
        "goes with a quantised --dtype",
    ),
    "page": (
        lambda f: [*sound(f), "--report", "x.json", "--page", str(f / "no" / "p.html")],
        "--page",
    ),
    "set of others": (set_of_others, "none of the model's labels (cat, dog"),
    "report": (lambda f: [*sound(f), "--report", str(f / "no.json")], "--report"),
}


@pytest.mark.parametrize("name", CASES)
def test_refused_in_one_sentence(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whatever is refused is refused before the toolkit is looked for.
    monkeypatch.setenv("TRITILE_TOOLKIT", str(tmp_path / "no-toolkit"))
    arguments, expected = CASES[name]
    assert main(arguments(tmp_path)) == 2
    lines = capsys.readouterr().err.splitlines()
    said = [line for line in lines if line.startswith("convert: ")]
    assert len(said) == 1
    assert lines[-1] == said[0]
    assert expected in said[0]
    assert not (tmp_path / "m.rknn").exists()


def test_dynamic_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(model: onnx.ModelProto) -> None:
        shape = model.graph.input[0].type.tensor_type.shape
        shape.dim[2].dim_param = "height"

    assert main(changed(tmp_path, change)) == 2
    assert "without dynamic axes" in capsys.readouterr().err


def test_without_the_toolkit_the_remedy_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRITILE_TOOLKIT", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert main(sound(tmp_path)) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith("make it with: tritile convert --setup")
