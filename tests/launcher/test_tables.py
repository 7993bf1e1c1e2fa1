"""Tables of a run's status: fitted to any width, nothing cut in a pipe, names as plain text."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from actors.launcher import tables
from actors.launcher.display import Display
from actors.launcher.status_report import RunStatus
from actors.launcher.tables import Column
from tests.support import statuses

NASTY = ["[/b]", "[bold]", "\x1b[31mred\x1b[0m", "a\nb", "人" * 30, "x" * 100, ""]


def all_lines(status: RunStatus, width: int | None) -> list[str]:
    return [
        tables.heading(status),
        *tables.stream_lines(status["streams"], width),
        *tables.actor_lines(status["actors"], width),
        *tables.summary_lines(status, width),
    ]


def test_80_columns_have_what_matters() -> None:
    live = statuses.stream(
        "front",
        frames=None,
        remaining_s=None,
        live=True,
        connected=False,
        dropped={"no_free_slot": 2, "newer_frame": 1},
        incomplete=1,
        broken=True,
        sees="3 person",
    )
    lines = tables.stream_lines([statuses.stream(rendered=118), live], 79)
    assert lines == [
        "STREAM   frames  left   fps  in flight  lost  p50/p99 ms",
        "cam0    120/302  0:07  24.9          4     0       41/64",
        "  118 rendered",
        "front       120     -  24.9          4     4       41/64",
        "  3 dropped; 1 incomplete; no connection to the source; an output is",
        "  incomplete; sees 3 person",
    ]
    failing = statuses.actor("npu1", state="backoff", pid=None, last_error="killed by SIGSEGV")
    assert tables.actor_lines([statuses.actor(), failing], 79) == [
        "ACTOR  role    state     pid  restarts  MB  busy  done  queued",
        "npu0   worker  running  4242         0  81   97%  1234       2",
        "npu1   worker  backoff     -         0  81   97%  1234       2",
        "  last error: killed by SIGSEGV",
    ]


def test_a_wide_terminal_and_a_pipe_have_one_line_a_row() -> None:
    streams = [statuses.stream("n" * 60, sees="5 person, " * 30)]
    for width in (150, None):
        assert len(tables.stream_lines(streams, width)) == 2
    assert "n" * 60 in tables.stream_lines(streams, None)[1]
    assert tables.stream_lines(streams, None)[1].endswith("5 person, " * 30)
    assert tables.stream_lines(streams, 150)[1].endswith("…")


@given(
    st.lists(st.sampled_from(NASTY) | st.text(max_size=40), min_size=1, max_size=4),
    st.none() | st.integers(20, 200),
    st.integers(0, 10**9),
)
def test_no_line_is_wider_than_the_terminal_or_has_a_control_character(
    names: list[str], width: int | None, number: int
) -> None:
    status = statuses.run(
        run=names[0],
        limited_by=f"{names[0]} ({names[-1]})" * 3,
        streams=[
            statuses.stream(n, published=number, sees=n, fps=number / 7, in_flight=number)
            for n in names
        ],
        actors=[statuses.actor(n, last_error=n, done=number, rss_mb=number) for n in names],
    )
    for line in all_lines(status, width)[1:]:
        assert line.isprintable()
        assert width is None or cell_len(line) <= width
    assert tables.heading(status).isprintable()
    assert tables.progress(status).isprintable()


@given(st.lists(st.integers(0, 3), min_size=2, max_size=8), st.integers(10, 80))
def test_columns_are_left_out_by_their_rank(ranks: list[int], width: int) -> None:
    columns = [Column[str](f"c{i}", str, rank=rank) for i, rank in enumerate(ranks)]
    titles = tables.table(columns, ["123456"], lambda item: "", width)[0].split()
    shown = [ranks[i] for i in range(len(ranks)) if f"c{i}" in titles]
    left_out = [ranks[i] for i in range(len(ranks)) if f"c{i}" not in titles]
    if sum(rank == 0 for rank in ranks) * 8 <= width:
        assert 0 not in left_out
        assert not left_out or max(shown) <= min(left_out)


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (0.2, "0:00"), (65, "1:05"), (7801.0, "2:10:01")]
)
def test_durations(seconds: float | None, text: str) -> None:
    assert tables.duration(seconds) == text


def test_the_heading_names_what_failed_and_what_the_cores_are() -> None:
    degraded = statuses.run(
        actors=[statuses.actor("npu0", state="failed"), statuses.actor("npu1")], degraded=True
    )
    assert tables.heading(degraded) == "run street: degraded, without npu0, up 0:12"
    emulated = statuses.run(emulated=True)
    assert "emulated cores" in tables.heading(emulated)
    assert tables.heading(emulated, ended=True).startswith("run street: ended after 0:12")
    assert "simulated cores" in tables.heading(statuses.run(simulated=True))


def test_the_npu_is_shown_where_the_board_tells_of_it() -> None:
    npu = {"load": None, "mhz": 800, "highest_mhz": 1000, "celsius": 71.0}
    lines = tables.summary_lines(statuses.run(npu=npu, limited_by="the NPU"), None)
    assert lines == ["cores busy: 0: 98%  NPU: 800 of 1000 MHz, 71 °C", "limited by the NPU"]


@pytest.mark.parametrize("width", [80, 100, 160])
def test_names_with_markup_and_escapes_are_plain_text_in_the_live_table(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=width, color_system=None)
    monkeypatch.setattr("actors.launcher.display.Console", lambda stderr: console)
    display = Display()
    status = statuses.run(
        run="[/b]",
        streams=[statuses.stream("[/i]", sees="1 [/b], 2 \x1b[31mred")],
        limited_by="[/u]",
    )
    display.show(status)
    display.line("[/b]: error: \x1b[2J[/red]")
    display.close(status)
    text = screen.getvalue()
    for shown in ("run [/b]:", "[/i]", "1 [/b], 2 \\x1b[31mred", "limited by [/u]", "\\x1b[2J"):
        assert shown in text
    assert "\x1b[31m" not in text
    assert "\x1b[2J" not in text
    # The last state stays: what comes after it does not move up over it.
    assert "run [/b]: ended after 0:12" in text.rsplit("\x1b[1A", 1)[-1]
