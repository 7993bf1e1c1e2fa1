"""Compare two result logs, frame by frame: whether a run published what another one did.

The first log is the reference: a run that published each frame once, in order, complete. A frame is
found by its place in the source, so a source that was played over and over compares with one pass
over it. Times, run names and sequence numbers may differ, detections may not.

Result logs are what a topology with `[results] jsonl = "FILE"` writes, and what
`tritile subscribe ENDPOINT --json` prints.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from actors.config.file_errors import file_problem
from actors.system.text import plural, printable

from .entry import run
from .printing import console
from .result_comparison import Compared, Comparison, Reference

_EXAMPLE = """\
examples:
  tritile compare before.jsonl after.jsonl
  tritile compare one-pass.jsonl night.jsonl --looped --json

exit: 0 the same, 1 different, 2 wrong arguments or a file that is not a result log
"""


class LogError(Exception):
    """A file that is not a result log; the message is one sentence with the place."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry: 0 the same, 1 different, 2 wrong arguments or input."""
    options = parser().parse_args(argv)
    try:
        compared = _compare(options.reference, options.other, looped=options.looped)
    except LogError as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2
    same = not any(compared.counts.values())
    if options.json:
        found = {"reference": str(options.reference), "other": str(options.other), "same": same}
        print(json.dumps({**found, **asdict(compared)}))
    else:
        _show(compared, same=same)
    return 0 if same else 1


def _compare(reference: Path, other: Path, *, looped: bool) -> Compared:
    own: dict[str, list[dict[str, Any]]] = {}
    for record in records(reference):
        if "detections" in record:
            own.setdefault(record["stream"], []).append(record)
    if not own:
        raise LogError(f"{reference} holds no result; give the log of a run that published some")
    try:
        references = {name: Reference(frames) for name, frames in own.items()}
        comparison = Comparison(references, looped=looped)
        for record in records(other):
            if "detections" in record:
                comparison.result(record)
            elif record["stream"] in references:
                comparison.end(record["stream"], record["frames"])
    except ValueError as error:
        raise LogError(f"{reference} cannot be a reference: {error}") from None
    except (KeyError, TypeError) as error:
        raise LogError(
            f"{other} or {reference} is not a result log: a record has no {error}"
        ) from None
    return comparison.finish(None)


def records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a result log. LogError for a line that is none."""
    if problem := file_problem(path.absolute(), str(path)):
        raise LogError(problem)
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                yield _record(f"{path}, line {number}", line)
    except (UnicodeDecodeError, OSError) as error:
        raise LogError(f"{path} cannot be read ({error}); give a result log") from None


def _record(place: str, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise LogError(f"{place} is not a JSON object; give a result log") from None
    keys = ("stream", "seq", "source_frame", "complete", "published_ns")
    if not isinstance(record, dict) or not (
        all(key in record for key in keys) or {"stream", "frames"} <= record.keys()
    ):
        raise LogError(f"{place} is not a record of results; give a result log")
    return record


def _show(compared: Compared, *, same: bool) -> None:
    out = console()
    counts = ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in compared.counts.items())
    line = (
        f"{plural(compared.published, 'frame')}: {counts}; {compared.repeats} published once more"
    )
    out.print(line, soft_wrap=True)
    for line in compared.examples:
        out.print(f"  {printable(line)}", style="red", soft_wrap=True)
    out.print("the same" if same else "different", style="bold green" if same else "bold red")


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog="tritile compare",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("reference", type=Path, metavar="REFERENCE.jsonl")
    made.add_argument("other", type=Path, metavar="OTHER.jsonl")
    made.add_argument(
        "--looped", action="store_true", help="the other run played its sources over and over"
    )
    made.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return made


if __name__ == "__main__":
    sys.exit(run(main))
