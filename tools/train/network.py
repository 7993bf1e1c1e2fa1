"""The network: a small anchor-free detector with nine outputs, in the layout of YOLOv8's heads.

Convolution, batch normalisation and SiLU throughout, since the NPU computes Conv + Sigmoid + Mul as
one operation; no depthwise convolutions, whose wide ranges suffer from int8. The backbone's stages
split and rejoin their channels (cross stage partial networks, Wang et al. 2019, arXiv:1911.11929),
a pooling pyramid widens the view (He et al. 2014, arXiv:1406.4729), and features are mixed from
coarse to fine and back (path aggregation, Liu et al. 2018, arXiv:1803.01534). Box sides are
distributions over 16 distances (Li et al. 2020, arXiv:2006.04388).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

BINS = 16
STRIDES = (8, 16, 32)
_WIDTHS = (16, 24, 48, 72, 96)
_HEAD = 40


class Raw(NamedTuple):
    """What the network says of every cell of all scales, finest first."""

    sides: Tensor
    """(batch, cells, 64): logits of the distances to the box's four sides."""
    scores: Tensor
    """(batch, cells, classes): logits."""


class Layer(nn.Module):
    """Convolution, normalisation, SiLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03)
        self.act = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.norm(self.conv(x)))
        return out


class Stage(nn.Module):
    """Half of the channels go through residual pairs of layers; all halves are joined."""

    def __init__(self, inputs: int, outputs: int, depth: int = 1, residual: bool = True) -> None:
        super().__init__()
        half = outputs // 2
        self.direct, self.start = Layer(inputs, half, 1), Layer(inputs, half, 1)
        self.steps = nn.ModuleList(
            nn.Sequential(Layer(half, half), Layer(half, half)) for _ in range(depth)
        )
        self.join = Layer((2 + depth) * half, outputs, 1)
        self._residual = residual

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.direct(x), self.start(x)]
        for step in self.steps:
            made = step(parts[-1])
            parts.append(parts[-1] + made if self._residual else made)
        out: Tensor = self.join(torch.cat(parts, 1))
        return out


class Pyramid(nn.Module):
    """Maxima over ever larger surroundings, joined."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.start = Layer(channels, channels // 2, 1)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.join = Layer(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.start(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        out: Tensor = self.join(torch.cat(parts, 1))
        return out


class Network(nn.Module):
    """Images (batch, 3, rows, columns), RGB from 0 to 1, sides that are multiples of 32."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        w1, w2, w3, w4, w5 = _WIDTHS
        self.fine = nn.Sequential(
            Layer(3, w1, 3, 2),
            Layer(w1, w2, 3, 2),
            Stage(w2, w2),
            Layer(w2, w3, 3, 2),
            Stage(w3, w3, 2),
        )
        self.middle = nn.Sequential(Layer(w3, w4, 3, 2), Stage(w4, w4, 2))
        self.coarse = nn.Sequential(Layer(w4, w5, 3, 2), Stage(w5, w5), Pyramid(w5))
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.middle_in = Stage(w5 + w4, w4, residual=False)
        self.fine_out = Stage(w4 + w3, w3, residual=False)
        self.fine_down = Layer(w3, w3, 3, 2)
        self.middle_out = Stage(w3 + w4, w4, residual=False)
        self.middle_down = Layer(w4, w4, 3, 2)
        self.coarse_out = Stage(w4 + w5, w5, residual=False)
        self.boxes = nn.ModuleList(
            nn.Sequential(Layer(w, _HEAD), nn.Conv2d(_HEAD, 4 * BINS, 1)) for w in (w3, w4, w5)
        )
        self.kinds = nn.ModuleList(
            nn.Sequential(Layer(w, _HEAD), nn.Conv2d(_HEAD, classes, 1)) for w in (w3, w4, w5)
        )
        for box, kind, stride in zip(self.boxes, self.kinds, STRIDES, strict=True):
            _bias(box).fill_(1.0)
            # As many cells start out as targets as there are targets in a picture, about five.
            _bias(kind).fill_(math.log(5 / classes / (640 / stride) ** 2))

    def features(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of each scale, finest first."""
        fine = self.fine(x)
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        inner = self.middle_in(torch.cat((self.up(coarse), middle), 1))
        fine = self.fine_out(torch.cat((self.up(inner), fine), 1))
        middle = self.middle_out(torch.cat((self.fine_down(fine), inner), 1))
        coarse = self.coarse_out(torch.cat((self.middle_down(middle), coarse), 1))
        return fine, middle, coarse

    def forward(self, x: Tensor) -> Raw:
        sides, scores = [], []
        for feature, box, kind in zip(self.features(x), self.boxes, self.kinds, strict=True):
            sides.append(box(feature).flatten(2))
            scores.append(kind(feature).flatten(2))
        return Raw(torch.cat(sides, 2).transpose(1, 2), torch.cat(scores, 2).transpose(1, 2))


def _bias(branch: nn.Module) -> Tensor:
    assert isinstance(branch, nn.Sequential)
    last = branch[-1]
    assert isinstance(last, nn.Conv2d) and last.bias is not None
    return last.bias.data


class Exported(nn.Module):
    """The network as it is exported: per scale box logits, class scores, their clipped sum."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        outputs: list[Tensor] = []
        network = self.network
        features = network.features(x)
        for feature, box, kind in zip(features, network.boxes, network.kinds, strict=True):
            scores = kind(feature).sigmoid()
            total = scores.sum(1, keepdim=True).clamp(0, 1)
            outputs += [box(feature), scores, total]
        return tuple(outputs)


def cells(rows: int, columns: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Middles (cells, 2) in pixels and strides (cells,) of all cells of an input of this size."""
    middles, strides = [], []
    for stride in STRIDES:
        y, x = torch.meshgrid(
            torch.arange(rows // stride), torch.arange(columns // stride), indexing="ij"
        )
        middles.append((torch.stack((x, y), 2).reshape(-1, 2) + 0.5) * stride)
        strides.append(torch.full((len(middles[-1]),), float(stride)))
    return torch.cat(middles).to(device), torch.cat(strides).to(device)


def decode(sides: Tensor, middles: Tensor, strides: Tensor) -> Tensor:
    """Boxes (..., cells, 4), pixels, from logits (..., cells, 64): each side's mean distance."""
    weights = sides.reshape(*sides.shape[:-1], 4, BINS).softmax(-1)
    distances = weights @ torch.arange(BINS, dtype=weights.dtype) * strides[:, None]
    return torch.cat((middles - distances[..., :2], middles + distances[..., 2:]), -1)
