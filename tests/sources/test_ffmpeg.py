"""Files that are not videos are refused, each with what it is; whatever was a video stays one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition

from actors.sources.contract import SourceError
from actors.sources.ffmpeg import OPTIONS, VIDEO_FORMATS, ffmpeg_options, only_video
from actors.sources.opening import inspect
from tests.support import runs
from tests.support.footage import encode, index_first

GIVE = "give a video file, a folder or a glob of images"
TEXT = f"it is a text file; {GIVE}"
PLAYLIST = "it is a playlist; give the video files that it names, each as a stream"
SUBTITLES = f"it is a file of subtitles; {GIVE}"
ARCHIVE = f"it is an archive; unpack it, then {GIVE}"
NO_VIDEO = "there is no video track in it, only sound; give a file with a picture"
INCOMPLETE = "it is incomplete: an .mp4 or .mov that was cut off has no index; copy it again"
UNKNOWN = (
    "it is in none of the video formats that are read here; check that it plays, or convert it: "
    "ffmpeg -i IN -c:v libx264 OUT.mp4"
)


def text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content, encoding="utf-8")


def data(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def write_wave(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16000))


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("names.txt", "person")


def sound(codec: str, cover: bool = False) -> Callable[[Path], object]:
    """A second of silence, with or without a cover picture."""

    def write(path: Path) -> None:
        with av.open(str(path), "w", format="mp4" if path.suffix == ".m4a" else None) as file:
            stream = file.add_stream(codec, rate=44100)
            if cover:
                picture = file.add_stream("png", rate=1)
                picture.width = picture.height = 64
                picture.pix_fmt = "rgb24"
                picture.disposition = Disposition.attached_pic
                image = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
                image.pts = 0
                file.mux(picture.encode(image))
            kind = "s16" if codec == "flac" else "fltp"
            samples = np.zeros((1, 1024), np.int16 if codec == "flac" else np.float32)
            for _ in range(44):
                frame = av.AudioFrame.from_ndarray(samples, format=kind, layout="mono")
                frame.sample_rate = 44100
                file.mux(stream.encode(frame))
            file.mux(stream.encode(None))

    return write


def cut_off(path: Path) -> None:
    whole = encode(path, 30).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


NAMES = "".join(f"class {number}\n" for number in range(80))
REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "coco_classes.txt": (text(NAMES), TEXT),
    "names.mp4": (text(NAMES), TEXT),
    "art.ans": (text("\x1b[31mred\x1b[0m\n"), TEXT),
    "art.nfo": (text("Straße, 東京\n" * 700), TEXT),
    "page.html": (text("<!DOCTYPE html><html></html>"), TEXT),
    "topology.toml": (text("[run]\nname = 'x'\n"), TEXT),
    "paper.pdf": (data(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n"), f"it is a PDF document; {GIVE}"),
    "live.m3u8": (text("#EXTM3U\n#EXTINF:10,\nvideo.mp4\n#EXT-X-ENDLIST\n"), PLAYLIST),
    "bom.m3u": (text("\ufeff#EXTM3U\nvideo.mp4\n"), PLAYLIST),
    "list.pls": (text("[playlist]\nFile1=video.mp4\n"), PLAYLIST),
    "list.ffconcat": (text("ffconcat version 1.0\nfile video.mp4\n"), PLAYLIST),
    "dash.mpd": (text('<?xml version="1.0"?>\n<MPD type="static"></MPD>'), PLAYLIST),
    "list.asx": (text('<ASX version="3.0"></ASX>'), PLAYLIST),
    "stream.sdp": (text("v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n"), PLAYLIST),
    "clip.srt": (text("1\n00:00:01,000 --> 00:00:02,000\nhello\n"), SUBTITLES),
    "clip.ass": (text("[Script Info]\nScriptType: v4.00+\n"), SUBTITLES),
    "clip.vtt": (text("WEBVTT\n\n00:01.000 --> 00:04.000\nhello\n"), SUBTITLES),
    "clip.sub": (text("{10}{20}hello\n{30}{40}there\n"), SUBTITLES),
    "clip.zip": (write_zip, ARCHIVE),
    "clip.mp4.gz": (data(b"\x1f\x8b\x08" + bytes(50)), ARCHIVE),
    "song.wav": (write_wave, NO_VIDEO),
    "song.m4a": (sound("aac"), NO_VIDEO),
    "song.mp4": (sound("aac"), NO_VIDEO),
    "song.mkv": (sound("aac"), NO_VIDEO),
    "song.flac": (sound("flac"), NO_VIDEO),
    "song.mp3": (sound("libmp3lame"), NO_VIDEO),
    "cover.m4a": (sound("aac", cover=True), NO_VIDEO),
    "cover.mp3": (sound("libmp3lame", cover=True), NO_VIDEO),
    "cut.mp4": (cut_off, INCOMPLETE),
    "noise.mp4": (data(np.random.default_rng(0).bytes(50_000)), UNKNOWN),
    "zeros.avi": (data(bytes(50_000)), UNKNOWN),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that a playlist names are there, so only the playlist is what is refused."""
    monkeypatch.chdir(tmp_path)
    encode(tmp_path / "video.mp4", 3)
    write, sentence = REFUSED[name]
    write(tmp_path / name)
    with pytest.raises(SourceError) as caught:
        inspect(str(tmp_path / name))
    assert str(caught.value) == f"{tmp_path / name}: {sentence}"


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.avi", "a.ts", "a.3gp"])
def test_usual_containers(name: str, tmp_path: Path) -> None:
    assert inspect(str(encode(tmp_path / name, 30))).sizes == ((96, 64),)


def test_a_video_under_any_name(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", 30)
    (tmp_path / "names.txt").write_bytes(path.read_bytes())
    (tmp_path / "no-suffix").write_bytes(index_first(path.read_bytes()))
    assert inspect(str(tmp_path / "names.txt")).frames == 30
    assert inspect(str(tmp_path / "no-suffix")).frames == 30


@pytest.mark.parametrize("name", ["a.ppm", "a.jp2", "a.gif", "jpeg.dat", "png.heic"])
def test_an_image_of_another_suffix_is_a_video_of_one_frame(name: str, tmp_path: Path) -> None:
    kind = f".{Path(name).stem}" if len(Path(name).stem) > 1 else Path(name).suffix
    image = cv2.imencode(kind, np.zeros((64, 64, 3), np.uint8))[1]
    (tmp_path / name).write_bytes(image.tobytes())
    assert inspect(str(tmp_path / name)).sizes == ((64, 64),)


def test_every_format_is_known_to_ffmpeg() -> None:
    assert set(VIDEO_FORMATS) <= set(",".join(av.formats_available).split(","))
    assert not {"tty", "hls", "concat", "srt", "mp3", "bin", "sdp"} & set(VIDEO_FORMATS)


def test_options_hold_for_one_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(OPTIONS, raising=False)
    with ffmpeg_options("fflags;nobuffer"):
        assert os.environ[OPTIONS] == "fflags;nobuffer"
    assert OPTIONS not in os.environ
    monkeypatch.setenv(OPTIONS, "threads;1")
    with ffmpeg_options(only_video()):
        assert os.environ[OPTIONS].startswith("threads;1|format_whitelist;mov,")
    assert os.environ[OPTIONS] == "threads;1"


def test_a_users_own_options_do_not_let_text_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OPTIONS, "threads;1")
    (tmp_path / "names.txt").write_text(NAMES)
    with pytest.raises(SourceError, match="it is a text file"):
        inspect(str(tmp_path / "names.txt"))


@pytest.mark.parametrize("name", ["coco_classes.txt", "song.m4a"])
def test_the_check_refuses_it(name: str, tmp_path: Path) -> None:
    write, sentence = REFUSED[name]
    write(tmp_path / name)
    topology = tmp_path / "t.toml"
    tables = runs.stream(tmp_path / name) + runs.instant() + runs.stage("s", "frame")
    topology.write_text(tables + runs.workers(1))
    command = [sys.executable, "-m", "actors.launch", str(topology), "--check"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2, json.dumps(ran.stderr)
    assert ran.stderr == f"t.toml: streams.cam0.source: {tmp_path / name}: {sentence}\n"
