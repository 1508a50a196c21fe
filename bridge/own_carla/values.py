"""Values of CARLA's API: places, poses, controls, weather, enumerations. Metres, degrees, UE's axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from enum import IntEnum, IntFlag
from typing import Any

import numpy as np

from bridge.geometry import pose_matrix


class _Named(IntEnum):
    def __str__(self) -> str:
        return self.name


def _enumeration(name: str, members: str) -> Any:
    """Return an enumeration that counts from 0."""
    kind: Any = _Named
    return kind(name, members, start=0)


AttachmentType = _enumeration("AttachmentType", "Rigid SpringArm SpringArmGhost")
LightGroup = _enumeration("LightGroup", "NONE Vehicle Street Building Other")
LandmarkOrientation = _enumeration("LandmarkOrientation", "Positive Negative Both")
TrafficLightState = _enumeration("TrafficLightState", "Red Yellow Green Off Unknown")
LaneMarkingColor = _enumeration("LaneMarkingColor", "Standard Blue Green Red Yellow Other")
LaneMarkingType = _enumeration(
    "LaneMarkingType",
    "Other Broken Solid SolidSolid SolidBroken BrokenSolid BrokenBroken BottsDots Grass Curb NONE",
)
CityObjectLabel = _enumeration(
    "CityObjectLabel",
    "NONE Roads Sidewalks Buildings Walls Fences Poles TrafficLight TrafficSigns Vegetation Terrain Sky Pedestrians "
    "Rider Car Truck Bus Train Motorcycle Bicycle Static Dynamic Other Water RoadLines Ground Bridge RailTrack "
    "GuardRail",
)
LaneType = IntFlag(
    "LaneType",
    "NONE Driving Stop Shoulder Biking Sidewalk Border Restricted Parking Bidirectional Median Special1 Special2 "
    "Special3 RoadWorks Tram Rail Entry Exit OffRamp OnRamp",
)
LaneType.Any = ~1  # type: ignore[attr-defined]


class VehicleLightState(IntFlag):
    """The lamps of a vehicle."""

    NONE = 0
    Position = 1
    LowBeam = 2
    HighBeam = 4
    Brake = 8
    RightBlinker = 16
    LeftBlinker = 32
    Reverse = 64
    Fog = 128
    Interior = 256
    Special1 = 512
    Special2 = 1024


@dataclass(slots=True)
class Vector3D:
    """Three numbers; the constructor also copies another vector."""

    x: Any = 0.0
    y: float = 0.0
    z: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.x, Vector3D):
            self.x, self.y, self.z = self.x.x, self.x.y, self.x.z

    def __iter__(self) -> Any:
        return iter((self.x, self.y, self.z))

    def __add__(self, other: Vector3D) -> Any:
        return type(self)(self.x + other.x, self.y + other.y, self.z + other.z)

    def __sub__(self, other: Vector3D) -> Any:
        return type(self)(self.x - other.x, self.y - other.y, self.z - other.z)

    def length(self) -> float:
        """Return the Euclidean norm."""
        return math.hypot(self.x, self.y, self.z)


class Location(Vector3D):
    """A place, m."""

    __slots__ = ()

    def distance(self, other: Vector3D) -> float:
        """Return the distance to another place, m."""
        return math.hypot(self.x - other.x, self.y - other.y, self.z - other.z)


@dataclass(slots=True)
class Rotation:
    """Degrees; ``pitch`` is positive upwards, ``yaw`` to the right."""

    pitch: float = 0.0
    yaw: float = 0.0
    roll: float = 0.0


@dataclass(slots=True)
class Transform:
    """A pose."""

    location: Location = field(default_factory=Location)
    rotation: Rotation = field(default_factory=Rotation)

    @classmethod
    def read(cls, data: Sequence[Sequence[float]]) -> Transform:
        """Return the pose that CARLA's wire describes as location and rotation."""
        return cls(Location(*data[0]), Rotation(*data[1]))

    def wire(self) -> list[list[float]]:
        """Return the inverse of ``read``."""
        turn = self.rotation
        return [[float(x) for x in self.location], [float(turn.pitch), float(turn.yaw), float(turn.roll)]]

    def matrix(self) -> np.ndarray:
        """Return world <- local, f64 (4, 4)."""
        angles = np.radians([self.rotation.pitch, self.rotation.yaw, self.rotation.roll])
        return pose_matrix(list(self.location), np.cos(angles), np.sin(angles))

    def transform(self, point: Vector3D) -> Location:
        """Return where a local point is in the world."""
        return Location(*(self.matrix()[:3] @ (*point, 1.0)).tolist())

    def inverse_transform(self, point: Vector3D) -> Location:
        """Return where a point of the world is locally."""
        matrix = self.matrix()
        return Location(*(matrix[:3, :3].T @ (np.array(list(point)) - matrix[:3, 3])).tolist())

    def get_forward_vector(self) -> Vector3D:
        """Return the local x axis."""
        return Vector3D(*self.matrix()[:3, 0].tolist())

    def get_right_vector(self) -> Vector3D:
        """Return the local y axis."""
        return Vector3D(*self.matrix()[:3, 1].tolist())


@dataclass(slots=True)
class BoundingBox:
    """A box: its centre, its half sizes and its rotation."""

    location: Location
    extent: Vector3D
    rotation: Rotation

    @classmethod
    def read(cls, data: Sequence[Any]) -> BoundingBox:
        """Return the box that CARLA's wire describes."""
        return cls(Location(*data[0]), Vector3D(*data[1]), Rotation(*data[2]))


@dataclass(slots=True)
class VehicleControl:
    """A vehicle's pedals, steering and gear."""

    throttle: float = 0.0
    steer: float = 0.0
    brake: float = 0.0
    hand_brake: bool = False
    reverse: bool = False
    manual_gear_shift: bool = False
    gear: int = 0

    def wire(self) -> list[Any]:
        """Return what CARLA's wire has for it."""
        return [*map(float, (self.throttle, self.steer, self.brake)), *astuple(self)[3:]]


@dataclass(slots=True)
class WalkerControl:
    """A pedestrian's direction and speed, m/s."""

    direction: Vector3D = field(default_factory=Vector3D)
    speed: float = 0.0
    jump: bool = False

    def wire(self) -> list[Any]:
        """Return what CARLA's wire has for it."""
        return [[float(x) for x in self.direction], float(self.speed), self.jump]


@dataclass
class WeatherParameters:
    """CARLA's weather; its presets are attributes of the class."""

    cloudiness: float = 0.0
    precipitation: float = 0.0
    precipitation_deposits: float = 0.0
    wind_intensity: float = 0.0
    sun_azimuth_angle: float = 0.0
    sun_altitude_angle: float = 0.0
    fog_density: float = 0.0
    fog_distance: float = 0.0
    fog_falloff: float = 0.0
    wetness: float = 0.0
    scattering_intensity: float = 0.0
    mie_scattering_scale: float = 0.0
    rayleigh_scattering_scale: float = 0.0331
    dust_storm: float = 0.0


_NOON, _SUNSET, _NIGHT = 45.0, 15.0, -90.0  # degrees, the sun's altitude
_FOG = (0.75, 0.1)  # distance, m, and fall-off
for _name, (_clouds, _rain, _deposits, _wind, _sun, _fog, _range, _wet, _dust) in {
    "ClearNoon": (5, 0, 0, 10, _NOON, 2, _FOG, 0, 0),
    "CloudyNoon": (60, 0, 0, 10, _NOON, 3, _FOG, 0, 0),
    "WetNoon": (5, 0, 50, 10, _NOON, 3, _FOG, 0, 0),
    "WetCloudyNoon": (60, 0, 50, 10, _NOON, 3, _FOG, 0, 0),
    "MidRainyNoon": (60, 60, 60, 60, _NOON, 3, _FOG, 0, 0),
    "HardRainNoon": (100, 100, 90, 100, _NOON, 7, _FOG, 0, 0),
    "SoftRainNoon": (20, 30, 50, 30, _NOON, 3, _FOG, 0, 0),
    "ClearSunset": (5, 0, 0, 10, _SUNSET, 2, _FOG, 0, 0),
    "CloudySunset": (60, 0, 0, 10, _SUNSET, 3, _FOG, 0, 0),
    "WetSunset": (5, 0, 50, 10, _SUNSET, 2, _FOG, 0, 0),
    "WetCloudySunset": (60, 0, 50, 10, _SUNSET, 2, _FOG, 0, 0),
    "MidRainSunset": (60, 60, 60, 60, _SUNSET, 3, _FOG, 0, 0),
    "HardRainSunset": (100, 100, 90, 100, _SUNSET, 7, _FOG, 0, 0),
    "SoftRainSunset": (20, 30, 50, 30, _SUNSET, 2, _FOG, 0, 0),
    "ClearNight": (5, 0, 0, 10, _NIGHT, 60, (75.0, 1.0), 0, 0),
    "CloudyNight": (60, 0, 0, 10, _NIGHT, 60, _FOG, 0, 0),
    "WetNight": (5, 0, 50, 10, _NIGHT, 60, (75.0, 1.0), 60, 0),
    "WetCloudyNight": (60, 0, 50, 10, _NIGHT, 60, _FOG, 60, 0),
    "SoftRainNight": (60, 30, 50, 30, _NIGHT, 60, _FOG, 60, 0),
    "MidRainyNight": (80, 60, 60, 60, _NIGHT, 60, _FOG, 80, 0),
    "HardRainNight": (100, 100, 90, 100, _NIGHT, 100, _FOG, 100, 0),
    "DustStorm": (100, 0, 0, 100, _NOON, 2, _FOG, 0, 100),
    "Default": (-1, -1, -1, -1, -1, -1, (-1, -1), -1, 0),
}.items():
    _values = (_clouds, _rain, _deposits, _wind, -1.0, _sun, _fog, *_range, _wet, 1.0, 0.03, 0.0331, _dust)
    setattr(WeatherParameters, _name, WeatherParameters(*map(float, _values)))
