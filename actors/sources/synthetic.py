"""The source "synthetic": the drawn scene of `actors.scene`, without an end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.scene.scene import Scene
from actors.sources.contract import SourceError, SourceInfo, SourceRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SIZE = (1920, 1080)
_FPS = 30.0
# Below it figures cannot be made out, above it the ground alone takes a gigabyte to draw.
_SMALLEST, _LARGEST = 64, 8192


class SyntheticSource:
    """Frames of one scene: see `actors.sources.contract.Source`."""

    def __init__(self, request: SourceRequest, *, start: int = 0) -> None:
        """`request` may name the size (1920x1080), the rate (30) and the seed (0).

        Drawing the ground takes a second at 1080p.
        """
        self.info = inspect_synthetic(request)
        self.unreadable = 0
        self.last_error: str | None = None
        self.frame_name = ""
        self._scene: Scene | None = Scene(self.info.sizes[0], request.seed or 0)
        # A slow core paints for a second: in the opening, not in the first read.
        self._scene.prepare(start)
        self._at = start

    def read(self, slot: NDArray[np.uint8]) -> tuple[int, int] | None:
        """The next frame into `slot`, see `Source.read`."""
        if self._scene is None:
            return None
        info, at = self.info, self._at
        self._at += 1
        if info.frame_bytes > slot.nbytes:
            raise SourceError(
                f"synthetic: a frame of {info.width}x{info.height} takes {info.frame_bytes} bytes "
                f"and the frame slot has {slot.nbytes}; give the scene a smaller size"
            )
        self._scene.frame(at, slot[: info.frame_bytes].reshape(info.height, info.width, 3))
        return info.width, info.height

    def position(self) -> int:
        """Index of the next frame, see `Source.position`."""
        return self._at

    def close(self) -> None:
        """Closes the source. May be called again."""
        self._scene = None


def inspect_synthetic(request: SourceRequest) -> SourceInfo:
    """Describes the scene without drawing it. Raises SourceError for an impossible size."""
    width, height = size = request.size or _SIZE
    if min(size) < _SMALLEST or max(size) > _LARGEST:
        raise SourceError(
            f"synthetic: a scene of {width}x{height} cannot be drawn; give a size from "
            f"{_SMALLEST}x{_SMALLEST} to {_LARGEST}x{_LARGEST}"
        )
    return SourceInfo(
        width=width,
        height=height,
        frame_bytes=width * height * 3,
        fps=request.fps or _FPS,
        frames=None,
        live=False,
        sizes=(size,),
    )
