"""What is reported of a live source that comes and goes."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from actors.dataflow.live_connection import LiveConnection, Report
from actors.sources.reading import SourceState

SECOND = 1_000_000_000


def state(connected: bool, trouble: str = "", remarks: tuple[str, ...] = ()) -> SourceState:
    return SourceState("cam", connected, trouble, remarks)


def test_a_loss_and_a_return_are_reported_once_each() -> None:
    connection = LiveConnection()
    assert connection.observe(state(False), 0) == []  # it is still connecting
    for _ in range(2):
        assert connection.observe(state(True), SECOND) == []
    lost = Report("warning", "cam: unplugged (trying again until it is back)", "source_lost")
    assert connection.observe(state(False, "cam: unplugged"), 2 * SECOND) == [lost]
    assert connection.observe(state(False, "cam: unplugged"), 3 * SECOND) == []
    back = Report("info", "cam: back after 2.5 s", "source_back")
    assert connection.observe(state(True), 4 * SECOND + SECOND // 2) == [back]
    assert connection.observe(state(True), 5 * SECOND) == []


def test_a_source_that_cannot_be_opened_is_lost() -> None:
    connection = LiveConnection()
    (report,) = connection.observe(state(False, "cam: no such device"), 0)
    assert report.kind == "source_lost"
    assert report.text.startswith("cam: no such device (")


def test_a_loss_without_a_reason_names_the_source() -> None:
    connection = LiveConnection()
    connection.observe(state(True), 0)
    (report,) = connection.observe(state(False), 1)
    assert report.text.startswith("cam: no frame (")


def test_remarks_are_reported_when_they_change() -> None:
    connection = LiveConnection()
    assert connection.observe(state(True, remarks=("15 frames/s",)), 0) == []
    assert connection.observe(state(True, remarks=("15 frames/s",)), 1) == []
    changed = connection.observe(state(True, remarks=("10 frames/s", "smaller")), 2)
    assert changed == [Report("warning", "10 frames/s"), Report("warning", "smaller")]


def test_losses_and_returns_alternate_whatever_happens() -> None:
    for seed in range(500):
        random, connection, kinds = Random(seed), LiveConnection(), []
        for now in range(60):
            seen = state(random.random() < 0.6, random.choice(["", "trouble"]))
            kinds += [report.kind for report in connection.observe(seen, now)]
        assert all(a != b for a, b in pairwise(kinds))
        assert kinds[:1] in ([], ["source_lost"])
