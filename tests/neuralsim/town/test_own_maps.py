"""The limits on building the town of a stranger's map count the map's own work alone, and name what was too much."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hostile.corpus import roads
from numba import njit

from bridge.untrusted import limits
from neuralsim.town import own_maps
from neuralsim.town.own_maps import build_within_limits


def compute(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@pytest.fixture
def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(limits, "MAP_BUILDING", 0.2)
    path = tmp_path / "mine.xodr"
    path.write_text(roads(3, length=500.0), encoding="utf-8")
    return str(path)


def test_what_all_towns_share_does_not_count(town: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_maps, "templates", lambda: compute(0.6))
    assert build_within_limits(town, lambda: "built") == "built"


def test_compilation_does_not_count_but_the_rest_does(town: str) -> None:
    spent: list[float] = []

    @njit
    def inner(x):  # type: ignore[no-untyped-def]
        return sorted([x, x + 1.0, x * 2.0])[1]

    @njit
    def outer(x):  # type: ignore[no-untyped-def]
        return {inner(x): inner(x + 1.0)}

    def build() -> None:
        begin = time.thread_time()
        outer(1.0)
        spent.append(time.thread_time() - begin)
        compute(20.0)

    with pytest.raises(ValueError, match=r"more than 0 s to build, with 3\.0 km of lanes in 3 roads: choose a smaller"):
        build_within_limits(town, build)
    assert spent, "it was interrupted while kernels were compiled"
    assert spent[0] > 2 * limits.MAP_BUILDING, "compiled too fast to tell"
