"""What `launch` shows while it runs: a live table on a terminal, a line every 5 s elsewhere.

Also prints what the actors log. All of it goes to stderr.
"""

from __future__ import annotations

import os
from contextlib import suppress

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from actors.launcher.plan import Plan
from actors.launcher.status import Status
from actors.system.control_block import ControlBlock
from actors.system.events import Event
from actors.system.linux import now_ns

_LINE_NS = 5_000_000_000


class Display:
    """One run's. `refresh` about once a second, `log` when the pipe has something."""

    def __init__(self, plan: Plan, control: ControlBlock, status: Status) -> None:
        self._plan = plan
        self._control = control
        self._status = status
        self._console = Console(stderr=True)
        self._live: Live | None = None
        self._next_line_ns = now_ns() + _LINE_NS
        self._half_line = b""
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()

    def refresh(self) -> None:
        """Show where the run is."""
        if self._live is not None:
            self._live.update(self._table(), refresh=True)
        elif now_ns() >= self._next_line_ns:
            self._next_line_ns = now_ns() + _LINE_NS
            self.line(self.progress())

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
        """Print what the supervisor noticed; what actors tell is in their own logs already."""
        if event.kind in ("ended", "hung", "failed", "stop") and event.level != "info":
            self.line(f"{event.actor}: {event.level}: {event.text}")
        elif event.kind == "running" and event.text != "running":
            self.line(f"{event.actor}: {event.text}")

    def line(self, text: str) -> None:
        """Print one line above whatever is live."""
        if self._live is None:
            # Not through rich, which would wrap lines at a width that a log file does not have.
            # What cannot be told (a log on a full disk, a reader that has gone) holds nothing up.
            with suppress(OSError):
                os.write(2, f"{text}\n".encode(errors="backslashreplace"))
            return
        name, colon, rest = text.partition(": ")
        style = "red" if rest.startswith("error") else "yellow" if rest.startswith("warn") else ""
        self._console.print(
            Text.assemble((name + colon, "bold"), (rest, style)), soft_wrap=True, highlight=False
        )

    def close(self) -> None:
        """End the live table, so that what follows is printed plainly."""
        if self._half_line:
            self.line(self._half_line.decode(errors="replace"))
        if self._live is not None:
            self._live.stop()
            self._live = None

    # ------------------------------------------------------------ content

    def progress(self) -> str:
        """All streams and cores in one line."""
        parts = []
        for name in self._control.streams:
            text = f"{name} {self._frames(name)} frames, {self._status.fps(name):.1f}/s"
            lost = self._losses(name)
            parts.append(f"{text}, {lost}" if lost else text)
            if name in self._status.summaries:
                parts[-1] += f", sees {self._status.summaries[name]}"
            if self._plan.rendering:
                parts[-1] += f", {self._rendered(name)} rendered"
        cores = " ".join(f"{core['busy']:.0%}" for core in self._status.cores())
        return " | ".join([*parts, f"{self._plan.cores_are} {cores}"])

    def _frames(self, name: str) -> str:
        done = self._control.streams[name].published
        total = self.total(name)
        return f"{done}" if total is None else f"{done}/{total}"

    def total(self, name: str) -> int | None:
        """How many frames the stream will have, as far as that is known."""
        stream = self._control.streams[name]
        if stream.end_seq >= 0:
            return stream.captured
        known = [self._plan.frame_limit, self._plan.sources[name].frames]
        if self._plan.topology.streams[name].loop:
            known = known[:1]
        return min((count for count in known if count is not None), default=None)

    def _rendered(self, name: str) -> int:
        return self._control.streams[name].captured - self._control.in_flight(name)

    def _losses(self, name: str) -> str:
        record = self._control.streams[name]
        counts = {
            "dropped": record.dropped,
            "incomplete": record.incomplete,
            "unreadable": record.unreadable,
        }
        lost = [f"{count} {what}" for what, count in counts.items() if count]
        live = self._plan.sources[name].live and record.end_seq < 0
        if live and record.captured and not record.connected:
            lost.append("no connection to the source")
        return ", ".join(lost)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, title_justify="left")
        table.title = f"{self._plan.topology.run.name}" + (
            " (emulated: the cores are a stand-in)" if self._plan.emulated else ""
        )
        table.title += " (simulated: the rate is no board's)" if self._plan.simulated else ""
        for column in ("stream", "frames", "rate", "in flight", "latency p50 / p99"):
            table.add_column(column, justify="left" if column == "stream" else "right")
        table.add_column("lost")
        table.add_column("sees", overflow="ellipsis", no_wrap=True)
        for name, record in self._control.streams.items():
            frames = self._frames(name)
            if self._plan.rendering:
                frames += f" ({self._rendered(name)} rendered)"
            table.add_row(
                name,
                frames,
                f"{self._status.fps(name):.1f}/s",
                str(self._control.in_flight(name)),
                f"{record.latency_p50_us / 1000:.0f} / {record.latency_p99_us / 1000:.0f} ms",
                self._losses(name) or "nothing",
                self._status.summaries.get(name, ""),
            )
        cores = "   ".join(
            f"core {core['core']}: {core['busy']:.0%}" for core in self._status.cores()
        )
        if self._status.npu is not None and str(self._status.npu):
            cores += f"   NPU: {self._status.npu}"
        limit = self._status.limited_by()
        table.caption = cores if limit is None else f"{cores}\nlimited by {limit}"
        table.caption_justify = "left"
        return table
