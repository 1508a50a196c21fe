"""Sensors that send numbers: position (GNSS) and motion (IMU); the table of all such sensors.

Those that cast rays are in ``lidar_radar.py``, radios in ``v2x.py``. An instrument belongs to one actor; a
measurement returns the body of its message, packed as by CARLA's serialisers (``LibCarla``'s ``sensor/s11n``). Each
instrument has its own noise generator, seeded by its attribute ``noise_seed``, so that a drive can be repeated.
"""

import math
from collections.abc import Callable

import msgpack
import numpy as np

from bridge.carla_library import carla
from neuralsim.town.carla_server.compat.lidar_radar import Lidar, Obstacle, Radar, SemanticLidar
from neuralsim.town.carla_server.compat.sensor_interface import Instrument, Measurement, SensorContext
from neuralsim.town.carla_server.compat.v2x import CooperativeAwareness, CustomMessages
from neuralsim.town.core.types import Actor


class Gnss(Instrument):
    """A GNSS receiver: latitude and longitude (degrees) and altitude (m) by the map's geographic reference."""

    def measure(self, delta: float) -> Measurement:
        place = self.actor.transform
        here = self.world.map.transform_to_geolocation(carla.Location(place.x, place.y, place.z))
        values = {"lat": here.latitude, "lon": here.longitude, "alt": here.altitude}
        body: bytes = msgpack.packb([value + self._noise(f"noise_{axis}") for axis, value in values.items()])
        return lambda: body


class Imu(Instrument):
    """An IMU: acceleration with gravity (m/s^2), turn rate (rad/s) in the sensor's axes, angle to north (rad)."""

    def __init__(self, scene: SensorContext, actor: Actor) -> None:
        super().__init__(scene, actor)
        self._last: np.ndarray | None = None  # velocity at the sensor, m/s

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
