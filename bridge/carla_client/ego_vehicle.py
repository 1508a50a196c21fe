"""The ego vehicle: spawning, its state at the last tick, and its pedals."""

from typing import Any

from bridge.carla_client.camera_rig import matrix
from bridge.carla_client.connection import VERSIONS, is_embedded_town
from bridge.carla_client.routing.spawn_points import SpawnPoints
from bridge.carla_client.vehicle_geometry import read_physics
from bridge.carla_library import carla
from bridge.messages import Ego
from bridge.process.lifetime import BridgeError

_LIGHTS = {
    carla.TrafficLightState.Red: "red",
    carla.TrafficLightState.Yellow: "yellow",
    carla.TrafficLightState.Green: "green",
}


class EgoVehicle:
    """The driven vehicle ``actor`` on ``town``; call ``update`` after every tick."""

    def __init__(self, actor: Any, town: carla.Map) -> None:
        self.actor, self._map = actor, town
        self._pedals = carla.VehicleControl()
        self._lights, self._own_lights = 0, -1  # all of them, and those of ``switch_lights``
        self._snapshot: Any = None
        #: That of a body without damage; None: on a CARLA server, where nothing is damaged.
        self._physics = read_physics(actor) if is_embedded_town(actor.get_world()) else None

    @property
    def actors(self) -> list[Any]:
        """The actors to be destroyed."""
        return [self.actor]

    def stop(self) -> None:
        """Do nothing: a vehicle has nothing to stop before it is destroyed."""

    def update(self, snapshot: carla.WorldSnapshot) -> None:
        """Update to the tick of ``snapshot``."""
        self._snapshot = snapshot

    @property
    def half(self) -> tuple[float, float]:
        """Half length and half width, m."""
        extent = self.actor.bounding_box.extent
        return extent.x, extent.y

    @property
    def transform(self) -> carla.Transform:
        """The pose at the last tick."""
        return self._state.get_transform()

    @property
    def speed(self) -> float:
        """m/s along the vehicle."""
        state = self._state
        forward, velocity = state.get_transform().get_forward_vector(), state.get_velocity()
        return float(forward.x * velocity.x + forward.y * velocity.y + forward.z * velocity.z)

    def apply(self, pedals: carla.VehicleControl) -> None:
        """Send ``pedals`` to the server."""
        self._pedals = pedals
        self.actor.apply_control(pedals)

    def switch_lights(self, lights: int, mask: int) -> None:
        """Set those of the vehicle's lamps that are in ``mask``, bits of ``carla.VehicleLightState``, if they change.

        A server leaves all of them to its clients: not even braking turns a lamp on.
        """
        if lights & mask != self._own_lights:
            self._own_lights = lights & mask
            self._lights = int(self.actor.get_light_state()) & ~mask | self._own_lights
            self.actor.set_light_state(carla.VehicleLightState(self._lights))

    def move_to(self, place: carla.Transform) -> None:
        """Put the vehicle at ``place``, at rest."""
        self.actor.set_target_velocity(carla.Vector3D())
        self.actor.set_transform(place)

    def repair(self) -> bool:
        """Make the vehicle whole again; return whether its world knows damage at all."""
        if self._physics is None:
            return False
        self.actor.apply_physics_control(self._physics)  # to the embedded town, a car that is set up anew is whole
        return True

    def describe(self, is_autopilot: bool) -> Ego:
        """Return the state for a frame, without collisions."""
        pose = self.transform
        lane = self._map.get_waypoint(pose.location)
        return Ego(
            speed=self.speed,
            steer=self._pedals.steer,
            throttle=self._pedals.throttle,
            brake=self._pedals.brake,
            hand_brake=self._pedals.hand_brake,
            gear=self.actor.get_control().gear,
            road_id=lane.road_id if lane else -1,
            lane_id=lane.lane_id if lane else 0,
            autopilot=is_autopilot,
            lights=self._lights,
            speed_limit=max(float(self.actor.get_speed_limit()), 0.0) / 3.6,
            light=_LIGHTS.get(self.actor.get_traffic_light_state(), "") if self.actor.is_at_traffic_light() else "",
            blueprint=self.actor.type_id[:64],
            color=self.actor.attributes.get("color", "")[:64],
            pose=matrix(pose),
        )

    @property
    def _state(self) -> Any:
        state = self._snapshot.find(self.actor.id)
        if state is None:
            raise BridgeError("the ego vehicle no longer exists: it was destroyed or another map was loaded")
        return state


def spawn_ego(world: carla.World, spawn_points: SpawnPoints, vehicle: str) -> Any:
    """Spawn a car at the first free spawn point, the blueprint ``vehicle`` if available. Raises ``BridgeError``."""
    cars = [
        blueprint
        for blueprint in world.get_blueprint_library().filter("vehicle.*")
        if blueprint.has_attribute("number_of_wheels") and int(blueprint.get_attribute("number_of_wheels")) == 4
    ]
    if not cars:
        raise BridgeError("this server has no car to drive")
    by_id = {car.id: car for car in cars}
    blueprint = next((by_id[name] for name in (vehicle, *VERSIONS.values()) if name in by_id), cars[0])
    if blueprint.has_attribute("role_name"):
        blueprint.set_attribute("role_name", "hero")
    if blueprint.has_attribute("clears_lane"):  # the embedded town's: traffic keeps out of the way of a start
        blueprint.set_attribute("clears_lane", "true")
    for point in spawn_points:
        if (ego := world.try_spawn_actor(blueprint, point)) is not None:
            return ego
    if not spawn_points.points:
        raise BridgeError("the map has no spawn points: something solid stands in all of its driving lanes")
    raise BridgeError(f"none of the map's {len(spawn_points.points)} spawn points is free; restart the server")
