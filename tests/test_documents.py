"""The documents agree with the code: commands parse, links resolve, files that they name exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.tools.test_remedies import PARSERS

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"(?:actors|tools|tests|docs|\.ci)/[\w./-]*\w")
HEADING = re.compile(r"^#+ (.*)$", re.M)
# Names that a reader replaces by a name of their own.
TEMPLATES = re.compile(r"\bNAME\b|\bSTREAM\b|\.\.\.")
COMMAND = re.compile(r"(?:launch|tritile|actorctl|python -m tools\.\w+) [\w./-]+(?= |$)")
# Tools named without their arguments, in a sentence.
BARE = {"tritile subscribe", "tritile evaluate", "tritile convert --report"}


def anchor(heading: str) -> str:
    """The name by which a heading is linked to."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def commands(path: Path) -> list[str]:
    """Commands of indented and fenced blocks and of inline code, with continued lines joined."""
    text = re.sub(r" \\\n\s*", " ", path.read_text())
    shown = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    pieces = [piece for line in [*shown, *CODE.findall(text)] for piece in line.split(" && ")]
    lines = [re.split(r"\s+#|\s{3,}", piece.strip())[0] for piece in pieces]
    found = [line.removeprefix(".venv/bin/") for line in lines]
    return [line for line in found if COMMAND.match(line) and not TEMPLATES.search(line)]


ALL = [
    pytest.param(line, id=f"{path.name}: {line[:60]}")
    for path in DOCUMENTS
    for line in dict.fromkeys(commands(path))
    if line not in BARE
]


def test_the_search_finds_commands() -> None:
    assert len(ALL) > 20


@pytest.mark.parametrize("line", ALL)
def test_a_command_parses(line: str) -> None:
    words = shlex.split(line)
    if words[0].startswith("python"):
        name = words[2].replace("tools.", "tritile ").replace("actors.", "")
        words = words[3:]
    elif words[0] == "tritile":
        name, words = " ".join(words[:2]), words[2:]
    else:
        name, words = words[0], words[1:]
    assert name in PARSERS, f"there is no command {name!r}"
    PARSERS[name].parse_args(words)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_resolve(path: Path) -> None:
    for link in LINK.findall(path.read_text()):
        if "://" in link:
            continue
        name, _, fragment = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), f"{path.name}: {link}"
        if fragment:
            headings = [anchor(text) for text in HEADING.findall(target.read_text())]
            assert fragment in headings, f"{path.name}: {link}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_files_exist(path: Path) -> None:
    for code in CODE.findall(path.read_text()):
        for name in FILE.findall(code):
            if not TEMPLATES.search(name):
                assert (ROOT / name).exists(), f"{path.name}: {name}"


def test_the_twenty_answers_are_files() -> None:
    text = (ROOT / "docs" / "contributing.md").read_text()
    answers = re.findall(r"^\| (\d+)\. [^|]*\? \| `([^`]+)`", text, re.M)
    assert [int(number) for number, _ in answers] == list(range(1, 21))
    assert all((ROOT / name).is_file() for _, name in answers)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 117
