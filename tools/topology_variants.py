"""Variants of one topology, as an evaluation compares them, and what one run of each published.

Variant("six tiles", ["stages.small.overlap=0"])     what `--vary` gives
tilings("whole,tiles,whole+tiles", topology)         the usual ones, `--tilings`
"""

from __future__ import annotations

import json
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from actors.client import End, Result
from actors.config.schema import Topology

from .ground_truth import GroundTruth, found, of_known_labels
from .run_harness import Harness, messages_until_end
from .scoring import Found, Targets

_GRID = re.compile(r"([1-9]\d?)x([1-9]\d?)")
_END_S = 20.0


class VariantError(Exception):
    """A variant that cannot be understood; the message is one sentence with the remedy."""


class RunError(Exception):
    """A run that failed, with the end of its output. `wrong_input`: a fault of the topology."""

    def __init__(self, message: str, *, wrong_input: bool) -> None:
        super().__init__(message)
        self.wrong_input = wrong_input


@dataclass(frozen=True)
class Variant:
    """A name and the overrides that make it, as `--set` takes them."""

    name: str
    settings: Sequence[str] = ()


def tilings(text: str, topology: Topology) -> Iterator[Variant]:
    """`whole,2x2,tiles,whole+tiles`: each a variant with those stages and no others.

    A part is `whole`, `tiles` (native) or COLUMNSxROWS (resized), with `MODEL@` before it where it
    is not the model that already looks at the frame so. Raises VariantError.
    """
    for name in text.split(","):
        stages: dict[str, str] = {}
        for part in name.split("+"):
            model, _, view = part.strip().rpartition("@")
            keys = _view(view, topology)
            keys["model"] = json.dumps(model or _usual_model(topology, keys["view"]))
            table = ", ".join(f"{key} = {value}" for key, value in keys.items())
            stages[f"{view}-{model}" if model else view] = f"{{{table}}}"
        tables = ", ".join(f"{json.dumps(stage)} = {keys}" for stage, keys in stages.items())
        yield Variant(name.strip(), [f"stages={{{tables}}}"])


def _view(view: str, topology: Topology) -> dict[str, str]:
    """A stage's keys, as TOML."""
    if view == "whole":
        return {"view": '"frame"'}
    keys = {"view": '"tiles"'}
    if grid := _GRID.fullmatch(view):
        keys["grid"] = f"[{grid[1]}, {grid[2]}]"
    elif view != "tiles":
        raise VariantError(
            f'--tilings: "{view}" is not a view of a frame; write whole, tiles, or a grid as 2x2, '
            "joined by + where several look"
        )
    overlap = max((stage.overlap for stage in topology.stages.values()), default=0.0)
    return {**keys, "overlap": str(overlap)} if overlap else keys


def _usual_model(topology: Topology, view: str) -> str:
    """The model that looks at frames in that way already, or the only one."""
    stages = list(topology.stages.values())
    looking = [stage.model for stage in stages if json.dumps(stage.view) == view]
    return (looking or [stage.model for stage in stages])[0]


@dataclass(eq=False)
class VariantRun:
    """What one variant's run published of the annotated frames."""

    variant: Variant
    targets: list[Targets] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    frames: int = 0
    """All that were published."""
    incomplete: int = 0
    """Of those that count: a part of them was not looked at."""
    lost: int = 0
    """Results that did not come although they were published or due."""
    emulated: bool = False
    """By emulated cores: what was found means nothing."""
    simulated: bool = False
    """In the vendor's simulator: how fast means nothing."""
    seconds: float = 0.0
    fps: float | None = None
    """Between the first and the last result."""
    unknown_labels: Counter[str] = field(default_factory=Counter)
    """Detections by label, of labels that there are no targets of; they do not count."""

    @property
    def counted(self) -> int:
        return len(self.targets)

    @property
    def detections(self) -> int:
        return sum(len(frame.scores) for frame in self.found)


def run_variant(
    topology: Path,
    variant: Variant,
    options: Sequence[str],
    truth: GroundTruth,
    streams: Sequence[str],
    tick: Callable[[], None],
) -> VariantRun:
    """Run `topology` with `options` of `launch`; `tick` is called for each frame.

    The frames of `streams` are compared. Raises RunError, and GroundTruthError for a frame of
    another size than annotated.
    """
    ran = VariantRun(variant)
    published: list[int] = []
    seen: set[tuple[str, int]] = set()
    begin = time.monotonic()
    with Harness(topology, *options) as harness, harness.subscriber(1.0) as results:
        for message in messages_until_end(results, harness, silence_s=math.inf):
            if isinstance(message, End) or (message.stream, message.seq) in seen:
                continue
            seen.add((message.stream, message.seq))
            published.append(message.published_ns)
            ran.emulated |= bool(message.raw.get("emulated"))
            ran.simulated |= bool(message.raw.get("simulated"))
            if message.stream in streams:
                _take(ran, message, truth)
            tick()
        code = harness.wait(_END_S)
        if code != 0:
            raise RunError(_end_of_output(harness.stderr, code), wrong_input=code == 2)
        ran.lost = sum(results.gaps.values())
    ran.seconds = time.monotonic() - begin
    ran.frames = len(published)
    if len(published) > 1:
        ran.fps = (len(published) - 1) / ((max(published) - min(published)) / 1e9)
    # Only now are all labels of a scene's targets known.
    for place, frame in enumerate(ran.found):
        ran.found[place], unknown_labels = of_known_labels(frame, truth)
        ran.unknown_labels += unknown_labels
    return ran


def _end_of_output(stderr: str, code: int) -> str:
    """All faults of a topology (exit 2), else the last line, which says what happened."""
    lines = stderr.strip().splitlines() or [f"launch ended with code {code} and said nothing"]
    return "\n".join(lines if code == 2 else lines[-1:])


def _take(ran: VariantRun, result: Result, truth: GroundTruth) -> None:
    targets = truth.targets(result.raw)
    if targets is not None:
        ran.targets.append(targets)
        ran.found.append(found(result.raw, truth.numbers))
        ran.incomplete += not result.complete
