"""The table of a run's actors: starts, exits, hangs and what the others are sent about them.

No I/O: methods take what happened and return actions. The phases of the run are `supervision`'s.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence

from actors.system import children as states
from actors.system.actions import Action, Fork, Log, Send, Signal, Vitals
from actors.system.children import ActorPlan, Child, cause_of, describe_exit
from actors.system.codec import Message
from actors.system.messages import Down, Note, Stop, Up

_SECOND = 1_000_000_000
# A loop turns every 100 ms when idle and after each frame when not, and a fork comes to its first
# heartbeat in milliseconds; 1.5 s without one is a hang.
HANG_NS = 1_500_000_000
# Loading a large model on a busy board takes seconds.
START_NS = 60 * _SECOND
# An actor finishes a frame or a tile and closes; the renderer also ends a video file.
STOP_NS = 5 * _SECOND
# An actor that was ready for so long did not fail to start.
_LIVED_NS = 10 * _SECOND
# SIGKILL takes milliseconds, unless the process is inside a driver or file system that hangs.
KILL_NS = 3 * _SECOND


class ChildTable:
    """Actors by name, and the state of each.

    By what happens, a child's state becomes (empty: nothing changes, or it cannot happen):

    ========  ========  =======  ======================  =============  =========
    state     is due    ready    exits                   restart asked  run stops
    ========  ========  =======  ======================  =============  =========
    backoff   starting                                   backoff        ended
    starting            running  backoff, failed, ended  stopping       stopping
    running                      backoff, failed, ended  stopping       stopping
    stopping                     backoff, ended                         stopping
    failed                                               backoff
    ended
    ========  ========  =======  ======================  =============  =========

    An exit leads to *ended* with ENDED_CODE and when the run stops, to *failed* when the restart
    policy gives the actor up, else to *backoff*; a fork that fails, from *starting* to *backoff*.

    A child that hangs, or is not ready or stopped in time, is killed. The others are sent its Down
    at once, before its exit, because its work does not wait. Each incarnation has one Down.
    """

    def __init__(self, plans: Sequence[ActorPlan[object]]) -> None:
        self.children = {plan.name: Child(plan=plan) for plan in plans}

    def start(self, child: Child, vitals: Vitals, now: int) -> list[Action]:
        """Fork a child that is due."""
        child.begin_incarnation(vitals.done, now)
        return [Fork(child.name, child.incarnation)]

    def ready(self, child: Child, incarnation: int, now: int) -> list[Action]:
        """It has opened what it needs. Ignored of an incarnation that is over or being killed."""
        current = incarnation == child.incarnation and child.kill_cause is None
        if not current or child.state != states.STARTING:
            return []
        child.enter(states.RUNNING, now)
        child.ready_ns = now
        child.up = True
        again = f"running again (start {incarnation})" if incarnation > 1 else "running"
        return [
            *self._tell_running(child, Up(child.name, incarnation)),
            *(Send(child.name, Up(c.name, c.incarnation)) for c in self._running(child)),
            Log(child.name, "info", "running", again),
        ]

    def noted(self, child: Child, note: Note) -> list[Action]:
        """It has something for a person to read."""
        if note.level in ("error", "fatal"):
            child.last_error = note.text
        for name in note.excuses:
            if name in self.children:
                self.children[name].policy.excuse()
        level = "error" if note.level == "fatal" else note.level
        return [Log(child.name, level, note.kind, note.text)]

    def exited(
        self, child: Child, code: int, vitals: Vitals, now: int, *, run_stops: bool
    ) -> list[Action]:
        """Its process has exited with that code, or minus the signal that ended it."""
        if not child.pid:
            raise ValueError(f"{child.name} has no process")
        child.pid = 0
        if not child.alive:  # the run has waited long enough for it to be killed
            return []
        asked = child.state == states.STOPPING
        cause = child.kill_cause
        actions = []
        if cause is None:
            actions = self._down(child, "stopped" if asked else cause_of(code), vitals)
        if code == states.ENDED_CODE or run_stops:
            child.enter(states.ENDED, now)
            if code == states.ENDED_CODE:
                text = "finished: it has nothing more to do"
                actions.append(Log(child.name, "info", "ended", text))
            return actions
        if cause in (None, "stopped"):
            if not asked and (child.last_error is None or code < 0):
                child.last_error = describe_exit(code)
            as_asked = asked and (code == 0 or cause == "stopped")
            level = "info" if as_asked else "warning"
            actions.append(Log(child.name, level, "ended", describe_exit(code)))
        return actions + self._schedule(child, code, vitals, now)

    def _schedule(self, child: Child, code: int, vitals: Vitals, now: int) -> list[Action]:
        """Set the time of the next start, or give the actor up."""
        asked = child.state == states.STOPPING
        # An actor that had nothing to do, a camera being away, has not failed for that.
        lived = child.ready_ns > 0 and now - child.ready_ns >= _LIVED_NS
        worked = vitals.done > child.done_at_start
        killed = (child.kill_cause or cause_of(code)) == "killed"
        delay = child.policy.died(progressed=asked or lived or worked, killed=killed)
        child.restarts += 1
        if delay is not None:
            child.wait(delay, now)
            return []
        child.enter(states.FAILED, now)
        text = f"given up after several starts: {child.last_error}"
        return [Log(child.name, "error", "failed", text)]

    # ------------------------------------------------------------ ending one

    def check(self, child: Child, vitals: Vitals, now: int) -> list[Action]:
        """Kill a child that hangs or is late, and report one that outlives that."""
        waited = now - child.since_ns
        if not child.alive:
            return []
        if child.killed_ns:
            return self._outlives(child, now)
        if child.state == states.STOPPING and waited > STOP_NS:
            return self._kill_unresponsive(child, "did not stop when asked to", vitals, now)
        if child.state == states.STARTING and waited > START_NS:
            why = f"was not ready within {START_NS // _SECOND} s"
            return self._kill_unresponsive(child, why, vitals, now)
        hung = vitals.silent_ns > HANG_NS and (vitals.stopped or now >= vitals.slow_step_until_ns)
        if child.state == states.STOPPING or not hung:
            return []
        why = f"hung for {vitals.silent_ns / 1e9:.1f} s while {child.state}"
        return self._kill_unresponsive(child, why, vitals, now, by_signal=vitals.stopped)

    def ask_to_stop(self, child: Child, now: int) -> list[Action]:
        """Have a child finish what is in hand and exit."""
        child.enter(states.STOPPING, now)
        return [Send(child.name, Stop()) if child.up else Signal(child.name, signal.SIGTERM)]

    def restart(self, child: Child, now: int, *, kill: bool) -> list[Action]:
        """A person asks for a new incarnation: end this one, or start it where it is down."""
        child.policy.reset()
        if not child.alive:
            child.wait(0, now)
        elif kill and not child.killed_ns:
            # What it was computing is not to blame.
            actions = self._down(child, "stopped", Vitals())
            child.kill_cause = "stopped"
            child.enter(states.STOPPING, now)
            return actions + self.kill(child, now)
        elif child.state != states.STOPPING and not child.killed_ns:
            return self.ask_to_stop(child, now)
        return []

    def kill(self, child: Child, now: int) -> list[Action]:
        """End a child at once, if that has not been done yet."""
        if not child.alive or child.killed_ns:
            return []
        child.killed_ns = now
        return [Signal(child.name, signal.SIGKILL)]

    def _kill_unresponsive(
        self, child: Child, why: str, vitals: Vitals, now: int, *, by_signal: bool = False
    ) -> list[Action]:
        child.kill_cause = "killed" if by_signal else "hang"
        child.last_error = why
        return [
            Log(child.name, "error", "hung", f"{why}; killed"),
            *self._down(child, child.kill_cause, vitals),
            *self.kill(child, now),
        ]

    def _outlives(self, child: Child, now: int) -> list[Action]:
        if child.outlives_kill or now - child.killed_ns <= KILL_NS:
            return []
        child.outlives_kill = True
        child.last_error = (
            f"process {child.pid} was killed and does not exit; a device or file system that it "
            "uses does not answer"
        )
        return [Log(child.name, "error", "hung", child.last_error)]

    # ------------------------------------------------------------ the others

    def _down(self, child: Child, cause: str, vitals: Vitals) -> list[Action]:
        child.up = False
        message = Down(child.name, child.incarnation, cause, vitals.suspects)
        return self._tell_running(child, message)

    def _tell_running(self, about: Child, message: Message) -> list[Action]:
        return [Send(child.name, message) for child in self._running(about)]

    def _running(self, but: Child) -> list[Child]:
        """The others that are up, not counting those that are being ended."""
        children = self.children.values()
        return [c for c in children if c is not but and c.state == states.RUNNING and c.up]
