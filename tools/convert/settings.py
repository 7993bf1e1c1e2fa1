"""Names of the toolkit's quantisations, and what a user states of a model's input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ALGORITHMS = ("normal", "mmse", "kl_divergence")
QUANTISED = ("w8a8", "w8a16", "w16a16i_dfp", "w4a16")
FLOAT = "float16"


@dataclass(frozen=True)
class Convention:
    """What the user states of the input; None: found out from the model."""

    head: str | None = None
    labels: tuple[str, ...] = ()
    color: Literal["rgb", "bgr"] | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
