"""The board in a folder: the vendor's package on the emulated device, and runs of `launch`."""

from __future__ import annotations

import json
import os
import signal
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from actors.client import End
from tests.support import runs
from tests.tools.board import planted
from tests.tools.board.conftest import Run
from tests.tools.board.refusals import SMALL
from tools import chaos
from tools.board import model
from tools.board.board_harness import BoardHarness
from tools.board.npu import Call, cores_of_contexts, overlaps
from tools.run_harness import pids

pytestmark = [pytest.mark.board, pytest.mark.slow, pytest.mark.timeout(600)]

FRAMES = 12
_OPENING = "cannot start a context: "
_LIBRARY = (
    "put librknnrt.so (in the vendor's rknn-toolkit2 repository under rknpu2/runtime) in /usr/lib"
)
_STUCK = "update the board's firmware or NPU driver; if the core stays stuck, power it off and on"

REFUSALS = {
    "batch": "its input takes 3 images at once, which no single core holds; convert it without "
    "rknn_batch_size, tiles run one by one",
    "rk3566": "it was converted for rk3566 and this is rk3588; convert it for rk3588",
    "truncated": "the file is cut off at 2,692 bytes of 2,792; convert or copy the model again",
    "core 3": "there is no core 3: rk3588 has the NPU cores 0 to 2; correct the worker's core",
    "no driver": f"{_OPENING}failed to open rknpu module, need to insmod rknpu dirver; the "
    "kernel's NPU driver does not answer: load or update it, and in a container map "
    "/dev/dri/renderD129 into it",
    "old library": f"{_OPENING}rknn_init, Invalid RKNN model version 6; librknnrt.so is older than "
    "the toolkit that made the model: install the librknnrt.so of that toolkit's version in "
    "/usr/lib, or convert the model with an older toolkit",
    "init -1": f"{_OPENING}RKNN init failed. error code: RKNN_ERR_FAIL; TRITILE_LOG=debug in the "
    "environment shows all that the vendor's library logs",
    "mask": f"{_OPENING}core mask = 1 is invalid on rk3588; use another core for this worker, or "
    "update librknnrt.so",
    "first run": "core 0 fails its first inference: the NPU failed: rknn_run returned -1: Get "
    f"outputs failed, error code: RKNN_ERR_OUTPUT_INVALID; {_STUCK}",
    "out of memory": "core 0 fails its first inference: the NPU failed: Get outputs failed, error "
    "code: RKNN_ERR_MALLOC_FAIL; the board is out of memory: use fewer contexts or models",
    "run 1": "",
    # The package itself would return the outputs of run 1 here, and say nothing.
    "run 2": f"the NPU failed: rknn_run returned -1; {_STUCK}",
    "run 3": "",
    "mask 5": "-1",
    "mask 7": "0",
    "library's masks": "0: 0, 1: 0, 2: 0, 3: 0, 4: 0, 5: -5, 6: -5, 7: 0, 8: -5, 65535: 0",
    "batch on core 2": "0 | W RKNN: core mask = 4 is invalid for batch size: 3, fall back to "
    "CORE_AUTO mode",
    "broken library": f"{_OPENING}OSError: /usr/lib/librknnrt.so: file too short; {_LIBRARY}",
}


def test_refusals_are_sentences_with_a_remedy(run_on_board: Run, short_tmp: Path) -> None:
    done = run_on_board("python3", "-m", "tests.tools.board.refusals", str(short_tmp))
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    clean = {name: _without_times(text) for name, text in answers.items()}
    assert clean == REFUSALS


def _without_times(text: str) -> str:
    parts = text.split("] ") if "RKNN: [" in text else [text]
    return " ".join([part.partition(" [")[0] for part in parts[:-1]] + parts[-1:])


@pytest.mark.parametrize(
    ("chip", "core", "refusal"),
    [
        ("rk3566", 0, ""),
        ("rk3566", 1, "there is no core 1: rk3566 has one NPU core, 0; correct the worker's core"),
        ("rk3576", 1, ""),
        (
            "rk3576",
            2,
            "there is no core 2: rk3576 has the NPU cores 0 to 1; correct the worker's core",
        ),
    ],
)
def test_chips_of_fewer_cores(
    chip: str, core: int, refusal: str, run_on_board: Run, short_tmp: Path
) -> None:
    path = short_tmp / "m.rknn"
    model.write(path, model.Model(SMALL, 2, 1.0, chip=chip))
    done = run_on_board(
        "python3", "-m", "tests.tools.board.refusals_child", str(path), str(core), chip=chip
    )
    assert (done.stdout.strip(), done.returncode) == (refusal, 0), done.stderr


def test_the_package_installs_from_its_metadata(run_on_board: Run) -> None:
    """On aarch64 the markers ask for the vendor's package, and nothing is missing here."""
    offline = ["--no-index", "--no-build-isolation", "--break-system-packages", "--dry-run"]
    done = run_on_board("python3", "-m", "pip", "install", *offline, ".")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == f"Would install tritile-{version('tritile')}"
    assert any("rknn-toolkit-lite2>=2.3.2" in line and "satisfied" in line for line in lines)


# ---------------------------------------------------------------- whole runs


@pytest.fixture(scope="module")
def planted_topology(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two models on three workers look at frames with known targets."""
    folder = tmp_path_factory.mktemp("planted")
    (folder / "frames").mkdir()
    planted.write(folder / "frames", FRAMES)
    model.write(folder / "small.rknn", model.Model((640, 640), len(planted.LABELS), 10.0))
    model.write(folder / "large.rknn", model.Model((640, 384), len(planted.LABELS), 10.0))
    labels = list(planted.LABELS)
    return (
        runs.stream(folder / "frames")
        + runs.model(folder / "small.rknn", "small", labels=labels)
        + runs.model(folder / "large.rknn", "large", labels=labels)
        + runs.stage("small", "tiles", model="small", overlap=0.2)
        + runs.stage("large", "frame", model="large")
        + runs.workers(3, ("small", "large"))
    )


def _run(
    board: Path, topology: str, *options: str, rules: tuple[str, ...] = (), kill: int | None = None
) -> tuple[list[runs.Record], list[Call], str]:
    """A run to its end: records, the device's calls, stderr. `kill`: npu0 after that frame."""
    records: list[runs.Record] = []
    with BoardHarness(board, topology, *options) as harness:
        harness.npu.script(*rules)
        try:
            for message in runs.messages(harness, 120.0):
                if isinstance(message, End):
                    break
                # On a busy machine the supervisor may take a slow merger for hung: it delivers at
                # least once, so its last frame may come twice.
                if records and records[-1]["seq"] == message.seq:
                    continue
                records.append(message.raw)
                if kill is not None and message.seq == kill:
                    os.kill(pids(harness.status())["npu0"], signal.SIGKILL)
        except TimeoutError:
            pytest.fail(f"no more results:\n{harness.stderr}")
        assert harness.wait(60) == 0, harness.stderr
        return records, harness.npu.calls(), harness.stderr


@pytest.fixture(scope="module")
def undisturbed(board: Path, planted_topology: str) -> tuple[list[runs.Record], list[Call], str]:
    return _run(board, planted_topology)


def test_planted_targets_are_found(
    undisturbed: tuple[list[runs.Record], list[Call], str],
) -> None:
    records, _, stderr = undisturbed
    assert runs.in_order_once(records, FRAMES)
    for record in records:
        assert record["complete"]
        boxes, classes = planted.targets(record["seq"])
        found = np.array([detection["box"] for detection in record["detections"]])
        assert len(found) == len(boxes)
        off = np.abs(found[:, None] - boxes[None]).max(axis=2)
        nearest = off.argmin(axis=0)
        assert sorted(nearest) == list(range(len(boxes)))
        assert off.min(axis=0).max() < 2.0
        labels = [record["detections"][index]["label"] for index in nearest]
        assert labels == [planted.LABELS[int(kind)] for kind in classes]
    assert "npu2: rk3588: rknn-toolkit-lite2 2." in stderr
    assert "librknnrt 2.3.2, driver 0.9.8; model made by toolkit 2.3.2" in stderr


def test_each_context_stays_on_its_core(
    undisturbed: tuple[list[runs.Record], list[Call], str],
) -> None:
    _, calls, _ = undisturbed
    _check_cores(calls)
    contexts = cores_of_contexts(calls)
    # Three workers of two contexts of two models.
    assert len(contexts) == 12
    assert len({pid for pid, _ in contexts}) == 3
    threads = {(c.pid, c.context): c.thread for c in calls if c.call == "run"}
    assert all(threads[c.pid, c.context] == c.thread for c in calls if c.call == "run")
    # Nine tiles a frame (eight and the whole), and the first inference of each context.
    assert sum(call.call == "ran" for call in calls) >= FRAMES * 9 + 12


def _check_cores(calls: list[Call]) -> None:
    assert overlaps(calls) == []
    cores = cores_of_contexts(calls)
    assert all(len(used) == 1 for used in cores.values())
    of_process: dict[int, set[int | None]] = {}
    for (pid, _), used in cores.items():
        of_process.setdefault(pid, set()).update(used)
    assert all(len(used) == 1 for used in of_process.values())
    assert set().union(*cores.values()) == {0, 1, 2}


# A worker's four contexts make one inference each before its first tile. The two runs that fail are
# far apart, so that the second is never the first one's tile again: that would be given up.
DISTURBANCES: dict[str, tuple[tuple[str, ...], int | None]] = {
    "a worker is killed": ((), 3),
    "a run hangs": (("run core=1 nth=12 hang",), None),
    "a run crashes the process": (("run core=2 nth=14 crash",), None),
    "a run fails": (("run core=0 nth=10 return -1", "run core=2 nth=22 return -1"), None),
}


@pytest.mark.parametrize("kind", DISTURBANCES)
def test_results_are_those_of_an_undisturbed_run(
    kind: str,
    board: Path,
    planted_topology: str,
    undisturbed: tuple[list[runs.Record], list[Call], str],
) -> None:
    rules, kill = DISTURBANCES[kind]
    records, calls, stderr = _run(board, planted_topology, rules=rules, kill=kill)
    struck = [call.details for call in calls if call.call == "script"]
    assert len(struck) == len(rules), stderr
    assert runs.in_order_once(records, FRAMES)
    assert runs.essence(records) == runs.essence(undisturbed[0]), stderr
    _check_cores(calls)


def test_chaos(board: Path, planted_topology: str, short_tmp: Path) -> None:
    """Every actor is killed and two are stopped, at random moments."""
    path = short_tmp / "planted.toml"
    path.write_text(planted_topology)
    disturbances = ["--kills", "6", "--stops", "2", "--seed", "5", "--interval-ms", "3000"]
    assert chaos.main([str(path), "--board", str(board), *disturbances]) == 0


def test_street(board: Path, shared_data: Path, tmp_path: Path) -> None:
    """The street video's first 60 frames with two models, one of them a real file."""
    real = shared_data / "models" / "yolov10n_rk3588_i8.rknn"
    labels = str(shared_data / "models" / "coco_classes.txt")
    model.write(tmp_path / "large.rknn", model.Model((640, 384), 80, 10.0))
    topology = (
        runs.stream(shared_data / "street" / "street.mp4")
        + runs.model(real, "small", labels=labels)
        + runs.model(tmp_path / "large.rknn", "large", labels=labels)
        + runs.stage("small", "tiles", model="small")
        + runs.stage("large", "frame", model="large")
        + runs.workers(3, ("small", "large"))
    )
    records, calls, _ = _run(board, topology, "--frames", "60")
    assert runs.in_order_once(records, 60)
    assert all(record["complete"] for record in records)
    _check_cores(calls)
    assert sum(call.call == "ran" for call in calls) >= 60 * 7 + 12


UNIT_TESTS = (
    "tests/vision",
    "tests/runtimes",
    "tests/dataflow/test_messages.py",
    "tests/dataflow/test_reorder.py",
    "tests/dataflow/test_dispatch.py",
)


def test_unit_tests_pass_on_the_board(run_on_board: Run) -> None:
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "tests.tools.board.slow_machine",
        "-m",
        "not slow",
    ]
    # ONNX Runtime computes whole networks there, for minutes, and a board has it for nothing.
    options += ["--ignore", "tests/vision/test_heads_models.py"]
    # It runs `launch` with runtimes of its own, which is not a unit test.
    options += ["--ignore", "tests/runtimes/test_registry.py"]
    done = run_on_board("python3", "-m", "pytest", *options, *UNIT_TESTS)
    assert done.returncode == 0, done.stdout[-3000:]
