"""What lives in the town, as data: the vocabulary shared by its content (roads, traffic) and its server.

Axes are UE's as CARLA uses them: x forward, y right, z up, left-handed; metres and degrees.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Transform:
    """Location (metres) and rotation (degrees), with CARLA's order and signs."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    pitch: float = 0.0
    yaw: float = 0.0
    roll: float = 0.0

    def matrix(self) -> np.ndarray:
        """f64 (4, 4), world <- local, equal to ``carla.Transform.get_matrix()``."""
        cp, sp = np.cos(np.radians(self.pitch)), np.sin(np.radians(self.pitch))
        cy, sy = np.cos(np.radians(self.yaw)), np.sin(np.radians(self.yaw))
        cr, sr = np.cos(np.radians(self.roll)), np.sin(np.radians(self.roll))
        return np.array(
            [
                [cp * cy, cy * sp * sr - sy * cr, -cy * sp * cr - sy * sr, self.x],
                [cp * sy, sy * sp * sr + cy * cr, -sy * sp * cr + cy * sr, self.y],
                [sp, -cp * sr, cp * cr, self.z],
                [0.0, 0.0, 0.0, 1.0],
            ]
        )


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
    throttle: float = 0.0
    steer: float = 0.0
    brake: float = 0.0
    hand_brake: bool = False
    reverse: bool = False
    manual_gear_shift: bool = False
    gear: int = 0


@dataclass(frozen=True)
class Trigger:
    """The stretch of road where a traffic light applies: a box in the frame of its actor, metres."""

    centre: tuple[float, float, float]
    half: tuple[float, float, float]


@dataclass
class Actor:
    """Anything with an id: vehicle, walker, traffic light, sensor."""

    id: int  # unique, > 0; also its value in the instance plane for things that can be seen
    blueprint: Blueprint
    attributes: dict[str, str]
    transform: Transform
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(3))  # m/s, world
    angular_velocity: np.ndarray = field(default_factory=lambda: np.zeros(3))  # degrees/s
    acceleration: np.ndarray = field(default_factory=lambda: np.zeros(3))  # m/s^2
    extent: tuple[float, float, float] = (0.0, 0.0, 0.0)  # half sizes of the bounding box, metres
    box_offset: tuple[float, float, float] = (0.0, 0.0, 0.0)  # its centre relative to the transform
    trigger: Trigger | None = None  # of a traffic light: what clients are told instead of its own box
    parent: int = 0
    control: VehicleControl = field(default_factory=VehicleControl)
    light_state: int = 0  # carla.VehicleLightState bits (brake = 8)
    traffic_light_state: str = ""  # "red" | "yellow" | "green" for traffic lights
    template: int = -1  # index of its mesh template in the scene, -1 = invisible
