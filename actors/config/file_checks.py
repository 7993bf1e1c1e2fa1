"""Checks of a topology against the machine: files that it reads, its address and keys.

Each check is a function from a `PartialConfig` to what it finds, as in `actors.config.checks`.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path

from actors.config.errors import Finding, Place, show
from actors.config.file_errors import (
    exists,
    file_problem,
    labels_problem,
    model_problem,
    output_problem,
    reason,
)
from actors.config.partial import PartialConfig
from actors.config.schema import Model
from actors.runtimes.registry import runtime_kind
from actors.sources.classify import IMAGE_SUFFIXES, has_image_name, source_kind

SERVER_KEY = "server.key_secret"


# Which kinds of source a key is for; a drawn scene has no end, so it needs no loop.
_KINDS_OF_KEY = {
    "size": ("camera", "synthetic"),
    "fps": ("camera", "synthetic"),
    "fourcc": ("camera",),
    "seed": ("synthetic",),
    "pace": ("file", "folder", "glob", "synthetic"),
    "loop": ("file", "folder", "glob"),
}
_KIND_NAMES = {"camera": "cameras", "synthetic": '"synthetic"', "file": "files"}


def check_sources(config: PartialConfig) -> Iterator[Finding]:
    """A stream's source exists, and has only keys that go with its kind."""
    for name, stream in config.tables.streams.items():
        place = ("streams", name, "source")
        if not config.sound(*place):
            continue
        if problem := _source_problem(stream.source, config.written[place]):
            yield place, problem
        for key, kinds in _KINDS_OF_KEY.items():
            if key in stream.model_fields_set and source_kind(stream.source) not in kinds:
                names = " and ".join(_KIND_NAMES[kind] for kind in kinds if kind in _KIND_NAMES)
                yield ("streams", name, key), f"{key} goes with {names} only; remove it"


def check_ground_truth(config: PartialConfig) -> Iterator[Finding]:
    """Only a drawn scene has a ground truth."""
    streams = config.tables.streams.values()
    drawn = all(source_kind(stream.source) == "synthetic" for stream in streams)
    if config.tables.results.ground_truth and not drawn:
        problem = 'only the source "synthetic" has a ground truth; remove it'
        yield ("results", "ground_truth"), problem


def _source_problem(source: str, written: str) -> str | None:
    kind = source_kind(source)
    if re.fullmatch("[0-9]{1,2}", written) and not exists(Path(source)):
        return f'there is no file {show(written)}; for a camera write "/dev/video{written}"'
    if kind == "file" or not written.strip():
        return file_problem(Path(source), written)
    if kind not in ("folder", "glob"):
        return None
    try:
        found: Iterable[Path] = Path(source).iterdir()
        if kind == "glob":
            found = map(Path, glob.iglob(source, recursive=True))  # noqa: PTH207 (absolute)
        if any(map(has_image_name, found)):
            return None
    except (OSError, ValueError, re.error) as error:
        return f"{show(written)} cannot be read ({reason(error)}); correct it or its permissions"
    kinds = ", ".join(suffix[1:] for suffix in IMAGE_SUFFIXES)
    looked_for = "" if source == written else f" (looked for {source})"
    verb = "lies in" if kind == "folder" else "matches"
    return f"no image ({kinds}) {verb} {show(written)}{looked_for}; correct the path"


def check_rknn_models(config: PartialConfig) -> Iterator[Finding]:
    """Keys that a converted model has inside already."""
    for name, model in config.tables.models.items():
        for key in ("mean", "std"):
            if _reads(model, "rknn") and key in model.model_fields_set:
                problem = f"a .rknn has its {key} inside; remove it here and convert with it"
                yield ("models", name, key), problem


def check_models(config: PartialConfig) -> Iterator[Finding]:
    """The file, and the keys that go with one runtime."""
    for name, model in config.tables.models.items():
        if not config.sound("models", name, "runtime"):
            continue
        path: Place = ("models", name, "path")
        written = config.written.get(path, "")
        if _reads(model, "none"):
            if model.path is not None:
                yield path, f'runtime "{model.runtime}" reads no file; remove path'
        elif model.path is None and _reads(model, "any"):
            pass
        elif model.path is None:
            yield path, "missing; add path = ... (the .onnx or .rknn file)"
        elif model.runtime is None:
            yield (
                path,
                f"{show(written)} is neither a .onnx nor a .rknn; say which runtime = ... reads it",
            )
        elif problem := model_problem(model.path, written, runtime_kind(model.runtime)):
            yield path, problem
        needs_latency = model.runtime is not None and runtime_kind(model.runtime).needs_latency
        if needs_latency and model.latency_ms is None:
            yield (
                ("models", name, "latency_ms"),
                f'missing; runtime "{model.runtime}" needs the milliseconds that one inference '
                "takes",
            )
        if not _reads(model, "any", "none") and model.size is not None:
            problem = 'size goes with runtime = "instant" only, a file has its own; remove it'
            yield ("models", name, "size"), problem


def _reads(model: Model, *formats: str) -> bool:
    """Whether the model's runtime reads files of one of these formats (`RuntimeKind.file`)."""
    return model.runtime is not None and runtime_kind(model.runtime).file in formats


def check_labels(config: PartialConfig) -> Iterator[Finding]:
    """A file of class names has at least one."""
    for name, model in config.tables.models.items():
        place = ("models", name, "labels")
        labels = model.labels
        if isinstance(labels, Path) and (problem := labels_problem(labels, config.written[place])):
            yield place, problem


def check_address(config: PartialConfig) -> Iterator[Finding]:
    """Results can be bound, and reach other machines only where the user allows it."""
    place, results = ("results", "bind"), config.tables.results
    bind, written = results.bind, config.written.get(("results", "bind"), results.bind)
    tcp = re.fullmatch(r"tcp://(\[[0-9A-Fa-f:.]+\]|[^\s/:\[\]]+):(\*|[0-9]{1,5})", bind)
    if written.startswith("ipc://") and written != "ipc://":
        path = Path(bind[6:])
        if len(os.fsencode(path)) > 107:
            yield place, f"{path} is too long for a socket (107 bytes); give a shorter path"
        elif bind.startswith("ipc://@"):  # Linux's names without a file
            return
        elif problem := output_problem(path, written):
            yield place, problem
        elif path.exists() and not path.is_socket():
            yield place, f"{show(written)} exists and is not a socket; give another path"
    elif not tcp or (tcp[2] != "*" and not 0 < int(tcp[2]) < 65536):
        yield (
            place,
            f"bind must be tcp://HOST:PORT, tcp://HOST:* or ipc://PATH, got {show(written)}",
        )
    elif not (_is_loopback(tcp[1]) or results.insecure or results.curve) and config.sound(
        "results", "insecure"
    ):
        remedy = (
            f"use tcp://127.0.0.1:{tcp[2]}, give keys with curve = KEYS (see tritile make_keys "
            "--help), or allow it without keys with insecure = true"
        )
        yield place, f"other machines can reach {show(bind)}; {remedy}"


def check_keys(config: PartialConfig) -> Iterator[Finding]:
    """The folder of CURVE keys holds the publisher's."""
    place, folder = ("results", "curve"), config.tables.results.curve
    if folder is None or exists(folder / SERVER_KEY):
        return
    problem = f"there is no {SERVER_KEY} in {show(config.written[place])}"
    above = folder.parent if folder.name == "server" else folder
    remedy = f"make keys with: tritile make_keys {shlex.quote(str(above))} laptop"
    yield place, f"{problem}; {remedy}, and give {show(above / 'server')}"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
