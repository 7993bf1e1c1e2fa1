"""Small videos whose frames carry their number, and ways to damage or change them.

Files that are damaged or unusual are made from whole ones by changing bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import cv2
import numpy as np
from numpy.typing import NDArray

from actors.sources.contract import Source

WIDTH, HEIGHT, BITS = 96, 64, 12
FRAME_BYTES = WIDTH * HEIGHT * 3


def painted(number: int) -> NDArray[np.uint8]:
    """A frame that carries its number as twelve black or white columns, over moving noise."""
    noise = np.random.default_rng(5).integers(60, 200, (HEIGHT, WIDTH, 3), np.uint8)
    image = np.roll(noise, number, axis=1)
    for bit in range(BITS):
        image[: HEIGHT // 2, bit * 8 : bit * 8 + 8] = 255 if number >> bit & 1 else 0
    return image


def number_of(image: NDArray[np.uint8]) -> int:
    columns = [image[4 : HEIGHT // 2 - 4, bit * 8 + 4].mean() > 127 for bit in range(BITS)]
    return sum(1 << bit for bit, white in enumerate(columns) if white)


def encode(path: Path, frames: int, fourcc: str = "mp4v", fps: float = 25.0) -> Path:
    """mp4v has a key frame every twelve frames; MJPG has nothing else."""
    code = cv2.VideoWriter.fourcc(*fourcc)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, fps, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(painted(number))
    writer.release()
    return path


def frames_of(source: Source, limit: int = 10_000) -> list[tuple[int, int, int]]:
    """(source_frame, number painted in it, checksum) until the end."""
    found: list[tuple[int, int, int]] = []
    slot = np.zeros(source.info.frame_bytes, np.uint8)
    while len(found) < limit:
        at = source.position()
        size = source.read(slot)
        if size is None:
            break
        assert size == (source.info.width, source.info.height)
        image = slot.reshape(size[1], size[0], 3)
        found.append((at, number_of(image), crc32(slot.data)))
    return found


def sequential(path: Path) -> list[int]:
    """Checksums of all frames, read from the start by OpenCV itself."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    sums: list[int] = []
    while True:
        ok, image = capture.read()
        if not ok:
            return sums
        sums.append(crc32(np.ascontiguousarray(image).data))


# ---------------------------------------------------------------- changing files


def boxes(data: bytes, begin: int, end: int) -> Iterator[tuple[str, int, int]]:
    """The MP4 boxes between two offsets: (type, offset, size)."""
    while begin < end:
        size, kind = struct.unpack_from(">L4s", data, begin)
        yield kind.decode("latin-1"), begin, size
        begin += size


def box(data: bytes, *path: str) -> list[tuple[int, int]]:
    """(offset, size) of each box on the way down to one."""
    found, begin, end = [], 0, len(data)
    for name in path:
        offset, size = next((o, s) for kind, o, s in boxes(data, begin, end) if kind == name)
        found.append((offset, size))
        begin, end = offset + 8, offset + size
    return found


def index_first(data: bytes) -> bytes:
    """An MP4 with its index before the frames, as prepared for the web."""
    [(moov, size)] = box(data, "moov")
    [(first, head)] = box(data, "ftyp")
    index = bytearray(data[moov : moov + size])
    offsets = data.index(b"stco", moov) - moov
    count = struct.unpack_from(">L", index, offsets + 8)[0]
    for i in range(count):
        at = offsets + 12 + 4 * i
        struct.pack_into(">L", index, at, struct.unpack_from(">L", index, at)[0] + size)
    rest = data[first + head : moov] + data[moov + size :]
    return data[: first + head] + bytes(index) + rest


def with_durations(data: bytes, runs: list[tuple[int, int]]) -> bytes:
    """An MP4 whose frames last as long as given: (frames, ticks) runs; its index comes last."""
    way = box(data, "moov", "trak", "mdia", "minf", "stbl", "stts")
    at, size = way[-1]
    body = struct.pack(">LL", 0, len(runs)) + b"".join(struct.pack(">LL", *run) for run in runs)
    changed = bytearray(data)
    changed[at : at + size] = struct.pack(">L4s", 8 + len(body), b"stts") + body
    for offset, before in way[:-1]:
        struct.pack_into(">L", changed, offset, before + 8 + len(body) - size)
    edits = bytes(changed).find(b"edts")
    if edits >= 0:
        changed[edits : edits + 4] = b"free"  # its duration would be the old one
    return bytes(changed)


def with_hidden_start(data: bytes, frames: int, total: int) -> bytes:
    """An MP4 whose edit list hides its first frames, as cutting without encoding leaves it."""
    [*_, (track, _), (edits, _)] = box(data, "moov", "trak", "edts")
    del track
    at = edits + 8 + 16  # edts header, then elst: header, version and flags, count
    ticks = struct.unpack_from(">L", data, data.index(b"stts") + 16)[0]
    changed = bytearray(data)
    duration = struct.unpack_from(">L", data, at)[0]
    struct.pack_into(">Ll", changed, at, duration * (total - frames) // total, frames * ticks)
    return bytes(changed)


def chunks(data: bytes) -> list[tuple[int, int]]:
    """(offset, size) of the frames of an AVI."""
    found, at = [], data.index(b"movi") + 4
    while data[at : at + 4] == b"00dc":
        size = struct.unpack_from("<L", data, at + 4)[0]
        found.append((at + 8, size))
        at += 8 + size + size % 2
    return found
