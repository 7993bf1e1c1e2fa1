"""The chaos tool: what it finds in made-up records, how it measures and chooses, and a real run."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from actors.client import Result
from tests.support import runs
from tools import chaos, run_resources
from tools.chaos_run import _log_faults
from tools.fault_injection import ALONE, STARTING, TOGETHER, steps
from tools.recovery_times import Injection, Spread, crashes_ns, measure
from tools.result_comparison import FAULTS, Comparison, Reference
from tools.run_harness import Harness, pids
from tools.run_resources import ProcessResources

MS = 1_000_000


def record(seq: int, frame: int | None = None, **changes: Any) -> runs.Record:
    """A record of a made-up source of five frames, published 10 ms after the one before."""
    frame = seq % 5 if frame is None else frame
    made = {
        "v": 1,
        "run": "harness",
        "stream": "cam0",
        "seq": seq,
        "source_frame": frame,
        "captured_ns": 10 * MS * seq,
        "published_ns": 10 * MS * seq + 5 * MS,
        "size": [64, 48],
        "complete": True,
        "missing": [],
        "detections": [{"box": [1.0, 2.0, 3.0, 4.0 + frame], "score": 0.5, "class_id": 0}],
    }
    return {**made, **changes}


def compare(
    records: list[runs.Record],
    frames: int | None,
    crashes: tuple[int, ...] = (),
    looped: bool = True,
) -> tuple[dict[str, int], int]:
    """The faults found, without the zeros, and the repeats allowed."""
    references = {"cam0": Reference([record(seq) for seq in range(5)])}
    comparison = Comparison(references, looped=looped)
    for one in records:
        comparison.result(one)
    if frames is not None:
        comparison.end("cam0", frames)
    compared = comparison.finish(crashes)
    assert set(compared.counts) == set(FAULTS)
    assert compared.published == len(records)
    assert bool(compared.examples) == any(compared.counts.values())
    return {kind: n for kind, n in compared.counts.items() if n}, compared.repeats


# ---------------------------------------------------------------- comparing


def test_twice_over_the_source_as_it_should_be() -> None:
    assert compare([record(seq) for seq in range(10)], 10) == ({}, 0)


def test_a_looped_source_may_end_anywhere_and_another_may_not() -> None:
    records = [record(seq) for seq in range(3)]
    assert compare(records, 3) == ({}, 0)
    assert compare(records, 3, looped=False) == ({"lost": 2, "different": 1}, 0)
    assert compare([record(seq) for seq in range(5)], 5, looped=False) == ({}, 0)


@pytest.mark.parametrize(
    ("seqs", "frames", "expected"),
    [
        ([0, 1, 4, 5], 6, {"lost": 2}),
        ([2, 3], 4, {"lost": 2}),  # the first ones
        ([0, 1, 2], 5, {"lost": 2}),  # the last ones, which only the end message tells of
        ([], 2, {"lost": 2}),
        ([0, 1, 1, 2], 3, {"doubled": 1}),
        ([0, 1, 2, 0, 3], 4, {"doubled": 1}),
        ([0, 2, 1, 3], 4, {"out_of_order": 1}),
        ([0, 3, 1, 4], 5, {"lost": 1, "out_of_order": 1}),
        ([0, 2, 1, 1, 3], 4, {"out_of_order": 1, "doubled": 1}),
    ],
)
def test_lost_doubled_and_out_of_order(
    seqs: list[int], frames: int, expected: dict[str, int]
) -> None:
    assert compare([record(seq) for seq in seqs], frames) == (expected, 0)


def test_frames_of_the_source_passed_over_or_read_again_although_seq_has_no_gap() -> None:
    passed_over = [record(0, 0), record(1, 1), record(2, 4), record(3, 0), record(4, 1)]
    assert compare(passed_over, 5) == ({"lost": 2}, 0)
    again = [record(0, 0), record(1, 1), record(2, 1), record(3, 2), record(4, 3)]
    assert compare(again, 5) == ({"doubled": 1}, 0)


def test_a_frame_that_differs() -> None:
    other = [{"box": [1.0, 2.0, 3.0, 4.5], "score": 0.5, "class_id": 0}]
    records = [record(0), record(1, detections=other), record(2, size=[48, 64]), record(3, extra=1)]
    assert compare(records, 4) == ({"different": 3}, 0)
    assert compare([record(0), record(1, 77)], 2) == ({"different": 1}, 0)
    assert compare([record(0), record(1, stream="cam9")], 1) == ({"different": 1}, 0)
    # What the end message says must agree with what came.
    assert compare([record(0), record(1)], 1) == ({"different": 1}, 0)


def test_times_and_the_runs_name_are_no_difference() -> None:
    assert compare([record(0, run="x", captured_ns=7, published_ns=8), record(1)], 2) == ({}, 0)


def test_an_incomplete_frame_counts_as_that_alone() -> None:
    missing = [{"stage": "small", "tile": 3, "reason": "npu0: crash"}]
    records = [record(0), record(1, complete=False, missing=missing, detections=[])]
    assert compare(records, 2) == ({"incomplete": 1}, 0)


@pytest.mark.parametrize(
    ("crashes_ms", "expected"),
    [
        ((), ({"doubled": 1}, 0)),
        ((18,), ({}, 1)),  # frame 1 was published at 15 ms and again at 40
        ((12,), ({"doubled": 1}, 0)),  # before its first publication
        ((44,), ({"doubled": 1}, 0)),  # after its second
    ],
)
def test_the_last_frame_may_come_again_after_the_mergers_death_only(
    crashes_ms: tuple[int, ...], expected: tuple[dict[str, int], int]
) -> None:
    records = [record(0), record(1), record(1, published_ns=40 * MS), record(2)]
    assert compare(records, 3, tuple(ms * MS for ms in crashes_ms)) == expected


def test_only_the_last_frame_may_come_again_and_unchanged() -> None:
    records = [record(0), record(1), record(0, published_ns=40 * MS), record(2)]
    assert compare(records, 3, (18 * MS,)) == ({"doubled": 1}, 0)
    changed = [record(0), record(1), record(1, published_ns=40 * MS, size=[1, 1]), record(2)]
    assert compare(changed, 3, (18 * MS,)) == ({"different": 1}, 1)


def test_a_stream_without_an_end_is_told() -> None:
    comparison = Comparison({"cam0": Reference([record(0)])}, looped=True)
    comparison.result(record(0))
    assert comparison.finish([]).endless == ("cam0",)
    comparison.end("cam0", 1)
    assert comparison.finish([]).endless == ()


def test_the_longest_gap_is_that_of_one_stream() -> None:
    references = {name: Reference([record(0, stream=name)]) for name in ("cam0", "cam1")}
    comparison = Comparison(references, looped=True)
    for name, at in (("cam0", 10), ("cam1", 30), ("cam0", 50), ("cam1", 95), ("cam0", 100)):
        seq = comparison.published // 2
        comparison.result(record(seq, 0, stream=name, published_ns=at * MS))
    compared = comparison.finish([])
    assert compared.longest_gap_ns == (30 * MS, 95 * MS)
    assert compared.longest_gap_ms == 65.0


@pytest.mark.parametrize(
    "records",
    [
        [record(0), record(2)],
        [record(0), record(0)],
        [record(0), record(1, 0)],
        [record(0, complete=False)],
    ],
)
def test_a_run_with_faults_of_its_own_is_no_reference(records: list[runs.Record]) -> None:
    with pytest.raises(ValueError, match="cam0"):
        Reference(records)


def test_result_log_with_a_frame_twice_or_none(tmp_path: Path) -> None:
    def faults(*seqs: int) -> list[str]:
        lines = [{"stream": "cam0", "seq": seq} for seq in seqs]
        path = tmp_path / "log.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in [*lines, {"stream": "cam0"}]))
        return _log_faults(path)

    assert faults(0, 1, 2) == []
    assert faults(0, 1, 1, 2) == ["result log, line 3: cam0 #1, #2 was due"]
    assert faults(0, 2) == ["result log, line 2: cam0 #2, #1 was due"]


# ---------------------------------------------------------------- measuring


def _event(time: float, actor: str, kind: str, text: str = "") -> dict[str, Any]:
    return {"id": 0, "time": time, "actor": actor, "level": "info", "kind": kind, "text": text}


@pytest.mark.parametrize("jobs", ["1 job", "3 jobs"])
def test_delays_are_those_of_the_last_act_on_that_actor(jobs: str) -> None:
    injections = [
        Injection(10.0, "kill", "npu0", "worker", ALONE),
        Injection(20.0, "kill", "npu0", "worker", STARTING),
        Injection(20.5, "stop", "npu0", "worker", STARTING),
        Injection(10.1, "stop", "tiler", "tiler", ALONE),
    ]
    events = [
        _event(9.0, "npu0", "running"),
        _event(10.004, "npu0", "ended", "killed by SIGKILL"),
        _event(10.030, "tiler", "recovered", f"{jobs} of npu0 finished elsewhere after 24 ms"),
        _event(10.050, "npu0", "running", "running again (start 2)"),
        _event(10.090, "npu0", "computing"),
        _event(11.6, "tiler", "hung"),
        _event(11.7, "tiler", "running"),
        _event(20.006, "npu0", "ended", "killed by SIGKILL"),
        # The second came before it ran again: that and all that follows is the second's.
        _event(22.0, "npu0", "hung"),
        _event(22.1, "npu0", "running"),
        _event(22.3, "npu0", "computing"),
    ]
    random.Random(1).shuffle(events)
    found = {
        row: {name: [round(ms) for ms in values] for name, values in columns.items() if values}
        for row, columns in measure(injections, events).items()
    }
    assert found == {
        ("kill", "worker"): {
            "noticed": [4, 6],
            "elsewhere": [30],
            "back": [50],
            "computing": [90],
        },
        ("stop", "worker"): {"noticed": [1500], "back": [1600], "computing": [1800]},
        ("stop", "tiler"): {"noticed": [1500], "back": [1600]},
    }


def test_spread() -> None:
    assert Spread.of([]) is None
    assert Spread.of([float(n) for n in range(101)]) == Spread(101, 50.0, 99.0, 100.0)


def test_crashes_are_ends_that_nobody_asked_for() -> None:
    events = [
        _event(1.0, "merger", "running"),
        _event(2.0, "merger", "ended", "killed by SIGKILL"),
        _event(3.0, "merger", "ended", "exited with code 0"),
        _event(4.0, "merger", "ended", "exited with code 1"),
        _event(5.0, "merger", "hung"),
        _event(6.0, "tiler", "hung"),
    ]
    assert crashes_ns(events, "merger") == [2_000_000_000, 4_000_000_000, 5_000_000_000]


# ---------------------------------------------------------------- choosing, holding


@pytest.mark.parametrize("seed", range(5))
def test_steps_do_what_was_asked_for_at_the_mean_interval(seed: int) -> None:
    counts = {"kill": 300, "stop": 60, "term": 20, "restart": 20}
    made = steps(counts, 0.4, random.Random(seed))
    assert made == steps(counts, 0.4, random.Random(seed))
    assert made != steps(counts, 0.4, random.Random(seed + 1))
    assert Counter(kind for step in made for kind in step.kinds) == counts
    assert {step.how for step in made} == {ALONE, TOGETHER, STARTING}
    for step in made:
        assert len(step.kinds) == (1 if step.how == ALONE else 2)
        assert step.how != STARTING or step.kinds[0] == "kill"
    assert sum(step.wait_s for step in made) / 400 == pytest.approx(0.4, rel=0.25)


def test_growth_of_what_is_held() -> None:
    before = {"tiler": ProcessResources(20, 50 << 20), "supervisor": ProcessResources(12, 30 << 20)}
    assert run_resources.growth(before, before) == []
    assert run_resources.growth(before, {"tiler": ProcessResources(24, 60 << 20)}) == []
    after = {
        "tiler": ProcessResources(40, 50 << 20),
        "supervisor": ProcessResources(12, 90 << 20),
        "stray": ProcessResources(1, 0),
    }
    assert run_resources.growth(before, after) == [
        "tiler: 20 descriptors became 40",
        "supervisor: 31 MB became 94 MB",
        "process stray is new",
    ]


@pytest.mark.parametrize("ends_well", [True, False])
def test_leases_show_slots_that_are_out_and_none_after_a_good_end(
    ends_well: bool, scene_video: Path
) -> None:
    looped = _instant(scene_video).replace("[models", "loop = true\n\n[models", 1)
    with Harness(looped) as harness, harness.subscriber() as results:
        assert isinstance(next(results), Result)
        leases = run_resources.Leases(harness)
        runs.wait_for(lambda: leases.out().keys() >= {"cam0"}, what="for a frame in flight")
        assert harness.process is not None
        if ends_well:
            harness.ask(do="stop")
            for _ in results:
                pass
            assert harness.wait() == 0
            assert leases.out() == {}
        else:
            os.kill(pids(harness.status())["merger"], signal.SIGSTOP)
            time.sleep(0.5)
            harness.process.kill()
            harness.process.wait()
            assert leases.out()["cam0"] > 0


# ---------------------------------------------------------------- the command


def _topology(tmp_path: Path, text: str) -> str:
    path = tmp_path / "chaos.toml"
    path.write_text(text)
    return str(path)


def _instant(source: Path) -> str:
    stages = runs.stage("large", "frame") + runs.stage("small", "tiles")
    return runs.stream(source) + runs.instant() + stages + runs.workers(3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stops", "0"], "nothing to do"),
        (["--kills", "-1"], "nothing to do"),
        (["--kills", "1", "--roles", "worker,boss"], "no role is called 'boss'"),
        (["--kills", "1", "--roles", "renderer"], "there is no renderer"),
        (["--kills", "1", "--interval-ms", "0"], "--interval-ms is 0"),
        (
            ["--kills", "1", "--set", "streams.cam0.source=rtsp://h/x"],
            "streams.cam0.source is live",
        ),
    ],
)
def test_wrong_arguments_end_in_one_sentence(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    scene_video: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        chaos.main([_topology(tmp_path, _instant(scene_video)), *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_wrong_topology(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _topology(tmp_path, _instant(tmp_path / "none.mp4"))
    assert chaos.main([path, "--kills", "1"]) == 2
    assert "streams.cam0.source" in capsys.readouterr().err


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    code = chaos.main([*arguments, "--json"])
    outcome: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (code, outcome["held"], outcome["broken"]) == (0, True, [])
    assert not any(outcome["frames"]["counts"].values())
    assert outcome["disturbances"] == outcome["counts"]
    return outcome


@pytest.mark.slow
def test_a_disturbed_run_is_like_an_undisturbed_one(
    tmp_path: Path, scene_video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = _run(
        capsys,
        _topology(tmp_path, _instant(scene_video)),
        *("--kills", "16", "--stops", "2", "--terms", "3", "--restarts", "3"),
        *("--seed", "5", "--interval-ms", "250"),
        *("--set", f"results.jsonl={tmp_path / 'not-here.jsonl'}"),
        *("--set", f"render.video={tmp_path / 'not-here.mp4'}"),
    )
    assert outcome["made_to_loop"] is True
    assert outcome["reference"]["frames"] == 40
    assert outcome["frames"]["published"] > 40
    measured = {(delay["kind"], delay["measure"]) for delay in outcome["delays_ms"]}
    assert measured >= {("kill", "noticed"), ("kill", "back"), ("stop", "noticed")}
    # The user's own outputs are not touched.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chaos.toml"]


@pytest.mark.slow
def test_real_models_give_the_same_when_disturbed(
    tmp_path: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = shared_data / "models/yolox_nano.onnx"
    labels = str(shared_data / "models/coco_classes.txt")
    topology = runs.stream(shared_data / "coco/images") + runs.model(model, labels=labels)
    topology += runs.stage("large", "frame") + runs.workers(2)
    arguments = ("--kills", "8", "--stops", "1", "--seed", "3", "--interval-ms", "400")
    outcome = _run(capsys, _topology(tmp_path, topology), *arguments)
    assert outcome["reference"]["frames"] == 60
