"""The training itself: batches in a fixed order, a cosine of a learning rate, averaged weights."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from .data import Sample
from .loss import Targets, loss
from .network import Network, cells


class Samples(Protocol):
    """Pictures by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


@dataclass(frozen=True)
class Recipe:
    """How to train."""

    steps: int
    batch: int
    seed: int = 0
    rate: float = 2.5e-3
    half: bool = True
    """Compute in bfloat16 where it can be: 1.6 times as fast on a CPU that has it."""


def train(
    samples: Samples,
    classes: int,
    recipe: Recipe,
    report: Callable[[str], None],
    checkpoint: Callable[[Network], None] | None = None,
) -> Network:
    """A trained network, in evaluation mode; `checkpoint` gets it every 200 steps as it is then.

    The same samples and recipe give the same weights on the same kind of CPU with the same PyTorch
    and one thread; elsewhere sums are rounded otherwise, and the weights differ a little.
    """
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(1)
    network: Network = Network(classes).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(network).eval()
    optimizer = torch.optim.AdamW(_groups(network), lr=recipe.rate, betas=(0.9, 0.99))
    rows, columns = samples[0].image.shape[:2]
    middles, strides = cells(rows, columns)
    parts, begin = torch.zeros(3), time.monotonic()
    for step in range(recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * schedule(step, recipe.steps)
        images, targets = batch(samples, recipe, step)
        network.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.half):
            raw = network(images)
        value, now = loss(raw, middles, strides, targets)
        optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimizer.step()
        _average(average, network, min(0.998, (1 + step) / (10 + step)))
        parts += now / 50
        if step % 50 == 49:
            spent = (time.monotonic() - begin) / 60
            box, score, side = parts.tolist()
            report(
                f"step {step + 1}/{recipe.steps}: box {box:.3f}, score {score:.3f}, sides "
                f"{side:.3f}, {spent:.1f} min"
            )
            parts.zero_()
        if checkpoint is not None and step % 200 == 199:
            checkpoint(average)
    return average


def schedule(step: int, steps: int) -> float:
    """The part of the learning rate: a short warm-up, then half a cosine down to a hundredth."""
    warm = min(1.0, (step + 1) / min(100, max(1, steps // 5)))
    return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def batch(samples: Samples, recipe: Recipe, step: int) -> tuple[Tensor, Targets]:
    """The batch of one step: every picture comes once before any comes again."""
    chosen = []
    for position in range(step * recipe.batch, (step + 1) * recipe.batch):
        round_, place = divmod(position, len(samples))
        order = np.random.default_rng((recipe.seed, 0, round_)).permutation(len(samples))
        random = np.random.default_rng((recipe.seed, 1, position))
        chosen.append(vary(samples[int(order[place])], random))
    most = max(1, *(len(sample.boxes) for sample in chosen))
    boxes = torch.zeros(len(chosen), most, 4)
    kinds = torch.zeros(len(chosen), most, dtype=torch.int64)
    real = torch.zeros(len(chosen), most, dtype=torch.bool)
    ignored = torch.zeros(len(chosen), most, dtype=torch.bool)
    for index, sample in enumerate(chosen):
        count = len(sample.boxes)
        boxes[index, :count] = torch.from_numpy(sample.boxes)
        kinds[index, :count] = torch.from_numpy(sample.class_ids)
        real[index, :count] = True
        ignored[index, :count] = torch.from_numpy(sample.ignored)
    stacked = torch.from_numpy(np.stack([sample.image for sample in chosen]))
    # NHWC in memory, as `channels_last` wants it.
    images = stacked.permute(0, 3, 1, 2).float() / 255
    return images, Targets(boxes, kinds, real, ignored)


def vary(sample: Sample, random: np.random.Generator) -> Sample:
    """The same picture mirrored (and turned, if it is square), in another light."""
    image, boxes = sample.image, sample.boxes.copy()
    rows, columns = image.shape[:2]
    if random.random() < 0.5:
        image = image[:, ::-1]
        boxes[:, [0, 2]] = columns - boxes[:, [2, 0]]
    if random.random() < 0.5:
        image = image[::-1]
        boxes[:, [1, 3]] = rows - boxes[:, [3, 1]]
    if rows == columns and random.random() < 0.5:
        image = image.transpose(1, 0, 2)
        boxes = boxes[:, [1, 0, 3, 2]]
    gain = random.uniform(0.8, 1.2) * random.uniform(0.92, 1.08, 3)
    offset = random.uniform(-14, 14)
    levels = np.arange(256)[:, None] * gain + offset
    table = np.clip(levels, 0, 255).astype(np.uint8)
    lit = np.stack([table[image[..., channel], channel] for channel in range(3)], 2)
    return Sample(lit, boxes, sample.class_ids, sample.ignored)


def _groups(network: Network) -> list[dict[str, object]]:
    """Kernels decay, biases and norms do not."""
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": kernels, "weight_decay": 0.02}, {"params": others, "weight_decay": 0.0}]


@torch.no_grad()
def _average(average: Network, network: Network, keep: float) -> None:
    mine = average.state_dict()
    for name, value in network.state_dict().items():
        if value.dtype.is_floating_point:
            mine[name].mul_(keep).add_(value, alpha=1 - keep)
        else:
            mine[name].copy_(value)
