"""The limit of open files: raised as far as a run needs it."""

from __future__ import annotations

import resource

from actors.launcher.errors import LaunchError

# A run of seven actors has at most 60 open in any process; several streams and cores have more.
_DESCRIPTORS = 256


def raise_descriptor_limit() -> None:
    """Raise the soft limit of open files as far as is allowed, and see that it is enough.

    Below it libzmq does not report an error but ends the process.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if wanted < _DESCRIPTORS:
        raise LaunchError(
            f"only {hard} files may be open at once, {_DESCRIPTORS} are needed; raise the limit "
            f"(ulimit -n {_DESCRIPTORS})"
        )
