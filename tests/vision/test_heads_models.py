"""The heads on real models and photographs: what the formulas are for."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from actors.vision.heads import build, convention, identify

onnxruntime = pytest.importorskip("onnxruntime")

PERSON = 0
GROUP = "000000001000.jpg"  # twelve people, nearly all of them facing the camera


class Model:
    """A model of the shared folder: run on an image that is padded to the model's size."""

    def __init__(self, path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        (tensor,) = self.session.get_inputs()
        self.input, self.size = tensor.name, (tensor.shape[3], tensor.shape[2])
        self.shapes = [tuple(o.shape) for o in self.session.get_outputs()]

    def run(self, image, channels, divisor):
        """The outputs, and the factor from frame pixels to model pixels."""
        width, height = self.size
        scale = min(width / image.shape[1], height / image.shape[0])
        resized = cv2.resize(image, None, fx=scale, fy=scale)
        padded = np.full((height, width, 3), 114, np.uint8)
        padded[: resized.shape[0], : resized.shape[1]] = resized
        if channels == "rgb":
            padded = padded[..., ::-1]
        x = np.ascontiguousarray(padded.transpose(2, 0, 1)[None].astype(np.float32) / divisor)
        return self.session.run(None, {self.input: x}), scale


def iou(a, b):
    """Of one box with many."""
    low, high = np.maximum(a[:2], b[:, :2]), np.minimum(a[2:], b[:, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=1)
    area_a, area_b = np.prod(a[2:] - a[:2]), np.prod(b[:, 2:] - b[:, :2], axis=1)
    return common / (area_a + area_b - common)


def nms(rows):
    """Detections that overlap no better one of their class."""
    kept: list[np.ndarray] = []
    for row in rows[np.argsort(-rows[:, 4])]:
        same = np.array([k for k in kept if k[5] == row[5]]).reshape(-1, 6)
        if not len(same) or iou(row[:4], same[:, :4]).max() < 0.5:
            kept.append(row)
    return np.array(kept)


@pytest.fixture(scope="module")
def photo(shared_data):
    """An image, and the boxes (n, 4) of the people in it."""
    truth = json.loads((shared_data / "coco/instances.json").read_text())
    (image,) = [i for i in truth["images"] if i["file_name"] == GROUP]
    (person,) = [c["id"] for c in truth["categories"] if c["name"] == "person"]
    boxes = [
        (x, y, x + w, y + h)
        for a in truth["annotations"]
        if a["image_id"] == image["id"] and a["category_id"] == person
        for x, y, w, h in [a["bbox"]]
    ]
    assert len(boxes) == 12
    return cv2.imread(str(shared_data / "coco/images" / GROUP)), np.array(boxes)


def detect(model, image, **given):
    """Description and detections in frame pixels, at a score of 0.25 and more."""
    channels = convention(identify(model.shapes, model.size, **given).name)
    outputs, scale = model.run(image, *channels)
    description = identify(model.shapes, model.size, samples=outputs, **given)
    rows = build(description, model.size)(outputs, 0.25)
    rows[:, :4] /= scale
    return description, nms(rows)


def people_found(rows, people):
    rows = rows[rows[:, 5] == PERSON]
    return sum(iou(person, rows[:, :4]).max() > 0.5 for person in people)


def test_vendor_and_stock_exports_give_the_same_detections(shared_data, photo):
    image, people = photo
    vendor = Model(shared_data / "models/yolov8n_zoo9.onnx")
    stock = Model(shared_data / "models/yolov8n_stock.onnx")
    vendor_head, found = detect(vendor, image)
    stock_head, other = detect(stock, image)
    assert (vendor_head.name, vendor_head.classes, vendor_head.logits) == ("yolov8", 80, False)
    assert (stock_head.name, stock_head.classes, stock_head.logits) == ("yolov8-stock", 80, False)
    assert len(found) == len(other)
    np.testing.assert_allclose(found, other, atol=0.01)
    assert people_found(found, people) >= 11


def test_the_sum_filter_loses_nothing(shared_data, photo):
    model = Model(shared_data / "models/yolov8n_zoo9.onnx")
    outputs, _ = model.run(photo[0], "rgb", 255.0)
    six = [outputs[i] for i in (0, 1, 3, 4, 6, 7)]
    without = identify([o.shape for o in six], model.size, samples=six)
    assert not without.logits
    for conf in (0.01, 0.25, 0.6, 0.9):
        rows = build(identify(model.shapes, model.size), model.size)(outputs, conf)
        np.testing.assert_array_equal(rows, build(without, model.size)(six, conf))


def test_yolox_finds_the_people(shared_data, photo):
    image, people = photo
    description, found = detect(Model(shared_data / "models/yolox_nano.onnx"), image)
    assert (description.name, description.classes) == ("yolox", 80)
    assert people_found(found, people) >= 10
    assert len(found) <= 20


def test_a_face_model_with_keypoints_finds_a_face_on_each_person(shared_data, photo):
    image, people = photo
    model = Model(shared_data / "models/face_yolov8_lite_t.onnx")
    description, faces = detect(model, image, classes=1)
    assert (description.name, description.classes, description.logits) == ("yolov8", 1, True)
    x, y = (faces[:, :2] + faces[:, 2:4]).T / 2
    left, top, right, bottom = people.T[:, :, None]
    inside = (left < x) & (x < right) & (top < y) & (y < bottom)
    assert len(faces) == len(people)
    assert inside.any(axis=1).all(), "a person without a face"
    assert inside.any(axis=0).all(), "a face without a person"
    heights = (faces[:, 3] - faces[:, 1]) / (people[:, 3] - people[:, 1]).max()
    assert ((heights > 0.05) & (heights < 0.25)).all()
