"""docs/topology.md and the JSON Schema for editors: current, complete, and right about values."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from pydantic import BaseModel

from actors.config.packaged import TOPOLOGY
from actors.config.schema import Tables
from actors.runtimes.registry import KINDS
from actors.vision.heads import HEADS
from tests.support import broken_tables
from tests.support.topology_base import BASE, Case
from tools import topology_docs

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.toml"))
VALIDATOR = jsonschema.Draft7Validator(topology_docs.schema())


def errors_of(text: str) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(tomllib.loads(text))]


def keys() -> list[tuple[str, str, Any]]:
    """(table, key, field) of every key."""
    found = []
    for table, info in Tables.model_fields.items():
        annotation: Any = info.annotation
        model: type[BaseModel] = (get_args(annotation) or (annotation,))[-1]
        found += [(table, name, field) for name, field in model.model_fields.items()]
    return found


def test_the_files_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert topology_docs.main(["--check"]) == 0, capsys.readouterr().err


def test_a_file_that_is_not_current_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert topology_docs.main(["-o", str(tmp_path)]) == 0
    assert topology_docs.main(["-o", str(tmp_path), "--check"]) == 0
    (tmp_path / "topology.md").write_text("older")
    assert topology_docs.main(["-o", str(tmp_path), "--check"]) == 1
    assert capsys.readouterr().err == (
        f"{tmp_path}/topology.md is not current; write it with: python -m tools.topology_docs\n"
    )
    assert topology_docs.main(["-o", str(tmp_path / "missing")]) == 2


def test_every_key_is_described() -> None:
    document = topology_docs.document()
    for table, name, field in keys():
        assert field.description, f"{table}.{name}"
        assert field.description in document, f"{table}.{name}"
        assert f"| `{name}` | " in document


def test_the_schema_is_one_that_editors_read() -> None:
    schema = topology_docs.schema()
    jsonschema.Draft7Validator.check_schema(schema)
    text = json.dumps(schema)
    # Editors differ in what they make of these; TOML has no null.
    assert not any(word in text for word in ('"$ref"', '"$defs"', "prefixItems", '"null"'))
    source = schema["properties"]["streams"]["additionalProperties"]["properties"]["source"]
    assert source["description"].startswith("video file")


def test_the_heads_and_runtimes_are_those_that_there_are() -> None:
    model = topology_docs.schema()["properties"]["models"]["additionalProperties"]["properties"]
    assert model["head"]["enum"] == list(HEADS)
    assert model["runtime"]["anyOf"][0]["enum"] == list(KINDS)


@pytest.mark.parametrize("path", [*EXAMPLES, TOPOLOGY], ids=lambda path: path.name)
def test_the_schema_takes_the_examples_and_they_point_to_it(path: Path) -> None:
    text = path.read_text()
    assert errors_of(text) == []
    directive = text.splitlines()[0]
    assert directive.startswith("#:schema ")
    schema = path.parent / directive.removeprefix("#:schema ")
    assert json.loads(schema.read_text()) == topology_docs.schema()


@pytest.mark.parametrize(
    "table",
    [
        '[models.large]\nruntime = "instant"\nsize = [416, 320]\nmean = 127.5\nstd = [1, 2.5, 3]',
        '[models.large]\npath = "x"\nlabels = ["a", "b"]',
        '[models.large]\npath = "x"\nlabels = "names.txt"',
        '[stages.small]\nmodel = "small"\nview = "tiles"\ngrid = [3, 2]',
        "[workers.npu0]\ncore = 0\nmodels = []\ncpus = [4, 5]",
        '[streams.cam0]\nsource = "/dev/video0"\nsize = [1920, 1080]\nfps = 30\nfourcc = "MJPG"',
    ],
)
def test_the_schema_takes_what_the_loader_takes(table: str) -> None:
    assert errors_of(table) == []


# What refers to files, other tables or TOML's syntax is for the loader alone.
UNLIKE = {
    "not-a-number": "JSON has no nan",
    "fraction-for-a-whole-number": "1.0 is an integer to JSON Schema",
    "huge-number": "the validator fails as it writes its message",
}
REFUSED = [c for c in (*broken_tables.KEYS, *broken_tables.TYPES) if c.id not in UNLIKE]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_the_schema_refuses_what_the_loader_refuses(case: Case) -> None:
    assert isinstance(case.text, str)
    assert errors_of(case.text)


def test_the_base_of_these_tests_is_sound() -> None:
    assert errors_of(BASE) == []
