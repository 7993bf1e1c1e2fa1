"""The structure of actors/: imports run one way, without circles, and modules stay small.

Imports within functions and under TYPE_CHECKING count like all others.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import ROOT

ACTORS = ROOT / "actors"
ROLES = ("capture", "tiler", "worker", "merger", "renderer")

# What each package or module at the top of actors/ may import of the others.
BASE = frozenset({"sources", "runtimes", "outputs", "vision", "system", "scene", "processes"})
ALLOWED: dict[str, frozenset[str]] = {
    "launch": frozenset({"launcher", "config"}),
    "actorctl": frozenset({"launcher", "system", "runtimes"}),
    "client": frozenset({"system"}),
    "launcher": BASE | {"dataflow", "config"},
    **dict.fromkeys(ROLES, BASE | {"dataflow", "config"}),
    "dataflow": BASE | {"config"},
    "config": BASE,
    "sources": frozenset({"scene"}),
    "runtimes": frozenset(),
    "outputs": frozenset(),
    "vision": frozenset(),
    "system": frozenset(),
    "scene": frozenset(),
    "processes": frozenset(),
}

MOST_LINES = 400
MOST_FUNCTION_LINES = 60
MOST_METHODS = 20
MOST_ROLE_LINES = 165


def modules() -> dict[str, Path]:
    """Every module of actors/ by its dotted name."""
    found = {}
    for path in sorted(ACTORS.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imported(path: Path) -> Iterator[str]:
    """The modules of actors/ that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            base = node.module or ""
            names = [
                full if (full := f"{base}.{alias.name}") in MODULES else base
                for alias in node.names
            ]
        else:
            continue
        yield from (name for name in names if name in MODULES)


def top(module: str) -> str:
    """The package or module at the top of actors/ that a module belongs to."""
    return module.split(".")[1] if "." in module else ""


def test_every_package_has_its_layer() -> None:
    assert {top(module) for module in MODULES} - {""} == set(ALLOWED)


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module: str) -> None:
    own = top(module)
    others = {top(name) for name in imported(MODULES[module])} - {own, ""}
    assert others <= ALLOWED.get(own, frozenset()), f"{module} imports {others}"


def test_there_is_no_import_circle() -> None:
    graph = {module: set(imported(path)) - {module} for module, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other: {' -> '.join(error.args[1])}")


def test_only_commands_client_roles_and_their_table_stand_at_the_top() -> None:
    names = {path.stem for path in ACTORS.glob("*.py")}
    assert names == {"__init__", "launch", "actorctl", "client", "processes", *ROLES}


@pytest.mark.parametrize("path", [*ACTORS.rglob("*.py"), *(ROOT / "tools").rglob("*.py")], ids=str)
def test_files_functions_and_classes_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= MOST_FUNCTION_LINES, f"{node.name} has {length} lines"
        elif isinstance(node, ast.ClassDef):
            methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
            assert len(methods) <= MOST_METHODS, f"{node.name} has {len(methods)} methods"


@pytest.mark.parametrize("role", ROLES)
def test_a_role_only_translates(role: str) -> None:
    """Sockets and memory on one side, the machines of dataflow/ on the other."""
    lines = (ACTORS / f"{role}.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MOST_ROLE_LINES
