"""Captures what the vendor's library logs, and finds the error and its remedy in it.

Its Python half logs through `logging`, its C half writes to stdout and stderr. While a context is
made, both are captured (`VendorLog` as a context manager); while it runs, the Python half of its
thread only: the C half's lines then go to the actor's stderr as they come.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from collections import deque
from pathlib import Path
from types import TracebackType

from actors.runtimes.contract import ComputeError

_LOGGER = "acuityLogger"
_DEVICE = "/dev/dri/renderD129"
_MOST_LINES = 64
_MOST_BYTES = 1 << 20

# "E RKNN: [03:46:13.841] failed to submit!, op id: 1", "W rknn-toolkit-lite2 version: 2.5.0"
_LINE = re.compile(r"(?P<level>[DIWE]) (?P<c>RKNN: )?(?:\[[^]]*\] )?(?P<text>\S.*)")
# What a failure of the package looks like around its reason.
_FRAME = re.compile(r"Catch exception|Traceback|\s+\S|\s*$")
_VERSIONS = (
    ("librknnrt", re.compile(r"librknnrt version: (\S+)")),
    ("driver", re.compile(r"Driver Information, version: (\S+)")),
)

_OPENING = "failed to open rknpu|open rknpu module"
_REMEDIES = (
    (
        _OPENING,
        "the kernel's NPU driver does not answer: load or update it, and in a container map "
        f"{_DEVICE} into it",
    ),
    (
        r"Invalid RKNN (?:model version|format)",
        "librknnrt.so is older than the toolkit that made the model: install the librknnrt.so of "
        "that toolkit's version in /usr/lib, or convert the model with an older toolkit",
    ),
    (
        r"dynamic library|put it into /usr/lib|librknnrt\.so",
        "put librknnrt.so (in the vendor's rknn-toolkit2 repository under rknpu2/runtime) in "
        "/usr/lib",
    ),
    (
        r"specify the target",
        "the board is not recognised: in a container, map /proc/device-tree/compatible into it",
    ),
    (r"platform|PLATFORM_UNMATCH|DEVICE_UNMATCH", "convert the model for this chip"),
    (r"batch size", "convert the model without rknn_batch_size, tiles run one by one"),
    (
        r"failed to submit|TIMEOUT|rknn_run",
        "update the board's firmware or NPU driver; if the core stays stuck, power it off and on",
    ),
    (r"MALLOC|out of memory|allocat", "the board is out of memory: use fewer contexts or models"),
    (r"truncated|MODEL_INVALID", "copy or convert the model again"),
    (r"core.mask|core mode", "use another core for this worker, or update librknnrt.so"),
)
_UNKNOWN = "TRITILE_LOG=debug in the environment shows all that the vendor's library logs"


class VendorLog(logging.Handler):
    """The vendor's lines about one context, of the thread that made this object.

    `versions` are those of the library and the driver, as far as it has named them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()
        self._lines: deque[str] = deque(maxlen=_MOST_LINES)
        self.versions: list[str] = []

    def attach(self) -> None:
        """Take the package's log in place of the terminal. To be called after each RKNNLite(),
        which sets its log up again."""
        logger = logging.getLogger(_LOGGER)
        logger.handlers[:] = [h for h in logger.handlers if isinstance(h, VendorLog)]
        logger.addHandler(self)

    def detach(self) -> None:
        """Take no more of the package's log."""
        logging.getLogger(_LOGGER).removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """A record of the package's log, called by `logging`."""
        if record.thread == self._thread:
            text = record.getMessage()
            self._sort(f"{record.levelname[0]} {text}" if text.strip() else "")

    def clear(self) -> None:
        """Drop the lines so far: they belong to a call that succeeded."""
        self._lines.clear()

    # ------------------------------------------------------------ stdout and stderr

    def __enter__(self) -> VendorLog:
        sys.stdout.flush()
        self._memory = os.memfd_create("tritile-vendor-log", os.MFD_CLOEXEC)
        self._saved = (os.dup(1), os.dup(2))
        for fd in (1, 2):
            os.dup2(self._memory, fd)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        sys.stdout.flush()
        for fd, saved in zip((1, 2), self._saved, strict=True):
            os.dup2(saved, fd)
            os.close(saved)
        written = os.pread(self._memory, _MOST_BYTES, 0).decode(errors="replace")
        os.close(self._memory)
        self._sort(written)

    def _sort(self, text: str) -> None:
        """Keep errors and versions, pass the rest on to the actor's log at level debug."""
        traceback = False
        for line in text.splitlines():
            match = _LINE.match(line)
            content = match["text"] if match else line
            if match:
                # Lines without a level that follow an error of the Python half belong to it.
                traceback = match["level"] == "E" and not match["c"]
            if (traceback or (match and match["level"] == "E")) and not _FRAME.match(content):
                content = content.removeprefix("Exception: ").removeprefix("E ")
                # A line of the C half is nearer to the cause than the code made of it.
                if match and match["c"]:
                    self._lines.appendleft(content)
                else:
                    self._lines.append(content)
            elif not match and not traceback and line.strip():
                # Written by other code in the meantime.
                sys.stderr.write(f"{line}\n")
            else:
                logging.getLogger().debug("%s", line)
            for name, pattern in _VERSIONS:
                if found := pattern.search(content):
                    self.versions.append(f"{name} {found[1]}")

    def failure(self, what: str, error: Exception | None = None) -> ComputeError:
        """The error of a call that failed with None, -1 or an exception: `what` failed, the first
        line logged since the last `clear`, and the remedy."""
        lines = list(self._lines)
        if error is not None:
            lines.append(f"{type(error).__name__}: {error}".splitlines()[0])
        self.clear()
        failed = f"{what}: {lines[0].rstrip(' .!')}" if lines else what
        return ComputeError(f"{failed}; {_remedy(' '.join([what, *lines]))}")


def _remedy(text: str) -> str:
    if (
        re.search(_OPENING, text)
        and Path(_DEVICE).exists()
        and not os.access(_DEVICE, os.R_OK | os.W_OK)
    ):
        return f"this user may not use {_DEVICE}: add them to the groups render and video"
    for pattern, remedy in _REMEDIES:
        if re.search(pattern, text):
            return remedy
    return _UNKNOWN
