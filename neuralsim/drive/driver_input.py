"""The driver's input from held keys and analogue pedals, shared by the window and the web page.

With keys, pedals and steering move at rates per second, not per event, so that driving feels the same at any frame
rate.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from math import atan
from typing import Protocol

from bridge.messages import Control, Lights
from neuralsim.drive.key_bindings import CAMERAS, LOOKS

_THROTTLE_RATE = 5.0  # per second while pressed; manual_control: 0.1 per frame at 60 Hz
_BRAKE_RATE = 8.0
_RELEASE_RATE = 10.0
_REVERSE_THROTTLE = 0.6  # of a held key in reverse
_STEER_TIME = 0.4  # s in which a held key reaches the steering limit at the current speed
_STEER_RATE = 1.1  # per second at most; manual_control: 5e-4 per millisecond, here quicker at first
_CENTRE_TIME = 0.18  # s from the limit back to the centre
_STEER_LIMIT = 0.7  # as in manual_control; less at speed, see `_steer_limit`
_LATERAL = 4.5  # m/s^2, lateral acceleration of a turn with a held key
_STEER_FLOOR = 0.05
_WHEELBASE = 2.85  # m, of the town's car
_LOCK = 0.66  # radians
_CURVE = 22.0  # m/s, of CARLA's steering curve
_DEAD_ZONE = 0.06
_DIPPED = Lights.POSITION | Lights.LOW_BEAM
_BEAMS = _DIPPED | Lights.HIGH_BEAM
#: The headlamps that a key cycles through, by title: the lamps switched on, and whether they switch themselves.
_HEADLAMPS = {
    "automatic": (Lights(0), True),
    "off": (Lights(0), False),
    "low beam": (_DIPPED, False),
    "high beam": (_BEAMS, False),
}
_BLINKERS = Lights.LEFT_BLINKER | Lights.RIGHT_BLINKER
#: Indicators by command.
_INDICATORS = {
    "indicate_left": Lights.LEFT_BLINKER,
    "indicate_right": Lights.RIGHT_BLINKER,
    "hazard": _BLINKERS,
}
_TURN = 0.12  # steering after which an indicator goes off
_CENTRE = 0.03  # steering within which it does


@dataclass(frozen=True)
class Axes:
    """The axes of a device and their ranges.

    Pedals rest at ``rest`` and are fully pressed at ``pressed`` (None: at ``-rest``); ``brake_rest`` and
    ``brake_pressed`` apply where the brake differs. ``left`` and ``right`` are the ends of the steering axis.
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
        """Return the values of a pedal's axis at rest and fully pressed."""
        rest, pressed = self.rest, self.pressed
        if axis == self.brake and axis != self.throttle:
            rest = rest if self.brake_rest is None else self.brake_rest
            pressed = pressed if self.brake_pressed is None else self.brake_pressed
        return rest, -rest if pressed is None else pressed


class Analogue(Protocol):
    """A wheel, gamepad or similar device with its current pedal and steering positions."""

    hand_brake: bool

    @property
    def throttle(self) -> float:
        """Throttle, 0 to 1."""

    @property
    def brake(self) -> float:
        """Brake, 0 to 1."""

    @property
    def steer(self) -> float:
        """Steering, -1 (left) to 1 (right)."""


def dead_zone(value: float, width: float = _DEAD_ZONE) -> float:
    """Return ``value``, -1 to 1, with a dead zone of ``width`` around 0 and the rest rescaled to the full range."""
    size = (abs(value) - width) / (1.0 - width)
    return 0.0 if size <= 0.0 else min(size, 1.0) * (1.0 if value > 0.0 else -1.0)


def approach(value: float, target: float, step: float) -> float:
    """Return ``value`` moved towards ``target`` by at most ``step``."""
    return min(value + step, target) if target > value else max(value - step, target)


def _steer_limit(speed: float, sensitivity: float) -> float:
    """Return how far a held key steers at ``speed`` (m/s): to ``sensitivity`` times 4.5 m/s^2 lateral acceleration.

    That is 0.7 at low speed, as in CARLA, and 0.13 at 50 km/h, where 0.7 would make the car slide. A wheel or stick
    has the full range.
    """
    angle = atan(_WHEELBASE * _LATERAL * sensitivity / max(speed * speed, 1e-3))
    return min(max(angle / (_LOCK / (1.0 + (speed / _CURVE) ** 2)), _STEER_FLOOR), _STEER_LIMIT)


class DriverInput:
    """Tracks what is pressed; ``control`` returns the driver's request.

    ``act`` is called with the name of each command.
    """

    def __init__(self, act: Callable[[str], None], *, autopilot: bool = False) -> None:
        self.requested = Control(sequence=0, autopilot=autopilot)
        self.chosen_camera = ""
        self.sensitivity = 1.0  # of the steering with keys; 1 is the default
        self._act = act
        self._held: dict[Hashable, str] = {}  # action by key
        self._turned = False  # since the indicator was switched on

    @property
    def analogue(self) -> Analogue | None:
        """The analogue device in use, None for keys alone."""
        return None

    def press_key(self, key: Hashable, action: str) -> None:
        """Take note that the key of ``action`` was pressed."""
        self._held[key] = action

    def release_key(self, key: Hashable) -> None:
        """Take note that the key was released."""
        self._held.pop(key, None)

    def release_all(self) -> None:
        """Release all keys."""
        self._held.clear()

    def is_held(self, action: str) -> bool:
        """Return whether a key of ``action``, such as "horn", is held."""
        return action in self._held.values()

    def next_camera(self) -> str:
        """Switch to the next camera and return its title."""
        names = list(CAMERAS)
        self.chosen_camera = names[(names.index(self.chosen_camera) + 1) % len(names)]
        return CAMERAS[self.chosen_camera]

    @property
    def headlamps(self) -> str:
        """Which headlamps are chosen: "automatic", "off", "low beam" or "high beam"."""
        chosen = Lights(self.requested.lights) & _BEAMS, self.requested.lights_auto
        return next((name for name, lamps in _HEADLAMPS.items() if lamps == chosen), "low beam")

    def next_headlamps(self) -> str:
        """Switch the headlamps on to the next choice and return its title; other lamps stay."""
        names = list(_HEADLAMPS)
        name = names[(names.index(self.headlamps) + 1) % len(names)]
        lamps, is_automatic = _HEADLAMPS[name]
        lights = int(self.requested.lights & ~_BEAMS | lamps)
        self.requested = replace(self.requested, lights=lights, lights_auto=is_automatic)
        return name

    def camera(self, backwards: bool) -> str:
        """Return the current camera: that of a held key, the reversing view when ``backwards``, or the chosen one."""
        for action, name in LOOKS.items():
            if self.is_held(action):
                return name
        return "reversing" if backwards else self.chosen_camera

    def navigate_to(self, place: tuple[float, float] | None) -> None:
        """Set the destination (x, y in m), or None to end navigation."""
        x, y = place or (0.0, 0.0)
        self.requested = replace(
            self.requested, going=self.requested.going + 1, goal=place is not None, goal_x=float(x), goal_y=float(y)
        )

    def restart(self) -> None:
        """Forget what was counted for the previous bridge: to another one it would be new."""
        self.requested = replace(self.requested, respawn=0, repair=0, going=0, goal=False, reverse=False, paused=False)

    def pause(self, paused: bool) -> None:
        """Pause the simulation, or resume it."""
        self.requested = replace(self.requested, paused=paused)

    def control(self, seconds: float, speed: float) -> Control:
        """Advance by ``seconds`` at ``speed`` m/s and return the request; ``sequence`` and ``stamp`` are not set."""
        held = set(self._held.values())
        requested = self.requested
        most = _REVERSE_THROTTLE if requested.reverse else 1.0
        throttle = min(approach(requested.throttle, *_pedal_step("throttle" in held, _THROTTLE_RATE, seconds)), most)
        brake = approach(requested.brake, *_pedal_step("brake" in held, _BRAKE_RATE, seconds))
        side = ("right" in held) - ("left" in held)
        limit = _steer_limit(abs(speed), self.sensitivity)
        if side:
            start = requested.steer if requested.steer * side > 0.0 else 0.0  # from the centre, as in manual_control
            rate = min(limit / _STEER_TIME, _STEER_RATE)
            # Beyond the current limit: return at the rate of a released key.
            rate = rate if abs(start) <= limit else limit / _CENTRE_TIME
            steer = approach(start, side * limit, rate * seconds)
        else:
            steer = approach(requested.steer, 0.0, max(limit, abs(requested.steer)) / _CENTRE_TIME * seconds)
        self._cancel_indicator(steer)
        requested = self.requested
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
        self.requested = replace(requested, throttle=throttle, brake=brake, steer=steer, hand_brake=hand_brake)
        return self.requested

    def command(self, name: str) -> None:
        """Carry out the command of a key or button."""
        requested = self.requested
        if name == "reverse":
            if not requested.autopilot:  # it changes gear itself
                self.requested = replace(requested, reverse=not requested.reverse)
        elif name == "autopilot":
            self.requested = replace(requested, autopilot=not requested.autopilot, reverse=False)
        elif name == "pause":
            self.requested = replace(requested, paused=not requested.paused)
        elif name in _INDICATORS:
            self.indicate(_INDICATORS[name])
        elif name == "respawn":
            self.requested = replace(requested, respawn=requested.respawn + 1, reverse=False)
        elif name == "repair":
            self.requested = replace(requested, repair=requested.repair + 1)
        self._act(name)

    def indicate(self, lamps: Lights) -> None:
        """Switch these indicators on, and others off; the same again switches them off."""
        now = self.requested.lights
        on = Lights(0) if now & _BLINKERS == lamps else lamps
        self.requested = replace(self.requested, lights=int(now & ~_BLINKERS | on))
        self._turned = False

    def _cancel_indicator(self, steer: float) -> None:
        """Switch an indicator off once the wheel has been turned to its side and back; hazard lamps stay."""
        side = {Lights.LEFT_BLINKER: -1.0, Lights.RIGHT_BLINKER: 1.0}.get(Lights(self.requested.lights) & _BLINKERS)
        if side is None:
            return
        self._turned = self._turned or side * steer > _TURN
        if self._turned and abs(steer) < _CENTRE:
            self.requested = replace(self.requested, lights=self.requested.lights & ~int(_BLINKERS))

    def take_over(self) -> None:
        """Switch from the autopilot to the driver."""
        self.requested = replace(self.requested, autopilot=False)
        self._act("take_over")


def _pedal_step(pressed: bool, rate: float, seconds: float) -> tuple[float, float]:
    return (1.0, rate * seconds) if pressed else (0.0, _RELEASE_RATE * seconds)
