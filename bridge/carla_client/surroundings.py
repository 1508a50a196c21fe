"""Actors around the ego: road users for the autopilot, objects in view by instance value, lit lamps in the image."""

from collections import Counter
from dataclasses import dataclass
from math import atan2, cos, sin

import numpy as np

from bridge.carla_client.camera_rig import matrices, matrix
from bridge.carla_client.parked_vehicles import ParkedVehicles
from bridge.carla_client.routing.autopilot import Halt, RoadUser
from bridge.carla_client.vehicle_geometry import read_physics, wheels_of
from bridge.carla_library import carla
from bridge.instance_values import boxes_on_screen, values_inside
from bridge.lamp_visibility import (
    ALL_AROUND,
    COMPONENTS,
    are_near,
    street_bulbs,
    traffic_bulb,
    vehicle_bulbs,
    visible_lamps,
)
from bridge.link.motion import Movers
from bridge.messages import Camera, Lamp, Lights, MovingObject
from bridge.tags import Tag

MAX_OBJECTS = 64  # per frame
RANGE = 120.0  # m, maximum distance of objects
REFRESH = 30  # ticks between two queries of the list of actors
WHEELS_RANGE = 30.0  # m from the ego, beyond which nobody sees wheels turn
_NO_WHEELS = np.zeros((4, 4))
LIGHTS_EVERY = 3  # ticks between two queries of the vehicles' light states

_TRAFFIC = {
    carla.TrafficLightState.Red: "red",
    carla.TrafficLightState.Yellow: "yellow",
    carla.TrafficLightState.Green: "green",
}


@dataclass
class _Mover:
    """A vehicle or pedestrian on the server: its constant properties and its state at this tick."""

    actor: carla.Actor
    tag: int
    offset: np.ndarray  # f64 (4, 4), actor <- centre of its box
    extent: tuple[float, float, float]
    walks: bool
    blueprint: str = ""
    color: str = ""  # R,G,B
    instance: int = 0  # its value in the instance plane, 0 = not known yet
    pose: np.ndarray | None = None  # f64 (4, 4), world <- centre of its box, of this tick
    previous: np.ndarray | None = None  # the same at the tick before
    velocity: tuple[float, float] = (0.0, 0.0)
    braking: bool = False
    wheels: np.ndarray | None = None  # f64 (4, 4), see ``Movers``; None = not asked for yet
    lamps: dict[str, np.ndarray] | None = None  # as ``vehicle_bulbs`` takes them; None = not asked for yet

    def move_to(self, pose: np.ndarray) -> None:
        """Take a pose of its box as that of this tick."""
        self.previous, self.pose = self.pose, pose


@dataclass
class _Head:
    """The lamps of a traffic light: their centres in the world, and the direction that they face."""

    light: carla.TrafficLight
    bulbs: dict[str, np.ndarray]
    facing: tuple[float, float, float]  # ``ALL_AROUND`` where unknown


class Surroundings:
    """The actors around the ego; call ``update`` once per tick, then query."""

    def __init__(self, world: carla.World, ego: carla.Vehicle) -> None:
        self._world, self._ego = world, ego
        self._movers: dict[int, _Mover] = {}
        self._own = _mover(ego)  # seen from cameras that follow it
        self._parked = ParkedVehicles(world)
        self._ticks = self._actors = 0
        lights = list(world.get_actors().filter("traffic.traffic_light*"))
        self._stops = [(light, *line) for light in lights for line in stop_lines(light)]
        self._heads = [head for light in lights for head in _heads(light, self._stops)]
        self._bulbs = np.array([bulb for head in self._heads for bulb in head.bulbs.values()]).reshape(-1, 3)  # m
        self._light_states: dict[int, int] = {}
        self._tells_braking = False  # whether the server's light states have brake lights
        self._street_lamps = np.zeros((0, 3))  # f64 (N, 3), m, those that are on
        self._time = 0.0  # s, simulated
        self._bodies: dict[int, RoadUser] | None = None  # of this tick, by actor; None: not asked for yet

    def update(self, snapshot: carla.WorldSnapshot) -> None:
        """Update to the tick of ``snapshot``."""
        if self._ticks % REFRESH == 0 or len(snapshot) != self._actors:
            self._find_movers()
            self._street_lamps = _street_lamps(self._world)
        if self._ticks % LIGHTS_EVERY == 0:
            self._light_states = {key: int(bits) for key, bits in self._world.get_vehicles_light_states().items()}
            self._tells_braking |= any(bits & Lights.BRAKE for bits in self._light_states.values())
        self._time, self._bodies = snapshot.timestamp.elapsed_seconds, None
        self._ticks, self._actors = self._ticks + 1, len(snapshot)
        states = {ident: snapshot.find(ident) for ident in (*self._movers, self._ego.id)}
        self._movers = {ident: mover for ident, mover in self._movers.items() if states[ident] is not None}
        present = [(self._movers.get(ident, self._own), state) for ident, state in states.items() if state is not None]
        offsets = np.array([mover.offset for mover, _ in present]).reshape(-1, 4, 4)
        for (mover, state), pose in zip(
            present, matrices([state.get_transform() for _, state in present]) @ offsets, strict=True
        ):
            mover.move_to(pose)
            if mover is self._own:
                continue
            velocity = state.get_velocity()
            mover.velocity = velocity.x, velocity.y
            if not (mover.walks or self._tells_braking):
                acceleration, forward = state.get_acceleration(), pose[:2, 0]
                slowing = forward[0] * acceleration.x + forward[1] * acceleration.y < -0.8
                standing = abs(velocity.x) + abs(velocity.y) < 0.1
                mover.braking = bool(mover.actor.get_control().brake > 0.02 or slowing or standing)

    def bodies(self, but: int = 0) -> list[RoadUser]:
        """Return all vehicles and pedestrians except the ego and the actor ``but``, seen from above."""
        if self._bodies is None:
            self._bodies = {}
            for ident, mover in self._movers.items():
                if mover.pose is not None:
                    (c, *_, x), (s, *_, y) = mover.pose[:2].tolist()
                    self._bodies[ident] = RoadUser(x, y, atan2(s, c), *mover.extent[:2], *mover.velocity, mover.walks)
        return [body for ident, body in self._bodies.items() if ident != but]

    def halts(self) -> list[Halt]:
        """Return the stop lines whose light is red or yellow."""
        states = {light.id: light.get_state() for light in {stop[0].id: stop[0] for stop in self._stops}.values()}
        closed = (carla.TrafficLightState.Red, carla.TrafficLightState.Yellow)
        return [
            Halt(x, y, yaw, states[light.id] == carla.TrafficLightState.Yellow)
            for light, x, y, yaw in self._stops
            if states[light.id] in closed
        ]

    def movers(self) -> Movers:
        """Return everything that may have moved since the last tick, the ego included, with its instance.

        Until ``objects`` has learnt it, that is taken to be the actor's id, as CARLA 0.9.16 has it (carla PR 8334).
        """
        movers = [mover for mover in (*self._movers.values(), self._own) if mover.pose is not None]
        movers.sort(key=lambda mover: mover.instance != 0)  # of two with the same, the one that is known counts
        self._ask_for_wheels(movers)
        return Movers(
            np.array([mover.instance or mover.actor.id & 0xFFFF for mover in movers], np.uint16),
            np.array([mover.pose for mover in movers]).reshape(-1, 4, 4),
            np.array([mover.pose if mover.previous is None else mover.previous for mover in movers]).reshape(-1, 4, 4),
            np.array([mover.extent for mover in movers]).reshape(-1, 3),
            np.array([_NO_WHEELS if mover.wheels is None else mover.wheels for mover in movers]).reshape(-1, 4, 4),
        )

    def _ask_for_wheels(self, movers: list[_Mover]) -> None:
        """Ask for the wheels of one vehicle near the ego that is seen for the first time: such a call takes a while."""
        own = self._own.pose
        for mover in movers:
            if mover.wheels is not None or mover.walks or mover.pose is None or own is None:
                continue
            if np.abs(mover.pose[:2, 3] - own[:2, 3]).max() < WHEELS_RANGE:
                mover.wheels = wheels_of(read_physics(mover.actor), mover.pose, mover.extent)
                return

    def objects(self, camera: Camera, planes: dict[str, np.ndarray]) -> list[MovingObject]:
        """Return the moving objects visible in the planes, nearest first, at most ``MAX_OBJECTS``.

        A server's instance values need not be its actor ids (CARLA's are the engine's), so the mapping is learnt: a
        pixel whose surface point lies inside an actor's box shows that actor.
        """
        if "depth" not in planes or "instance" not in planes:
            return []
        movers = [mover for mover in (*self._movers.values(), self._own) if mover.pose is not None]
        if not movers:
            return []
        poses = np.array([mover.pose for mover in movers])
        halves = np.array([mover.extent for mover in movers])
        boxes, depths = boxes_on_screen(poses, halves, camera)
        in_view = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]) & (depths < RANGE)
        order = np.argsort(depths, kind="stable")
        order = order[in_view[order]][: 2 * MAX_OBJECTS]
        visible = []
        walking = np.array([movers[index].walks for index in order], bool)
        found = values_inside(boxes[order], poses[order], halves[order], camera, planes, walking)
        for index, values in zip(order, found, strict=True):
            mover = movers[index]
            votes = Counter(values.tolist())
            if votes:
                instance, count = votes.most_common(1)[0]
                if count > 1 or not mover.instance:
                    mover.instance = instance
            if mover.instance in votes and mover is not self._own:
                look = mover.blueprint, mover.color
                visible.append(MovingObject(mover.instance, mover.tag, poses[index], mover.extent, *look))
        return visible[:MAX_OBJECTS]

    def parked(self, camera: Camera, planes: dict[str, np.ndarray]) -> list[MovingObject]:
        """Return the parked vehicles visible in the planes, nearest first; ask after ``objects``, which knows actors.

        The planes are those with motion, in which scenery has no actor's instance.
        """
        movers = {mover.instance or mover.actor.id & 0xFFFF for mover in (*self._movers.values(), self._own)}
        return self._parked.visible(camera, planes, movers)

    def lamps(self, camera: Camera, planes: dict[str, np.ndarray]) -> list[Lamp]:
        """Return the lit lamps that face the camera and are not occluded: the simulator's truth.

        Where no light state has a brake light, as on a server whose traffic manager leaves lamps alone, they follow
        from how vehicles move.
        """
        bulbs = street_bulbs(self._street_lamps, camera.pose)
        for k in np.flatnonzero(are_near(self._bulbs, camera.pose).reshape(-1, 3).any(1)):
            head = self._heads[k]
            state = _TRAFFIC.get(head.light.get_state())
            if state is not None and state in head.bulbs:
                bulbs.append(traffic_bulb(state, head.bulbs[state], head.facing))
        movers = [*self._movers.items(), (self._ego.id, self._own)]
        places = np.array([(0.0, 0.0) if mover.pose is None else mover.pose[:2, 3] for _, mover in movers])
        for (ident, mover), near in zip(movers, are_near(places, camera.pose), strict=True):
            if mover.walks or mover.pose is None or not near:
                continue
            lights = self._light_states.get(ident, 0)
            if mover.braking and not self._tells_braking and mover.tag != Tag.BICYCLE:
                lights |= Lights.BRAKE
            if lights and mover.lamps is None:
                mover.lamps = _lamps(mover)
            bulbs += vehicle_bulbs(mover.pose, mover.extent, mover.tag, lights, self._time, mover.lamps)
        return visible_lamps(bulbs, camera, planes)

    def _find_movers(self) -> None:
        for actor in self._world.get_actors():
            kind = actor.type_id
            if actor.id in self._movers or actor.id == self._ego.id or not kind.startswith(("vehicle.", "walker.")):
                continue
            self._movers[actor.id] = _mover(actor)


def _mover(actor: carla.Actor) -> _Mover:
    box, kind = actor.bounding_box, actor.type_id
    offset = matrix(carla.Transform(box.location, box.rotation))
    extent = (box.extent.x, box.extent.y, box.extent.z)
    color = actor.attributes.get("color", "")
    return _Mover(actor, _tag(actor), offset, extent, kind.startswith("walker."), kind[:64], color[:64])


def _lamps(mover: _Mover) -> dict[str, np.ndarray]:
    """Return the places of a vehicle's lamps from the centre of its box, m; none on a server that does not tell."""
    to_box = np.linalg.inv(mover.offset)
    try:
        names = [name for name in mover.actor.get_component_names() if name in COMPONENTS]
        poses = {name: matrix(mover.actor.get_component_relative_transform(name)) for name in names}
    except RuntimeError:
        return {}
    return {name: (to_box @ pose)[:3, 3] for name, pose in poses.items()}


def _street_lamps(world: carla.World) -> np.ndarray:
    """Return the places f64 (N, 3), m, of the street lamps that are on; none where there is no light manager."""
    try:
        lights = world.get_lightmanager().get_all_lights(carla.LightGroup.Street)
    except RuntimeError:
        return np.zeros((0, 3))
    places = [light.location for light in lights if light.is_on]
    return np.array([(place.x, place.y, place.z) for place in places]).reshape(-1, 3)


def _tag(actor: carla.Actor) -> int:
    """Return the tag of an actor: the server's if known, else from its blueprint."""
    tags = [tag for tag in actor.semantic_tags if tag not in (Tag.UNLABELED, 255, Tag.RIDER)]
    if tags:
        return int(tags[0])
    if actor.type_id.startswith("walker."):
        return int(Tag.PEDESTRIAN)
    kinds = {
        "truck": Tag.TRUCK,
        "bus": Tag.BUS,
        "motorcycle": Tag.MOTORCYCLE,
        "bicycle": Tag.BICYCLE,
        "train": Tag.TRAIN,
    }
    return int(kinds.get(actor.attributes.get("base_type", ""), Tag.CAR))


def describe_actor(actor: carla.Actor | None) -> str:
    """Return a word for an actor: the name of its tag for vehicles and pedestrians, else the end of its type."""
    if actor is None:
        return "something"
    if actor.type_id.startswith(("vehicle.", "walker.")):
        try:
            return Tag(_tag(actor)).name.lower().replace("_", " ")
        except ValueError:  # of a newer CARLA
            return "something"
    return actor.type_id.rpartition(".")[2].replace("_", " ")


def stop_lines(light: carla.TrafficLight) -> list[tuple[float, float, float]]:
    """Return (x, y, yaw in radians) of the stop line on every lane that the light controls."""
    try:
        waypoints = list(light.get_stop_waypoints())  # of several parallel lanes this returns the outermost only
        known = {(way.road_id, way.lane_id) for way in waypoints}
        waypoints += [w for w in light.get_affected_lane_waypoints() if (w.road_id, w.lane_id) not in known]
    except RuntimeError:  # this server does not provide them
        return []
    transforms = [way.transform for way in waypoints]
    return [(t.location.x, t.location.y, float(np.radians(t.rotation.yaw))) for t in transforms]


def _heads(light: carla.TrafficLight, stops: list[tuple[carla.TrafficLight, float, float, float]]) -> list[_Head]:
    """Return the light's heads, derived from the server's boxes around them: three lamps, red on top."""
    try:
        boxes = light.get_light_boxes()
    except RuntimeError:
        return []
    yaws = [yaw for other, _, _, yaw in stops if other.id == light.id]
    facing = (-cos(yaws[0]), -sin(yaws[0]), 0.0) if yaws else ALL_AROUND
    heads = []
    for box in boxes:
        centre = np.array([box.location.x, box.location.y, box.location.z])
        step = np.array([0.0, 0.0, box.extent.z * 2.0 / 3.0])
        heads.append(_Head(light, {"red": centre + step, "yellow": centre, "green": centre - step}, facing))
    return heads
