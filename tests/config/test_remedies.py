"""Commands that the topology's messages, documents and examples name can be typed as they stand."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from actors.config.errors import TopologyError
from actors.config.loading import load
from actors.launcher import command
from tests.support.topology_base import base, lay_out
from tools.command import TOOLS, module_of
from tools.run_harness import ROOT

TOPOLOGIES = [*(ROOT / "docs" / "examples").glob("*.toml"), ROOT / "topology.toml"]
TEXTS = [*TOPOLOGIES, *(ROOT / "actors" / "config").glob("*.py"), ROOT / "docs" / "topology.md"]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_a_tool_that_is_named_exists(path: Path) -> None:
    text = path.read_text()
    assert not re.findall(r"python -m tools\.(?!topology_docs)", text)
    for name in re.findall(r"tritile ([a-z_]+)", " ".join(re.sub('"\n *f?"', "", text).split())):
        assert name in TOOLS, name


@pytest.mark.parametrize("path", TOPOLOGIES, ids=lambda path: path.name)
def test_the_commands_in_comments_have_valid_arguments(path: Path) -> None:
    for line in re.findall(r"^#   (\S.*)$", path.read_text(), re.M):
        name, *arguments = shlex.split(re.split(r"\s{3,}", line)[0])
        if name == "tritile":
            name, *arguments = arguments
            import_module(module_of(name)).parser().parse_args(arguments)
        else:
            assert name == "launch", line
            command._parser().parse_args(arguments)


def test_the_keys_that_are_missing_can_be_made_as_the_message_says(tmp_path: Path) -> None:
    lay_out(tmp_path)
    topology = tmp_path / "topology.toml"
    topology.write_text(base(("[results]", '[results]\ncurve = "my keys/server"')))
    with pytest.raises(TopologyError) as caught:
        load(topology)
    (line,) = caught.value.lines()
    keys = tmp_path / "my keys"
    assert line == (
        'topology.toml: results.curve: there is no server.key_secret in "my keys/server"; make '
        f"keys with: tritile make_keys '{keys}' laptop, and give \"{keys}/server\""
    )
    tool = shlex.split(line.partition("with: tritile ")[2].partition(", and")[0])
    subprocess.run([sys.executable, "-m", "tools", *tool], cwd=ROOT, check=True, timeout=60)
    assert load(topology).results.curve == keys / "server"


def test_a_folder_of_keys_with_a_name_too_long(tmp_path: Path) -> None:
    lay_out(tmp_path)
    topology = tmp_path / "topology.toml"
    topology.write_text(base(("[results]", f'[results]\ncurve = "{"a" * 300}"')))
    with pytest.raises(TopologyError, match=r"results\.curve: there is no server\.key_secret in"):
        load(topology)
