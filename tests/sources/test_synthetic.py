"""The drawn scene: the same frame for every reader, and a truth that agrees with the pixels."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from actors.scene.layout import HEADINGS
from actors.scene.scene import Scene
from actors.scene.shapes import LABELS, LARGE, bounds, outline
from actors.scene.world import Placed, World
from actors.sources.contract import SourceError, SourceInfo, SourceRequest
from actors.sources.opening import inspect, open_source
from tests.support import runs
from tools.run_harness import Harness, pids

SIZE = (640, 360)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(SIZE, 7)


def drawn(scene: Scene, number: int) -> NDArray[np.uint8]:
    out = np.full((SIZE[1], SIZE[0], 3), 99, np.uint8)
    scene.frame(number, out)
    return out


def only(scene: Scene, monkeypatch: pytest.MonkeyPatch, *placed: Placed) -> None:
    """No other objects are there."""
    monkeypatch.setattr(scene.world, "placed", lambda number: list(placed))


def test_a_frame_is_the_same_in_whatever_order(scene: Scene) -> None:
    numbers = [0, 1, 250, 100_000]
    other = Scene(SIZE, 7)
    theirs = {number: drawn(other, number) for number in reversed(numbers)}
    for number in numbers:
        np.testing.assert_array_equal(drawn(scene, number), theirs[number])
        for mine, his in zip(
            vars(scene.truth(number)).values(), vars(other.truth(number)).values(), strict=True
        ):
            np.testing.assert_array_equal(mine, his)
    assert len({frame.tobytes() for frame in theirs.values()}) == len(numbers)
    assert drawn(Scene(SIZE, 8), 0).tobytes() != theirs[0].tobytes()


def test_what_is_drawn_lies_in_its_box(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without shadows, which are no part of the target.
    monkeypatch.setattr(scene, "_light", replace(scene._light, strength=0.0))
    monkeypatch.setattr(scene, "_sprites", {})
    monkeypatch.setattr(scene, "_trees", [])
    only(scene, monkeypatch)
    bare = drawn(scene, 5).astype(int)
    # In the middle of the frame, across its edges, and in a corner.
    spots = [(320, 180), (4, 180), (320, 356), (637, 2)]
    for figure in range(len(scene.layout.figures)):
        for spot, heading in zip(spots, (3, 9, 14, 30), strict=True):
            one = Placed(figure, *spot, heading * 2 * np.pi / HEADINGS, True)
            only(scene, monkeypatch, one)
            truth = scene.truth(5)
            assert truth.class_ids.tolist() == [scene.layout.figures[figure].kind]
            rows, columns = (np.abs(drawn(scene, 5) - bare).max(axis=2) > 0).nonzero()
            low, high = (columns.min(), rows.min()), (columns.max() + 1, rows.max() + 1)
            seen = np.array([*low, *high], float)
            # Half a pixel of soft edge on each side, and paint of just the ground's colour.
            assert np.abs(truth.boxes[0] - seen).max() < 2.5, (figure, spot, truth.boxes, seen)


def test_how_much_of_a_target_is_seen(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = [one.kind for one in scene.layout.figures]
    truck, car, person = (kinds.index(kind) for kind in (0, 2, 3))

    def seen(*placed: Placed) -> list[float]:
        only(scene, monkeypatch, *placed)
        return [round(float(value), 2) for value in scene.truth(0).visible]

    high = Placed(truck, 320, 180, 0.0, True)
    assert seen(high) == [1.0]
    # What is drawn later covers what was drawn before.
    walker = Placed(person, 240, 180, 0.0, True)
    assert seen(walker, high) == [0.0, 1.0]
    across = Placed(car, 300, 180, np.pi / 2, True)
    behind, before = seen(high, across)
    assert before == 1.0 and 0.75 < behind < 0.95
    # The frame's edge cuts, and the box ends there.
    assert seen(replace_x(high, 0))[0] == pytest.approx(0.5, abs=0.08)
    assert scene.truth(0).boxes[0, 0] == 0
    assert not scene.truth(0).ignored[0]
    length = scene.layout.figures[truck].length
    assert seen(replace_x(high, -round(0.3 * length)))[0] < 0.3
    assert scene.truth(0).ignored[0]
    assert seen(replace_x(high, -round(0.6 * length))) == []
    # The bridge covers what is on the ground, and not what is on it.
    middle = scene.layout.roads[1].middle
    under = Placed(person, round(middle[0]), round(middle[1]), 0.0, False)
    assert seen(under) == [0.0]
    assert seen(under._replace(high=True)) == [1.0]
    # So does a tree.
    monkeypatch.setattr(scene.layout, "trees", np.array([[*middle, 0.0], [60.0, 300.0, 30.0]]))
    assert seen(Placed(person, 60, 300, 0.0, False)) == [0.0]
    assert seen(Placed(person, 60, 300, 0.0, True)) == [1.0]


def replace_x(one: Placed, x: int) -> Placed:
    return one._replace(x=x)


def test_what_the_bridge_covers_is_not_drawn(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    middle = scene.layout.roads[1].middle
    under = Placed(0, round(middle[0]), round(middle[1]), scene.layout.roads[1].angle, False)
    only(scene, monkeypatch)
    bare = drawn(scene, 3)
    only(scene, monkeypatch, under)
    covered = scene._bridge > 0
    np.testing.assert_array_equal(drawn(scene, 3)[covered], bare[covered])


def test_sizes_at_1080p() -> None:
    large: list[float] = []
    small: list[float] = []
    for seed in range(20):
        world = World((1920, 1080), seed)
        for figure in world.layout.figures:
            for heading in range(HEADINGS):
                x1, y1, x2, y2 = bounds(outline(figure), heading * 2 * np.pi / HEADINGS)
                (large if figure.kind < LARGE else small).append(max(x2 - x1, y2 - y1))
    assert min(large) >= 140 and max(large) <= 710
    assert min(small) >= 10 and max(small) <= 42


@pytest.mark.parametrize("size", [(1920, 1080), (1280, 720), (64, 64), (500, 900), (3840, 2160)])
def test_every_size_has_its_truth(size: tuple[int, int]) -> None:
    world = World(size, 3)
    kinds: set[int] = set()
    for number in range(0, 2000, 100):
        truth = world.truth(number)
        kinds.update(truth.class_ids.tolist())
        assert truth.boxes.shape == (len(truth.class_ids), 4)
        assert (truth.boxes[:, :2] < truth.boxes[:, 2:]).all()
        assert (truth.boxes >= 0).all() and (truth.boxes <= np.tile(size, 2)).all()
        assert ((truth.visible >= 0) & (truth.visible <= 1)).all()
    if min(size) > 300:
        assert kinds == set(range(len(LABELS)))


def test_the_truth_needs_no_opencv() -> None:
    code = (
        "import sys; from actors.scene.world import World; "
        "World((1920, 1080), 0).truth(7); sys.exit('cv2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_source_has_no_end_and_starts_anywhere(scene: Scene) -> None:
    ask = SourceRequest(size=SIZE, fps=12.5, seed=7)
    info = inspect("synthetic", ask)
    assert info == SourceInfo(640, 360, 640 * 360 * 3, 12.5, None, False, (SIZE,))
    slot = np.zeros(info.frame_bytes + 9, np.uint8)
    source = open_source("synthetic", start=41, request=ask)
    for number in (41, 42):
        assert source.position() == number
        assert source.read(slot) == SIZE
        frame = slot[: info.frame_bytes].reshape(360, 640, 3)
        np.testing.assert_array_equal(frame, drawn(scene, number))
    assert not slot[info.frame_bytes :].any()
    assert (source.unreadable, source.last_error) == (0, None)
    source.close()
    source.close()
    assert source.read(slot) is None


def test_the_source_left_to_itself() -> None:
    info = inspect("synthetic")
    assert (info.width, info.height, info.fps) == (1920, 1080, 30.0)


def test_sources_that_cannot_be() -> None:
    with pytest.raises(SourceError, match=r"synthetic: a scene of 63x640 .* from 64x64 to 8192"):
        inspect("synthetic", SourceRequest(size=(63, 640)))
    source = open_source("synthetic", request=SourceRequest(size=SIZE))
    with pytest.raises(SourceError, match="takes 691200 bytes and the frame slot has 100"):
        source.read(np.zeros(100, np.uint8))
    assert source.position() == 1


def test_a_run_and_a_capture_that_dies() -> None:
    frames = 60
    topology = (
        runs.stream("synthetic", size=list(SIZE), seed=7, pace="realtime")
        + runs.instant()
        + runs.stage("s", "tiles")
        + runs.workers(1)
    )
    undisturbed, ends = runs.run(topology, "--frames", str(frames))
    assert ends == {"cam0": frames}
    assert runs.in_order_once(undisturbed["cam0"], frames)
    records: list[runs.Record] = []
    with Harness(topology, "--frames", str(frames)) as harness:
        for message in runs.messages(harness):
            records.append(message.raw)
            if len(records) == 10:
                os.kill(pids(harness.status())["cam0"], signal.SIGKILL)
        assert harness.wait(20) == 0, harness.stderr
    assert runs.essence(records[:-1]) == runs.essence(undisturbed["cam0"])
