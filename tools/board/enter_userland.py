"""Run a command in the board's folder: a mount namespace, the mounts, chroot, exec.

The calling process itself becomes the command, so its signals and exit code are the command's, and
the mounts are gone with the last process that sees them. A process that the command leaves behind
lives on as it would anywhere.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from .userland import CHIPS, ROOT, STAMP, BoardError, emulated, require_root

_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_QEMU = "/usr/bin/qemu-aarch64-static"
# An ELF file of 64 bits, little end first, of machine 183; its type 2 or 3.
_MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"

_CLONE_NEWNS = 0x00020000
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)

_CPUS = Path("/sys/devices/system/cpu")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OF_THE_HOST = ("PYTHONHOME", "VIRTUAL_ENV", "LD_PRELOAD", "LD_LIBRARY_PATH")


def enter(folder: Path, command: Sequence[str], chip: str = "rk3588") -> NoReturn:
    """Become `command` inside the board; BoardError when that cannot be."""
    require_root()
    folder = folder.resolve()
    if not (folder / STAMP).exists():
        raise BoardError(f"{folder} holds no board: python -m tools.board build {folder}")
    if emulated():
        _register_emulator()
    here = Path.cwd()
    _write_cpus(folder)
    try:
        _call("unshare", _CLONE_NEWNS)
        _mount("none", "/", "", _MS_REC | _MS_PRIVATE)
        _mount("proc", str(folder / "proc"), "proc", 0)
        _mount("tmpfs", str(folder / "dev/shm"), "tmpfs", 0)
        # And where `shared` really lies, if it is a link: in here the link is looked up anew.
        data = ROOT.parent / "shared"
        for shared in dict.fromkeys((Path("/tmp"), ROOT, data, data.resolve())):
            _bind(shared, folder)
        # qemu does not implement this call; the kernel keeps the setting across the exec.
        _call("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        os.chroot(folder)
        os.chdir(here if here.is_dir() else "/")
    except OSError as error:
        raise BoardError(f"cannot enter {folder}: {error}") from None
    try:
        os.execvpe(command[0], list(command), environment(os.environ, chip))
    except OSError as error:
        raise BoardError(f"cannot run {command[0]} in {folder}: {error.strerror}") from None


def environment(ours: Mapping[str, str], chip: str) -> dict[str, str]:
    """The environment inside: ours, without what belongs to this machine's programs."""
    if chip not in CHIPS:
        raise BoardError(f"no chip {chip!r}: there are {', '.join(CHIPS)}")
    inside = {name: value for name, value in ours.items() if name not in _OF_THE_HOST}
    # The checkout's byte code is this machine's; the board's own is kept beside its packages.
    own = {"PATH": _PATH, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": "/var/cache/python"}
    return {**inside, **own, "HOME": "/root", "LANG": "C.UTF-8", "BOARD_CHIP": chip}


def _write_cpus(folder: Path) -> None:
    """How many CPUs there are; nothing else of this machine's devices is the board's."""
    for name in ("possible", "present", "online"):
        path = folder / _CPUS.relative_to("/") / name
        text = (_CPUS / name).read_text()
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def _bind(source: Path, folder: Path) -> None:
    if not source.is_dir():
        return
    place = folder / source.relative_to("/")
    # Below /tmp it is there already.
    if not place.is_dir():
        place.mkdir(parents=True)
    _mount(str(source), str(place), "", _MS_BIND | _MS_REC)


def _register_emulator() -> None:
    """Have the kernel run arm64 programs with qemu; it opens qemu once, here, for all roots."""
    if not (_BINFMT / "register").exists():
        try:
            _mount("binfmt_misc", str(_BINFMT), "binfmt_misc", 0)
        except OSError as error:
            raise BoardError(
                f"cannot mount binfmt_misc ({error.strerror}): the kernel or the container does "
                "not allow it; run this on the machine itself"
            ) from None
    if (_BINFMT / "qemu-aarch64").exists():
        return
    if not Path(_QEMU).exists():
        raise BoardError("qemu-user-static is not installed: python -m tools.board setup")
    try:
        (_BINFMT / "register").write_text(f":qemu-aarch64:M::{_MAGIC}:{_MASK}:{_QEMU}:F")
    except OSError as error:
        raise BoardError(f"cannot register qemu ({error.strerror}): run this as root") from None


def _mount(source: str, target: str, kind: str, flags: int) -> None:
    _call("mount", source.encode(), target.encode(), kind.encode(), flags, None)


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
