"""An annotated copy of a frame, and its caption."""

from __future__ import annotations

import numpy as np

from actors.vision.annotator import Annotator, Caption
from actors.vision.detections import Detections
from actors.vision.drawing import banner, draw
from actors.vision.tiling import View, plan


def one_detection() -> Detections:
    return Detections(
        boxes=np.array([[40, 60, 200, 150]], np.float32),
        scores=np.array([0.9], np.float32),
        class_ids=np.array([1]),
        stages=np.array([0]),
        truncated=np.array([False]),
    )


def test_the_frame_stays_as_it_is_and_the_copy_is_annotated() -> None:
    frame = np.full((192, 320, 3), 90, np.uint8)
    frame.flags.writeable = False
    view = View("tiles")
    annotator = Annotator(["person", "car"], [(view, (128, 128))])
    found = one_detection()
    image = annotator.annotate(frame, found, seq=7, complete=True, now_ns=1)
    expected = frame.copy()
    tiles = plan(view, (320, 192), (128, 128))
    draw(expected, found.boxes, found.scores, found.class_ids, ["person", "car"], tiles=tiles)
    banner(expected, "#7  1 object")
    np.testing.assert_array_equal(image, expected)
    assert (frame == 90).all()


def test_frames_of_another_size_follow() -> None:
    annotator = Annotator(["person"])
    for size in ((64, 96, 3), (32, 48, 3), (64, 96, 3)):
        frame = np.full(size, 50, np.uint8)
        image = annotator.annotate(frame, Detections.none(), seq=0, complete=True, now_ns=1)
        assert image.shape == size
        assert image[-1, -1].tolist() == [50, 50, 50]


def test_the_caption_says_frame_objects_rate_and_what_must_not_be_overlooked() -> None:
    caption = Caption(["emulated"])
    second = 1_000_000_000
    assert caption.text(3, 2, complete=True, now_ns=second) == "#3  2 objects  emulated"
    text = caption.text(4, 1, complete=False, now_ns=second + second // 25)
    assert text == "#4  1 object  25.0 frames/s  INCOMPLETE  emulated"
    for number in range(100):
        text = caption.text(number, 0, complete=True, now_ns=2 * second + number * second // 10)
    assert text == "#99  0 objects  10.0 frames/s  emulated"
