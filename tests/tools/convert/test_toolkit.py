"""Conversion, report and simulator with the vendor's toolkit, on small models of our own.

They need its environment (`tritile convert --setup`): without it they skip, but in CI they
fail.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from actors.runtimes.contract import ComputeError, RuntimeSpec
from actors.runtimes.registry import inspect, open_runtime
from actors.runtimes.rknn_description import path_of, read
from actors.runtimes.rknn_file import read as read_rknn
from actors.runtimes.toolkit.client import Toolkit
from actors.vision.heads import HeadDescription, build
from actors.vision.merging import nms_indices
from tests.support import runs
from tests.tools.convert import models
from tools.convert.__main__ import main
from tools.run_harness import ROOT, Harness

pytestmark = [pytest.mark.toolkit, pytest.mark.usefixtures("toolkit_environment")]


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures of soft blobs."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(3)
    for number in range(6):
        noise = random.integers(0, 256, (64, 96, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.GaussianBlur(noise, (0, 0), 4.0))
    return folder


@pytest.fixture(scope="session")
def converted(
    toolkit_environment: None, images: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A stock model as int8, kept for the simulator."""
    folder = tmp_path_factory.mktemp("converted")
    source = models.write(folder / "net.onnx", "stock")
    output = folder / "net.rknn"
    code = main([str(source), "-o", str(output), "--dataset", str(images), "--simulator"])
    assert code == 0
    return output


def check(topology: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "actors.launch", str(topology), "--check"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def topology(images: Path, model: Path, **keys: Any) -> str:
    return (
        runs.stream(images)
        + runs.model(model, conf=0.5, **keys)
        + runs.stage("whole", "frame")
        + runs.workers(1)
    )


def test_a_topology_needs_no_more_than_the_path(
    converted: Path, images: Path, tmp_path: Path
) -> None:
    assert read_rknn(str(converted)).runs_on("rk3588")
    described = read(converted)
    assert described is not None
    assert (described.head, described.logits, described.labels) == ("yolov8", True, models.NAMES)
    assert (described.dtype, described.algorithm, described.calibration_images) == (
        "w8a8",
        "normal",
        6,
    )
    file = inspect("rknn", str(converted), (0, 0))
    assert len(file.shapes) == 6
    place = tmp_path / "t.toml"
    place.write_text(topology(images, converted))
    found = check(place)
    assert found.returncode == 0, found.stderr
    assert "rknn, 96x64, head yolov8, 2 classes, input rgb" in found.stdout
    assert "class names" not in found.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace('"rknn_sha256": "', '"rknn_sha256": "0'), "another file"),
        (lambda text: text[:-20], "damaged"),
        (lambda text: text.replace('"v": 1', '"v": 2'), "damaged"),
    ],
)
def test_a_description_of_another_file_is_not_believed(
    change: Any, words: str, converted: Path, images: Path, tmp_path: Path
) -> None:
    model = tmp_path / "net.rknn"
    model.write_bytes(converted.read_bytes())
    path_of(model).write_text(change(path_of(converted).read_text()))
    place = tmp_path / "t.toml"
    place.write_text(topology(images, model))
    found = check(place)
    assert found.returncode == 2
    assert words in found.stderr
    assert "convert the model again" in found.stderr


def decoded(kind: str, path: Path, head: HeadDescription, picture: Path) -> np.ndarray:
    """What a model finds in a picture of its own size."""
    runtime = open_runtime(RuntimeSpec(kind=kind, path=str(path), size=models.SIZE))
    try:
        image = cv2.imread(str(picture))
        assert image is not None
        pixels = np.ascontiguousarray(image[..., ::-1], np.uint8)
        return build(head, models.SIZE)(runtime.run(pixels), 0.5)
    finally:
        runtime.close()


def test_int8_numerics_go_through_launch(converted: Path, images: Path) -> None:
    split = HeadDescription("yolov8", 2, True, tuple(range(6)))
    simulated = decoded("simulator", converted, split, images / "0.png")
    stock = HeadDescription("yolov8-stock", 2, False, (0,))
    exact = decoded("onnx", converted.with_name("net.onnx"), stock, images / "0.png")
    assert len(simulated) > 3
    with Harness(topology(images, converted, runtime="simulator")) as harness:
        records, ends = runs.collect(harness)
        assert harness.wait() == 0, harness.stderr
        assert "SIMULATED" in harness.stderr or "simulated" in harness.stderr
    assert ends == {"cam0": 6}
    scores = {round(d["score"], 5) for d in records["cam0"][0]["detections"]}
    assert scores
    assert scores <= {round(float(score), 5) for score in simulated[:, 4]}
    assert not scores & {round(float(score), 5) for score in exact[:, 4]}


@pytest.fixture
def toolkit(toolkit_environment: None, tmp_path: Path) -> Iterator[Toolkit]:
    with Toolkit(tmp_path / "log") as server:
        yield server


def test_an_exception_of_the_toolkits_is_a_sentence(toolkit: Toolkit, tmp_path: Path) -> None:
    nonsense = tmp_path / "x.onnx"
    nonsense.write_bytes(b"\x08\x07 nonsense")
    config = {"mean_values": [[0] * 3], "std_values": [[1] * 3], "target_platform": "rk3588"}
    with pytest.raises(ComputeError) as caught:
        toolkit.ask("build_float", onnx=str(nonsense), config=config)
    assert "\n" not in str(caught.value)
    assert str(toolkit.log) in str(caught.value)
    with pytest.raises(ComputeError, match="build_float"):
        toolkit.ask("build_float", onnx=str(nonsense), config={**config, "target_platform": "x"})
    # It still serves.
    assert toolkit.ask("hello")["toolkit"]


def test_a_killed_server_is_an_error_and_leaves_nothing(toolkit: Toolkit) -> None:
    toolkit.ask("hello")
    toolkit.process.send_signal(signal.SIGKILL)
    with pytest.raises(ComputeError, match="ended with -9"):
        toolkit.ask("hello")
    toolkit.close()
    assert not toolkit.folder.exists()


def test_the_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path;"
        "from actors.runtimes.toolkit.client import Toolkit;"
        f"t = Toolkit(Path({str(tmp_path / 'log')!r})); t.ask('hello');"
        "print(t.process.pid, t.folder, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid, folder = parent.stdout.readline().split()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while Path(folder).exists() or _runs(int(pid)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        return "toolkit/server.py" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False


def test_what_the_chip_cannot_is_said(
    images: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = models.write(tmp_path / "m.onnx", "vendor")
    arguments = [str(source), "-o", str(tmp_path / "m.rknn"), "--dataset", str(images)]
    assert main([*arguments, "--dtype", "w8a16"]) == 2
    assert "RK3588 does not compute w8a16" in capfd.readouterr().err
    assert not (tmp_path / "m.rknn").exists()


def labelled(images: Path, head: HeadDescription, model: Path, file: Path) -> Path:
    """A COCO-format set whose truth is what the float model finds."""
    entries: dict[str, list[dict[str, Any]]] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 1 + i, "name": name} for i, name in enumerate(models.NAMES)],
    }
    for number, path in enumerate(sorted(images.iterdir())):
        entries["images"].append({"id": number, "file_name": path.name, "width": 96, "height": 64})
        rows = decoded("onnx", model, head, path)
        rows = rows[nms_indices(rows[:, :4], rows[:, 4], rows[:, 5].astype(int), threshold=0.5)]
        rows[:, :4] = rows[:, :4].clip(0, (96, 64, 96, 64))
        for x1, y1, x2, y2, _, kind in rows[:4]:
            box = [float(v) for v in (x1, y1, x2 - x1, y2 - y1)]
            entries["annotations"].append(
                {"id": len(entries["annotations"]), "image_id": number, "bbox": box}
                | {"category_id": 1 + int(kind), "area": box[2] * box[3], "iscrowd": 0}
            )
    file.write_text(json.dumps(entries))
    return file


def test_report(images: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = models.write(tmp_path / "m.onnx", "vendor")
    head = HeadDescription("yolov8", 2, False, tuple(range(9)))
    truth = labelled(images, head, source, tmp_path / "truth.json")
    page = tmp_path / "page.html"
    arguments = [str(source), "--dataset", str(images), "--report", str(truth)]
    arguments += ["--images", str(images), "--algorithms", "normal", "--page", str(page), "--json"]
    code = main(arguments)
    found = json.loads(capfd.readouterr().out)["report"]
    assert code == (0 if found["holds"] else 1)
    assert found["float"]["map"] > 0.2
    (entry,) = found["entries"]
    assert entry["name"] == "w8a8 normal"
    assert entry["fused"]
    assert entry["calibration_images"] == 6
    assert found["worst_layers"]
    assert found["holds"] or "RUINS" in found["verdict"]
    text = page.read_text()
    assert found["verdict"] in text
    assert text.count("<svg") >= 3
    assert not any(word in text for word in ("src=", "href=", "<script", "url("))


def test_hybrid_is_kept_for_the_simulator(images: Path, tmp_path: Path) -> None:
    source = models.write(tmp_path / "m.onnx", "yolox")
    output = tmp_path / "m.rknn"
    arguments = [str(source), "-o", str(output), "--dataset", str(images), "--simulator"]
    assert main([*arguments, "--hybrid", "analysis"]) == 0
    described = read(output)
    assert described is not None
    assert described.floating
    assert described.color == "bgr"
    runtime = open_runtime(RuntimeSpec(kind="simulator", path=str(output), size=models.SIZE))
    outputs = runtime.run(np.full((64, 96, 3), 100, np.uint8))
    assert [output.shape for output in outputs] == list(read_rknn(str(output)).outputs.values())
    runtime.close()
