"""Checks between the keys and tables of a topology, and its warnings.

Each check is a function from a `PartialConfig` to what it finds; `run_checks` runs them all and
reports one problem a place. Where pydantic refused a value, a stand-in takes its place here, and
the problem is not reported again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter

from actors.config import file_checks, output_checks
from actors.config.cpu_checks import check_cpus, cpu_warnings
from actors.config.errors import Finding, Place, dotted, show, unknown
from actors.config.partial import PartialConfig
from actors.config.schema import Tables

# Streams and workers are actors, and share one space of names with these.
RESERVED_NAMES = ("tiler", "merger", "renderer", "supervisor", "control")
NAMED_TABLES = ("streams", "models", "stages", "workers")


def check_not_empty(config: PartialConfig) -> Iterator[Finding]:
    """There is a stream, a model, a stage and a worker."""
    keys = {
        "streams": "source = ...",
        "models": "path = ...",
        "stages": "model = ...",
        "workers": "core = ... and models = [...]",
    }
    for table, required in keys.items():
        if config.sound(table) and not config.names(table):
            yield (), f"no {table}: add a [{table}.NAME] table with {required}"


def check_names(config: PartialConfig) -> Iterator[Finding]:
    """Names go into socket files, topics and `--set`."""
    named: list[tuple[Place, str]] = [(("run", "name"), config.tables.run.name)]
    named += [((table, name), name) for table in NAMED_TABLES for name in config.names(table)]
    for place, name in named:
        if not re.fullmatch("[a-z0-9][a-z0-9_-]{0,31}", name):
            rule = "use 1 to 32 of a-z, 0-9, - and _, and begin with a letter or digit"
            yield place, f"{show(name)} cannot be a name; {rule}"


def check_actor_names(config: PartialConfig) -> Iterator[Finding]:
    """Streams and workers become actors, which are addressed by name."""
    for table in ("streams", "workers"):
        for name in config.names(table):
            if name in RESERVED_NAMES:
                yield (table, name), f'"{name}" is the name of another actor; choose another name'
            elif table == "workers" and name in config.names("streams"):
                yield (
                    (table, name),
                    f'a stream is named "{name}" too; give one of them another name',
                )


def check_views(config: PartialConfig) -> Iterator[Finding]:
    """The keys that go with one view."""
    views = {"overlap": "tiles", "grid": "tiles", "source": "crops", "max_crops": "crops"}
    for name, stage in config.tables.stages.items():
        if not config.sound("stages", name, "view"):
            continue
        for given, view in views.items():
            if given in stage.model_fields_set and stage.view != view:
                problem = f'{given} goes with view = "{view}", and the view is "{stage.view}"'
                yield ("stages", name, given), f"{problem}; remove it or change the view"
        if stage.view == "crops" and stage.source is None:
            problem = 'missing; view = "crops" needs the stage whose boxes are cropped'
            yield ("stages", name, "source"), problem


def check_worker_lists(config: PartialConfig) -> Iterator[Finding]:
    """A worker holds at least one model, and lists nothing twice."""
    for name, worker in config.tables.workers.items():
        if not worker.models:
            yield ("workers", name, "models"), "the list is empty; name at least one model"
        lists: dict[str, Sequence[object]] = {"models": worker.models, "cpus": worker.cpus or ()}
        for listed, values in lists.items():
            for i, value in enumerate(values):
                if value in values[:i]:
                    yield ("workers", name, listed, i), f"{show(value)} is listed twice; remove one"


def check_references(config: PartialConfig) -> Iterator[Finding]:
    """Every name that refers to a model or a stage."""
    references: list[tuple[Place, str, str | None]] = []
    for name, stage in config.tables.stages.items():
        references.append((("stages", name, "model"), "models", stage.model))
        for role, other in (("source", stage.source), ("condition", stage.condition)):
            references.append((("stages", name, role), "stages", other))
            if other == name:
                yield (
                    ("stages", name, role),
                    f"a stage cannot be its own {role}; name another stage",
                )
    for name, worker in config.tables.workers.items():
        for i, model in enumerate(worker.models):
            references.append((("workers", name, "models", i), "models", model))
    for place, table, wanted in references:
        known = config.names(table)
        # Where there are none at all, that is the problem, and check_not_empty reports it.
        if wanted is not None and known and wanted not in known:
            yield place, unknown(f"no {table[:-1]} named", wanted, known, table)


def check_cycles(config: PartialConfig) -> Iterator[Finding]:
    """Stages that wait for each other through source or condition; each cycle is reported once."""
    stages = config.tables.stages
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


def check_models_are_held(config: PartialConfig) -> Iterator[Finding]:
    """A worker holds the model of every stage. Skipped while a worker's list has a problem."""
    known, workers = config.names("models"), config.tables.workers
    held = {model for worker in workers.values() for model in worker.models}
    sound = all(config.sound("workers", name, "models") for name in config.names("workers"))
    filled = workers and all(worker.models for worker in workers.values())
    if not (sound and filled and held <= set(known)):
        return
    for name, stage in config.tables.stages.items():
        if stage.model in known and stage.model not in held:
            problem = f'no worker holds the model "{stage.model}"; add it to the models of a worker'
            yield ("stages", name, "model"), problem


CHECKS: tuple[Callable[[PartialConfig], Iterator[Finding]], ...] = (
    check_not_empty,
    check_names,
    check_actor_names,
    file_checks.check_sources,
    file_checks.check_ground_truth,
    file_checks.check_rknn_models,
    file_checks.check_models,
    file_checks.check_labels,
    check_views,
    check_worker_lists,
    check_references,
    check_cycles,
    check_models_are_held,
    check_cpus,
    file_checks.check_address,
    file_checks.check_keys,
    output_checks.check_outputs,
    output_checks.check_pictures,
)


def run_checks(config: PartialConfig) -> Iterator[Finding]:
    """What the checks find, one problem a place, none at a key that pydantic refused already."""
    reported: set[Place] = set()
    for check in CHECKS:
        for place, problem in check(config):
            if not place or (place not in reported and (len(place) < 3 or config.sound(*place))):
                reported.add(place)
                yield place, problem


def warnings(tables: Tables) -> Iterator[str]:
    """What is allowed but perhaps not meant, in the order of the tables."""
    used = {stage.model for stage in tables.stages.values()}
    for model in tables.models:
        if model not in used:
            yield f"{dotted(('models', model))}: no stage uses this model"
    first_on_core: dict[int, str] = {}
    for name, worker in tables.workers.items():
        first = first_on_core.setdefault(worker.core, name)
        if first != name:
            shared = f"core {worker.core} is shared with {dotted(('workers', first))}"
            yield (
                f"{dotted(('workers', name, 'core'))}: {shared}, and the two take turns on it; "
                "give each worker a core of its own to run them at the same time"
            )
        for index, model in enumerate(worker.models):
            if model not in used:
                yield f"{dotted(('workers', name, 'models', index))}: no stage uses {show(model)}"
    yield from cpu_warnings(tables)
