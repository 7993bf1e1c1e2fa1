"""Every command that a message or help text names exists, with the options that it names."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from actors import actorctl
from actors.launcher import command as launch
from tools import command

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PLACEHOLDER = "VALUE"
# A command, and its words up to the end of the clause.
COMMAND = re.compile(
    r"(?<![\w/.~{-])(?:python3? -m )?(tritile|launch|actorctl|(?:tools|actors)\.\w+)"
    r"((?: +(?:[\w.=/:@+\[\]'<>~-]*[\w=/\]'>])(?=[\s;,)`\"':.]|$))*)"
)
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*\b(?!_)")
# Options of other programs that messages name: YOLOX's exporter, and Python packages' installers.
FOREIGN = {"--decode"}
PROSE = {"this", "topology"}
"""Words that follow the project's name in sentences."""
EXAMPLE = re.compile(r"^  ((?:sudo )?(?:tritile|launch|actorctl)(?: .*)?)$")


class Text(NamedTuple):
    place: str
    text: str


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command, by how a user calls it."""
    made = {"launch": launch._parser(), "actorctl": actorctl._parser()}
    for name in command.TOOLS:
        made[f"tritile {name}"] = import_module(command.module_of(name)).parser()
    return made


PARSERS = parsers()


def options(parser: argparse.ArgumentParser) -> set[str]:
    """All its options, those of its subcommands too."""
    found = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                found |= options(inner)
    return found


ALL_OPTIONS = set().union(*map(options, PARSERS.values()))


def strings(path: Path) -> Iterator[Text]:
    """The strings of a source file as Python joins them, with a placeholder for each value."""
    tree = ast.parse(path.read_text())
    inside: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inside |= {id(part) for part in ast.walk(node)} - {id(node)}
            text = "".join(
                part.value if isinstance(part, ast.Constant) and isinstance(part.value, str)
                else PLACEHOLDER
                for part in node.values
            )  # fmt: skip
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) in inside:
                continue
            text = node.value
        else:
            continue
        yield Text(f"{path.relative_to(ROOT)}:{node.lineno}", text)


def sources(*folders: str) -> list[Text]:
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [text for path in paths for text in strings(path)]


def documents() -> list[Text]:
    """What a user reads: the topologies that come with the project and their comments."""
    paths = [ROOT / "topology.toml", ROOT / "actors/demo/topology.toml"]
    paths += sorted((ROOT / "docs" / "examples").glob("*.toml"))
    return [Text(str(path.relative_to(ROOT)), path.read_text()) for path in paths]


TEXTS = [*sources("actors", "tools"), *documents()]


def named(text: Text) -> Iterator[tuple[str, list[str]]]:
    """The commands in a text as PARSERS has them, and the words after each."""
    for match in COMMAND.finditer(text.text):
        name, words = str(match[1]), str(match[2]).split()
        if name in ("launch", "actorctl"):
            # Both are words of prose too: only what is followed by an argument is a command.
            if words and re.match(
                r"--|.*\.toml\b|TOPOLOGY|(status|restart|stop|events)\b", words[0]
            ):
                yield name, words
        elif name == "tritile":
            if words and words[0] not in PROSE and re.fullmatch(r"[a-z]+(_[a-z]+)*", words[0]):
                yield f"tritile {words[0]}", words[1:]
        elif "python" in match[0] and name.islower():  # not tools.NAME
            yield name, words


def test_the_search_finds_commands() -> None:
    text = Text(
        "here", 'it is gone; run: tritile convert VALUE -o x.rknn --dataset FOLDER; see "a"'
    )
    assert list(named(text)) == [
        ("tritile convert", ["VALUE", "-o", "x.rknn", "--dataset", "FOLDER"])
    ]
    assert list(named(Text("", "up (actorctl --run VALUE stop), or"))) == [
        ("actorctl", ["--run", "VALUE", "stop"])
    ]
    assert list(named(Text("", "`launch` does; launch ended with code 2"))) == []
    assert len({place for place, text in TEXTS for _ in named(Text(place, text))}) > 15


def test_every_command_and_option_exists() -> None:
    for text in TEXTS:
        for name, words in named(text):
            if name.startswith(("tools.", "actors.")):
                assert find_spec(name), f"{text.place}: {name} does not exist"
                tool = name.removeprefix("tools.")
                # With the wheel alone there is no package `tools`.
                assert tool not in command.TOOLS or tool in command.CHECKOUT_ONLY, text.place
                continue
            assert name in PARSERS, f"{text.place}: there is no command {name!r}"
            for word in words:
                option = word.split("=")[0]
                if option.startswith("--"):
                    known = options(PARSERS[name])
                    assert option in known, f"{text.place}: {name} has no option {option}"


def test_every_option_in_a_message_exists() -> None:
    for text in sources("actors"):
        for option in OPTION.findall(text.text):
            assert option in ALL_OPTIONS | FOREIGN, f"{text.place}: no command has {option}"


def examples() -> list[Text]:
    """The lines of help texts that show a command."""
    return [
        Text(text.place, found[1])
        for text in sources("actors", "tools")
        for line in text.text.splitlines()
        # One with a value in it is checked by its options above.
        if (found := EXAMPLE.match(line)) and PLACEHOLDER not in line
    ]


@pytest.mark.parametrize("example", examples(), ids=lambda text: text.text[:60])
def test_every_example_parses(example: Text) -> None:
    line = re.split(r"\s{3,}| \| | \\$", example.text)[0].removeprefix("sudo ")
    program, *words = shlex.split(line)
    if program == "tritile":
        name = f"tritile {words.pop(0)}"
        assert name in PARSERS
    else:
        name = program
    if not example.text.endswith("\\"):
        PARSERS[name].parse_args(words)


@pytest.mark.parametrize("name", command.TOOLS)
def test_help_has_an_example_and_every_tool_a_json_option(name: str) -> None:
    own = PARSERS[name if name in PARSERS else f"tritile {name}"]
    shown = own.format_help()
    called = f"python -m tools.{name}" if name in command.CHECKOUT_ONLY else f"tritile {name}"
    assert shown.startswith(f"usage: {called} ")
    assert re.search(
        rf"^ *(example: |sudo )?{re.escape(called)} \S", shown.split("usage:")[1], re.M
    )
    assert "--json" in options(own)


def test_the_extras_that_messages_name() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    found = [
        extra
        for text in TEXTS
        for names in re.findall(r"pip install '(?:\.|tritile)\[([\w,]+)\]", text.text)
        for extra in names.split(",")
        if extra != PLACEHOLDER
    ]
    assert set(found) <= set(extras)
    from tools import entry

    for package, extra in entry.EXTRAS.items():
        assert any(needed.startswith(package) for needed in extras[extra]), package
