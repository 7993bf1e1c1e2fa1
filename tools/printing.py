"""Text for a terminal: names from files, models and records are shown as they are written."""

from __future__ import annotations

import sys
import time

from rich.console import Console

from actors.system.text import plural

_EVERY_S = 5.0


def console(*, stderr: bool = False) -> Console:
    """A console that takes no part of a text for markup, an emoji or a number to be coloured."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


class ProgressLines:
    """Progress where there is no terminal: a line on stderr at the start, and every 5 s."""

    def __init__(self, name: str, frames: int) -> None:
        self._name, self._frames = name, frames
        self._done = 0
        self._begin = self._printed = time.monotonic()
        print(f"{name}: {plural(frames, 'frame')} ...", file=sys.stderr, flush=True)

    def tick(self) -> None:
        """One frame more is done."""
        self._done += 1
        now = time.monotonic()
        if now - self._printed >= _EVERY_S:
            self._printed = now
            rate = self._done / (now - self._begin)
            done = f"{self._done} of {plural(self._frames, 'frame')}"
            line = f"{self._name}: {done}, {rate:.1f} frames/s"
            print(line, file=sys.stderr, flush=True)
