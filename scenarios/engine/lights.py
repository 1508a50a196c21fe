"""Traffic lights held in a state by a scenario, overriding their own cycles."""

import re
from math import cos, hypot, radians

from bridge.carla_client.surroundings import stop_lines
from bridge.carla_library import carla
from scenarios.engine.loader import LoadedScenario
from scenarios.engine.road import PlaceFinder, along
from scenarios.engine.snapshot import Snapshot, holds
from scenarios.language.schema import LightSpec

REACH = 80.0  # m from a place to the stop line of its light
POSITION_TOLERANCE = 2.0  # m from a light to a position that names it, as in ScenarioRunner
_NUMBER = r" *[-+]?\d{1,9}(?:\.\d{1,9})? *"
NEAR = 2.5  # m from the middle of the lane to the server's point for a stop line

_STATES = {
    "red": carla.TrafficLightState.Red,
    "yellow": carla.TrafficLightState.Yellow,
    "green": carla.TrafficLightState.Green,
    "off": carla.TrafficLightState.Off,
}
_NAMES = {state: name for name, state in _STATES.items()}


class Signals:
    """The traffic signals of a map by their OpenDRIVE ids, or by position: ``pos=x,y``, metres, CARLA's axes.

    Signals without an actor on the server, such as pedestrian lights, only have the state that the scenario sets.
    """

    def __init__(self, world: carla.World, town: carla.Map) -> None:
        lights = world.get_actors().filter("traffic.traffic_light*")
        self._lights: dict[str, carla.TrafficLight] = {light.get_opendrive_id(): light for light in lights}
        self._town = town
        self._actorless: dict[str, str] = {}  # states of signals without an actor

    def __contains__(self, signal: str) -> bool:
        return self._light(signal) is not None or any(mark.id == signal for mark in self._town.get_all_landmarks())

    def _light(self, signal: str) -> carla.TrafficLight | None:
        if signal in self._lights or not (at := re.fullmatch(rf"pos=({_NUMBER}),({_NUMBER})", signal)):
            return self._lights.get(signal)
        x, y = float(at[1]), float(at[2])
        places = [(light, light.get_location()) for light in self._lights.values()]
        return next((light for light, place in places if hypot(place.x - x, place.y - y) < POSITION_TOLERANCE), None)

    def state(self, signal: str) -> str | None:
        """Return the state of a signal; None for one that has no actor and was never set."""
        light = self._light(signal)
        return self._actorless.get(signal) if light is None else _NAMES.get(light.get_state())

    def hold(self, signal: str, state: str) -> None:
        """Hold a signal in a state from now on; the cycles of the others at its junction stop."""
        light = self._light(signal)
        if light is None:
            self._actorless[signal] = state
            return
        for other in light.get_group_traffic_lights():
            other.freeze(True)
        light.freeze(True)
        light.set_state(_STATES[state])


class LightSwitch:
    """Switches one light when its condition holds. Raises ``ScenarioError`` if there is no such light.

    Args:
        world: The client's.
        signals: Of its map.
        loaded: The scenario, for errors.
        places: Of the map.
        spec: The scenario's entry; without ``when`` the light is switched at once.
        index: Its number in the scenario.
    """

    def __init__(
        self,
        world: carla.World,
        signals: Signals,
        loaded: LoadedScenario,
        places: PlaceFinder,
        spec: LightSpec,
        index: int,
    ) -> None:
        self._spec, self._signals = spec, signals
        self._light: carla.TrafficLight | None = None
        if spec.at is not None:
            self._light = _light_ahead(world, places.find(spec.at, "lights", index, "at"))
            if self._light is None:
                raise loaded.error(f"no traffic light within {REACH:.0f} m ahead", "lights", index, "at")
        self._done = False
        if spec.when is None:
            self._switch()

    def update(self, now: Snapshot) -> None:
        """Switch the light if its condition holds; to be called before a tick."""
        if not self._done and self._spec.when is not None and holds(self._spec.when, now):
            self._switch()

    def _switch(self) -> None:
        self._done = True
        if self._light is None:
            assert self._spec.signal is not None
            self._signals.hold(self._spec.signal, self._spec.state)
            return
        state = _STATES[self._spec.state]
        for other in self._light.get_group_traffic_lights():  # of the whole junction: their cycle would go on
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
    """Return whether the lanes of two lights come from different streets, not from opposite ends of the same one."""
    ours, theirs = stop_lines(light), stop_lines(other)
    return not ours or not theirs or abs(cos(ours[0][2] - theirs[0][2])) < 0.7
