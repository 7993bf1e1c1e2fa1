"""A run's status as lines of text, for `launch` and `actorctl`, fitted to the terminal's width.

A width of None is a pipe or a file: every column, nothing wrapped or cut. On a narrow terminal the
columns that matter least are left out, and remarks get lines of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

from rich.cells import cell_len, set_cell_size

from actors.launcher.status_report import ActorStatus, RunStatus, StreamStatus
from actors.runtimes.npu_status import Npu
from actors.system.text import printable

_GAP = "  "
# From here on remarks stand beside their row.
_WIDE = 120
_LONGEST_NAME = 20


@dataclass(frozen=True)
class Column:
    """One column. `rank` 0 always stays; of the others the highest is left out first."""

    title: str
    rank: int = 0
    left: bool = False


@dataclass(frozen=True)
class Row:
    """One cell a column, and what else is to be said about the row."""

    cells: Sequence[str]
    remark: str = ""


def table(columns: Sequence[Column], rows: Sequence[Row], width: int | None) -> list[str]:
    """The lines of a table, the titles first; none is longer than `width` cells.

    The first column holds names, which are cut where they are long.
    """
    if width is not None:
        rows = [Row([cut(row.cells[0], _LONGEST_NAME), *row.cells[1:]], row.remark) for row in rows]
    shown = list(range(len(columns)))
    sizes = [
        max(cell_len(column.title), *(cell_len(row.cells[i]) for row in rows), 0)
        for i, column in enumerate(columns)
    ]
    while width is not None and sum(sizes[i] for i in shown) + len(_GAP) * len(shown) > width:
        worst = max(shown, key=lambda i: columns[i].rank)
        if not columns[worst].rank:
            break
        shown.remove(worst)
    lines = [_line([columns[i].title for i in shown], [sizes[i] for i in shown], columns, shown)]
    for row in rows:
        line = _line([row.cells[i] for i in shown], [sizes[i] for i in shown], columns, shown)
        if row.remark and (width is None or width >= _WIDE):
            lines.append(f"{line}{_GAP}{row.remark}")
        else:
            lines.append(line)
            if row.remark:
                lines += _wrapped(_GAP + row.remark, width or 80)
    return lines if width is None else [cut(line, width) for line in lines]


def _line(
    cells: Sequence[str], sizes: Sequence[int], columns: Sequence[Column], shown: Sequence[int]
) -> str:
    padded = []
    for cell, size, index in zip(cells, sizes, shown, strict=True):
        space = " " * (size - cell_len(cell))
        padded.append(cell + space if columns[index].left else space + cell)
    return _GAP.join(padded).rstrip()


def _wrapped(text: str, width: int) -> list[str]:
    # Letters of two cells, which textwrap takes for one, may be cut.
    return [cut(line, width) for line in wrap(text, width, subsequent_indent=_GAP)]


def cut(text: str, width: int) -> str:
    """The text in at most `width` cells, with an ellipsis where something is missing."""
    return text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + "…"


# ---------------------------------------------------------------- streams


def stream_lines(streams: Sequence[StreamStatus], width: int | None) -> list[str]:
    """The streams: frames published of how many, rates, and what was lost."""
    columns = [
        Column("STREAM", left=True),
        Column("frames"),
        Column("left", rank=1),
        Column("fps"),
        Column("in flight", rank=3),
        Column("lost"),
        Column("p50/p99 ms", rank=2),
    ]
    rows = [
        Row(
            (
                printable(stream["name"]),
                frames(stream),
                duration(stream["remaining_s"]),
                f"{stream['fps']:.1f}",
                str(stream["in_flight"]),
                str(sum(losses(stream).values())),
                f"{stream['latency_ms']['p50']:.0f}/{stream['latency_ms']['p99']:.0f}",
            ),
            "; ".join(remarks(stream)),
        )
        for stream in streams
    ]
    return table(columns, rows, width)


def frames(stream: StreamStatus) -> str:
    """Published frames of how many, as in "120/302"."""
    total = stream["frames"]
    return str(stream["published"]) if total is None else f"{stream['published']}/{total}"


def duration(seconds: float | None) -> str:
    """As in "0:05", "2:10:00"; "-" where it is not known."""
    if seconds is None:
        return "-"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def losses(stream: StreamStatus) -> dict[str, int]:
    """How many frames of the stream are missing or incomplete, by kind."""
    return {
        "dropped": sum(stream["dropped"].values()),
        "incomplete": stream["incomplete"],
        "unreadable": stream["unreadable"],
    }


def remarks(stream: StreamStatus) -> list[str]:
    """What is to be said about a stream beside its numbers."""
    parts = [f"{count} {kind}" for kind, count in losses(stream).items() if count]
    if stream["connected"] is False and stream["captured"] and stream["frames"] is None:
        parts.append("no connection to the source")
    if stream["rendered"] is not None:
        parts.append(f"{stream['rendered']} rendered")
    if stream["sees"]:
        parts.append(f"sees {printable(stream['sees'])}")
    return parts


# ---------------------------------------------------------------- actors and cores


def actor_lines(actors: Sequence[ActorStatus], width: int | None) -> list[str]:
    """The processes: their state, what they use and what they did."""
    columns = [
        Column("ACTOR", left=True),
        Column("role", rank=4, left=True),
        Column("state", left=True),
        Column("pid", rank=3),
        Column("restarts"),
        Column("MB", rank=1),
        Column("busy"),
        Column("done", rank=2),
        Column("queued", rank=5),
    ]
    rows = [
        Row(
            (
                printable(actor["name"]),
                actor["role"],
                actor["state"],
                str(actor["pid"] or "-"),
                str(actor["restarts"]),
                f"{actor['rss_mb']:.0f}",
                f"{actor['busy']:.0%}",
                str(actor["done"]),
                str(actor["queued"]),
            ),
            "" if actor["last_error"] is None else f"last error: {printable(actor['last_error'])}",
        )
        for actor in actors
    ]
    return table(columns, rows, width)


def cores_are(status: RunStatus) -> str:
    """What the cores are called wherever a number is shown."""
    kind = "simulated " if status["simulated"] else "emulated " if status["emulated"] else ""
    return f"{kind}cores"


def summary_lines(status: RunStatus, width: int | None) -> list[str]:
    """The cores' load, and what limits the rate."""
    cores = "  ".join(f"{core['core']}: {core['busy']:.0%}" for core in status["cores"])
    lines = [f"{cores_are(status)} busy: {cores}"]
    if status["npu"] is not None and (npu := str(Npu(**status["npu"]))):
        lines[0] += f"  NPU: {npu}"
    limit = status["limited_by"]
    lines.append(f"limited by {printable(limit or '(not measured yet)')}")
    return lines if width is None else [part for line in lines for part in _wrapped(line, width)]


def heading(status: RunStatus, *, ended: bool = False) -> str:
    """The run's name, its state and how long it is up, or was."""
    failed = [actor["name"] for actor in status["actors"] if actor["state"] == "failed"]
    state = f"degraded, without {printable(', '.join(failed))}" if failed else "running"
    note = ""
    if status["emulated"]:
        note = " on emulated cores (rates are not a real NPU's)"
    elif status["simulated"]:
        note = " on simulated cores (rates are not the board's)"
    up = duration(status["uptime_s"])
    state = f"ended after {up}{note}" if ended else f"{state}{note}, up {up}"
    return f"run {printable(status['run'])}: {state}"


def progress(status: RunStatus) -> str:
    """All streams and cores in one line, for a log."""
    parts = []
    for stream in status["streams"]:
        noun = "frame" if frames(stream) in ("1", "1/1") else "frames"
        text = f"{printable(stream['name'])} {frames(stream)} {noun}, {stream['fps']:.1f}/s"
        if stream["remaining_s"] is not None:
            text += f", {duration(stream['remaining_s'])} left"
        parts.append(", ".join([text, *remarks(stream)]))
    busy = " ".join(f"{core['busy']:.0%}" for core in status["cores"])
    return " | ".join([*parts, f"{cores_are(status)} {busy}"])
