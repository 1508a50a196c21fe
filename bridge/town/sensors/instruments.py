"""Sensors that send numbers: place (GNSS), motion (IMU), distances (LiDAR, radar, obstacle detector).

Each is made for one actor and read once per picture; what it returns is the body of its message, packed as CARLA's
serialisers do (``LibCarla``'s ``sensor/s11n``). Noise comes from a generator of the sensor's own, seeded by its
attribute ``noise_seed``, so that a drive can be repeated.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

import carla
import msgpack
import numpy as np

from bridge.tags import Tag
from bridge.town.core.types import Actor
from bridge.town.sensors.rays import Hits

GRAVITY = 9.81  # m/s^2
SWEEP = 8  # rays round the rim of the obstacle detector's sphere, beside the one in its middle
MOST_POINTS = 500_000  # rays of one measurement


class Scene(Protocol):
    """What an instrument asks of the town."""

    world: Any
    gravity: float  # m/s^2

    def cast(
        self, origin: np.ndarray, direction: np.ndarray, reach: float, ignore: int = 0, still: bool = True
    ) -> Hits:
        """What rays meet now: ``Rays.cast``."""

    def describe(self, actor: int, tag: int) -> list[Any]:
        """``rpc::Actor`` of what was hit: an actor, or scenery of some tag."""


class Instrument(ABC):
    """A sensor's state between two measurements. ``casts``: whether it needs rays."""

    casts = False

    def __init__(self, scene: Scene, actor: Actor) -> None:
        self.scene, self.world, self.actor = scene, scene.world, actor
        self.rng = np.random.default_rng(int(self._number("noise_seed", 0.0)))

    @abstractmethod
    def read(self, delta: float) -> bytes | None:
        """The body of a message about now, ``delta`` seconds after the last one; ``None``: nothing to tell."""

    def _number(self, name: str, default: float) -> float:
        value = float(self.actor.attributes.get(name) or default)
        if not math.isfinite(value):
            raise ValueError(f"{name} of {self.actor.blueprint.id} is {value}: choose a number")
        return value

    def _noise(self, prefix: str, axis: str = "") -> float:
        deviation = self._number(f"{prefix}_stddev{axis}", 0.0)
        bias = self._number(f"{prefix}_bias{axis}", 0.0)
        return bias + (float(self.rng.normal(0.0, deviation)) if deviation > 0.0 else 0.0)

    def _pose(self) -> np.ndarray:
        """f64 (4, 4), world <- sensor."""
        return self.actor.transform.matrix()

    def _parent(self) -> Actor | None:
        return self.world.actors.get(self.actor.parent) if self.actor.parent else None

    def _cast(self, directions: np.ndarray, reach: float, **how: Any) -> Hits:
        """Rays from the sensor; ``directions`` f64 (N, 3) in its own axes."""
        pose = self._pose()
        return self.scene.cast(pose[:3, 3], directions @ pose[:3, :3].T, reach, **how)


class Gnss(Instrument):
    """Latitude and longitude (degrees), altitude (m), by the map's own geographic reference."""

    def read(self, delta: float) -> bytes:
        place = self.actor.transform
        here = self.world.map.transform_to_geolocation(carla.Location(place.x, place.y, place.z))
        values = {"lat": here.latitude, "lon": here.longitude, "alt": here.altitude}
        return msgpack.packb([value + self._noise(f"noise_{axis}") for axis, value in values.items()])


class Imu(Instrument):
    """Acceleration with gravity (m/s^2), turn rate (rad/s) in the sensor's axes, and the angle to north (rad)."""

    def __init__(self, scene: Scene, actor: Actor) -> None:
        super().__init__(scene, actor)
        self._last: np.ndarray | None = None  # velocity of the sensor's own place, m/s

    def read(self, delta: float) -> bytes:
        pose, parent = self._pose(), self._parent() or self.actor
        turn = np.radians(parent.angular_velocity)
        place = parent.transform
        lever = pose[:3, 3] - (place.x, place.y, place.z)
        velocity = parent.velocity + np.cross(turn, lever)
        change = np.zeros(3) if self._last is None else (velocity - self._last) / max(delta, 1e-6)
        self._last = velocity
        axes = pose[:3, :3].T  # sensor <- world
        change[2] += self.scene.gravity
        felt = axes @ change
        rate = axes @ turn
        felt += [self._noise("noise_accel", f"_{axis}") for axis in "xyz"]
        rate += [self._noise("noise_gyro", f"_{axis}") for axis in "xyz"]
        compass = math.radians((self.actor.transform.yaw + 90.0) % 360.0)  # north is -y
        return msgpack.packb([felt.tolist(), rate.tolist(), compass])


class Lidar(Instrument):
    """A turning column of lasers: x, y, z (m, sensor) and intensity of each point, channel by channel."""

    casts = True

    def __init__(self, scene: Scene, actor: Actor) -> None:
        super().__init__(scene, actor)
        self.angle = 0.0  # degrees turned so far
        self.channels = int(self._number("channels", 32))
        if not 1 <= self.channels <= 512:
            raise ValueError(f"channels is {self.channels}: choose 1 to 512")

    def _scan(self, delta: float) -> tuple[np.ndarray, Hits, np.ndarray]:
        """Unit directions f64 (N, 3) of this measurement, what they hit, and the channel of each, i64 (N,)."""
        wide = self._number("horizontal_fov", 360.0)
        each = round(self._number("points_per_second", 56000) * delta / self.channels)
        each = min(max(each, 0), MOST_POINTS // self.channels)
        travelled = self._number("rotation_frequency", 10.0) * wide * delta
        steps = self.angle + travelled * np.arange(each) / max(each, 1)
        self.angle = (self.angle + travelled) % wide if wide > 0.0 else 0.0
        across = np.radians(steps % wide - wide / 2.0 if wide > 0.0 else steps)
        upright = np.radians(
            np.linspace(self._number("upper_fov", 10.0), self._number("lower_fov", -30.0), self.channels)
        )
        up, yaw = np.repeat(upright, each), np.tile(across, self.channels)
        directions = np.stack([np.cos(up) * np.cos(yaw), np.cos(up) * np.sin(yaw), np.sin(up)], axis=1)
        return (
            directions,
            self._cast(directions, self._number("range", 10.0)),
            np.repeat(np.arange(self.channels), each),
        )

    def _head(self, channel: np.ndarray) -> bytes:
        counts = np.bincount(channel, minlength=self.channels).astype(np.uint32)
        first = np.array([math.radians(self.angle)], np.float32).view(np.uint32)
        return np.concatenate([first, np.array([self.channels], np.uint32), counts]).tobytes()

    def read(self, delta: float) -> bytes:
        directions, hits, channel = self._scan(delta)
        intensity = np.exp(-self._number("atmosphere_attenuation_rate", 0.004) * hits.distance)
        chance = self.rng.random((2, len(channel)))
        keep = np.isfinite(hits.distance) & (chance[0] >= self._number("dropoff_general_rate", 0.45))
        zero, limit = self._number("dropoff_zero_intensity", 0.4), self._number("dropoff_intensity_limit", 0.8)
        # Weak returns are lost the more often the weaker they are.
        keep &= (intensity > limit) | (chance[1] < (1.0 - zero) * intensity / max(limit, 1e-9) + zero)
        far = hits.distance[keep]
        deviation = self._number("noise_stddev", 0.0)
        if deviation > 0.0:
            far = far + self.rng.normal(0.0, deviation, len(far))
        points = np.column_stack([directions[keep] * far[:, None], intensity[keep]]).astype(np.float32)
        return self._head(channel[keep]) + points.tobytes()


class SemanticLidar(Lidar):
    """As ``Lidar`` without losses: x, y, z (m), cosine of the angle of incidence, actor's id (0: none), tag."""

    POINT = np.dtype([("xyz", "<f4", 3), ("cosine", "<f4"), ("who", "<u4"), ("tag", "<u4")])

    def read(self, delta: float) -> bytes:
        directions, hits, channel = self._scan(delta)
        keep = np.isfinite(hits.distance)
        points = np.empty(int(keep.sum()), self.POINT)
        points["xyz"] = directions[keep] * hits.distance[keep, None]
        world = directions[keep] @ self._pose()[:3, :3].T
        points["cosine"] = -np.einsum("ni,ni->n", world, hits.normal[keep])
        points["who"], points["tag"] = hits.who[keep], hits.tag[keep]
        return self._head(channel[keep]) + points.tobytes()


class Radar(Instrument):
    """Random rays within a cone: velocity along the ray (m/s, towards the radar negative), azimuth, altitude (rad),
    distance (m)."""

    casts = True

    def read(self, delta: float) -> bytes:
        count = min(int(self._number("points_per_second", 1500) * delta + 0.5), MOST_POINTS)
        radius, turn = np.sqrt(self.rng.random(count)), 2.0 * np.pi * self.rng.random(count)
        across = np.radians(self._number("horizontal_fov", 30.0)) / 2.0 * radius * np.cos(turn)
        up = np.radians(self._number("vertical_fov", 30.0)) / 2.0 * radius * np.sin(turn)
        directions = np.stack([np.cos(up) * np.cos(across), np.cos(up) * np.sin(across), np.sin(up)], axis=1)
        hits = self._cast(directions, self._number("range", 100.0), ignore=self.actor.parent)
        keep = np.isfinite(hits.distance) & (hits.tag != Tag.SKY)
        moving = np.zeros((count, 3))
        for ident in np.unique(hits.who[keep & (hits.who > 0)]).tolist():
            moving[hits.who == ident] = self.world.actors[ident].velocity
        parent = self._parent()
        own = parent.velocity if parent is not None else np.zeros(3)
        world = directions @ self._pose()[:3, :3].T
        along = np.einsum("ni,ni->n", moving - own, world)
        found = np.stack([along, across, up, hits.distance], axis=1)[keep]
        return found.astype(np.float32).tobytes()


class Obstacle(Instrument):
    """The nearest thing that a sphere would meet on its way ahead: its parent, that thing, the distance (m)."""

    casts = True

    def read(self, delta: float) -> bytes | None:
        radius = max(self._number("hit_radius", 0.5), 0.0)
        reach = self._number("distance", 5.0)
        only = self.actor.attributes.get("only_dynamics", "false").lower() == "true"
        turn = 2.0 * np.pi * np.arange(SWEEP) / SWEEP
        rim = np.stack([np.zeros(SWEEP), np.cos(turn), np.sin(turn)], axis=1) * radius
        offsets = np.concatenate([np.zeros((1, 3)), rim])
        pose = self._pose()
        origins = offsets @ pose[:3, :3].T + pose[:3, 3]
        ahead = np.tile(pose[:3, 0], (len(origins), 1))
        hits = self.scene.cast(origins, ahead, reach, ignore=self.actor.parent, still=not only)
        nearest = int(np.argmin(hits.distance))
        if not np.isfinite(hits.distance[nearest]):
            return None
        met = self.scene.describe(int(hits.who[nearest]), int(hits.tag[nearest]))
        own = self.scene.describe(self.actor.parent, 0)
        return msgpack.packb([own, met, float(hits.distance[nearest])])


INSTRUMENTS: dict[str, Callable[[Scene, Actor], Instrument]] = {
    "sensor.other.gnss": Gnss,
    "sensor.other.imu": Imu,
    "sensor.other.radar": Radar,
    "sensor.other.obstacle": Obstacle,
    "sensor.lidar.ray_cast": Lidar,
    "sensor.lidar.ray_cast_semantic": SemanticLidar,
}
