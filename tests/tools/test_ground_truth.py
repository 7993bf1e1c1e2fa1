"""What is compared: the kinds of truth, and the tilings as variants of a topology."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from actors.config.loading import load
from tests.support import runs
from tools.ground_truth import GroundTruthError, found, of_known_labels, read_truth
from tools.topology_variants import VariantError, tilings


def write(path: Path, content: Any) -> str:
    path.write_text(json.dumps(content))
    return str(path)


# ---------------------------------------------------------------- tilings


def test_the_usual_tilings_are_stages_of_their_models(tmp_path: Path) -> None:
    path = tmp_path / "topology.toml"
    path.write_text(
        runs.stream(Path(__file__))
        + runs.instant(name="big")
        + runs.instant(name="small")
        + runs.stage("a", "frame", "big")
        + runs.stage("b", "tiles", "small", overlap=0.2)
        + runs.workers(1, ("big", "small"))
    )
    topology = load(path)
    stages = {}
    for variant in tilings("whole,2x3,tiles,whole+tiles,small@whole+big@whole", topology):
        stages[variant.name] = [
            (stage.model, stage.view, stage.grid, stage.overlap)
            for stage in load(path, variant.settings).stages.values()
        ]
    assert stages == {
        "whole": [("big", "frame", None, 0)],
        "2x3": [("small", "tiles", (2, 3), 0.2)],
        "tiles": [("small", "tiles", None, 0.2)],
        "whole+tiles": [("big", "frame", None, 0), ("small", "tiles", None, 0.2)],
        "small@whole+big@whole": [("small", "frame", None, 0), ("big", "frame", None, 0)],
    }
    with pytest.raises(VariantError, match='"2by2" is not a view'):
        list(tilings("whole,2by2", topology))


# ---------------------------------------------------------------- truths


def test_a_scenes_records_carry_their_truth() -> None:
    truth = read_truth("synthetic", {"cam0": "synthetic"})
    made: dict[str, Any] = {
        "seq": 0,
        "stream": "cam0",
        "detections": [
            {"box": [0.0, 0.0, 9.0, 9.0], "score": 0.9, "label": "tree"},
            {"box": [10.0, 10.0, 30.0, 50.0], "score": 0.8, "label": "van"},
        ],
    }
    # What is found comes first: its label must not take the number of a target's.
    hits = found(made, truth.numbers)
    box = {"box": [10.0, 10.0, 30.0, 50.0], "class_id": 0, "label": "walker", "ignore": False}
    made["ground_truth"] = [box, {**box, "label": "van", "class_id": 1, "ignore": True}]
    targets = truth.targets(made)
    assert targets is not None
    assert targets.boxes.tolist() == [[10, 10, 30, 50]] * 2
    assert targets.ignore.tolist() == [False, True]
    assert targets.areas.tolist() == [800, 800]
    known, unknown_labels = of_known_labels(hits, truth)
    assert known.classes.tolist() == [targets.classes[1]]
    assert unknown_labels == {"tree": 1}
    with pytest.raises(GroundTruthError, match="without ground truth"):
        truth.targets({"seq": 4, "stream": "cam0"})


def test_images_are_found_by_as_much_of_their_path_as_is_known(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/1.png", "b/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.zeros((8, 8, 3), np.uint8))
    names = ["b/1.png", "a/1.png", "val/2.png", "val/3.png"]
    path = write(
        tmp_path / "truth.json",
        {
            "images": [{"id": n, "file_name": name} for n, name in enumerate(names)],
            "categories": [{"id": 1, "name": "thing"}],
            "annotations": [
                {"image_id": n, "category_id": 1, "bbox": [n, 0, 5, 5], "area": 11}
                for n in range(len(names))
            ],
        },
    )
    truth = read_truth(path, {"cam0": f"{tmp_path}/*/*.png", "cam1": str(tmp_path / "b")})
    lefts = {}
    for stream, frames in (("cam0", 3), ("cam1", 2)):
        for number in range(frames):
            targets = truth.targets({"stream": stream, "source_frame": number, "size": [8, 8]})
            assert targets is not None
            assert targets.areas.tolist() == [11]
            lefts[stream, number] = targets.boxes[0, 0]
    assert lefts == {
        ("cam0", 0): 1,
        ("cam0", 1): 0,
        ("cam0", 2): 2,
        ("cam1", 0): 0,
        ("cam1", 1): 2,
    }
    assert truth.frames == 3


def test_labels_of_a_video(tmp_path: Path) -> None:
    """An object's own, else the file's, else --label, else person."""
    plain, named = {"bbox": [0, 0, 5, 5]}, {"bbox": [0, 0, 5, 5], "label": "van"}

    def labels(objects: list[Any], option: str | None = None, **more: Any) -> list[str]:
        content = {"annotations": [{"frame": 0, "objects": objects}], **more}
        path = write(tmp_path / "truth.json", content)
        return sorted(read_truth(path, {"cam0": "street.mp4"}, option).labels)

    assert labels([plain]) == ["person"]
    assert labels([plain], "walker") == ["walker"]
    assert labels([plain, named]) == ["person", "van"]
    assert labels([plain, named], label="dog") == ["dog", "van"]
    with pytest.raises(GroundTruthError, match="have labels of their own"):
        labels([named], "walker")
