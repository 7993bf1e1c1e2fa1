"""Heartbeat age: a hang is distinguished from a wait for a processor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.system.hang_detector import HangDetector
from actors.system.linux import ThreadTimes, thread_times
from tests.support import runs

MS = 1_000_000
TURN = 100 * MS
HANG = 1_500 * MS


def _turns_until(silence: HangDetector, limit: int, most: int = 1_000) -> int:
    """After how many turns of 100 ms without a sign of life `limit` is passed."""
    for turn in range(most):
        if silence.observe(turn * TURN, 0, 1, 1) > limit:
            return turn
    raise AssertionError("never")


def test_sleeping_thread_is_noticed_in_time() -> None:
    asleep = HangDetector(lambda _pid, _tid: ThreadTimes(0, 0, runnable=False))
    assert _turns_until(asleep, HANG) == HANG // TURN + 1


def test_unknown_times_count_in_full() -> None:
    assert _turns_until(HangDetector(lambda _pid, _tid: None), HANG) == HANG // TURN + 1


class _Kernel:
    """Answers as for a thread that, each time it is asked, has run or waited for so much more."""

    def __init__(self, ran_ns: int, waited_ns: int, runnable: bool) -> None:
        self.step = (ran_ns, waited_ns, runnable)
        self.asked = 0

    def __call__(self, _pid: int, _tid: int) -> ThreadTimes:
        self.asked += 1
        ran_ns, waited_ns, runnable = self.step
        return ThreadTimes(ran_ns * self.asked, waited_ns * self.asked, runnable)


@pytest.mark.parametrize(
    "kernel",
    [_Kernel(5 * MS, 0, runnable=True), _Kernel(5 * MS, 90 * MS, runnable=False)],
    ids=["one long wait", "many short ones"],
)
def test_thread_that_waits_for_a_processor_counts_a_tenth(kernel: _Kernel) -> None:
    turns = _turns_until(HangDetector(kernel), HANG)
    assert 10 * (HANG - 400 * MS) <= turns * TURN <= 10 * HANG


def test_thread_that_spins_is_noticed_in_time() -> None:
    spinning = _Kernel(TURN, 0, runnable=True)
    assert _turns_until(HangDetector(spinning), HANG) == HANG // TURN + 1


def test_pause_of_the_observer_counts_as_one_step() -> None:
    """A machine that was held up for a minute has not found a hang."""
    silence = HangDetector(lambda _pid, _tid: None)
    assert silence.observe(0, 0, 1, 1) == 0
    assert silence.observe(60_000 * MS, 0, 1, 1) == 200 * MS
    assert silence.observe(60_100 * MS, 60_050 * MS, 1, 1) == 50 * MS


@given(
    st.lists(
        st.tuples(
            st.integers(1, 500 * MS),
            st.booleans(),
            st.integers(0, 500 * MS),
            st.integers(0, 500 * MS),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_counted_silence_is_never_more_than_silence(
    steps: list[tuple[int, bool, int, int, bool]],
) -> None:
    now = sign = ran = waited = 0
    times = ThreadTimes(0, 0, runnable=False)
    silence = HangDetector(lambda _pid, _tid: times)
    before = silence.observe(now, sign, 1, 1)
    for passed, beat, more_ran, more_waited, runnable in steps:
        now += passed
        ran += more_ran
        waited += more_waited
        times = ThreadTimes(ran, waited, runnable)
        if beat:
            sign = now
        counted = silence.observe(now, sign, 1, 1)
        assert 0 <= counted <= now - sign
        assert counted == 0 if beat else counted >= before
        before = counted


def test_kernel_tells_a_process_that_runs_from_one_that_does_not() -> None:
    if thread_times(os.getpid(), os.getpid()) is None:
        pytest.skip("this kernel keeps no account of the scheduler (CONFIG_SCHED_INFO)")
    spinner = subprocess.Popen([sys.executable, "-c", "while True: pass"])

    def times() -> ThreadTimes:
        found = thread_times(spinner.pid, spinner.pid)
        assert found is not None
        return found

    try:
        runs.wait_for(lambda: times().runnable and times().ran_ns > 50 * MS, 20)
        spinner.send_signal(signal.SIGSTOP)
        runs.wait_for(lambda: not times().runnable, 20)
    finally:
        spinner.kill()
        spinner.wait()
    assert thread_times(spinner.pid, spinner.pid) is None


def test_a_thread_has_times_of_its_own() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        tid = thread.native_id or 0
        if thread_times(os.getpid(), tid) is not None:
            # It sleeps while the one that asks runs.
            runs.wait_for(lambda: not (thread_times(os.getpid(), tid) or (0, 0, True))[2], 20)
    finally:
        done.set()
        thread.join()
