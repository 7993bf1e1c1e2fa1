"""What the probe found out about sources and models, by their names, or what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, field

from actors.config.errors import Fault
from actors.dataflow.settings import ModelSettings
from actors.sources.contract import SourceInfo


@dataclass
class Findings:
    """Filled in by the probe's process and pickled to the launcher."""

    sources: dict[str, SourceInfo] = field(default_factory=dict)
    models: dict[str, ModelSettings] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
