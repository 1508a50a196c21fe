"""Keyboard, gamepad and wheel of pygame -> what the driver wants."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pygame

from neuralsim.drive.driver_input import Analogue, Axes, DriverInput, dead_zone
from neuralsim.drive.keys import HELD, KEYS, PEDALS
from neuralsim.renderer.views import View

#: pygame's names of keys that browsers call otherwise.
_NAMES = {
    " ": "SPACE", "enter": "RETURN",
    "arrowup": "UP", "arrowdown": "DOWN", "arrowleft": "LEFT", "arrowright": "RIGHT",
}  # fmt: skip


def _key(name: str) -> int:
    """Pygame's number of a key of ``KEYS``."""
    name = _NAMES.get(name, name if len(name) == 1 else name.upper())
    number: int = getattr(pygame, f"K_{name}")
    return number


_DEFAULTS: dict[int, str] = {_key(name): action for name, action in KEYS.items()}
_WITH_CTRL = {pygame.K_s: "screenshot", pygame.K_q: "quit"}
_WITH_ALT = {pygame.K_RETURN: "fullscreen", pygame.K_KP_ENTER: "fullscreen"}
_WITH_SHIFT = {pygame.K_F12: "screenshot_dressed"}
_VIEW_KEYS = {pygame.K_1 + n: View(n + 1) for n in range(6)} | {pygame.K_KP1 + n: View(n + 1) for n in range(6)}
_BUTTONS = {1: "reverse", 2: "autopilot", 3: "weather", 6: "respawn", 7: "menu"}

_GAMEPAD = Axes(steer=0, throttle=5, brake=2)  # SDL's order for XInput pads on Linux
_WHEEL = Axes(steer=0, throttle=2, brake=3, rest=1.0)  # Logitech's order, as in manual_control_steeringwheel.py
_WHEEL_NAMES = ("wheel", "g25", "g27", "g29", "g920", "g923", "driving force", "thrustmaster t", "fanatec", "moza")


@dataclass
class Device:
    """The first joystick: its axes as last reported. One that has not moved yet rests (SDL reports 0 until then)."""

    joystick: pygame.joystick.JoystickType
    axes: Axes
    values: dict[int, float] = field(default_factory=dict)
    hand_brake: bool = False

    @property
    def steer(self) -> float:
        """-1 .. 1 outside the dead zone, 0 inside, continuous at its edge."""
        left, right = self.axes.left, self.axes.right
        value = self.values.get(self.axes.steer, 0.5 * (left + right))
        return dead_zone((2.0 * value - left - right) / ((right - left) or 2.0))

    @property
    def throttle(self) -> float:
        """0 .. 1."""
        return self.pedal(self.axes.throttle)

    @property
    def brake(self) -> float:
        """0 .. 1."""
        return self.pedal(self.axes.brake)

    @property
    def pressed(self) -> bool:
        """Whether a foot is on a pedal: half pressed, for a resting one trembles."""
        return max(self.throttle, self.brake) > 0.5

    def pedal(self, axis: int) -> float:
        """0 .. 1, how far the pedal or trigger is pressed."""
        rest, pressed = self.axes.pedal(axis)
        return min(max((self.values.get(axis, rest) - rest) / ((pressed - rest) or 2.0), 0.0), 1.0)


class Inputs(DriverInput):
    """Takes pygame's events; ``choose`` is called with the view that was asked for."""

    def __init__(self, act: Callable[[str], None], choose: Callable[[View], None], *, autopilot: bool = False) -> None:
        super().__init__(act, autopilot=autopilot)
        self.device: Device | None = None
        self.device_name = ""
        self._choose = choose
        self._bound = _DEFAULTS
        self.axes: dict[str, Axes] = {}  # calibrated ones, by the device's name
        if not pygame.joystick.get_init():
            pygame.joystick.init()

    @property
    def analogue(self) -> Analogue | None:
        return self.device

    def handle(self, event: pygame.event.Event) -> None:
        """Take one pygame event."""
        if event.type == pygame.QUIT:
            self._act("quit")
        elif event.type == pygame.KEYDOWN:
            self._key_down(event.key, event.mod)
        elif event.type == pygame.KEYUP:
            self.let_go(event.key)
        elif event.type == pygame.WINDOWFOCUSLOST:
            self.release()  # the key's release goes to another window
        elif event.type == pygame.JOYAXISMOTION and self._from_device(event):
            self.device.values[event.axis] = event.value  # type: ignore[union-attr]
            if self.wanted.autopilot and self.device.pressed:  # type: ignore[union-attr]
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
        """Let actions have other keys than at first: pygame's name of one key for each of ``ACTIONS`` that has another.

        Such a key loses what it meant; unknown names are left out.
        """
        bound = {key: action for key, action in _DEFAULTS.items() if action not in keys}
        for action, name in keys.items():
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # SDL's names need no more than the display that is there
                    bound[pygame.key.key_code(name)] = action
            except ValueError:
                bound |= {key: default for key, default in _DEFAULTS.items() if default == action}
        self._bound = bound
        self.release()

    def keys_of(self, action: str) -> list[int]:
        """The keys that mean an action."""
        return [key for key, bound in self._bound.items() if bound == action]

    def calibrate(self, axes: Axes) -> None:
        """Read the device that is plugged in by these axes from now on."""
        if self.device is not None:
            self.axes[self.device_name] = self.device.axes = axes

    def _key_down(self, key: int, modifiers: int) -> None:
        if modifiers & (pygame.KMOD_CTRL | pygame.KMOD_ALT):
            meant = _WITH_CTRL if modifiers & pygame.KMOD_CTRL else _WITH_ALT
            if key in meant:
                self._act(meant[key])
        elif modifiers & pygame.KMOD_SHIFT and key in _WITH_SHIFT:
            self._act(_WITH_SHIFT[key])
        elif key in _VIEW_KEYS:
            self._choose(_VIEW_KEYS[key])
        elif (action := self._bound.get(key)) in PEDALS:
            self.hold(key, action)
            if self.wanted.autopilot:
                self.take_over()
        elif action in HELD:
            self.hold(key, action)
        elif action is not None:
            self.command(action)

    def _from_device(self, event: pygame.event.Event) -> bool:
        return self.device is not None and self.device.joystick.get_instance_id() == event.instance_id

    def _plug_in(self, joystick: pygame.joystick.JoystickType) -> None:
        name = joystick.get_name()
        wheel = any(part in name.lower() for part in _WHEEL_NAMES)
        self.device = Device(joystick, self.axes.get(name) or (_WHEEL if wheel else _GAMEPAD))
        self.device_name = name
        self._act("plugged_in")


def key_name(key: int) -> str:
    """What a key is called, as on its cap."""
    return pygame.key.name(key).title()
