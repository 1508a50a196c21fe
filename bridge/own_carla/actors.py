"""Actors, sensors and snapshots of a world, over CARLA's wire."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from types import SimpleNamespace
from typing import Any

from bridge import carla_wire as wire
from bridge.own_carla.road_map import Waypoint
from bridge.own_carla.values import (
    BoundingBox,
    Location,
    Rotation,
    TrafficLightState,
    Transform,
    Vector3D,
    VehicleControl,
    VehicleLightState,
    WalkerControl,
)

_COMMON = wire.ACTOR.size
_GEAR = 6  # place in ``carla_wire.VEHICLE``; the speed limit and what concerns traffic lights follow
#: Places in ``carla.VehiclePhysicsControl`` and ``carla.WheelPhysicsControl`` on the wire.
_PHYSICS = {"mass": 11, "drag_coefficient": 12}
_WHEELS = 15
_WHEEL = {"tire_friction": 0, "max_steer_angle": 2, "radius": 3}
_POSITION = 9
_STOP_SHARE = 0.9  # of half the length of a light's trigger box, from its centre to the stop line


def _fields(data: list[Any], places: dict[str, int]) -> dict[str, Any]:
    return {name: data[place] for name, place in places.items()}


def _with_fields(value: Any, places: dict[str, int]) -> list[Any]:
    data = list(value.wire)
    for name, place in places.items():
        data[place] = getattr(value, name)
    return data


class ActorSnapshot:
    """An actor at one tick."""

    __slots__ = ("_data", "_offset")

    def __init__(self, data: bytearray, offset: int) -> None:
        self._data, self._offset = data, offset

    def _numbers(self) -> tuple[Any, ...]:
        return wire.ACTOR.unpack_from(self._data, self._offset)

    def get_transform(self) -> Transform:
        """Return the pose."""
        numbers = self._numbers()
        return Transform(Location(*numbers[2:5]), Rotation(*numbers[5:8]))

    def get_velocity(self) -> Vector3D:
        """Return the velocity, m/s."""
        return Vector3D(*self._numbers()[8:11])

    def get_acceleration(self) -> Vector3D:
        """Return the acceleration, m/s^2."""
        return Vector3D(*self._numbers()[14:17])

    def vehicle(self) -> tuple[Any, ...]:
        """Return the fields of ``carla_wire.VEHICLE``."""
        return wire.VEHICLE.unpack_from(self._data, self._offset + _COMMON)

    def light(self) -> tuple[Any, ...]:
        """Return the fields of ``carla_wire.LIGHT``."""
        return wire.LIGHT.unpack_from(self._data, self._offset + _COMMON)


class WorldSnapshot:
    """All actors at one tick, from a message of the snapshot stream."""

    def __init__(self, data: bytearray) -> None:
        _, self.frame, elapsed, *_ = wire.SENSOR_HEADER.unpack_from(data)
        self.id, _, delta, *_ = wire.EPISODE_HEADER.unpack_from(data, wire.SENSOR_HEADER.size)
        self.timestamp = SimpleNamespace(frame=self.frame, elapsed_seconds=elapsed, delta_seconds=delta)
        self._data = data
        self._offsets = {
            ident: wire.RECORDS + k * wire.RECORD for k, ident in enumerate(wire.snapshot_actors(data).tolist())
        }

    def __len__(self) -> int:
        return len(self._offsets)

    def __iter__(self) -> Iterator[int]:
        """Yield the actors' ids."""
        return iter(self._offsets)

    def has_actor(self, ident: int) -> bool:
        """Return whether there is such an actor."""
        return ident in self._offsets

    def find(self, ident: int) -> ActorSnapshot | None:
        """Return an actor's state."""
        offset = self._offsets.get(ident)
        return None if offset is None else ActorSnapshot(self._data, offset)


class Actor:
    """An actor of a world, as an ``rpc::Actor`` of the wire describes it."""

    def __init__(self, world: Any, data: list[Any]) -> None:
        self._world = world
        self.id, self._parent, (_, self.type_id, attributes), box, tags, self._token = data
        self.attributes = {name: value for name, _, value in attributes}
        self.bounding_box = BoundingBox.read(box)
        self.semantic_tags = list(tags)

    @property
    def parent(self) -> Any:
        """The actor that it is attached to."""
        return self._world.get_actor(self._parent) if self._parent else None

    @property
    def is_alive(self) -> bool:
        """Whether the last snapshot has it."""
        return self._world.get_snapshot().has_actor(self.id)

    @property
    def _state(self) -> ActorSnapshot:
        state = self._world.get_snapshot().find(self.id)
        if state is None:
            raise RuntimeError(f"trying to operate on a destroyed actor; an actor's function was called: {self.id}")
        return state

    def get_world(self) -> Any:
        """Return its world."""
        return self._world

    def get_transform(self) -> Transform:
        """Return the pose at the last tick."""
        return self._state.get_transform()

    def get_location(self) -> Location:
        """Return the place at the last tick."""
        return self._state.get_transform().location

    def get_velocity(self) -> Vector3D:
        """Return the velocity at the last tick, m/s."""
        return self._state.get_velocity()

    def set_transform(self, pose: Transform) -> None:
        """Put it somewhere."""
        self._send("set_actor_transform", pose.wire())

    def set_location(self, place: Location) -> None:
        """Put it somewhere, turned as it is."""
        self._send("set_actor_location", [float(x) for x in place])

    def set_target_velocity(self, velocity: Vector3D) -> None:
        """Set the velocity, m/s."""
        self._send("set_actor_target_velocity", [float(x) for x in velocity])

    def set_target_angular_velocity(self, velocity: Vector3D) -> None:
        """Set the turn rate, degrees/s."""
        self._send("set_actor_target_angular_velocity", [float(x) for x in velocity])

    def set_simulate_physics(self, enabled: bool) -> None:
        """Let it move by itself, or not."""
        self._send("set_actor_simulate_physics", enabled)

    def set_collisions(self, enabled: bool) -> None:
        """Let it collide, or not."""
        self._send("set_actor_collisions", enabled)

    def destroy(self) -> bool:
        """Destroy it; return whether that was possible."""
        return bool(self._world.call("destroy_actor", self.id))

    def _send(self, name: str, *args: Any) -> None:
        self._world.send(name, self.id, *args)


class Vehicle(Actor):
    """A vehicle."""

    def apply_control(self, control: VehicleControl) -> None:
        """Set pedals and steering."""
        self._send("apply_control_to_vehicle", control.wire())

    def get_control(self) -> VehicleControl:
        """Return pedals, steering and gear at the last tick."""
        throttle, steer, brake, hand_brake, reverse, manual, gear, *_ = self._state.vehicle()
        return VehicleControl(throttle, steer, brake, hand_brake, reverse, manual, gear)

    def get_speed_limit(self) -> float:
        """Return km/h."""
        return float(self._state.vehicle()[_GEAR + 1])

    def get_traffic_light_state(self) -> Any:
        """Return the state of the light that it is at."""
        return TrafficLightState(self._state.vehicle()[_GEAR + 2])

    def is_at_traffic_light(self) -> bool:
        """Return whether it is at one."""
        return bool(self._state.vehicle()[_GEAR + 3])

    def get_light_state(self) -> VehicleLightState:
        """Return which lamps are on."""
        return VehicleLightState(self._world.call("get_vehicle_light_state", self.id)[0])

    def set_light_state(self, state: int) -> None:
        """Switch the lamps."""
        self._send("set_vehicle_light_state", [int(state)])

    def get_physics_control(self) -> Any:
        """Return some fields of ``carla.VehiclePhysicsControl``: mass, drag, and the wheels."""
        data = self._world.call("get_physics_control", self.id)
        wheels = [
            SimpleNamespace(wire=wheel, position=Location(*wheel[_POSITION]), **_fields(wheel, _WHEEL))
            for wheel in data[_WHEELS]
        ]
        return SimpleNamespace(wire=data, wheels=wheels, **_fields(data, _PHYSICS))

    def apply_physics_control(self, physics: Any) -> None:
        """Set what ``get_physics_control`` returns."""
        data = _with_fields(physics, _PHYSICS)
        data[_WHEELS] = [_with_fields(wheel, _WHEEL) for wheel in physics.wheels]
        self._send("apply_physics_control", data)

    def get_component_names(self) -> list[str]:
        """Return the names of its lamps."""
        return list(self._world.call("get_actor_component_names", self.id))

    def get_component_relative_transform(self, name: str) -> Transform:
        """Return a lamp's pose on the vehicle."""
        return Transform.read(self._world.call("get_actor_component_relative_transform", self.id, name))


class Walker(Actor):
    """A pedestrian."""

    def apply_control(self, control: WalkerControl) -> None:
        """Set direction and speed."""
        self._send("apply_control_to_walker", control.wire())

    def get_control(self) -> WalkerControl:
        """Return direction and speed at the last tick."""
        velocity = self.get_velocity()
        return WalkerControl(velocity, velocity.length())


class TrafficLight(Actor):
    """A traffic light."""

    def get_state(self) -> Any:
        """Return the lamp that is on."""
        return TrafficLightState(self._state.light()[-1])

    def get_opendrive_id(self) -> str:
        """Return the id of its signal in the map."""
        return str(self._state.light()[0].rstrip(b"\0").decode())

    def set_state(self, state: int) -> None:
        """Switch it."""
        self._send("set_traffic_light_state", int(state))

    def freeze(self, frozen: bool) -> None:
        """Stop the cycle of its junction, or let it go on."""
        self._send("freeze_traffic_light", frozen)

    def get_group_traffic_lights(self) -> list[Any]:
        """Return the lights of its junction."""
        return self._world.actors_by_id(self._world.call("get_group_traffic_lights", self.id))

    def get_light_boxes(self) -> list[BoundingBox]:
        """Return the boxes around its heads, in the world."""
        return [BoundingBox.read(box) for box in self._world.call("get_light_boxes", self.id)]

    def get_affected_lane_waypoints(self) -> list[Waypoint]:
        """Return where the lanes that it controls pass it."""
        town, signal = self._world.get_map(), self.get_opendrive_id()
        marks = [mark for mark in town.get_all_landmarks() if mark.id == signal]
        lanes = [
            (mark, k) for mark in marks for a, b in mark.get_lane_validities() for k in range(min(a, b), max(a, b) + 1)
        ]
        found = [town.get_waypoint_xodr(mark.road_id, lane, mark.s) for mark, lane in lanes if lane]
        return [way for way in found if way is not None]

    def get_stop_waypoints(self) -> list[Waypoint]:
        """Return where a vehicle in the box that triggers it stops."""
        box = self.bounding_box
        way = self._world.get_map().get_waypoint(self.get_transform().transform(box.location))
        return [] if way is None else way.next(_STOP_SHARE * box.extent.x)[:1]


class Sensor(Actor):
    """A sensor: a camera or a collision sensor."""

    _reader: wire.StreamReader | None = None

    def listen(self, callback: Callable[[Any], object]) -> None:
        """Call a function with each measurement, in a thread of its own."""
        self.stop()
        self._reader = reader = self._world.open_stream(bytes(self._token))
        threading.Thread(target=self._read, args=(reader, callback), name=f"sensor-{self.id}", daemon=True).start()

    def stop(self) -> None:
        """Stop listening."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def destroy(self) -> bool:
        self.stop()
        return super().destroy()

    def _read(self, reader: wire.StreamReader, callback: Callable[[Any], object]) -> None:
        with suppress(OSError):  # stopped, or destroyed
            while True:
                callback(self._measurement(reader.read()))

    def _measurement(self, data: bytearray) -> Any:
        _, frame, timestamp, *pose = wire.SENSOR_HEADER.unpack_from(data)
        common = {"frame": frame, "timestamp": timestamp, "transform": Transform.read((pose[:3], pose[3:]))}
        body = memoryview(data)[wire.SENSOR_HEADER.size :]
        if self.type_id == "sensor.other.collision":
            actor, other, impulse = wire.decode(body)
            pair = {"actor": actor_of(self._world, actor), "other_actor": actor_of(self._world, other)}
            return SimpleNamespace(**common, **pair, normal_impulse=Vector3D(*impulse))
        width, height, fov = wire.IMAGE_HEADER.unpack_from(body)
        pixels = body[wire.IMAGE_HEADER.size :]
        return SimpleNamespace(**common, width=width, height=height, fov=fov, raw_data=pixels)


_CLASSES = {"vehicle.": Vehicle, "walker.": Walker, "traffic.traffic_light": TrafficLight, "sensor.": Sensor}


def actor_of(world: Any, data: list[Any]) -> Actor:
    """Return the actor that an ``rpc::Actor`` of the wire describes."""
    kind = data[2][1]
    return next((cls for prefix, cls in _CLASSES.items() if kind.startswith(prefix)), Actor)(world, data)


class ActorList(list[Any]):
    """Actors."""

    def filter(self, pattern: str) -> ActorList:
        """Return those whose type matches a pattern with ``*``."""
        return ActorList(actor for actor in self if fnmatchcase(actor.type_id, pattern))
