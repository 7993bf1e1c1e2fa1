"""Single decisions of a run: what is done at once, after how long, and what is logged."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence

import pytest

from actors.system.actions import (
    Action,
    Answer,
    Fork,
    Log,
    RenewForkServer,
    Send,
    Signal,
    Vitals,
)
from actors.system.child_table import HANG_NS, KILL_NS, START_NS, STOP_NS
from actors.system.children import ENDED_CODE, ActorPlan
from actors.system.messages import Down, Drain, Note, Ready, Stop, Summary, Up
from actors.system.supervision import (
    CLOSE_HURRIED_NS,
    CLOSE_NS,
    DRAIN_NS,
    LONG_CLOSE_NS,
    Supervision,
)

MS = 1_000_000
SECOND = 1000 * MS
NAMES = ("cam0", "tiler", "npu0", "npu1")


class Run:
    """A run of which every fork succeeds and every action is kept in `actions`."""

    def __init__(self, *, running: bool = True) -> None:
        self.now = SECOND
        plans = [
            ActorPlan(name=n, role="r", entry="m:f", settings=None, fds={}, ends=n == "cam0")
            for n in NAMES
        ]
        self.supervision = Supervision(plans, self._fatal_reason)
        self.children = self.supervision.children
        self.vitals = dict.fromkeys(NAMES, Vitals())
        self.actions: list[Action] = []
        self.pid = 100
        if running:
            self.tick()
            for name in NAMES:
                self.ready(name)
            self.actions.clear()

    def _fatal_reason(self, failed: Mapping[str, str]) -> str | None:
        return f"tiler cannot run: {failed['tiler']}" if "tiler" in failed else None

    def do(self, actions: Sequence[Action]) -> list[Action]:
        for action in actions:
            self.actions.append(action)
            if isinstance(action, Fork):
                self.pid += 1
                self.supervision.forked(action.name, self.pid)
        return list(actions)

    def tick(self, passed: int = 0) -> list[Action]:
        self.now += passed
        return self.do(self.supervision.tick(self.now, self.vitals))

    def ready(self, name: str) -> list[Action]:
        message = Ready(name, self.children[name].incarnation)
        return self.do(self.supervision.received(message, self.now))

    def exit(self, name: str, code: int) -> list[Action]:
        return self.do(self.supervision.exited(name, code, self.vitals[name], self.now))

    def stop(self) -> list[Action]:
        return self.do(self.supervision.stop(self.now))

    def restart(self, *names: str, kill: bool = False) -> list[Action]:
        return self.do(self.supervision.restart(1, list(names), self.now, kill=kill))

    def sent(self, kind: type) -> set[tuple[str, object]]:
        """(receiver, message) of the messages of that kind so far."""
        sends = [action for action in self.actions if isinstance(action, Send)]
        return {(send.to, send.message) for send in sends if isinstance(send.message, kind)}

    def logged(self) -> list[tuple[str, str, str]]:
        logs = [action for action in self.actions if isinstance(action, Log)]
        return [(log.actor, log.level, log.kind) for log in logs]

    def states(self) -> dict[str, str]:
        return {name: child.state for name, child in self.children.items()}


# ---------------------------------------------------------------- starts and exits


def test_all_are_forked_at_once_and_each_learns_of_the_others() -> None:
    run = Run(running=False)
    assert run.tick() == [Fork(name, 1) for name in NAMES]
    run.ready("tiler")
    assert run.sent(Up) == set()
    run.ready("npu0")
    assert run.sent(Up) == {("tiler", Up("npu0", 1)), ("npu0", Up("tiler", 1))}
    assert run.ready("npu0") == []


def test_first_death_is_answered_in_the_same_turn() -> None:
    run = Run()
    run.vitals["npu0"] = Vitals(suspects=(7, 8))
    run.exit("npu0", -signal.SIGSEGV)
    down = Down("npu0", 1, "crash", (7, 8))
    assert run.sent(Down) == {(name, down) for name in ("cam0", "tiler", "npu1")}
    assert run.tick() == [Fork("npu0", 2)]


def test_back_off_until_it_is_given_up() -> None:
    run = Run()
    waits = []
    while run.children["npu0"].state != "failed":
        run.exit("npu0", 1)
        begin = run.now
        while run.children["npu0"].state == "backoff":
            run.tick(MS)
        waits.append((run.now - begin) // MS)
    assert waits == [1, 100, 200, 400, 800, 0]
    assert run.logged()[-1] == ("npu0", "error", "failed")
    assert run.supervision.failure is None
    assert run.tick(100 * SECOND) == []


def test_run_ends_when_an_actor_that_it_needs_is_given_up() -> None:
    run = Run()
    run.do(run.supervision.received(Note("tiler", "fatal", "fatal", "no memory"), run.now))
    for _ in range(6):
        run.exit("tiler", 1)
        run.tick(SECOND)
    assert run.supervision.failure == "tiler cannot run: no memory"
    assert run.sent(Stop) == {(name, Stop()) for name in ("cam0", "npu0", "npu1")}
    for name in ("cam0", "npu0", "npu1"):
        run.exit(name, 0)
    assert run.supervision.over


@pytest.mark.parametrize(("excuses", "failed"), [(("npu0",), False), (("npu1", "x"), True)])
def test_only_the_actors_that_a_note_names_are_excused(
    excuses: tuple[str, ...], failed: bool
) -> None:
    """An input that brings down a worker excuses no other actor's failed starts."""
    run = Run()
    for _ in range(6):
        run.exit("npu0", 1)
        run.tick(SECOND)
        run.do(run.supervision.received(Note("tiler", "error", "x", "y", excuses), run.now))
    assert (run.children["npu0"].state == "failed") == failed


def test_run_is_over_when_all_that_end_have_ended() -> None:
    run = Run()
    run.exit("cam0", ENDED_CODE)
    assert run.logged() == [("cam0", "info", "ended")]
    run.tick()
    assert run.sent(Stop) == {(name, Stop()) for name in ("tiler", "npu0", "npu1")}
    assert not run.supervision.over
    for name in ("tiler", "npu0", "npu1"):
        run.exit(name, 0)
    assert run.supervision.over
    assert set(run.states().values()) == {"ended"}


# ---------------------------------------------------------------- hangs


def test_hang_is_killed_and_its_down_sent_before_it_exits() -> None:
    run = Run()
    run.vitals["npu0"] = Vitals(silent_ns=HANG_NS, suspects=(7,))
    assert run.tick() == []
    run.vitals["npu0"] = Vitals(silent_ns=HANG_NS + 1, suspects=(7,))
    run.tick()
    assert ("tiler", Down("npu0", 1, "hang", (7,))) in run.sent(Down)
    assert Signal("npu0", signal.SIGKILL) in run.actions
    assert run.logged() == [("npu0", "error", "hung")]
    run.actions.clear()
    assert run.tick(SECOND) == []
    assert run.exit("npu0", -signal.SIGKILL) == []
    run.vitals["npu0"] = Vitals()
    assert run.tick() == [Fork("npu0", 2)]
    assert run.children["npu0"].last_error == "hung for 1.5 s while running"


def test_slow_step_is_not_a_hang_but_a_stopped_process_is() -> None:
    run = Run()
    run.vitals["npu0"] = Vitals(silent_ns=9 * SECOND, slow_step_until_ns=run.now + SECOND)
    assert run.tick() == []
    run.vitals["npu0"] = Vitals(
        silent_ns=9 * SECOND, slow_step_until_ns=run.now + SECOND, stopped=True
    )
    run.tick()
    assert ("tiler", Down("npu0", 1, "killed", ())) in run.sent(Down)


def test_actor_that_is_not_ready_in_time_is_killed() -> None:
    run = Run(running=False)
    run.tick()
    assert run.tick(START_NS) == []
    run.tick(1)
    assert run.actions.count(Signal("npu0", signal.SIGKILL)) == 1
    assert run.ready("npu0") == []


# ---------------------------------------------------------------- restart requests


def test_restart_is_one_after_another_and_answered_when_all_run() -> None:
    run = Run()
    run.restart("npu0", "npu1", "npu0")
    run.tick()
    assert run.sent(Stop) == {("npu0", Stop())}
    run.exit("npu0", 0)
    assert run.tick() == [Fork("npu0", 2)]
    run.ready("npu0")
    run.tick()
    run.tick()
    assert run.sent(Stop) == {("npu0", Stop()), ("npu1", Stop())}
    run.exit("npu1", 0)
    run.tick()
    run.ready("npu1")
    assert run.tick() == [Answer(1)]
    assert {level for _, level, _ in run.logged()} == {"info"}


def test_killing_on_request_is_neither_a_warning_nor_an_error() -> None:
    run = Run()
    run.vitals["npu0"] = Vitals(suspects=(7,))
    run.restart("npu0", kill=True)
    assert Signal("npu0", signal.SIGKILL) in run.tick()
    assert ("tiler", Down("npu0", 1, "stopped", ())) in run.sent(Down)
    run.exit("npu0", -signal.SIGKILL)
    assert run.logged() == [("npu0", "info", "ended")]
    assert run.children["npu0"].last_error is None
    run.vitals["npu0"] = Vitals()
    assert run.tick() == [Fork("npu0", 2)]
    run.ready("npu0")
    assert run.tick() == [Answer(1)]


def test_actor_that_does_not_stop_when_asked_is_killed() -> None:
    run = Run()
    run.restart("npu0")
    run.tick()
    assert run.tick(STOP_NS) == []
    assert Signal("npu0", signal.SIGKILL) in run.tick(1)
    run.exit("npu0", -signal.SIGKILL)
    assert run.tick() == [Fork("npu0", 2)]


def test_failed_actor_gets_a_new_chance_by_a_restart() -> None:
    run = Run()
    for _ in range(6):
        run.exit("npu0", 1)
        run.tick(SECOND)
    assert run.children["npu0"].state == "failed"
    run.restart("npu0")
    assert isinstance(run.tick()[0], Fork)
    run.exit("npu0", 1)
    assert run.children["npu0"].state == "backoff"


def test_restart_of_an_actor_that_fails_says_why() -> None:
    run = Run()
    run.restart("npu0")
    run.tick()
    while run.children["npu0"].state != "failed":
        run.do(run.supervision.received(Note("npu0", "fatal", "fatal", "no core"), run.now))
        run.exit("npu0", 1)
        run.tick(SECOND)
    assert Answer(1, "npu0 did not come back: no core") in run.actions


REFUSED: list[tuple[object, str]] = [
    (None, "name at least one actor"),
    ([], "name at least one actor"),
    ("npu0", "name at least one actor"),
    (["npu9"], "no actor named 'npu9'; there are cam0, tiler, npu0, npu1"),
    ([7], "no actor named 7; there are cam0, tiler, npu0, npu1"),
]


@pytest.mark.parametrize(("names", "error"), REFUSED)
def test_restart_that_cannot_be_done_is_refused_in_a_sentence(names: object, error: str) -> None:
    run = Run()
    assert run.supervision.restart(5, names, run.now, kill=False) == [Answer(5, error)]
    assert run.tick() == []


def test_restart_of_what_has_finished_or_while_stopping_is_refused() -> None:
    run = Run()
    run.restart("npu0")
    assert Answer(1, "the run is stopping") in run.stop()
    assert run.restart("npu0") == [Answer(1, "the run is stopping")]
    run.exit("cam0", ENDED_CODE)
    refused = run.restart("cam0")
    assert refused == [Answer(1, "cam0 has finished: it has nothing more to do")]


# ---------------------------------------------------------------- stops


def test_stop_drains_then_closes_then_kills() -> None:
    run = Run()
    run.stop()
    assert run.sent(Drain) == {("cam0", Drain())}
    assert run.tick(DRAIN_NS) == []
    run.tick(1)
    assert run.sent(Stop) == {(name, Stop()) for name in NAMES}
    assert ("supervisor", "warning", "stop") in run.logged()
    assert run.tick(CLOSE_HURRIED_NS) == []
    assert run.tick(1) == [Signal(name, signal.SIGKILL) for name in NAMES]


def test_second_stop_kills_at_once() -> None:
    run = Run()
    run.stop()
    kills = [action for action in run.stop() if isinstance(action, Signal)]
    assert kills == [Signal(name, signal.SIGKILL) for name in NAMES]


def test_actor_that_comes_up_during_the_drain_is_drained_too() -> None:
    run = Run()
    run.exit("cam0", -signal.SIGKILL)
    run.tick()
    run.stop()
    assert run.sent(Drain) == set()
    run.ready("cam0")
    assert run.sent(Drain) == {("cam0", Drain())}


def test_actor_that_still_closes_is_waited_for_unless_the_run_is_in_a_hurry() -> None:
    run = Run()
    run.exit("cam0", ENDED_CODE)
    run.tick()
    run.vitals["tiler"] = Vitals(silent_ns=HANG_NS)
    assert run.tick(CLOSE_NS + 1) == [Signal("tiler", signal.SIGKILL)]
    run.exit("tiler", -signal.SIGKILL)
    assert run.tick(LONG_CLOSE_NS - 1) == []
    assert run.stop() == [Signal(name, signal.SIGKILL) for name in ("npu0", "npu1")]


def test_process_that_outlives_its_kill_is_named_and_not_waited_for() -> None:
    """In uninterruptible sleep, as in the driver of a device that does not answer."""
    run = Run()
    run.stop()
    run.stop()
    for name in ("cam0", "tiler", "npu1"):
        run.exit(name, -signal.SIGKILL)
    pid = run.children["npu0"].pid
    assert run.tick(KILL_NS) == []
    assert not run.supervision.over
    (log,) = run.tick(1)
    assert isinstance(log, Log)
    assert (log.actor, log.level) == ("npu0", "error")
    assert f"process {pid} was killed and does not exit" in log.text
    assert run.supervision.over


def test_process_that_outlives_its_kill_is_not_forked_beside() -> None:
    run = Run()
    run.vitals["npu0"] = Vitals(silent_ns=HANG_NS + 1)
    run.tick()
    run.actions.clear()
    for _ in range(100):
        run.tick(SECOND)
    assert run.logged() == [("npu0", "error", "hung")]
    assert len(run.actions) == 1
    run.exit("npu0", -signal.SIGKILL)
    run.vitals["npu0"] = Vitals()
    assert run.tick() == [Fork("npu0", 2)]


# ---------------------------------------------------------------- the fork server


def test_fork_server_that_is_killed_is_renewed_however_often() -> None:
    run = Run()
    waits = []
    for _ in range(100):
        run.do(run.supervision.fork_server_lost("it was killed", run.now, killed=True))
        begin = run.now
        while RenewForkServer() not in run.tick():
            run.now += 100 * MS
        waits.append((run.now - begin) // MS)
    assert waits[:6] == [0, 100, 200, 400, 800, 800]
    assert waits[-1] == 800
    assert run.supervision.failure is None
    run.supervision.fork_server_ready()
    run.exit("npu0", -signal.SIGKILL)
    assert run.tick() == [Fork("npu0", 2)]


def test_actors_wait_for_the_fork_server() -> None:
    run = Run()
    run.do(run.supervision.fork_server_lost("it was killed", run.now, killed=True))
    run.exit("npu0", -signal.SIGKILL)
    assert run.tick() == [RenewForkServer()]
    assert run.tick(SECOND) == []
    run.supervision.fork_server_ready()
    assert run.tick() == [Fork("npu0", 2)]


def test_actor_whose_fork_fails_is_forked_by_the_next_fork_server() -> None:
    run = Run(running=False)
    begun = run.supervision.tick(run.now, run.vitals)
    assert begun == [Fork(name, 1) for name in NAMES]
    lost = []
    for name in NAMES:
        lost += run.supervision.fork_server_lost("gone", run.now, killed=True, child=name)
    assert lost == [Log("supervisor", "warning", "ended", "gone; it is started again")]
    assert run.tick() == [RenewForkServer()]
    run.supervision.fork_server_ready()
    assert run.tick() == [Fork(name, 2) for name in NAMES]


def test_fork_server_that_cannot_start_ends_the_run() -> None:
    run = Run()
    run.do(run.supervision.fork_server_lost("it was killed", run.now, killed=True))
    for _ in range(6):
        assert run.supervision.failure is None
        while RenewForkServer() not in run.tick():
            run.now += 100 * MS
        run.do(run.supervision.fork_server_lost("cannot import x", run.now, killed=False))
    assert run.supervision.failure == "cannot import x"
    assert run.sent(Stop) == {(name, Stop()) for name in NAMES}


def test_fork_server_that_is_not_ready_in_time_is_renewed() -> None:
    run = Run()
    run.do(run.supervision.fork_server_lost("it was killed", run.now, killed=True))
    run.tick()
    assert run.tick(START_NS) == []
    run.tick(1)
    assert run.tick(100 * MS) == [RenewForkServer()]


# ---------------------------------------------------------------- messages


def test_summaries_are_kept_and_bounded() -> None:
    run = Run()
    for number in range(1000):
        run.do(run.supervision.received(Summary(f"s{number}", "x"), run.now))
    run.do(run.supervision.received(Summary("s0", "y"), run.now))
    assert len(run.supervision.summaries) == 100
    assert run.supervision.summaries["s0"] == "y"


@pytest.mark.parametrize(
    "message",
    [Stop(), Up("npu0", 1), Ready("npu0", 9), Ready("npu9", 1), Note("npu9", "error", "x", "y")],
)
def test_message_that_is_not_for_a_supervisor_changes_nothing(
    message: Stop | Up | Ready | Note,
) -> None:
    run = Run()
    assert run.do(run.supervision.received(message, run.now)) == []
    assert set(run.states().values()) == {"running"}
