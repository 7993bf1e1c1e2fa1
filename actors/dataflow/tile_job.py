"""A tile job: one tile of one stage of one frame, from the frame's arrival to its publication."""

from __future__ import annotations

from dataclasses import dataclass

from actors.vision.tiling import Tile

# The states below zero need no worker any more: answered, given up, its frame published.
PENDING, DONE, GIVEN_UP, FORGOTTEN = 0, -1, -2, -3


@dataclass(slots=True, eq=False)
class TileJob:
    """`order` is its frame's among all frames: the oldest job goes first.

        PENDING -> held under an id -> DONE or GIVEN_UP -> FORGOTTEN, when its frame is published

    A held or done job is PENDING again when its worker dies; so is any but a given up one when the
    merger has lost the answers.
    """

    stream: str
    seq: int
    stage: int
    index: int
    order: int
    tile: Tile
    state: int = PENDING
    """PENDING, DONE, GIVEN_UP, FORGOTTEN, or the id under which a worker holds it."""
    answered_by: str = ""
    """The worker whose answer made it DONE."""
    detections: bytes = b""
    """What it found, where another stage depends on that."""
    suspicion: int = 0
    avoid: str = ""
    """The worker that a suspect should not meet again, if another can run it."""
    victims: tuple[str, ...] = ()
    """Workers that ended while they computed it."""
    reason: str = ""
    """Why it was given up."""

    @property
    def open(self) -> bool:
        """Whether it is still to be done."""
        return self.state >= PENDING
