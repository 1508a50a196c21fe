"""The ego's collisions from CARLA's collision sensor: their number, and partner and severity of the newest."""

from typing import Any

from bridge.carla_client.camera_rig import set_sensor_role
from bridge.carla_client.surroundings import describe_actor
from bridge.carla_library import carla
from bridge.messages import Impact

CONTACT_TIMEOUT = 0.5  # s without an event after which the next one with the same actor is a new collision
DEFAULT_MASS = 1500.0  # kg, of an ego without physics data


class CollisionCounter:
    """A counter of collisions since the last :meth:`reset`; continued contact with one actor is one collision."""

    def __init__(self, world: carla.World, ego: carla.Vehicle) -> None:
        self.count, self.newest = 0, Impact()
        self._mass = DEFAULT_MASS
        self._last_contact: dict[int, float] = {}  # s, time of the last contact by actor id
        blueprint = world.get_blueprint_library().find("sensor.other.collision")
        set_sensor_role(blueprint)
        self.sensor: Any = world.spawn_actor(blueprint, carla.Transform(), attach_to=ego)
        self.sensor.listen(self._on_event)

    @property
    def actors(self) -> list[Any]:
        """The actors to be destroyed with the ego."""
        return [self.sensor]

    def stop(self) -> None:
        """Stop listening."""
        self.sensor.stop()

    def set_mass(self, physics: Any) -> None:
        """Use the ego's mass from its ``carla.VehiclePhysicsControl``; None leaves ``DEFAULT_MASS``."""
        self._mass = self._mass if physics is None else physics.mass or self._mass

    def reset(self) -> None:
        """Start again from zero, after a respawn."""
        self.count, self.newest = 0, Impact()

    def _on_event(self, event: Any) -> None:
        other = event.other_actor.id if event.other_actor else 0
        speed_change = event.normal_impulse.length() / self._mass
        is_new = event.timestamp - self._last_contact.get(other, -9.0) > CONTACT_TIMEOUT
        if is_new or speed_change > self.newest.speed:  # a contact is as hard as its hardest event
            self.newest = Impact(describe_actor(event.other_actor), speed_change)
        self.count += is_new
        self._last_contact[other] = event.timestamp
