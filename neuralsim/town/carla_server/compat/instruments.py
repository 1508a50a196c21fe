"""Sensors that send numbers: place (GNSS), motion (IMU), distances (LiDAR, radar, obstacle detector);
`v2x` has the radios.

Each is made for one actor and read once per picture; what it returns is the body of its message, packed as CARLA's
serialisers do (``LibCarla``'s ``sensor/s11n``). Noise comes from a generator of the sensor's own, seeded by its
attribute ``noise_seed``, so that a drive can be repeated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import carla
import msgpack
import numpy as np

from bridge.tags import Tag
from neuralsim.town.carla_server.compat.sensor_interface import Cast, Instrument, Measurement, SensorContext
from neuralsim.town.carla_server.compat.v2x import CooperativeAwareness, CustomMessages
from neuralsim.town.core.types import Actor
from neuralsim.town.raycasting.rays import Hits

SWEEP = 8  # rays round the rim of the obstacle detector's sphere, beside the one in its middle
MOST_POINTS = 500_000  # rays of one measurement


class Gnss(Instrument):
    """Latitude and longitude (degrees), altitude (m), by the map's own geographic reference."""

    def measure(self, delta: float) -> Measurement:
        place = self.actor.transform
        here = self.world.map.transform_to_geolocation(carla.Location(place.x, place.y, place.z))
        values = {"lat": here.latitude, "lon": here.longitude, "alt": here.altitude}
        body: bytes = msgpack.packb([value + self._noise(f"noise_{axis}") for axis, value in values.items()])
        return lambda: body


class Imu(Instrument):
    """Acceleration with gravity (m/s^2), turn rate (rad/s) in the sensor's axes, and the angle to north (rad)."""

    def __init__(self, scene: SensorContext, actor: Actor) -> None:
        super().__init__(scene, actor)
        self._last: np.ndarray | None = None  # velocity of the sensor's own place, m/s

    def measure(self, delta: float) -> Measurement:
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
        body: bytes = msgpack.packb([felt.tolist(), rate.tolist(), compass])
        return lambda: body


class Lidar(Instrument):
    """A turning column of lasers: x, y, z (m, sensor) and intensity of each point, channel by channel."""

    casts = True

    def __init__(self, scene: SensorContext, actor: Actor) -> None:
        super().__init__(scene, actor)
        self.angle = 0.0  # degrees turned so far
        self.channels = int(self._number("channels", 32))
        if not 1 <= self.channels <= 512:
            raise ValueError(f"channels is {self.channels}: choose 1 to 512")

    def measure(self, delta: float) -> Measurement:
        cast, pose, before = self.scene.caster(), self._pose(), self.angle
        wide = self._number("horizontal_fov", 360.0)
        travelled = self._number("rotation_frequency", 10.0) * wide * delta
        self.angle = (before + travelled) % wide if wide > 0.0 else 0.0
        after = self.angle

        def finish() -> bytes:
            directions, channel = self._scan(delta, before)
            hits = cast(pose[:3, 3], directions @ pose[:3, :3].T, self._number("range", 10.0))
            return self._body(directions, hits, channel, after, pose)

        return finish

    def _scan(self, delta: float, angle: float) -> tuple[np.ndarray, np.ndarray]:
        """Unit directions f64 (N, 3) of a measurement that begins at ``angle``, and the channel of each, i64 (N,)."""
        wide = self._number("horizontal_fov", 360.0)
        each = round(self._number("points_per_second", 56000) * delta / self.channels)
        each = min(max(each, 0), MOST_POINTS // self.channels)
        travelled = self._number("rotation_frequency", 10.0) * wide * delta
        steps = angle + travelled * np.arange(each) / max(each, 1)
        across = np.radians(steps % wide - wide / 2.0 if wide > 0.0 else steps)
        upright = np.radians(
            np.linspace(self._number("upper_fov", 10.0), self._number("lower_fov", -30.0), self.channels)
        )
        up, yaw = np.repeat(upright, each), np.tile(across, self.channels)
        directions = np.stack([np.cos(up) * np.cos(yaw), np.cos(up) * np.sin(yaw), np.sin(up)], axis=1)
        return directions, np.repeat(np.arange(self.channels), each)

    def _head(self, channel: np.ndarray, angle: float) -> bytes:
        counts = np.bincount(channel, minlength=self.channels).astype(np.uint32)
        first = np.array([math.radians(angle)], np.float32).view(np.uint32)
        return np.concatenate([first, np.array([self.channels], np.uint32), counts]).tobytes()

    def _body(self, directions: np.ndarray, hits: Hits, channel: np.ndarray, angle: float, pose: np.ndarray) -> bytes:
        """The body of a message."""
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
        return self._head(channel[keep], angle) + points.tobytes()


class SemanticLidar(Lidar):
    """As ``Lidar`` without losses: x, y, z (m), cosine of the angle of incidence, actor's id (0: none), tag."""

    POINT = np.dtype([("xyz", "<f4", 3), ("cosine", "<f4"), ("who", "<u4"), ("tag", "<u4")])

    def _body(self, directions: np.ndarray, hits: Hits, channel: np.ndarray, angle: float, pose: np.ndarray) -> bytes:
        keep = np.isfinite(hits.distance)
        points = np.empty(int(keep.sum()), self.POINT)
        points["xyz"] = directions[keep] * hits.distance[keep, None]
        world = directions[keep] @ pose[:3, :3].T
        points["cosine"] = -np.einsum("ni,ni->n", world, hits.normal[keep])
        points["who"], points["tag"] = hits.actor[keep], hits.tag[keep]
        return self._head(channel[keep], angle) + points.tobytes()


class Radar(Instrument):
    """Random rays within a cone.

    Velocity along the ray (m/s, towards the radar negative), azimuth, altitude (rad), distance (m).
    """

    casts = True

    def measure(self, delta: float) -> Measurement:
        cast, pose, parent = self.scene.caster(), self._pose(), self._parent()
        own = parent.velocity.copy() if parent is not None else np.zeros(3)
        velocities = {ident: actor.velocity.copy() for ident, actor in self.world.actors.items()}
        return lambda: self._body(cast, pose, own, velocities, delta)

    def _body(
        self, cast: Cast, pose: np.ndarray, own: np.ndarray, velocities: dict[int, np.ndarray], delta: float
    ) -> bytes:
        count = min(int(self._number("points_per_second", 1500) * delta + 0.5), MOST_POINTS)
        radius, turn = np.sqrt(self.rng.random(count)), 2.0 * np.pi * self.rng.random(count)
        across = np.radians(self._number("horizontal_fov", 30.0)) / 2.0 * radius * np.cos(turn)
        up = np.radians(self._number("vertical_fov", 30.0)) / 2.0 * radius * np.sin(turn)
        directions = np.stack([np.cos(up) * np.cos(across), np.cos(up) * np.sin(across), np.sin(up)], axis=1)
        world = directions @ pose[:3, :3].T
        hits = cast(pose[:3, 3], world, self._number("range", 100.0), self.actor.parent)
        keep = np.isfinite(hits.distance) & (hits.tag != Tag.SKY)
        moving = np.zeros((count, 3))
        for ident in np.unique(hits.actor[keep & (hits.actor > 0)]).tolist():
            moving[hits.actor == ident] = velocities[ident]
        along = np.einsum("ni,ni->n", moving - own, world)
        found = np.stack([along, across, up, hits.distance], axis=1)[keep]
        return found.astype(np.float32).tobytes()


class Obstacle(Instrument):
    """The nearest thing that a sphere would meet on its way ahead: its parent, that thing, the distance (m)."""

    casts = True

    def measure(self, delta: float) -> Measurement:
        cast, pose = self.scene.caster(), self._pose()
        # Actors may be destroyed before the rays are cast: they are described now.
        known = {ident: self.scene.describe(ident, 0) for ident in self.world.actors}
        return lambda: self._body(cast, pose, known)

    def _body(self, cast: Cast, pose: np.ndarray, known: dict[int, list[Any]]) -> bytes | None:
        radius = max(self._number("hit_radius", 0.5), 0.0)
        reach = self._number("distance", 5.0)
        only = self.actor.attributes.get("only_dynamics", "false").lower() == "true"
        turn = 2.0 * np.pi * np.arange(SWEEP) / SWEEP
        rim = np.stack([np.zeros(SWEEP), np.cos(turn), np.sin(turn)], axis=1) * radius
        offsets = np.concatenate([np.zeros((1, 3)), rim])
        origins = offsets @ pose[:3, :3].T + pose[:3, 3]
        ahead = np.tile(pose[:3, 0], (len(origins), 1))
        hits = cast(origins, ahead, reach, self.actor.parent, not only)
        nearest = int(np.argmin(hits.distance))
        if not np.isfinite(hits.distance[nearest]):
            return None
        hit = int(hits.actor[nearest])
        met = known[hit] if hit in known else self.scene.describe(0, int(hits.tag[nearest]))
        own = known.get(self.actor.parent) or self.scene.describe(0, 0)
        body: bytes = msgpack.packb([own, met, float(hits.distance[nearest])])
        return body


INSTRUMENTS: dict[str, Callable[[SensorContext, Actor], Instrument]] = {
    "sensor.other.gnss": Gnss,
    "sensor.other.imu": Imu,
    "sensor.other.radar": Radar,
    "sensor.other.obstacle": Obstacle,
    "sensor.other.v2x": CooperativeAwareness,
    "sensor.other.v2x_custom": CustomMessages,
    "sensor.lidar.ray_cast": Lidar,
    "sensor.lidar.ray_cast_semantic": SemanticLidar,
}
