"""How fast the cores allow: known numbers, random topologies against a maximum flow."""

from __future__ import annotations

import math
from collections import deque
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.config.schema import Worker
from actors.launcher.rate_limit import frame_rate_limit
from tests.support.plans import BIG, NAMES, SMALL, model, planned, source, three


def test_the_limit_of_six_tiles_on_three_cores() -> None:
    plan = planned([model("small")], {"small": SMALL}, three("small"))
    limit = frame_rate_limit(plan, "cam0")
    assert limit is not None
    assert math.floor(limit * 10) / 10 == 36.7
    assert limit == pytest.approx(3 / (6 * 0.0136))


def test_the_limit_of_two_models_on_all_cores() -> None:
    plan = planned(
        [model("big"), model("small")], {"big": BIG, "small": SMALL}, three("big", "small")
    )
    limit = frame_rate_limit(plan, "cam0")
    assert limit is not None
    assert math.floor(limit * 10) / 10 == 31.5
    assert limit == pytest.approx(3 / (7 * 0.0136))


CORES: dict[str, tuple[dict[str, list[str]], float]] = {
    # A known example: the big model on one core only, the small one on all. Stages can
    # share evenly, so all three cores count.
    "big model on one core": ({"0": ["big", "small"], "1": ["small"], "2": ["small"]}, 3 / 0.0952),
    "the big one has a core": (
        {"0": ["big"], "1": ["small"], "2": ["small"]},
        2 / 0.0816,
    ),
    "one core has it all": ({"0": ["big", "small"]}, 1 / 0.0952),
    "two workers on one core are one core": ({"0": ["big"], "0b": ["small"]}, 1 / 0.0952),
}


@pytest.mark.parametrize(("cores", "limit"), CORES.values(), ids=CORES.keys())
def test_the_limit_by_the_models_of_the_workers(cores: dict[str, list[str]], limit: float) -> None:
    workers = {f"npu{name}": Worker(core=int(name[0]), models=m) for name, m in cores.items()}
    plan = planned([model("big"), model("small")], {"big": BIG, "small": SMALL}, workers)
    assert frame_rate_limit(plan, "cam0") == pytest.approx(limit)


def test_the_limit_is_each_streams_own() -> None:
    sources = {"cam0": source(), "cam1": source((640, 640)), "cam2": source((3840, 2160))}
    plan = planned([model("small", 10)], {"small": SMALL}, three("small"), sources)
    limits = [frame_rate_limit(plan, name) for name in sources]
    assert limits == [pytest.approx(3 / 0.06), pytest.approx(3 / 0.01), pytest.approx(3 / 0.24)]


def test_no_limit_is_known_without_a_latency() -> None:
    stages = {"big": BIG, "small": SMALL}
    plan = planned([model("big", None), model("small")], stages, three("big", "small"))
    assert frame_rate_limit(plan, "cam0") is None
    # A model that no stage uses does not matter; one that takes no time sets no limit.
    plan = planned([model("big", None), model("small")], {"small": SMALL}, three("big", "small"))
    assert frame_rate_limit(plan, "cam0") == pytest.approx(3 / 0.0816)
    plan = planned([model("small", 0.0)], {"small": SMALL}, three("small"))
    assert frame_rate_limit(plan, "cam0") is None


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
            for (_, core), (_, other) in zip(path[1::2], path[2::2], strict=False):
                amount = min(amount, flow[other][core])
            room[end[1]] -= amount
            left -= amount
            for (_, other), (_, core) in zip(path[0::2], path[1::2], strict=True):
                flow[other][core] += amount
            for (_, core), (_, other) in zip(path[1::2], path[2::2], strict=False):
                flow[other][core] -= amount
    return True


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
    limit = frame_rate_limit(planned(models, stages, workers), "cam0")
    assert limit is not None
    needs = [Fraction(latencies[names.index(name)] * tiles, 1000) for name, (_, tiles) in views]
    able = [{core for core, models_ in held if name in models_} for name, _ in views]
    just = Fraction(limit)
    assert carries(just * (1 - Fraction(1, 10**9)), needs, able, 4)
    assert not carries(just * (1 + Fraction(1, 10**9)), needs, able, 4)
