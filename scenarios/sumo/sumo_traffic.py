"""Co-simulation with SUMO: its vehicles are actors of a CARLA server, and the ego is a vehicle in SUMO.

In each tick SUMO moves first, with the ego's pose of the previous tick. Then its vehicles are moved on the server,
without physics, and its traffic lights are applied. Vehicles further than ``RANGE`` from the ego exist only in SUMO.
"""

import subprocess
import zlib
from collections.abc import Iterable
from math import cos, hypot, radians, sin
from pathlib import Path
from typing import Any

from bridge.carla_client.surroundings import Surroundings
from bridge.carla_library import carla
from scenarios.sumo.sumo_network import SumoError, network_of, program

RANGE = 200.0  # m from the ego within which vehicles are actors
WARM_UP = 60.0  # s that SUMO simulates in advance, so that its streets are not empty
_HIDE_FACTOR = 1.15  # times ``RANGE``: the distance beyond which they are removed again
_EGO = "neuralsim-ego"
_KEEP_ROUTE = 2  # keepRoute of TraCI's moveToXY: anywhere, not only on the vehicle's route
#: Blueprints by SUMO's vClass; all other classes are cars, whose blueprint depends on the vehicle's name.
_BLUEPRINTS = {
    "truck": "vehicle.carlamotors.european_hgv", "trailer": "vehicle.carlamotors.european_hgv",
    "bus": "vehicle.mitsubishi.fusorosa", "coach": "vehicle.mitsubishi.fusorosa",
    "delivery": "vehicle.mercedes.sprinter", "bicycle": "vehicle.bh.crossbike",
    "motorcycle": "vehicle.kawasaki.ninja", "moped": "vehicle.vespa.zx125",
}  # fmt: skip
_CARS = (
    "vehicle.audi.a2", "vehicle.audi.tt", "vehicle.nissan.micra", "vehicle.seat.leon", "vehicle.toyota.prius",
    "vehicle.mini.cooper_s", "vehicle.mercedes.coupe", "vehicle.volkswagen.t2",
)  # fmt: skip
_STATES = {
    "G": carla.TrafficLightState.Green, "g": carla.TrafficLightState.Green,
    "y": carla.TrafficLightState.Yellow, "Y": carla.TrafficLightState.Yellow, "u": carla.TrafficLightState.Yellow,
    "o": carla.TrafficLightState.Yellow,
}  # fmt: skip
#: CARLA's lamps by SUMO's signal bits: blinkers right and left, brakes.
_LAMPS = {
    1: carla.VehicleLightState.RightBlinker, 2: carla.VehicleLightState.LeftBlinker, 8: carla.VehicleLightState.Brake,
}  # fmt: skip


class SumoTraffic:
    """``ScenarioHooks`` that move SUMO's vehicles and leave the ego to its driver. Raises ``SumoError``."""

    over = False
    drives_ego = False

    def __init__(self, config: Path) -> None:
        network_of(config)  # reports mistakes before anything starts
        self._config, self._program = config, program("sumo")
        self._traci: Any = None  # TraCI's connection, once SUMO runs
        self._world: Any = None
        self._ego: Any = None
        self._visible: dict[str, Any] = {}  # SUMO's id -> actor
        self._lamps: dict[str, int] = {}
        self._lights: list[tuple[Any, str, int]] = []  # actor, SUMO's traffic light, index in its state
        self._states: dict[int, Any] = {}
        self._bodies: dict[str, tuple[str, float]] = {}  # SUMO's id -> blueprint, length in m
        self.max_actors = 0  # at the same time

    @property
    def actors(self) -> list[Any]:
        """The actors that represent SUMO's vehicles at present."""
        return list(self._visible.values())

    def settings(self) -> dict[str, Any]:
        return {"scenario": self._config.stem, "more_cameras": {}}

    def spawn(self, world: carla.World, town: carla.Map) -> None:
        """Do nothing: the bridge spawns the ego."""
        self._world = world

    def begin(self, snapshot: carla.WorldSnapshot) -> None:
        actors = self._world.get_actors()
        self._ego = next(actor for actor in actors if actor.attributes.get("role_name") == "hero")

    def drive(self, surroundings: Surroundings, delta: float) -> None:
        import traci

        try:
            if self._traci is None:
                self._start(delta)
            self._mirror_ego()
            self._traci.simulationStep()
            self._move_all()
            self._switch_lights()
        except (traci.TraCIException, traci.FatalTraCIError, OSError) as error:
            raise SumoError(f"{self._config}: SUMO ended: {str(error).splitlines()[0]}") from None

    def observe(self, snapshot: carla.WorldSnapshot) -> None:
        """Do nothing: there are no assertions."""

    def report(self) -> str:
        return ""

    def hand_over(self) -> None:
        """Do nothing: the driver has had the ego from the beginning."""

    def result(self) -> dict[str, Any]:
        return {"scenario": self._config.stem, "vehicles": self.max_actors}

    def stop(self) -> None:
        if self._traci is not None:
            self._traci.close()
            self._traci = None

    def _start(self, delta: float) -> None:
        import traci

        call = [self._program, "-c", str(self._config), "--step-length", f"{delta:.6f}", "--no-step-log", "true"]
        traci.start(call, label=str(id(self)), stdout=subprocess.DEVNULL)
        self._traci = traci.getConnection(str(id(self)))
        self._traci.simulationStep(self._traci.simulation.getTime() + WARM_UP)
        self._subscribe(self._traci.vehicle.getIDList())
        self._traci.simulation.subscribe([traci.constants.VAR_DEPARTED_VEHICLES_IDS])
        states = {light: self._traci.trafficlight.getRedYellowGreenState(light) for light in self._subscribe_lights()}
        for actor in self._world.get_actors().filter("traffic.traffic_light*"):
            light, _, index = actor.get_opendrive_id().rpartition("_")  # as netconvert names signals
            if index.isdigit() and int(index) < len(states.get(light, "")):
                self._lights.append((actor, light, int(index)))
        if self._lights:
            self._lights[0][0].freeze(True)  # freezes all lights
        self._add_ego()

    def _subscribe_lights(self) -> list[str]:
        """Subscribe to the states of SUMO's traffic lights; return their ids."""
        import traci

        lights = list(self._traci.trafficlight.getIDList())
        for light in lights:
            self._traci.trafficlight.subscribe(light, [traci.constants.TL_RED_YELLOW_GREEN_STATE])
        return lights

    def _add_ego(self) -> None:
        """Add the ego to SUMO, so that its vehicles react to it."""
        x, y, _ = self._front(self._ego.get_transform())
        edge, _, _ = self._traci.simulation.convertRoad(x, y, vClass="passenger")
        self._traci.route.add(_EGO, [edge])
        self._traci.vehicle.add(_EGO, _EGO)
        self._traci.vehicle.setLength(_EGO, 2.0 * self._ego.bounding_box.extent.x)
        self._mirror_ego()

    def _front(self, pose: carla.Transform) -> tuple[float, float, float]:
        """Return the ego's front bumper in SUMO's axes: x, y (m, to the north) and the angle clockwise from north."""
        yaw, half = radians(pose.rotation.yaw), self._ego.bounding_box.extent.x
        return pose.location.x + half * cos(yaw), -(pose.location.y + half * sin(yaw)), pose.rotation.yaw + 90.0

    def _mirror_ego(self) -> None:
        x, y, angle = self._front(self._ego.get_transform())
        velocity = self._ego.get_velocity()
        self._traci.vehicle.moveToXY(_EGO, "", -1, x, y, angle, _KEEP_ROUTE)
        self._traci.vehicle.setSpeed(_EGO, hypot(velocity.x, velocity.y))

    def _move_all(self) -> None:
        """Move SUMO's vehicles on the server, show new ones and hide others."""
        from traci import constants as c

        self._subscribe(self._traci.simulation.getSubscriptionResults()[c.VAR_DEPARTED_VEHICLES_IDS])
        here = self._ego.get_transform().location
        states = self._traci.vehicle.getAllSubscriptionResults()
        for name, state in states.items():
            blueprint, length = self._body(name)
            pose = _pose(state[c.VAR_POSITION3D], state[c.VAR_ANGLE], state[c.VAR_SLOPE], length)
            distance = hypot(pose.location.x - here.x, pose.location.y - here.y)
            if name not in self._visible and distance < RANGE:
                self._show(name, blueprint, pose)
            elif name in self._visible and distance > _HIDE_FACTOR * RANGE:
                self._hide(name)
            if name in self._visible:
                self._move(name, pose, state[c.VAR_SPEED], state[c.VAR_SIGNALS])
        for name in [name for name in self._visible if name not in states]:
            self._hide(name)
        self._bodies = {name: body for name, body in self._bodies.items() if name in states}
        self.max_actors = max(self.max_actors, len(self._visible))

    def _subscribe(self, names: Iterable[str]) -> None:
        from traci import constants as c

        for name in names:
            if name != _EGO:
                variables = [c.VAR_POSITION3D, c.VAR_ANGLE, c.VAR_SPEED, c.VAR_SLOPE, c.VAR_SIGNALS]
                self._traci.vehicle.subscribe(name, variables)

    def _body(self, name: str) -> tuple[str, float]:
        """Return a vehicle's blueprint, and its length in SUMO, m."""
        if name not in self._bodies:
            kind, length = self._traci.vehicle.getVehicleClass(name), self._traci.vehicle.getLength(name)
            car = _CARS[zlib.crc32(name.encode()) % len(_CARS)]
            self._bodies[name] = _BLUEPRINTS.get(kind, car), length
        return self._bodies[name]

    def _show(self, name: str, blueprint_id: str, pose: carla.Transform) -> None:
        blueprint = self._world.get_blueprint_library().find(blueprint_id)
        if blueprint.has_attribute("color"):
            colours = blueprint.get_attribute("color").recommended_values
            blueprint.set_attribute("color", colours[zlib.crc32(name.encode()[::-1]) % len(colours)])
        actor = self._world.try_spawn_actor(blueprint, pose)
        if actor is not None:  # otherwise the place is occupied: try again in the next step
            actor.set_simulate_physics(False)
            self._visible[name] = actor

    def _hide(self, name: str) -> None:
        self._visible.pop(name).destroy()
        self._lamps.pop(name, None)

    def _move(self, name: str, pose: carla.Transform, speed: float, signals: int) -> None:
        actor, yaw = self._visible[name], radians(pose.rotation.yaw)
        actor.set_transform(pose)
        actor.set_target_velocity(carla.Vector3D(speed * cos(yaw), speed * sin(yaw), 0.0))
        lamps = sum(int(lamp) for bit, lamp in _LAMPS.items() if signals & bit)
        if lamps != self._lamps.get(name, 0):
            self._lamps[name] = lamps
            actor.set_light_state(carla.VehicleLightState(lamps))

    def _switch_lights(self) -> None:
        from traci import constants as c

        states = self._traci.trafficlight.getAllSubscriptionResults()
        for actor, light, index in self._lights:
            state = _STATES.get(states[light][c.TL_RED_YELLOW_GREEN_STATE][index], carla.TrafficLightState.Red)
            if self._states.get(actor.id) != state:
                self._states[actor.id] = state
                actor.set_state(state)


def _pose(front: tuple[float, float, float], angle: float, slope: float, length: float) -> carla.Transform:
    """Return CARLA's pose of a vehicle in SUMO.

    ``front``: position of its front bumper, m; ``angle``: heading, degrees clockwise from north; ``slope``: degrees,
    up positive; ``length``: m.
    """
    yaw = angle - 90.0
    x = front[0] - 0.5 * length * cos(radians(yaw))
    y = -front[1] - 0.5 * length * sin(radians(yaw))
    return carla.Transform(carla.Location(x, y, front[2]), carla.Rotation(pitch=slope, yaw=yaw))
