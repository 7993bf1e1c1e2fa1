"""Opens a source of any kind. Each kind is one module, imported when it is opened.

OpenCV is imported with the kind, not with this module, so that a process that only passes a
`SourceInfo` on stays small.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from actors.sources.classify import hide_password, is_images, is_live, source_kind
from actors.sources.contract import Source, SourceError, SourceInfo, SourceRequest
from actors.sources.ffmpeg import silence_ffmpeg

if TYPE_CHECKING:
    from actors.sources.feed import Feed
    from actors.sources.live import LiveSource

_NOTHING_ASKED = SourceRequest()


def inspect(source: str, request: SourceRequest = _NOTHING_ASKED) -> SourceInfo:
    """Opens a source, describes it, and closes it. SourceError when it cannot be used.

    A live source must give a frame within 10 s, and its rate is measured for another second.
    """
    if is_live(source):
        from actors.sources.live import inspect_live

        return inspect_live(hide_password(source), _connector(source, request))
    if source_kind(source) == "synthetic":
        from actors.sources import synthetic

        return synthetic.inspect_synthetic(request)
    opened = open_source(source)
    opened.close()
    return opened.info


def open_source(
    source: str, *, start: int = 0, loop: bool = False, request: SourceRequest = _NOTHING_ASKED
) -> Source:
    """Opens a video file, a folder or a glob of images, or the drawn scene ("synthetic").

    `start` continues at that frame, with exactly the pixels that reading from 0 gives; in a long
    video this may take seconds. `loop` starts at 0 again after each end; the drawn scene has no
    end. `request` is for the drawn scene.
    Raises SourceError when the source cannot be used.
    """
    if not source:
        raise SourceError("the source is empty; give a video file, a folder or a glob of images")
    if source_kind(source) == "synthetic":
        from actors.sources.synthetic import SyntheticSource

        return SyntheticSource(request, start=start)
    silence_ffmpeg()
    if is_images(source):
        from actors.sources.images import ImageSource

        return ImageSource(source, start=start, loop=loop)
    from actors.sources.video import VideoSource

    return VideoSource(source, start=start, loop=loop)


def open_live(
    source: str, request: SourceRequest, frame_bytes: int, wake: Callable[[], None]
) -> LiveSource:
    """A camera or a network stream, whose frames may take `frame_bytes`; not connected yet.

    `wake` is called, on another thread, when there is a frame to `take`.
    """
    from actors.sources.live import LiveSource

    connect = _connector(source, request, frame_bytes)
    return LiveSource(hide_password(source), connect, frame_bytes, wake)


def _connector(source: str, request: SourceRequest, frame_bytes: int = 0) -> Callable[[], Feed]:
    """A function that opens a live source, and opens it again later."""
    silence_ffmpeg()
    if source_kind(source) == "camera":
        from actors.sources import camera

        return partial(camera.connect, source, request)
    from actors.sources import network

    return partial(network.connect, source, frame_bytes)
