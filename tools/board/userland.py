"""Build the folder: an arm64 Debian, unpacked but never booted, with Python and the wheels.

Nothing foreign runs while it is built: debootstrap resolves, fetches and checks the packages, which
are then only unpacked (their set-up scripts would take minutes under emulation and matter to no
program here), and pip fetches the aarch64 wheels that the project's own metadata ask for.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
DEVICE = Path(__file__).parent / "device"
STAMP = Path("board/stamp")

_SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
_PYTHON = "3.11"
# What OpenCV's wheel needs beside Python is on the boards' usual images, and not in this one.
_INCLUDED = ("python3", "python3-pip", "libgl1", "libglib2.0-0", "libxcb1")
# Mesa and LLVM come with libgl1 and are half of the folder; nothing here draws.
_LEFT_OUT = ("libllvm", "libgl1-mesa-dri", "libicu", "libz3", "perl-base", "apt_", "e2fsprogs")
_EXTRA = "test"
_NOT_NEEDED = ("ruff", "mypy")
_GLIBC = ("manylinux2014", "manylinux_2_17", "manylinux_2_24", "manylinux_2_26", "manylinux_2_27",
          "manylinux_2_28", "manylinux_2_31", "manylinux_2_34", "manylinux_2_35")  # fmt: skip

CHIPS = {"rk3588": "radxa,rock-5b", "rk3576": "radxa,rock-4d", "rk3566": "radxa,zero3"}

PACKAGES = {
    "debootstrap": "debootstrap",
    "qemu-aarch64-static": "qemu-user-static",
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
    "dpkg-deb": "dpkg",
    "gpgv": "gpgv",
}
"""Debian packages by a program of theirs that is needed to build."""
_MORE_PACKAGES = ("libc6-dev-arm64-cross", "debian-archive-keyring")


class BoardError(Exception):
    """The folder cannot be built or entered; one sentence with the remedy."""


def missing() -> list[str]:
    """Debian packages that have to be installed before building."""
    return [package for program, package in PACKAGES.items() if shutil.which(program) is None]


def require_root() -> None:
    if os.geteuid() != 0:
        raise BoardError("a board's folder needs root (chroot and mounts); use sudo")


def setup() -> None:
    """Install the Debian packages that building and running need."""
    require_root()
    wanted = [*PACKAGES.values(), *_MORE_PACKAGES]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    lock = ("-o", "DPkg::Lock::Timeout=300")
    _run(["apt-get", *lock, "update"], environment)
    _run(["apt-get", *lock, "install", "-y", "--no-install-recommends", *wanted], environment)


def build(folder: Path, mirror: str = MIRROR) -> bool:
    """Make or bring up to date a board in `folder`; whether anything but the device was built."""
    require_root()
    if lacking := missing():
        raise BoardError(
            f"{', '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} not installed: "
            "python -m tools.board setup"
        )
    folder = folder.absolute()
    if folder.exists() and any(folder.iterdir()) and not (folder / STAMP.parent).is_dir():
        raise BoardError(f"{folder} is not empty and no board: give another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        requirements = wheels()
        stamp = _stamp(requirements)
        fresh = not (folder / STAMP).exists() or (folder / STAMP).read_text() != stamp
        if fresh:
            part = folder.with_name(f"{folder.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            _unpack_debian(part, mirror)
            _install_wheels(part, requirements)
            _configure(part)
            shutil.rmtree(folder, ignore_errors=True)
            part.rename(folder)
        compile_device(folder)
        (folder / STAMP).write_text(stamp)
    return fresh


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _stamp(requirements: Sequence[str]) -> str:
    text = "\n".join([_SUITE, *_INCLUDED, *_LEFT_OUT, *requirements, Path(__file__).read_text()])
    return hashlib.sha256(text.encode()).hexdigest()


def wheels() -> list[str]:
    """What the project's metadata ask for on an aarch64 board with this Python."""
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [*project["dependencies"], *project["optional-dependencies"][_EXTRA]]
    board = {
        "platform_machine": "aarch64",
        "sys_platform": "linux",
        "python_version": _PYTHON,
        "python_full_version": f"{_PYTHON}.2",
    }
    needed = [Requirement(text) for text in listed]
    return [
        f"{r.name}{r.specifier}"
        for r in needed
        if r.name not in _NOT_NEEDED and (r.marker is None or r.marker.evaluate(board))
    ]


# ---------------------------------------------------------------- steps


def _unpack_debian(folder: Path, mirror: str) -> None:
    include = f"--include={','.join(_INCLUDED)}"
    options = ["--arch=arm64", "--variant=minbase", "--foreign", include]
    _run(["debootstrap", *options, _SUITE, str(folder), mirror])
    archives = folder / "var/cache/apt/archives"
    for package in sorted(archives.glob("*.deb")):
        if not package.name.startswith(_LEFT_OUT):
            unpack = ["tar", "-x", "--keep-directory-symlink", "-C", str(folder)]
            with subprocess.Popen(
                ["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE
            ) as contents:
                subprocess.run(unpack, stdin=contents.stdout, check=True)
    shutil.rmtree(archives)
    shutil.rmtree(folder / "debootstrap")


def _install_wheels(folder: Path, requirements: Sequence[str]) -> None:
    target = folder / "usr/local/lib" / f"python{_PYTHON}" / "dist-packages"
    platforms = [word for glibc in _GLIBC for word in ("--platform", f"{glibc}_aarch64")]
    foreign = [*platforms, "--implementation", "cp", "--python-version", _PYTHON]
    options = ["--quiet", "--no-compile", "--only-binary=:all:", "--target", str(target)]
    _run([sys.executable, "-m", "pip", "install", *options, *foreign, *requirements])


def _configure(folder: Path) -> None:
    """What the packages' set-up scripts and a board's kernel would have put there."""
    for name in ("passwd", "group"):
        shutil.copy(folder / f"usr/share/base-passwd/{name}.master", folder / "etc" / name)
    # debootstrap leaves a link to /proc where it finds itself in a container.
    for name in ("proc", "sys/devices/system/cpu"):
        if (folder / name).is_symlink():
            (folder / name).unlink()
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "dev/dri").mkdir(parents=True, exist_ok=True)
    (folder / "dev/dri/renderD129").touch()
    (folder / "run/rknpu").mkdir(parents=True, exist_ok=True)
    for chip, board in CHIPS.items():
        tree = folder / "board" / chip
        tree.mkdir(parents=True, exist_ok=True)
        (tree / "compatible").write_bytes(f"{board}\0rockchip,{chip}\0".encode())


def compile_device(folder: Path) -> None:
    """Compile the emulated library and what is preloaded into the folder."""
    flags = ["-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"]
    sources = {
        "usr/lib/librknnrt.so": ["librknnrt.c", "npu.c", "detector.c", "model.c"],
        "board/preload.so": ["preload.c"],
    }
    for library, names in sources.items():
        new = folder / f"{library}.new"
        files = [str(DEVICE / name) for name in names]
        hidden = ["-fvisibility=hidden"] if len(names) > 1 else []
        _run(["aarch64-linux-gnu-gcc", *flags, *hidden, "-o", str(new), *files, "-lm", "-lpthread"])
        # In place of the old one by renaming: programs that run keep theirs.
        new.rename(folder / library)
    (folder / "etc/ld.so.preload").write_text("/board/preload.so\n")


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode != 0:
        words = done.stdout.decode(errors="replace").strip().splitlines()
        last = words[-1] if words else "it gave no reason"
        raise BoardError(f"{Path(command[0]).name} failed: {last}")


def emulated() -> bool:
    """Whether arm64 programs need an emulator here."""
    return platform.machine() != "aarch64"
