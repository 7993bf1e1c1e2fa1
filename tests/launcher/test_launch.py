"""The command `launch` as a user meets it: faults, plans, ports, failures. Real processes."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

import actors
from tests.support import runs
from tests.support.broken_topologies import CASES
from tests.support.topology_base import Case, lay_out
from tools.run_harness import ROOT, Harness


def launch(
    folder: Path, *arguments: str, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """`launch` in a process; run directories lie under `folder`."""
    return subprocess.run(
        [sys.executable, "-m", "actors.launch", *arguments],
        cwd=cwd or ROOT,
        env={**os.environ, "XDG_RUNTIME_DIR": str(folder), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def write(folder: Path, *tables: str) -> Path:
    path = folder / "topology.toml"
    path.write_text("".join(tables) + '[results]\nbind = "tcp://127.0.0.1:*"\n')
    return path


# A process a case costs a third of a second: every third of the table's cases, in one order.
@pytest.mark.slow
@pytest.mark.parametrize("case", CASES[::3], ids=lambda case: case.id)
def test_broken_topology_ends_with_2_and_its_lines(case: Case, short_tmp: Path) -> None:
    lay_out(short_tmp)
    path = short_tmp / "topology.toml"
    if case.text is not None:
        path.write_bytes(case.text if isinstance(case.text, bytes) else case.text.encode())
    options = [option for override in case.overrides for option in ("--set", override)]
    done = launch(short_tmp, str(path), "--check", *options, cwd=short_tmp)
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines() == case.expected(short_tmp)
    assert done.stdout == ""


def test_check_shows_the_plan_and_starts_nothing(short_tmp: Path, scene_video: Path) -> None:
    path = write(
        short_tmp,
        runs.stream(scene_video),
        runs.table("models.m", runtime="instant", latency_ms=13.6),
        runs.stage("large", "frame"),
        runs.stage("small", "tiles"),
        runs.workers(3),
    )
    done = launch(short_tmp, str(path), "--check")
    assert done.returncode == 0, done.stderr
    text = done.stdout
    assert "1920x1080, 40 frames, 30 frames/s" in text
    assert "3x2 native tiles of 640x640, overlap 0 px across and 200 px down, 6 tiles" in text
    assert "7 jobs a frame" in text
    assert "worker npu2: core 2" in text
    assert "at most 31.5 frames/s" in text
    assert "MB shared" in text
    assert list(short_tmp.iterdir()) == [path]


def test_port_in_use_is_a_fault(short_tmp: Path, scene_video: Path) -> None:
    path = write(
        short_tmp,
        runs.stream(scene_video),
        runs.instant(),
        runs.stage("s", "frame"),
        runs.workers(1),
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = launch(short_tmp, str(path), "--set", f"results.bind=tcp://127.0.0.1:{port}")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        f"topology.toml: results.bind: another program uses port {port}; choose another"
    )


@pytest.mark.parametrize(
    ("content", "place", "words"),
    [
        (b"\x08\x08" + b"no protobuf at all" * 20, "models.m.path", "ONNX Runtime cannot load it"),
        (b"\x08\x08\x12\x07pytorch", "models.m.path", "ONNX Runtime cannot load it"),
    ],
    ids=["junk", "cut"],
)
def test_file_that_is_no_model(
    content: bytes, place: str, words: str, short_tmp: Path, scene_video: Path
) -> None:
    model = short_tmp / "m.onnx"
    model.write_bytes(content)
    tables = (runs.stream(scene_video), runs.model(model), runs.stage("s", "frame"))
    done = launch(short_tmp, str(write(short_tmp, *tables, runs.workers(1))))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"topology.toml: {place}: ")
    assert words in line


def test_file_that_is_no_video(short_tmp: Path) -> None:
    video = short_tmp / "v.mp4"
    video.write_bytes(b"this is text" * 100)
    tables = (runs.stream(video), runs.instant(), runs.stage("s", "frame"), runs.workers(1))
    done = launch(short_tmp, str(write(short_tmp, *tables)))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("topology.toml: streams.cam0.source: ")


def test_model_whose_outputs_are_of_no_known_head(short_tmp: Path, scene_video: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    image = helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, (1, 3, 64, 64))
    out = helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, (1, 3))
    node = helper.make_node("ReduceMean", ["image"], ["out"], axes=[2, 3], keepdims=0)
    graph = helper.make_graph([node], "g", [image], [out])
    model = short_tmp / "m.onnx"
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(model))
    tables = (runs.stream(scene_video), runs.model(model), runs.stage("s", "frame"))
    done = launch(short_tmp, str(write(short_tmp, *tables, runs.workers(1))))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("topology.toml: models.m.head: ")
    assert "(1, 3)" in line


def test_cpu_that_this_machine_lacks_ends_with_2(short_tmp: Path, scene_video: Path) -> None:
    path = write(
        short_tmp,
        runs.stream(scene_video),
        runs.instant(),
        runs.stage("s", "frame"),
        runs.table("workers.npu0", core=0, models=["m"], cpus=[0, 1000]),
    )
    done = launch(short_tmp, str(path), "--check")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    place = "topology.toml: workers.npu0.cpus.1: this machine has no CPU 1000, its CPUs are "
    assert line.startswith(place)


def test_worker_that_cannot_start_ends_the_run_with_1_and_why(
    short_tmp: Path, scene_video: Path
) -> None:
    path = write(
        short_tmp,
        runs.stream(scene_video),
        runs.model(ROOT / "actors" / "demo" / "small.rknn"),
        runs.stage("s", "frame"),
        runs.table("workers.npu0", core=0, models=["m"], cpus=[1000]),
    )
    done = launch(short_tmp, str(path))
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "no worker is left for stage s" in last
    assert "workers.npu0.cpus" in last
    assert "Traceback" not in done.stderr
    assert list((short_tmp / "tritile").iterdir()) == []


@pytest.mark.parametrize("limit", [16, 30, 64])
def test_too_few_descriptors_is_one_sentence(limit: int, short_tmp: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f"ulimit -n {limit}; exec {sys.executable} -m actors.launch x.toml"],
        cwd=ROOT,
        env={**os.environ, "XDG_RUNTIME_DIR": str(short_tmp)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"launch: only {limit} files may be open at once, 256 are needed; raise the limit "
        "(ulimit -n 256)\n"
    )


def test_too_little_memory_is_one_sentence(short_tmp: Path, scene_video: Path) -> None:
    """64 slots of frames of a gigabyte each: refused before anything is allocated."""
    folder = short_tmp / "images"
    folder.mkdir()
    # imagesize reads the header alone, so a header is enough to ask for so much.
    image = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    (folder / "0.png").write_bytes(image)
    huge = image[:16] + (20_000).to_bytes(4, "big") * 2 + image[24:]
    (folder / "1.png").write_bytes(huge)
    tables = (runs.stream(folder, slots=64), runs.instant(), runs.stage("s", "frame"))
    done = launch(short_tmp, str(write(short_tmp, *tables, runs.workers(1))))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("launch: the run's frame memory needs 76")
    assert "streams.NAME.slots" in line


def test_a_log_that_cannot_be_written_holds_nothing_up(short_tmp: Path, scene_video: Path) -> None:
    """stderr on a full disk: the run and its results are as ever."""
    log = short_tmp / "out.jsonl"
    path = write(
        short_tmp,
        runs.stream(scene_video),
        runs.instant(),
        runs.stage("small", "tiles"),
        runs.workers(1),
    )
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "actors.launch", str(path), "--frames", "10"),
                *("--set", f"results.jsonl={log}"),
            ],
            cwd=ROOT,
            env={**os.environ, "XDG_RUNTIME_DIR": str(short_tmp)},
            stdout=full,
            stderr=full,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0
    assert len(log.read_text().splitlines()) == 11


def test_outputs_of_an_earlier_run_are_replaced_only_on_request(
    short_tmp: Path, scene_video: Path
) -> None:
    log = short_tmp / "out.jsonl"
    log.write_text("precious\n")
    tables = (runs.stream(scene_video), runs.instant(), runs.stage("s", "frame"), runs.workers(1))
    command = (str(write(short_tmp, *tables)), "--set", f"results.jsonl={log}", "--frames", "3")
    refused = launch(short_tmp, *command)
    assert refused.returncode == 2
    assert refused.stderr == (
        f"topology.toml: results.jsonl: {log} exists already; give another name, or replace it "
        "with --overwrite\n"
    )
    checked = launch(short_tmp, *command, "--check")
    assert checked.returncode == 0
    assert f"warning: results.jsonl: {log} exists already" in checked.stderr
    assert log.read_text() == "precious\n"
    replaced = launch(short_tmp, *command, "--overwrite")
    assert replaced.returncode == 0, replaced.stderr
    assert len(log.read_text().splitlines()) == 4
    assert launch(short_tmp, *command, "--overwrite").returncode == 0
    assert len(log.read_text().splitlines()) == 4


def test_launch_says_which_version_runs_and_on_what(short_tmp: Path, scene_video: Path) -> None:
    tables = (runs.stream(scene_video), runs.instant(), runs.stage("s", "frame"), runs.workers(1))
    done = launch(short_tmp, str(write(short_tmp, *tables)), "--frames", "1")
    assert done.returncode == 0
    first, *_, last = done.stderr.splitlines()
    assert first.startswith(f"launch: tritile {actors.__version__} on ")
    assert f"({os.uname().machine}), run 'topology', results on tcp://127.0.0.1:" in first
    assert any(line.startswith("launch: cam0: 1 frame in ") for line in done.stderr.splitlines())
    assert last == "launch: the cores were emulated: rates and detections are not a real NPU's"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_starts_is_a_quiet_exit(
    number: signal.Signals, short_tmp: Path, scene_video: Path
) -> None:
    """From the first line of the program on: at 15 moments that a start goes through.

    To the process group, as a terminal does with Ctrl-C.
    """
    tables = (runs.stream(scene_video), runs.instant(), runs.stage("s", "frame"), runs.workers(1))
    path = write(short_tmp, *tables)
    # Says when Python has come to the program, which is then sent a signal.
    boot = (
        "import os, sys; from actors import launch; os.write(1, b'.');"
        "sys.exit(launch.main(sys.argv[1:]))"
    )
    for moment in range(15):
        process = subprocess.Popen(
            [sys.executable, "-c", boot, str(path)],
            cwd=ROOT,
            env={**os.environ, "XDG_RUNTIME_DIR": str(short_tmp)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdout is not None
        process.stdout.read(1)
        time.sleep(0.002 + 0.06 * moment)
        os.killpg(process.pid, number)
        said = process.communicate(timeout=30)[0].decode()
        assert process.returncode == 0, said
        assert "Traceback" not in said


@pytest.mark.slow
def test_frames_that_a_stop_leaves_unpublished_are_named() -> None:
    """One tile takes longer than a stop waits."""
    tables = (
        runs.stream("synthetic", size=[640, 640]),
        runs.table("models.m", path="tritile:small", runtime="emulated", latency_ms=5000),
        runs.stage("s", "frame"),
        runs.workers(1),
    )
    with Harness("".join(tables), "--set", "results.wait_for_subscriber=false") as run:
        run.wait_until_running()
        runs.wait_for(lambda: run.status()["streams"][0]["captured"] > 2)
        run.ask(do="stop")
        assert run.wait(20) == 0, run.stderr
        said = run.stderr
    assert "not finished in time" in said
    line = re.search(
        r"cam0: 0 frames in .*, (\d+) captured frames not published: 0 to (\d+)\n", said
    )
    assert line is not None, said
    assert int(line[1]) == int(line[2]) + 1
