"""The files of a video whose writer died: the first and its parts, until they are joined."""

from __future__ import annotations

from pathlib import Path


def part(path: Path, number: int) -> Path:
    """As in out.part1.mp4."""
    return path.with_name(f"{path.stem}.part{number}{path.suffix}")


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
    return path.with_name(f"{path.stem}.joined{path.suffix}")
