"""Former name of tools/run_harness.py, for tests that are still being moved; do not use it."""

from .run_harness import ROOT, Harness, HarnessError, pids, shared_file

Lab, LabError = Harness, HarnessError
__all__ = ["ROOT", "Lab", "LabError", "pids", "shared_file"]
