"""A stream's annotated video and pictures, as far as they can be written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from actors.outputs.pictures import PictureFolder
from actors.outputs.video import VideoFile

Output = Literal["video", "pictures"]
_Done = TypeVar("_Done")


@dataclass
class FrameFiles:
    """The files at `video` and `pictures` (None: that is not wanted), frames per second `fps`.

    What cannot be written is closed, and added to `failures` with its reason.
    """

    video: Path | None
    pictures: Path | None
    fps: float
    failures: list[tuple[Output, str]] = field(default_factory=list)
    _video: VideoFile | None = None
    _pictures: PictureFolder | None = None

    def open(self) -> int:
        """Begin the outputs or continue them; how many frames are in the video. May take long."""
        if self.pictures is not None:
            self._pictures = self._try("pictures", partial(PictureFolder, self.pictures))
        if self.video is not None:
            self._video = self._try("video", partial(VideoFile, self.video, self.fps))
        return 0 if self._video is None else self._video.frames

    def write(self, seq: int, image: npt.NDArray[np.uint8]) -> int:
        """Write frame `seq`, (height, width, 3) BGR: its picture, then into the video.

        Returns how many frames are in the video for sure.
        """
        if self._pictures is not None:
            self._try("pictures", partial(self._pictures.write, seq, image))
        if self._video is None:
            return 0
        return self._try("video", partial(self._video.add, image)) or 0

    def end_video(self) -> bool:
        """Write what is left of the video; whether all is in it."""
        return self._video is not None and self._try("video", self._video.end) is not None

    def join_parts(self) -> None:
        """Make one file of the video's parts. May take long. OSError: it stays in parts."""
        if self._video is not None:
            self._video.join()

    def close(self, output: Output) -> None:
        """Write no more to this output."""
        if output == "pictures":
            self._pictures = None
        elif self._video is not None:
            self._video.abandon()
            self._video = None

    def _try(self, output: Output, action: Callable[[], _Done]) -> _Done | None:
        try:
            return action()
        except OSError as error:
            self.failures.append((output, error.strerror or str(error)))
            self.close(output)
            return None
