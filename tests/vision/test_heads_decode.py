"""Every head against a decoding written here: cell by cell in Python floats, from the formula.

The oracles decode everything and threshold last. Random tensors, several model sizes and class
counts, outputs in any order.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from actors.vision.heads import build, identify

MODELS = [(64, 64), (96, 32), (32, 160), (640, 384)]
CLASSES = [1, 2, 64, 80]
STRIDES = (8, 16, 32)
CONF = 0.3


def grids(model):
    """(stride, rows, columns) of each scale."""
    return [(s, model[1] // s, model[0] // s) for s in STRIDES]


def cells(model):
    """(scale, row, column, stride) of each cell, in the order of a flat tensor."""
    for scale, (stride, rows, columns) in enumerate(grids(model)):
        for row in range(rows):
            for column in range(columns):
                yield scale, row, column, stride


def logit(p):
    p = p.astype(np.float64)
    return np.log(p / (1 - p)).astype(np.float32)


def random_scores(rng, shape):
    """Probabilities (1, classes, ...): mostly low; in a cell of eight one class is raised."""
    scores = rng.uniform(0.001, 0.02, shape)
    flat = scores.reshape(shape[1], -1)
    for cell in np.flatnonzero(rng.random(flat.shape[1]) < 0.125):
        flat[rng.integers(shape[1]), cell] = rng.uniform(0.02, 0.98)
    return scores.astype(np.float32)


def rows_of(found):
    """Rows as an array, sorted by score: the order of a decoder's rows means nothing."""
    rows = np.array(found, np.float64).reshape(-1, 6)
    return rows[np.argsort(rows[:, 4], kind="stable")]


def check(outputs, model, expected, conf=CONF, **given):
    """Identify, build and decode; compare with the oracle's rows."""
    description = identify([o.shape for o in outputs], model, **given)
    found = build(description, model)(outputs, conf)
    assert found.dtype == np.float32
    assert len(expected) > 0, "the test's tensors hold nothing to find"
    assert found.shape == (len(expected), 6)
    np.testing.assert_allclose(rows_of(found), rows_of(expected), rtol=1e-4, atol=2e-3)
    return description


def shuffled(rng, outputs):
    return [outputs[i] for i in rng.permutation(len(outputs))]


# YOLOv8


def yolov8_tensors(rng, model, classes):
    """Per scale the box logits and the class probabilities."""
    box = [rng.normal(0, 2, (1, 64, h, w)).astype(np.float32) for _, h, w in grids(model)]
    scores = [random_scores(rng, (1, classes, h, w)) for _, h, w in grids(model)]
    return box, scores


def distance(logits):
    """Expectation over 16 bins."""
    weights = [math.exp(x) for x in logits]
    return sum(i * w for i, w in enumerate(weights)) / sum(weights)


def yolov8_oracle(box, scores, model, conf=CONF):
    found = []
    for scale, row, column, stride in cells(model):
        probabilities = scores[scale][0, :, row, column].tolist()
        best = max(probabilities)
        if best < conf:
            continue
        raw = box[scale][0, :, row, column].tolist()
        left, top, right, bottom = (distance(raw[16 * s : 16 * s + 16]) for s in range(4))
        found.append((
            (column + 0.5 - left) * stride, (row + 0.5 - top) * stride,
            (column + 0.5 + right) * stride, (row + 0.5 + bottom) * stride,
            best, probabilities.index(best),
        ))  # fmt: skip
    return found


def sums(scores):
    return [np.clip(s.sum(axis=1, keepdims=True), 0, 1) for s in scores]


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("model", MODELS)
def test_yolov8_nine_tensors(model, classes):
    rng = np.random.default_rng(classes)
    box, scores = yolov8_tensors(rng, model, classes)
    outputs = shuffled(rng, [*box, *scores, *sums(scores)])
    expected = yolov8_oracle(box, scores, model)
    description = check(outputs, model, expected, samples=outputs)
    assert (description.name, description.classes, description.logits) == ("yolov8", classes, False)
    assert len(description.order) == 9


@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("model", MODELS)
def test_yolov8_six_tensors(model, classes, logits):
    rng = np.random.default_rng(classes)
    box, scores = yolov8_tensors(rng, model, classes)
    given = [logit(s) for s in scores] if logits else scores
    # 64 channels of either kind, both of them logits: only their order tells them apart.
    outputs = [t for i in (2, 0, 1) for t in (box[i], given[i])]
    if not (logits and classes == 64):
        outputs = shuffled(rng, outputs)
    expected = yolov8_oracle(box, scores, model)
    description = check(outputs, model, expected, samples=outputs)
    assert (description.logits, len(description.order)) == (logits, 6)


@pytest.mark.parametrize("points", [0, 15])
@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("model", MODELS)
def test_yolov8_three_tensors(model, classes, logits, points):
    rng = np.random.default_rng(classes)
    box, scores = yolov8_tensors(rng, model, classes)
    given = [logit(s) for s in scores] if logits else scores
    outputs = [
        np.concatenate((b, s, rng.normal(3, 3, (1, points, *b.shape[2:])).astype(np.float32)), 1)
        for b, s in zip(box, given, strict=True)
    ]
    outputs = shuffled(rng, outputs)
    expected = yolov8_oracle(box, scores, model)
    description = check(outputs, model, expected, classes=classes, samples=outputs)
    assert (description.logits, len(description.order)) == (logits, 3)


def one_cell(score, total):
    """Nine tensors of a 32x32 model; the cell on the middle grid, row 1, column 0, has a score."""
    outputs = []
    for size in (4, 2, 1):
        outputs += [np.zeros((1, c, size, size), np.float32) for c in (64, 3, 1)]
    outputs[4][0, 2, 1, 0] = score
    outputs[5][0, 0, 1, 0] = total
    return outputs


@pytest.mark.parametrize(
    ("score", "total", "conf", "found"),
    [
        (0.30, 0.30, 0.30, 1),
        (0.29, 0.30, 0.30, 0),
        (0.30, 0.29, 0.30, 1),  # the sum's own int8 step
        (0.90, 0.60, 0.80, 1),  # the sum's calibration never saw more than 0.6
        (0.90, 0.10, 0.80, 0),  # the sum is what is looked at
        (0.00, 0.00, 0.01, 0),
    ],
)
def test_yolov8_sum_is_a_filter_with_slack(score, total, conf, found):
    outputs = one_cell(score, total)
    decoder = build(identify([o.shape for o in outputs], (32, 32)), (32, 32))
    rows = decoder(outputs, np.float32(conf).item())
    assert rows.shape == (found, 6)
    # Flat distributions: 7.5 strides to each side of the centre (8, 24).
    for row in rows:
        np.testing.assert_allclose(row, [-112, -96, 128, 144, score, 2], rtol=1e-6)


def stock_oracle(tensor, classes, conf=CONF):
    found = []
    for x, y, w, h, *rest in tensor.T.tolist():
        scores = rest[:classes]
        if max(scores) >= conf:
            box = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
            found.append((*box, max(scores), scores.index(max(scores))))
    return found


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("model", MODELS[1:])  # 64x64 has 84 cells: 80 classes make a square
def test_yolov8_stock(model, classes, turned):
    rng = np.random.default_rng(classes)
    n = sum(rows * columns for _, rows, columns in grids(model))
    box = rng.uniform(0, 300, (4, n)).astype(np.float32)
    tensor = np.concatenate((box, random_scores(rng, (1, classes, n))[0]))
    expected = stock_oracle(tensor, classes)
    output = np.ascontiguousarray(tensor.T)[None] if turned else tensor[None]
    description = check([output], model, expected, classes=classes, name="yolov8")
    assert (description.name, description.channels_last) == ("yolov8-stock", turned)


def test_yolov8_stock_ignores_keypoints():
    rng = np.random.default_rng(5)
    box = rng.uniform(0, 64, (4, 84)).astype(np.float32)
    points = rng.uniform(0, 64, (15, 84)).astype(np.float32)
    tensor = np.concatenate((box, random_scores(rng, (1, 1, 84))[0], points))
    check([tensor[None]], (64, 64), stock_oracle(tensor, 1), classes=1)


# YOLOv5 and YOLOX


def scored(value, conf):
    """(score, class) of the 1 + classes values after the box, or None."""
    objectness, *classes = value
    score = objectness * max(classes)
    return (score, classes.index(max(classes))) if score >= conf else None


def objectness_values(rng, shape, classes):
    """Probabilities (..., 1 + classes): one cell in four has an object."""
    values = rng.uniform(0.01, 0.99, (*shape, 1 + classes))
    values[..., 0] *= np.where(rng.random(shape) < 0.25, 1, 0.1)
    return values


V5_ANCHORS = [
    [(10, 13), (16, 30), (33, 23)],
    [(30, 61), (62, 45), (59, 119)],
    [(116, 90), (156, 198), (373, 326)],
]


def yolov5_oracle(tensors, model, conf=CONF):
    """`tensors`: per scale (3, rows, columns, 5 + classes) after the sigmoid."""
    found = []
    for scale, row, column, stride in cells(model):
        for anchor, (width, height) in enumerate(V5_ANCHORS[scale]):
            x, y, w, h, *rest = tensors[scale][anchor, row, column].tolist()
            best = scored(rest, conf)
            if best is None:
                continue
            cx, cy = (2 * x - 0.5 + column) * stride, (2 * y - 0.5 + row) * stride
            w, h = (2 * w) ** 2 * width, (2 * h) ** 2 * height
            found.append((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, *best))
    return found


@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.parametrize("five_axes", [False, True])
@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("model", MODELS)
def test_yolov5_raw(model, classes, five_axes, logits):
    rng = np.random.default_rng(classes)
    tensors = [
        np.concatenate(
            (rng.uniform(0.01, 0.99, (3, h, w, 4)), objectness_values(rng, (3, h, w), classes)), 3
        ).astype(np.float32)
        for _, h, w in grids(model)
    ]
    outputs = [logit(t) for t in tensors] if logits else tensors
    if five_axes:
        outputs = [o[None] for o in outputs]
    else:
        outputs = [
            np.ascontiguousarray(o.transpose(0, 3, 1, 2)).reshape(1, -1, *o.shape[1:3])
            for o in outputs
        ]
    outputs = shuffled(rng, outputs)
    expected = yolov5_oracle(tensors, model)
    description = check(outputs, model, expected, classes=classes, samples=outputs)
    assert (description.name, description.logits) == ("yolov5", logits)


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("model", MODELS)
def test_yolov5_decoded(model, classes):
    rng = np.random.default_rng(classes)
    n = 3 * sum(rows * columns for _, rows, columns in grids(model))
    tensor = np.concatenate(
        (rng.uniform(0, 300, (n, 4)), objectness_values(rng, (n,), classes)), 1
    ).astype(np.float32)
    expected = []
    for x, y, w, h, *rest in tensor.tolist():
        best = scored(rest, CONF)
        if best is not None:
            expected.append((x - w / 2, y - h / 2, x + w / 2, y + h / 2, *best))
    assert check([tensor[None]], model, expected, classes=classes).name == "yolov5-decoded"


def yolox_oracle(values, model, conf=CONF):
    """`values`: (cells, 5 + classes)."""
    found = []
    for (_, row, column, stride), value in zip(cells(model), values.tolist(), strict=True):
        x, y, w, h, *rest = value
        best = scored(rest, conf)
        if best is None:
            continue
        cx, cy = (x + column) * stride, (y + row) * stride
        w, h = math.exp(w) * stride, math.exp(h) * stride
        found.append((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, *best))
    return found


@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("model", MODELS)
def test_yolox(model, classes, planes):
    rng = np.random.default_rng(classes)
    n = sum(rows * columns for _, rows, columns in grids(model))
    values = np.concatenate(
        (rng.normal(0.5, 1, (n, 4)), objectness_values(rng, (n,), classes)), 1
    ).astype(np.float32)
    outputs = [values[None]]
    if planes:
        sizes = [rows * columns for _, rows, columns in grids(model)]
        parts = np.split(values, np.cumsum(sizes)[:-1])
        outputs = [
            np.ascontiguousarray(part.T).reshape(1, -1, rows, columns)
            for part, (_, rows, columns) in zip(parts, grids(model), strict=True)
        ]
        outputs = shuffled(rng, outputs)
    expected = yolox_oracle(values, model)
    assert check(outputs, model, expected, classes=classes, samples=outputs).name == "yolox"
