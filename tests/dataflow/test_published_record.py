"""A frame's detections in some words."""

from __future__ import annotations

import numpy as np
import pytest

from actors.config.schema import Worker
from actors.dataflow.published_record import Records
from actors.vision.detections import Detections
from tests.support.plans import SMALL, model, planned

LABELS = ("person", "car", "dog", "bus", "cone", "bike", "tree")


@pytest.mark.parametrize(
    ("class_ids", "text"),
    [
        ([], "nothing"),
        ([0], "1 person"),
        ([1, 0, 0], "2 person, 1 car"),
        ([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5], "2 person, 2 car, 2 dog, 2 bus, 2 cone, 1 other"),
        ([*range(5), *range(5), 5, 6], "2 person, 2 car, 2 dog, 2 bus, 2 cone, 2 others"),
    ],
)
def test_summaries(class_ids: list[int], text: str) -> None:
    run = planned(
        [model("small", labels=LABELS)],
        {"small": SMALL},
        {"npu0": Worker(core=0, models=["small"])},
    )
    count = len(class_ids)
    found = Detections(
        boxes=np.zeros((count, 4), np.float32),
        scores=np.ones(count, np.float32),
        class_ids=np.array(class_ids, np.int64),
        stages=np.zeros(count, np.int64),
        truncated=np.zeros(count, bool),
    )
    assert Records(run, "cam0").summary(found) == text
