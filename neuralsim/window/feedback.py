"""What a driver feels of the car: blows with their cause, the sound of everything, a gamepad that shakes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from math import atan2, pi

import numpy as np
import pygame

from bridge.messages import Frame
from neuralsim.drive.collision_messages import FELT, said
from neuralsim.drive.settings import CockpitSettings
from neuralsim.window.sound import Heard, Sound

_HARDEST = 10.0  # m/s of one that shakes as hard as can be


class Feel:
    """Follows the frames. ``jolt`` is called with 0 .. 1, how hard the picture is to be shaken."""

    def __init__(self, settings: CockpitSettings, jolt: Callable[[float], None]) -> None:
        self.settings = settings
        self.sound = Sound(settings.volume)
        self._jolt = jolt
        self._before: Frame | None = None
        self._felt = 0.0  # m/s, the hardest blow of this collision so far

    def frame(self, frame: Frame, joystick: pygame.joystick.JoystickType | None = None) -> str:
        """A new picture is on the screen; returns what there is to say about a new collision, "" if nothing."""
        before, self._before = self._before, frame
        self.sound.heard = Heard.of(frame.ego, self.sound.heard, _across(before, frame))
        if before is None or frame.ego.collisions < before.ego.collisions:  # another place
            self._felt = frame.impact.speed
            return ""
        new = frame.ego.collisions > before.ego.collisions
        if new:
            self._felt = 0.0
        blow = frame.impact.speed
        if blow > self._felt + FELT:
            self._felt = blow
            self._strike(min(blow / _HARDEST, 1.0), blow, joystick)
        return said(frame) if new else ""

    def _strike(self, strength: float, speed: float, joystick: pygame.joystick.JoystickType | None) -> None:
        self.sound.strike(speed)
        if self.settings.jolts:
            self._jolt(strength)
        if joystick is not None:
            self.shake(joystick, strength)

    def shake(self, joystick: pygame.joystick.JoystickType, strength: float) -> None:
        """Let a gamepad or wheel shake, 0 .. 1, as far as it has motors and is wanted to."""
        force = self.settings.force_feedback * (0.3 + 0.7 * strength)
        if force > 0.0:
            with contextlib.suppress(pygame.error, AttributeError):
                joystick.rumble(force, force, round(120 + 380 * strength))


def _across(before: Frame | None, frame: Frame) -> float:
    """m/s^2 to the right that the ego is accelerated with: its speed times how fast it turns."""
    if before is None or not 0.0 < frame.sim_time - before.sim_time < 0.5:
        return 0.0
    yaws = [atan2(each.ego.pose[1, 0], each.ego.pose[0, 0]) for each in (before, frame)]
    turned = (yaws[1] - yaws[0] + pi) % (2.0 * pi) - pi
    return float(np.clip(turned / (frame.sim_time - before.sim_time) * frame.ego.speed, -30.0, 30.0))
