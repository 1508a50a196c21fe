"""The benchmark of rigs awaits the generated images of all sessions with CARLA's own client."""

from __future__ import annotations

import pytest

from benchmarks import rig as benchmark
from bridge.size import Size


@pytest.mark.slow
def test_each_kind_is_measured_in_each_round() -> None:
    rates = benchmark.measure(2, Size(64, 64), ticks=2, rounds=2)
    assert {name: len(each) for name, each in rates.items()} == {"session": 2, "separate": 2, "in_turn": 2}
    assert all(0.0 < rate < 1000.0 for each in rates.values() for rate in each)
