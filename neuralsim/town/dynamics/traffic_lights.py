"""Traffic lights: phases, timing, trigger volumes and lamp positions; signs as actors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuralsim.town.assets.prop_meshes import STATES
from neuralsim.town.core.blueprint_library import traffic_sign
from neuralsim.town.core.types import Actor, Transform, TriggerVolume
from neuralsim.town.ground.roads import end_of
from neuralsim.town.opendrive.network import Network
from neuralsim.town.opendrive.signals import Signal
from neuralsim.town.opendrive.signs import Sign

ALL_RED = 2.0  # s, clearance between one group's yellow and the next one's green
FIRST_SIGN = 1_000_000  # ids of signs begin here: those of other actors are given one after the other, from 1
TRIGGER = (3.0, 2.0)  # m, how far a trigger reaches back from the stop line and up from the road


def trigger_of(network: Network, signal: Signal | Sign, pose: Transform) -> TriggerVolume:
    """Where a light or sign applies: before its stop line, as wide as its lanes. ``pose``: of its actor."""
    reach, height = TRIGGER
    corners = []
    for lane in (network.lanes[k] for k in signal.lanes):
        for back in (signal.stop, signal.stop + reach):
            point, right, _ = end_of(lane, back)
            side = right * lane.width[-1] / 2
            corners += [point - side, point + side + (0.0, 0.0, height)]
    inverse = np.linalg.inv(pose.matrix())
    local = np.array(corners) @ inverse[:3, :3].T + inverse[:3, 3]
    low, high = local.min(axis=0), local.max(axis=0)
    x, y, z = ((low + high) / 2).tolist()
    length, width, tall = ((high - low) / 2).tolist()
    return TriggerVolume((x, y, z), (length, width, tall))


def sign_actors(network: Network, signs: Sequence[Sign]) -> dict[int, Actor]:
    """The actors that clients know signs as, by id."""
    actors = {}
    for ident, sign in enumerate(signs, FIRST_SIGN):
        x, y, z = sign.position.tolist()
        pose = Transform(x, y, z, 0.0, sign.yaw + 180.0)
        actors[ident] = Actor(ident, traffic_sign(sign.kind), {}, pose, trigger=trigger_of(network, sign, pose))
    return actors


@dataclass
class TrafficLight:
    """One traffic light. Its actor carries the state too; a client may freeze or set it."""

    actor: int
    signal: str  # its id in the OpenDRIVE map
    group: int
    cycle: int
    lanes: tuple[int, ...]  # driving lanes (indices into the network) that it stops
    stop: float  # m from their end to its stop line
    bulbs: dict[str, np.ndarray]  # state -> f64 (H, 3), centre of that lamp in each of its heads, metres
    state: str = "red"
    elapsed: float = 0.0  # s in this state
    green_time: float = 10.0
    yellow_time: float = 3.0
    red_time: float = ALL_RED
    frozen: bool = False


class TrafficLights:
    """All traffic lights of a town. The groups of a junction have green in turn; a group changes as one."""

    def __init__(self, network: Network, lights: list[TrafficLight], rng: np.random.Generator) -> None:
        self.all = lights
        self.state = np.zeros(len(network.lanes), np.int8)  # per lane: 0 no light, 1 red, 2 yellow, 3 green
        self._cycles: dict[int, list[int]] = {}  # cycle -> its groups in order; the first has the turn
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
        """Put one light into a state by hand.

        Raises:
            ValueError: not one of ``STATES``.
        """
        if state not in STATES:
            raise ValueError(f"unknown traffic light state {state!r}: choose {', '.join(STATES)}")
        self._change([light], state)
        self._publish()

    @staticmethod
    def _change(lights: list[TrafficLight], state: str) -> None:
        for light in lights:
            light.state, light.elapsed = state, 0.0

    def _publish(self) -> None:
        for light in self.all:
            self.state[list(light.lanes)] = 1 + STATES.index(light.state)
