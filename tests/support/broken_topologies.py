"""Broken topologies and the complete list of lines that each must give, as a table.

A case is `BASE` with some edits (or a text of its own) and overrides. FOLDER in an expected line
stands for the folder. The table is used by the tests of `actors.config.loading` and of `launch`.
"""

from __future__ import annotations

from tests.support import broken_tables, broken_values
from tests.support.topology_base import Case

CASES: list[Case] = [
    *broken_tables.WHOLE_FILE,
    *broken_tables.SYNTAX,
    *broken_tables.KEYS,
    *broken_tables.TYPES,
    *broken_tables.NAMES,
    *broken_tables.REFERENCES,
    *broken_values.VIEWS,
    *broken_values.SOURCES,
    *broken_values.MODELS,
    *broken_values.OUTPUTS,
    *broken_values.OVERRIDES,
    *broken_values.SEVERAL,
]
