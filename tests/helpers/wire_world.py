"""A world of one straight road for wire tests, in which everything that clients receive is known in advance."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace

import carla
import numpy as np
from scenariogeneration import xodr

from neuralsim.town.assets.meshes import Mesh
from neuralsim.town.core.types import Actor, Attribute, Blueprint, Transform
from neuralsim.town.dynamics.vehicle_dynamics import SPECS
from neuralsim.town.raycasting.rays import Rays
from neuralsim.town.render.actor_poses import Poses
from neuralsim.town.render.scene import Placements, Scene

CAMERAS = ("rgb", "depth", "semantic_segmentation", "instance_segmentation", "optical_flow")


def road(length: float = 300.0) -> str:
    """Return the OpenDRIVE text of a road along x with a lane in each direction."""
    straight = xodr.create_road([xodr.Line(length)], id=1, left_lanes=1, right_lanes=1, lane_width=3.5)
    drive = xodr.OpenDrive("one")
    drive.add_road(straight)
    drive.adjust_roads_and_lanes()
    return '<?xml version="1.0"?>' + ET.tostring(drive.get_element(), encoding="unicode")


def _camera(kind: str) -> Blueprint:
    attributes = tuple(
        Attribute(name, value_type, value)
        for name, value_type, value in (
            ("image_size_x", "int", "800"), ("image_size_y", "int", "600"), ("fov", "float", "90.0"),
            ("sensor_tick", "float", "0.0"), ("role_name", "string", ""),
        )
    )  # fmt: skip
    return Blueprint(f"sensor.camera.{kind}", f"sensor,camera,{kind}", attributes)


LIBRARY = [
    Blueprint(
        "vehicle.tesla.model3",
        "vehicle,tesla,model3",
        (
            Attribute("color", "color", "10,20,30", ("10,20,30", "200,0,0")),
            Attribute("role_name", "string", "autopilot"),
            Attribute("number_of_wheels", "int", "4", modifiable=False),
            Attribute("base_type", "string", "car", modifiable=False),
        ),
    ),
    Blueprint("walker.pedestrian.0001", "walker,pedestrian,0001", (Attribute("is_invincible", "bool", "false"),)),
    *(_camera(kind) for kind in CAMERAS),
    Blueprint("sensor.other.collision", "sensor,other,collision", (Attribute("role_name", "string", ""),)),
]


def blueprint_without_attributes(name: str) -> Blueprint:
    return Blueprint(name, name.replace(".", ","))


class OneRoad:
    """A stand-in for ``neuralsim.town.world.World`` with the methods that the server uses."""

    def __init__(self, town: str = "oneroad", seed: int = 0) -> None:
        if town.endswith(".xodr"):
            with open(town, encoding="utf-8") as file:
                self.opendrive = file.read()
            if "<OpenDRIVE" not in self.opendrive:
                raise ValueError(f"{town}: not an OpenDRIVE map")
        elif town in ("oneroad", "longroad"):
            self.opendrive = road(300.0 if town == "oneroad" else 500.0)
        else:
            raise ValueError(f"unknown town {town!r}")
        self.name = town.rsplit("/", 1)[-1].removesuffix(".xodr")
        self.map = carla.Map(self.name, self.opendrive)
        self.seed, self.frame, self.time, self.delta = seed, 0, 0.0, 1 / 30
        self.weather = {"cloudiness": 10.0, "sun_altitude_angle": 45.0}
        self.actors: dict[int, Actor] = {}
        self.signs: dict[int, Actor] = {}
        self.static_town = SimpleNamespace(signs=[], street_lamps={})
        self._ids = 0
        self._planes: SimpleNamespace | None = None
        self._events: list[SimpleNamespace] = []
        self._make(blueprint_without_attributes("spectator"), Transform(0, 0, 5))
        lamp = self._make(blueprint_without_attributes("traffic.traffic_light"), Transform(50, 5, 0))
        heights = {"red": 3.4, "yellow": 3.1, "green": 2.8}
        bulbs = {state: np.array([[50.0, 5.0, height]]) for state, height in heights.items()}
        self.light_of = {
            lamp.id: SimpleNamespace(
                actor=lamp.id, signal="17", group=1, cycle=1, lanes=(0,), bulbs=bulbs, state="red", elapsed=0.0,
                green_time=10.0, yellow_time=3.0, red_time=2.0, frozen=False,
            )
        }  # fmt: skip
        # One lane of 50 m with a limit of 36 km/h; the light stands at its end.
        lane = SimpleNamespace(centre=np.array([[0.0, 1.75, 0.0], [50.0, 1.75, 0.0]]), speed=10.0)
        self.network = SimpleNamespace(lanes=[lane])
        self.ground = SimpleNamespace(rings=[])  # no pavements
        self.drives: dict[int, SimpleNamespace] = {}
        self._scene = Scene(Mesh.empty(), [])

    def _make(
        self, blueprint: Blueprint, transform: Transform, attributes: dict[str, str] | None = None, parent: int = 0
    ) -> Actor:
        self._ids += 1
        actor = Actor(self._ids, blueprint, attributes or {}, transform, parent=parent)
        self.actors[actor.id] = actor
        return actor

    def blueprints(self) -> list[Blueprint]:
        return LIBRARY

    def spawn_points(self) -> list[Transform]:
        return [Transform(20.0 * i, 1.75, 0.5) for i in range(1, 8)]

    def spawn(
        self, blueprint_id: str, attributes: dict[str, str], transform: Transform, parent: int = 0, arm: bool = False
    ) -> Actor:
        matching = [blueprint for blueprint in LIBRARY if blueprint.id == blueprint_id]
        if not matching:
            raise ValueError(f"unknown blueprint {blueprint_id!r}")
        is_solid = blueprint_id.split(".")[0] in ("vehicle", "walker")
        for other in self.actors.values():
            near = math.hypot(other.transform.x - transform.x, other.transform.y - transform.y) < 3.0
            if is_solid and near and other.blueprint.id.startswith("vehicle."):
                raise ValueError("Spawn failed because of collision at spawn position")
        actor = self._make(matching[0], transform, attributes, parent)
        if is_solid:
            actor.extent, actor.box_offset = (2.4, 1.0, 0.75), (0.0, 0.0, 0.75)
        return actor

    def destroy(self, actor_id: int, with_attached: bool = True) -> bool:
        return self.actors.pop(actor_id, None) is not None

    def set_transform(self, actor_id: int, transform: Transform) -> None:
        self.actors[actor_id].transform = transform

    def set_velocity(self, actor_id: int, velocity: np.ndarray) -> None:
        self.actors[actor_id].velocity = velocity

    def drive_of(self, actor_id: int) -> SimpleNamespace:
        return self.drives.setdefault(actor_id, SimpleNamespace(spec=SPECS["car"], speed=0.0, turn=0.0, slip=0.0))

    def set_physics(self, actor_id: int, enabled: bool) -> None:
        pass

    def set_gravity(self, actor_id: int, enabled: bool) -> None:
        pass

    def friction_at(self, actor: Actor) -> None:
        return None

    def together(self) -> AbstractContextManager[None]:
        return nullcontext()

    def rays(self) -> Rays:
        return Rays(self._scene, Placements.empty())

    def set_collisions(self, actor_id: int, enabled: bool) -> None:
        pass

    @property
    def all_props(self) -> Placements:
        return self.shapes()[1]

    def shapes(self) -> tuple[Scene, Placements, Poses]:
        return self._scene, Placements.empty(), Poses.of([], np.zeros((0, 4, 4)))

    def set_light(self, actor_id: int, state: str) -> None:
        self.light_of[actor_id].state = state

    def walk(self, actor_id: int, direction: tuple[float, float, float], speed: float, carried: bool = False) -> None:
        self.actors[actor_id].velocity = np.array(direction) * speed

    def tick(self, delta: float) -> None:
        self.frame += 1
        self.time += delta
        self.delta = delta
        for actor in self.actors.values():
            if actor.blueprint.id.startswith("vehicle."):
                actor.velocity = actor.velocity + np.array([3.0 * actor.control.throttle * delta, 0.0, 0.0])
                actor.transform.x += float(actor.velocity[0]) * delta
                if actor.transform.x > 290.0:
                    self._events.append(SimpleNamespace(actor=actor.id, other=0, impulse=(-9.0, 0.0, 0.0), obstacle=-1))
                    actor.velocity = np.zeros(3)
                    actor.transform.x = 280.0

    def events(self) -> list[SimpleNamespace]:
        events, self._events = self._events, []
        return events

    def exposure(self, camera_id: int, rgb: bool = False) -> Callable[[], SimpleNamespace]:
        """Return a function that returns known planes: tag column modulo 29, id 1000 + row, depth column in m."""
        attributes = self.actors[camera_id].attributes
        width, height = int(attributes["image_size_x"]), int(attributes["image_size_y"])
        if self._planes is None or self._planes.tag.shape != (height, width):
            row, column = np.indices((height, width))
            self._planes = SimpleNamespace(
                tag=(column % 29).astype(np.uint8),
                instance=(1000 + row).astype(np.uint16),
                depth=column.astype(np.float32),
                motion=np.stack([row, -2.0 * column], axis=-1).astype(np.float32),
                rgb=np.stack([row % 256, column % 256, (row + column) % 256], axis=-1).astype(np.uint8),
            )
        planes = self._planes
        return lambda: planes
