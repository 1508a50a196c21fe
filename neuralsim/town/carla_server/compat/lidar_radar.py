"""Sensors that cast rays: LiDAR, radar, and the obstacle detector.

A measurement returns the body of its message, packed as by CARLA's serialisers (``LibCarla``'s ``sensor/s11n``).
"""

import math
from typing import Any

import msgpack
import numpy as np

from bridge.tags import Tag
from neuralsim.town.carla_server.compat.sensor_interface import Cast, Instrument, Measurement, SensorContext
from neuralsim.town.core.types import Actor
from neuralsim.town.raycasting.rays import Hits

RIM_RAYS = 8  # rays around the rim of the obstacle detector's sphere, in addition to the central one
MAX_POINTS = 500_000  # rays of one measurement


class Lidar(Instrument):
    """A rotating column of lasers: x, y, z (m, sensor axes) and intensity of each point, channel by channel."""

    casts = True

    def __init__(self, scene: SensorContext, actor: Actor) -> None:
        super().__init__(scene, actor)
        self.angle = 0.0  # degrees, current rotation
        self.channels = int(self._number("channels", 32))
        if not 1 <= self.channels <= 512:
            raise ValueError(f"channels is {self.channels}: choose 1 to 512")

    def measure(self, delta: float) -> Measurement:
        cast, pose, before = self.scene.caster(), self._pose(), self.angle
        fov = self._number("horizontal_fov", 360.0)
        rotation = self._number("rotation_frequency", 10.0) * fov * delta
        self.angle = (before + rotation) % fov if fov > 0.0 else 0.0
        after = self.angle

        def finish() -> bytes:
            directions, channel = self._scan(delta, before)
            hits = cast(pose[:3, 3], directions @ pose[:3, :3].T, self._number("range", 10.0))
            return self._body(directions, hits, channel, after, pose)

        return finish

    def _scan(self, delta: float, angle: float) -> tuple[np.ndarray, np.ndarray]:
        """Return unit directions f64 (N, 3) and channels i64 (N,) of a scan that begins at ``angle`` (degrees)."""
        fov = self._number("horizontal_fov", 360.0)
        count = round(self._number("points_per_second", 56000) * delta / self.channels)
        count = min(max(count, 0), MAX_POINTS // self.channels)
        rotation = self._number("rotation_frequency", 10.0) * fov * delta
        angles = angle + rotation * np.arange(count) / max(count, 1)
        azimuths = np.radians(angles % fov - fov / 2.0 if fov > 0.0 else angles)
        elevations = np.radians(
            np.linspace(self._number("upper_fov", 10.0), self._number("lower_fov", -30.0), self.channels)
        )
        up, yaw = np.repeat(elevations, count), np.tile(azimuths, self.channels)
        directions = np.stack([np.cos(up) * np.cos(yaw), np.cos(up) * np.sin(yaw), np.sin(up)], axis=1)
        return directions, np.repeat(np.arange(self.channels), count)

    def _head(self, channel: np.ndarray, angle: float) -> bytes:
        counts = np.bincount(channel, minlength=self.channels).astype(np.uint32)
        first = np.array([math.radians(angle)], np.float32).view(np.uint32)
        return np.concatenate([first, np.array([self.channels], np.uint32), counts]).tobytes()

    def _body(self, directions: np.ndarray, hits: Hits, channel: np.ndarray, angle: float, pose: np.ndarray) -> bytes:
        intensity = np.exp(-self._number("atmosphere_attenuation_rate", 0.004) * hits.distance)
        random = self.rng.random((2, len(channel)))
        keep = np.isfinite(hits.distance) & (random[0] >= self._number("dropoff_general_rate", 0.45))
        zero, limit = self._number("dropoff_zero_intensity", 0.4), self._number("dropoff_intensity_limit", 0.8)
        # The weaker a return, the more likely it is lost.
        keep &= (intensity > limit) | (random[1] < (1.0 - zero) * intensity / max(limit, 1e-9) + zero)
        distance = hits.distance[keep]
        deviation = self._number("noise_stddev", 0.0)
        if deviation > 0.0:
            distance = distance + self.rng.normal(0.0, deviation, len(distance))
        points = np.column_stack([directions[keep] * distance[:, None], intensity[keep]]).astype(np.float32)
        return self._head(channel[keep], angle) + points.tobytes()


class SemanticLidar(Lidar):
    """A lossless ``Lidar``: x, y, z (m), cosine of the angle of incidence, id of the actor (0: none), tag."""

    POINT = np.dtype([("xyz", "<f4", 3), ("cosine", "<f4"), ("actor", "<u4"), ("tag", "<u4")])

    def _body(self, directions: np.ndarray, hits: Hits, channel: np.ndarray, angle: float, pose: np.ndarray) -> bytes:
        keep = np.isfinite(hits.distance)
        points = np.empty(int(keep.sum()), self.POINT)
        points["xyz"] = directions[keep] * hits.distance[keep, None]
        world = directions[keep] @ pose[:3, :3].T
        points["cosine"] = -np.einsum("ni,ni->n", world, hits.normal[keep])
        points["actor"], points["tag"] = hits.actor[keep], hits.tag[keep]
        return self._head(channel[keep], angle) + points.tobytes()


class Radar(Instrument):
    """A radar that casts random rays within a cone.

    It reports velocity along the ray (m/s, negative towards the radar), azimuth, altitude (rad) and distance (m).
    """

    casts = True

    def measure(self, delta: float) -> Measurement:
        cast, pose, parent = self.scene.caster(), self._pose(), self._parent()
        own_velocity = parent.velocity.copy() if parent is not None else np.zeros(3)
        velocities = {ident: actor.velocity.copy() for ident, actor in self.world.actors.items()}
        return lambda: self._body(cast, pose, own_velocity, velocities, delta)

    def _body(
        self, cast: Cast, pose: np.ndarray, own_velocity: np.ndarray, velocities: dict[int, np.ndarray], delta: float
    ) -> bytes:
        count = min(int(self._number("points_per_second", 1500) * delta + 0.5), MAX_POINTS)
        radius, angle = np.sqrt(self.rng.random(count)), 2.0 * np.pi * self.rng.random(count)
        across = np.radians(self._number("horizontal_fov", 30.0)) / 2.0 * radius * np.cos(angle)
        up = np.radians(self._number("vertical_fov", 30.0)) / 2.0 * radius * np.sin(angle)
        directions = np.stack([np.cos(up) * np.cos(across), np.cos(up) * np.sin(across), np.sin(up)], axis=1)
        world = directions @ pose[:3, :3].T
        hits = cast(pose[:3, 3], world, self._number("range", 100.0), self.actor.parent)
        keep = np.isfinite(hits.distance) & (hits.tag != Tag.SKY)
        moving = np.zeros((count, 3))
        for ident in np.unique(hits.actor[keep & (hits.actor > 0)]).tolist():
            moving[hits.actor == ident] = velocities[ident]
        along = np.einsum("ni,ni->n", moving - own_velocity, world)
        returns = np.stack([along, across, up, hits.distance], axis=1)[keep]
        return returns.astype(np.float32).tobytes()


class Obstacle(Instrument):
    """An obstacle detector: the first object that a sphere moving ahead would hit, as parent, object, distance (m)."""

    casts = True

    def measure(self, delta: float) -> Measurement:
        cast, pose = self.scene.caster(), self._pose()
        # Described now, since actors may be destroyed before the rays are cast.
        actors = {ident: self.scene.describe(ident, 0) for ident in self.world.actors}
        return lambda: self._body(cast, pose, actors)

    def _body(self, cast: Cast, pose: np.ndarray, actors: dict[int, list[Any]]) -> bytes | None:
        radius = max(self._number("hit_radius", 0.5), 0.0)
        reach = self._number("distance", 5.0)
        only_actors = self.actor.attributes.get("only_dynamics", "false").lower() == "true"
        angle = 2.0 * np.pi * np.arange(RIM_RAYS) / RIM_RAYS
        rim = np.stack([np.zeros(RIM_RAYS), np.cos(angle), np.sin(angle)], axis=1) * radius
        offsets = np.concatenate([np.zeros((1, 3)), rim])
        origins = offsets @ pose[:3, :3].T + pose[:3, 3]
        ahead = np.tile(pose[:3, 0], (len(origins), 1))
        hits = cast(origins, ahead, reach, self.actor.parent, not only_actors)
        nearest = int(np.argmin(hits.distance))
        if not np.isfinite(hits.distance[nearest]):
            return None
        hit = int(hits.actor[nearest])
        obstacle = actors[hit] if hit in actors else self.scene.describe(0, int(hits.tag[nearest]))
        own = actors.get(self.actor.parent) or self.scene.describe(0, 0)
        body: bytes = msgpack.packb([own, obstacle, float(hits.distance[nearest])])
        return body
