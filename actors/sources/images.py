"""A folder or a glob of images as a source, in natural order (img2 before img10).

A folder is taken without its subfolders; a glob may have `**`. The sizes come from the files'
headers (imagesize), so that thousands of files are inspected without decoding any but the first.
An image that cannot be decoded is skipped and counted, and keeps its index.

Every image is decoded into new memory and copied. `cv2.imread` can decode in place, and
is then 2 ms quicker at 1080p, but it hands the memory back unchanged when the file cannot be
read: the frame before would pass for this one (tried with OpenCV 4.10, 4.13 and 5.0).
`imdecode`, unlike `imread`, also refuses a JPEG that was cut off.
"""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import imagesize
import numpy as np

from actors.sources.classify import IMAGE_SUFFIXES, has_image_name
from actors.sources.contract import SourceError, SourceInfo, copy_to_slot

if TYPE_CHECKING:
    from numpy.typing import NDArray

# OpenCV refuses what is larger (CV_IO_MAX_IMAGE_PIXELS); a broken header may claim anything.
_MAX_PIXELS = 1 << 30


class ImageSource:
    """Images in natural order: see `actors.sources.contract.Source`."""

    def __init__(self, source: str, *, start: int = 0, loop: bool = False) -> None:
        self._paths = list_images(source)
        if not self._paths:
            raise SourceError(
                f"{source}: no images there; images end in {', '.join(IMAGE_SUFFIXES)}"
            )
        self.info = _inspect(source, self._paths)
        self.unreadable = 0
        self.last_error: str | None = None
        self.frame_name = ""
        self._folder = _folder(source)
        self._loop = loop
        self._at = start
        self._ahead: NDArray[np.uint8] | None = None  # the decoded image at self._at
        self._readable = True  # whether this round has had an image, so that looping makes sense

    def read(self, slot: NDArray[np.uint8]) -> tuple[int, int] | None:
        """The next frame into `slot`, see `Source.read`."""
        image = self._decode_ahead()
        if image is None:
            return None
        path = self._paths[self._at]
        self._ahead = None
        self._at += 1
        self.frame_name = os.path.relpath(path, self._folder)
        return copy_to_slot(image, slot, str(path))

    def position(self) -> int:
        """Index of the next frame, see `Source.position`."""
        self._decode_ahead()
        return self._at

    def close(self) -> None:
        """Closes the source. May be called again."""
        self._paths, self._ahead, self._loop = [], None, False

    def _decode_ahead(self) -> NDArray[np.uint8] | None:
        """Makes sure that the next image that can be decoded is at hand."""
        while self._ahead is None:
            if self._at >= len(self._paths):
                if not (self._loop and self._readable):
                    return None
                self._at, self._readable = 0, False
            self._ahead = _decode(self._paths[self._at])
            if self._ahead is None:
                self.unreadable += 1
                self.last_error = f"{self._paths[self._at]}: cannot be decoded as an image"
                self._at += 1
            else:
                self._readable = True
        return self._ahead


def list_images(source: str) -> list[Path]:
    """The image files of a folder, or those that a glob matches, in natural order."""
    folder = Path(source)
    if folder.is_dir():
        found = list(folder.iterdir())
    elif folder.exists():
        found = [folder]
    else:
        # Not Path.glob: it refuses absolute patterns, and a pattern may start anywhere.
        found = [Path(name) for name in glob.glob(source, recursive=True)]  # noqa: PTH207
    return sorted((p for p in found if has_image_name(p) and p.is_file()), key=_natural)


def _folder(source: str) -> str:
    """Where the names of a source's images begin: the folder, or that before the first wildcard."""
    if Path(source).exists():
        return source if Path(source).is_dir() else str(Path(source).parent)
    return os.path.dirname(re.split(r"[*?[]", source, maxsplit=1)[0]) or "."  # noqa: PTH120


def _natural(path: Path) -> tuple[list[list[str | int]], str]:
    """Sorts img2 before img10, folder by folder; the name itself decides between 01 and 1."""
    parts: list[list[str | int]] = []
    for part in path.parts:
        # The pieces alternate, text first: text is never compared with a number.
        pieces = re.split(r"(\d+)", part.casefold())
        parts.append([int(p) if i % 2 else p for i, p in enumerate(pieces)])
    return parts, str(path)


def _inspect(source: str, paths: list[Path]) -> SourceInfo:
    first = next((image for image in map(_decode, paths) if image is not None), None)
    if first is None:
        raise SourceError(
            f"{source}: none of its {len(paths)} images can be decoded; "
            f"check that {paths[0].name} opens in an image viewer"
        )
    height, width = first.shape[:2]
    counted = Counter(size for size in map(_header_size, paths) if size is not None)
    if (width, height) not in counted:
        counted[width, height] = 1
    return SourceInfo(
        width=width,
        height=height,
        frame_bytes=max(w * h * 3 for w, h in counted),
        fps=None,
        frames=len(paths),
        live=False,
        sizes=tuple(size for size, _ in counted.most_common(16)),
    )


def _header_size(path: Path) -> tuple[int, int] | None:
    """(width, height) as the image will be decoded, or None when it will not be."""
    try:
        width, height = imagesize.get(str(path))
    except Exception:
        # The parser may raise anything, depending on the file's bytes: the size is then unknown.
        width, height = -1, -1
    if width <= 0 or height <= 0:
        image = _decode(path)
        return None if image is None else (image.shape[1], image.shape[0])
    return (width, height) if width * height <= _MAX_PIXELS else None


def _decode(path: Path) -> NDArray[np.uint8] | None:
    """(height, width, 3) BGR, turned as its EXIF orientation says, or None."""
    try:
        data = np.fromfile(path, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except (OSError, cv2.error):
        return None
    return None if image is None else np.asarray(image, np.uint8)
