"""Inspects the sources and models before a run.

Runs in a process of its own, forked like an actor, as the supervisor must not import OpenCV or a
runtime; it answers through a pipe. What is wrong with a source or a model comes back as faults.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2

from actors.config.errors import Fault, Place, dotted
from actors.config.schema import Model, Topology
from actors.dataflow.settings import ModelSettings
from actors.launcher.findings import Findings
from actors.runtimes.contract import ComputeError, ModelFile
from actors.runtimes.registry import inspect
from actors.sources.contract import SourceError
from actors.sources.opening import inspect as inspect_source
from actors.system.fork_server import Spec
from actors.system.text import plural
from actors.vision.heads import HeadDescription, UnknownHeadError, convention, identify

_Found = TypeVar("_Found")
_COCO_CLASSES = 80


def main(spec: Spec[Topology]) -> int:
    """The process's entry: writes the pickled Findings into fd "answer"."""
    cv2.setNumThreads(1)
    findings = inspect_all(spec.settings)
    with os.fdopen(spec.fds["answer"], "wb") as answer:
        pickle.dump(findings, answer)
    return 0


def inspect_all(topology: Topology) -> Findings:
    """Open every source and run every model once."""
    findings = Findings()
    for name, stream in topology.streams.items():
        place = ("streams", name, "source")
        info = _try(findings, place, partial(inspect_source, stream.source, stream.ask))
        if info is not None:
            findings.sources[name] = info
            findings.warnings += [f"{dotted(place)}: {remark}" for remark in info.remarks]
    for name in topology.models:
        describe = partial(_describe, name, topology, findings)
        settings = _try(findings, ("models", name, "path"), describe)
        if settings is not None:
            findings.models[name] = settings
    return findings


def _try(findings: Findings, place: Place, action: Callable[[], _Found]) -> _Found | None:
    """What `action` gives, or None after noting why it failed."""
    try:
        return action()
    except (SourceError, ComputeError) as error:
        findings.faults.append(Fault(dotted(place), str(error)))
    except UnknownHeadError as error:
        findings.faults.append(Fault(dotted((*place[:-1], "head")), str(error)))
    return None


def _describe(name: str, topology: Topology, findings: Findings) -> ModelSettings:
    """Everything about a model that its table leaves to be found out."""
    model = topology.models[name]
    kind = model.runtime or "onnx"
    file = inspect(kind, str(model.path or ""), model.size or (640, 640))
    findings.faults += _misplaced(name, file, topology)
    labels = _labels(model, file)
    head = _head(model, file, len(labels))
    if not labels:
        findings.warnings.append(_no_labels(name, head.classes))
        labels = tuple(str(index) for index in range(head.classes))
    elif len(labels) != head.classes:
        findings.faults.append(
            Fault(
                dotted(("models", name, "labels")),
                f"{plural(len(labels), 'class name')} for a model of "
                f"{plural(head.classes, 'class', 'classes')}; give one name for each class",
            )
        )
    color, divisor = convention(head.name)
    return ModelSettings(
        name=name,
        path=str(model.path or ""),
        runtime=kind,
        size=file.size,
        head=head,
        labels=labels,
        color=model.color or file.color or ("bgr" if color == "bgr" else "rgb"),
        mean=model.mean or (0.0, 0.0, 0.0),
        std=model.std or (divisor, divisor, divisor),
        conf=model.conf,
        iou=model.iou,
        latency_ms=model.latency_ms,
    )


def _head(model: Model, file: ModelFile, labels: int) -> HeadDescription:
    if model.path is None and file.head is not None:
        order = tuple(range(len(file.shapes)))
        return HeadDescription(file.head, labels, logits=bool(file.logits), order=order)
    found = identify(
        file.shapes,
        file.size,
        classes=labels or None,
        name=model.head or file.head,
        samples=file.samples or None,
    )
    logits = file.logits if model.head in (None, file.head) else None
    return found if logits is None else replace(found, logits=logits)


def _misplaced(name: str, file: ModelFile, topology: Topology) -> Iterator[Fault]:
    """Workers on cores that the model's chip does not have."""
    if file.cores is None:
        return
    for worker_name, worker in topology.workers.items():
        if name in worker.models and worker.core >= file.cores:
            have = "core 0 only" if file.cores == 1 else f"cores 0 to {file.cores - 1}"
            yield Fault(
                dotted(("workers", worker_name, "core")),
                f"{file.chip}, for which models.{name} was made, has {have}; give one of them",
            )


def _no_labels(name: str, classes: int) -> str:
    """The warning about a model without class names, with what to write."""
    remedy = "give labels = FILE, with one name a line"
    if classes == _COCO_CLASSES:
        remedy = 'if they are the 80 of COCO write labels = "coco", or else labels = FILE'
    return f"models.{name}: no class names found, classes are numbered 0 to {classes - 1}; {remedy}"


def _labels(model: Model, file: ModelFile) -> tuple[str, ...]:
    """Stated names, a file's, or those in the model's metadata, in that order."""
    if isinstance(model.labels, Path):
        text = model.labels.read_text(encoding="utf-8-sig")
        return tuple(line.strip() for line in text.splitlines() if line.strip())
    if model.labels:
        return tuple(model.labels)
    return file.labels
