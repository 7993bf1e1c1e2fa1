"""Runs models: one module a kind of runtime, described and opened through `registry`."""
