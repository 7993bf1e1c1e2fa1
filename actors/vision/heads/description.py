"""Heads as values: a model's outputs, and the description from which a decoder is made.

`Outputs` holds what is known of a model's output tensors; each head family reads it and returns a
`HeadDescription`, or None when the tensors are of another family. A description is made once, and
sent to every process that decodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

STRIDES = (8, 16, 32)

# A probability that went through int8 and back may lie a step outside of [0, 1]; class logits
# reach -5 and less in any image. A bound between the two tells them apart.
_PROBABILITY = (-0.05, 1.05)


class UnknownHeadError(ValueError):
    """The outputs are of no known head; the message is one sentence for the user."""


@dataclass(frozen=True)
class HeadDescription:
    """How to read a model's outputs: plain values that travel to other processes."""

    name: str
    """The head's name, a key of `HEADS`."""
    classes: int
    """Number of classes."""
    logits: bool
    """Scores come before their sigmoid; the decoder applies it to survivors only."""
    order: tuple[int, ...]
    """Indexes of the model's outputs, in the decoder's order: finest scale first."""
    channels_last: bool = False
    """The values of a cell lie side by side, on the last axis."""


@dataclass(frozen=True)
class Outputs:
    """The output tensors of a model, in the model's own order, and what else is known of it."""

    shapes: tuple[tuple[int, ...], ...]
    model: tuple[int, int]
    """Width and height of the model's input, pixels."""
    classes: int | None = None
    """Number of labels, where known."""
    samples: Sequence[npt.NDArray[Any]] | None = None
    """The same tensors from a real inference, where one was made."""
    keypoints: bool = False
    """Accept channels of (x, y) or (x, y, visible) after the classes; decoders skip them."""

    @cached_property
    def grids(self) -> tuple[tuple[int, int], ...]:
        """(rows, columns) of each scale, finest first."""
        width, height = self.model
        return tuple((height // stride, width // stride) for stride in STRIDES)

    @cached_property
    def cells(self) -> int:
        """Number of cells of all scales."""
        return sum(rows * columns for rows, columns in self.grids)

    def single(self) -> tuple[int, int] | None:
        """The two free axes of a model with one output (1, a, b); None for any other."""
        if len(self.shapes) != 1 or len(self.shapes[0]) != 3 or self.shapes[0][0] != 1:
            return None
        return self.shapes[0][1], self.shapes[0][2]

    def planes(self) -> list[list[tuple[int, int]]] | None:
        """Per scale its tensors (1, channels, rows, columns) as (index, channels).

        None where an output belongs to no grid, or where the scales hold different numbers.
        """
        scales: list[list[tuple[int, int]]] = [[] for _ in self.grids]
        for index, shape in enumerate(self.shapes):
            if len(shape) != 4 or shape[0] != 1 or shape[2:] not in self.grids:
                return None
            scales[self.grids.index((shape[2], shape[3]))].append((index, shape[1]))
        return scales if len({len(scale) for scale in scales}) == 1 else None

    def one_plane_a_scale(self) -> tuple[int, tuple[int, ...]] | None:
        """(channels, order) where every scale is one tensor and all have as many channels."""
        scales = self.planes()
        if scales is None or len(scales[0]) != 1:
            return None
        channels = {scale[0][1] for scale in scales}
        return (channels.pop(), tuple(s[0][0] for s in scales)) if len(channels) == 1 else None

    def class_count(self, channels: int) -> int | None:
        """Number of classes in the channels left after the box; None where that cannot be."""
        return channels if channels >= 1 and self.classes in (None, channels) else None

    def class_count_of_pose(
        self, start: int, channels: int, order: Sequence[int], *, quiet: float
    ) -> int | None:
        """`class_count`, but where `keypoints` is set whole points may follow the classes.

        The classes start at channel `start` (axis 1) of the outputs `order`. `quiet` is what
        scores of absent classes stay below. Where a sample's spare channels do as well, they
        are classes too, and the labels are too few.
        """
        spare = channels - self.classes if self.classes and self.keypoints else 0
        if self.classes is None or spare < 1 or (spare % 3 and spare % 2):
            return self.class_count(channels)
        if self.samples is None:
            return self.classes
        points = [self.samples[index][:, start + self.classes :] for index in order]
        return self.classes if max(float(p.max()) for p in points) > quiet else None

    def are_logits(self, parts: Sequence[tuple[int, slice]], *, default: bool) -> bool:
        """Whether scores are logits: whether a sample holds what no probability can be.

        `parts`: output index and the slice of its channel axis (the second one). Without
        samples the answer is `default`, the family's usual export.
        """
        if self.samples is None:
            return default
        return any(not is_probability(self.samples[i][:, part]) for i, part in parts)


def is_probability(values: npt.NDArray[Any]) -> bool:
    """Whether all values lie in [0, 1], give or take an int8 step."""
    low, high = _PROBABILITY
    return bool(np.all((values >= low) & (values <= high)))
