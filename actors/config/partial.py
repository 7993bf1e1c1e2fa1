"""A topology on its way: what the checks look at."""

from __future__ import annotations

import glob
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from actors.config.errors import Place
from actors.config.schema import Tables

SourceKind = Literal["file", "folder", "glob", "camera", "network", "synthetic"]


def source_kind(source: str) -> SourceKind:
    """What a stream's `source` names. A path that exists is no glob, whatever it is called."""
    if source == "synthetic":
        return "synthetic"
    if source.startswith(("/dev/video", "/dev/v4l/")):
        return "camera"
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", source):
        return "network"
    try:
        if Path(source).is_dir():
            return "folder"
        return "glob" if glob.has_magic(source) and not Path(source).exists() else "file"
    except (OSError, ValueError):  # a name that no file can have
        return "file"


@dataclass(frozen=True)
class PartialConfig:
    """A topology on its way: what the checks look at.

    `tables` holds what is sound; a key at one of the places in `unsound` has a stand-in there.
    `data` is the file after the overrides, `written` the paths as the user wrote them.
    """

    tables: Tables
    data: Mapping[str, Any]
    written: Mapping[Place, str]
    unsound: Collection[Place]
    file: Path

    def names(self, table: str) -> list[str]:
        """The names that the user gave in a table of named tables, sound or not."""
        entries = self.data.get(table)
        return list(entries) if isinstance(entries, dict) else []

    def sound(self, *place: str | int) -> bool:
        """True where no fault is known at the place, above it or beneath it."""
        return not any(bad[: len(place)] == place[: len(bad)] for bad in self.unsound)
