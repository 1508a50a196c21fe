"""Vehicle-to-everything (V2X) radios: CARLA's ``sensor.other.v2x`` and ``v2x_custom``.

A ``v2x`` sensor sends Cooperative Awareness Messages when ETSI EN 302 637-2 (V1.4.1, 6.1.3) requires it: after a change
of 4 degrees, 4 m or 0.5 m/s, or after a maximum interval; ``v2x_custom`` sends what a client gives it. Which messages
are received follows from the path loss of ETSI TR 103 257-1 (V1.1.1): WINNER+ B1, or a geometric model with two rays
(Sommer and Dressler 2011) and knife edges (ITU-R P.526). Messages are sent to the client as in CARLA: a C++ struct,
byte by byte.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridge.carla_library import carla
from neuralsim.town.carla_server.compat.sensor_interface import (
    GRAVITY,
    Instrument,
    Measurement,
    SensorContext,
    WorldView,
)
from neuralsim.town.core.types import Actor
from neuralsim.town.raycasting.rays import Hits

LIGHT_SPEED = 299_792_458.0  # m/s
ANTENNA = 0.02  # m above the roof
PERMITTIVITY = 1.02  # of the ground, relative
MAX_VEHICLES = 8  # considered between two antennas
FADING = {  # dB, deviation of the shadow fading by scenario; no figures are published for rural roads
    "clear": {"highway": 3.3, "urban": 5.2, "rural": 4.25},
    "vehicle": {"highway": 3.8, "urban": 5.3, "rural": 4.55},
    "building": {"highway": 6.8, "urban": 6.8, "rural": 6.8},
}
STATIONS = {"bicycle": 2, "motorcycle": 4, "car": 5, "bus": 6, "truck": 7, "van": 7}  # by base type
EMERGENCY, ROADSIDE = 10, 15
ROLES = {6: 1, EMERGENCY: 6}  # of stations that have one: public transport, emergency
PROTOCOL, CAM, CUSTOM = 2, 2, 0  # protocol version and message ids
LENGTH = 100  # bytes of a custom message
LOW_FREQUENCY = 0.5  # s between two low-frequency containers
MAX_DYNAMIC_MESSAGES = 3  # messages without a change after which the maximum interval applies again
TURNED, MOVED, ACCELERATED = 4.0, 4.0, 0.5  # degrees, m, m/s since the last message that trigger another
#: ``carla.VehicleLightState`` bits in the order of ETSI's exterior lights, most significant first.
LAMPS = (0x2, 0x4, 0x20, 0x10, 0, 0x40, 0x80, 0x1)


def _struct(*fields: tuple[str, Any]) -> np.dtype[Any]:
    """Return the layout that a C++ compiler for x86-64 gives these fields."""
    return np.dtype(list(fields), align=True)


_pair = _struct(("value", "<i8"), ("confidence", "<i8"))
_vector = np.dtype(("<i8", 3))  # std::vector: an empty one is three null pointers
_header = _struct(("protocol", "<i8"), ("message", "<i8"), ("station", "<i8"))
_ellipse = _struct(("major", "<i8"), ("minor", "<i8"), ("orientation", "<i8"))
_place = _struct(("latitude", "<i8"), ("longitude", "<i8"), ("ellipse", _ellipse), ("altitude", _pair))
_zone = _struct(("latitude", "<i8"), ("longitude", "<i8"), ("ident", "<i8"), ("has_ident", "?"))
_vehicle = _struct(
    ("heading", _pair), ("speed", _pair), ("direction", "<i8"), ("length", _pair), ("width", "<i8"),
    ("longitudinal", _pair), ("curvature", _pair), ("curvature_mode", "<i8"), ("yaw_rate", _pair),
    ("has_pedals", "?"), ("pedals", "u1"), ("has_lane", "?"), ("lane", "<i8"), ("has_steering", "?"),
    ("steering", _pair), ("has_lateral", "?"), ("lateral", _pair), ("has_vertical", "?"), ("vertical", _pair),
    ("has_class", "?"), ("performance", "<i8"), ("has_zone", "?"), ("zone", _zone),
)  # fmt: skip
_list = _struct(("count", "<i8"), ("items", _vector))
_high_frequency = _struct(("present", "<i8"), ("vehicle", _vehicle), ("roadside", _list))
_low_frequency = _struct(("present", "<i8"), ("role", "<i8"), ("lamps", "u1"), ("path", _list))
_awareness = _struct(
    ("header", _header),
    ("time", "<i8"),
    ("station", "<i8"),
    ("place", _place),
    ("high_frequency", _high_frequency),
    ("low_frequency", _low_frequency),
)
#: ``CAMData`` and ``CustomV2XData``: received power (dBm) and message.
RECEIVED_CAM = _struct(("power", "<f4"), ("message", _awareness))
RECEIVED_CUSTOM = _struct(("power", "<f4"), ("message", _struct(("header", _header), ("text", f"S{LENGTH}"))))


@dataclass(frozen=True)
class Transmission:
    """A radio message: sending actor, place of its antenna (m, world), transmit power (dBm) and the message."""

    sender: int
    antenna: np.ndarray
    power: float
    message: Any


class Airwaves:
    """All radio messages of a world during a tick, by kind of radio."""

    def __init__(self) -> None:
        self.radios: dict[int, Radio] = {}
        self.on_air: dict[type[Radio], list[Transmission]] = {}

    def exchange(self, world: WorldView) -> None:
        """Let every radio send what is due now, whether or not anyone receives it."""
        self.on_air = {}
        for ident, radio in list(self.radios.items()):
            if ident not in world.actors:
                del self.radios[ident]
                continue
            owner = world.actors.get(radio.actor.parent)
            if owner is not None:
                antenna, power = antenna_of(owner), radio.number("transmit_power")
                self.on_air.setdefault(type(radio), []).extend(
                    Transmission(owner.id, antenna, power, message) for message in radio.send(owner, world.time)
                )


def antenna_of(actor: Actor) -> np.ndarray:
    """Return the place of an actor's antenna above the centre of its roof, f64 (3,), m."""
    up = actor.box_offset[2] + actor.extent[2] + ANTENNA
    return np.array([actor.transform.x, actor.transform.y, actor.transform.z + up])


class Radio(Instrument):
    """A sender and receiver on a vehicle or roadside unit; without a parent it neither sends nor receives."""

    casts = True  # for the line of sight
    received: np.dtype[Any]

    def __init__(self, scene: SensorContext, actor: Actor) -> None:
        super().__init__(scene, actor)
        self.model = actor.attributes.get("path_loss_model", "winner")
        self.scenario = actor.attributes.get("scenario", "highway")
        if self.model not in ("winner", "geometric"):
            raise ValueError(f"path_loss_model is {self.model!r}: choose winner or geometric")
        if self.scenario not in FADING["clear"]:
            raise ValueError(f"scenario is {self.scenario!r}: choose {', '.join(FADING['clear'])}")
        self.frequency = self.number("frequency_ghz")
        if not 0.1 <= self.frequency <= 100.0:
            raise ValueError(f"frequency_ghz is {self.frequency:g}: choose 0.1 to 100")
        scene.airwaves.radios[actor.id] = self

    def number(self, name: str) -> float:
        """Return an attribute of the sensor. Raise ``ValueError`` if it is not a number."""
        return self._number(name, 0.0)

    @abstractmethod
    def send(self, owner: Actor, now: float) -> list[Any]:
        """Return the messages to send at ``now`` (s)."""

    def measure(self, delta: float) -> Measurement:
        owner = self._parent()
        sent = [each for each in self.scene.airwaves.on_air.get(type(self), ()) if each.sender != self.actor.parent]
        if owner is None or not sent:
            return lambda: None
        antenna, cast, me = antenna_of(owner), self.scene.caster(), owner.id
        boxes = {
            ident: (actor.transform.x, actor.transform.y, actor.transform.z + 2.0 * actor.extent[2] + ANTENNA)
            for ident, actor in self.world.actors.items()
            if actor.blueprint.id.startswith("vehicle.")
        }

        def finish() -> bytes | None:
            received = np.zeros(len(sent), self.received)
            count = 0
            for each in sent:
                away = float(np.linalg.norm(each.antenna - antenna))
                if not 0.0 < away < self.number("filter_distance"):
                    continue
                state, between = line_of_sight(cast, antenna, each.antenna, {me, each.sender}, boxes)
                loss = self._loss(state, between, antenna, each.antenna) + self._fading(state)
                power = each.power + self.number("combined_antenna_gain") - loss
                if power >= self.number("receiver_sensitivity"):
                    received[count] = power, each.message
                    count += 1
            return received[:count].tobytes() if count else None

        return finish

    def _loss(self, state: str, between: list[tuple[float, float, float]], a: np.ndarray, b: np.ndarray) -> float:
        """Return the path loss between two antennas, dB; ``between``: roof centres (x, y, z) of vehicles in the way."""
        away = float(np.linalg.norm(a - b))
        wave = LIGHT_SPEED / (self.frequency * 1e9)
        ground = min(a[2], b[2]) - 2.0 * ANTENNA
        edges = max((_knife_edge(a, b, place, place[2] - ground, wave) for place in between), default=0.0)
        if self.model == "winner":
            return winner_loss(away, self.frequency, self.scenario, state) + edges
        free = 20.0 * math.log10(4.0 * math.pi / wave)
        if state == "clear":
            return two_ray_loss(away, a[2] - ground, b[2] - ground, wave)
        if state == "vehicle":
            return free + 20.0 * math.log10(away) + edges
        near = max(self.number("d_ref"), 1e-3)
        return free + 20.0 * math.log10(near) + 10.0 * self.number("path_loss_exponent") * math.log10(away / near)

    def _fading(self, state: str) -> float:
        is_custom = self.actor.attributes.get("use_etsi_fading", "true").lower() != "true"
        deviation = self.number("custom_fading_stddev") if is_custom else FADING[state][self.scenario]
        return float(self.rng.normal(0.0, deviation)) if deviation > 0.0 else 0.0


def winner_loss(away: float, frequency: float, scenario: str, state: str) -> float:
    """Return the path loss in dB over ``away`` m at ``frequency`` GHz (TR 103 257-1, table 5)."""
    far, high = math.log10(away), math.log10(frequency)
    if state == "building":
        return 36.85 + 30.0 * far + 18.9 * high
    if scenario == "highway":
        return 32.4 + 20.0 * far + 20.0 * high
    return 38.77 + 16.7 * far + 18.2 * high


def two_ray_loss(away: float, high: float, other: float, wave: float) -> float:
    """Return the path loss in dB of a direct and a ground-reflected ray.

    ``away``: distance of the antennas; ``high``, ``other``: their heights above ground; ``wave``: wavelength, all in m.
    """
    level = math.sqrt(max(away**2 - (high - other) ** 2, 1e-6))
    reflected = math.sqrt(away**2 + 4.0 * high * other)
    sine, cosine = (high + other) / reflected, level / reflected
    root = math.sqrt(max(PERMITTIVITY - cosine**2, 0.0))
    gamma = (sine - root) / (sine + root)
    phase = 2.0 * math.pi / wave * (away - reflected)
    both = math.hypot(1.0 + gamma * math.cos(phase), gamma * math.sin(phase))
    return 20.0 * math.log10(4.0 * math.pi * level / wave / max(both, 1e-6))


def _knife_edge(a: np.ndarray, b: np.ndarray, place: tuple[float, float, float], high: float, wave: float) -> float:
    """Return the diffraction loss over a vehicle's roof in dB; ``high``: its height above ground, as in CARLA."""
    one, other = (max(math.hypot(place[0] - end[0], place[1] - end[1]), 0.1) for end in (a, b))
    v = high * math.sqrt(2.0 * (one + other) / (wave * one * other))
    return 6.9 + 20.0 * math.log10(math.sqrt((v - 0.1) ** 2 + 1.0) + v - 0.1) if v >= -0.78 else 0.0


def line_of_sight(
    cast: Any, start: np.ndarray, end: np.ndarray, ends: set[int], vehicles: dict[int, tuple[float, float, float]]
) -> tuple[str, list[tuple[float, float, float]]]:
    """Return what blocks the line between two antennas ("clear", "vehicle", "building") and the vehicles in the way.

    Pedestrians do not block it.

    Args:
        cast: ``Rays.cast`` at that moment.
        start: Place of one antenna, f64 (3,), m.
        end: Place of the other.
        ends: Ids of the actors that carry the antennas.
        vehicles: Roof centres of all vehicles by id.
    """
    blocking: dict[int, tuple[float, float, float]] = {}
    way, done = end - start, 0.0
    step = 0.05 / float(np.linalg.norm(way))
    for _ in range(4 * MAX_VEHICLES):
        hits: Hits = cast(start + done * way, way[None], 1.0 - done)
        if not np.isfinite(hits.distance[0]):
            break
        hit = int(hits.actor[0])
        if hit == 0 and hit not in vehicles and hit not in ends:
            return "building", []
        if hit in vehicles and hit not in ends:
            blocking[hit] = vehicles[hit]
        done += float(hits.distance[0]) + step
        if done >= 1.0:
            break
    return ("vehicle" if blocking else "clear"), list(blocking.values())


class CooperativeAwareness(Radio):
    """The radio of ``sensor.other.v2x``, which broadcasts the state of its vehicle."""

    received = RECEIVED_CAM

    def __init__(self, scene: SensorContext, actor: Actor) -> None:
        super().__init__(scene, actor)
        self._last: tuple[np.ndarray, float, float, float] | None = None  # place, heading, speed, time of a message
        self._interval = self.number("gen_cam_max")  # s
        self._quiet = 0  # consecutive messages without a change
        self._last_low_frequency = -math.inf  # s, when the last low-frequency container went out

    def send(self, owner: Actor, now: float) -> list[Any]:
        return [self._message(owner, now)] if self._due(owner, now) else []

    def _due(self, owner: Actor, now: float) -> bool:
        place = np.array([owner.transform.x, owner.transform.y, owner.transform.z])
        state = place, owner.transform.yaw, _forward(owner), now
        if self._last is None:
            self._last = state
            return True
        where, heading, speed, then = self._last
        since = now - then + 1e-6
        if not owner.blueprint.id.startswith("vehicle."):
            due = since >= LOW_FREQUENCY
        elif since < self.number("gen_cam_min"):
            due = False
        else:
            turned = abs((state[1] - heading + 180.0) % 360.0 - 180.0)
            changed = turned > TURNED or np.linalg.norm(place - where) > MOVED or abs(state[2] - speed) > ACCELERATED
            due = self.actor.attributes.get("fixed_rate", "false").lower() == "true"
            if not due and changed:
                due, self._interval, self._quiet = True, min(since, self.number("gen_cam_max")), 0
            elif not due and since >= self._interval:
                due, self._quiet = True, self._quiet + 1
                if self._quiet >= MAX_DYNAMIC_MESSAGES:
                    self._interval = self.number("gen_cam_max")
        if due:
            self._last = state
        return due

    def _message(self, owner: Actor, now: float) -> Any:
        message = np.zeros((), _awareness)
        base = owner.attributes.get("base_type", "")
        station = STATIONS.get(base, 0) if owner.blueprint.id.startswith("vehicle.") else ROADSIDE
        if owner.attributes.get("special_type") == "emergency":
            station = EMERGENCY
        message["header"] = PROTOCOL, CAM, owner.id
        message["time"] = int(now * 1000.0) % 65536
        message["station"] = station
        pose = owner.transform
        here = self.world.map.transform_to_geolocation(carla.Location(pose.x, pose.y, pose.z))
        degrees = here.latitude + self._noise("noise_lat"), here.longitude + self._noise("noise_lon")
        up = round(100.0 * (here.altitude + self._noise("noise_alt")))
        message["place"] = (*(10 * round(1e6 * value) for value in degrees), (4095, 4095, 3601), (up, 15))
        if station == ROADSIDE:
            message["high_frequency"]["present"] = 2
            return message
        message["high_frequency"]["present"] = 1
        self._write_motion(message["high_frequency"]["vehicle"], owner)
        if now - self._last_low_frequency + 1e-6 >= LOW_FREQUENCY:
            self._last_low_frequency = now
            lamps = sum(1 << (7 - k) for k, bit in enumerate(LAMPS) if owner.light_state & bit)
            message["low_frequency"] = 1, ROLES.get(station, 0), lamps, (0, (0, 0, 0))
        return message

    def _write_motion(self, into: Any, owner: Actor) -> None:
        """Write heading, speed, size and accelerations in ETSI's units with CARLA's signs (right is positive)."""
        speed = _forward(owner)
        felt = owner.transform.matrix()[:3, :3].T @ (owner.acceleration + np.array([0.0, 0.0, GRAVITY]))
        felt += [self._noise("noise_accel", f"_{axis}") for axis in "xyz"]
        tenths = [round(10.0 * value) if -16.0 <= value <= 16.1 else 161 for value in felt]
        heading = (owner.transform.yaw + 90.0) % 360.0 + self._noise("noise_head")
        shown = min(max(speed + self._noise("noise_vel", "_x"), 0.0), 163.82)
        turn = round(100.0 * (owner.angular_velocity[2] + math.degrees(self._noise("noise_yawrate"))))
        into["heading"], into["speed"] = (round(10.0 * heading), 10), (round(100.0 * shown), 3)
        into["direction"] = int(speed < 0.0)
        into["length"], into["width"] = (round(20.0 * owner.body[0]), 4), round(20.0 * owner.body[1])
        into["longitudinal"], into["curvature"] = (tenths[0], 102), (30001, 7)
        into["yaw_rate"] = turn if abs(turn) <= 32766 else 32767, 8
        into["has_lateral"], into["lateral"] = True, (tenths[1], 102)
        into["has_vertical"], into["vertical"] = True, (tenths[2], 102)


def _forward(actor: Actor) -> float:
    """Return the forward speed, m/s."""
    yaw = math.radians(actor.transform.yaw)
    return float(actor.velocity[0] * math.cos(yaw) + actor.velocity[1] * math.sin(yaw))


class CustomMessages(Radio):
    """The radio of ``sensor.other.v2x_custom``, which sends messages for a client."""

    received = RECEIVED_CUSTOM

    def __init__(self, scene: SensorContext, actor: Actor) -> None:
        super().__init__(scene, actor)
        self._waiting: list[bytes] = []

    def queue(self, text: str) -> None:
        """Send a message with the next tick. Raise ``ValueError`` if it is too long or too many are queued."""
        data = text.encode()
        if len(data) >= LENGTH:
            raise ValueError(f"the message has {len(data)} bytes: at most {LENGTH - 1} can be sent")
        if len(self._waiting) >= LENGTH:
            raise ValueError(f"{LENGTH} messages are already queued for the next tick")
        self._waiting.append(data)

    def send(self, owner: Actor, now: float) -> list[Any]:
        waiting, self._waiting = self._waiting, []
        return [((PROTOCOL, CUSTOM, owner.id), data) for data in waiting]
