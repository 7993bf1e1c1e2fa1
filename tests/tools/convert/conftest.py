"""What tests with the vendor's toolkit share."""

from __future__ import annotations

import os

import pytest

from actors.runtimes.contract import ComputeError
from actors.runtimes.toolkit.client import interpreter


@pytest.fixture(scope="session")
def toolkit_environment() -> None:
    """The toolkit's environment: without it tests skip, but in CI they fail."""
    try:
        interpreter()
    except ComputeError as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI must have the vendor's toolkit: {error}")
        pytest.skip(str(error))
