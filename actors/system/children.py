"""One actor as its supervisor sees it, and when it may be started again."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from actors.system.hang_detector import HangDetector

STARTING, RUNNING, STOPPING, BACKOFF, FAILED, ENDED = (
    "starting",
    "running",
    "stopping",
    "backoff",
    "failed",
    "ended",
)

ENDED_CODE = 64
"""Exit code of an actor that has nothing more to do (a source is over)."""

# Five starts in a row without a frame or tile done are no accident. Somebody's SIGKILL is not the
# actor's fault; so many are the kernel's, which ends who takes too much memory.
_LIMIT, _LIMIT_KILLED = 5, 50
# Doubled with each: 0.8 s before the fifth.
_FIRST_DELAY_NS, _LONGEST_DELAY_NS = 100_000_000, 800_000_000
# Tiles in a row that may be given up with nothing done between: neighbouring frames look alike.
_EXCUSES = 20


_Settings_co = TypeVar("_Settings_co", covariant=True)


@dataclass(frozen=True, kw_only=True)
class ActorPlan(Generic[_Settings_co]):
    """An actor to be run. `fds` are descriptors of the supervisor's that it gets, by name."""

    name: str
    role: str
    entry: str
    settings: _Settings_co
    fds: Mapping[str, int]
    ends: bool = False
    """Whether it comes to an end of its own; when all such have, the run is over."""


class RestartPolicy:
    """How long to wait before the next start. No clock: it is told what happened."""

    def __init__(self) -> None:
        self.failures = 0
        self.killed = 0
        self.excused = 0

    def died(self, progressed: bool, killed: bool = False) -> int | None:
        """Nanoseconds to wait, or None when it has failed for good.

        The first death is answered at once: a core that stands idle costs more than one start.
        """
        if progressed:
            self.reset()
        self.killed += killed
        self.failures += not killed
        if self.failures > _LIMIT or self.killed > _LIMIT_KILLED:
            return None
        deaths = self.failures + self.killed
        if deaths == 1:
            return 0
        return min(_FIRST_DELAY_NS << min(deaths - 2, 8), _LONGEST_DELAY_NS)

    def excuse(self) -> None:
        """An input was to blame for its last deaths."""
        self.excused += 1
        if self.excused <= _EXCUSES:
            self.failures = 0

    def reset(self) -> None:
        """It works, or a person gives it another chance."""
        self.failures = self.killed = self.excused = 0


@dataclass
class Child:
    """The state of one actor; the supervisor changes it."""

    plan: ActorPlan[object]
    state: str = BACKOFF
    pid: int = 0
    pidfd: int = -1
    incarnation: int = 0
    restarts: int = 0
    last_error: str | None = None
    since_ns: int = 0
    """When the state was entered."""
    start_at_ns: int = 0
    ready_ns: int = 0
    """When this incarnation became ready, 0 until then."""
    done_at_start: int = 0
    kill_cause: str | None = None
    """The cause under which the supervisor is ending it, when it is."""
    policy: RestartPolicy = field(default_factory=RestartPolicy)
    silence: HangDetector = field(default_factory=HangDetector)

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def alive(self) -> bool:
        return self.pidfd >= 0

    def enter(self, state: str, now_ns: int) -> None:
        self.state = state
        self.since_ns = now_ns

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it is still there."""
        if self.alive:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, number)

    def reap(self) -> int:
        """Collect the exit status of a process that has ended: its code, or -signal."""
        result = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        os.close(self.pidfd)
        self.pidfd = -1
        self.pid = 0
        if result is None:
            return 0
        return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status


def describe_exit(code: int) -> str:
    """What an exit status means, for a person."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def cause_of(code: int) -> str:
    """The cause that `Down` names: who is to blame for an exit."""
    if code == ENDED_CODE:
        return "stopped"
    # SIGKILL comes from outside; a fault in a runtime ends in SIGSEGV, SIGABRT or an exit code.
    return "killed" if code in (-signal.SIGKILL, -signal.SIGTERM) else "crash"
