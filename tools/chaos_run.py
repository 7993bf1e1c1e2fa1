"""Run a topology twice, undisturbed and disturbed, and compare the two.

The caller's thread reads the results and compares them; a second one disturbs, looks at what
each process holds before and after, and ends the run; a third collects the run's events.
"""

from __future__ import annotations

import json
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from actors.client import End, Result
from actors.config.schema import Topology
from actors.system.control_socket import ControlError
from actors.system.text import plural

from . import run_resources
from .fault_injection import EventReader, FaultInjector, Plan, steps
from .recovery_times import Delays, Injection, crashes_ns, measure
from .result_comparison import Compared, Comparison, Reference
from .run_harness import Harness, HarnessError, messages_until_end

# Before the first disturbance and after the last: what the processes hold then is what they hold at
# work, and the last events have come.
_CALM_S = 1.5
_GROWTH_S = 5.0
_LOOK_S = 0.1
_END_S = 20.0


@dataclass(frozen=True)
class Outcome:
    """The result of a chaos run. `broken` has a line for each promise that was not kept."""

    compared: Compared
    delays: Delays
    done: Mapping[str, int]
    """Disturbances by kind."""
    hows: Mapping[str, int]
    """Disturbances by how they came: alone, together, starting."""
    in_gap: Sequence[Injection]
    """What was done during the longest gap between two frames."""
    held: Mapping[str, tuple[run_resources.ProcessResources, run_resources.ProcessResources]]
    """What each process held before the first disturbance and after the last, by name."""
    made_to_loop: bool
    """The sources were played over and over although the topology does not say so."""
    seconds: float
    reference_seconds: float
    reference_frames: int
    reference_gap_ms: float
    broken: Sequence[str]


class ChaosRun:
    """`harness` makes a run with these options of `launch`; `show` gets lines of progress."""

    def __init__(
        self, harness: Callable[..., Harness], topology: Topology, show: Callable[[str], None]
    ) -> None:
        self._harness = harness
        self._topology = topology
        self._show = show

    def run(self, plan: Plan) -> Outcome:
        """Both runs. HarnessError when the undisturbed one fails or cannot be a reference."""
        chance = random.Random(plan.seed)
        todo = steps(plan.counts, plan.interval_s, chance)
        with tempfile.TemporaryDirectory(prefix="tritile-") as folder:
            outputs = Path(folder)
            references, undisturbed, seconds = self._reference(outputs)
            loops = any(stream.loop for stream in self._topology.streams.values())
            # The end of a file is worth a trial too, so none is played again without need.
            needed = 2 * sum(step.wait_s for step in todo) + 2 * _CALM_S > seconds
            comparison = Comparison(references, looped=loops or needed)
            with self._harness(*self._options(outputs, loops or needed)) as harness:
                injector = FaultInjector(harness, todo, plan.roles, chance)
                run = _Disturbed(harness, injector, comparison, self._show)
                run.go()
            if self._topology.results.jsonl is not None:
                run.broken += _log_faults(outputs / _LOG)
        missing = sum(plan.counts.values()) - len(injector.injections)
        if missing:
            run.broken.append(f"{missing} of the disturbances asked for were not made")
        return Outcome(
            compared=run.compared,
            delays=measure(injector.injections, run.reader.events),
            done=Counter(injection.kind for injection in injector.injections),
            hows=Counter(injection.how for injection in injector.injections),
            in_gap=_during(run.compared.longest_gap_ns, injector.injections),
            held=run.held,
            made_to_loop=needed and not loops,
            seconds=run.seconds,
            reference_seconds=seconds,
            reference_frames=sum(map(len, references.values())),
            reference_gap_ms=undisturbed.longest_gap_ms,
            broken=run.broken,
        )

    def _reference(self, outputs: Path) -> tuple[dict[str, Reference], Compared, float]:
        """One pass over every source, what comparing it with itself gives, and its seconds."""
        records: dict[str, list[dict[str, Any]]] = {name: [] for name in self._topology.streams}
        with (
            self._harness(*self._options(outputs, False)) as harness,
            harness.subscriber(1.0) as results,
        ):
            for message in messages_until_end(results, harness):
                if isinstance(message, Result):
                    records[message.stream].append(message.raw)
                    self._show(f"undisturbed: {message.stream} #{message.seq}")
            if harness.wait(_END_S) != 0 or not all(records.values()):
                raise HarnessError(f"the undisturbed run failed:\n{harness.stderr}")
        try:
            references = {name: Reference(own) for name, own in records.items()}
        except ValueError as error:
            raise HarnessError(f"the undisturbed run cannot be a reference: {error}") from None
        comparison = Comparison(references, looped=False)
        times = []
        for own in records.values():
            for record in own:
                comparison.result(record)
                times.append(record["published_ns"])
        return references, comparison.finish([]), (max(times) - min(times)) / 1e9

    def _options(self, outputs: Path, looped: bool) -> list[str]:
        """For `launch`: outputs that are not where the user's are, files that are played on."""
        settings = [f"streams.{name}.loop={str(looped).lower()}" for name in self._topology.streams]
        if self._topology.render.video is not None:
            settings.append(f"render.video={outputs / self._topology.render.video.name}")
        if self._topology.results.jsonl is not None:
            settings.append(f"results.jsonl={outputs / _LOG}")
        if self._topology.render.pictures is not None:
            settings.append(f"render.pictures={outputs / self._topology.render.pictures.name}")
        # The run that disturbs replaces what the reference run has written there.
        return ["--overwrite", *(part for given in settings for part in ("--set", given))]


_LOG = "results.jsonl"


class _Disturbed:
    """The second run. `compared` and `broken` are complete when `go` returns."""

    def __init__(
        self,
        harness: Harness,
        injector: FaultInjector,
        comparison: Comparison,
        show: Callable[[str], None],
    ) -> None:
        self.broken: list[str] = []
        self.reader = EventReader(harness)
        self.seconds = 0.0
        self.held: dict[
            str, tuple[run_resources.ProcessResources, run_resources.ProcessResources]
        ] = {}
        self._harness = harness
        self._injector = injector
        self._comparison = comparison
        self._show = show
        self._failure: str | None = None
        self._processes: list[psutil.Process] = []
        self._leases: run_resources.Leases | None = None

    def go(self) -> None:
        """From the start to the end, and the verdict."""
        begin = time.monotonic()
        with self._harness.subscriber(1.0) as results:
            self._harness.wait_until_running()
            self.reader.start()
            threading.Thread(target=self._conduct, daemon=True).start()
            try:
                for message in messages_until_end(
                    results, self._harness, lambda: self._failure is not None
                ):
                    self._take(message)
            except HarnessError as error:
                self._failure = f"{error}; {self._states()}"
        self.seconds = time.monotonic() - begin
        self._injector.halt()
        self.reader.halt()
        self.compared = self._comparison.finish(crashes_ns(self.reader.events, "merger"))
        self._judge()

    def _take(self, message: Result | End) -> None:
        if isinstance(message, End):
            self._comparison.end(message.stream, message.frames)
            return
        self._comparison.result(message.raw)
        self._show(
            f"{plural(len(self._injector.injections), 'disturbance')}, "
            f"{plural(self._comparison.published, 'frame')}, "
            f"{plural(sum(self._comparison.counts.values()), 'fault')}"
        )

    # ------------------------------------------------------------ the second thread

    def _conduct(self) -> None:
        """Disturb, measure resources, end the run."""
        try:
            time.sleep(_CALM_S)
            self._processes = run_resources.processes_of(self._harness)
            self._leases = run_resources.Leases(self._harness)
            before = run_resources.measure(self._harness)
            self._injector.run()
            time.sleep(_CALM_S)
            if not self._injector.over:
                # A hang is noticed after 1.5 s: the actor stopped last may still be restarting,
                # and a stop waits 2 s for frames, no longer.
                self._harness.wait_until_running()
                self._measure_growth(before)
                if self._comparison.looped:
                    self._harness.ask(do="stop")
        except (HarnessError, ControlError, OSError, psutil.Error) as error:
            self._failure = str(error)

    def _measure_growth(self, before: Mapping[str, run_resources.ProcessResources]) -> None:
        deadline = time.monotonic() + _GROWTH_S
        after = run_resources.measure(self._harness)
        while (grown := run_resources.growth(before, after)) and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
            after = run_resources.measure(self._harness)
        self.broken += grown
        self.held = {name: (before[name], now) for name, now in after.items() if name in before}
        self._processes = run_resources.processes_of(self._harness)

    # ------------------------------------------------------------ the verdict

    def _states(self) -> str:
        """States of actors and streams, for the message about a run that is stuck."""
        try:
            status = self._harness.ask(do="status", seconds=5.0)["status"]
        except ControlError as error:
            return str(error)
        actors = [
            f"{a['name']} {a['state']} (queued {a['queued']}, leased {a['leased']})"
            for a in status["actors"]
        ]
        streams = [
            f"{s['name']} captured {s['captured']}, in flight {s['in_flight']}"
            for s in status["streams"]
        ]
        return "; ".join(actors + streams)

    def _judge(self) -> None:
        counts = self.compared.counts
        self.broken += [
            f"{plural(n, 'frame')} {kind.replace('_', ' ')}" for kind, n in counts.items() if n
        ]
        self.broken += [f"{name}: no end message" for name in self.compared.endless]
        self.broken += self._injector.refused
        assert self._harness.process is not None
        if self._failure is not None:
            self.broken.append(self._failure)
            return  # the run is still up
        try:
            code = self._harness.wait(_END_S)
        except HarnessError as error:
            self.broken.append(str(error))
            return
        if code != 0:
            self.broken.append(
                f"the run ended with code {code}: {_last_line(self._harness.stderr)}"
            )
        if "Traceback" in self._harness.stderr:
            self.broken.append(
                f"a traceback: {_last_line(self._harness.stderr.partition('Trace')[2])}"
            )
        assert self._leases is not None
        for name, count in self._leases.out().items():
            self.broken.append(f"{count} slots of {name} were not given back")
        self.broken += [
            f"left: {thing}" for thing in run_resources.leftovers(self._harness, self._processes)
        ]


def _log_faults(path: Path) -> list[str]:
    """Whether the result log has every frame once and in order: what is wrong with it."""
    expected: Counter[str] = Counter()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        record = json.loads(line)
        stream, seq = record["stream"], record.get("seq")
        if seq is None:
            continue
        if seq != expected[stream]:
            return [f"result log, line {number}: {stream} #{seq}, #{expected[stream]} was due"]
        expected[stream] += 1
    return []


def _during(span_ns: tuple[int, int], injections: Sequence[Injection]) -> list[Injection]:
    begin, end = span_ns
    return [injection for injection in injections if begin <= injection.time * 1e9 <= end]


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")
