"""Keyboard, gamepad and wheel -> what the driver wants.

Keys are those of CARLA's ``manual_control.py``. Pedals and steering move at rates per second, not per event, so that
driving feels the same at any frame rate.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import atan

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

#: The cameras that V goes through, by ``bridge.messages.Control.camera``, and what they are called.
CAMERAS = {"": "Driver's seat", "bonnet": "Bonnet", "chase": "Chase camera"}
_LOOKS = {"look left": "left", "look back": "back", "look right": "right"}

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
            (("N",), "horn"),
            (("P",), "autopilot on / off"),
            (("Backspace",), "respawn"),
            (("Return",), "skip the first steps"),
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
            (("Back", "Start"), "respawn, menu"),
        ),
    ),
    (
        "Views",
        (
            *VIEW_KEYS,
            (("6",), "split; again: tags / RGB"),
            (("Mouse",), "drag the divider"),
            (("V",), "seat, bonnet, chase camera"),
            (("U", "I", "O"), "look left, back, right"),
            (("Z",), "rear mirror on / off"),
            (("M",), "map: click where to go"),
        ),
    ),
    (
        "Session",
        (
            (("C",), "next weather"),
            (("T",), "next style, or the weather's"),
            (("E",), "edit: trees for buildings ..."),
            (("G",), "guide: whose look is painted"),
            (("L",), "late warp on / off"),
            (("F", "Pause"), "pause"),
            (("Esc",), "pause and menu"),
            (("Ctrl+Q",), "quit at once"),
        ),
    ),
    (
        "Window",
        (
            (("R",), "record all: MP4 and MCAP"),
            (("F12", "Ctrl+S"), "screenshot without HUD"),
            (("Shift+F12",), "screenshot as it is"),
            (("Tab",), "hide the HUD"),
            (("F3",), "HUD in full; or click on it"),
            (("F2",), "frame graph"),
            (("F11", "Alt+Enter"), "fullscreen"),
            (("H", "F1"), "this help"),
        ),
    ),
)

_THROTTLE_RATE = 5.0  # per second while pressed; manual_control: 0.1 per frame at 60 Hz
_BRAKE_RATE = 8.0
_RELEASE_RATE = 10.0
_BACKING = 0.6  # throttle that a held key gives in reverse
_STEER_TIME = 0.4  # s in which a held key steers as far as it does at that speed
_STEER_RATE = 1.1  # per second at most; manual_control: 5e-4 per millisecond, here quicker at its beginning
_CENTRE_TIME = 0.18  # s back to the middle from there
_STEER_LIMIT = 0.7  # as manual_control; less at speed, see `_steer_limit`
_ACROSS = 4.5  # m/s^2 that a held key turns with
_LEAST_LIMIT = 0.05
_WHEELBASE, _LOCK, _CURVE = 2.85, 0.66, 22.0  # m, radians, m/s: of a car in the town, and as CARLA's steering curve
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
    pygame.K_g: "guide",
    pygame.K_F2: "graph",
    pygame.K_v: "camera",
    pygame.K_m: "map",
    pygame.K_z: "mirror",
    pygame.K_RETURN: "skip",
    pygame.K_F3: "full_hud",
    pygame.K_F11: "fullscreen",
    pygame.K_l: "late_warp",
    pygame.K_ESCAPE: "menu",
}
_WITH_CTRL = {pygame.K_s: "screenshot", pygame.K_q: "quit"}
_WITH_ALT = {pygame.K_RETURN: "fullscreen", pygame.K_KP_ENTER: "fullscreen"}
_WITH_SHIFT = {pygame.K_F12: "screenshot_dressed"}
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
#: What is not driving but lasts while it is held.
_HELD = {pygame.K_n: "horn", pygame.K_u: "look left", pygame.K_i: "look back", pygame.K_o: "look right"}
#: What can be bound to another key: by the words of the tables above, what it is called.
ACTIONS: dict[str, str] = {
    "throttle": "Throttle", "brake": "Brake", "left": "Steer left", "right": "Steer right", "hand_brake": "Hand brake",
    "reverse": "Reverse", "autopilot": "Autopilot", "horn": "Horn", "respawn": "Respawn",
    "look left": "Look left", "look back": "Look back", "look right": "Look right", "camera": "Next camera",
    "map": "Map", "mirror": "Rear mirror",
    "weather": "Next weather", "style": "Next style", "edit": "Edit", "guide": "Guide",
    "pause": "Pause", "record": "Record", "hud": "Hide the HUD", "late_warp": "Late warp",
}  # fmt: skip
_DEFAULTS: dict[int, str] = {**_PEDALS, **_HELD, **_TOGGLES}
_BUTTONS = {1: "reverse", 2: "autopilot", 3: "weather", 6: "respawn", 7: "menu"}


@dataclass(frozen=True)
class Axes:
    """Which axes of a device are which, and how far each goes.

    Pedals rest at ``rest`` and are fully pressed at ``pressed`` (None: at its negative); ``brake_rest`` and
    ``brake_pressed`` where the brake's differ. ``left`` and ``right``: the ends of the wheel.
    """

    steer: int
    throttle: int
    brake: int
    rest: float = -1.0
    left: float = -1.0
    right: float = 1.0
    pressed: float | None = None
    brake_rest: float | None = None
    brake_pressed: float | None = None

    def pedal(self, axis: int) -> tuple[float, float]:
        """Where a pedal rests and where it is fully pressed."""
        rest, pressed = self.rest, self.pressed
        if axis == self.brake and axis != self.throttle:
            rest = rest if self.brake_rest is None else self.brake_rest
            pressed = pressed if self.brake_pressed is None else self.brake_pressed
        return rest, -rest if pressed is None else pressed


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
    def pressed(self) -> bool:
        """Whether a foot is on a pedal: half pressed, for a resting one trembles."""
        return max(self.pedal(self.axes.throttle), self.pedal(self.axes.brake)) > 0.5

    def pedal(self, axis: int) -> float:
        """0 .. 1, how far the pedal or trigger is pressed."""
        rest, pressed = self.axes.pedal(axis)
        return min(max((self.values.get(axis, rest) - rest) / ((pressed - rest) or 2.0), 0.0), 1.0)


def dead_zone(value: float, width: float = _DEAD_ZONE) -> float:
    """``value`` in -1 .. 1 with the range around 0 taken out and the rest stretched over it."""
    size = (abs(value) - width) / (1.0 - width)
    return 0.0 if size <= 0.0 else min(size, 1.0) * (1.0 if value > 0.0 else -1.0)


def approach(value: float, target: float, step: float) -> float:
    """``value`` moved towards ``target`` by at most ``step``."""
    return min(value + step, target) if target > value else max(value - step, target)


def _steer_limit(speed: float, sharpness: float) -> float:
    """The most a held key steers at ``speed`` (m/s): what turns the car with ``sharpness`` times 4.5 m/s^2 across.

    0.7 when slow, as CARLA's, 0.13 at 50 km/h, where that would slide. A wheel or stick has the full range.
    """
    angle = atan(_WHEELBASE * _ACROSS * sharpness / max(speed * speed, 1e-3))
    return min(max(angle / (_LOCK / (1.0 + (speed / _CURVE) ** 2)), _LEAST_LIMIT), _STEER_LIMIT)


class Inputs:
    """Holds the state of all devices; ``handle`` takes events, ``control`` says what the driver wants now."""

    def __init__(self, act: Callable[[str], None], choose: Callable[[View], None], *, autopilot: bool = False) -> None:
        self.wanted = Control(sequence=0, autopilot=autopilot)
        self.device: Device | None = None
        self.device_name = ""
        self.seat = ""  # the camera that is chosen
        self.sharpness = 1.0  # of held keys' steering; 1 is the default
        self._act = act  # called with the name of a command this class does not carry out itself
        self._choose = choose
        self._held: dict[int, str] = {}
        self._bound = _DEFAULTS
        self.axes: dict[str, Axes] = {}  # calibrated ones, by the device's name
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
            self.release()  # the key's release goes to another window
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

    def release(self) -> None:
        """Let go of all keys."""
        self._held.clear()

    def holds(self, what: str) -> bool:
        """Whether a key of that meaning is held, such as "horn"."""
        return what in self._held.values()

    def next_camera(self) -> str:
        """Take the next camera; returns what it is called."""
        names = list(CAMERAS)
        self.seat = names[(names.index(self.seat) + 1) % len(names)]
        return CAMERAS[self.seat]

    def camera(self, backwards: bool) -> str:
        """The camera to look through now: where a held key looks, what lies behind while the car backs up, or the one
        that was chosen."""
        for held, name in _LOOKS.items():
            if self.holds(held):
                return name
        return "reversing" if backwards else self.seat

    def go(self, place: tuple[float, float] | None) -> None:
        """Be led to a place (m), or nowhere any more."""
        x, y = place or (0.0, 0.0)
        self.wanted = replace(
            self.wanted, going=self.wanted.going + 1, goal=place is not None, goal_x=float(x), goal_y=float(y)
        )

    def pause(self, paused: bool) -> None:
        """Hold the simulation, or let it go on."""
        self.wanted = replace(self.wanted, paused=paused)

    def control(self, seconds: float, speed: float) -> Control:
        """What the driver wants after another ``seconds``, at ``speed`` m/s; ``sequence`` and ``stamp`` are not set."""
        held = set(self._held.values())
        wanted = self.wanted
        most = _BACKING if wanted.reverse else 1.0
        throttle = min(approach(wanted.throttle, *_pedal_step("throttle" in held, _THROTTLE_RATE, seconds)), most)
        brake = approach(wanted.brake, *_pedal_step("brake" in held, _BRAKE_RATE, seconds))
        side = ("right" in held) - ("left" in held)
        limit = _steer_limit(abs(speed), self.sharpness)
        if side:
            start = wanted.steer if wanted.steer * side > 0.0 else 0.0  # as in manual_control: never through the middle
            rate = min(limit / _STEER_TIME, _STEER_RATE)
            # Faster than it may be steered now: back at the rate of a released key.
            rate = rate if abs(start) <= limit else limit / _CENTRE_TIME
            steer = approach(start, side * limit, rate * seconds)
        else:
            steer = approach(wanted.steer, 0.0, max(limit, abs(wanted.steer)) / _CENTRE_TIME * seconds)
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
        if modifiers & (pygame.KMOD_CTRL | pygame.KMOD_ALT):
            meant = _WITH_CTRL if modifiers & pygame.KMOD_CTRL else _WITH_ALT
            if key in meant:
                self._act(meant[key])
        elif modifiers & pygame.KMOD_SHIFT and key in _WITH_SHIFT:
            self._act(_WITH_SHIFT[key])
        elif key in _VIEW_KEYS:
            self._choose(_VIEW_KEYS[key])
        elif (action := self._bound.get(key)) in _PEDALS.values():
            self._held[key] = str(action)
            if self.wanted.autopilot:
                self._take_over()
        elif action in _HELD.values():
            self._held[key] = str(action)
        elif action is not None:
            self._command(action)

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
        self.device = Device(joystick, self.axes.get(name) or (_WHEEL if wheel else _GAMEPAD))
        self.device_name = name
        self._act("plugged_in")


def key_name(key: int) -> str:
    """What a key is called, as on its cap."""
    return pygame.key.name(key).title()


def _pedal_step(pressed: bool, rate: float, seconds: float) -> tuple[float, float]:
    return (1.0, rate * seconds) if pressed else (0.0, _RELEASE_RATE * seconds)
