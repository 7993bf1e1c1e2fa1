"""A result that the renderer cannot read: counted, and its frame is drawn without boxes."""

from __future__ import annotations

import math
import struct

import pytest

from actors.dataflow.messages import Frame, Result
from actors.renderer import Renderer, Stream
from actors.vision.detections import Detections


class Taking(Stream):
    """A stream that only collects what it is given."""

    def __init__(self) -> None:
        self.taken: list[Result] = []

    def take(self, result: Result) -> None:
        self.taken.append(result)


@pytest.mark.parametrize("detections", [bytes(31), struct.pack("8f", math.nan, *[1.0] * 7)])
def test_detections_that_cannot_be_decoded_are_counted(detections: bytes) -> None:
    stream = Taking()
    renderer = object.__new__(Renderer)  # without its process, sockets and memory
    renderer.streams = {"cam0": stream}
    renderer.invalid_messages = 0
    frame = Frame("cam0", 3, 2, 3, 0, 64, 64, 1, 1)
    good = Result(frame, complete=True, detections=Detections.none().to_bytes() + bytes(32))
    renderer.on_message(good)
    assert renderer.invalid_messages == 0
    renderer.on_message(Result(frame, complete=True, detections=detections))
    assert renderer.invalid_messages == 1
    assert stream.taken == [good, Result(frame, complete=False, detections=b"")]
