"""The files that a run writes: what an earlier run left is guarded, or removed if that is asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from actors.config.errors import Fault
from actors.config.packaged import TOPOLOGY
from actors.config.schema import Topology
from actors.launcher.errors import LaunchError
from actors.outputs import pictures
from actors.outputs.video_files import of_streams, parts, remove


def existing(topology: Topology) -> Iterator[Fault]:
    """A fault for each output that holds something already; none for the demo's."""
    if topology.file.resolve() == TOPOLOGY.resolve():
        return
    log = topology.results.jsonl
    if log is not None and log.is_file() and log.stat().st_size:
        yield _fault("results.jsonl", log)
    for path in _videos(topology):
        if any(part.is_file() and part.stat().st_size for part in parts(path)):
            yield _fault("render.video", path)
    for folder in _folders(topology):
        if pictures.pictures(folder):
            yield _fault("render.pictures", folder)


def _fault(place: str, path: Path) -> Fault:
    return Fault(place, f"{path} exists already; give another name, or replace it with --overwrite")


def _videos(topology: Topology) -> list[Path]:
    path = topology.render.video
    return [] if path is None else list(of_streams(path, list(topology.streams)).values())


def _folders(topology: Topology) -> list[Path]:
    path = topology.render.pictures
    return [] if path is None else list(pictures.of_streams(path, list(topology.streams)).values())


def clear(topology: Topology) -> None:
    """Empty or remove what an earlier run has written, once, before any actor is started.

    Not left to the actors: whichever incarnation comes first to its file appends to what it finds
    there, and an incarnation may be killed before it has found anything.
    """
    log = topology.results.jsonl
    try:
        if log is not None and log.is_file():
            os.truncate(log, 0)
        for video in _videos(topology):
            remove(video)
        for folder in _folders(topology):
            pictures.remove(folder)
    except OSError as error:
        raise LaunchError(
            f"{error.filename} cannot be replaced: {error.strerror}; give another file"
        ) from None
