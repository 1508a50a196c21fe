"""What the driver wants, from keys that are held and from pedals: the same behind a window and behind a page.

Pedals and steering of held keys move at rates per second, not per event, so that driving feels the same at any frame
rate.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from math import atan
from typing import Protocol

from bridge.messages import Control
from neuralsim.drive.keys import CAMERAS, LOOKS

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


class Analogue(Protocol):
    """A wheel, gamepad or the like: what its pedals and its steering are at now."""

    hand_brake: bool

    @property
    def throttle(self) -> float:
        """0 .. 1."""

    @property
    def brake(self) -> float:
        """0 .. 1."""

    @property
    def steer(self) -> float:
        """-1 .. 1."""


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


class DriverInput:
    """Holds what is pressed; ``control`` says what the driver wants now.

    ``act`` is called with the name of a command that this class does not carry out itself.
    """

    def __init__(self, act: Callable[[str], None], *, autopilot: bool = False) -> None:
        self.wanted = Control(sequence=0, autopilot=autopilot)
        self.seat = ""  # the camera that is chosen
        self.sharpness = 1.0  # of held keys' steering; 1 is the default
        self._act = act
        self._held: dict[Hashable, str] = {}  # action by key, whatever names keys

    @property
    def analogue(self) -> Analogue | None:
        """What is driven with beside keys, if anything."""
        return None

    def hold(self, key: Hashable, action: str) -> None:
        """A key of that meaning goes down."""
        self._held[key] = action

    def let_go(self, key: Hashable) -> None:
        """It comes up."""
        self._held.pop(key, None)

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
        for held, name in LOOKS.items():
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
        analogue = self.analogue
        if analogue is not None:
            hand_brake = hand_brake or analogue.hand_brake
            if "throttle" not in held:
                throttle = analogue.throttle
            if "brake" not in held:
                brake = analogue.brake
            if not side:
                steer = analogue.steer
        self.wanted = replace(wanted, throttle=throttle, brake=brake, steer=steer, hand_brake=hand_brake)
        return self.wanted

    def command(self, name: str) -> None:
        """Carry out a command, as a key or a button asks for it."""
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

    def take_over(self) -> None:
        """The driver drives from now on, not the autopilot."""
        self.wanted = replace(self.wanted, autopilot=False)
        self._act("take_over")


def _pedal_step(pressed: bool, rate: float, seconds: float) -> tuple[float, float]:
    return (1.0, rate * seconds) if pressed else (0.0, _RELEASE_RATE * seconds)
