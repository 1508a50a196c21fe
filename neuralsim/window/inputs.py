"""Driver input from pygame's keyboard, gamepad and wheel events."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pygame

from neuralsim.drive.driver_input import Analogue, Axes, DriverInput, dead_zone
from neuralsim.drive.key_bindings import HELD, KEYS, PEDALS
from neuralsim.renderer.views import View
from neuralsim.window.pads import is_wheel

#: pygame's names of keys that browsers name differently.
_NAMES = {
    " ": "SPACE",
    "enter": "RETURN",
    ",": "COMMA",
    ".": "PERIOD",
    "arrowup": "UP",
    "arrowdown": "DOWN",
    "arrowleft": "LEFT",
    "arrowright": "RIGHT",
}


def _key(name: str) -> int:
    name = _NAMES.get(name, name if len(name) == 1 else name.upper())
    number: int = getattr(pygame, f"K_{name}")
    return number


_DEFAULTS: dict[int, str] = {_key(name): action for name, action in KEYS.items()}
_WITH_CTRL = {pygame.K_s: "screenshot", pygame.K_q: "quit"}
_WITH_ALT = {pygame.K_RETURN: "fullscreen", pygame.K_KP_ENTER: "fullscreen"}
_WITH_SHIFT = {pygame.K_F12: "screenshot_with_hud", pygame.K_c: "weather_back"}
_VIEW_KEYS = {pygame.K_1 + n: View(n + 1) for n in range(6)} | {pygame.K_KP1 + n: View(n + 1) for n in range(6)}
_BUTTONS = {1: "reverse", 2: "autopilot", 3: "weather", 6: "respawn", 7: "menu"}

_GAMEPAD = Axes(steer=0, throttle=5, brake=2)  # XInput's on Linux, and in ``Pads`` of all that SDL knows
_WHEEL = Axes(steer=0, throttle=2, brake=3, rest=1.0)  # Logitech's order, as in manual_control_steeringwheel.py


@dataclass
class Device:
    """The joystick in use and its last reported axes. An axis that has not moved yet is at rest (SDL reports 0)."""

    joystick: pygame.joystick.JoystickType
    axes: Axes
    values: dict[int, float] = field(default_factory=dict)
    hand_brake: bool = False

    @property
    def steer(self) -> float:
        """Steering, -1 to 1, with a dead zone."""
        left, right = self.axes.left, self.axes.right
        value = self.values.get(self.axes.steer, 0.5 * (left + right))
        return dead_zone((2.0 * value - left - right) / ((right - left) or 2.0))

    @property
    def throttle(self) -> float:
        """Throttle, 0 to 1."""
        return self.pedal(self.axes.throttle)

    @property
    def brake(self) -> float:
        """Brake, 0 to 1."""
        return self.pedal(self.axes.brake)

    @property
    def pressed(self) -> bool:
        """Whether a pedal is pressed at least halfway, more than a resting foot does."""
        return max(self.throttle, self.brake) > 0.5

    def pedal(self, axis: int) -> float:
        """Return how far the pedal or trigger is pressed, 0 to 1."""
        rest, pressed = self.axes.pedal(axis)
        return min(max((self.values.get(axis, rest) - rest) / ((pressed - rest) or 2.0), 0.0), 1.0)


class Inputs(DriverInput):
    """Handles pygame's events; ``choose`` is called with a requested view."""

    def __init__(self, act: Callable[[str], None], choose: Callable[[View], None], *, autopilot: bool = False) -> None:
        super().__init__(act, autopilot=autopilot)
        self.device: Device | None = None
        self.device_name = ""
        self._choose = choose
        self._bound = _DEFAULTS
        self.axes: dict[str, Axes] = {}  # calibrated axes by device name
        if not pygame.joystick.get_init():
            pygame.joystick.init()

    @property
    def analogue(self) -> Analogue | None:
        return self.device

    def handle(self, event: pygame.event.Event) -> None:
        """Handle one pygame event."""
        if event.type == pygame.QUIT:
            self._act("quit")
        elif event.type == pygame.KEYDOWN:
            self._key_down(event.key, event.mod)
        elif event.type == pygame.KEYUP:
            self.release_key(event.key)
        elif event.type == pygame.WINDOWFOCUSLOST:
            self.release_all()  # the key-up events will go to another window
        elif event.type == pygame.JOYAXISMOTION and self._from_device(event):
            self.device.values[event.axis] = event.value  # type: ignore[union-attr]
            if self.requested.autopilot and self.device.pressed:  # type: ignore[union-attr]
                self.take_over()
        elif event.type == pygame.JOYBUTTONDOWN and self._from_device(event):
            if event.button == 0:
                self.device.hand_brake = True  # type: ignore[union-attr]
            elif event.button in _BUTTONS:
                self.command(_BUTTONS[event.button])
        elif event.type == pygame.JOYBUTTONUP and self._from_device(event) and event.button == 0:
            self.device.hand_brake = False  # type: ignore[union-attr]
        elif event.type == pygame.JOYDEVICEADDED and self.device is None:
            self._plug_in(pygame.joystick.Joystick(event.device_index))
        elif event.type == pygame.JOYDEVICEREMOVED and self._from_device(event):
            self.device, self.device_name = None, ""
            self._act("unplugged")

    def bind(self, keys: Mapping[str, str]) -> None:
        """Bind actions of ``ACTIONS`` to other keys, given by pygame's names; the rest keep their defaults.

        A rebound key loses its previous action; unknown key names are ignored.
        """
        bound = {key: action for key, action in _DEFAULTS.items() if action not in keys}
        for action, name in keys.items():
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # about a display, which key names do not need
                    bound[pygame.key.key_code(name)] = action
            except ValueError:
                bound |= {key: default for key, default in _DEFAULTS.items() if default == action}
        self._bound = bound
        self.release_all()

    def keys_of(self, action: str) -> list[int]:
        """Return the keys of an action."""
        return [key for key, bound in self._bound.items() if bound == action]

    def calibrate(self, axes: Axes) -> None:
        """Use these axes for the current device."""
        if self.device is not None:
            self.axes[self.device_name] = self.device.axes = axes

    def _key_down(self, key: int, modifiers: int) -> None:
        if modifiers & (pygame.KMOD_CTRL | pygame.KMOD_ALT):
            actions = _WITH_CTRL if modifiers & pygame.KMOD_CTRL else _WITH_ALT
            if key in actions:
                self._act(actions[key])
        elif modifiers & pygame.KMOD_SHIFT and key in _WITH_SHIFT:
            self.command(_WITH_SHIFT[key])
        elif key in _VIEW_KEYS:
            self._choose(_VIEW_KEYS[key])
        elif (action := self._bound.get(key)) in PEDALS:
            self.press_key(key, action)
            if self.requested.autopilot:
                self.take_over()
        elif action in HELD:
            self.press_key(key, action)
        elif action is not None:
            self.command(action)

    def _from_device(self, event: pygame.event.Event) -> bool:
        return self.device is not None and self.device.joystick.get_instance_id() == event.instance_id

    def _plug_in(self, joystick: pygame.joystick.JoystickType) -> None:
        name = joystick.get_name()
        self.device = Device(joystick, self.axes.get(name) or (_WHEEL if is_wheel(name) else _GAMEPAD))
        self.device_name = name
        self._act("plugged_in")


def key_name(key: int) -> str:
    """Return the name of a key, as on its cap."""
    return pygame.key.name(key).title()
