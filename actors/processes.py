"""The roles: which processes a run has, what memory each maps, and which of them end by themselves.

A new role is one module with a `main(spec)` and one line here. Data only, so that every layer may
read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal


class Memory(Enum):
    """Shared memory that a role maps beside the control block, by the name of its descriptor."""

    OWN_FRAMES = "frames"
    """Frame slots of the actor's own stream, writable."""
    ALL_FRAMES = "frames.STREAM"
    """Frame slots of every stream, read-only."""
    TILES = "tiles"
    """Tile slots, writable."""
    TILES_READ_ONLY = "tiles (read-only)"
    OWN_CORE = "core"
    """The queue of the worker's emulated core, where the cores are emulated."""


@dataclass(frozen=True, kw_only=True)
class Role:
    """One line of the table.

    `module` has `main(spec)`, the entry of the process. `per` says how many there are: one a run,
    one a stream or one a worker; the first has the role's name. `maps` is its memory. `ends` marks
    roles that end by themselves: when all of them have, the run is over. `table` names a table of
    the topology without whose outputs the role is not started.
    """

    module: str
    per: Literal["run", "stream", "worker"]
    maps: tuple[Memory, ...] = ()
    ends: bool = False
    table: Literal["render"] | None = None


ROLES: Mapping[str, Role] = {
    "capture": Role(module="actors.capture", per="stream", maps=(Memory.OWN_FRAMES,), ends=True),
    "tiler": Role(module="actors.tiler", per="run", maps=(Memory.ALL_FRAMES, Memory.TILES)),
    "worker": Role(
        module="actors.worker", per="worker", maps=(Memory.TILES_READ_ONLY, Memory.OWN_CORE)
    ),
    "merger": Role(module="actors.merger", per="run"),
    "renderer": Role(
        module="actors.renderer", per="run", maps=(Memory.ALL_FRAMES,), table="render"
    ),
}
"""In the order in which actors are started and listed."""
