"""The plan: slots, memory, who runs what, how fast the cores allow, when a run makes no sense."""

from __future__ import annotations

import math
from collections import deque
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.plan import Plan, make
from actors.settings import (
    CaptureSettings,
    MergerSettings,
    ModelSettings,
    RendererSettings,
    TilerSettings,
    WorkerSettings,
)
from actors.sources import SourceInfo
from actors.topology import Model, Render, Stage, Stream, Topology, Worker
from actors.vision.heads.description import HeadDescription

HD = (1920, 1080)
PERSON = ("person", "bicycle", "car")


def model(name: str, latency_ms: float | None = 13.6, **other: Any) -> ModelSettings:
    values: dict[str, Any] = {
        "path": f"/models/{name}.onnx",
        "runtime": "emulated",
        "size": (640, 640),
        "head": HeadDescription("yolov8", 3, False, (0, 1, 2)),
        "labels": PERSON,
        "color": "rgb",
        "mean": (0.0, 0.0, 0.0),
        "std": (255.0, 255.0, 255.0),
        "conf": 0.25,
        "iou": 0.5,
    }
    return ModelSettings(name=name, latency_ms=latency_ms, **{**values, **other})


def source(size: tuple[int, int] = HD, fps: float | None = 30.0) -> SourceInfo:
    return SourceInfo(
        width=size[0],
        height=size[1],
        frame_bytes=size[0] * size[1] * 3,
        fps=fps,
        frames=302,
        live=False,
        sizes=(size,),
    )


def planned(
    models: list[ModelSettings],
    stages: dict[str, dict[str, Any]],
    workers: dict[str, Worker],
    sources: dict[str, SourceInfo] | None = None,
    video: Path | None = None,
    slots: int | None = None,
) -> Plan:
    sources = sources or {"cam0": source()}
    topology = Topology(
        file=Path("/here/topology.toml"),
        streams={name: Stream(source=f"/here/{name}.mp4", slots=slots) for name in sources},
        models={m.name: Model(path=Path(m.path), latency_ms=m.latency_ms) for m in models},
        stages={name: Stage(**stage) for name, stage in stages.items()},
        workers=workers,
        render=Render(video=video),
    )
    return make(topology, sources, {m.name: m for m in models})


def three(*models: str, **keys: Any) -> dict[str, Worker]:
    return {f"npu{core}": Worker(core=core, models=list(models), **keys) for core in range(3)}


BIG = {"model": "big", "view": "frame"}
SMALL = {"model": "small", "view": "tiles"}


# ---------------------------------------------------------------- the frame rate


def test_the_limit_of_six_tiles_on_three_cores() -> None:
    plan = planned([model("small")], {"small": SMALL}, three("small"))
    limit = plan.frame_rate_limit("cam0")
    assert limit is not None
    assert math.floor(limit * 10) / 10 == 36.7
    assert limit == pytest.approx(3 / (6 * 0.0136))


def test_the_limit_of_two_models_on_all_cores() -> None:
    plan = planned(
        [model("big"), model("small")], {"big": BIG, "small": SMALL}, three("big", "small")
    )
    limit = plan.frame_rate_limit("cam0")
    assert limit is not None
    assert math.floor(limit * 10) / 10 == 31.5
    assert limit == pytest.approx(3 / (7 * 0.0136))


CORES: dict[str, tuple[dict[str, list[str]], float]] = {
    # The contract's example: the big model on one core only, the small one on all. Stages can
    # share evenly, so all three cores count.
    "as in the contract": ({"0": ["big", "small"], "1": ["small"], "2": ["small"]}, 3 / 0.0952),
    "the big one has a core": (
        {"0": ["big"], "1": ["small"], "2": ["small"]},
        2 / 0.0816,
    ),
    "one core has it all": ({"0": ["big", "small"]}, 1 / 0.0952),
    "two workers on one core are one core": ({"0": ["big"], "0b": ["small"]}, 1 / 0.0952),
}


@pytest.mark.parametrize(("cores", "limit"), CORES.values(), ids=CORES.keys())
def test_the_limit_by_who_holds_what(cores: dict[str, list[str]], limit: float) -> None:
    workers = {f"npu{name}": Worker(core=int(name[0]), models=m) for name, m in cores.items()}
    plan = planned([model("big"), model("small")], {"big": BIG, "small": SMALL}, workers)
    assert plan.frame_rate_limit("cam0") == pytest.approx(limit)


def test_the_limit_is_each_streams_own() -> None:
    sources = {"cam0": source(), "cam1": source((640, 640)), "cam2": source((3840, 2160))}
    plan = planned([model("small", 10)], {"small": SMALL}, three("small"), sources)
    limits = [plan.frame_rate_limit(name) for name in sources]
    assert limits == [pytest.approx(3 / 0.06), pytest.approx(3 / 0.01), pytest.approx(3 / 0.24)]


def test_no_limit_is_known_without_a_latency() -> None:
    stages = {"big": BIG, "small": SMALL}
    plan = planned([model("big", None), model("small")], stages, three("big", "small"))
    assert plan.frame_rate_limit("cam0") is None
    # A model that no stage uses does not matter; one that takes no time sets no limit.
    plan = planned([model("big", None), model("small")], {"small": SMALL}, three("big", "small"))
    assert plan.frame_rate_limit("cam0") == pytest.approx(3 / 0.0816)
    plan = planned([model("small", 0.0)], {"small": SMALL}, three("small"))
    assert plan.frame_rate_limit("cam0") is None


def carries(rate: Fraction, needs: list[Fraction], able: list[set[int]], cores: int) -> bool:
    """Whether the cores can do `rate` frames/s: by augmenting paths, stage -> core -> out.

    `needs` are core seconds a frame by stage, `able` the cores that can run it.
    """
    room = [Fraction(1)] * cores
    flow = [[Fraction(0)] * cores for _ in needs]
    for stage, need in enumerate(needs):
        left = rate * need
        while left > 0:
            # Breadth first over stages; a core that is full may be freed by moving its stages.
            came: dict[tuple[str, int], tuple[str, int] | None] = {("stage", stage): None}
            queue = deque([("stage", stage)])
            end = None
            while queue and end is None:
                kind, at = node = queue.popleft()
                if kind == "core" and room[at] > 0:
                    end = node
                elif kind == "core":
                    for other in range(len(needs)):
                        if flow[other][at] > 0 and ("stage", other) not in came:
                            came["stage", other] = node
                            queue.append(("stage", other))
                else:
                    for core in able[at]:
                        if ("core", core) not in came:
                            came["core", core] = node
                            queue.append(("core", core))
            if end is None:
                return False
            path = [end]
            while (before := came[path[-1]]) is not None:
                path.append(before)
            path.reverse()
            amount = min(left, room[end[1]])
            for core, other in zip(path[1::2], path[2::2], strict=False):
                amount = min(amount, flow[other[1]][core[1]])
            room[end[1]] -= amount
            left -= amount
            for at_stage, core in zip(path[0::2], path[1::2], strict=True):
                flow[at_stage[1]][core[1]] += amount
            for core, other in zip(path[1::2], path[2::2], strict=False):
                flow[other[1]][core[1]] -= amount
    return True


NAMES = ["a", "b", "c", "d"]
VIEWS: list[tuple[dict[str, Any], int]] = [
    ({"view": "frame"}, 1),
    ({"view": "tiles"}, 6),
    ({"view": "tiles", "grid": (2, 2)}, 4),
    ({"view": "tiles", "grid": (5, 1)}, 5),
]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_the_limit_is_what_the_cores_can_carry(data: st.DataObject) -> None:
    """Just under it a maximum flow carries all jobs, just over it none does."""
    latencies = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=4), "latencies")
    names = NAMES[: len(latencies)]
    held = data.draw(
        st.lists(
            st.tuples(st.integers(0, 3), st.sets(st.sampled_from(names), min_size=1)),
            min_size=1,
            max_size=5,
        ),
        "workers",
    )
    missing = set(names).difference(*(models for _, models in held))
    held += [(3, missing)] if missing else []
    workers = {f"npu{n}": Worker(core=core, models=sorted(m)) for n, (core, m) in enumerate(held)}
    views = data.draw(
        st.lists(st.tuples(st.sampled_from(names), st.sampled_from(VIEWS)), min_size=1, max_size=5),
        "stages",
    )
    stages = {f"s{n}": {"model": name, **view} for n, (name, (view, _)) in enumerate(views)}
    models = [model(name, float(ms)) for name, ms in zip(names, latencies, strict=True)]
    limit = planned(models, stages, workers).frame_rate_limit("cam0")
    assert limit is not None
    needs = [Fraction(latencies[names.index(name)] * tiles, 1000) for name, (_, tiles) in views]
    able = [{core for core, models_ in held if name in models_} for name, _ in views]
    just = Fraction(limit)
    assert carries(just * (1 - Fraction(1, 10**9)), needs, able, 4)
    assert not carries(just * (1 + Fraction(1, 10**9)), needs, able, 4)


# ---------------------------------------------------------------- when it makes no sense

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
    assert plan.cannot_go_on(failed) == reason


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
    assert plan.classes() == (labels, dict(zip(names, ids, strict=True)))


def test_classes_follow_the_stages_and_leave_out_what_no_stage_uses() -> None:
    models = [model("a", labels=("x",)), model("b", labels=("y",)), model("c", labels=("z",))]
    stages = {"first": {"model": "c"}, "second": {"model": "a"}, "third": {"model": "c"}}
    plan = planned(models, stages, three("a", "b", "c"))
    assert plan.classes() == (("z", "x"), {"c": (0,), "a": (1,)})


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
    assert [(w.name, w.core, w.contexts, w.cpus, w.first_slot, w.slots) for w in plan.workers] == [
        ("w0", 0, 1, (), 0, 2),
        ("w1", 1, 2, (), 2, 4),
        ("w2", 2, 1, (), 6, 4),
        ("w3", 2, 4, (1, 2), 10, 6),
        ("w4", 2, 1, (), 16, 2),
    ]
    assert plan.layout.tile_slots == 18
    assert [plan.can_run(w) for w in plan.workers] == [{0}, {1}, {0, 2}, {0, 1}, set()]


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
    jobs = {name: plan.jobs(name) for name in sources}
    assert jobs == {"cam0": 1 + 6 * 2, "cam1": 2}
    for name, count in plan.slots.items():
        assert count == slots or (slots is None and 3 <= count <= 16)
        assert slots or jobs[name] * len(sources) * count >= plan.layout.tile_slots
    pages = 4096
    frames = -(-1920 * 1080 * 3 // pages) * pages * plan.slots["cam0"]
    frames += -(-100 * 50 * 3 // pages) * pages * plan.slots["cam1"]
    tiles = 640 * 640 * 3 // pages * pages * 12
    assert plan.tile_bytes == 640 * 640 * 3
    assert plan.memory_bytes == frames + tiles + plan.layout.size


def test_tiles_of_a_frame() -> None:
    stages = {
        "frame": {"model": "big"},
        "tiles": {"model": "big", "view": "tiles"},
        "grid": {"model": "big", "view": "tiles", "grid": (2, 2)},
        "crops": {"model": "big", "view": "crops", "source": "frame"},
        "when": {"model": "big", "view": "tiles", "condition": "frame"},
    }
    plan = planned([model("big")], stages, three("big"))
    assert [plan.tiles("cam0", stage) for stage in plan.stages] == [1, 6, 4, None, 6]
    assert plan.jobs("cam0") == 18
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
    assert plan.videos() == {
        "cam0": Path("/here/out-cam0.mp4"),
        "cam1": Path("/here/out-cam1.mp4"),
    }
    names = ["control", "frames.cam0", "frames.cam1", "tiles", "core.0", "core.1", "core.2"]
    fds = {name: 10 + number for number, name in enumerate(names)}
    fds |= {f"{name}:r": 100 + fd for name, fd in fds.items()}
    actors = {actor.name: actor for actor in plan.actors(fds, "tcp://127.0.0.1:5570")}
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
    kinds: dict[str, type[Any]] = {
        "capture": CaptureSettings,
        "tiler": TilerSettings,
        "worker": WorkerSettings,
        "merger": MergerSettings,
        "renderer": RendererSettings,
    }
    for actor in actors.values():
        assert actor.entry == f"actors.{actor.role}:main"
        assert type(actor.settings) is kinds[actor.role]
        assert actor.settings.layout == plan.layout
    rules = actors["tiler"].settings.workers
    assert {name: rule.stages for name, rule in rules.items()} == {
        "npu0": {0},
        "npu1": {1},
        "npu2": {0, 1},
    }
    slots = [slot for rule in rules.values() for slot in rule.slots]
    assert sorted(slots) == list(range(plan.layout.tile_slots))
    assert {name: sorted(actors[name].settings.models) for name in SPLIT} == {
        "npu0": ["big"],
        "npu1": ["small"],
        "npu2": ["big", "small"],
    }


def test_a_run_without_a_video_has_no_renderer() -> None:
    plan = planned([model("small", runtime="onnx")], {"small": SMALL}, three("small"))
    fds = {"control": 1, "frames.cam0": 2, "frames.cam0:r": 3, "tiles": 4, "tiles:r": 5}
    actors = plan.actors(fds, "tcp://127.0.0.1:5570")
    assert [actor.name for actor in actors] == ["cam0", "tiler", "npu0", "npu1", "npu2", "merger"]
    assert (plan.rendering, plan.emulated, plan.videos()) == (False, False, {})
    assert not actors[-1].settings.renderer
    assert planned(
        [model("small")], {"small": SMALL}, three("small"), video=Path("/here/x.mkv")
    ).videos() == {"cam0": Path("/here/x.mkv")}
