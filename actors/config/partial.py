"""A topology on its way: what the checks look at."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.config.errors import Place
from actors.config.schema import Tables


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
