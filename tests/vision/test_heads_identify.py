"""Which head a model has, from the shapes of its outputs: answers, doubts and refusals."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from actors.vision.heads import (
    HEADS,
    HeadDescription,
    UnknownHeadError,
    build,
    convention,
    identify,
)

SQUARE = ((80, 80), (40, 40), (20, 20))
WIDE = ((48, 80), (24, 40), (12, 20))  # 640x384, rows first
NINE = (0, 1, 2, 3, 4, 5, 6, 7, 8)
SIX = (0, 1, 2, 3, 4, 5)
THREE = (0, 1, 2)


def on(grids, *channels):
    """Shapes (1, c, rows, columns) for each grid, all channels of a scale together."""
    return [(1, c, *grid) for grid in grids for c in channels]


def anchored(grids, channels):
    return [(1, 3, *grid, channels) for grid in grids]


def head(name, classes, logits, order, channels_last=False):
    return HeadDescription(name, classes, logits, tuple(order), channels_last)


VENDOR = on(SQUARE, 64, 80, 1)
CUT = on(SQUARE, 64, 80)

UNDERSTOOD = [
    # what, shapes, model, given, answer
    ("nine", VENDOR, (640, 640), {}, head("yolov8", 80, False, NINE)),
    ("nine, named", VENDOR, (640, 640), {"name": "yolov8"}, head("yolov8", 80, False, NINE)),
    ("nine, wide", on(WIDE, 64, 80, 1), (640, 384), {}, head("yolov8", 80, False, NINE)),
    ("nine, by kind", [VENDOR[i] for i in (8, 2, 5, 6, 0, 3, 7, 1, 4)], (640, 640), {},
     head("yolov8", 80, False, (4, 7, 1, 5, 8, 2, 3, 6, 0))),
    ("nine, one class", on(SQUARE, 64, 1, 1), (640, 640), {}, head("yolov8", 1, False, NINE)),
    ("nine, 64 classes", on(SQUARE, 64, 64, 1), (640, 640), {}, head("yolov8", 64, False, NINE)),
    ("six", CUT, (640, 640), {}, head("yolov8", 80, True, SIX)),
    ("six, coarse first", CUT[::-1], (640, 640), {},
     head("yolov8", 80, True, (5, 4, 3, 2, 1, 0))),
    ("six, one class", on(SQUARE, 64, 1), (640, 640), {}, head("yolov8", 1, True, SIX)),
    ("six, 64 classes", on(SQUARE, 64, 64), (640, 640), {}, head("yolov8", 64, True, SIX)),
    ("three", on(SQUARE, 144), (640, 640), {}, head("yolov8", 80, True, THREE)),
    ("three, one class", on(SQUARE, 65), (640, 640), {"classes": 1},
     head("yolov8", 1, True, THREE)),
    ("three, named", on(SQUARE, 65), (640, 640), {"name": "yolov8"},
     head("yolov8", 1, True, THREE)),
    ("three, keypoints", on(SQUARE, 80), (640, 640), {"classes": 1},
     head("yolov8", 1, True, THREE)),
    ("stock", [(1, 84, 8400)], (640, 640), {}, head("yolov8-stock", 80, False, (0,))),
    ("stock, wide", [(1, 6, 5040)], (640, 384), {}, head("yolov8-stock", 2, False, (0,))),
    ("stock, by family", [(1, 84, 8400)], (640, 640), {"name": "yolov8"},
     head("yolov8-stock", 80, False, (0,))),
    ("stock, pose", [(1, 56, 8400)], (640, 640), {"classes": 1},
     head("yolov8-stock", 1, False, (0,))),
    ("stock, turned", [(1, 8400, 84)], (640, 640), {},
     head("yolov8-stock", 80, False, (0,), True)),
    ("stock, turned, 2 labels", [(1, 8400, 6)], (640, 640), {"classes": 2},
     head("yolov8-stock", 2, False, (0,), True)),
    ("v5 raw", on(SQUARE, 255), (640, 640), {}, head("yolov5", 80, False, THREE)),
    ("v5 raw, coarse first", on(SQUARE[::-1], 18), (640, 640), {"classes": 1},
     head("yolov5", 1, False, (2, 1, 0))),
    ("v5 raw over v8 with spare", on(SQUARE, 90), (640, 640), {"classes": 25},
     head("yolov5", 25, False, THREE)),
    ("v5 raw, five axes", anchored(SQUARE, 85), (640, 640), {},
     head("yolov5", 80, True, THREE, True)),
    ("v5 raw, five axes, shuffled", [anchored(WIDE, 7)[i] for i in (1, 2, 0)], (640, 384), {},
     head("yolov5", 2, True, (2, 0, 1), True)),
    ("v5 decoded", [(1, 25200, 85)], (640, 640), {},
     head("yolov5-decoded", 80, False, (0,), True)),
    ("v5 decoded, wide", [(1, 15120, 6)], (640, 384), {"name": "yolov5"},
     head("yolov5-decoded", 1, False, (0,), True)),
    ("yolox", [(1, 3549, 85)], (416, 416), {}, head("yolox", 80, False, (0,), True)),
    ("yolox, one label", [(1, 8400, 6)], (640, 640), {"classes": 1},
     head("yolox", 1, False, (0,), True)),
    ("yolox, three", on(SQUARE, 85), (640, 640), {}, head("yolox", 80, False, THREE)),
    ("yolox, three, named", on(SQUARE, 7), (640, 640), {"name": "yolox"},
     head("yolox", 2, False, THREE)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("shapes", "model", "given", "answer"), [row[1:] for row in UNDERSTOOD],
    ids=[row[0] for row in UNDERSTOOD],
)  # fmt: skip
def test_shapes_are_understood(shapes, model, given, answer):
    found = identify(shapes, model, **given)
    assert found == answer
    assert pickle.loads(pickle.dumps(found)) == answer
    assert callable(build(found, model))


LAYOUTS = (
    "yolov8: on each grid 64 box channels, the classes and perhaps their sum, or 64 + classes; "
    "yolov8-stock: (1, 4 + classes, 8400); "
    "yolov5: on each grid 3 * (5 + classes) channels; "
    "yolov5-decoded: (1, 25200, 5 + classes); "
    "yolox: (1, 8400, 5 + classes), or on each grid 5 + classes channels"
)
KNOWN = (
    "of a 640x640 model are of no known head; with its grids (rows x columns) of 80x80, 40x40, "
    f"20x20, these are understood: {LAYOUTS}"
)

END_TO_END = (
    "of a 640x640 model are detections after the model's own suppression (end to end); export it "
    "without: nms=False, and for YOLO26 or YOLOv10 end2end=False"
)

REFUSED = [
    ("after NMS", [(1, 300, 6)], (640, 640), {}, f"outputs (1, 300, 6) {END_TO_END}"),
    ("poses after NMS", [(1, 300, 57)], (640, 640), {}, f"outputs (1, 300, 57) {END_TO_END}"),
    ("after NMS, as another head", [(1, 100, 6)], (640, 640), {"name": "yolox"},
     f"outputs (1, 100, 6) {END_TO_END}"),
    ("more rows than detections", [(1, 4000, 6)], (640, 640), {}, f"outputs (1, 4000, 6) {KNOWN}"),
    ("nothing", [], (640, 640), {}, f"outputs (none) {KNOWN}"),
    ("a batch", [(2, 84, 8400)], (640, 640), {}, f"outputs (2, 84, 8400) {KNOWN}"),
    ("a mask beside it", [(1, 116, 8400), (1, 32, 160, 160)], (640, 640), {},
     f"outputs (1, 116, 8400), (1, 32, 160, 160) {KNOWN}"),
    ("boxes without bins", on(SQUARE, 4, 80), (640, 640), {},
     "outputs (1, 4, 80, 80), (1, 80, 80, 80), (1, 4, 40, 40), (1, 80, 40, 40), "
     f"(1, 4, 20, 20), (1, 80, 20, 20) {KNOWN}"),
    ("one tensor missing", CUT[:5], (640, 640), {},
     "outputs (1, 64, 80, 80), (1, 80, 80, 80), (1, 64, 40, 40), (1, 80, 40, 40), "
     f"(1, 64, 20, 20) {KNOWN}"),
    ("classes differ", [(1, 64, 80, 80), (1, 80, 80, 80), (1, 64, 40, 40), (1, 80, 40, 40),
                        (1, 64, 20, 20), (1, 79, 20, 20)], (640, 640), {},
     "outputs (1, 64, 80, 80), (1, 80, 80, 80), (1, 64, 40, 40), (1, 80, 40, 40), "
     f"(1, 64, 20, 20), (1, 79, 20, 20) {KNOWN}"),
    ("another size", [(1, 84, 8400)], (416, 416), {"name": "yolov8-stock"},
     "outputs (1, 84, 8400) of a 416x416 model are of no known head; with its grids (rows x "
     "columns) of 52x52, 26x26, 13x13, these are understood: yolov8-stock: (1, 4 + classes, 3549)"),
    ("rows and columns swapped", on(WIDE, 85), (384, 640), {"name": "yolox"},
     "outputs (1, 85, 48, 80), (1, 85, 24, 40), (1, 85, 12, 20) of a 384x640 model are of no "
     "known head; with its grids (rows x columns) of 80x48, 40x24, 20x12, these are understood: "
     "yolox: (1, 5040, 5 + classes), or on each grid 5 + classes channels"),
    ("no multiple of 32", [(1, 84, 4500)], (640, 360), {},
     "the model's input is 640x360, but the known heads need a width and a height that are "
     "multiples of 32"),
    ("wrong labels", [(1, 84, 8400)], (640, 640), {"classes": 3},
     "outputs (1, 84, 8400) of a 640x640 model are yolov8-stock with 80 classes, but the number "
     "of labels is 3: correct the labels"),
    ("wrong labels, three", on(SQUARE, 144), (640, 640), {"classes": 79},
     "outputs (1, 144, 80, 80), (1, 144, 40, 40), (1, 144, 20, 20) of a 640x640 model are "
     "yolov8 with 80 classes, but the number of labels is 79: correct the labels"),
    ("wrong head", [(1, 84, 8400)], (640, 640), {"name": "yolov5"},
     "outputs (1, 84, 8400) of a 640x640 model are not yolov5 or yolov5-decoded but "
     "yolov8-stock with 80 classes: correct the head, or leave it out"),
    ("misspelt head", [(1, 84, 8400)], (640, 640), {"name": "yolo8"},
     'no head named "yolo8", there are yolov8, yolov8-stock, yolov5, yolov5-decoded, yolox; '
     'did you mean "yolov8"?'),
    ("unknown head", [(1, 84, 8400)], (640, 640), {"name": "resnet"},
     'no head named "resnet", there are yolov8, yolov8-stock, yolov5, yolov5-decoded, yolox'),
    ("three readings", on(SQUARE, 90), (640, 640), {},
     "outputs (1, 90, 80, 80), (1, 90, 40, 40), (1, 90, 20, 20) of a 640x640 model could be "
     "yolov8 with 26 classes or yolov5 with 25 classes or yolox with 85 classes: give the "
     "model's labels, or its head"),
    ("two readings", [(1, 8400, 6)], (640, 640), {},
     "outputs (1, 8400, 6) of a 640x640 model could be yolov8-stock with 2 classes or yolox "
     "with 1 class: give the model's labels, or its head"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("shapes", "model", "given", "sentence"), [row[1:] for row in REFUSED],
    ids=[row[0] for row in REFUSED],
)  # fmt: skip
def test_refusals_say_what_came_and_what_would_do(shapes, model, given, sentence):
    with pytest.raises(UnknownHeadError) as refusal:
        identify(shapes, model, **given)
    assert str(refusal.value) == sentence


def filled(shapes, value=0.5):
    return [np.full(shape, value, np.float32) for shape in shapes]


def test_samples_tell_logits_from_probabilities():
    samples = filled(CUT)
    assert identify(CUT, (640, 640), samples=samples).logits is False
    samples[0][:] = -9.0  # the box: says nothing of the scores
    assert identify(CUT, (640, 640), samples=samples).logits is False
    samples[1][0, 3, 0, 0] = 1.004  # one int8 step beyond, as quantised probabilities come
    assert identify(CUT, (640, 640), samples=samples).logits is False
    samples[5][0, 79, 19, 19] = -0.3
    assert identify(CUT, (640, 640), samples=samples).logits is True


def test_three_tensors_are_judged_by_their_classes_alone():
    shapes = on(SQUARE, 80)
    samples = filled(shapes)
    for sample in samples:
        sample[0, :64] = -3.0
        sample[0, 65:] = 3.0  # keypoints
    assert identify(shapes, (640, 640), classes=1, samples=samples).logits is False
    samples[1][0, 64, 5, 5] = -3.0
    assert identify(shapes, (640, 640), classes=1, samples=samples).logits is True


def test_a_sum_beside_logits_is_left_out():
    samples = filled(VENDOR)
    samples[1][:] = -4.0
    assert identify(VENDOR, (640, 640), samples=samples) == head(
        "yolov8", 80, True, (0, 1, 3, 4, 6, 7)
    )


def test_samples_tell_64_classes_from_the_box():
    shapes = on(SQUARE, 64, 64, 1)
    samples = filled(shapes)
    for index in (1, 3, 6):  # the box comes second on the finest grid, first on the others
        samples[index][:] = -2.0
    assert identify(shapes, (640, 640), samples=samples) == head(
        "yolov8", 64, False, (1, 0, 2, 3, 4, 5, 6, 7, 8)
    )


@pytest.mark.parametrize(
    ("shapes", "default"), [(on(SQUARE, 255), False), (anchored(SQUARE, 85), True)]
)
def test_samples_tell_a_raw_v5_with_sigmoids(shapes, default):
    samples = filled(shapes)
    assert identify(shapes, (640, 640)).logits is default
    assert identify(shapes, (640, 640), samples=samples).logits is False
    samples[2][:] = -5.0
    assert identify(shapes, (640, 640), samples=samples).logits is True


@pytest.mark.parametrize(
    ("shapes", "first", "quiet", "loud"),
    [(on(SQUARE, 144), 64, -6.0, 0.7), ([(1, 84, 8400)], 4, 0.9, 320.0)],
    ids=["three", "stock"],
)
def test_too_few_labels_are_not_taken_for_keypoints(shapes, first, quiet, loud):
    """20 labels for 80 classes leave 60 channels, as many as 20 points have."""
    samples = filled(shapes, quiet)
    with pytest.raises(UnknownHeadError, match=r"80 classes, but the number of labels is 20"):
        identify(shapes, (640, 640), classes=20, samples=samples)
    samples[0][0, first + 20] = loud
    assert identify(shapes, (640, 640), classes=20, samples=samples).classes == 20


def test_a_yolox_that_decodes_itself_is_refused():
    samples = filled([(1, 3549, 85)])
    assert identify([(1, 3549, 85)], (416, 416), samples=samples).name == "yolox"
    samples[0][..., 0] = np.linspace(4, 412, 3549)
    with pytest.raises(UnknownHeadError) as refusal:
        identify([(1, 3549, 85)], (416, 416), samples=samples)
    assert str(refusal.value) == (
        "output (1, 3549, 85) holds boxes in pixels, but a yolox head is understood before it "
        "is decoded: export the model without --decode_in_inference"
    )


def test_every_head_has_its_family_s_input_convention():
    assert {name: convention(name) for name in HEADS} == {
        "yolov8": ("rgb", 255.0),
        "yolov8-stock": ("rgb", 255.0),
        "yolov5": ("rgb", 255.0),
        "yolov5-decoded": ("rgb", 255.0),
        "yolox": ("bgr", 1.0),
    }
    with pytest.raises(UnknownHeadError, match='no head named "yolov9x"'):
        convention("yolov9x")
