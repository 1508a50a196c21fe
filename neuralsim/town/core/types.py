"""Data types shared by the content of the town (roads, traffic) and its server.

Axes are those of Unreal Engine, as in CARLA: x forward, y right, z up, left-handed; metres and degrees.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bridge.geometry import pose_matrix


@dataclass
class Transform:
    """A location (metres) and a rotation (degrees), with CARLA's order and signs."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    pitch: float = 0.0
    yaw: float = 0.0
    roll: float = 0.0

    def matrix(self) -> np.ndarray:
        """Return f64 (4, 4), world <- local, equal to ``carla.Transform.get_matrix()``."""
        angles = np.radians(self.pitch), np.radians(self.yaw), np.radians(self.roll)
        cosines, sines = [np.cos(angle) for angle in angles], [np.sin(angle) for angle in angles]
        return pose_matrix((self.x, self.y, self.z), cosines, sines)


def matrices_of(transforms: Sequence[Transform]) -> np.ndarray:
    """Return `Transform.matrix` of many transforms at once, f64 (N, 4, 4)."""
    values = np.array([(t.x, t.y, t.z, t.pitch, t.yaw, t.roll) for t in transforms], np.float64).reshape(-1, 6)
    cosines, sines = (f(np.radians(values[:, 3:])).T for f in (np.cos, np.sin))
    return pose_matrix(values[:, :3].T, cosines, sines)


MIRROR_WIDTH = 0.09  # m on each side of a vehicle's mesh that only the mirrors occupy, which give way


@dataclass(frozen=True)
class Attribute:
    """One attribute of a blueprint, as CARLA's library lists it."""

    id: str
    kind: str  # "bool" | "int" | "float" | "string" | "color"
    value: str
    recommended: tuple[str, ...] = ()
    modifiable: bool = True


@dataclass(frozen=True)
class Blueprint:
    """A kind of actor that can be spawned: ``vehicle.*``, ``walker.*``, ``sensor.*``."""

    id: str
    tags: str  # comma separated, as CARLA's ActorDefinition
    attributes: tuple[Attribute, ...] = ()


@dataclass
class VehicleControl:
    """The fields of ``carla.VehicleControl``: throttle and brake 0 .. 1, steer -1 .. 1."""

    throttle: float = 0.0
    steer: float = 0.0
    brake: float = 0.0
    hand_brake: bool = False
    reverse: bool = False
    manual_gear_shift: bool = False
    gear: int = 0


@dataclass(frozen=True)
class TriggerVolume:
    """The stretch of road where a traffic light applies: a box in the frame of its actor, metres."""

    centre: tuple[float, float, float]
    half: tuple[float, float, float]


@dataclass
class Actor:
    """A vehicle, walker, traffic light, sensor or anything else with an id."""

    id: int  # unique, > 0; also the value in the instance plane if the actor is visible
    blueprint: Blueprint
    attributes: dict[str, str]
    transform: Transform
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(3))  # m/s, world
    angular_velocity: np.ndarray = field(default_factory=lambda: np.zeros(3))  # degrees/s
    acceleration: np.ndarray = field(default_factory=lambda: np.zeros(3))  # m/s^2
    extent: tuple[float, float, float] = (0.0, 0.0, 0.0)  # half sizes of the bounding box, metres
    box_offset: tuple[float, float, float] = (0.0, 0.0, 0.0)  # its centre relative to the transform
    trigger: TriggerVolume | None = None  # of a traffic light: sent to clients instead of its own box
    parent: int = 0
    control: VehicleControl = field(default_factory=VehicleControl)
    light_state: int = 0  # carla.VehicleLightState bits (brake = 8)
    brake_lamp: bool = False  # switched on by a client, whatever the pedal does
    traffic_light_state: str = ""  # "red" | "yellow" | "green" for traffic lights
    template: int = -1  # index of its mesh template in the scene, -1 = invisible

    @property
    def body(self) -> tuple[float, float, float]:
        """Half sizes of the bounding box that clients get, metres: without most of a vehicle's mirrors, as in CARLA."""
        length, width, height = self.extent
        mirrors = MIRROR_WIDTH if self.blueprint.id.startswith("vehicle.") and width > 0.8 else 0.0
        return length, width - mirrors, height
