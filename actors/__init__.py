"""tritile: tiled YOLO detection on the three NPU cores of an RK3588, as a system of actors."""

from __future__ import annotations

__version__: str


def __getattr__(name: str) -> str:
    """`__version__`, read when it is asked for: importlib.metadata takes 25 ms to import."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("tritile")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0+unknown"
