"""When an actor may start again, and what its exit code means."""

from __future__ import annotations

import signal

import pytest

from actors.system.children import ENDED_CODE, RestartPolicy, cause_of, describe_exit

MS = 1_000_000

# Whether the incarnation that died had done anything, and how many ms to wait then.
HISTORIES: list[list[tuple[bool, int | None]]] = [
    [(True, 0)] * 20,
    [(False, 0), (False, 100), (False, 200), (False, 400), (False, 800), (False, None)],
    [(True, 0), (False, 100), (False, 200), (False, 400), (False, 800), (False, None)],
    [(False, 0), (False, 100), (False, 200), (True, 0), (False, 100), (True, 0), (True, 0)],
    [(False, 0), (False, 100), (False, 200), (False, 400), (False, 800), (True, 0), (False, 100)],
]


@pytest.mark.parametrize("history", HISTORIES)
def test_restarts(history: list[tuple[bool, int | None]]) -> None:
    policy = RestartPolicy()
    for progressed, expected in history:
        waited = policy.died(progressed=progressed)
        assert waited == (None if expected is None else expected * MS)


def test_a_person_who_restarts_it_gives_it_a_new_chance() -> None:
    policy = RestartPolicy()
    for _ in range(6):
        policy.died(progressed=False)
    policy.reset()
    assert [policy.died(progressed=False) for _ in range(3)] == [0, 100 * MS, 200 * MS]


def test_kills_from_outside_are_not_its_fault_but_have_an_end() -> None:
    policy = RestartPolicy()
    waits = [policy.died(progressed=False, killed=True) for _ in range(50)]
    assert waits[:6] == [0, 100 * MS, 200 * MS, 400 * MS, 800 * MS, 800 * MS]
    assert waits[-1] == 800 * MS
    assert policy.died(progressed=False, killed=True) is None


def test_an_input_may_be_to_blame_for_a_while() -> None:
    policy = RestartPolicy()
    for _ in range(20):
        assert policy.died(progressed=False) is not None
        assert policy.died(progressed=False) is not None
        policy.excuse()
    for _ in range(3):
        policy.died(progressed=False)
        policy.died(progressed=False)
        policy.excuse()
    assert policy.died(progressed=False) is None
    policy.died(progressed=True)
    policy.excuse()
    assert policy.died(progressed=False) == 0


@pytest.mark.parametrize(
    ("code", "cause", "words"),
    [
        (0, "crash", "exited with code 0"),
        (ENDED_CODE, "stopped", "exited with code 64"),
        (1, "crash", "exited with code 1"),
        (255, "crash", "exited with code 255"),
        (-signal.SIGKILL, "killed", "killed by SIGKILL"),
        (-signal.SIGTERM, "killed", "killed by SIGTERM"),
        (-signal.SIGSEGV, "crash", "killed by SIGSEGV"),
        (-signal.SIGABRT, "crash", "killed by SIGABRT"),
        (-signal.SIGBUS, "crash", "killed by SIGBUS"),
        (-60, "crash", "killed by signal 60"),
    ],
)
def test_what_an_exit_means(code: int, cause: str, words: str) -> None:
    assert cause_of(code) == cause
    assert describe_exit(code) == words
