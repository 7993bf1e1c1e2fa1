"""What kind of source a name in a topology means."""

from __future__ import annotations

import re
from pathlib import Path

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


def is_live(source: str) -> bool:
    """Whether the source does not wait for its reader."""
    return kind_of(source) in ("camera", "network")


def shown(source: str) -> str:
    """The source as it may be shown and logged: the password in a URL is hidden."""
    return re.sub(r"(://[^:/@]*):[^/]*@", r"\1:***@", source)


def kind_of(source: str) -> str:
    """ "camera", "network", "synthetic", "images" or "video", by its name and what lies there."""
    if source == "synthetic":
        return "synthetic"
    if "://" in source:
        return "network"
    if source.startswith("/dev/"):
        return "camera"
    path = Path(source)
    if path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES:
        return "images"
    if any(mark in source for mark in "*?[") and not path.exists():
        return "images"
    return "video"
