"""Checks that every output can be written, and that none is an input or another output."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

from actors.config.errors import Finding, Place, dotted, show
from actors.config.file_errors import folder_problem, output_problem
from actors.config.partial import PartialConfig
from actors.outputs.video_files import of_streams
from actors.sources.classify import source_kind

VIDEO_SUFFIXES = (".mp4", ".mkv", ".avi")
# Stands for all that actors.outputs.pictures writes into a folder.
_PICTURE = "00000000.jpg"


def check_outputs(config: PartialConfig) -> Iterator[Finding]:
    """The log and the videos can be written, and each is a file of its own."""
    taken = _inputs(config)
    outputs: list[tuple[Place, Path, str]] = []
    place: Place = ("results", "jsonl")
    if (log := config.tables.results.jsonl) is not None:
        outputs.append((place, log, config.written[place]))
    place = ("render", "video")
    if (video := config.tables.render.video) is not None:
        written = config.written[place]
        # A problem of the name that all streams' names are made of is reported once.
        if problem := output_problem(video, written, VIDEO_SUFFIXES):
            yield place, problem
        else:
            with suppress(ValueError):  # a stream's name that no file can have: see check_names
                for path in of_streams(video, list(config.tables.streams) or [""]).values():
                    outputs.append((place, path, str(Path(written).with_name(path.name))))
    for place, output, written in outputs:
        identity = _identity(output)
        if problem := output_problem(output, written):
            yield place, problem
        elif identity in taken:
            yield place, f"{show(written)} is also {taken[identity]}; write to another file"
        taken[identity] = dotted(place)


def _inputs(config: PartialConfig) -> dict[object, str]:
    """The places of the files that are read, by their identity."""
    inputs: dict[object, str] = {_identity(config.file): "this topology"}
    for name, stream in config.tables.streams.items():
        if source_kind(stream.source) == "file":
            inputs[_identity(Path(stream.source))] = dotted(("streams", name, "source"))
    for name, model in config.tables.models.items():
        for used, path in (("path", model.path), ("labels", model.labels)):
            if isinstance(path, Path):
                inputs[_identity(path)] = dotted(("models", name, used))
    return inputs


def check_pictures(config: PartialConfig) -> Iterator[Finding]:
    """The folder of pictures can be written, and no source reads what is written there."""
    place, folder = ("render", "pictures"), config.tables.render.pictures
    if folder is None:
        return
    written = config.written[place]
    if problem := folder_problem(folder, written):
        yield place, problem
        return
    names = list(config.tables.streams)
    folders = [folder] if len(names) == 1 else [folder, *(folder / name for name in names)]
    for name, stream in config.tables.streams.items():
        if any(_reads_pictures(stream.source, each) for each in folders):
            source = dotted(("streams", name, "source"))
            yield place, f"{source} reads the images of {show(written)}; write to another folder"


def _reads_pictures(source: str, folder: Path) -> bool:
    """Whether a source is, or contains, a picture that may be written into the folder."""
    path, picture = Path(source), folder / _PICTURE
    kind = source_kind(source)
    if kind == "folder":
        return _identity(path) == _identity(folder)
    if kind == "glob":
        return picture.match(source) or ("**" in source and fnmatch(str(picture), source))
    is_picture = path.suffix == picture.suffix and path.stem.isdigit()
    return kind == "file" and is_picture and _identity(path.parent) == _identity(folder)


def _identity(path: Path) -> object:
    """Equal for two names of one file, through links too."""
    try:
        status = path.stat()
        return status.st_dev, status.st_ino
    except OSError:
        return os.path.realpath(path)
    except ValueError:  # a name that no file can have
        return path
