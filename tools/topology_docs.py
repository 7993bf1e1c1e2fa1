"""Write docs/topology.md and the JSON Schema for editors from the tables of config/schema.py."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from actors.config.checks import RESERVED_NAMES
from actors.config.schema import Tables

from .entry import run

FOLDER = Path(__file__).parents[1] / "docs"
DOCUMENT = "topology.md"
SCHEMA = "topology.schema.json"
_NAMED = ("streams", "models", "stages", "workers")
_COMMAND = "python -m tools.topology_docs"

_START = f"""\
# topology.toml

<!-- Written by {_COMMAND} from actors/config/schema.py; edit the descriptions there. -->

A topology says which frames come in, which models look at which part of them, and on which core
each runs. `launch topology.toml --check` validates it and prints the plan; `launch topology.toml`
runs it. [docs/examples](examples) has one for each usual case.

- **Tables with names.** `[streams.cam0]`, `[models.large]`, `[stages.small]` and `[workers.npu0]`:
  you choose the part after the dot, 1 to 32 of `a-z`, `0-9`, `-` and `_`. Streams and workers share
  one space of names, in which these are taken: {", ".join(RESERVED_NAMES)}.
- **Overrides.** `--set KEY=VALUE` replaces one value: `--set workers.npu0.core=2`, with the dotted
  names as in the file. Elements of a list go by index: `--set workers.npu0.models.0=small`. The
  value is read as TOML, and as text if it is not valid TOML.
- **Paths** in the file are relative to the file's folder, paths in `--set` to the current folder;
  `~` is your home.
- **Outputs** (`results.jsonl`, `render.video`, `render.pictures`) of an earlier run are replaced
  only with `launch --overwrite`, and by the demo.
- **Errors** name the place and the remedy, one a line, and `launch` exits with 2:
  `topology.toml: stages.small.model: no model named "smal"; did you mean "small"?`
- **Completion.** `#:schema docs/{SCHEMA}` as the first line gives completion, descriptions and
  checks in VS Code (Even Better TOML) and in other editors that use taplo. The path is absolute or
  relative to the topology: copy [{SCHEMA}]({SCHEMA}) beside yours.

A key without a default may be absent; where its description does not say what that means, there
is simply nothing of it.
"""


def schema() -> dict[str, Any]:
    """The JSON Schema of a topology, without `$ref`: each table stands where it is used."""
    raw = Tables.model_json_schema()
    clean: dict[str, Any] = _clean(raw, raw.pop("$defs"))
    clean.pop("title")
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "tritile topology",
        **clean,
    }


def _clean(node: Any, definitions: Mapping[str, Any]) -> Any:
    """A node of pydantic's schema with references resolved, without null (TOML has none)."""
    if isinstance(node, list):
        return [_clean(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        table = definitions[node["$ref"].rsplit("/", 1)[-1]]
        return _clean(table, definitions)
    node = {key: _clean(value, definitions) for key, value in node.items()}
    if isinstance(node.get("properties"), dict):
        for entry in node["properties"].values():
            entry.pop("title", None)
            if unit := entry.get("unit"):
                entry["description"] += f" (in {unit})"
    kinds = [kind for kind in node.get("anyOf", ()) if kind != {"type": "null"}]
    if kinds:
        node.pop("anyOf")
        node |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    if "default" in node and node["default"] is None:
        node.pop("default")
    return node


def document() -> str:
    """The text of docs/topology.md."""
    tables = schema()["properties"]
    return "\n".join([_START, *(line for name in tables for line in _section(name, tables[name]))])


def _section(name: str, table: Mapping[str, Any]) -> Iterator[str]:
    if name in _NAMED:
        table = table["additionalProperties"]
    required = table.get("required", ())
    yield f"## [{name}{'.NAME' if name in _NAMED else ''}]\n"
    yield f"{table['description']}\n"
    yield "| Key | Type | Default | Unit | Description |"
    yield "|---|---|---|---|---|"
    for key, entry in table["properties"].items():
        if key in required:
            default = "required"
        else:
            default = f"`{json.dumps(entry['default'])}`" if "default" in entry else ""
        unit = entry.get("unit", "")
        description = entry["description"].removesuffix(f" (in {unit})")
        cells = (f"`{key}`", _type(entry), default, unit, description)
        yield f"| {' | '.join(cells)} |"
    yield ""


def _type(entry: Mapping[str, Any]) -> str:
    """A key's type in words, with its limits."""
    if "anyOf" in entry:
        return " or ".join(_type(kind) for kind in entry["anyOf"])
    if "enum" in entry:
        return ", ".join(f'`"{value}"`' for value in entry["enum"])
    kind = entry["type"]
    if kind == "array":
        fixed = "minItems" in entry and entry["minItems"] == entry.get("maxItems")
        count = f"{entry['minItems']} " if fixed else ""
        items = {"integer": "whole numbers", "number": "numbers", "string": "names"}
        return f"list of {count}{items[entry['items']['type']]}{_limits(entry['items'])}"
    words = {"integer": "whole number", "string": "text", "boolean": "true or false"}
    name: str = entry.get("format", words.get(kind, kind))
    return name + _limits(entry)


def _limits(entry: Mapping[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {entry[limit]}" for limit, sign in signs.items() if limit in entry]
    if "minLength" in entry:
        limits.append(f"{entry['minLength']} characters")
    return f" ({', '.join(limits)})" if limits else ""


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry; 1 with --check when a file is not current."""
    options = parser().parse_args(argv)
    texts = {DOCUMENT: document(), SCHEMA: json.dumps(schema(), indent=2) + "\n"}
    try:
        if options.check:
            paths = {options.output / name: text for name, text in texts.items()}
            old = [path for path, text in paths.items() if path.read_text("utf-8") != text]
            for path in old:
                print(f"{path} is not current; write it with: {_COMMAND}", file=sys.stderr)
            if options.json:
                print(json.dumps({"current": not old, "old": [str(path) for path in old]}))
            return 1 if old else 0
        for name, text in texts.items():
            (options.output / name).write_text(text, "utf-8")
        if options.json:
            print(json.dumps({"written": [str(options.output / name) for name in texts]}))
    except OSError as error:
        print(f"topology_docs: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog=_COMMAND, description=__doc__, epilog=f"example: {_COMMAND} -o ."
    )
    made.add_argument("-o", "--output", type=Path, default=FOLDER, metavar="FOLDER")
    made.add_argument("--check", action="store_true", help="only compare with what is there")
    made.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return made


if __name__ == "__main__":
    sys.exit(run(main))
