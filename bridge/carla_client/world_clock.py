"""The server's clock and settings: synchronous mode while a bridge is connected."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import carla

from bridge.carla_client.camera_rig import SENSOR_ROLE

LIVENESS_WAIT = 0.5  # s within which a running bridge makes a tick
START_FRAME_MULTIPLE = 12  # a drive begins at a multiple of this frame; more ticks than a client needs for sync mode
STARTUP_TIMEOUT = 90.0  # s per call until the first frame: servers load assets or compile their kernels


@contextmanager
def _quiet_library() -> Iterator[None]:
    """Drop what CARLA's library writes to standard error: it warns of every step without a fixed length."""
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


class WorldClock:
    """Ticks ``world`` in steps of ``delta`` seconds, and restores its settings at the end."""

    def __init__(self, client: carla.Client, world: carla.World, delta: float) -> None:
        self._client, self._world, self._delta = client, world, delta
        self._old_settings = world.get_settings()
        if self._old_settings.synchronous_mode and not self._is_ticking():
            # A killed master has left the mode behind: a CARLA server never leaves it by itself.
            self._old_settings.synchronous_mode, self._old_settings.fixed_delta_seconds = False, None
            self.tick(STARTUP_TIMEOUT)  # brings the first snapshot, for which applying settings would wait a second

    def start(self) -> None:
        """Enter synchronous mode, remove leftovers, and advance to a fixed multiple of frames.

        From here on nothing moves without a tick. CARLA's client ticks until two successive snapshots have the new step
        size, so the number of these ticks varies. Advancing to a multiple makes every drive in a newly loaded town
        begin in the same state.
        """
        settings = self._world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, self._delta
        self._world.apply_settings(settings)
        self._advance_to_multiple()
        self._remove_leftovers()

    @property
    def can_follow_real_time(self) -> bool:
        """Whether the server's steps may be as long as real time demands: the embedded town's, known by its cameras.

        A CARLA server without a fixed step promises no stable physics, so it gets more ticks instead of longer ones.
        """
        camera = self._world.get_blueprint_library().find("sensor.camera.rgb")
        return bool(camera.has_attribute("jitter"))

    def follow_real_time(self, follow: bool) -> None:
        """Let each step last as long as the real time since the last one, or ``delta`` seconds again."""
        settings = self._world.get_settings()
        settings.fixed_delta_seconds = None if follow else self._delta
        with _quiet_library():
            self._world.apply_settings(settings)

    def tick(self, timeout: float) -> int:
        """Advance by one step; return the frame's number."""
        return int(self._world.tick(timeout))

    def snapshot(self) -> Any:
        """Return the state of all actors at the last tick."""
        return self._world.get_snapshot()

    def restore(self) -> None:
        """Restore the settings that the server had before; asynchronous ones if nobody ticked then."""
        self._world.apply_settings(self._old_settings)

    def _is_ticking(self) -> bool:
        """Return whether another client ticks."""
        before = self.snapshot().frame
        time.sleep(LIVENESS_WAIT)
        return bool(self.snapshot().frame != before)

    def _advance_to_multiple(self) -> None:
        while self.tick(STARTUP_TIMEOUT) % START_FRAME_MULTIPLE:
            pass

    def _remove_leftovers(self) -> None:
        """Destroy the leftovers of a killed bridge: this project's sensors and the vehicles that they are attached to.

        If another bridge is running, it keeps the clock: then the server was synchronous before, and keeps ticking.
        """
        sensors = [each for each in self._world.get_actors() if each.attributes.get("role_name") == SENSOR_ROLE]
        if not sensors:
            return
        if self._old_settings.synchronous_mode and self._is_ticking():
            return
        hosts = {each.parent.id for each in sensors if each.parent is not None}
        commands = [carla.command.DestroyActor(ident) for ident in (*(each.id for each in sensors), *hosts)]
        self._client.apply_batch_sync(commands)
        self._advance_to_multiple()
