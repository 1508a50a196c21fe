"""Traffic lights: phases, timing, trigger volumes and lamp positions. Signs as actors."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neuralsim.town.assets.prop_meshes import STATES, traffic_light_bulbs
from neuralsim.town.assets.templates import ARM, templates
from neuralsim.town.core.blueprint_library import TRAFFIC_LIGHT, traffic_sign
from neuralsim.town.core.types import Actor, Transform, TriggerVolume
from neuralsim.town.dynamics.actor_registry import ActorRegistry
from neuralsim.town.ground.blocks import KERB, Ground
from neuralsim.town.ground.roads import lane_end
from neuralsim.town.opendrive.network import Network
from neuralsim.town.opendrive.signals import Signal
from neuralsim.town.opendrive.signs import Sign

ALL_RED = 2.0  # s, clearance between one group's yellow and the next one's green
FIRST_SIGN = 1_000_000  # first id of signs; those of other actors count up from 1
TRIGGER = (3.0, 2.0)  # m, extent of a trigger back from the stop line and up from the road


def trigger_of(network: Network, signal: Signal | Sign, pose: Transform) -> TriggerVolume:
    """Return where a light or sign applies: before its stop line, as wide as its lanes. ``pose``: that of its actor."""
    reach, height = TRIGGER
    corners = []
    for lane in (network.lanes[k] for k in signal.lanes):
        for back in (signal.stop, signal.stop + reach):
            point, right, _ = lane_end(lane, back)
            side = right * lane.width[-1] / 2
            corners += [point - side, point + side + (0.0, 0.0, height)]
    inverse = np.linalg.inv(pose.matrix())
    local = np.array(corners) @ inverse[:3, :3].T + inverse[:3, 3]
    low, high = local.min(axis=0), local.max(axis=0)
    x, y, z = ((low + high) / 2).tolist()
    length, width, tall = ((high - low) / 2).tolist()
    return TriggerVolume((x, y, z), (length, width, tall))


def sign_actors(network: Network, signs: Sequence[Sign]) -> dict[int, Actor]:
    """Return the signs as actors, by id."""
    actors = {}
    for ident, sign in enumerate(signs, FIRST_SIGN):
        x, y, z = sign.position.tolist()
        pose = Transform(x, y, z, 0.0, sign.yaw + 180.0)
        actors[ident] = Actor(ident, traffic_sign(sign.kind), {}, pose, trigger=trigger_of(network, sign, pose))
    return actors


@dataclass
class TrafficLight:
    """One traffic light. A client may freeze or set it."""

    actor: int
    signal: str  # id in the OpenDRIVE map
    group: int
    cycle: int
    lanes: tuple[int, ...]  # indices of the driving lanes that it controls
    stop: float  # m from the end of these lanes to the stop line
    arm: float  # m that its arm over the road reaches to the left of who faces it, 0 = none
    bulbs: dict[str, np.ndarray]  # by state: f64 (H, 3), centre of that lamp in each head, m
    state: str = "red"
    elapsed: float = 0.0  # s in this state
    green_time: float = 10.0
    yellow_time: float = 3.0
    red_time: float = ALL_RED
    frozen: bool = False


def spawn_traffic_lights(network: Network, ground: Ground, registry: ActorRegistry) -> dict[int, TrafficLight]:
    """Create the traffic lights of all signals, with their actors; return them by actor id."""
    lights = {}
    for signal in network.signals:
        x, y, z = signal.position.tolist()
        pose = Transform(x, y, z + (0.0 if ground.is_asphalt(x, y) else KERB), 0.0, signal.yaw + 180.0)
        matrix = pose.matrix()
        arm = _arm(network, signal, matrix)
        actor = registry.add(TRAFFIC_LIGHT, {}, pose, mesh=f"light {arm:g} red")
        if signal.lanes:
            actor.trigger = trigger_of(network, signal, pose)
        bulbs = {
            state: np.array(places) @ matrix[:3, :3].T + matrix[:3, 3]
            for state, places in traffic_light_bulbs(arm).items()
        }
        lights[actor.id] = TrafficLight(
            actor.id, signal.id, signal.group, signal.cycle, signal.lanes, signal.stop, arm, bulbs
        )
    return lights


def _arm(network: Network, signal: Signal, matrix: np.ndarray) -> float:
    """Return how far (m) the arm of a light with this pose reaches to the left: over its lanes, if they are several."""
    if len(signal.lanes) < 2:
        return 0.0
    centres = [network.lanes[k].centre for k in signal.lanes]
    nearest = [centre[np.hypot(*(centre[:, :2] - matrix[:2, 3]).T).argmin()] for centre in centres]
    return math.copysign(ARM, float((np.mean(nearest, axis=0) - matrix[:3, 3]) @ matrix[:3, 1]))


class TrafficLights:
    """All traffic lights of a town. The groups of a junction get green in turn; a group changes as one."""

    def __init__(self, network: Network, lights: list[TrafficLight], rng: np.random.Generator) -> None:
        self.all = lights
        self.state = np.zeros(len(network.lanes), np.int8)  # by lane: 0 no light, 1 red, 2 yellow, 3 green
        self._cycles: dict[int, list[int]] = {}  # groups of each cycle in order; the first one has its turn
        self._groups: dict[int, list[TrafficLight]] = {}
        for light in lights:
            groups = self._cycles.setdefault(light.cycle, [])
            if light.group not in groups:
                groups.append(light.group)
            self._groups.setdefault(light.group, []).append(light)
        for groups in self._cycles.values():
            for _ in range(int(rng.integers(len(groups)))):
                groups.append(groups.pop(0))
            head = float(rng.uniform(0.0, 8.0))
            for light in self._groups[groups[0]]:
                light.state, light.elapsed = "green", head
        self._publish()

    def step(self, delta: float) -> None:
        """Advance all cycles by ``delta`` seconds."""
        for light in self.all:
            light.elapsed += delta
        for groups in self._cycles.values():
            turn = self._groups[groups[0]]
            first = turn[0]
            if first.frozen:
                continue
            if first.state == "green" and first.elapsed >= first.green_time:
                self._change(turn, "yellow")
            elif first.state == "yellow" and first.elapsed >= first.yellow_time:
                self._change(turn, "red")
            elif first.state == "red" and first.elapsed >= first.red_time:
                groups.append(groups.pop(0))
                self._change(self._groups[groups[0]], "green")
        self._publish()

    def set(self, light: TrafficLight, state: str) -> None:
        """Set the state of one light.

        Raises:
            ValueError: The state is not one of ``STATES``.
        """
        if state not in STATES:
            raise ValueError(f"unknown traffic light state {state!r}: expected one of {', '.join(STATES)}")
        self._change([light], state)
        self._publish()

    def show(self, actors: Mapping[int, Actor]) -> None:
        """Write the states of the lights into their actors."""
        for light in self.all:
            actor = actors[light.actor]
            actor.traffic_light_state = light.state
            actor.template = templates().index[f"light {light.arm:g} {light.state}"]

    @staticmethod
    def _change(lights: list[TrafficLight], state: str) -> None:
        for light in lights:
            light.state, light.elapsed = state, 0.0

    def _publish(self) -> None:
        """Write the states of the lights to their lanes."""
        for light in self.all:
            self.state[list(light.lanes)] = 1 + STATES.index(light.state)
