"""Kinds of runtime: what each entry leads to, and a runtime that a user brings along."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from actors.config.errors import TopologyError
from actors.config.loading import load
from actors.dataflow.settings import ModelSettings
from actors.runtimes.contract import CORE_BYTES, ComputeError, RuntimeSpec
from actors.runtimes.registry import (
    KINDS,
    inspect,
    is_runtime,
    kind_for,
    open_runtime,
    preloaded,
    runtime_kind,
)
from actors.vision.heads import HeadDescription
from tests.support import runs
from tests.support.poison_runtime import RUNTIME

ROOT = Path(__file__).parents[2]


def spec(kind: str, path: str = "") -> RuntimeSpec:
    return RuntimeSpec(
        kind=kind,
        path=path,
        size=(64, 64),
        mean=(0.0, 0.0, 0.0),
        std=(255.0, 255.0, 255.0),
        threads=1,
        latency_ms=None,
        core_fd=None,
    )


def settings(kind: str) -> ModelSettings:
    return ModelSettings(
        name="m",
        path="",
        runtime=kind,
        size=(64, 64),
        head=HeadDescription("yolov8-stock", 2, False, (0,)),
        labels=("even", "odd"),
        color="rgb",
        mean=(0.0, 0.0, 0.0),
        std=(255.0, 255.0, 255.0),
        conf=0.25,
        iou=0.5,
        latency_ms=None,
    )


@pytest.mark.parametrize("name", KINDS)
def test_every_entry_leads_somewhere(name: str) -> None:
    assert KINDS[name].name == name
    for target in (KINDS[name].opens, KINDS[name].inspects):
        module, _, attribute = target.partition(":")
        assert callable(getattr(import_module(module), attribute))


def test_the_registry_is_light() -> None:
    """The supervisor imports it."""
    heavy = "{'cv2', 'numpy', 'onnxruntime', 'rknnlite', 'av'}"
    code = f"import sys, actors.runtimes.registry; print(*{heavy} & set(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert found.stdout.strip() == ""


def test_defaults_by_suffix() -> None:
    assert kind_for(Path("a/b.ONNX")) == "onnx"
    assert kind_for(Path("a/b.rknn")) == "rknn"
    assert kind_for(Path("a/b.pt")) is None
    defaults = [kind.default_for for kind in KINDS.values() if kind.default_for]
    assert len(set(defaults)) == len(defaults), "one default a suffix"


def test_labels_of_stand_ins() -> None:
    """Wherever a number is shown it is labelled by these."""
    emulated = {name for name in KINDS if settings(name).emulated}
    simulated = {name for name in KINDS if settings(name).simulated}
    assert (emulated, simulated) == ({"emulated", "instant"}, {"simulator"})
    assert not settings(RUNTIME).emulated


def test_only_the_emulated_core_has_memory() -> None:
    assert {name: kind.core_bytes for name, kind in KINDS.items() if kind.core_bytes} == {
        "emulated": CORE_BYTES
    }


def test_preloaded() -> None:
    assert preloaded(["onnx", "emulated", "instant", RUNTIME]) == {"onnxruntime"}
    assert preloaded([]) == set()
    assert all("rknn" not in m or m == "rknnlite.api" for m in preloaded(["rknn"]))


@pytest.mark.parametrize(
    "name", ["", "onnxx", "a:", ":a", "a.b", "a:b.c", "../a:B", "a b:C", "a::B"]
)
def test_names_that_are_no_runtime(name: str) -> None:
    assert not is_runtime(name)
    with pytest.raises(ComputeError, match=r"no runtime is named .*; give one of onnx, rknn, "):
        runtime_kind(name)


# ---- a runtime of the user's own


def test_a_class_of_ones_own() -> None:
    kind = runtime_kind(RUNTIME)
    assert (kind.file, kind.contexts, kind.stand_in) == ("any", 1, None)
    described = inspect(RUNTIME, "", (64, 64))
    runtime = open_runtime(spec(RUNTIME))
    outputs = runtime.run(np.zeros((64, 64, 3), np.uint8))
    assert tuple(output.shape for output in outputs) == described.shapes
    runtime.close()


@pytest.mark.parametrize(
    ("name", "why"),
    {
        "no_such_module:Runtime": "(No module named 'no_such_module'); correct its name, or put",
        "tests.support.poison_runtime:Missing": "(module 'tests.support.poison_runtime' has no",
        "builtins:dict": "(type object 'dict' has no attribute 'inspect'); correct its name",
    }.items(),
)
def test_one_that_cannot_be_had(name: str, why: str) -> None:
    with pytest.raises(ComputeError) as caught:
        inspect(name, "", (64, 64))
    assert str(caught.value).startswith(f"runtime '{name}' cannot be imported {why}")
    assert "\n" not in str(caught.value)


OWN = '''
import numpy as np
from actors.runtimes.contract import ModelFile

class Corner:
    """One box in the middle of each tile."""
    def __init__(self, spec):
        self.size, self.span = spec.size, (0, 0)
    def run(self, tile):
        width, height = self.size
        output = np.zeros((1, 5, 8), np.float32)
        output[0, :, 0] = width / 2, height / 2, 10, 20, 0.9
        return [output]
    def close(self):
        pass
    @staticmethod
    def inspect(path, size):
        if path:
            open(path).read()
        return ModelFile(size, ((1, 5, 8),), ("thing",), (), head="yolov8-stock", logits=False)

class Broken(Corner):
    @staticmethod
    def inspect(path, size):
        raise RuntimeError("out of order")
'''


def own_topology(folder: Path, runtime: str, **keys: object) -> Path:
    (folder / "my_runtime.py").write_text(OWN)
    path = folder / "t.toml"
    path.write_text(
        runs.stream("synthetic", size=[320, 240])
        + runs.table("models.m", runtime=runtime, **keys)
        + runs.stage("s", "frame")
        + runs.workers(1)
        + runs.table("results", jsonl=str(folder / "out.jsonl"), bind=f"ipc://{folder}/results")
    )
    return path


def launched(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    pythonpath = os.pathsep.join([str(ROOT), str(path.parent)])
    return subprocess.run(
        [sys.executable, "-m", "actors.launch", str(path), *options],
        cwd=path.parent,
        env={**os.environ, "PYTHONPATH": pythonpath, "XDG_RUNTIME_DIR": str(path.parent)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_run_with_a_runtime_of_ones_own(short_tmp: Path) -> None:
    ran = launched(own_topology(short_tmp, "my_runtime:Corner", size=[320, 320]), "--frames", "4")
    assert ran.returncode == 0, ran.stderr
    records = [json.loads(line) for line in (short_tmp / "out.jsonl").read_text().splitlines()]
    found = [record["detections"] for record in records if "detections" in record]
    assert len(found) == 4
    assert [(one["label"], one["box"]) for frame in found for one in frame] == [
        ("thing", [155.0, 110.0, 165.0, 130.0])
    ] * 4


def test_one_that_raises_is_a_sentence(short_tmp: Path) -> None:
    ran = launched(own_topology(short_tmp, "my_runtime:Broken"), "--check")
    assert (ran.returncode, ran.stderr) == (
        2,
        "t.toml: models.m.path: runtime 'my_runtime:Broken': RuntimeError: out of order\n",
    )


def test_its_file_is_optional_but_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match=r'models\.m\.path: there is no "weights\.bin"'):
        load(own_topology(tmp_path, "my_runtime:Corner", path="weights.bin"))
    (tmp_path / "weights.bin").write_text("1")
    model = load(own_topology(tmp_path, "my_runtime:Corner", path="weights.bin")).models["m"]
    assert (model.path, model.size) == (tmp_path / "weights.bin", (640, 640))
    assert load(own_topology(tmp_path, "my_runtime:Corner")).models["m"].path is None


# ---- a kind is its entry

NEW_KIND = """
import sys
from pathlib import Path
from actors.runtimes import registry
registry.KINDS["mine"] = registry.RuntimeKind(
    name="mine",
    opens="actors.runtimes.instant:InstantRuntime",
    inspects="actors.runtimes.instant:inspect_instant",
    file="none",
    preload=("json", "not_installed_here"),
    contexts=3,
    waiting=2,
    stand_in="simulated",
    needs_latency=True,
    core_bytes=registry.CORE_BYTES,
)
from actors.config.errors import TopologyError
from actors.config.loading import load
from actors.launcher import plan, probe
path = Path(sys.argv[1])
try:
    load(path)
except TopologyError as error:
    print(*error.lines())
topology = load(path, ["models.m.latency_ms=5"])
found = probe.inspect_all(topology)
run = plan.make(topology, found.sources, found.models)
(worker,) = run.workers.values()
print(worker.contexts, len(worker.slots), run.cores_label, registry.preloaded(["mine"]))
"""


def test_an_entry_is_all_that_a_new_kind_needs(tmp_path: Path) -> None:
    """Schema, checks, inspection, plan and labels follow from it."""
    path = tmp_path / "t.toml"
    path.write_text(
        runs.stream("synthetic", size=[320, 240])
        + runs.table("models.m", runtime="mine")
        + runs.stage("s", "frame")
        + runs.workers(1)
    )
    ran = subprocess.run(
        [sys.executable, "-c", NEW_KIND, str(path)], capture_output=True, text=True, cwd=ROOT
    )
    assert ran.stdout.splitlines() == [
        't.toml: models.m.latency_ms: missing; runtime "mine" needs the milliseconds that one '
        "inference takes",
        "3 5 simulated cores {'json'}",
    ], ran.stderr
