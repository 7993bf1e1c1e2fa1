"""Several boxes of one object become one: NMS, NMM and greedy NMM on plain arrays.

The methods carry the names and the meaning that SAHI gives them (obss/sahi, sahi/postprocess, read
at 0.12.8). Two boxes match where their overlap is at least the threshold. Boxes are taken by score,
highest first:

nms         Each box that is still there stays, and the boxes that match it go.
greedy_nmm  The same, but the boxes that go are merged into the one that stays.
nmm         A box that was merged merges in turn: what matches it belongs to the same group.

Merging is by union, member by member, and a member whose overlap with the box grown so far is below
the threshold goes without widening it (SAHI checks again in the same way). Score and class are
those of the group's best box. The results are SAHI's, but for equal scores, which int8 models give
often: SAHI takes them by coordinates and does not merge them in NMM; here the input's order counts.

Boxes are compared by rank, a block at a time, with those that do not belong to a group yet: first
whether they touch at all, by four comparisons with the classes set apart, and only the pairs that
do by their overlap. So neither a crowd nor a wide field costs n x n overlaps. They are
computed in float64, where whole pixels are exact and an overlap of just the threshold counts.
Measured on a slow x86 core, one class, in ms for nms / greedy_nmm / nmm: 300 boxes on 25 people
0.8 / 1.8 / 2.2, 1500 on 125 people 2.9 / 7.9 / 10.7, 1500 of which hardly two match 11 / 10 / 13.

Not cv2.dnn.NMSBoxes: it drops above the threshold, not at it, computes an overlap as 1 - (1 - x) in
float32, takes two boxes without area for identical, and has neither IoS nor merging.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float32]
ClassIds = npt.NDArray[np.int64]
Indices = npt.NDArray[np.intp]
Doubles = npt.NDArray[np.float64]

Method = Literal["nms", "nmm", "greedy_nmm"]
Metric = Literal["iou", "ios"]

# Rows that the sweep compares at once: enough to hide numpy's cost per call, few enough that a
# block of a crowded frame stays in the cache.
ROWS = 64


def merge(
    boxes: npt.ArrayLike,
    scores: npt.ArrayLike,
    class_ids: npt.ArrayLike,
    method: Method = "nms",
    metric: Metric = "iou",
    threshold: float = 0.5,
    class_agnostic: bool = False,
) -> tuple[Boxes, Scores, ClassIds]:
    """One box for each group of boxes that match.

    boxes           (n, 4) as x1, y1, x2, y2, any unit, finite. A box without area matches nothing.
    scores          (n,)
    class_ids       (n,) whole numbers
    method          "nms", "nmm" or "greedy_nmm", see the module
    metric          "iou": intersection over union; "ios": over the area of the smaller box
    threshold       0 < threshold <= 1
    class_agnostic  True: boxes of different classes match too

    Returns boxes float32 (m, 4), scores float32 (m,), class_ids int64 (m,), sorted by score,
    highest first; equal scores keep the order of the input, which also decides which of them stays.
    Raises ValueError where an argument is none of these.

    >>> boxes, scores, class_ids = merge([[0, 0, 10, 10], [0, 0, 10, 9]], [0.5, 0.75], [7, 7])
    >>> boxes.tolist(), scores.tolist(), class_ids.tolist()
    ([[0.0, 0.0, 10.0, 9.0]], [0.75], [7])
    """
    return merge_groups(
        boxes,
        scores,
        class_ids,
        method=method,
        metric=metric,
        threshold=threshold,
        class_agnostic=class_agnostic,
    )[:3]


def merge_groups(
    boxes: npt.ArrayLike,
    scores: npt.ArrayLike,
    class_ids: npt.ArrayLike,
    method: Method = "nms",
    metric: Metric = "iou",
    threshold: float = 0.5,
    class_agnostic: bool = False,
) -> tuple[Boxes, Scores, ClassIds, Indices]:
    """As `merge`, and for each box the index (m,) of its group's best box in the input.

    So a caller carries further columns along, such as the stage: `stages[indices]`.
    """
    _check_options(method, metric, threshold)
    corners, points, classes = _checked(boxes, scores, class_ids)
    order = np.argsort(-points, kind="stable")
    ranked = corners[order]
    labels = np.zeros(len(order), np.int64) if class_agnostic else classes[order]
    # SAHI grows a box by its members in the order of their scores, in NMM in that of the input.
    pool = np.argsort(order) if method == "nmm" else np.arange(len(order))
    pairs = _Pairs(ranked, labels, metric, threshold)
    owner, claims = _claims(pairs, pool, transitive=method == "nmm")
    if method != "nms":
        for own, members in claims:
            ranked[own] = _grown(ranked[own], ranked[members], metric, threshold)
    kept = np.flatnonzero(owner == np.arange(len(order)))
    chosen = order[kept]
    return (
        ranked[kept].astype(np.float32),
        points[chosen].astype(np.float32),
        classes[chosen],
        chosen,
    )


def nms_indices(
    boxes: npt.ArrayLike,
    scores: npt.ArrayLike,
    class_ids: npt.ArrayLike,
    metric: Metric = "iou",
    threshold: float = 0.5,
    class_agnostic: bool = False,
) -> Indices:
    """The indices (m,) that NMS keeps, by score, highest first. Arguments as for `merge`."""
    return merge_groups(
        boxes,
        scores,
        class_ids,
        metric=metric,
        threshold=threshold,
        class_agnostic=class_agnostic,
    )[3]


def _check_options(method: str, metric: str, threshold: float) -> None:
    for name, value, allowed in (
        ("method", method, get_args(Method)),
        ("metric", metric, get_args(Metric)),
    ):
        if value not in allowed:
            raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is {threshold!r}; it must be greater than 0 and at most 1")


def _checked(
    boxes: npt.ArrayLike, scores: npt.ArrayLike, class_ids: npt.ArrayLike
) -> tuple[Doubles, Doubles, ClassIds]:
    corners = np.asarray(boxes, np.float64)
    if corners.size == 0:
        corners = corners.reshape(0, 4)
    points = np.asarray(scores, np.float64)
    classes = np.asarray(class_ids)
    if corners.ndim != 2 or corners.shape[1] != 4:
        raise ValueError(f"boxes have the shape {corners.shape}; it must be (n, 4)")
    for name, column in (("scores", points), ("class_ids", classes)):
        if column.shape != (len(corners),):
            raise ValueError(
                f"{name} have the shape {column.shape}; for {len(corners)} boxes it must be"
                f" ({len(corners)},)"
            )
    for name, values in (("boxes", corners), ("scores", points)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} hold NaN or infinity; all must be finite")
    whole = classes.astype(np.int64)
    if not np.array_equal(whole, classes):
        raise ValueError(
            f"class_ids are {classes.dtype} with fractions; they must be whole numbers"
        )
    return corners, points, whole


class _Pairs:
    """Finds which boxes match, for a few rows at a time. `boxes` and `labels` are by rank."""

    def __init__(self, boxes: Doubles, labels: ClassIds, metric: Metric, threshold: float) -> None:
        self._boxes = boxes
        self._area = (boxes[:, 2] - boxes[:, 0]).clip(0) * (boxes[:, 3] - boxes[:, 1]).clip(0)
        self._labels = labels
        self._metric = metric
        self._threshold = threshold
        # The classes side by side on one line, so that boxes of two classes do not touch. Only to
        # find candidates: rounding keeps the order of edges, so it may add some but loses none, and
        # float32 is compared twice as fast.
        span = boxes.max(initial=0) - boxes.min(initial=0) + 1
        apart = labels * span
        x1, y1, x2, y2 = boxes.T
        self._edges = np.stack([x1 + apart, y1, x2 + apart, y2]).astype(np.float32)

    def __len__(self) -> int:
        return len(self._boxes)

    def find(self, rows: Indices, columns: Indices) -> tuple[Indices, Indices]:
        """The pairs (i, j) that match, j > i, row by row, within a row as in `columns`."""
        x1, y1, x2, y2 = self._edges[:, columns]
        a1, b1, a2, b2 = self._edges[:, rows, None]
        touch = (a1 <= x2) & (x1 <= a2) & (b1 <= y2) & (y1 <= b2)
        # Ten times as fast as np.nonzero in two dimensions.
        i, j = np.divmod(np.flatnonzero(touch), len(columns))
        i, j = rows[i], columns[j]
        one, two = self._boxes[i], self._boxes[j]
        sides = np.minimum(one[:, 2:], two[:, 2:]) - np.maximum(one[:, :2], two[:, :2])
        inter = sides[:, 0].clip(0) * sides[:, 1].clip(0)
        one_area, two_area = self._area[i], self._area[j]
        if self._metric == "iou":
            base = one_area + two_area - inter
        else:
            base = np.minimum(one_area, two_area)
        # No area, no match: 0 / 0 counts as 0.
        overlap = np.divide(inter, base, out=np.zeros_like(base), where=base > 0)
        match = (overlap >= self._threshold) & (j > i) & (self._labels[i] == self._labels[j])
        return i[match], j[match]


def _claims(
    pairs: _Pairs, pool: Indices, transitive: bool
) -> tuple[Indices, list[tuple[int, Indices]]]:
    """Which group each box is in: the owner (n,) of each rank, and the claims, (owner, members).

    A rank that is not claimed before its turn owns itself, and claims what it matches. With
    `transitive`, a claimed one claims for its owner. `pool` holds all ranks in the order in which
    members are named.
    """
    owner = np.full(len(pairs), -1, np.intp)
    claims: list[tuple[int, Indices]] = []
    queue = np.arange(len(pairs))
    while len(queue) and len(pool):
        rows, queue = queue[:ROWS], queue[ROWS:]
        first, second = pairs.find(rows, pool)
        ends = first.searchsorted(rows, "right").tolist()
        start = 0
        for rank, end in zip(rows.tolist(), ends, strict=True):
            matched, start = second[start:end], end
            own = int(owner[rank])
            if own < 0:
                own = owner[rank] = rank
            elif not transitive:
                continue
            if not len(matched):
                continue
            members = matched[owner[matched] < 0]
            if len(members):
                owner[members] = own
                claims.append((own, members))
        # What has an owner is not compared again; in a crowd that is soon most.
        pool = pool[owner[pool] < 0]
        if not transitive:
            queue = queue[owner[queue] < 0]
    return owner, claims


def _grown(box: Doubles, members: Doubles, metric: Metric, threshold: float) -> list[float]:
    """The box (4,) widened by each member (n, 4) that matches what it has become by then."""
    x1, y1, x2, y2 = box.tolist()
    for a1, b1, a2, b2 in members.tolist():
        if x1 <= a1 and y1 <= b1 and a2 <= x2 and b2 <= y2:
            continue  # inside: most are, and need no arithmetic
        inter = max(0.0, min(x2, a2) - max(x1, a1)) * max(0.0, min(y2, b2) - max(y1, b1))
        own, other = (x2 - x1) * (y2 - y1), (a2 - a1) * (b2 - b1)
        base = own + other - inter if metric == "iou" else min(own, other)
        if inter / base >= threshold:
            x1, y1, x2, y2 = min(x1, a1), min(y1, b1), max(x2, a2), max(y2, b2)
    return [x1, y1, x2, y2]
