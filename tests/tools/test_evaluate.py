"""The command that measures accuracy: whole runs of it, and wrong inputs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from actors.client import Subscriber
from tests.support import runs
from tests.support.poison_runtime import POISON, RUNTIME, TROUBLES
from tools import evaluate, topology_variants
from tools.evaluation_report import Criteria, ScoredVariant, curves
from tools.run_harness import Harness
from tools.scoring import CocoMap, Found, Targets, area, judge
from tools.topology_variants import Variant, VariantRun

SIZE = (320, 240)
# In the order of their numbers; by name alone img10 would come second.
NAMES = ("img1.png", "img2.png", "img10.png", "img11.png")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four different images, 320x240."""
    folder = tmp_path_factory.mktemp("images")
    for number, name in enumerate(NAMES):
        random = np.random.default_rng(number)
        cv2.imwrite(str(folder / name), random.integers(0, 256, (*SIZE[::-1], 3), np.uint8))
    return folder


def topology_of(source: Path | str) -> str:
    """An instant model that sees the whole frame, one worker."""
    return runs.stream(source) + runs.instant(SIZE) + runs.stage("whole", "frame") + runs.workers(1)


@pytest.fixture(scope="module")
def published(images: Path) -> list[runs.Record]:
    """What an instant model finds in them: even and odd boxes that follow from the pixels."""
    records, _ = runs.run(topology_of(images))
    assert all(len(record["detections"]) >= 3 for record in records["cam0"])
    return records["cam0"]


def coco(records: list[runs.Record]) -> dict[str, Any]:
    """A truth that has everything that was found, and nothing else."""
    ids = {"even": 7, "odd": 3}
    return {
        "images": [
            {"id": 100 + n, "file_name": name, "width": SIZE[0], "height": SIZE[1]}
            for n, name in enumerate(NAMES)
        ],
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
        "annotations": [
            {
                "id": 1,
                "image_id": 100 + record["source_frame"],
                "category_id": ids[one["label"]],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "iscrowd": 0,
            }
            for record in records
            for one in record["detections"]
            for x1, y1, x2, y2 in [one["box"]]
        ],
    }


@pytest.fixture
def folder(tmp_path: Path, images: Path) -> Path:
    """A folder with the topology in it."""
    (tmp_path / "topology.toml").write_text(topology_of(images))
    return tmp_path


def write(path: Path, content: Any) -> str:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


Capture = pytest.CaptureFixture[str]


def evaluated(capsys: Capture, *arguments: str) -> dict[str, Any]:
    """The object that the command prints."""
    assert evaluate.main([*arguments, "--json"]) == 0, capsys.readouterr().err
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


# ---------------------------------------------------------------- whole runs


def test_images_against_what_was_found_in_them(
    folder: Path, published: list[runs.Record], capsys: Capture
) -> None:
    """All is right; then a box is missing in the truth, one is a crowd, and one was not found."""
    total = sum(len(record["detections"]) for record in published)
    topology, truth = str(folder / "topology.toml"), coco(published)
    # The topology's own conf would hide the weak ones.
    high = ["--set", "models.m.conf=0.9", "--truth", write(folder / "all.json", truth)]
    (one,) = evaluated(capsys, topology, *high)["variants"]
    assert (one["frames"], one["counted"], one["incomplete"], one["lost"]) == (4, 4, 0, 0)
    assert one["emulated"] is True
    assert one["fps"] > 0
    assert one["map"] == pytest.approx(1.0)
    first = one["thresholds"][0]
    assert (first["score"], first["right"], first["wrong"], first["missed"]) == (0.1, total, 0, 0)
    assert (first["recall"], first["precision"]) == (1.0, 1.0)
    assert sum(first[size]["right"] for size in ("small", "medium", "large")) == total
    scores = [found["score"] for record in published for found in record["detections"]]
    for at in one["thresholds"]:
        assert at["right"] == sum(score >= at["score"] for score in scores)
        assert at["right"] + at["missed"] == total

    last = truth["annotations"].pop()
    truth["annotations"][0]["iscrowd"] = 1
    truth["annotations"].append({**last, "image_id": 100, "bbox": [0, 0, 1, 1]})
    (two,) = evaluated(capsys, topology, "--truth", write(folder / "less.json", truth))["variants"]
    first = two["thresholds"][0]
    assert (first["right"], first["wrong"], first["missed"]) == (total - 2, 1, 1)
    assert two["map"] < 0.98


def test_variants_in_one_command_as_a_person_sees_them(
    folder: Path, published: list[runs.Record], tmp_path: Path
) -> None:
    """By its name, in a folder of its own: tables on stdout, the curves in a file, exit 0."""
    truth = write(folder / "truth.json", coco(published))
    command = [sys.executable, "-m", "tools.evaluate", "topology.toml", "--truth", truth]
    command += ["--tilings", "whole,2x2", "--vary", "two found", "models.m.conf=0.85"]
    command += ["--thresholds", "0.5", "--plot", "curves.png"]
    environment = {"PYTHONPATH": str(Path(evaluate.__file__).parent.parent)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    lines = done.stdout.splitlines()
    rows = [line.split() for line in lines if line.startswith(("whole ", "2x2 ", "two found "))]
    assert [row[0] for row in rows] == ["whole", "2x2", "two"] * 2
    total = sum(len(record["detections"]) for record in published)
    sure = sum(d["score"] >= 0.5 for record in published for d in record["detections"])
    whole = rows[3]
    assert whole[1:5] == ["0.5", str(sure), "0", str(total - sure)]
    # Other views of the same pixels find other things.
    assert rows[4][2:5] != whole[2:5]
    assert "EMULATED" in done.stdout
    assert lines[-1] == "curves: curves.png"
    assert cv2.imread(str(folder / "curves.png")) is not None
    progress = [line for line in done.stderr.splitlines() if line.startswith("evaluate: ")]
    assert progress == [f"evaluate: {name}: 4 frames ..." for name in ("whole", "2x2", "two found")]


def test_the_curves() -> None:
    """Recall and precision over the score, and precision over recall, for each variant."""
    boxes = np.array([[20.0 * n, 0, 20 * n + 10, 10] for n in range(4)])
    kinds = np.zeros(4, np.int64)
    targets = Targets(boxes, kinds, np.zeros(4, bool), area(boxes))
    scored = []
    for name, shift in (("good", 0.0), ("_cost: 5 $ or 6 $", 9.0)):
        moved = boxes + np.array([[0.0], [0], [0], [shift]])
        found = Found(moved, np.array([0.9, 0.8, 0.7, 0.6]), kinds)
        run = VariantRun(Variant(name), targets=[targets], found=[found])
        verdicts = judge([(targets, found)])
        scored.append(ScoredVariant(run, verdicts, CocoMap(None, None, None, {})))
    criteria = Criteria(Path("t.toml"), "x.json", 0.05, (0.65, 0.95), 0.5, (32.0, 96.0))
    axes = curves(criteria, scored).axes
    assert [(one.get_xlabel()[:5], one.get_ylabel()) for one in axes] == [
        ("score", "recall"),
        ("score", "precision"),
        ("recal", "precision"),
    ]
    for one in axes:
        legend = one.get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == [
            "good",
            r" _cost: 5 \$ or 6 \$",
        ]
    # A line and the points of the thresholds that have detections, by variant.
    drawn = [np.array(line.get_xydata()).tolist() for line in axes[2].lines]
    assert drawn == [
        [[0.25, 1], [0.5, 1], [0.75, 1], [1, 1]],
        [[0.75, 1]],
        [[0.25, 1], [0.5, 1], [0.75, 1], [0.75, 0.75]],
        [[0.75, 1]],
    ]


def test_a_video_against_some_annotated_frames(
    scene_video: Path, tmp_path: Path, capsys: Capture
) -> None:
    """Runs as far as there are annotations; frames without any and other labels do not count."""
    topology = write(tmp_path / "topology.toml", topology_of(scene_video))
    records, _ = runs.run(topology_of(scene_video), "--frames", "3")
    annotations = [
        {
            "frame": record["source_frame"],
            "objects": [
                {"bbox": [x1, y1, x2 - x1, y2 - y1]}
                for one in record["detections"]
                for x1, y1, x2, y2 in [one["box"]]
                if one["label"] == "odd"
            ],
        }
        for record in (records["cam0"][0], records["cam0"][2])
    ]
    video = {"width": 1920, "height": 1080, "annotations": annotations}
    truth = write(tmp_path / "truth.json", video)
    (one,) = evaluated(capsys, topology, "--truth", truth, "--label", "odd")["variants"]
    count = sum(len(annotation["objects"]) for annotation in annotations)
    assert count > 3
    assert (one["frames"], one["counted"]) == (3, 2)
    first = one["thresholds"][0]
    assert (first["right"], first["wrong"], first["missed"]) == (count, 0, 0)
    evens = [d for r in (records["cam0"][0], records["cam0"][2]) for d in r["detections"]]
    assert one["not_counted"] == {"even": len(evens) - count}

    video["ignore"] = [[0, 0, 1920, 1080]]
    write(tmp_path / "truth.json", video)
    (one,) = evaluated(capsys, topology, "--truth", truth, "--label", "odd")["variants"]
    first = one["thresholds"][0]
    assert (first["right"], first["wrong"], first["missed"]) == (0, 0, 0)
    assert (first["recall"], first["precision"], one["map"]) == (None, None, None)


def test_the_drawn_scene_against_itself(tmp_path: Path, capsys: Capture) -> None:
    """Every visible target of every frame is asked for, whatever an instant model sees."""
    topology = runs.stream("synthetic", size=[640, 360], seed=5) + runs.instant(SIZE)
    topology += runs.stage("whole", "frame") + runs.workers(1)
    records, _ = runs.run(topology, "--frames", "3", "--set", "results.ground_truth=true")
    boxes = [one for record in records["cam0"] for one in record["ground_truth"]]
    asked = sum(not one["ignore"] for one in boxes)
    assert asked > 3
    path = write(tmp_path / "topology.toml", topology)
    labels = json.dumps([boxes[0]["label"], "ghost"])
    arguments = ["--truth", "synthetic", "--frames", "3", "--set", f"models.m.labels={labels}"]
    (one,) = evaluated(capsys, path, *arguments)["variants"]
    assert (one["frames"], one["counted"]) == (3, 3)
    assert one["emulated"] is True
    assert list(one["not_counted"]) == ["ghost"]
    assert [at["right"] + at["missed"] for at in one["thresholds"]] == [asked] * 9


def test_the_users_outputs_are_left_alone(
    folder: Path, published: list[runs.Record], capsys: Capture
) -> None:
    """Each variant would write the same video and log."""
    topology = folder / "topology.toml"
    topology.write_text(
        topology.read_text()
        + runs.table("render", video="out.mp4")
        + runs.table("results", jsonl="out.jsonl")
    )
    evaluated(capsys, str(topology), "--truth", write(folder / "truth.json", coco(published)))
    assert sorted(path.name for path in folder.iterdir()) == ["topology.toml", "truth.json"]


def test_an_incomplete_frame_counts_and_is_told(
    folder: Path, images: Path, published: list[runs.Record], capsys: Capture
) -> None:
    """One image is poison to the runtime: its targets are missed, and the report names it."""
    bad = cv2.imread(str(images / NAMES[2]))
    assert bad is not None
    # The model gets RGB, the image is BGR.
    rgb = np.array([*POISON, TROUBLES["error"], 0, 0], np.uint8)
    bad[0, :3] = rgb.reshape(3, 3)[:, ::-1]
    spoilt = folder / "images"
    shutil.copytree(images, spoilt)
    cv2.imwrite(str(spoilt / NAMES[2]), bad)
    arguments = [str(folder / "topology.toml"), "--set", f"streams.cam0.source={spoilt}"]
    arguments += ["--set", f"models.m.runtime={RUNTIME}"]
    arguments += ["--truth", write(folder / "truth.json", coco(published)), "--thresholds", "0.1"]
    assert evaluate.main(arguments) == 0
    printed = capsys.readouterr().out
    missed = len(published[2]["detections"])
    total = sum(len(record["detections"]) for record in published)
    assert f"  0.1  {total - missed:>5}  {0:>5}  {missed:>6}" in printed
    assert "topology: 1 frame is incomplete: a part of it was not looked at, and" in printed


# ---------------------------------------------------------------- wrong inputs


def without(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda truth: truth.pop(key) and None


def put(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda truth: truth["annotations"][1].update({key: value})


WRONG_FILES: dict[str, tuple[Any, str]] = {
    "no JSON": ("boxes: 3", "line 1, column 1: Expecting value; give a JSON file"),
    "a list": ([1, 2], 'has no "annotations"; give a file in COCO\'s format'),
    "no annotations": (without("annotations"), 'has no "annotations"'),
    "no categories": (without("categories"), "categories: field required"),
    "three numbers": (put("bbox", [1, 2, 3]), "annotations.1.bbox.3: field required"),
    "a negative side": (
        put("bbox", [1, 2, -3, 4]),
        "annotations.1.bbox.2: input should be greater",
    ),
    "no number": (put("bbox", [1, 2, float("nan"), 4]), "annotations.1.bbox.2: input should be"),
    "unknown image": (put("image_id", 9), "annotations.1.image_id: there is no image 9"),
    "unknown category": (
        put("category_id", 9),
        "annotations.1.category_id: there is no category 9",
    ),
    "an image twice": (
        lambda truth: truth["images"].append({"id": 1, "file_name": "img2.png"}),
        "images.4: img2.png is there twice",
    ),
    "other images": (
        lambda truth: (
            [image.update(file_name="x.png") for image in truth["images"][:1]]
            and truth.update(images=truth["images"][:1], annotations=[])
        ),
        "none of its 1 images (as x.png) is in streams.cam0.source",
    ),
    "other sizes": (
        lambda truth: truth["images"][0].update(width=240, height=320),
        "img1.png is 240x320 there and 320x240 in the run; give the frames that it is about",
    ),
    "other labels": (
        lambda truth: [category.update(name="cat") for category in truth["categories"]],
        "its labels are cat and the run found only",
    ),
    "a frame twice": ({"annotations": [{"frame": 3, "objects": []}] * 2}, "is annotated twice"),
    "no object": ({"annotations": [{"frame": 3, "objects": []}]}, "no object is annotated"),
    "a region": ({"annotations": [], "ignore": [[9, 0, 3, 3]]}, "ignore.0: must be x1, y1, x2, y2"),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_a_wrong_truth_file_gets_one_sentence(
    case: str, folder: Path, published: list[runs.Record], capsys: Capture
) -> None:
    change, wanted = WRONG_FILES[case]
    content = change
    if callable(change):
        content = coco(published)
        change(content)
    path = write(folder / "truth.json", content)
    assert evaluate.main([str(folder / "topology.toml"), "--truth", path]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    *_, sentence = printed.err.splitlines()
    assert sentence.startswith(f"evaluate: {path}")
    assert wanted in sentence


WRONG_ARGUMENTS: dict[str, tuple[list[str], str]] = {
    "no truth there": (["--truth", "none.json"], '--truth: there is no "none.json"'),
    "no scene": (["--truth", "synthetic"], 'only the source "synthetic" has its own truth'),
    "live": (["--set", "streams.cam0.source=rtsp://a/b"], "whose frames no file can describe"),
    "a topology's fault": (["--set", "merge.method=nmms"], "topology.toml: merge.method: "),
    "a variant's fault": (["--vary", "x", "merge.method=nmms"], "x: topology.toml: merge.method:"),
    "no name": (["--vary", "merge.method=nmm"], "--vary merge.method=nmm: a name comes first"),
    "a name twice": (["--vary", "a", "--vary", "a"], 'two variants are called "a"'),
    "no tiling": (["--tilings", "whole,quarter"], '"quarter" is not a view of a frame'),
    "no stream": (["--stream", "cam1"], "--stream cam1: the streams are cam0"),
    "a label too many": (["--label", "van"], "--label van: the objects of"),
    "thresholds": (["--thresholds", "0.5,x"], '"0.5,x" is not a list of numbers'),
    "a threshold": (["--thresholds", "0.5,2"], "a score lies between 0 and 1"),
    "conf": (["--conf", "0"], "--conf is 0; give a score between 0 and 1"),
    "iou": (["--iou", "1.5"], "--iou is 1.5; give more than 0"),
    "sizes": (["--sizes", "96,32"], "the smaller first"),
    "frames": (["--frames", "0"], "0 is not a number of frames from 1 on"),
    "plot": (["--plot", "curves.txt"], '--plot: "curves.txt" must end in .png, .svg or .pdf'),
}


@pytest.mark.parametrize("case", WRONG_ARGUMENTS)
def test_wrong_arguments_get_one_sentence_before_anything_runs(
    case: str,
    folder: Path,
    published: list[runs.Record],
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments, wanted = WRONG_ARGUMENTS[case]
    monkeypatch.chdir(folder)
    monkeypatch.setattr(evaluate, "run", None)
    truth = ["--truth", write(folder / "truth.json", coco(published))]
    command = ["topology.toml", *truth, *arguments]
    try:
        code = evaluate.main(command)
    except SystemExit as error:  # argparse's
        code = int(error.code or 0)
    assert code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert wanted in printed.err.splitlines()[-1]


def test_a_model_that_cannot_be_loaded_is_wrong_input(
    folder: Path, published: list[runs.Record], capsys: Capture
) -> None:
    (folder / "broken.onnx").write_bytes(b"\x08\x01broken")
    topology = folder / "topology.toml"
    tables = topology.read_text().replace('runtime = "instant"', 'path = "broken.onnx"')
    topology.write_text(tables.replace("size = [320, 240]\n", ""))
    truth = write(folder / "truth.json", coco(published))
    assert evaluate.main([str(topology), "--truth", truth]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "topology.toml: models.m.path: " in printed.err
    assert "Traceback" not in printed.err


class _Doomed(Harness):
    """Its `launch` is killed before the first result."""

    def subscriber(self, timeout: float = 60.0) -> Subscriber:
        assert self.process is not None
        self.process.kill()
        return super().subscriber(timeout)


def test_a_run_that_fails_is_no_measurement(
    folder: Path,
    published: list[runs.Record],
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(topology_variants, "Harness", _Doomed)
    truth = write(folder / "truth.json", coco(published))
    assert evaluate.main([str(folder / "topology.toml"), "--truth", truth, "--json"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[-1].startswith("evaluate: the run failed: ")
