"""What `launch` shows while it runs: a live table on a terminal, a line every 5 s elsewhere.

Also prints what the actors log. All of it goes to stderr.
"""

from __future__ import annotations

import os
from contextlib import suppress

from rich.console import Console
from rich.live import Live
from rich.text import Text

from actors.launcher.status_report import RunStatus
from actors.launcher.tables import cut, heading, progress, stream_lines, summary_lines
from actors.system.events import Event
from actors.system.linux import now_ns
from actors.system.text import printable

_LINE_NS = 5_000_000_000


class Display:
    """One run's: `show` about once a second, `log` when the pipe is readable."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._live: Live | None = None
        self._next_line_ns = now_ns() + _LINE_NS
        self._half_line = b""
        if self._console.is_terminal:
            # What it shows last stays on the screen.
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()

    def due(self, now: int) -> bool:
        """Whether it is time to `show` again (CLOCK_MONOTONIC, nanoseconds)."""
        return self._live is not None or now >= self._next_line_ns

    def show(self, status: RunStatus) -> None:
        """Show where the run is."""
        if self._live is not None:
            self._live.update(self._table(status), refresh=True)
        else:
            self._next_line_ns = now_ns() + _LINE_NS
            self.line(progress(status))

    def log(self, fd: int) -> None:
        """Print what actors have written to the pipe since the last time."""
        data = b""
        with suppress(BlockingIOError):
            while chunk := os.read(fd, 65536):
                data += chunk
        *lines, self._half_line = (self._half_line + data).split(b"\n")
        for line in lines:
            self.line(line.decode(errors="replace"))

    def event(self, event: Event) -> None:
        """Print what the supervisor noticed; what actors report is in their own logs already."""
        if event.kind in ("ended", "hung", "failed", "stop") and event.level != "info":
            self.line(f"{event.actor}: {event.level}: {event.text}")
        elif event.kind == "running" and event.text != "running":
            self.line(f"{event.actor}: {event.text}")

    def line(self, text: str) -> None:
        """Print one line above whatever is live."""
        text = printable(text.replace("\t", "    "))
        if self._live is None:
            # Not through rich, which would wrap lines at a width that a log file does not have.
            # What cannot be printed (a log on a full disk, a closed pipe) delays nothing.
            with suppress(OSError):
                os.write(2, f"{text}\n".encode(errors="backslashreplace"))
            return
        name, colon, rest = text.partition(": ")
        style = "red" if rest.startswith("error") else "yellow" if rest.startswith("warn") else ""
        self._console.print(
            Text.assemble((name + colon, "bold"), (rest, style)), soft_wrap=True, highlight=False
        )

    def close(self, status: RunStatus) -> None:
        """Show the run's last state and end the live table; what follows is printed plainly."""
        if self._half_line:
            self.line(self._half_line.decode(errors="replace"))
        if self._live is not None:
            self._live.update(self._table(status, ended=True), refresh=True)
            self._live.stop()
            self._live = None

    def _table(self, status: RunStatus, *, ended: bool = False) -> Text:
        """Plain text, no line as long as the terminal is wide: rich would wrap it and miscount."""
        width = max(20, self._console.width - 1)
        titles, *rows = stream_lines(status["streams"], width)
        lines = [heading(status, ended=ended), titles, *rows, *summary_lines(status, width)]
        text = Text("\n".join(cut(line, width) for line in lines), no_wrap=True)
        text.highlight_words([titles], "bold")
        return text
