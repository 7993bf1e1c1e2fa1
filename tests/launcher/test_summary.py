"""What is said of a run that is over: frames, losses, what was not published, broken outputs."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.config.schema import Results, Worker
from actors.dataflow.shared_records import ControlBlock
from actors.launcher.summary import Summary, spans, unpublished
from actors.system.linux import now_ns
from tests.support.plans import SMALL, model, planned, source


def block(slots: int = 6) -> tuple[Summary, ControlBlock]:
    plan = planned(
        [model("small", runtime="onnx")],
        {"small": SMALL},
        {"npu0": Worker(core=0, models=["small"])},
        slots=slots,
    )
    control = ControlBlock(plan.layout, memoryview(bytearray(plan.layout.size)))
    control.initialise(now_ns() - 10_000_000_000)
    return Summary(plan, control, []), control


def test_a_run_that_lost_nothing() -> None:
    summary, control = block()
    control.streams["cam0"].settle(0)
    (line,) = summary.lines()
    assert line.startswith("cam0: 1 frame in 10.")
    assert line.endswith("nothing lost")
    assert summary.exit_code == 0


def test_captured_frames_whose_results_did_not_go_out_are_named() -> None:
    summary, control = block()
    for seq in range(17):
        control.streams["cam0"].settle(seq, complete=seq not in (3, 4))
    # Slot 0 was published, slot 4 is empty, the others wait.
    for slot, seq in zip(control.slots["cam0"], [16, 19, 17, 18, 15, 22], strict=True):
        slot.seq = seq
    control.slots["cam0"][4].seq = -1
    control.streams["cam0"].capture(22)
    assert unpublished(control, "cam0") == [17, 18, 19, 22]
    (line,) = summary.lines()
    assert line.endswith("2 incomplete, 4 captured frames not published: 17 to 19, 22")


def test_a_broken_output_is_exit_code_1_and_the_last_line() -> None:
    run = planned(
        [model("small", runtime="onnx")],
        {"small": SMALL},
        {"npu0": Worker(core=0, models=["small"])},
        {"cam0": source(), "cam1": source()},
        slots=2,
    )
    run = replace(run, results=Results(jsonl=Path("/here/out.jsonl")))
    control = ControlBlock(run.layout, memoryview(bytearray(run.layout.size)))
    control.initialise(now_ns() - 10_000_000_000)
    summary = Summary(run, control, ["/here/out.jsonl cannot be written: No space left on device"])
    control.streams["cam0"].log_broken = 41 + 2
    control.streams["cam1"].log_broken = 1  # none of its records is in the log
    assert summary.lines()[2:] == [
        "records in /here/out.jsonl: incomplete, good up to frame 41 of cam0",
        "warning: /here/out.jsonl cannot be written: No space left on device",
        "error: an output is incomplete, as said above; free space or give another file, then run "
        "again with --overwrite",
    ]
    assert summary.exit_code == 1
    control.streams["cam0"].log_broken = 1
    assert summary.lines()[2] == "records in /here/out.jsonl: nothing is in it"


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([], ""),
        ([3], "3"),
        ([3, 4], "3 to 4"),
        ([1, 3, 5], "1, 3, 5"),
        ([0, 1, 2, 9], "0 to 2, 9"),
    ],
)
def test_spans(numbers: list[int], text: str) -> None:
    assert spans(numbers) == text


@given(st.sets(st.integers(0, 100)))
def test_spans_say_exactly_these_numbers(numbers: set[int]) -> None:
    ascending = sorted(numbers)
    said: list[int] = []
    for part in filter(None, spans(ascending).split(", ")):
        first, _, last = part.partition(" to ")
        said += range(int(first), int(last or first) + 1)
    assert said == ascending
    assert spans(ascending).count(", ") == sum(b - a > 1 for a, b in pairwise(ascending))


def test_videos_are_named(tmp_path: Path) -> None:
    plan = planned(
        [model("small", runtime="onnx")],
        {"small": SMALL},
        {"npu0": Worker(core=0, models=["small"])},
        video=tmp_path / "out.mp4",
    )
    control = ControlBlock(plan.layout, memoryview(bytearray(plan.layout.size)))
    control.initialise(now_ns() - 1)
    control.streams["cam0"].settle(0)
    (tmp_path / "out.mp4").touch()
    assert Summary(plan, control, []).lines()[1] == f"cam0: drawn into {tmp_path / 'out.mp4'}"
