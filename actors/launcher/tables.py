"""A run's status as lines of text, for `launch` and `actorctl`, fitted to the terminal's width.

A width of None is a pipe or a file: every column, nothing wrapped or cut. On a narrow terminal the
columns that matter least are left out, and remarks get lines of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Generic, TypeVar

from rich.cells import cell_len, set_cell_size

from actors.launcher.status_report import ActorStatus, RunStatus, StreamStatus
from actors.runtimes.npu_status import Npu
from actors.system.text import printable

_GAP = "  "
# From here on remarks stand beside their row.
_WIDE = 120
_LONGEST_NAME = 20

T = TypeVar("T")


@dataclass(frozen=True)
class Column(Generic[T]):
    """One column, and what it shows of a row's item.

    Of the columns whose `rank` is not 0 the highest is left out first. The first column is aligned
    left and so are those of `left`.
    """

    title: str
    cell: Callable[[T], str]
    rank: int = 0
    left: bool = False


def table(
    columns: Sequence[Column[T]], items: Sequence[T], remark: Callable[[T], str], width: int | None
) -> list[str]:
    """The lines of a table, the titles first; none is longer than `width` cells.

    The first column holds names, which are cut where they are long. A remark is what else is to be
    said about an item.
    """
    filled: list[tuple[int, int, list[str]]] = []
    for column in columns:
        cells = [column.title, *map(column.cell, items)]
        if width is not None and not filled:
            cells = [cut(cell, _LONGEST_NAME) for cell in cells]
        size = max(map(cell_len, cells))
        spaces = [" " * (size - cell_len(cell)) for cell in cells]
        left = column.left or not filled
        padded = [c + s if left else s + c for c, s in zip(cells, spaces, strict=True)]
        filled.append((column.rank, size + len(_GAP), padded))
    while width is not None and sum(size for _, size, _ in filled) > width:
        worst = max(filled, key=lambda each: each[0])
        if not worst[0]:
            break
        filled.remove(worst)
    lines = []
    rows = zip(*(padded for _, _, padded in filled), strict=True)
    for row, said in zip(rows, ["", *map(remark, items)], strict=True):
        line = _GAP.join(row).rstrip()
        if said and (width is None or width >= _WIDE):
            line += _GAP + said
        lines.append(line if width is None else cut(line, width))
        if said and width is not None and width < _WIDE:
            lines += _wrapped(_GAP + said, width)
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    # Letters of two cells, which textwrap takes for one, may be cut.
    return [cut(line, width) for line in wrap(text, width, subsequent_indent=_GAP)]


def cut(text: str, width: int) -> str:
    """The text in at most `width` cells, with an ellipsis where something is missing."""
    return text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + "…"


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
    if stream["broken"]:
        parts.append("an output is incomplete")
    if stream["rendered"] is not None:
        parts.append(f"{stream['rendered']} rendered")
    if stream["sees"]:
        parts.append(f"sees {printable(stream['sees'])}")
    return parts


_STREAM: tuple[Column[StreamStatus], ...] = (
    Column("STREAM", lambda stream: printable(stream["name"])),
    Column("frames", frames),
    Column("left", lambda stream: duration(stream["remaining_s"]), rank=1),
    Column("fps", lambda stream: f"{stream['fps']:.1f}"),
    Column("in flight", lambda stream: str(stream["in_flight"]), rank=3),
    Column("lost", lambda stream: str(sum(losses(stream).values()))),
    Column("p50/p99 ms", lambda s: "{p50:.0f}/{p99:.0f}".format(**s["latency_ms"]), rank=2),
)
_ACTOR: tuple[Column[ActorStatus], ...] = (
    Column("ACTOR", lambda actor: printable(actor["name"])),
    Column("role", lambda actor: actor["role"], rank=4, left=True),
    Column("state", lambda actor: actor["state"], left=True),
    Column("pid", lambda actor: str(actor["pid"] or "-"), rank=3),
    Column("restarts", lambda actor: str(actor["restarts"])),
    Column("MB", lambda actor: f"{actor['rss_mb']:.0f}", rank=1),
    Column("busy", lambda actor: f"{actor['busy']:.0%}"),
    Column("done", lambda actor: str(actor["done"]), rank=2),
    Column("queued", lambda actor: str(actor["queued"]), rank=5),
)


def stream_lines(streams: Sequence[StreamStatus], width: int | None) -> list[str]:
    """The streams: frames published of how many, rates, and what was lost."""
    return table(_STREAM, streams, lambda stream: "; ".join(remarks(stream)), width)


def actor_lines(actors: Sequence[ActorStatus], width: int | None) -> list[str]:
    """The processes: their state, what they use and what they did."""
    return table(_ACTOR, actors, _last_error, width)


def _last_error(actor: ActorStatus) -> str:
    return f"last error: {printable(actor['last_error'])}" if actor["last_error"] else ""


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
