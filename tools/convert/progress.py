"""Progress of a conversion: the step, and the percentage that the toolkit's log shows."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

# "I Quantizating :  75%|#####   | 196/262 [...": the toolkit's own bars, in its log.
_BAR = re.compile(rb"I (\w+) : +(\d+)%")
_TAIL = 4096
_SECONDS = 0.3


def say(console: Console, text: str, style: str = "") -> None:
    """One line of text as it is: no markup in it, no wrapping."""
    console.print(Text(text, style), soft_wrap=True)


class Progress:
    """On a terminal one living line, elsewhere a line for each step."""

    def __init__(self, console: Console, log: Path) -> None:
        self._console = console
        self._log = log

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """While something is done."""
        if not self._console.is_terminal:
            say(self._console, f"{text} ...")
            yield
            return
        done = threading.Event()
        with self._console.status(Text(text)) as status:

            def watch() -> None:
                while not done.wait(_SECONDS):
                    status.update(Text(text + self._toolkit()))

            watcher = threading.Thread(target=watch, daemon=True)
            watcher.start()
            try:
                yield
            finally:
                done.set()
                watcher.join()

    def _toolkit(self) -> str:
        try:
            with self._log.open("rb") as file:
                file.seek(max(0, self._log.stat().st_size - _TAIL))
                bars = _BAR.findall(file.read())
        except OSError:
            return ""
        return f" ({bars[-1][0].decode().lower()} {bars[-1][1].decode()} %)" if bars else ""
