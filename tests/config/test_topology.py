"""topology.toml: what is refused and in which words, what is accepted, and what overrides do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from actors.config.errors import Fault, TopologyError
from actors.config.loading import load
from actors.config.schema import Topology
from tests.support.broken_topologies import CASES
from tests.support.topology_base import BASE, Case, lay_out, small, stream


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lay_out(tmp_path)
    return tmp_path


def write(folder: Path, text: str | bytes, name: str = "topology.toml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def faults_of(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(TopologyError) as caught:
        load(path, overrides)
    return caught.value.lines()


# ---- refused


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_broken(case: Case, folder: Path) -> None:
    path = folder / "topology.toml" if case.text is None else write(folder, case.text)
    assert faults_of(path, *case.overrides) == case.expected(folder)


def test_the_table_names_no_case_twice() -> None:
    assert len({case.id for case in CASES}) == len(CASES) >= 35


def test_the_error_carries_faults_and_reads_as_its_lines(folder: Path) -> None:
    path = write(folder, small('model = "smal"\nview = "tile"'), "broken.toml")
    with pytest.raises(TopologyError) as caught:
        load(path)
    assert caught.value.file == "broken.toml"
    model, view = caught.value.faults
    assert model == Fault("stages.small.model", 'no model named "smal"; did you mean "small"?')
    assert view.place == "stages.small.view"
    assert view.problem.endswith('or "crops", got "tile"; did you mean "tiles"?')
    assert str(caught.value).splitlines() == caught.value.lines()


def test_a_folder_as_the_topology(folder: Path) -> None:
    assert faults_of(folder) == [f'{folder.name}: "{folder}" is a folder; give a file']


def test_a_relative_topology_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "conf").mkdir()
    write(folder / "conf", BASE)
    monkeypatch.chdir(folder)
    lines = faults_of(Path("conf/topology.toml"))
    assert lines[0] == (
        'topology.toml: streams.cam0.source: there is no "street.mp4" '
        f"(looked for {folder}/conf/street.mp4); correct the path"
    )
    assert faults_of(Path("conf/none.toml")) == [
        f'none.toml: there is no "conf/none.toml" (looked for {folder}/conf/none.toml); correct '
        "the path"
    ]


# ---- accepted


def test_a_good_topology(folder: Path) -> None:
    topology = load(write(folder, BASE, "Street View.toml"))
    assert topology.file == folder / "Street View.toml"
    assert topology.warnings == ()
    # fmt: off
    camera = {"size": None, "fps": None, "fourcc": None, "seed": None}
    found_out = dict.fromkeys(["head", "labels", "latency_ms", "color", "mean", "std", "size"])
    large = {"path": folder / "models/large.onnx", "runtime": "onnx", "conf": 0.25, "iou": 0.5}
    rest = {"grid": None, "source": None, "condition": None, "max_crops": 8}
    worker = {"contexts": None, "cpus": None}
    assert topology.model_dump(exclude={"file", "warnings"}) == {
        "run": {"name": "street-view"},
        "results": {"bind": "tcp://127.0.0.1:*", "wait_for_subscriber": False, "jsonl": None,
                    "curve": None, "ground_truth": False, "insecure": False},
        "streams": {"cam0": {"source": f"{folder}/street.mp4", "pace": "fast", "loop": False,
                             "slots": None, **camera}},
        "models": {"large": {**large, **found_out},
                   "small": {**large, **found_out, "path": folder / "models/small.onnx"}},
        "stages": {"large": {"model": "large", "view": "frame", "overlap": 0.0, **rest},
                   "small": {"model": "small", "view": "tiles", "overlap": 0.1, **rest}},
        "workers": {"npu0": {"core": 0, "models": ["large", "small"], **worker},
                    "npu1": {"core": 1, "models": ["small"], **worker}},
        "merge": {"method": "nms", "metric": "iou", "threshold": 0.5, "class_agnostic": False,
                  "truncated": "suppress"},
        "render": {"video": folder / "out.mp4", "pictures": None, "tiles": False},
    }
    # fmt: on
    with pytest.raises(ValidationError):
        topology.merge.threshold = 0.9  # type: ignore[misc]


BIND = 'bind = "tcp://127.0.0.1:*"'
LARGE = 'path = "models/large.onnx"'

TILES = 'view = "tiles"\noverlap = 0.1'
# The edit of BASE, where to look, what is to be there; FOLDER as in the table of broken ones.
# fmt: off
GOOD: dict[str, tuple[tuple[str, str], str, Any]] = {
    "folder": (('"street.mp4"', '"images"'), "streams.cam0.source", "FOLDER/images"),
    "folder-with-dots": (('"street.mp4"', '"./images/"'), "streams.cam0.source", "FOLDER/images"),
    "glob": (('"street.mp4"', '"i*/*.JPG"'), "streams.cam0.source", "FOLDER/i*/*.JPG"),
    "deep-glob": (('"street.mp4"', '"**/*.JPG"'), "streams.cam0.source", "FOLDER/**/*.JPG"),
    "slots": (('"street.mp4"', '"street.mp4"\nslots = 64'), "streams.cam0.slots", 64),
    "localhost": (("127.0.0.1", "localhost"), "results.bind", "tcp://localhost:*"),
    "other-loopback": (("127.0.0.1:*", "127.1.2.3:1"), "results.bind", "tcp://127.1.2.3:1"),
    "ipv6": (("127.0.0.1:*", "[::1]:65535"), "results.bind", "tcp://[::1]:65535"),
    "ipc": (("tcp://127.0.0.1:*", "ipc://r.sock"), "results.bind", "ipc://FOLDER/r.sock"),
    "abstract-ipc": (("tcp://127.0.0.1:*", "ipc://@r"), "results.bind", "ipc://@r"),
    "insecure": ((BIND, 'bind = "tcp://*:1"\ninsecure = true'), "results.bind", "tcp://*:1"),
    "jsonl": ((BIND, 'jsonl = "images/../o.jsonl"'), "results.jsonl", "FOLDER/images/../o.jsonl"),
    "no-bind": ((BIND, ""), "results.bind", "tcp://127.0.0.1:5570"),
    "no-render": (('[render]\nvideo = "out.mp4"\n', ""), "render.video", None),
    "output-that-exists": (("out.mp4", "old.avi"), "render.video", "FOLDER/old.avi"),
    "pictures": (('video = "out.mp4"', 'pictures = "images"'), "render.pictures", "FOLDER/images"),
    "emulated": ((LARGE, LARGE + '\nruntime = "emulated"\nlatency_ms = 0'),
                 "models.large.latency_ms", 0.0),
    "instant": ((LARGE, 'runtime = "instant"'), "models.large.size", (640, 640)),
    "instant-no-path": ((LARGE, 'runtime = "instant"'), "models.large.path", None),
    "instant-size": ((LARGE, 'runtime = "instant"\nsize = [416, 320]'),
                     "models.large.size", (416, 320)),
    "label-file": ((LARGE, LARGE + '\nlabels = "models/names.txt"'),
                   "models.large.labels", "FOLDER/models/names.txt"),
    "label-list": ((LARGE, LARGE + '\nlabels = ["a", "b"]'), "models.large.labels", ["a", "b"]),
    "one-mean": ((LARGE, LARGE + "\nmean = 127.5"), "models.large.mean", (127.5,) * 3),
    "three-std": ((LARGE, LARGE + "\nstd = [1, 2.5, 3]"), "models.large.std", (1.0, 2.5, 3.0)),
    "grid": (("overlap = 0.1", "grid = [3, 2]"), "stages.small.grid", (3, 2)),
    "crops": ((TILES, 'view = "crops"\nsource = "large"'), "stages.small.source", "large"),
    "condition": ((TILES, TILES + '\ncondition = "large"'), "stages.small.condition", "large"),
    "one-core-shared": (("core = 1", "core = 0"), "workers.npu1.core", 0),
    "cpus": (("core = 1", "core = 1\ncpus = [0]"), "workers.npu1.cpus", [0]),
    "windows-line-ends": (("\n", "\r\n"), "workers.npu1.core", 1),
    "byte-order-mark": (("[results]", "\ufeff[results]"), "workers.npu1.core", 1),
}
# fmt: on


def value_at(topology: Topology, place: str) -> Any:
    node: Any = topology
    for part in place.split("."):
        node = node[part] if isinstance(node, dict) else getattr(node, part)
    return str(node) if isinstance(node, Path) else node


@pytest.mark.parametrize(("edit", "place", "value"), GOOD.values(), ids=GOOD.keys())
def test_good(edit: tuple[str, str], place: str, value: Any, folder: Path) -> None:
    (folder / "old.avi").write_bytes(b"an earlier run")
    topology = load(write(folder, BASE.replace(*edit)))
    expected = value.replace("FOLDER", str(folder)) if isinstance(value, str) else value
    assert value_at(topology, place) == expected


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("topology.toml", "topology"),
        ("Street 1.v2.toml", "street-1-v2"),
        ("_.toml", "run"),
        ("\u00fcber.toml", "ber"),
        ("a" * 40 + ".toml", "a" * 32),
    ],
)
def test_the_run_is_named_after_the_file(file: str, name: str, folder: Path) -> None:
    assert load(write(folder, BASE, file)).run.name == name
    assert load(write(folder, BASE, file), ["run.name=mine"]).run.name == "mine"


def test_what_is_not_used_is_a_warning(folder: Path) -> None:
    text = small('model = "large"').replace(
        "[stages.large]", '[models.spare]\npath = "models/small.onnx"\n[stages.large]'
    )
    assert load(write(folder, text)).warnings == (
        "models.small: no stage uses this model",
        "models.spare: no stage uses this model",
        'workers.npu0.models.1: no stage uses "small"',
        'workers.npu1.models.0: no stage uses "small"',
    )


def test_real_models(folder: Path, shared_data: Path) -> None:
    """What real exporters write passes the cheap look at the first bytes."""
    path = write(folder, BASE)
    for model in sorted((shared_data / "models").glob("*.onnx")):
        load(path, [f"models.large.path={model}"])
    board = shared_data / "models" / "yolov10n_rk3588_i8.rknn"
    assert load(path, [f"models.large.path={board}"]).models["large"].runtime == "rknn"


# ---- overrides and paths


@pytest.mark.parametrize(
    ("overrides", "place", "value"),
    [
        (["workers.npu1.core=2"], "workers.npu1.core", 2),
        (["workers.npu1.core=2", "workers.npu1.core=3"], "workers.npu1.core", 3),
        ([" workers.npu1.core = 2 "], "workers.npu1.core", 2),
        (["merge.method=nmm"], "merge.method", "nmm"),
        (['merge.method="nmm"'], "merge.method", "nmm"),
        (["merge.class_agnostic=true"], "merge.class_agnostic", True),
        (["stages.small.grid=[2, 2]", "stages.small.grid.0=3"], "stages.small.grid", (3, 2)),
        (["workers.npu1.models.0=large"], "workers.npu1.models", ["large"]),
        (["workers.npu1={core=5, models=['small']}"], "workers.npu1.core", 5),
        (["workers.npu2.core=2", 'workers.npu2.models=["small"]'], "workers.npu2.core", 2),
        (["streams.cam1.source=images", "streams.cam1.loop=true"], "streams.cam1.loop", True),
    ],
)
def test_overrides(overrides: list[str], place: str, value: Any, folder: Path) -> None:
    overrides = [text.replace("=images", f"={folder}/images") for text in overrides]
    assert value_at(load(write(folder, BASE), overrides), place) == value


def test_relative_paths_are_of_the_file_or_of_the_command_line(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file's for what the file says, the current one for what the command line says."""
    here = tmp_path_factory.mktemp("here")
    (here / "a=b c.mp4").write_bytes(b"video")
    (here / "home").mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(here / "home"))
    path = write(folder, BASE)
    topology = load(path, ["streams.cam0.source=a=b c.mp4", "results={jsonl='~/o.jsonl'}"])
    assert topology.streams["cam0"].source == f"{here}/a=b c.mp4"
    assert topology.results.jsonl == here / "home" / "o.jsonl"
    assert topology.render.video == folder / "out.mp4"
    assert topology.models["large"].path == folder / "models" / "large.onnx"
    assert faults_of(path, "streams.cam0.source=street.mp4") == [
        'topology.toml: streams.cam0.source: there is no "street.mp4" (looked for '
        f"{here}/street.mp4); correct the path"
    ]


def test_a_folder_with_glob_characters(tmp_path: Path) -> None:
    folder = tmp_path / "a[1]*"
    folder.mkdir()
    lay_out(folder)
    (folder / "b[2].mp4").write_bytes(b"video")
    load(write(folder, stream('source = "images/*.JPG"')))
    assert load(write(folder, stream('source = "b[2].mp4"'))).streams["cam0"].source == (
        f"{folder}/b[2].mp4"
    )


# ---- the module


def test_every_key_says_what_it_is_for() -> None:
    for table in Topology.model_fields.keys() - {"file", "warnings"}:
        annotation: Any = Topology.model_fields[table].annotation
        model: type[BaseModel] = (get_args(annotation) or (annotation,))[-1]
        for key, info in model.model_fields.items():
            assert info.description, f"{table}.{key}"


def test_the_supervisor_stays_small() -> None:
    heavy = "{'cv2', 'numpy', 'onnxruntime', 'rknnlite'}"
    code = f"import sys, actors.config.loading; print(*{heavy} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


# ---- anything at all

TABLES = {
    "streams": (("cam0", "x"), ("source", "pace", "loop", "slots", "size", "fps", "fourcc")),
    "models": (("large", "x"), ("path", "runtime", "labels", "conf", "mean", "std", "size")),
    "stages": (("small", "x"), ("model", "view", "grid", "grid.0", "source", "condition")),
    "workers": (("npu0", "x"), ("core", "models", "models.0", "cpus", "contexts")),
}
KEYS = [
    f"{t}.{name}.{key}" for t, (names, keys) in TABLES.items() for name in names for key in keys
]
KEYS += [f"{t}.{name}" for t, (names, _) in TABLES.items() for name in names]
KEYS += ["run", "results", "streams", "models", "stages", "workers", "merge", "render", "file"]
KEYS += ["run.name", "results.bind", "results.jsonl", "results.insecure", "merge.threshold"]
KEYS += ["render.video"]
# Values as TOML.
ATOMS = [
    '""',
    '"x"',
    '"small"',
    '"a\\u0000b"',
    '"a\\nb"',
    '"~no-such-user/x"',
    '"/"',
    '"."',
    '"*"',
]
ATOMS += ['"ipc://x"', '"ipc://"', '"tcp://[::1"', '"tcp://x:99999"', '"rtsp://x"', '"{x}"']
ATOMS += [f'"{"a" * 300}"', f'"{"a/" * 3000}"', f'"ipc://{"a" * 99}"', '"/dev/null"', '"[z-a]"']
ATOMS += [
    "0",
    "1",
    "-1",
    "2.5",
    "1e400",
    "nan",
    "true",
    "2024-01-31",
    "0x" + "f" * 400,
    '"instant"',
]
VALUES = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda values: f"[{', '.join(values)}]")
        | inner.map(lambda value: f"{{a = {value}, core = {value}, source = {value}}}")
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("anything")
    lay_out(folder)
    return folder


def check_outcome(path: Path, overrides: list[str]) -> None:
    try:
        topology = load(path, overrides)
    except TopologyError as error:
        lines = error.lines()
        assert lines
        assert len(set(lines)) == len(lines)
        assert all(line.startswith("topology.toml: ") and line.isprintable() for line in lines)
        # Nothing of the tools beneath shows through.
        assert not any("Input should" in line or "pydantic" in line for line in lines)
    else:
        assert topology.streams and topology.models and topology.stages and topology.workers


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(KEYS), VALUES | st.text(max_size=8)), max_size=5))
def test_junk_at_any_key(shared_folder: Path, junk: list[tuple[str, str]]) -> None:
    check_outcome(write(shared_folder, BASE), [f"{key}={value}" for key, value in junk])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="ab.=0[]{}\"' \n\u00e9", max_size=12), max_size=3))
def test_junk_overrides(shared_folder: Path, overrides: list[str]) -> None:
    check_outcome(write(shared_folder, BASE), overrides)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, len(BASE)), st.integers(0, 12), st.text(max_size=6) | VALUES)
def test_junk_in_the_text(shared_folder: Path, start: int, length: int, junk: str) -> None:
    text = BASE[:start] + junk + BASE[start + length :]
    check_outcome(write(shared_folder, text), [])


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60))
def test_junk_bytes(shared_folder: Path, content: bytes) -> None:
    check_outcome(write(shared_folder, content), [])
