"""Feedback to the driver: collision messages, sound, camera shake and gamepad rumble."""

import contextlib
from collections.abc import Callable
from math import atan2, pi

import numpy as np
import pygame

from bridge.messages import Frame
from neuralsim.drive.collision_messages import NOTICEABLE, collision_message
from neuralsim.drive.settings import CockpitSettings
from neuralsim.window.sound import Sound, SoundState

_HARDEST = 10.0  # m/s, velocity change of an impact with maximum feedback


class Feedback:
    """Turns frames into feedback. ``jolt`` is called with a strength, 0 to 1, to shake the picture."""

    def __init__(self, settings: CockpitSettings, jolt: Callable[[float], None]) -> None:
        self.settings = settings
        self.sound = Sound(settings.volume)
        self._jolt = jolt
        self._previous: Frame | None = None
        self._strongest = 0.0  # m/s, strongest impact of this collision so far

    def update(self, frame: Frame, joystick: pygame.joystick.JoystickType | None = None) -> str:
        """Take a new frame; return a message if there is a new collision, else ""."""
        previous, self._previous = self._previous, frame
        self.sound.state = SoundState.of(frame.ego, self.sound.state, _lateral_acceleration(previous, frame))
        if previous is None or frame.ego.collisions < previous.ego.collisions:  # respawned
            self._strongest = frame.impact.speed
            return ""
        is_new = frame.ego.collisions > previous.ego.collisions
        if is_new:
            self._strongest = 0.0
        speed = frame.impact.speed
        if speed > self._strongest + NOTICEABLE:
            self._strongest = speed
            self._impact(min(speed / _HARDEST, 1.0), speed, joystick)
        return collision_message(frame) if is_new else ""

    def _impact(self, strength: float, speed: float, joystick: pygame.joystick.JoystickType | None) -> None:
        self.sound.play_impact(speed)
        if self.settings.jolts:
            self._jolt(strength)
        if joystick is not None:
            self.shake(joystick, strength)

    def shake(self, joystick: pygame.joystick.JoystickType, strength: float) -> None:
        """Rumble a gamepad or wheel with a strength of 0 to 1, scaled by the setting, if it has motors."""
        force = self.settings.force_feedback * (0.3 + 0.7 * strength)
        if force > 0.0:
            with contextlib.suppress(pygame.error, AttributeError):
                joystick.rumble(force, force, round(120 + 380 * strength))


def _lateral_acceleration(previous: Frame | None, frame: Frame) -> float:
    """Return the ego's acceleration to the right, m/s^2: its speed times its yaw rate."""
    if previous is None or not 0.0 < frame.sim_time - previous.sim_time < 0.5:
        return 0.0
    yaws = [atan2(each.ego.pose[1, 0], each.ego.pose[0, 0]) for each in (previous, frame)]
    turned = (yaws[1] - yaws[0] + pi) % (2.0 * pi) - pi
    return float(np.clip(turned / (frame.sim_time - previous.sim_time) * frame.ego.speed, -30.0, 30.0))
