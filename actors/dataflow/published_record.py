"""Published records: what subscribers get and the result log keeps, as plain values.

Boxes are float pixels of the frame as x1, y1, x2, y2. `class_id` counts through the classes of all
models of the run: a name that several models have is one class, and the first model's ids stay as
they are, so in a run of a model of helmets and one of COCO "person" may be 3. `model_class_id` is
the index in the labels of the model that found the box, the one of `stage`. `source_name` is the
file of a frame whose source is a folder or a glob of images; other frames do not have it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from actors.dataflow.frame_merging import MergedFrame
from actors.dataflow.messages import Frame
from actors.dataflow.reorder import ReadyFrame
from actors.dataflow.settings import RunSettings
from actors.system.text import plural, printable
from actors.vision.detections import Detections

if TYPE_CHECKING:
    from actors.sources.scene_truth import SceneTruth

_VERSION = 1
# Classes that a summary names; more would not fit beside the rest of a terminal's line.
_NAMED = 5


class Records:
    """The records of one stream."""

    def __init__(self, settings: RunSettings, stream: str) -> None:
        self._stages = [stage.name for stage in settings.stages]
        self._labels = settings.classes.labels
        self._head = {"v": _VERSION, "run": settings.name, "stream": stream}
        # Marked only where it is so: a reader ignores keys that it does not expect.
        marks = {"emulated": settings.emulated, "simulated": settings.simulated}
        self._marks = {mark: True for mark, holds in marks.items() if holds}
        self._truth = _truth(settings, stream)

    def summary(self, found: Detections) -> str:
        """How many there are of each class, the most frequent first, as in "3 person, 1 car"."""
        counts = Counter(found.class_ids.tolist()).most_common()
        parts = [f"{count} {printable(self._labels[kind])}" for kind, count in counts[:_NAMED]]
        rest = sum(count for _, count in counts[_NAMED:])
        return ", ".join(parts + [plural(rest, "other")] * (rest > 0)) or "nothing"

    def end(self, frames: int) -> dict[str, Any]:
        """The record of the stream's end, after `frames` frames."""
        return {**self._head, "frames": frames}

    def frame(
        self,
        ready: ReadyFrame[Frame, Detections],
        merged: MergedFrame,
        published_ns: int,
        source_name: str = "",
    ) -> dict[str, Any]:
        """The record of a frame. `published_ns` is CLOCK_REALTIME, right before it is sent."""
        frame, found = ready.info, merged.detections
        record = {
            **self._head,
            "seq": frame.seq,
            "source_frame": frame.source_frame,
            "captured_ns": frame.captured_real_ns,
            "published_ns": published_ns,
            "size": [frame.width, frame.height],
            "complete": not ready.missing,
            "missing": [
                {"stage": self._stages[stage], "tile": index, "reason": reason}
                for (stage, index), reason in ready.missing.items()
            ],
            "detections": [
                {
                    "box": box,
                    "score": score,
                    "class_id": class_id,
                    "label": self._labels[class_id],
                    "stage": self._stages[stage],
                    "model_class_id": model_class_id,
                }
                for box, score, class_id, stage, model_class_id in zip(
                    found.boxes.tolist(),
                    found.scores.tolist(),
                    found.class_ids.tolist(),
                    found.stages.tolist(),
                    merged.model_class_ids.tolist(),
                    strict=True,
                )
            ],
        }
        if source_name:
            record["source_name"] = source_name
        record |= self._marks
        if self._truth is not None:
            record["ground_truth"] = self._truth.targets(frame.source_frame)
        return record


def _truth(settings: RunSettings, stream: str) -> SceneTruth | None:
    """What is in the drawn scene that the stream shows, if its truth is wanted."""
    if not settings.results.ground_truth:
        return None
    # Imported here because hardly any run needs it.
    from actors.sources.scene_truth import SceneTruth

    shown = settings.streams[stream]
    return SceneTruth((shown.info.width, shown.info.height), shown.request.seed or 0)
