"""Heartbeat age, excluding time in which the thread was starved of CPU or the machine paused.

A missing heartbeat means a hang only if its thread had a processor to write it. Where all
processors are taken, or the whole machine was held up, a healthy actor is silent for seconds too;
taking it for hung kills work in progress, and twice in a row gives up an input that is not to
blame. So the age is counted in steps of the observer's own: a step in which the silent thread
mostly waited for a processor counts a tenth, and a pause of the observer counts as one step.
"""

from __future__ import annotations

from collections.abc import Callable

from actors.system.linux import ThreadTimes, thread_times

# In shorter steps the kernel's accounting, which moves with its ticks of 1 to 10 ms, says little.
_STEP_NS = 50_000_000
# Observers turn every 100 ms. What they slept beyond this says something about them alone.
_LONGEST_STEP_NS = 200_000_000
# A heartbeat comes every 100 ms: before this there is nothing to explain.
_UNREMARKABLE_NS = 300_000_000
# So a thread that spins in vain on a crowded machine is found too, ten times later.
_WAITING_COUNTS = 10


class HangDetector:
    """The heartbeat age of one thread. Holds no clock; `times_of` asks the kernel."""

    def __init__(self, times_of: Callable[[int, int], ThreadTimes | None] = thread_times) -> None:
        self._times_of = times_of
        self._sign_ns = -1
        self._seen_ns = 0
        self._counted_ns = 0
        self._times: ThreadTimes | None = None

    def observe(self, now_ns: int, sign_ns: int, pid: int, tid: int) -> int:
        """The age that counts at `now_ns`, nanoseconds, of a heartbeat from `sign_ns`."""
        if sign_ns != self._sign_ns:
            self._sign_ns = sign_ns
            self._seen_ns = now_ns
            self._counted_ns = min(max(now_ns - sign_ns, 0), _LONGEST_STEP_NS)
            self._times = None
            return self._counted_ns
        passed = now_ns - self._seen_ns
        if passed < _STEP_NS:
            return self._counted_ns
        self._seen_ns = now_ns
        step = min(passed, _LONGEST_STEP_NS)
        if self._counted_ns >= _UNREMARKABLE_NS and self._waited(pid, tid, passed):
            step //= _WAITING_COUNTS
        self._counted_ns += step
        return self._counted_ns

    def _waited(self, pid: int, tid: int, passed: int) -> bool:
        """Whether the thread has waited for a processor during more than half of this step."""
        before, times = self._times, self._times_of(pid, tid)
        self._times = times
        if before is None or times is None:
            return False
        # A wait is added to the kernel's sum when it ends, so one that lasts shows in the state.
        starved = times.runnable and times.ran_ns - before.ran_ns < passed // 2
        return starved or times.waited_ns - before.waited_ns > passed // 2
