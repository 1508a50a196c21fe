"""What all tests share: nothing of the user's own cache is read or written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests() -> Iterator[None]:
    """Measured choices, engines and converted graphs go into a folder of this run, also those of child processes."""
    with tempfile.TemporaryDirectory(prefix="neuralsim-cache-") as folder, pytest.MonkeyPatch.context() as patch:
        if "NEURALSIM_CACHE" not in os.environ:
            patch.setenv("NEURALSIM_CACHE", folder)
        yield
