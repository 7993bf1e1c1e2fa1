"""Published records: every key, the two numberings of classes, and summaries for people."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from actors.dataflow.frame_merging import FrameMerging, MergedFrame
from actors.dataflow.messages import Answer, Frame
from actors.dataflow.published_record import Records
from actors.dataflow.reorder import ReadyFrame
from actors.dataflow.settings import RunSettings
from actors.vision.detections import Detections
from tests.support.plans import BIG, SMALL, model, planned, three

HELMETS = ("helmet", "person", "vest")


def run() -> RunSettings:
    """Stage 0 with a model of helmets, stage 1 with one of a person, a bicycle and a car."""
    models = [model("big", runtime="onnx", labels=HELMETS), model("small", runtime="onnx")]
    return planned(models, {"big": BIG, "small": SMALL}, three("big", "small"))


def found(stage: int, *boxes: tuple[int, int, float]) -> Detections:
    """Boxes by left edge, class and score."""
    return Detections(
        boxes=np.array([(left, 0, left + 10, 10) for left, _, _ in boxes], np.float32),
        scores=np.array([score for _, _, score in boxes], np.float32),
        class_ids=np.array([kind for _, kind, _ in boxes], np.int64),
        stages=np.full(len(boxes), stage, np.int64),
        truncated=np.zeros(len(boxes), np.bool_),
    )


def merged(settings: RunSettings, *parts: Detections) -> MergedFrame:
    return FrameMerging(settings).merge({(0, index): part for index, part in enumerate(parts)})


def test_a_record_of_a_frame() -> None:
    settings = run()
    frame = Frame("cam0", 3, 2, 7, 0, 640, 480, 1, 1000)
    ready: ReadyFrame[Frame, Detections]
    ready = ReadyFrame(3, frame, True, {}, {(1, 0): "npu0: crash"})
    whole = merged(settings, found(0, (0, 1, 0.5)), found(1, (100, 2, 0.75)))
    record = Records(settings, "cam0").frame(ready, whole, published_ns=2000)
    assert record == {
        "v": 1,
        "run": settings.name,
        "stream": "cam0",
        "seq": 3,
        "source_frame": 7,
        "captured_ns": 1000,
        "published_ns": 2000,
        "size": [640, 480],
        "complete": False,
        "missing": [{"stage": "small", "tile": 0, "reason": "npu0: crash"}],
        "detections": [
            {
                "box": [100, 0, 110, 10],
                "score": 0.75,
                "class_id": 4,
                "label": "car",
                "stage": "small",
                "model_class_id": 2,
            },
            {
                "box": [0, 0, 10, 10],
                "score": 0.5,
                "class_id": 1,
                "label": "person",
                "stage": "big",
                "model_class_id": 1,
            },
        ],
    }
    named = Records(settings, "cam0").frame(ready, whole, published_ns=0, source_name="a/7.png")
    assert named["source_name"] == "a/7.png"


def test_a_name_that_two_models_have_is_one_class_and_keeps_each_models_own_id() -> None:
    settings = run()
    assert settings.classes.labels == (*HELMETS, "bicycle", "car")
    # The person of the second model, class 0 there, suppresses that of the first, class 1.
    whole = merged(settings, found(0, (0, 1, 0.5)), found(1, (1, 0, 0.75), (50, 1, 0.25)))
    assert whole.detections.class_ids.tolist() == [1, 3]
    assert whole.model_class_ids.tolist() == [0, 1]
    assert whole.detections.stages.tolist() == [1, 1]


def test_a_truncated_box_is_suppressed_before_merging_unless_it_is_to_be_kept() -> None:
    settings = run()
    half = replace(found(0, (0, 1, 0.9)), truncated=np.array([True]))
    half = replace(half, boxes=np.array([[0, 0, 10, 5]], np.float32))
    whole = found(1, (0, 0, 0.5))
    assert len(merged(settings, half, whole).detections) == 1
    keeping = replace(settings, merge=settings.merge.model_copy(update={"truncated": "keep"}))
    keeping = replace(keeping, merge=keeping.merge.model_copy(update={"threshold": 0.9}))
    assert len(merged(keeping, half, whole).detections) == 2


def test_a_frame_without_detections() -> None:
    whole = merged(run())
    assert (len(whole.detections), len(whole.model_class_ids)) == (0, 0)


def test_an_answer_is_checked_against_the_classes_of_its_own_stage() -> None:
    merging = FrameMerging(run())
    answer = Answer("cam0", 0, 1, 0, found(1, (0, 2, 0.5)).to_bytes())
    assert merging.check(answer).class_ids.tolist() == [2]


def test_a_summary_counts_the_most_frequent_classes() -> None:
    labels = tuple("abcdefg")
    records = Records(replace(run(), classes=replace(run().classes, labels=labels)), "cam0")
    kinds = [0, 1, 1, 2, 3, 4, 5]
    assert records.summary(found(0, *((10 * i, k, 0.5) for i, k in enumerate(kinds)))) == (
        "2 b, 1 a, 1 c, 1 d, 1 e, 1 other"
    )
    kinds.append(6)
    assert records.summary(found(0, *((10 * i, k, 0.5) for i, k in enumerate(kinds)))).endswith(
        ", 2 others"
    )
    assert records.summary(Detections.none()) == "nothing"


def test_control_characters_of_a_class_name_are_escaped_in_a_summary() -> None:
    labels = ("\x1b[31m[/b]\n", "b", "c")
    records = Records(replace(run(), classes=replace(run().classes, labels=labels)), "cam0")
    assert records.summary(found(0, (0, 0, 0.5))) == "1 \\x1b[31m[/b]\\n"
