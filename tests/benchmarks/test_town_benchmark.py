"""What the town's benchmark measures is the real thing: another process, CARLA's own client, every picture awaited."""

from __future__ import annotations

import pytest

from benchmarks import town as benchmark


def test_the_servers_rate_counts_ticks_whose_four_pictures_have_come(monkeypatch: pytest.MonkeyPatch) -> None:
    awaited = []
    real = benchmark.queue.SimpleQueue

    class Counted:
        def __init__(self) -> None:
            self.inside = real()
            self.put = self.inside.put

        def get(self, timeout: float) -> object:
            picture = self.inside.get(timeout=timeout)
            awaited.append((picture.frame, picture.width, picture.height, type(picture).__name__))
            return picture

    monkeypatch.setattr(benchmark.queue, "SimpleQueue", Counted)
    assert 0.0 < benchmark.measure_server(frames=5, width=64, height=32, town="hamlet") < 10_000.0
    frames = sorted({frame for frame, *_ in awaited})
    assert frames == list(range(frames[0], frames[0] + 15))
    assert len(awaited) == 4 * 15
    assert {(width, height) for _, width, height, _ in awaited} == {(64, 32)}
    assert [kind for *_, kind in awaited].count("OpticalFlowImage") == 15


def test_a_server_that_does_not_start_is_no_figure() -> None:
    with pytest.raises(RuntimeError, match="did not start"), benchmark.served_town("--town", "nowhere"):
        pass
