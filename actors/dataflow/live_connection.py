"""What is reported of a live source: it dropped out, it is back, it gives other than was asked.

Plain Python without clock or source: the capture says how the source is, and what time it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from actors.sources.reading import SourceState


@dataclass(frozen=True, slots=True)
class Report:
    """Action: note this for a person; `kind` is for programs."""

    level: str
    text: str
    kind: str = "note"


class LiveConnection:
    """One live source.

        state      observed                  then       reported
        unknown    connected                 connected
        unknown    not connected, trouble    lost       source_lost
        connected  not connected             lost       source_lost
        lost       connected                 connected  source_back

    Remarks that differ from the first ones, which were shown before the run, are reported too.
    """

    def __init__(self) -> None:
        self._connected: bool | None = None
        self._lost_ns = 0
        self._remarks: tuple[str, ...] | None = None

    def observe(self, state: SourceState, now_ns: int) -> list[Report]:
        """The source as it is now."""
        reports: list[Report] = []
        if state.connected and state.remarks != self._remarks:
            if self._remarks is not None:
                reports += [Report("warning", remark) for remark in state.remarks]
            self._remarks = state.remarks
        if state.connected:
            if self._connected is False:
                away = (now_ns - self._lost_ns) / 1e9
                text = f"{state.name}: back after {away:.1f} s"
                reports.append(Report("info", text, "source_back"))
            self._connected = True
        elif self._connected or (self._connected is None and state.trouble):
            reason = state.trouble or f"{state.name}: no frame"
            text = f"{reason} (trying again until it is back)"
            reports.append(Report("warning", text, "source_lost"))
            self._connected, self._lost_ns = False, now_ns
        return reports
