"""What computes: one module a kind of runtime, opened through `registry`."""
