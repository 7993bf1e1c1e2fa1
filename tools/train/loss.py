"""The training loss: which cell is assigned to which target, and how wrong its output is.

Assignment: task-aligned (Feng et al. 2021, TOOD, arXiv:2108.07755): of the cells inside a target's
box the ten with the largest score^0.5 * IoU^6 answer for it, and their score is to be their share
of the best, times the best IoU. Boxes: complete IoU (Zheng et al. 2019, arXiv:1911.08287) and
distribution focal loss (Li et al. 2020, arXiv:2006.04388). Scores: binary cross entropy.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from .network import BINS, Raw, decode

_ANSWERING = 10
_SCORE_POWER, _IOU_POWER = 0.5, 6.0
_BOX_WEIGHT, _SCORE_WEIGHT, _SIDES_WEIGHT = 7.5, 0.5, 1.5


class Targets(NamedTuple):
    """The targets of a batch, filled up to the same number."""

    boxes: Tensor
    """(batch, n, 4), pixels."""
    class_ids: Tensor
    """(batch, n)."""
    real: Tensor
    """(batch, n), bool: false for fillers."""
    ignored: Tensor
    """(batch, n), bool: neither asked for nor wrong."""


class Assignment(NamedTuple):
    """What each cell is to say."""

    positive: Tensor
    """(batch, cells), bool: answers for a target."""
    boxes: Tensor
    """(batch, cells, 4): that target's box; arbitrary where not positive."""
    scores: Tensor
    """(batch, cells, classes): from 0 to 1."""
    counted: Tensor
    """(batch, cells), bool: false where an ignored target leaves the answer open."""


def overlaps(first: Tensor, second: Tensor) -> Tensor:
    """IoU (..., n, m) of boxes (..., n, 4) and (..., m, 4)."""
    a, b = first[..., :, None, :], second[..., None, :, :]
    shared = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(
        0
    )
    common = shared.prod(-1)
    areas = [(box[..., 2:] - box[..., :2]).prod(-1) for box in (a, b)]
    return common / (areas[0] + areas[1] - common + 1e-9)


def complete_iou(first: Tensor, second: Tensor) -> Tensor:
    """CIoU (n,) of boxes (n, 4) pair by pair: IoU less distance and difference of shape."""
    low, high = (
        torch.minimum(first[:, :2], second[:, :2]),
        torch.maximum(first[:, 2:], second[:, 2:]),
    )
    inner = torch.minimum(first[:, 2:], second[:, 2:]) - torch.maximum(first[:, :2], second[:, :2])
    common = inner.clamp(0).prod(1)
    size1, size2 = first[:, 2:] - first[:, :2], second[:, 2:] - second[:, :2]
    iou = common / (size1.prod(1) + size2.prod(1) - common + 1e-7)
    offset = (first[:, :2] + first[:, 2:] - second[:, :2] - second[:, 2:]) / 2
    distance = offset.pow(2).sum(1) / ((high - low).pow(2).sum(1) + 1e-7)
    angle1 = torch.atan(size1[:, 0] / (size1[:, 1] + 1e-7))
    angle2 = torch.atan(size2[:, 0] / (size2[:, 1] + 1e-7))
    shape = 4 / math.pi**2 * (angle2 - angle1).pow(2)
    with torch.no_grad():
        weight = shape / (1 - iou + shape + 1e-7)
    return iou - distance - weight * shape


def assign(scores: Tensor, boxes: Tensor, middles: Tensor, targets: Targets) -> Assignment:
    """`scores` (batch, cells, classes) from 0 to 1 and `boxes` (batch, cells, 4) as predicted."""
    count, classes = boxes.shape[1], scores.shape[2]
    corners = targets.boxes[:, :, None]
    inside = torch.minimum(middles - corners[..., :2], corners[..., 2:] - middles).amin(3) > 0
    asked = targets.real & ~targets.ignored
    iou = overlaps(targets.boxes, boxes)
    kinds = targets.class_ids[:, :, None].expand(-1, -1, count)
    metric = scores.transpose(1, 2).gather(1, kinds).pow(_SCORE_POWER) * iou.pow(_IOU_POWER)
    metric = metric * (inside & asked[..., None])
    best = metric.topk(min(_ANSWERING, count), 2)
    answering = torch.zeros_like(metric).scatter_(2, best.indices, 1.0) * (metric > 0)
    # A cell between two targets answers for the one that it overlaps more.
    claim = torch.where(answering > 0, iou, -1.0)
    owner = claim.argmax(1, keepdim=True)
    mine = torch.zeros_like(metric).scatter_(1, owner, 1.0) * answering
    positive = mine.sum(1) > 0
    metric = metric * mine
    # A target far smaller than what is first guessed starts out with an IoU of 0.01: no larger
    # number than float32's own limit may stand in for zero here.
    highest = metric.amax(2, keepdim=True).clamp(min=1e-37)
    share = metric / highest * (iou * mine).amax(2, keepdim=True)
    chosen = owner[:, 0]
    wanted = torch.zeros(*positive.shape, classes, dtype=scores.dtype)
    kind = targets.class_ids.gather(1, chosen)[..., None]
    wanted.scatter_(2, kind, (share.amax(1) * positive)[..., None].to(scores.dtype))
    open_ = (inside & (targets.real & targets.ignored)[..., None]).any(1)
    own_boxes = targets.boxes.gather(1, chosen[..., None].expand(-1, -1, 4))
    return Assignment(positive, own_boxes, wanted, positive | ~open_)


def sides_loss(logits: Tensor, distances: Tensor) -> Tensor:
    """Distribution focal loss (n,): `logits` (n, 4, 16) and true distances (n, 4) in strides.

    The two bins on both sides of the true distance are to share it, each the more the nearer.
    """
    distances = distances.clamp(0, BINS - 1.01)
    lower = distances.floor()
    logs = logits.log_softmax(-1)
    low, high = (logs.gather(2, (lower.long() + step)[..., None])[..., 0] for step in (0, 1))
    return -((lower + 1 - distances) * low + (distances - lower) * high).mean(1)


def loss(raw: Raw, middles: Tensor, strides: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
    """The loss of a batch, and its parts (box, score, sides) for the log."""
    sides, scores = raw.sides.float(), raw.scores.float()
    boxes = decode(sides, middles, strides)
    with torch.no_grad():
        aim = assign(scores.sigmoid(), boxes, middles, targets)
    total = aim.scores.sum().clamp(min=1.0)
    each = F.binary_cross_entropy_with_logits(scores, aim.scores, reduction="none")
    score_loss = (each * aim.counted[..., None]).sum() / total
    where = aim.positive
    weight = aim.scores[where].sum(1)
    box_loss = ((1 - complete_iou(boxes[where], aim.boxes[where])) * weight).sum() / total
    middle = middles.expand(len(boxes), -1, 2)[where]
    stride = strides.expand(len(boxes), -1)[where][:, None]
    own = aim.boxes[where]
    distances = torch.cat((middle - own[:, :2], own[:, 2:] - middle), 1) / stride
    logits = sides[where].reshape(-1, 4, BINS)
    side_loss = (sides_loss(logits, distances) * weight).sum() / total
    parts = torch.stack((box_loss, score_loss, side_loss))
    weights = torch.tensor((_BOX_WEIGHT, _SCORE_WEIGHT, _SIDES_WEIGHT))
    return (parts * weights).sum() * len(boxes), parts.detach()
