"""The town benchmark measures another process with CARLA's own client and awaits every image."""

from __future__ import annotations

import pytest

from benchmarks import town as benchmark


@pytest.mark.slow
def test_server_rate_counts_ticks_with_all_four_images(monkeypatch: pytest.MonkeyPatch) -> None:
    awaited = []
    real = benchmark.queue.SimpleQueue

    class Counted:
        def __init__(self) -> None:
            self.inside = real()
            self.put = self.inside.put

        def get(self, timeout: float) -> object:
            image = self.inside.get(timeout=timeout)
            awaited.append((image.frame, image.width, image.height, type(image).__name__))
            return image

    monkeypatch.setattr(benchmark.queue, "SimpleQueue", Counted)
    assert 0.0 < benchmark.measure_server(frames=5, width=64, height=32, town="hamlet") < 10_000.0
    frames = sorted({frame for frame, *_ in awaited})
    assert frames == list(range(frames[0], frames[0] + 15))
    assert len(awaited) == 4 * 15
    assert {(width, height) for _, width, height, _ in awaited} == {(64, 32)}
    assert [kind for *_, kind in awaited].count("OpticalFlowImage") == 15


def test_a_server_that_does_not_start_raises() -> None:
    with pytest.raises(RuntimeError, match="did not start"), benchmark.served_town("--town", "nowhere"):
        pass
