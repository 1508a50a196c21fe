"""Calibration of a wheel or gamepad: finds each axis and its range by having the driver move it once."""

from collections.abc import Callable

import pygame

from neuralsim.drive.driver_input import Axes
from neuralsim.window.inputs import Inputs

_MOVED = 0.6  # movement of an axis that counts as deliberate
_STEPS = (
    ("steer_left", "Turn fully LEFT, then press Enter or a button"),
    ("steer_right", "Turn fully RIGHT, then press Enter or a button"),
    ("throttle", "Press the THROTTLE fully, then press Enter or a button"),
    ("brake", "Press the BRAKE fully, then press Enter or a button"),
)


class Calibration:
    """Asks for one movement after the other. ``done`` is called with the resulting axes."""

    def __init__(self, inputs: Inputs, say: Callable[[str], None], done: Callable[[Axes], None]) -> None:
        self._inputs, self._say, self._done = inputs, say, done
        self._rest = dict(inputs.device.values) if inputs.device is not None else {}
        self._now = dict(self._rest)
        self._measured: dict[str, tuple[int, float]] = {}
        self._step = 0
        say(_STEPS[0][1])

    def handle(self, event: pygame.event.Event) -> bool:
        """Handle an event; return False when the calibration is over."""
        if event.type == pygame.JOYAXISMOTION:
            self._now[event.axis] = event.value
            self._rest.setdefault(event.axis, 0.0 if abs(event.value) < 0.7 else event.value)
            return True
        if event.type == pygame.KEYDOWN and event.key == pygame.K_ESCAPE:
            self._say("Calibration cancelled")
            return False
        pressed = event.type == pygame.JOYBUTTONDOWN or (event.type == pygame.KEYDOWN and event.key == pygame.K_RETURN)
        return self._next() if pressed else True

    def _next(self) -> bool:
        name, prompt = _STEPS[self._step]
        taken = {axis for done, (axis, _) in self._measured.items() if done[:5] != name[:5]}
        moved = {axis: abs(value - self._rest.get(axis, 0.0)) for axis, value in self._now.items() if axis not in taken}
        axis = max(moved, key=lambda each: moved[each], default=-1)
        if axis < 0 or moved[axis] < _MOVED:
            self._say(f"No movement detected. {prompt}")
            return True
        self._measured[name] = axis, self._now[axis]
        self._step += 1
        if self._step < len(_STEPS):
            self._say(_STEPS[self._step][1])
            return True
        self._done(self._axes())
        self._say("Calibrated")
        return False

    def _axes(self) -> Axes:
        (steer, left), (_, right) = self._measured["steer_left"], self._measured["steer_right"]
        (throttle, pressed), (brake, braked) = self._measured["throttle"], self._measured["brake"]
        return Axes(
            steer=steer,
            throttle=throttle,
            brake=brake,
            rest=self._rest.get(throttle, -pressed),
            left=left,
            right=right,
            pressed=pressed,
            brake_rest=self._rest.get(brake, -braked),
            brake_pressed=braked,
        )
