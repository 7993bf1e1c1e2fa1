"""Print the results of a run as they are published.

Without --json a line a frame, for a person; with --json the records as they are published, one JSON
object a line. It ends when the streams have ended, after --count results, or with Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from actors.client import End, Result, ResultError, Subscriber
from actors.system.text import plural, printable

from .entry import run
from .printing import console

_EXAMPLE = """\
examples:
  tritile subscribe tcp://127.0.0.1:5570
  tritile subscribe tcp://127.0.0.1:5570 --stream cam0 --count 10
  tritile subscribe tcp://127.0.0.1:5570 --json | jq .detections[].label

exit: 0 ended, 2 wrong arguments, a refused key, or records of another version
"""
_WAIT_S = 2.0
"""So long without a result it says what it waits for."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry: 0 ended, 2 wrong arguments or input."""
    options = _options(argv)
    try:
        _follow(options)
    except ResultError as error:
        print(f"subscribe: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


def _follow(options: argparse.Namespace) -> None:
    left = options.count
    out = console()
    with Subscriber(
        options.endpoint, options.stream, timeout=_WAIT_S, keys=options.keys
    ) as subscriber:
        try:
            for message in _messages(subscriber, options.endpoint):
                _print(message, out, as_json=options.json)
                left -= isinstance(message, Result)
                if left == 0:
                    break
        finally:
            _account(subscriber)


def _messages(subscriber: Subscriber, endpoint: str) -> Iterator[Result | End]:
    """All messages; says once what it waits for, and again when that has changed."""
    said: str | None = None
    received = False
    while True:
        try:
            message = next(subscriber)
        except StopIteration:
            return
        except TimeoutError:
            reason = subscriber.connection_problem()
            if subscriber.refused:
                raise ResultError(f"{endpoint}: {reason}") from None
            if reason is None and received:
                continue  # a stream that is slow, or waits for its source
            text = f"waiting for results on {endpoint} ..." + (f" {reason}" if reason else "")
            if text != said:
                said = text
                _say(text)
            continue
        received, said = True, None
        yield message


def _print(message: Result | End, out: Console, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(message.raw, ensure_ascii=False, separators=(",", ":")), flush=True)
    elif out.is_terminal:
        out.print(_line(message), soft_wrap=True)
    else:
        print(_line(message), flush=True)


def _line(message: Result | End) -> Text:
    """`cam0 #17  12 objects: 9 person 2 bicycle 1 handbag   latency 41 ms`."""
    stream = printable(message.stream)
    if isinstance(message, End):
        return Text(f"{stream} ended after {plural(message.frames, 'frame')}", "bold")
    count = len(message.labels)
    line = Text.assemble(
        (stream, "cyan"),
        f" #{message.seq}  ",
        (plural(count, "object"), "bold"),
    )
    if count:
        labels = Counter(map(printable, message.labels)).most_common()
        line.append(": " + " ".join(f"{number} {label}" for label, number in labels))
    if not message.complete:
        line.append(f"   INCOMPLETE, {plural(len(message.missing), 'tile')} missing", "bold red")
    emulated = " on emulated cores" if message.raw.get("emulated") else ""
    return line.append(f"   latency {message.latency_ms:.0f} ms{emulated}", "dim")


def _account(subscriber: Subscriber) -> None:
    """Say what was missing, repeated or not a result."""
    for stream, count in sorted(subscriber.gaps.items()):
        missing = "1 sequence number is" if count == 1 else f"{count} sequence numbers are"
        _say(
            f"{printable(stream)}: {missing} missing (dropped by a live source, "
            "or this subscriber was too slow)"
        )
    for stream, count in sorted(subscriber.repeats.items()):
        again = f"{plural(count, 'result')} came again (the merger was restarted)"
        _say(f"{printable(stream)}: {again}")
    if subscriber.malformed:
        _say(f"{plural(subscriber.malformed, 'message')} skipped: not a result")


def _say(text: str) -> None:
    print(f"subscribe: {text}", file=sys.stderr, flush=True)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    arguments = parser()
    options = arguments.parse_args(argv)
    if options.count == 0 or options.count < -1:
        arguments.error(f"--count is {options.count}; give a number of results from 1 on")
    return options


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog="tritile subscribe",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("endpoint", help="what the topology has under [results] bind")
    made.add_argument(
        "--stream", action="append", metavar="NAME", help="only this one; may be repeated"
    )
    made.add_argument("--json", action="store_true", help="one JSON object a line")
    made.add_argument(
        "--keys", type=Path, metavar="FOLDER", help="this subscriber's keys, where some are needed"
    )
    made.add_argument("--count", type=int, default=-1, metavar="N", help="end after N results")
    return made


if __name__ == "__main__":
    sys.exit(run(main))
