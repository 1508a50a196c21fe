"""Keyboard, gamepad and wheel -> what the driver wants.

Keys are those of CARLA's ``manual_control.py``. Pedals and steering move at rates per second, not per event, so that
driving feels the same at any frame rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pygame

from bridge.messages import Control
from neuralsim.renderer.views import View

#: The keys of the single views, here and in a replay.
VIEW_KEYS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("1",), "neural"),
    (("2",), "semantic tags"),
    (("3",), "simulator RGB"),
    (("4",), "depth"),
    (("5",), "motion"),
)

#: What the help overlay shows: groups of (title, ((keys, meaning), ...)).
HELP: tuple[tuple[str, tuple[tuple[tuple[str, ...], str], ...]], ...] = (
    (
        "Driving",
        (
            (("W", "Up"), "throttle"),
            (("S", "Down"), "brake"),
            (("A", "D", "Left", "Right"), "steer"),
            (("Space",), "hand brake"),
            (("Q",), "reverse on / off"),
            (("P",), "autopilot on / off"),
            (("Backspace",), "respawn"),
        ),
    ),
    (
        "Views",
        (
            *VIEW_KEYS,
            (("6",), "split; again: tags / RGB"),
            (("Mouse",), "drag the divider"),
        ),
    ),
    (
        "Session",
        (
            (("C",), "next weather"),
            (("T",), "next style, or the weather's"),
            (("E",), "edit: trees for buildings ..."),
            (("F", "Pause"), "pause"),
            (("R",), "record on / off"),
            (("F12", "Ctrl+S"), "screenshot"),
            (("Tab",), "hide the HUD"),
            (("G",), "frame graph"),
            (("L",), "late warp on / off"),
            (("H", "F1"), "this help"),
            (("Esc", "Ctrl+Q"), "quit"),
        ),
    ),
    (
        "Gamepad or wheel",
        (
            (("Stick", "Wheel"), "steer"),
            (("Triggers", "Pedals"), "throttle, brake"),
            (("A",), "hand brake"),
            (("B",), "reverse"),
            (("X", "Y"), "autopilot, weather"),
            (("Back", "Start"), "respawn, pause"),
        ),
    ),
)

_THROTTLE_RATE = 5.0  # per second while pressed; manual_control: 0.1 per frame at 60 Hz
_BRAKE_RATE = 8.0
_RELEASE_RATE = 10.0
_STEER_RATE = 1.1  # per second while pressed; manual_control: 5e-4 per millisecond, here quicker at its beginning
_CENTRE_RATE = 4.0  # per second back to the middle
_STEER_LIMIT = 0.7  # as manual_control; less at speed, see `_steer_limit`
_DEAD_ZONE = 0.06

_TOGGLES = {
    pygame.K_q: "reverse",
    pygame.K_p: "autopilot",
    pygame.K_c: "weather",
    pygame.K_t: "style",
    pygame.K_e: "edit",
    pygame.K_h: "help",
    pygame.K_F1: "help",
    pygame.K_BACKSPACE: "respawn",
    pygame.K_r: "record",
    pygame.K_F12: "screenshot",
    pygame.K_f: "pause",
    pygame.K_PAUSE: "pause",
    pygame.K_TAB: "hud",
    pygame.K_g: "graph",
    pygame.K_l: "late_warp",
    pygame.K_ESCAPE: "quit",
}
_WITH_CTRL = {pygame.K_s: "screenshot", pygame.K_q: "quit"}
_VIEW_KEYS = {pygame.K_1 + n: View(n + 1) for n in range(6)} | {pygame.K_KP1 + n: View(n + 1) for n in range(6)}
_PEDALS = {
    pygame.K_w: "throttle",
    pygame.K_UP: "throttle",
    pygame.K_s: "brake",
    pygame.K_DOWN: "brake",
    pygame.K_a: "left",
    pygame.K_LEFT: "left",
    pygame.K_d: "right",
    pygame.K_RIGHT: "right",
    pygame.K_SPACE: "hand_brake",
}
_BUTTONS = {1: "reverse", 2: "autopilot", 3: "weather", 6: "respawn", 7: "pause"}


@dataclass(frozen=True)
class Axes:
    """Which axes of a device are which; pedals rest at ``rest`` and are fully pressed at its negative."""

    steer: int
    throttle: int
    brake: int
    rest: float = -1.0


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
        return dead_zone(self.values.get(self.axes.steer, 0.0))

    @property
    def pressed(self) -> bool:
        """Whether a foot is on a pedal: half pressed, for a resting one trembles."""
        return max(self.pedal(self.axes.throttle), self.pedal(self.axes.brake)) > 0.5

    def pedal(self, axis: int) -> float:
        """0 .. 1, how far the pedal or trigger is pressed."""
        rest = self.axes.rest
        return min(max((self.values.get(axis, rest) - rest) / (-2.0 * rest), 0.0), 1.0)


def dead_zone(value: float, width: float = _DEAD_ZONE) -> float:
    """``value`` in -1 .. 1 with the range around 0 taken out and the rest stretched over it."""
    size = (abs(value) - width) / (1.0 - width)
    return 0.0 if size <= 0.0 else min(size, 1.0) * (1.0 if value > 0.0 else -1.0)


def approach(value: float, target: float, step: float) -> float:
    """``value`` moved towards ``target`` by at most ``step``."""
    return min(value + step, target) if target > value else max(value - step, target)


def _steer_limit(speed: float) -> float:
    """The most a held key steers: 0.7 when slow (as CARLA), 0.18 at 100 km/h; a wheel or stick has the full range."""
    return max(_STEER_LIMIT / (1.0 + (speed / 16.0) ** 2), 0.12)


class Inputs:
    """Holds the state of all devices; ``handle`` takes events, ``control`` says what the driver wants now."""

    def __init__(self, act: Callable[[str], None], choose: Callable[[View], None], *, autopilot: bool = False) -> None:
        self.wanted = Control(sequence=0, autopilot=autopilot)
        self.device: Device | None = None
        self.device_name = ""
        self._act = act  # called with the name of a command this class does not carry out itself
        self._choose = choose
        self._held: dict[int, str] = {}
        if not pygame.joystick.get_init():
            pygame.joystick.init()

    def handle(self, event: pygame.event.Event) -> None:
        """Take one pygame event."""
        if event.type == pygame.QUIT:
            self._act("quit")
        elif event.type == pygame.KEYDOWN:
            self._key_down(event.key, event.mod)
        elif event.type == pygame.KEYUP:
            self._held.pop(event.key, None)
        elif event.type == pygame.WINDOWFOCUSLOST:
            self._held.clear()  # the key's release goes to another window
        elif event.type == pygame.JOYAXISMOTION and self._from_device(event):
            self.device.values[event.axis] = event.value  # type: ignore[union-attr]
            if self.wanted.autopilot and self.device.pressed:  # type: ignore[union-attr]
                self._take_over()
        elif event.type == pygame.JOYBUTTONDOWN and self._from_device(event):
            if event.button == 0:
                self.device.hand_brake = True  # type: ignore[union-attr]
            elif event.button in _BUTTONS:
                self._command(_BUTTONS[event.button])
        elif event.type == pygame.JOYBUTTONUP and self._from_device(event) and event.button == 0:
            self.device.hand_brake = False  # type: ignore[union-attr]
        elif event.type == pygame.JOYDEVICEADDED and self.device is None:
            self._plug_in(pygame.joystick.Joystick(event.device_index))
        elif event.type == pygame.JOYDEVICEREMOVED and self._from_device(event):
            self.device, self.device_name = None, ""
            self._act("unplugged")

    def control(self, seconds: float, speed: float) -> Control:
        """What the driver wants after another ``seconds``, at ``speed`` m/s; ``sequence`` and ``stamp`` are not set."""
        held = set(self._held.values())
        wanted = self.wanted
        throttle = approach(wanted.throttle, *_pedal_step("throttle" in held, _THROTTLE_RATE, seconds))
        brake = approach(wanted.brake, *_pedal_step("brake" in held, _BRAKE_RATE, seconds))
        side = ("right" in held) - ("left" in held)
        if side:
            start = wanted.steer if wanted.steer * side > 0.0 else 0.0  # as in manual_control: never through the middle
            steer = approach(start, side * _steer_limit(abs(speed)), _STEER_RATE * seconds)
        else:
            steer = approach(wanted.steer, 0.0, _CENTRE_RATE * seconds)
        hand_brake = "hand_brake" in held
        device = self.device
        if device is not None:
            hand_brake = hand_brake or device.hand_brake
            if "throttle" not in held:
                throttle = device.pedal(device.axes.throttle)
            if "brake" not in held:
                brake = device.pedal(device.axes.brake)
            if not side:
                steer = device.steer
        self.wanted = replace(wanted, throttle=throttle, brake=brake, steer=steer, hand_brake=hand_brake)
        return self.wanted

    def _key_down(self, key: int, modifiers: int) -> None:
        if modifiers & pygame.KMOD_CTRL:
            if key in _WITH_CTRL:
                self._act(_WITH_CTRL[key])
        elif key in _PEDALS:
            self._held[key] = _PEDALS[key]
            if self.wanted.autopilot:
                self._take_over()
        elif key in _VIEW_KEYS:
            self._choose(_VIEW_KEYS[key])
        elif key in _TOGGLES:
            self._command(_TOGGLES[key])

    def _command(self, name: str) -> None:
        wanted = self.wanted
        if name == "reverse":
            if not wanted.autopilot:  # which chooses its gears itself
                self.wanted = replace(wanted, reverse=not wanted.reverse)
        elif name == "autopilot":
            self.wanted = replace(wanted, autopilot=not wanted.autopilot, reverse=False)
        elif name == "pause":
            self.wanted = replace(wanted, paused=not wanted.paused)
        elif name == "respawn":
            self.wanted = replace(wanted, respawn=wanted.respawn + 1, reverse=False)
        elif name == "weather":
            self.wanted = replace(wanted, weather=wanted.weather + 1)
        self._act(name)

    def _take_over(self) -> None:
        self.wanted = replace(self.wanted, autopilot=False)
        self._act("take_over")

    def _from_device(self, event: pygame.event.Event) -> bool:
        return self.device is not None and self.device.joystick.get_instance_id() == event.instance_id

    def _plug_in(self, joystick: pygame.joystick.JoystickType) -> None:
        name = joystick.get_name()
        wheel = any(part in name.lower() for part in _WHEEL_NAMES)
        self.device = Device(joystick, _WHEEL if wheel else _GAMEPAD)
        self.device_name = name
        self._act("plugged_in")


def _pedal_step(pressed: bool, rate: float, seconds: float) -> tuple[float, float]:
    return (1.0, rate * seconds) if pressed else (0.0, _RELEASE_RATE * seconds)
