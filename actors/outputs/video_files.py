"""The files of a video: one a stream, and parts where its writer died, until they are joined.

Names of parts and joins have the project's in them: such files are removed when a run begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def of_streams(path: Path, streams: Sequence[str]) -> dict[str, Path]:
    """Each stream's video where the user asked for `path`: with several, its name is added."""
    if len(streams) == 1:
        return {streams[0]: path}
    return {name: path.with_name(f"{path.stem}-{name}{path.suffix}") for name in streams}


def part(path: Path, number: int) -> Path:
    """As in out.tritile-part1.mp4."""
    return path.with_name(f"{path.stem}.tritile-part{number}{path.suffix}")


def parts(path: Path) -> list[Path]:
    """The file and its parts, as far as they are there, in order."""
    found = [path] if path.exists() else []
    number = 1
    while part(path, number).exists():
        found.append(part(path, number))
        number += 1
    return found


def remove(path: Path) -> None:
    """Remove what an earlier run has left: the file, its parts, a join that was not finished."""
    for old in (*parts(path), joined(path)):
        old.unlink(missing_ok=True)


def joined(path: Path) -> Path:
    """What the parts are copied into before it takes the place of all."""
    return path.with_name(f"{path.stem}.tritile-joined{path.suffix}")
