"""Traffic lights that a scenario holds in a state, instead of their own cycles."""

from __future__ import annotations

from math import cos, radians

import carla

from bridge.carla_client.surroundings import stop_lines
from scenarios.engine.loader import Loaded
from scenarios.engine.road import along
from scenarios.engine.snapshot import Moment, holds
from scenarios.language.schema import Light

REACH = 80.0  # m from a place to the stop line of its light
NEAR = 2.5  # m from the middle of the lane to the point that a server gives for a stop line

_STATES = {
    "red": carla.TrafficLightState.Red,
    "yellow": carla.TrafficLightState.Yellow,
    "green": carla.TrafficLightState.Green,
}


class LightSwitch:
    """Switches one light when its time has come. ``way`` is a place on a lane before it; raises ``ScenarioError``."""

    def __init__(self, world: carla.World, loaded: Loaded, wanted: Light, way: carla.Waypoint, index: int) -> None:
        self._wanted = wanted
        light = _light_ahead(world, way)
        if light is None:
            raise loaded.error(f"no traffic light within {REACH:.0f} m ahead", "lights", index, "at")
        self._light = light
        self._done = False

    def update(self, now: Moment) -> None:
        """Before a tick: switch if it is time."""
        if self._done or not (self._wanted.when is None or holds(self._wanted.when, now)):
            return
        self._done = True
        state = _STATES[self._wanted.state]
        for other in self._light.get_group_traffic_lights():  # all of the junction: they would go on with their cycle
            other.freeze(True)
            if other.id != self._light.id and state != carla.TrafficLightState.Red and _crosses(other, self._light):
                other.set_state(carla.TrafficLightState.Red)
        self._light.freeze(True)
        self._light.set_state(state)


def _light_ahead(world: carla.World, way: carla.Waypoint) -> carla.TrafficLight | None:
    lines = [
        (light, *line) for light in world.get_actors().filter("traffic.traffic_light*") for line in stop_lines(light)
    ]
    for metres in range(0, int(REACH) + 1, 2):
        here = along(way, float(metres))
        if here is None:
            return None
        at, yaw = here.transform.location, radians(here.transform.rotation.yaw)
        for light, x, y, heading in lines:
            if (at.x - x) ** 2 + (at.y - y) ** 2 < NEAR**2 and cos(heading - yaw) > 0.5:
                return light
    return None


def _crosses(other: carla.TrafficLight, light: carla.TrafficLight) -> bool:
    """Whether the lanes of two lights come from different streets, not from opposite ends of the same one."""
    ours, theirs = stop_lines(light), stop_lines(other)
    return not ours or not theirs or abs(cos(ours[0][2] - theirs[0][2])) < 0.7
