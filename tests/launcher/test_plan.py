"""The plan: slots, memory, models of each worker, what each actor gets, refused runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.config.schema import Worker
from actors.dataflow.settings import ClassTable
from actors.launcher.actor_plans import actor_plans, fatal_reason
from actors.launcher.frame_memory import memory_bytes, tile_bytes
from actors.launcher.rate_limit import jobs_of, tiles_of
from tests.support.plans import BIG, NAMES, PERSON, SMALL, model, planned, source, three

STAGES = {"big": BIG, "small": SMALL}
SPLIT = {
    "npu0": Worker(core=0, models=["big"]),
    "npu1": Worker(core=1, models=["small"]),
    "npu2": Worker(core=2, models=["small", "big"]),
}

FAILED: list[tuple[dict[str, str], str | None]] = [
    ({}, None),
    ({"npu0": "killed by SIGSEGV"}, None),
    ({"npu1": "no core"}, None),
    ({"npu2": "no core"}, None),
    ({"npu0": "no core", "npu1": "no core"}, None),
    (
        {"npu0": "no core 0", "npu2": "no core 2"},
        "no worker is left for stage big (npu0: no core 0; npu2: no core 2)",
    ),
    (
        {"npu2": "no core 2", "npu1": "no core 1"},
        "no worker is left for stage small (npu2: no core 2; npu1: no core 1)",
    ),
    (
        dict.fromkeys(SPLIT, "gone"),
        "no worker is left for stage big (npu0: gone; npu1: gone; npu2: gone)",
    ),
    ({"tiler": "killed by SIGABRT"}, "tiler cannot run: killed by SIGABRT"),
    ({"merger": "port in use"}, "merger cannot run: port in use"),
    ({"renderer": "disk full"}, "renderer cannot run: disk full"),
    ({"cam0": "no such file"}, "cam0 cannot run: no such file"),
    ({"npu0": "no core", "cam0": "no such file"}, "cam0 cannot run: no such file"),
]


@pytest.mark.parametrize(("failed", "reason"), FAILED)
def test_when_a_run_cannot_go_on(failed: dict[str, str], reason: str | None) -> None:
    plan = planned([model("big"), model("small")], STAGES, SPLIT, video=Path("/here/out.mp4"))
    assert fatal_reason(plan, failed) == reason


# ---------------------------------------------------------------- classes

CLASSES: dict[str, tuple[list[tuple[str, ...]], tuple[str, ...], list[tuple[int, ...]]]] = {
    "one model": ([PERSON], PERSON, [(0, 1, 2)]),
    "the same": ([PERSON, PERSON], PERSON, [(0, 1, 2), (0, 1, 2)]),
    "another order": (
        [("person", "car"), ("car", "dog", "person")],
        ("person", "car", "dog"),
        [(0, 1), (1, 2, 0)],
    ),
    "nothing in common": (
        [("a", "b"), ("c",), ("d", "a")],
        ("a", "b", "c", "d"),
        [(0, 1), (2,), (3, 0)],
    ),
    "a name twice in the first": (
        [("a", "a", "b"), ("b", "a")],
        ("a", "a", "b"),
        [(0, 1, 2), (2, 0)],
    ),
    "a name twice in the second": (
        [("a",), ("b", "b", "c")],
        ("a", "b", "c"),
        [(0,), (1, 1, 2)],
    ),
}


@pytest.mark.parametrize(("given_", "labels", "ids"), CLASSES.values(), ids=CLASSES.keys())
def test_classes_of_all_models(
    given_: list[tuple[str, ...]], labels: tuple[str, ...], ids: list[tuple[int, ...]]
) -> None:
    names = NAMES[: len(given_)]
    models = [model(name, labels=own) for name, own in zip(names, given_, strict=True)]
    stages = {f"stage-{name}": {"model": name} for name in names}
    plan = planned(models, stages, three(*names))
    assert plan.classes == ClassTable(labels=labels, ids=dict(zip(names, ids, strict=True)))


def test_classes_follow_the_stages_and_leave_out_what_no_stage_uses() -> None:
    models = [model("a", labels=("x",)), model("b", labels=("y",)), model("c", labels=("z",))]
    stages = {"first": {"model": "c"}, "second": {"model": "a"}, "third": {"model": "c"}}
    plan = planned(models, stages, three("a", "b", "c"))
    assert plan.classes == ClassTable(labels=("z", "x"), ids={"c": (0,), "a": (1,)})


# ---------------------------------------------------------------- slots and memory


def test_workers_share_the_tile_slots() -> None:
    """By kind of runtime: contexts on the core, and tiles that wait."""
    models = [
        model("o", runtime="onnx"),
        model("e", runtime="emulated"),
        model("i", runtime="instant"),
        model("unused", runtime="instant"),
    ]
    workers = {
        "w0": Worker(core=0, models=["o", "unused"]),
        "w1": Worker(core=1, models=["e"]),
        "w2": Worker(core=2, models=["i", "o"]),
        "w3": Worker(core=2, models=["o", "e"], contexts=4, cpus=[1, 2]),
        "w4": Worker(core=2, models=["unused"]),
    }
    stages = {name: {"model": name} for name in "oei"}
    plan = planned(models, stages, workers)
    assert [
        (name, w.core, w.contexts, w.cpus, w.slots[0], len(w.slots))
        for name, w in plan.workers.items()
    ] == [
        ("w0", 0, 1, (), 0, 2),
        ("w1", 1, 2, (), 2, 4),
        ("w2", 2, 1, (), 6, 4),
        ("w3", 2, 4, (1, 2), 10, 6),
        ("w4", 2, 1, (), 16, 2),
    ]
    assert plan.layout.tile_slots == 18
    assert [w.stages for w in plan.workers.values()] == [{0}, {1}, {0, 2}, {0, 1}, set()]


@pytest.mark.parametrize("slots", [None, 2, 7])
def test_frame_slots_and_memory(slots: int | None) -> None:
    sources = {"cam0": source(), "cam1": source((100, 50))}
    plan = planned(
        [model("big"), model("small", size=(320, 640))],
        STAGES,
        three("big", "small"),
        sources,
        slots=slots,
    )
    # More than the workers can hold at once, and as few as the user asks for.
    jobs = {name: jobs_of(plan, name) for name in sources}
    assert jobs == {"cam0": 1 + 6 * 2, "cam1": 2}
    counts = {name: stream.slots for name, stream in plan.streams.items()}
    assert counts == plan.layout.streams
    for name, count in counts.items():
        assert count == slots or (slots is None and 3 <= count <= 16)
        assert slots or jobs[name] * len(sources) * count >= plan.layout.tile_slots
    pages = 4096
    frames = -(-1920 * 1080 * 3 // pages) * pages * counts["cam0"]
    frames += -(-100 * 50 * 3 // pages) * pages * counts["cam1"]
    tiles = 640 * 640 * 3 // pages * pages * 12
    assert tile_bytes(plan) == 640 * 640 * 3
    assert memory_bytes(plan) == frames + tiles + plan.layout.size


def test_tiles_of_a_frame() -> None:
    stages: dict[str, dict[str, Any]] = {
        "frame": {"model": "big"},
        "tiles": {"model": "big", "view": "tiles"},
        "grid": {"model": "big", "view": "tiles", "grid": (2, 2)},
        "crops": {"model": "big", "view": "crops", "source": "frame"},
        "when": {"model": "big", "view": "tiles", "condition": "frame"},
    }
    plan = planned([model("big")], stages, three("big"))
    assert [tiles_of(plan, "cam0", stage) for stage in plan.stages] == [1, 6, 4, None, 6]
    assert jobs_of(plan, "cam0") == 18
    assert [(stage.source, stage.condition) for stage in plan.stages] == [
        (None, None),
        (None, None),
        (None, None),
        (0, None),
        (None, 0),
    ]


# ---------------------------------------------------------------- actors


def test_each_actor_gets_what_it_needs_and_writes_only_what_is_its_own() -> None:
    sources = {"cam0": source(), "cam1": source((100, 50), None)}
    video = Path("/here/out.mp4")
    plan = planned([model("big"), model("small")], STAGES, SPLIT, sources, video)
    assert {name: stream.video for name, stream in plan.streams.items()} == {
        "cam0": Path("/here/out-cam0.mp4"),
        "cam1": Path("/here/out-cam1.mp4"),
    }
    names = ["control", "frames.cam0", "frames.cam1", "tiles", "core.0", "core.1", "core.2"]
    fds = {name: 10 + number for number, name in enumerate(names)}
    fds |= {f"{name}:r": 100 + fd for name, fd in fds.items()}
    actors = {actor.name: actor for actor in actor_plans(plan, fds)}
    assert {name: (actor.role, actor.ends, actor.fds) for name, actor in actors.items()} == {
        "cam0": ("capture", True, {"control": 10, "frames": 11}),
        "cam1": ("capture", True, {"control": 10, "frames": 12}),
        "tiler": (
            "tiler",
            False,
            {"control": 10, "frames.cam0": 111, "frames.cam1": 112, "tiles": 13},
        ),
        "npu0": ("worker", False, {"control": 10, "tiles": 113, "core": 14}),
        "npu1": ("worker", False, {"control": 10, "tiles": 113, "core": 15}),
        "npu2": ("worker", False, {"control": 10, "tiles": 113, "core": 16}),
        "merger": ("merger", False, {"control": 10}),
        "renderer": ("renderer", False, {"control": 10, "frames.cam0": 111, "frames.cam1": 112}),
    }
    assert set(actors) == set(plan.layout.actors)
    for actor in actors.values():
        assert actor.entry == f"actors.{actor.role}:main"
        assert actor.settings is plan
    assert {name: worker.stages for name, worker in plan.workers.items()} == {
        "npu0": {0},
        "npu1": {1},
        "npu2": {0, 1},
    }
    slots = [slot for worker in plan.workers.values() for slot in worker.slots]
    assert sorted(slots) == list(range(plan.layout.tile_slots))
    assert {name: sorted(worker.models) for name, worker in plan.workers.items()} == {
        "npu0": ["big"],
        "npu1": ["small"],
        "npu2": ["big", "small"],
    }


def test_a_run_without_a_video_has_no_renderer() -> None:
    plan = planned([model("small", runtime="onnx")], {"small": SMALL}, three("small"))
    fds = {"control": 1, "frames.cam0": 2, "frames.cam0:r": 3, "tiles": 4, "tiles:r": 5}
    actors = actor_plans(plan, fds)
    assert [actor.name for actor in actors] == ["cam0", "tiler", "npu0", "npu1", "npu2", "merger"]
    assert (plan.render.wanted, plan.emulated) == (False, False)
    assert plan.streams["cam0"].video is None
    with_video = planned(
        [model("small")], {"small": SMALL}, three("small"), video=Path("/here/x.mkv")
    )
    assert with_video.streams["cam0"].video == Path("/here/x.mkv")
