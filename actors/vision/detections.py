"""Detections as columns: boxes, scores, classes, and where each was found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# float32 numbers of a detection in bytes: box, score, class, stage, truncated. Whole numbers up to
# 2 ** 24 are exact in float32.
_NUMBERS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """`n` detections. Arrays, never an object per box: this is the hot path."""

    boxes: npt.NDArray[np.float32]
    """(n, 4) as x1, y1, x2, y2 in pixels of the frame."""
    scores: npt.NDArray[np.float32]
    """(n,), 0 to 1."""
    class_ids: npt.NDArray[np.int64]
    """(n,), of the model or of the run, as the owner says."""
    stages: npt.NDArray[np.int64]
    """(n,), the index of the stage that found each."""
    truncated: npt.NDArray[np.bool_]
    """(n,), whether an inner edge of the tile cuts the box."""

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, chosen: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Detections:
        """Those at these indices, in that order, or those where a mask (n,) is true."""
        return Detections(
            boxes=self.boxes[chosen],
            scores=self.scores[chosen],
            class_ids=self.class_ids[chosen],
            stages=self.stages[chosen],
            truncated=self.truncated[chosen],
        )

    @staticmethod
    def none() -> Detections:
        """No detection."""
        return Detections.from_bytes(b"")

    @staticmethod
    def concatenate(parts: Iterable[Detections]) -> Detections:
        """All parts' detections in their order."""
        lists = [Detections.none(), *parts]
        return Detections(
            boxes=np.concatenate([part.boxes for part in lists]),
            scores=np.concatenate([part.scores for part in lists]),
            class_ids=np.concatenate([part.class_ids for part in lists]),
            stages=np.concatenate([part.stages for part in lists]),
            truncated=np.concatenate([part.truncated for part in lists]),
        )

    def to_bytes(self) -> bytes:
        """The detections for a message, 32 bytes each: float32 (n, 8) in C order."""
        numbers = np.empty((len(self), _NUMBERS), np.float32)
        numbers[:, :4] = self.boxes
        numbers[:, 4] = self.scores
        numbers[:, 5] = self.class_ids
        numbers[:, 6] = self.stages
        numbers[:, 7] = self.truncated
        return numbers.tobytes()

    @staticmethod
    def decodable(data: bytes) -> bool:
        """Whether `from_bytes` takes these bytes."""
        try:
            Detections.from_bytes(data)
        except ValueError:
            return False
        return True

    @staticmethod
    def from_bytes(data: bytes) -> Detections:
        """The detections that `to_bytes` wrote. ValueError when the length is not a multiple of 32
        or a number is not finite."""
        if len(data) % (4 * _NUMBERS):
            raise ValueError(f"{len(data)} bytes are not whole detections")
        numbers = np.frombuffer(data, np.float32).reshape(-1, _NUMBERS)
        if not np.isfinite(numbers).all():
            raise ValueError("a number is not finite")
        return Detections(
            boxes=numbers[:, :4],
            scores=numbers[:, 4],
            class_ids=numbers[:, 5].astype(np.int64),
            stages=numbers[:, 6].astype(np.int64),
            truncated=numbers[:, 7] > 0,
        )
