"""The training of the package's models: its arithmetic, its data, its export, its score."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest

from actors.runtimes.contract import RuntimeSpec
from actors.runtimes.onnx import OnnxRuntime, inspect_onnx
from actors.scene.world import Truth
from actors.vision.heads import build, identify
from actors.vision.tiling import Tile
from tools.train.__main__ import main
from tools.train.data import CROP, MODEL, SUBJECTS, Sample, render, targets
from tools.train.score import compare

if TYPE_CHECKING:
    from torch import Tensor

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

needs_torch = pytest.mark.skipif(
    torch is None,
    reason="PyTorch is not installed: the training is NOT tested (pip install torch)",
)
RANDOM = np.random.default_rng(0)


def boxes(count: int, side: float = 60.0) -> npt.NDArray[np.float32]:
    low = RANDOM.uniform(0, side, (count, 2))
    return np.concatenate((low, low + RANDOM.uniform(4, side, (count, 2))), 1).astype(np.float32)


def sample(count: int = 2, size: int = 64) -> Sample:
    """Bright rectangles on black, and their boxes."""
    image = np.zeros((size, size, 3), np.uint8)
    found = np.array([[4 + 30 * i, 8, 20 + 30 * i, 40 + 4 * i] for i in range(count)], np.float32)
    for x1, y1, x2, y2 in found.astype(int):
        image[y1:y2, x1:x2] = 200
    return Sample(image, found, np.arange(count) % 2, np.zeros(count, bool))


# ---------------------------------------------------------------- the loss


@needs_torch
def test_complete_iou_is_that_of_the_paper() -> None:
    from tools.train.loss import complete_iou, overlaps

    first, second = boxes(200), boxes(200)
    found = complete_iou(torch.from_numpy(first), torch.from_numpy(second))
    matrix = overlaps(torch.from_numpy(first), torch.from_numpy(second))
    for index, (a, b) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
        tall = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
        union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - wide * tall
        iou = wide * tall / union
        apart = math.dist(
            ((a[0] + a[2]) / 2, (a[1] + a[3]) / 2), ((b[0] + b[2]) / 2, (b[1] + b[3]) / 2)
        )
        across = math.dist((min(a[0], b[0]), min(a[1], b[1])), (max(a[2], b[2]), max(a[3], b[3])))
        angles = [math.atan((box[2] - box[0]) / (box[3] - box[1])) for box in (a, b)]
        shape = 4 / math.pi**2 * (angles[0] - angles[1]) ** 2
        expected = iou - apart**2 / across**2 - shape / (1 - iou + shape) * shape
        assert float(found[index]) == pytest.approx(expected, abs=1e-4)
        assert float(matrix[index, index]) == pytest.approx(iou, abs=1e-5)


@needs_torch
def test_sides_are_taught_as_shares_of_two_bins() -> None:
    from tools.train.loss import sides_loss

    logits = RANDOM.normal(0, 2, (5, 4, 16))
    distances = RANDOM.uniform(0, 14.9, (5, 4))
    found = sides_loss(torch.from_numpy(logits), torch.from_numpy(distances))
    for row in range(5):
        each = []
        for side in range(4):
            chances = np.exp(logits[row, side]) / np.exp(logits[row, side]).sum()
            low = math.floor(distances[row, side])
            part = distances[row, side] - low
            each.append(-(1 - part) * math.log(chances[low]) - part * math.log(chances[low + 1]))
        assert float(found[row]) == pytest.approx(sum(each) / 4, abs=1e-6)
    # What is farther than the last bin is taken for that, and is a number still.
    assert math.isfinite(float(sides_loss(torch.zeros(1, 4, 16), torch.full((1, 4), 99.0))))


@needs_torch
def test_who_answers_for_which_target() -> None:
    from tools.train.loss import Targets, assign

    # Cells in a row, 10 apart. The first target holds cells 0 to 2, the second 2 and 3, the third
    # is ignored and holds 5, the fourth is filling.
    middles = torch.tensor([[5.0 + 10 * i, 5.0] for i in range(7)])
    wanted = torch.tensor(
        [[0.0, 0, 28, 10], [22.0, 0, 40, 10], [50.0, 0, 60, 10], [0.0, 0, 70, 10]]
    )
    known = Targets(
        wanted[None],
        torch.tensor([[1, 0, 0, 0]]),
        torch.tensor([[True, True, True, False]]),
        torch.tensor([[False, False, True, False]]),
    )
    predicted = torch.tensor(
        [
            [0.0, 0, 28, 10],  # exact
            [0.0, 0, 14, 10],  # half
            [22.0, 0, 40, 10],  # exact, for the second, though the first holds it as well
            [90.0, 0, 99, 10],  # nowhere
            [22.0, 0, 40, 10],  # exact, but its cell is not inside
            [50.0, 0, 60, 10],  # on what is ignored
            [0.0, 0, 70, 10],  # on filling
        ]
    )
    scores = torch.full((1, 7, 2), 0.25)
    aim = assign(scores, predicted[None], middles, known)
    assert aim.positive[0].tolist() == [True, True, True, False, False, False, False]
    assert aim.boxes[0, :3].tolist() == wanted[[0, 0, 1]].tolist()
    assert aim.counted[0].tolist() == [True] * 5 + [False, True]
    # The best answers get its IoU, the other its share: (1/2)^6 of it.
    expected = torch.zeros(7, 2)
    expected[0, 1], expected[1, 1], expected[2, 0] = 1.0, 0.5**6, 1.0
    torch.testing.assert_close(aim.scores[0], expected, atol=1e-4, rtol=0)


@needs_torch
def test_a_target_has_ten_answers_at_most() -> None:
    from tools.train.loss import Targets, assign

    middles = torch.tensor([[1.0 + i, 5.0] for i in range(30)])
    target = torch.tensor([[[0.0, 0, 40, 10]]])
    yes, no = torch.tensor([[True]]), torch.tensor([[False]])
    known = Targets(target, torch.tensor([[0]]), yes, no)
    scores = torch.linspace(0.1, 0.9, 30)[None, :, None]
    aim = assign(scores, target.expand(1, 30, 4), middles, known)
    assert aim.positive[0].tolist() == [False] * 20 + [True] * 10


@needs_torch
def test_a_first_guess_far_too_large_is_taught_from() -> None:
    from tools.train.loss import Targets, assign

    middles = torch.tensor([[4.0, 4.0], [12.0, 4.0]])
    target = torch.tensor([[[1.0, 1.0, 7.0, 7.0]]])
    yes = torch.tensor([[True]])
    guesses = torch.tensor([[[-56.0, -56.0, 64.0, 64.0], [-48.0, -56.0, 72.0, 64.0]]])
    known = Targets(target, torch.tensor([[0]]), yes, ~yes)
    aim = assign(torch.full((1, 2, 3), 2e-4), guesses, middles, known)
    assert aim.positive[0].tolist() == [True, False]
    assert float(aim.scores[0, 0, 0]) == pytest.approx(36 / 120**2, rel=1e-3)


@needs_torch
def test_the_loss_of_a_perfect_answer_is_small_and_without_targets_finite() -> None:
    from tools.train.loss import Targets, loss
    from tools.train.network import Raw, cells

    middles, strides = cells(64, 64)
    one = torch.tensor([[[8.0, 8.0, 40.0, 56.0]]])
    real = torch.ones(1, 1, dtype=torch.bool)
    known = Targets(one, torch.zeros(1, 1, dtype=torch.int64), real, ~real)
    distances = torch.cat((middles - one[0, :, :2], one[0, :, 2:] - middles), 1) / strides[:, None]
    inside = distances.amin(1) > 0
    bins = torch.arange(16.0)
    # Logits of a narrow peak at the true distance.
    sides = (-8 * (bins - distances[..., None]).abs()).flatten(1)[None]
    good = torch.where(inside, 9.0, -9.0)[None, :, None]
    value, _ = loss(Raw(sides, good), middles, strides, known)
    bad, _ = loss(Raw(sides.flip(1), -good), middles, strides, known)
    assert float(value) < 0.3 * float(bad)
    empty, parts = loss(Raw(sides, -good), middles, strides, known._replace(real=~real))
    assert math.isfinite(float(empty)) and parts[0] == 0 and parts[2] == 0


# ---------------------------------------------------------------- the network


@needs_torch
def test_the_exported_file_says_what_the_network_says(tmp_path: Path) -> None:
    from tools.train.exporting import export
    from tools.train.network import Network, cells, decode

    torch.manual_seed(3)
    network = Network(3).eval()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith("running_mean"):
                value.normal_(0, 0.1)
            elif name.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif name.startswith("kinds") and name.endswith("1.bias"):
                value.zero_()
    path = tmp_path / "model.onnx"
    export(network, ("a", "b", "c"), path, size=96)
    file = inspect_onnx(str(path))
    assert file.size == (96, 96) and file.labels == ("a", "b", "c")
    grids = (12, 6, 3)
    assert list(file.shapes) == [(1, n, g, g) for g in grids for n in (64, 3, 1)]
    head = identify(file.shapes, file.size, classes=3, samples=file.samples)
    assert head.name == "yolov8" and not head.logits

    image = RANDOM.integers(0, 256, (96, 96, 3), np.uint8)
    runtime = OnnxRuntime(RuntimeSpec(kind="onnx", path=str(path), size=(96, 96)))
    conf = 0.5
    found = build(head, file.size)(runtime.run(image), conf)
    with torch.no_grad():
        raw = network(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)
        scores, kinds = raw.scores[0].sigmoid().max(1)
        mine = decode(raw.sides[0], *cells(96, 96))
    sure = (scores >= conf).nonzero()[:, 0]
    assert len(sure) > 10
    expected = torch.cat((mine[sure], scores[sure, None], kinds[sure, None]), 1)
    np.testing.assert_allclose(found, expected.numpy(), atol=2e-3)


@needs_torch
def test_the_same_seed_gives_the_same_weights() -> None:
    from tools.train.training import Recipe, train

    pictures = [sample(1), sample(2), sample(2)]

    def weights(seed: int) -> dict[str, Tensor]:
        recipe = Recipe(steps=3, batch=2, seed=seed, half=False)
        return train(pictures, 2, recipe, lambda text: None).state_dict()

    first, again, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@needs_torch
def test_training_lowers_the_loss() -> None:
    from tools.train.training import Recipe, train

    lines: list[str] = []
    train([sample(2)] * 4, 2, Recipe(steps=100, batch=2, half=False), lines.append)
    box = [float(line.split("box ")[1].split(",")[0]) for line in lines]
    assert len(box) == 2
    assert box[1] < 0.7 * box[0]


# ---------------------------------------------------------------- what it learns from


@needs_torch
def test_a_varied_picture_keeps_its_boxes() -> None:
    from tools.train.training import vary

    turned = set()
    for seed in range(40):
        once = vary(sample(1), np.random.default_rng(seed))
        rows, columns = (once.image[..., 0] > 60).nonzero()
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert once.boxes[0].tolist() == [float(side) for side in seen]
        turned.add(tuple(seen))
    assert len(turned) == 8


@needs_torch
def test_every_picture_comes_once_a_round() -> None:
    from tools.train.training import Recipe, batch

    pictures = [sample(1)] * 3 + [sample(2)] * 3
    recipe = Recipe(steps=9, batch=2)
    counts = [int(batch(pictures, recipe, step)[1].real.sum()) for step in range(6)]
    assert sum(counts[:3]) == sum(counts[3:]) == 9


def test_a_scenes_pictures() -> None:
    found = list(render(5, frames=1))
    assert [name for name, _ in found] == ["large"] + ["small"] * 4
    for name, one in found:
        rows, columns = SUBJECTS[name].shape
        assert one.image.shape == (rows, columns, 3)
        limit = np.array([columns, rows, columns, rows])
        assert ((one.boxes >= 0) & (one.boxes <= limit)).all()
        assert set(one.class_ids.tolist()) <= {0, 1, 2}


def test_what_a_tiles_edge_cuts_is_smaller_or_ignored() -> None:
    truth = Truth(
        np.array([[300, 10, 340, 30], [310, 50, 350, 70], [10, 10, 40, 40], [0, 0, 200, 99]],
                 np.float32),
        np.array([3, 4, 5, 0]),
        np.array([1.0, 1.0, 0.2, 1.0], np.float32),
    )  # fmt: skip
    one = targets(SUBJECTS["small"], truth, Tile(0, 0, CROP, CROP, 0, 0, CROP, CROP))
    assert one.boxes.tolist() == [[300, 10, 320, 30], [310, 50, 320, 70], [10, 10, 40, 40]]
    assert one.class_ids.tolist() == [0, 1, 2]
    assert one.ignored.tolist() == [False, True, True]


# ---------------------------------------------------------------- the score


def test_what_is_right_wrong_missed_and_open() -> None:
    truth = Truth(
        np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 80, 10]], np.float32),
        np.array([3, 4, 3, 3]),
        np.array([1.0, 1.0, 1.0, 0.1], np.float32),
    )
    found = np.array(
        [
            [0, 0, 10, 9, 0.9, 3],  # right
            [0, 0, 10, 10, 0.8, 3],  # again: wrong
            [20, 0, 30, 10, 0.7, 3],  # another class: wrong
            [62, 0, 72, 10, 0.6, 3],  # on what is ignored: neither
            [48, 0, 58, 10, 0.5, 3],  # hardly on it: wrong
        ],
        np.float32,
    )
    tally = compare(found, truth, (3, 4, 5))
    assert tally.asked == 3
    assert tally.right.tolist() == [True, False, False, False]
    assert tally.at(0.1) == (1 / 3, 0.25)
    assert tally.at(0.85) == (1 / 3, 1.0)
    both = tally + tally
    assert both.asked == 6 and len(both.scores) == 8


def test_calibration_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import cv2

    assert main(["calibration", str(tmp_path), "--count", "1"]) == 0
    for name in SUBJECTS:
        files = sorted((tmp_path / name).iterdir())
        assert len(files) == 1
        picture = cv2.imread(str(files[0]))
        assert picture is not None and picture.shape == (MODEL[1], MODEL[0], 3)
    assert "1 pictures" in capsys.readouterr().out


def test_a_model_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "none.onnx"
    path.write_bytes(b"no model")
    assert main(["score", str(path), "small"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("train: ")


def test_no_model_is_measured_on_what_it_was_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["score", str(tmp_path / "m.onnx"), "small", "--first", "999999", "--seeds", "2"]) == 2
    )
    assert "0 to 999999 are for measuring" in capsys.readouterr().err
