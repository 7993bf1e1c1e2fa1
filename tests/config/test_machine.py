"""What a topology is checked for against the machine and the package: CPUs, cores, COCO's names."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.config import cpu_checks
from actors.config.errors import TopologyError
from actors.config.loading import load
from tests.support.topology_base import BASE, NPU1, base, lay_out, npu1


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of BASE, on a machine with the CPUs 0, 1, 2 and 5."""
    lay_out(tmp_path)
    (tmp_path / "online").write_text("0-2,5\n")
    monkeypatch.setattr(cpu_checks, "_ONLINE", tmp_path / "online")
    monkeypatch.setattr(cpu_checks, "on_board", lambda: False)
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "topology.toml"
    path.write_text(text)
    return path


def lines_of(path: Path) -> list[str]:
    with pytest.raises(TopologyError) as caught:
        load(path)
    return caught.value.lines()


# ---- CPUs

FOUR = npu1('core = 1\nmodels = ["small"]\ncpus = [5, 3, 4]')
RKNN = ("models/small.onnx", "models/board.rknn")


def test_a_cpu_that_is_not_there_is_refused(folder: Path) -> None:
    assert lines_of(write(folder, FOUR)) == [
        "topology.toml: workers.npu1.cpus.1: this machine has no CPU 3, its CPUs are 0-2,5; "
        "correct or remove it"
    ]


def test_cpus_that_are_there_are_taken(folder: Path) -> None:
    text = npu1('core = 1\nmodels = ["small"]\ncpus = [0, 5]')
    assert load(write(folder, text)).warnings == ()


def test_the_cpus_of_a_board_are_a_warning_on_a_pc(folder: Path) -> None:
    """A topology for a board is checked on a PC; there its .rknn cannot run anyway."""
    assert load(write(folder, FOUR.replace(*RKNN))).warnings == (
        "workers.npu1.cpus: this machine has no CPU 3, its CPUs are 0-2,5; it is taken for one of "
        "the .rknn's board",
    )


def test_on_the_board_itself_they_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_checks, "on_board", lambda: True)
    assert "this machine has no CPU 3" in lines_of(write(folder, FOUR.replace(*RKNN)))[0]


def test_a_worker_that_could_run_here_needs_cpus_of_this_machine(folder: Path) -> None:
    text = FOUR.replace(*RKNN).replace('["small"]\ncpus', '["small", "large"]\ncpus')
    assert "this machine has no CPU 3" in lines_of(write(folder, text))[0]


def test_a_system_without_the_kernels_list_has_the_cpus_that_python_counts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_checks, "_ONLINE", folder / "nothing-here")
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert lines_of(write(folder, FOUR))[0].endswith(
        "this machine has no CPU 5, its CPUs are 0-1; correct or remove it"
    )


# ---- cores


def test_workers_that_share_a_core_are_a_warning(folder: Path) -> None:
    text = base(("core = 1", "core = 0")) + NPU1.replace("npu1", "npu2")
    assert load(write(folder, text)).warnings == (
        "workers.npu1.core: core 0 is shared with workers.npu0, and the two take turns on it; give "
        "each worker a core of its own to run them at the same time",
    )


# ---- class names of the package


@pytest.mark.parametrize("by", ["file", "override"])
def test_coco_is_the_packages_list(by: str, folder: Path) -> None:
    path = write(folder, BASE)
    if by == "file":
        write(
            folder,
            base(('path = "models/large.onnx"', 'path = "models/large.onnx"\nlabels = "coco"')),
        )
        labels = load(path).models["large"].labels
    else:
        labels = load(path, ["models.large.labels=coco"]).models["large"].labels
    assert isinstance(labels, Path)
    names = labels.read_text().splitlines()
    assert len(set(names)) == 80
    assert (names[0], names[16], names[79]) == ("person", "dog", "toothbrush")


def test_a_users_file_of_that_name_is_theirs(folder: Path) -> None:
    (folder / "coco").write_text("mine\n")
    text = base(('path = "models/large.onnx"', 'path = "models/large.onnx"\nlabels = "coco"'))
    assert load(write(folder, text)).models["large"].labels == folder / "coco"


# ---- what is given in place of a topology


@pytest.mark.parametrize(
    ("name", "content", "what", "options"),
    [
        ("a b.mp4", b"\0\0\0\x18ftypmp42", "this file", "--set streams.cam0.source='a b.mp4'"),
        ("one.JPG", b"\xff\xd8\xff\xe0\0\x10", "this file", "--set streams.cam0.source=one.JPG"),
        (
            "yolov8n.onnx",
            b"\x08\x08\x12\0",
            "this model",
            "--set models.large.path=yolov8n.onnx --set models.small.path=yolov8n.onnx",
        ),
        (
            "yolov8n.rknn",
            b"RKNN\0\0\0\0",
            "this model",
            "--set models.large.path=yolov8n.rknn --set models.small.path=yolov8n.rknn",
        ),
        ("images", None, "the images of this folder", "--set streams.cam0.source=images"),
        ("/dev/video77", None, "this camera", "--set streams.cam0.source=/dev/video77"),
        ("rtsp://h/live", None, "this stream", "--set streams.cam0.source=rtsp://h/live"),
    ],
)
def test_a_source_or_a_model_in_place_of_a_topology(
    name: str,
    content: bytes | None,
    what: str,
    options: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    if content is not None:
        Path(name).write_bytes(content)
    assert lines_of(Path(name)) == [
        f"{Path(name).name}: a topology is expected, a .toml file; to run {what}: launch "
        f"topology.toml {options}"
    ]


def test_other_files_keep_their_own_problem(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    Path("latin.toml").write_bytes(b'[run]\nname = "caf\xe9"\n')
    assert "is not UTF-8" in lines_of(Path("latin.toml"))[0]
    assert 'there is no "none.mp4"' in lines_of(Path("none.mp4"))[0]
    assert '"nothing" is a folder' in lines_of(Path("nothing"))[0]
