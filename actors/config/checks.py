"""What is checked of a topology between its keys and its tables.

Each check is a function from a `Draft` to what it finds; `run_checks` runs them all, and tells one
fault a place. Whatever pydantic refused before is a stand-in here, and is not told again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter

from actors.config import file_checks as outside
from actors.config.errors import Finding, Place, show, unknown
from actors.config.partial import PartialConfig

# Streams and workers are actors and share one space of names with these.
RESERVED_NAMES = ("tiler", "merger", "renderer", "supervisor", "control")
NAMED_TABLES = ("streams", "models", "stages", "workers")


def check_not_empty(draft: PartialConfig) -> Iterator[Finding]:
    """Something to look at, something to run, and somebody to run it."""
    keys = {
        "streams": "source = ...",
        "models": "path = ...",
        "stages": "model = ...",
        "workers": "core = ... and models = [...]",
    }
    for table, required in keys.items():
        if draft.sound(table) and not draft.names(table):
            yield (), f"no {table}: add a [{table}.NAME] table with {required}"


def check_names(draft: PartialConfig) -> Iterator[Finding]:
    """Names go into socket files, topics and `--set`."""
    named: list[tuple[Place, str]] = [(("run", "name"), draft.tables.run.name)]
    named += [((table, name), name) for table in NAMED_TABLES for name in draft.names(table)]
    for place, name in named:
        if not re.fullmatch("[a-z0-9][a-z0-9_-]{0,31}", name):
            rule = "use 1 to 32 of a-z, 0-9, - and _, and begin with a letter or digit"
            yield place, f"{show(name)} cannot be a name; {rule}"


def check_actor_names(draft: PartialConfig) -> Iterator[Finding]:
    """Streams and workers become actors, which are spoken to by name."""
    for table in ("streams", "workers"):
        for name in draft.names(table):
            if name in RESERVED_NAMES:
                yield (table, name), f'"{name}" is the name of another actor; choose another name'
            elif table == "workers" and name in draft.names("streams"):
                yield (
                    (table, name),
                    f'a stream is named "{name}" too; give one of them another name',
                )


def check_views(draft: PartialConfig) -> Iterator[Finding]:
    """The keys that go with one view."""
    views = {"overlap": "tiles", "grid": "tiles", "source": "crops", "max_crops": "crops"}
    for name, stage in draft.tables.stages.items():
        if not draft.sound("stages", name, "view"):
            continue
        for given, view in views.items():
            if given in stage.model_fields_set and stage.view != view:
                problem = f'{given} goes with view = "{view}", and the view is "{stage.view}"'
                yield ("stages", name, given), f"{problem}; remove it or change the view"
        if stage.view == "crops" and stage.source is None:
            problem = 'missing; view = "crops" needs the stage whose boxes are cropped'
            yield ("stages", name, "source"), problem


def check_worker_lists(draft: PartialConfig) -> Iterator[Finding]:
    """A worker holds something, and nothing twice."""
    for name, worker in draft.tables.workers.items():
        if not worker.models:
            yield ("workers", name, "models"), "the list is empty; name at least one model"
        lists: dict[str, Sequence[object]] = {"models": worker.models, "cpus": worker.cpus or ()}
        for listed, values in lists.items():
            for i, value in enumerate(values):
                if value in values[:i]:
                    yield ("workers", name, listed, i), f"{show(value)} is listed twice; remove one"


def check_references(draft: PartialConfig) -> Iterator[Finding]:
    """Every name that refers to a model or a stage."""
    references: list[tuple[Place, str, str | None]] = []
    for name, stage in draft.tables.stages.items():
        references.append((("stages", name, "model"), "models", stage.model))
        for role, other in (("source", stage.source), ("condition", stage.condition)):
            references.append((("stages", name, role), "stages", other))
            if other == name:
                yield (
                    ("stages", name, role),
                    f"a stage cannot be its own {role}; name another stage",
                )
    for name, worker in draft.tables.workers.items():
        for i, model in enumerate(worker.models):
            references.append((("workers", name, "models", i), "models", model))
    for place, table, wanted in references:
        known = draft.names(table)
        # Where there are none at all, that is the mistake, and check_not_empty tells it.
        if wanted is not None and known and wanted not in known:
            yield place, unknown(f"no {table[:-1]} named", wanted, known, table)


def check_cycles(draft: PartialConfig) -> Iterator[Finding]:
    """Stages that wait for each other through source or condition; each cycle told once."""
    stages = draft.tables.stages
    needs = {
        name: [other for other in (stage.source, stage.condition) if other and other != name]
        for name, stage in stages.items()
    }
    while True:
        try:
            return TopologicalSorter(needs).prepare()
        except CycleError as error:
            # It goes from predecessor to successor and ends with the first again.
            cycle: list[str] = error.args[1][:0:-1]
        first = min(range(len(cycle)), key=lambda i: list(stages).index(cycle[i]))
        cycle = cycle[first:] + cycle[:first]
        role = "source" if stages[cycle[0]].source == cycle[1] else "condition"
        route = " -> ".join([*cycle, cycle[0]])
        problem = f"stages wait for each other: {route}; remove one source or condition of these"
        yield ("stages", cycle[0], role), problem
        for name in cycle:
            needs[name] = []


def check_models_are_held(draft: PartialConfig) -> Iterator[Finding]:
    """Somebody runs every stage. Not told while a worker's list has a fault of its own."""
    known, workers = draft.names("models"), draft.tables.workers
    held = {model for worker in workers.values() for model in worker.models}
    sound = all(draft.sound("workers", name, "models") for name in draft.names("workers"))
    filled = workers and all(worker.models for worker in workers.values())
    if not (sound and filled and held <= set(known)):
        return
    for name, stage in draft.tables.stages.items():
        if stage.model in known and stage.model not in held:
            problem = f'no worker holds the model "{stage.model}"; add it to the models of a worker'
            yield ("stages", name, "model"), problem


CHECKS: tuple[Callable[[PartialConfig], Iterator[Finding]], ...] = (
    check_not_empty,
    check_names,
    check_actor_names,
    outside.check_sources,
    outside.check_ground_truth,
    outside.check_rknn_models,
    outside.check_models,
    outside.check_labels,
    check_views,
    check_worker_lists,
    check_references,
    check_cycles,
    check_models_are_held,
    outside.check_address,
    outside.check_outputs,
)


def run_checks(draft: PartialConfig) -> Iterator[Finding]:
    """What the checks find, one fault a place, none at a key where pydantic found one already."""
    told: set[Place] = set()
    for check in CHECKS:
        for place, problem in check(draft):
            if not place or (place not in told and (len(place) < 3 or draft.sound(*place))):
                told.add(place)
                yield place, problem
