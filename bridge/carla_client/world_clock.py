"""The server's clock and settings: synchronous mode while a bridge is connected."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bridge.carla_client.camera_rig import SENSOR_ROLE
from bridge.carla_client.connection import is_embedded_town
from bridge.carla_library import carla
from bridge.process.lifetime import BridgeError

LIVENESS_WAIT = 0.5  # s within which a running bridge makes a tick
MAX_RESETS = 3  # of settings that others have changed: two bridges must not do so for ever
NOTICE = "Another client had changed the server's mode, step or rendering: they are set again"
START_FRAME_MULTIPLE = 12  # a drive begins at a multiple of this frame; more ticks than a client needs for sync mode
STARTUP_TIMEOUT = 90.0  # s per call until the first frame: servers load assets or compile their kernels


@contextmanager
def quiet_library() -> Iterator[None]:
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

    def __init__(self, client: carla.Client, world: carla.World, delta: float, over: Callable[[], bool]) -> None:
        self._client, self._world, self._delta, self._over = client, world, delta, over
        self._step: float | None = delta  # s, None: as long as real time demands
        self._newest = 0  # number of the last tick
        self._is_disturbed = False  # the last tick was not as it should be
        self._resets = 0
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
        self._apply()
        self._advance_to_multiple()
        self._remove_leftovers()

    @property
    def can_follow_real_time(self) -> bool:
        """Whether the server's steps may be as long as real time demands: the embedded town's.

        A CARLA server without a fixed step promises no stable physics, so it gets more ticks instead of longer ones.
        """
        return is_embedded_town(self._world)

    def follow_real_time(self, follow: bool) -> None:
        """Let each step last as long as the real time since the last one, or ``delta`` seconds again."""
        self._step = None if follow else self._delta
        with quiet_library():
            self._apply()

    def _apply(self) -> None:
        settings = self._world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, self._step
        settings.no_rendering_mode = False  # a script may have left it behind: cameras would send nothing
        # Else the physics would advance less than the step (CARLA's documentation, "Physics substepping").
        least = self._delta / max(settings.max_substeps, 1)
        settings.max_substep_delta_time = max(settings.max_substep_delta_time, least)
        self._world.apply_settings(settings)

    def tick(self, timeout: float) -> int:
        """Advance by one step; return the frame's number. Raises ``BridgeError`` when asked to end while starting."""
        if timeout == STARTUP_TIMEOUT and self._over():
            raise BridgeError("ended while it was starting")
        number = int(self._world.tick(timeout))
        delta = self.snapshot().timestamp.delta_seconds
        self._is_disturbed = number != self._newest + 1 or (self._step is not None and abs(delta - self._step) > 1e-6)
        self._newest = number
        return number

    def hold(self) -> str:
        """Set mode and step again where another client has changed them, as scripts do at their end; return a notice.

        The server is asked only after a tick that was not as it should be.
        """
        if not self._is_disturbed or self._resets == MAX_RESETS:
            return ""
        self._is_disturbed = False
        settings = self._world.get_settings()
        if settings.synchronous_mode and abs((settings.fixed_delta_seconds or 0.0) - (self._step or 0.0)) < 1e-6:
            return ""
        self._resets += 1
        self._apply()
        return NOTICE

    def is_rendering_off(self) -> bool:
        """Return whether the server renders nothing: another client has turned that off."""
        return bool(self._world.get_settings().no_rendering_mode)

    def turn_rendering_on(self) -> bool:
        """Let a server render again that another client keeps from it; return whether that was so."""
        if self._resets == MAX_RESETS or not self.is_rendering_off():
            return False
        self._resets += 1
        self._apply()
        return True

    def snapshot(self) -> Any:
        """Return the state of all actors at the last tick."""
        return self._world.get_snapshot()

    def restore(self) -> None:
        """Restore the settings that the server had before; asynchronous ones if nobody ticked then.

        Of the world of now: the client refuses that of an episode which another client has ended.
        """
        self._client.get_world().apply_settings(self._old_settings)

    def _is_ticking(self) -> bool:
        """Return whether another client ticks, seen twice: on a busy machine a single snapshot may only be late."""
        return self._is_moving() and self._is_moving()

    def _is_moving(self) -> bool:
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
