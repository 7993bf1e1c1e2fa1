"""Fixtures that every test may use."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from actors.sources.ffmpeg import silence_ffmpeg
from tests.support.publishing import Publisher
from tools import scene

# A busy machine is no fault of a test's: no deadline for an example. In CI hypothesis has its own
# profile, on the board so have we.
if settings.get_current_profile_name() == "default":
    settings.register_profile("patient", deadline=None)
    settings.load_profile("patient")

# FFmpeg's level is read when a process opens its first video, whichever test does that.
silence_ffmpeg()

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real models, footage and images beside the checkout; skips where absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data not found: {folder} (models, street video, COCO images)")
    return folder


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A private folder with a short path: a socket's path holds 107 bytes, pytest's is longer."""
    folder = Path(tempfile.mkdtemp(prefix="tt-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def runtime_dir(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that XDG_RUNTIME_DIR names, so that run directories lie in it."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_tmp))
    return short_tmp


@pytest.fixture(scope="session")
def scene_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty frames of the synthetic scene, 1920x1080, 30 frames/s."""
    path = tmp_path_factory.mktemp("scene") / "scene.mp4"
    scene.write_video(path, 40)
    return path


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    """A PUB socket on a port of its own."""
    made = Publisher()
    yield made
    made.close()
