"""What ends a `launch` that is not the topology's fault."""

from __future__ import annotations


class LaunchError(Exception):
    """The run cannot start or failed; one sentence that says what and what to do."""
