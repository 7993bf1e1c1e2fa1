"""`tritile compare`: two result logs, the same and not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.publishing import HANDBAG, PERSON, det, end
from tools import compare


def log(path: Path, *records: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def run(*frames: int, name: str = "street") -> list[dict[str, Any]]:
    """The records of these frames of a source, and the end."""
    shown = [
        det("cam0", seq, *([PERSON] * (frame % 3)), source_frame=frame, run=name)
        for seq, frame in enumerate(frames)
    ]
    return [*shown, end("cam0", len(frames))]


def test_two_runs_of_the_same_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference = log(tmp_path / "a.jsonl", *run(0, 1, 2, 3))
    other = log(tmp_path / "b.jsonl", *run(0, 1, 2, 3, name="again"))
    assert compare.main([reference, other]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "4 frames: 0 lost, 0 doubled, 0 out of order, 0 different, 0 incomplete; "
        "0 published once more",
        "the same",
    ]


def test_a_run_that_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference = log(tmp_path / "a.jsonl", *run(0, 1, 2, 3))
    changed = run(0, 1, 2, 3)
    changed[2]["detections"] = [HANDBAG]
    del changed[1]
    assert compare.main([reference, log(tmp_path / "b.jsonl", *changed), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["same"] is False
    assert found["counts"] == {
        "lost": 1,
        "doubled": 0,
        "out_of_order": 0,
        "different": 1,
        "incomplete": 0,
    }
    assert found["examples"] == [
        "different: cam0: #2 differs in detections",
        "lost: cam0: 1 frame never came, the first #1",
    ]


def test_a_looped_run_and_a_repeat_after_a_restart(tmp_path: Path) -> None:
    reference = log(tmp_path / "a.jsonl", *run(0, 1, 2))
    twice = run(0, 1, 2, 0, 1)
    other = log(tmp_path / "b.jsonl", *twice[:3], twice[2], *twice[3:])
    assert compare.main([reference, other]) == 0
    short = log(tmp_path / "c.jsonl", *run(0, 1))
    assert compare.main([reference, short, "--looped"]) == 0
    assert compare.main([reference, short]) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; give another file"),
        ("nonsense\n", "line 1 is not a JSON object; give a result log"),
        ('{"a": 1}\n', "line 1 is not a record of results; give a result log"),
        ("[1]\n", "line 1 is not a record of results; give a result log"),
        (json.dumps(end("cam0", 0)) + "\n", "holds no result"),
        (json.dumps(det("cam0", 5)) + "\n", "cannot be a reference: frame 5 of cam0 came where 0"),
    ],
)
def test_a_file_that_cannot_be_a_reference(
    content: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    assert compare.main([str(path), log(tmp_path / "b.jsonl", *run(0))]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("compare: ")
    assert message in captured.err


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare.main([str(tmp_path / "none.jsonl"), str(tmp_path / "b.jsonl")]) == 2
    assert "there is no" in capsys.readouterr().err


def test_one_frame_is_singular(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference = log(tmp_path / "a.jsonl", *run(0))
    assert compare.main([reference, reference]) == 0
    assert capsys.readouterr().out.startswith("1 frame: ")
