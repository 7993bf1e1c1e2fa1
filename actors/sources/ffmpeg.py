"""How FFmpeg is used for sources: silent, with options for one opening, and for video files only.

FFmpeg takes nearly anything for a video: it draws the characters of a text file, follows playlists
to other files, and shows the cover picture of a song. So a file must be in one of `VIDEO_FORMATS`;
FFmpeg itself checks that when OpenCV opens the file. `why_not_a_video` then says what it is
instead: it reads the first bytes and asks PyAV, which is only imported for that.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

VIDEO_FORMATS = (
    # FFmpeg's names. Containers and raw streams,
    *("mov", "mp4", "matroska", "webm", "avi", "mpegts", "mpeg", "mpegvideo", "flv", "live_flv"),
    *("asf", "ogg", "rm", "nut", "mxf", "gxf", "wtv", "dv", "ivf", "obu", "av1", "h261", "h263"),
    *("h264", "hevc", "vvc", "vc1", "m4v", "mjpeg", "mjpeg_2000", "dirac", "yuv4mpegpipe", "swf"),
    *(
        "avs2",
        "avs3",
        "cavsvideo",
        "dnxhd",
        "nsv",
        "nuv",
        "pva",
        "ty",
        "mlv",
        "cine",
        "ser",
        "mpjpeg",
    ),
    # recorders of surveillance cameras,
    *("dhav", "hxvs", "luodat", "ifv", "iv8", "mxg", "lxf", "kux", "mpjpeg"),
    # moving images, and single ones under a name that does not end as an image's does.
    *("gif", "apng", "jpegxl_anim", "flic", "jpeg_pipe", "png_pipe", "bmp_pipe", "webp_pipe"),
    *("tiff_pipe", "ppm_pipe", "pgm_pipe", "pbm_pipe", "pam_pipe", "j2k_pipe", "jpegls_pipe"),
    *("jpegxl_pipe", "qoi_pipe", "sgi_pipe", "pcx_pipe", "dpx_pipe", "exr_pipe", "hdr_pipe"),
)
OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
"""The variable from which OpenCV takes options for FFmpeg: "name;value|name;value"."""

_ONLY_VIDEO = "format_whitelist;" + ",".join(VIDEO_FORMATS)
_GIVE = "give a video file, a folder or a glob of images"
_NO_VIDEO = "there is no video track in it, only sound; give a file with a picture"
_PLAYLIST = "it is a playlist; give the video files that it names, each as a stream"
_INCOMPLETE = "it is incomplete: an .mp4 or .mov that was cut off has no index; copy it again"
_PLAYLISTS = rb"#EXTM3U|\[playlist\]|ffconcat|v=0\s+o=|(<\?xml[^>]*>\s*)?<(MPD|asx|playlist|smil)\b"
_TIMED_TEXTS = rb"WEBVTT|\[Script Info\]|\{\d+\}\{\d+\}|\d+\r?\n\d+:\d\d:\d\d[,.]\d+ --> "
_ARCHIVES = rb"PK\x03\x04|Rar!|7z\xbc\xaf|\x1f\x8b|\xfd7zXZ|BZh"
_BY_FIRST_BYTES = {
    rb"%PDF-": f"it is a PDF document; {_GIVE}",
    _ARCHIVES: f"it is an archive; unpack it, then {_GIVE}",
    rb"(?i:\s*(" + _PLAYLISTS + rb"))": _PLAYLIST,
    rb"\s*(" + _TIMED_TEXTS + rb")": f"it is a file of subtitles; {_GIVE}",
    rb".{4}(ftyp|moov|mdat|free|skip|wide)": _INCOMPLETE,
}
_SOUND_FORMATS = (
    *("mp3", "flac", "wav", "w64", "aiff", "aac", "ac3", "eac3", "dts", "amr", "au", "caf", "ape"),
    *("mpc", "mpc8", "tta", "wv", "voc", "oma", "tak", "truehd", "mlp", "dsf", "xwma"),
)


def silence_ffmpeg() -> None:
    """Keeps OpenCV and FFmpeg from writing to stderr, unless the user asked them to.

    A damaged file makes them print hundreds of lines; what was lost is counted and named by the
    sources instead. FFmpeg's level is read when the first video is opened.
    """
    import cv2

    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
    if "OPENCV_LOG_LEVEL" not in os.environ:
        # The first is what OpenCV had up to 4.12.
        set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
        set_level(0)  # silent


@contextmanager
def ffmpeg_options(options: str) -> Iterator[None]:
    """The options that OpenCV gives FFmpeg for what is opened meanwhile, and for nothing later."""
    before = os.environ.get(OPTIONS)
    os.environ[OPTIONS] = options
    try:
        yield
    finally:
        if before is None:
            del os.environ[OPTIONS]
        else:
            os.environ[OPTIONS] = before


def only_video() -> str:
    """Options for opening a file: the user's own (`OPTIONS`), and `VIDEO_FORMATS`."""
    return "|".join(filter(None, (os.environ.get(OPTIONS), _ONLY_VIDEO)))


def why_not_a_video(path: str) -> str:
    """What a file is that FFmpeg does not open as one of `VIDEO_FORMATS`, and what to give."""
    try:
        with Path(path).open("rb") as file:
            start = file.read(4096)
    except OSError as error:
        return f"it cannot be read ({error.strerror}); correct its permissions"
    if has_only_sound(path):
        return _NO_VIDEO
    for pattern, sentence in _BY_FIRST_BYTES.items():
        if re.match(pattern, start.removeprefix(b"\xef\xbb\xbf"), re.DOTALL):
            return sentence
    if _is_text(start):
        return f"it is a text file; {_GIVE}"
    return (
        "it is in none of the video formats that are read here; check that it plays, or convert "
        "it: ffmpeg -i IN -c:v libx264 OUT.mp4"
    )


def has_only_sound(path: str) -> bool:
    """Whether the file has sound and no picture, or only a cover picture; False for a playlist."""
    import av
    from av.stream import Disposition

    formats = {"format_whitelist": ",".join((*VIDEO_FORMATS, *_SOUND_FORMATS))}
    with suppress(OSError, ValueError), av.open(path, options=formats) as file:
        pictures = [s for s in file.streams.video if not s.disposition & Disposition.attached_pic]
        return bool(file.streams.audio) and not pictures
    return False


def _is_text(start: bytes) -> bool:
    """Whether a file begins as UTF-8 text does: no control characters; it may be cut off."""
    text = start.decode("utf-8", errors="ignore")
    return len(start) - len(text.encode()) < 4 and not re.search(r"[\x00-\x08\x0e-\x1a]", text)
