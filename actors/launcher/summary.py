"""What `launch` prints when a run is over, and its exit code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from actors.dataflow.settings import RunSettings
from actors.dataflow.shared_records import ControlBlock, StreamRecord
from actors.outputs.video_files import joined, parts
from actors.system.linux import now_ns
from actors.system.text import plural


class Summary:
    """What a run did, when it is over, and its exit code."""

    def __init__(self, run: RunSettings, control: ControlBlock, reasons: Sequence[str]) -> None:
        """`reasons` say why outputs could not be written."""
        self._run = run
        self._control = control
        self._reasons = reasons

    @property
    def exit_code(self) -> int:
        """1 when an output is incomplete."""
        streams = self._control.streams.values()
        return 1 if any(stream.broken for stream in streams) else 0

    def lines(self) -> list[str]:
        """One line a stream and an output; why an output is incomplete comes last."""
        seconds = (now_ns() - self._control.run.started_ns) / 1e9
        lines = []
        for name, stream in self._control.streams.items():
            lines.append(
                f"{name}: {plural(stream.published, 'frame')} in {seconds:.1f} s "
                f"({stream.published / seconds:.1f} frames/s), {self._losses(name)}"
            )
            mine = self._run.streams[name]
            if mine.video is not None and stream.published:
                lines.append(f"{name}: drawn into {video_files(mine.video, stream)}")
            if mine.pictures is not None and stream.published:
                state = _incomplete(stream.pictures_broken)
                lines.append(f"{name}: pictures in {mine.pictures}{state}")
        if self._run.results.jsonl is not None:
            lines.append(f"records in {self._run.results.jsonl}{self._log_state()}")
        if self._run.emulated:
            lines.append("the cores were emulated: rates and detections are not a real NPU's")
        if self._run.simulated:
            lines.append("the cores were simulated: detections are the board's, rates are not")
        lines += [f"warning: {text}" for text in self._reasons]
        if self.exit_code:
            lines.append(
                "error: an output is incomplete, as said above; free space or give another file, "
                "then run again with --overwrite"
            )
        return lines

    def _log_state(self) -> str:
        """How far the result log is good, where it is not complete."""
        streams = self._control.streams.items()
        if not any(stream.log_broken for _, stream in streams):
            return ""
        ends = [
            f"frame {stream.log_broken - 2} of {name}"
            for name, stream in streams
            if stream.log_broken > 1
        ]
        return f": incomplete, good up to {', '.join(ends)}" if ends else ": nothing is in it"

    def _losses(self, name: str) -> str:
        stream = self._control.streams[name]
        counts = {
            "incomplete": stream.incomplete,
            "dropped": stream.dropped,
            "unreadable": stream.unreadable,
        }
        lost = [f"{count} {what}" for what, count in counts.items() if count]
        missing = unpublished(self._control, name)
        if missing:
            lost.append(f"{plural(len(missing), 'captured frame')} not published: {spans(missing)}")
        return ", ".join(lost) or "nothing lost"


def unpublished(control: ControlBlock, stream: str) -> list[int]:
    """Sequence numbers of the frames that were captured and whose result never went out."""
    return control.captured_after(stream, control.streams[stream].published_seq)


def spans(numbers: Sequence[int]) -> str:
    """Ascending numbers as in "3, 17 to 19"."""
    text = []
    begin = 0
    for end in range(1, len(numbers) + 1):
        if end == len(numbers) or numbers[end] != numbers[end - 1] + 1:
            first, last = numbers[begin], numbers[end - 1]
            text.append(f"{first}" if first == last else f"{first} to {last}")
            begin = end
    return ", ".join(text)


def video_files(path: Path, stream: StreamRecord) -> str:
    """Where a stream's video is. A second signal, or a death over it, may have left it in parts."""
    joined(path).unlink(missing_ok=True)
    found = parts(path)
    where = str(path)
    if len(found) > 1:
        where = f"{len(found)} parts, {path} to {found[-1].name}, which were not joined"
    return where + _incomplete(stream.video_broken if path in found else bool(stream.video_broken))


def _incomplete(broken: int) -> str:
    """How far an output is good, by its word in the stream's record."""
    usable = plural(broken - 1, "frame") if broken > 1 else "nothing"
    return f": incomplete, {usable} of it can be used" if broken else ""
