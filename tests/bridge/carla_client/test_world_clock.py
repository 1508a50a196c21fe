"""The clock of a bridge against a world that is no server."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bridge.carla_client import world_clock
from bridge.carla_client.world_clock import WorldClock


class Snapshots:
    """A synchronous world whose snapshots have these frames, the last one from then on."""

    def __init__(self, *frames: int) -> None:
        self.frames = list(frames)

    def get_settings(self) -> Any:
        return SimpleNamespace(synchronous_mode=True, fixed_delta_seconds=0.05)

    def get_snapshot(self) -> Any:
        frame = self.frames.pop(0) if len(self.frames) > 1 else self.frames[0]
        return SimpleNamespace(frame=frame, timestamp=SimpleNamespace(delta_seconds=0.05))

    def tick(self, timeout: float) -> int:
        return self.frames[-1] + 1


@pytest.mark.parametrize(("frames", "is_driven"), [((7,), False), ((7, 8), False), ((7, 8, 8, 9), True)])
def test_a_late_snapshot_is_no_client_that_ticks(
    monkeypatch: pytest.MonkeyPatch, frames: tuple[int, ...], is_driven: bool
) -> None:
    monkeypatch.setattr(world_clock, "LIVENESS_WAIT", 0.0)
    clock = WorldClock(None, Snapshots(*frames), 0.05, lambda: False)  # type: ignore[arg-type]
    assert clock._old_settings.synchronous_mode == is_driven
