"""Checks the tiles' answers and merges those of a frame into one list of detections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from actors.dataflow.messages import Answer
from actors.dataflow.settings import RunSettings
from actors.vision.detections import Detections
from actors.vision.merging import merge_groups
from actors.vision.truncation import suppress_truncated


class AnswerError(ValueError):
    """An answer that no worker of this run can give."""


@dataclass(frozen=True, slots=True, eq=False)
class MergedFrame:
    """All detections of a frame, best score first.

    `detections.class_ids` are the run's: one numbering for the classes of all its models, in which
    a name that several models have is one class (ClassTable). `model_class_ids` (n,) int64 are the
    indices in the labels of the model that found each.
    """

    detections: Detections
    model_class_ids: npt.NDArray[np.int64]


class FrameMerging:
    """Merging as the user set it. Holds no state of any frame."""

    def __init__(self, run: RunSettings) -> None:
        self._options = run.merge
        self._class_counts = [len(run.model_of(stage).labels) for stage in range(len(run.stages))]
        ids = [run.classes.ids[stage.model] for stage in run.stages]
        self._run_ids = np.zeros((len(ids), max(map(len, ids))), np.int64)
        """The run's class id by (stage, the model's class id)."""
        for stage, row in enumerate(ids):
            self._run_ids[stage, : len(row)] = row

    @property
    def stages(self) -> int:
        """How many stages the run has."""
        return len(self._class_counts)

    def check(self, answer: Answer) -> Detections:
        """An answer's detections: of a stage and of classes of the run, every number finite.

        AnswerError when they are not.
        """
        stage = answer.stage
        if not 0 <= stage < self.stages or answer.index < 0:
            raise AnswerError(f"no tile {answer.index} of stage {stage}")
        try:
            found = Detections.from_bytes(answer.detections)
        except ValueError as error:
            raise AnswerError(str(error)) from None
        known = (found.class_ids >= 0) & (found.class_ids < self._class_counts[stage])
        if not (known & (found.stages == stage)).all():
            raise AnswerError(f"stage {stage} has no such class or is not the one that found it")
        return found

    def merge(self, answers: Mapping[tuple[int, int], Detections]) -> MergedFrame:
        """The detections of a frame's tiles by (stage, index), all checked, as one list."""
        found = Detections.concatenate(answers.values())
        model_ids = found.class_ids
        found = replace(found, class_ids=self._run_ids[found.stages, model_ids])
        options = self._options
        if options.truncated == "suppress":
            kept = suppress_truncated(
                found.boxes, class_ids=found.class_ids, truncated=found.truncated
            )
            found, model_ids = found.take(kept), model_ids[kept]
        boxes, scores, class_ids, chosen = merge_groups(
            found.boxes,
            found.scores,
            found.class_ids,
            method=options.method,
            metric=options.metric,
            threshold=options.threshold,
            class_agnostic=options.class_agnostic,
        )
        merged = replace(found.take(chosen), boxes=boxes, scores=scores, class_ids=class_ids)
        return MergedFrame(merged, model_ids[chosen])
