"""The records of the contract: what subscribers get and the result log keeps, as plain values."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from actors.dataflow.messages import Frame
from actors.dataflow.reorder import ReadyFrame
from actors.dataflow.settings import RunSettings
from actors.system.text import plural
from actors.vision.detections import Detections

if TYPE_CHECKING:
    from actors.scene.world import World

_VERSION = 1
# Classes that a glance names; more would not fit beside the rest of a terminal's line.
_NAMED = 5


class Records:
    """One stream's. `published_ns` is when a record was made, right before it goes out."""

    def __init__(self, settings: RunSettings, stream: str) -> None:
        self._stages = [stage.name for stage in settings.stages]
        self._labels = settings.classes.labels
        self._head = {"v": _VERSION, "run": settings.name, "stream": stream}
        # Marked only where it is so: what a reader does not know it ignores.
        marks = {"emulated": settings.emulated, "simulated": settings.simulated}
        self._marks = {mark: True for mark, holds in marks.items() if holds}
        self._world = _world(settings, stream)

    def summary(self, found: Detections) -> str:
        """How many there are of each class, the most frequent first, as in "3 person, 1 car"."""
        counts = Counter(found.class_ids.tolist()).most_common()
        parts = [f"{count} {self._labels[kind]}" for kind, count in counts[:_NAMED]]
        rest = sum(count for _, count in counts[_NAMED:])
        return ", ".join([*parts, *([plural(rest, "other")] if rest else [])]) or "nothing"

    def end(self, frames: int) -> dict[str, Any]:
        """The stream is over after so many frames."""
        return {**self._head, "frames": frames}

    def frame(self, assembled: ReadyFrame[Frame, Detections], found: Detections) -> dict[str, Any]:
        """A frame and its merged detections, best score first."""
        frame = assembled.info
        record = {
            **self._head,
            "seq": frame.seq,
            "source_frame": frame.source_frame,
            "captured_ns": frame.captured_real_ns,
            "published_ns": time.time_ns(),
            "size": [frame.width, frame.height],
            "complete": not assembled.missing,
            "missing": [
                {"stage": self._stages[stage], "tile": index, "reason": reason}
                for (stage, index), reason in assembled.missing.items()
            ],
            "detections": [
                {
                    "box": box,
                    "score": score,
                    "class_id": class_id,
                    "label": self._labels[class_id],
                    "stage": self._stages[stage],
                }
                for box, score, class_id, stage in zip(
                    found.boxes.tolist(),
                    found.scores.tolist(),
                    found.class_ids.tolist(),
                    found.stages.tolist(),
                    strict=True,
                )
            ],
        }
        record |= self._marks
        if self._world is not None:
            record["ground_truth"] = _ground_truth(self._world, frame.source_frame)
        return record


def _world(settings: RunSettings, stream: str) -> World | None:
    """The drawn scene that the stream shows, if its truth is wanted."""
    if not settings.results.ground_truth:
        return None
    # Geometry without pixels; imported here because hardly any run needs it.
    from actors.scene.world import World

    shown = settings.streams[stream]
    return World((shown.info.width, shown.info.height), shown.request.seed or 0)


def _ground_truth(world: World, number: int) -> list[dict[str, Any]]:
    """What is really in frame `number`; hardly visible targets have `ignore`."""
    from actors.scene.shapes import LABELS

    truth = world.truth(number)
    values = (truth.boxes, truth.class_ids, truth.visible, truth.ignored)
    return [
        {
            "box": box,
            "class_id": kind,
            "label": LABELS[kind],
            "visible": round(visible, 3),
            "ignore": ignored,
        }
        for box, kind, visible, ignored in zip(*(v.tolist() for v in values), strict=True)
    ]
