"""The state of one supervised actor, when it may start again, and what its exit code means."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

STARTING, RUNNING, STOPPING, BACKOFF, FAILED, ENDED = (
    "starting",
    "running",
    "stopping",
    "backoff",
    "failed",
    "ended",
)
# What a state may become, see `child_table.ChildTable`.
_NEXT: Mapping[str, tuple[str, ...]] = {
    BACKOFF: (BACKOFF, STARTING, ENDED),
    STARTING: (RUNNING, STOPPING, BACKOFF, FAILED, ENDED),
    RUNNING: (STOPPING, BACKOFF, FAILED, ENDED),
    STOPPING: (STOPPING, BACKOFF, ENDED),
    FAILED: (BACKOFF,),
    ENDED: (),
}

ENDED_CODE = 64
"""Exit code of an actor that has nothing more to do."""

# Five starts in a row without anything done are no accident. A SIGKILL from outside is not the
# actor's fault; fifty are the kernel's, which ends what takes too much memory.
_LIMIT, _LIMIT_KILLED = 5, 50
# Doubled with each: 0.8 s before the fifth.
_FIRST_DELAY_NS, _LONGEST_DELAY_NS = 100_000_000, 800_000_000
# Inputs in a row that may be given up with nothing done between: neighbouring frames look alike.
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


def delay_ns(deaths: int) -> int:
    """How long to wait after a number of deaths in a row.

    The first is answered at once: a core that stands idle costs more than one start.
    """
    if deaths == 1:
        return 0
    return min(_FIRST_DELAY_NS << min(deaths - 2, 8), _LONGEST_DELAY_NS)


class RestartPolicy:
    """How long to wait before the next start, by the deaths so far. Holds no clock."""

    def __init__(self) -> None:
        self.failures = 0
        self.killed = 0
        self.excused = 0

    def died(self, *, progressed: bool, killed: bool = False) -> int | None:
        """Nanoseconds to wait, or None when it has failed for good."""
        if progressed:
            self.reset()
        self.killed += killed
        self.failures += not killed
        if self.failures > _LIMIT or self.killed > _LIMIT_KILLED:
            return None
        return delay_ns(self.failures + self.killed)

    def excuse(self) -> None:
        """An input was to blame for its last deaths."""
        self.excused += 1
        if self.excused <= _EXCUSES:
            self.failures = 0

    def reset(self) -> None:
        """It works, or a user has asked for another start."""
        self.failures = self.killed = self.excused = 0


@dataclass(kw_only=True)
class Child:
    """One actor's row in the `ChildTable`."""

    plan: ActorPlan[object]
    state: str = BACKOFF
    since_ns: int = 0
    """When the state was entered."""
    pid: int = 0
    """0 while there is no process."""
    incarnation: int = 0
    restarts: int = 0
    last_error: str | None = None
    up: bool = False
    """Whether the others may send to this incarnation: from its Up to its Down."""
    start_at_ns: int = 0
    ready_ns: int = 0
    """When this incarnation became ready, 0 until then."""
    done_at_start: int = 0
    kill_cause: str | None = None
    """The cause that its Down named, when the supervisor is ending it."""
    killed_ns: int = 0
    """When SIGKILL was sent to it, 0 until then."""
    outlives_kill: bool = False
    """Whether it has not exited in time after its SIGKILL."""
    policy: RestartPolicy = field(default_factory=RestartPolicy)

    @property
    def name(self) -> str:
        """The actor's name."""
        return self.plan.name

    @property
    def alive(self) -> bool:
        """Whether it has a process that counts: one that may be signalled and waited for."""
        return self.state in (STARTING, RUNNING, STOPPING)

    def enter(self, state: str, now: int) -> None:
        """Change the state; ValueError for a change that the table does not have."""
        if state not in _NEXT[self.state]:
            raise ValueError(f"{self.name} cannot become {state} while {self.state}")
        self.state = state
        self.since_ns = now

    def begin_incarnation(self, done: int, now: int) -> None:
        """It is about to be forked, with `done` pieces of work finished so far."""
        self.enter(STARTING, now)
        self.incarnation += 1
        self.ready_ns = self.killed_ns = 0
        self.kill_cause = None
        self.outlives_kill = False
        self.done_at_start = done

    def wait(self, delay_ns: int, now: int) -> None:
        """Have it started again after a delay."""
        self.enter(BACKOFF, now)
        self.start_at_ns = now + delay_ns


def describe_exit(code: int) -> str:
    """What an exit status means, for a person."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def cause_of(code: int) -> str:
    """The cause that `Down` names: what an exit is to be blamed on."""
    if code == ENDED_CODE:
        return "stopped"
    # SIGKILL comes from outside; a fault in a runtime ends in SIGSEGV, SIGABRT or an exit code.
    return "killed" if code in (-signal.SIGKILL, -signal.SIGTERM) else "crash"
