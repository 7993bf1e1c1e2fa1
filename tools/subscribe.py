"""Prints the results of a run as they come: `python -m tools.subscribe tcp://127.0.0.1:5570`.

Without --json a line a frame, for a person; with --json the records as they are published, one a
line. It ends when the streams have ended, after --count results, or with Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from threading import Timer

if not __package__:  # run by its path: the checkout is not on the module path then
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.text import Text

from actors.client import End, Result, ResultError, Subscriber

_EXAMPLE = """\
examples:
  python -m tools.subscribe tcp://127.0.0.1:5570
  python -m tools.subscribe tcp://127.0.0.1:5570 --stream cam0 --count 10
  python -m tools.subscribe tcp://127.0.0.1:5570 --json | jq .detections[].label
"""
_PATIENCE_S = 2.0


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry: 0 done, 2 wrong arguments or input."""
    options = _options(argv)
    try:
        _follow(options)
    except ResultError as error:
        print(f"subscribe: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # Whoever read has had enough (`| head`). Python flushes stdout once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


def _follow(options: argparse.Namespace) -> None:
    left = options.count
    console = Console(highlight=False)
    with Subscriber(options.endpoint, options.stream, keys=options.keys) as subscriber:
        waiting = Timer(_PATIENCE_S, _say, [f"waiting for results on {options.endpoint} ..."])
        waiting.daemon = True
        waiting.start()
        try:
            for message in subscriber:
                waiting.cancel()
                if options.json:
                    line = json.dumps(message.raw, ensure_ascii=False, separators=(",", ":"))
                    print(line, flush=True)
                elif console.is_terminal:
                    console.print(_line(message), soft_wrap=True)
                else:
                    print(_line(message), flush=True)
                left -= isinstance(message, Result)
                if left == 0:
                    break
        finally:
            waiting.cancel()
            _account(subscriber)


def _line(message: Result | End) -> Text:
    """`cam0 #17  12 objects: 9 person 2 bicycle 1 handbag   latency 41 ms`."""
    if isinstance(message, End):
        return Text(f"{message.stream} ended after {message.frames} frames", "bold")
    count = len(message.labels)
    line = Text.assemble(
        (message.stream, "cyan"),
        f" #{message.seq}  ",
        (f"{count} object{'' if count == 1 else 's'}", "bold"),
    )
    if count:
        labels = Counter(message.labels).most_common()
        line.append(": " + " ".join(f"{number} {label}" for label, number in labels))
    if not message.complete:
        line.append(f"   INCOMPLETE, {len(message.missing)} tiles missing", "bold red")
    emulated = " on emulated cores" if message.raw.get("emulated") else ""
    return line.append(f"   latency {message.latency_ms:.0f} ms{emulated}", "dim")


def _account(subscriber: Subscriber) -> None:
    """What did not come, or should not have."""
    for stream, count in sorted(subscriber.gaps.items()):
        _say(
            f"{stream}: {count} sequence numbers are missing (dropped by a live source, "
            "or this reader was too slow)"
        )
    for stream, count in sorted(subscriber.repeats.items()):
        _say(f"{stream}: {count} results came again (the merger was restarted)")
    if subscriber.malformed:
        _say(f"{subscriber.malformed} messages were no results and were skipped")


def _say(text: str) -> None:
    print(f"subscribe: {text}", file=sys.stderr, flush=True)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.subscribe",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("endpoint", help="what the topology says under [results] bind")
    parser.add_argument(
        "--stream", action="append", metavar="NAME", help="only this one; may be repeated"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument(
        "--keys", type=Path, metavar="FOLDER", help="this subscriber's keys, where some are needed"
    )
    parser.add_argument("--count", type=int, default=-1, metavar="N", help="end after N results")
    options = parser.parse_args(argv)
    if options.count == 0 or options.count < -1:
        parser.error(f"--count is {options.count}; give a number of results from 1 on")
    return options


if __name__ == "__main__":
    sys.exit(main())
