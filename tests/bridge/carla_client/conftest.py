"""Towns for tests of the bridge, in processes of their own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.bridge_processes import end, start_town


@pytest.fixture(scope="module", params=["kind", pytest.param("strict", marks=pytest.mark.slow)])
def towns(request) -> Iterator[list[tuple[subprocess.Popen[str], str]]]:
    """Start two towns with the same seed in parallel, kind ones or as strict as a CARLA server.

    A module's ``TOWN`` has further arguments of ``start_town``.
    """
    options = getattr(request.module, "TOWN", {})
    with ThreadPoolExecutor(2) as pool:
        started = list(pool.map(lambda _: start_town(strict=request.param == "strict", **options), range(2)))
    yield started
    for process, _ in started:
        end(process)
