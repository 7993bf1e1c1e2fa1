"""An open connection to a live source, over OpenCV: a camera's or a stream's frames one by one.

`actors.sources.camera` and `actors.sources.network` open one; `actors.sources.live` reads it on its
own thread, and opens the next when this one has dropped out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from actors.sources.contract import SourceError, copy_to_slot

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Feed:
    """Frames from an opened `cv2.VideoCapture`. For one thread."""

    ended = False
    """True once the source has ended, so that it must not be opened again."""

    def __init__(
        self,
        name: str,
        capture: cv2.VideoCapture,
        fps: float | None,
        remarks: tuple[str, ...] = (),
    ) -> None:
        """`fps` is the rate that the source states, if it does; `remarks` are for its user.

        SourceError where the stream has no picture."""
        self.name = name
        self.capture = capture
        self.fps = fps
        self.remarks = remarks
        self.size = (
            int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )
        if min(self.size) <= 0:
            capture.release()
            raise SourceError(
                f"{name}: it has no picture that can be found from its start; if it is a file, put "
                "its index first: ffmpeg -i IN -c copy -movflags +faststart OUT.mp4"
            )

    def grab(self) -> bool:
        """Waits for the next frame, for seconds at most; False when the source has dropped out."""
        try:
            return self.capture.grab()
        except cv2.error:
            return False

    def retrieve(self, buffer: NDArray[np.uint8]) -> tuple[int, int] | None:
        """Decodes the frame that was grabbed last into `buffer`; its (width, height).

        `buffer` is as for `Source.read`. None when the frame cannot be decoded; SourceError when
        it is too large.
        """
        width, height = self.size
        nbytes = width * height * 3
        try:
            if buffer.nbytes >= nbytes:
                ok, image = self.capture.retrieve(buffer[:nbytes].reshape(height, width, 3))
            else:
                ok, image = self.capture.retrieve()
        except cv2.error:
            return None
        if not ok:
            return None
        self.size = copy_to_slot(np.asarray(image, np.uint8), buffer, self.name)
        return self.size

    def close(self) -> None:
        """Closes the connection."""
        self.capture.release()
