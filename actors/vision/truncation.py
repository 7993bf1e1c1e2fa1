"""Boxes that a tile's edge has cut: a person half in one tile and half in the next.

Such a half comes back as a box of its own, with a score that may be higher than the whole one's,
and NMS keeps both, because they overlap too little. So a cut box yields to an uncut one of its
class that covers it, which another tile or the whole frame has found. Where nobody saw the target
whole, the cut box stays: dropping all of them would lose what lies across tiles without overlap.

Measured with yolov8n on a 1080p street, whole frame and six tiles, confidence 0.25, NMS at IoU 0.5,
25 frames with 187 people: recall 0.882 and precision 0.771 with all boxes kept, 0.893 and 0.861
with this rule, 0.893 and 0.874 with all cut boxes dropped; with the tiles alone 0.845 and 0.763,
0.850 and 0.820, 0.797 and 0.861.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from actors.vision.tiling import Size, Tile

Boxes = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

# How near to an edge a box must end to be taken for cut, in model pixels. From 2 to 16 the result
# above stays the same.
_NEAR = 4.0
# The part of a cut box that a whole one must cover.
_COVERED = 0.5


def truncated_by_tile(boxes: Boxes, tile: Tile, frame: Size) -> Mask:
    """Which boxes (n, 4), frame pixels, end at an edge of `tile` that lies inside the frame."""
    near_x, near_y = _NEAR / tile.scale_x, _NEAR / tile.scale_y
    right, bottom = tile.x + tile.width, tile.y + tile.height
    cut = np.zeros(len(boxes), np.bool_)
    if tile.x > 0:
        cut |= boxes[:, 0] <= tile.x + near_x
    if tile.y > 0:
        cut |= boxes[:, 1] <= tile.y + near_y
    if right < frame[0]:
        cut |= boxes[:, 2] >= right - near_x
    if bottom < frame[1]:
        cut |= boxes[:, 3] >= bottom - near_y
    return cut


def suppress_truncated(boxes: Boxes, class_ids: npt.NDArray[np.int64], cut: Mask) -> Mask:
    """Which boxes (n, 4) stay: all that are whole, and cut ones that no whole one covers.

    `class_ids` (n,): a box yields to its own class only; `cut` (n,) as from `truncated_by_tile`.
    """
    stay = ~cut
    if not cut.any() or cut.all():
        return np.ones(len(boxes), np.bool_)
    halves, whole = boxes[cut], boxes[stay]
    low = np.maximum(halves[:, None, :2], whole[None, :, :2])
    high = np.minimum(halves[:, None, 2:], whole[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = np.prod(halves[:, 2:] - halves[:, :2], axis=1)
    same = class_ids[cut][:, None] == class_ids[~cut][None, :]
    covered = (same & (shared >= _COVERED * areas[:, None]) & (shared > 0)).any(axis=1)
    stay[cut] = ~covered
    return stay
