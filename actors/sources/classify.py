"""Classifies what the name of a source in a topology means; the check and the run both ask here.

Imported by the supervisor: no numpy, no OpenCV.
"""

from __future__ import annotations

import glob
import re
import stat
from pathlib import Path
from typing import Literal

SourceKind = Literal["file", "folder", "glob", "camera", "network", "synthetic"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def source_kind(source: str) -> SourceKind:
    """What a stream's `source` is, by its name and by what lies there. Raises nothing.

    A path that exists is what the file system says, whatever its name: a character device is a
    camera (`/dev/video0`, or a link to it), an ordinary file in `/dev/shm` is a file, and
    `b[2].mp4` is a file and not a glob. Only a path that does not exist is judged by its name.
    """
    if source == "synthetic":
        return "synthetic"
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", source):
        return "network"
    try:
        mode = Path(source).stat().st_mode
    except (OSError, ValueError):  # it does not exist, or no file can have this name
        if source.startswith(("/dev/video", "/dev/v4l/")):
            return "camera"
        return "glob" if glob.has_magic(source) else "file"
    if stat.S_ISCHR(mode):
        return "camera"
    return "folder" if stat.S_ISDIR(mode) else "file"


def is_live(source: str) -> bool:
    """Whether the source gives frames at its own rate and does not wait for its reader."""
    return source_kind(source) in ("camera", "network")


def is_images(source: str) -> bool:
    """Whether the frames are image files: a folder, a glob, or one file with an image's name."""
    kind = source_kind(source)
    return kind in ("folder", "glob") or (kind == "file" and has_image_name(Path(source)))


def has_image_name(path: Path) -> bool:
    """Whether a folder's file counts as an image, by its name.

    Hidden files do not: `._x.jpg` is what macOS puts beside `x.jpg`, and is not an image.
    """
    return path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "."


def hide_password(source: str) -> str:
    """The source as it may be displayed and logged: without the password of a URL."""
    return re.sub(r"(://[^:/@]*):[^/]*@", r"\1:***@", source)
