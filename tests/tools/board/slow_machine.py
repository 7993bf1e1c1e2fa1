"""A pytest plugin for the board: qemu is slow, and that is no fault of a test's."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "board", max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("board")
