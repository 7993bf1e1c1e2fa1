"""topology.toml: what is refused and in which words, what is accepted, and what overrides do."""

from __future__ import annotations

from pathlib import Path

import pytest
from broken_topologies import CASES, Case, lay_out

from actors.topology import TopologyError, load


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lay_out(tmp_path)
    return tmp_path


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "topology.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_broken(case: Case, folder: Path) -> None:
    path = folder / "topology.toml"
    if case.text is not None:
        write(folder, case.text)
    with pytest.raises(TopologyError) as caught:
        load(path, case.overrides)
    assert caught.value.lines() == case.expected(folder)
