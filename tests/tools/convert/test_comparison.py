"""What a report concludes and shows, from figures of our own; no toolkit is needed."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tools.convert.builds import Built, Choice, Layer, layers_of
from tools.convert.comparison import Comparison, Deviation, Entry, beginnings
from tools.convert.labelled import Drift, drift
from tools.convert.page import write_page
from tools.convert.tables import print_comparison
from tools.scoring import CocoMap

TENSORS = tuple(f"t{number}" for number in range(1, 101))
LOG = """\
D RKNN: [07:05:23.320] 0    InputOperator      INT8     CPU    \\        (1,3,4,4)   0/0/0   0
D RKNN: [07:05:23.320] 1    Conv               INT8     NPU    (1,3,4,4),(3,3,1,1),(3)  (1,3,4,4)  13/69/69  507
D RKNN: [08:05:23.320] 0    InputOperator      INT8     CPU    \\        (1,3,4,4)   0/0/0   0      InputOperator:images
D RKNN: [08:05:23.320] 1    ConvExSwish        INT8     NPU    (1,3,4,4),(3,3,1,1),(3)  (1,3,4,4)  13/69/69  507    Conv:Conv_1
D RKNN: [08:05:23.320] 2    Slice              FLOAT16  CPU    (1,3,4,4),(2),(2),(2)    (1,3,2,2)  0/0/0     2704   Slice:Slice_4
D RKNN: [08:05:23.320] 3    exSwish            FLOAT16  NPU    (1,3,4,4)                (1,3,4,4)  0/0/0     676    exSwish:Mul_43
D RKNN: [08:05:23.320] 4    OutputOperator     INT8     CPU    (1,4,4)   \\           0/0/0   294    OutputOperator:out
"""  # noqa: E501 - the toolkit's own lines


def entry(name: str, value: float, choice: Choice | None = None, size: int = 1000) -> Entry:
    scores = CocoMap(value, value, value, {"small": None, "medium": value, "large": value})
    if choice is None:
        return Entry(name, scores)
    layers = (Layer("ConvExSwish", "INT8", "NPU", 5, 7, "a"),)
    return Entry(name, scores, Drift(((0.5, 0.4),)), Built(choice, 3.0, layers), size, 20)


def comparison(*maps: float, alternatives: tuple[Entry, ...] = ()) -> Comparison:
    return Comparison(
        model="<net>.onnx",
        target="rk3588",
        images=60,
        reference=entry("float32", 0.4),
        entries=tuple(entry(f"w8a8 {i}", value, Choice()) for i, value in enumerate(maps)),
        alternatives=alternatives,
        failures=(("w8a16", "RK3588 does not compute w8a16"),),
        deviations=(Deviation("Conv", "t3", 0.5, 0.99),),
        analysed="w8a8 0",
        warnings=("calibration images & measured ones are the same",),
        toolkit="2.5.0",
    )


HYBRID = entry("first 30", 0.39, Choice(floating=("a", "b")), 2000)
FLOAT = entry("float16", 0.4, Choice(dtype="float16"), 3000)
USELESS = entry("first 8", 0.2, Choice(floating=("a",)), 1500)


def test_int8_that_holds_is_recommended() -> None:
    found = comparison(0.31, 0.385)
    assert found.holds
    assert found.recommended is found.entries[1]
    assert found.verdict == "int8 holds: w8a8 1 loses 0.015 mAP"


def test_where_int8_ruins_the_smallest_that_holds_is_recommended() -> None:
    found = comparison(0.1, 0.2, alternatives=(USELESS, FLOAT, HYBRID))
    assert not found.holds
    assert found.recommended is HYBRID
    assert "INT8 RUINS THIS MODEL" in found.verdict
    assert "from 0.400 to 0.200" in found.verdict
    assert "--algorithm normal --hybrid 2" in found.verdict
    assert "--dtype float16" in comparison(0.1, alternatives=(FLOAT,)).verdict
    assert "Nothing that was tried" in comparison(0.1, alternatives=(USELESS,)).verdict
    assert "NO ALGORITHM" in comparison().verdict


@pytest.mark.parametrize("alternatives", [(), (USELESS, HYBRID, FLOAT)])
def test_the_page_needs_nothing_else(alternatives: tuple[Entry, ...], tmp_path: Path) -> None:
    found = comparison(0.1, alternatives=alternatives)
    write_page(found, tmp_path / "p.html")
    text = (tmp_path / "p.html").read_text()
    assert "INT8 RUINS THIS MODEL" in text
    assert "&lt;net&gt;.onnx" in text
    assert "calibration images &amp; measured ones" in text
    assert all(one.name in text for one in alternatives)
    assert not any(word in text for word in ("src=", "href=", "<script", "url(", "@import"))
    words = io.StringIO()
    print_comparison(Console(file=words, width=120), found)
    assert "INT8 RUINS THIS MODEL" in words.getvalue()
    assert "RK3588 does not compute w8a16" in words.getvalue()
    assert found.as_json()["holds"] is False


def test_hybrids_begin_where_the_network_breaks() -> None:
    exact = [Deviation("Conv", name, 1.0, 1.0) for name in TENSORS]
    broken = [*exact[:12], Deviation("Conv", "t13", 0.7, 0.999), *exact[13:]]
    assert beginnings(TENSORS, broken) == [13, 26, 50]
    off = [*exact[:19], Deviation("Conv", "t20", 0.95, 0.99), *exact[20:]]
    assert beginnings(TENSORS, off) == [20, 40, 50]
    # What is not among the tensors says nothing, and two or three layers are no beginning.
    deviating = [Deviation("Conv", "other", 0.1, 0.1), Deviation("Conv", "t2", 0.5, 0.5)]
    assert beginnings(TENSORS, deviating) == [8, 16, 32, 50]
    assert beginnings(TENSORS[:6], []) == [3]


def test_layers_are_those_of_the_last_table() -> None:
    built = Built(Choice(), 1.0, tuple(layers_of(LOG)))
    assert len(built.layers) == 5
    assert [layer.name for layer in built.on_cpu] == ["Slice_4"]
    assert dict(built.fused) == {"ConvExSwish": 1}
    assert (built.cycles, built.floats) == (69, 1)
    assert built.megabytes == pytest.approx((507 + 2704 + 676 + 294) / 1024)


def test_drift_pairs_the_sure_boxes() -> None:
    box = [10.0, 10.0, 30.0, 30.0]
    sure = np.array([[*box, 0.8, 1], [50, 50, 60, 60, 0.5, 0], [*box, 0.2, 0]], np.float32)
    other = np.array([[12, 10, 30, 30, 0.6, 1], [*box, 0.9, 0]], np.float32)
    found = drift([sure], [other])
    assert found.pairs == ((pytest.approx(0.8), pytest.approx(0.6)), (0.5, 0.0))
    assert found.lost == 1
    assert found.mean == pytest.approx(-0.2)
    assert drift([sure], [other[:0]]).lost == 2
