"""A topology that is not validated yet: what the checks read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.config.errors import Place
from actors.config.schema import Tables


@dataclass(frozen=True)
class PartialConfig:
    """A topology that is not validated yet.

    `tables` holds what pydantic accepted; a key at one of the places in `unsound` has a stand-in.
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
        """Whether pydantic found no problem at the place, above it or beneath it."""
        return not any(bad[: len(place)] == place[: len(bad)] for bad in self.unsound)
