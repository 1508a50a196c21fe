"""Background actors: vehicles and pedestrians moved by the town, kept near the driven vehicles."""

from collections.abc import Mapping, Sequence

import numpy as np

from neuralsim.town.assets.looks import COLOURS
from neuralsim.town.assets.people_meshes import KINDS, SHARES
from neuralsim.town.assets.templates import templates
from neuralsim.town.core import blueprint_library
from neuralsim.town.core.types import Actor, Blueprint, Transform
from neuralsim.town.dynamics.actor_registry import ActorRegistry
from neuralsim.town.dynamics.driven_vehicles import BRAKE_LIGHT
from neuralsim.town.dynamics.focus import Focus
from neuralsim.town.dynamics.lanes import LaneTable
from neuralsim.town.dynamics.traffic import CRUISE, Traffic
from neuralsim.town.dynamics.vehicle_dynamics import SPECS, VehicleState
from neuralsim.town.dynamics.walkers import FAR as WALKERS_WITHIN
from neuralsim.town.dynamics.walkers import Walkers
from neuralsim.town.ground.blocks import Ground
from neuralsim.town.opendrive.network import Network

LOW_BEAM = 1 | 2  # carla.VehicleLightState.Position and LowBeam
BLINKERS = {-1: 32, 0: 0, 1: 16}  # LeftBlinker, RightBlinker
_NEAREST_WALKER = 8.0  # m, of those who are moved to a driver all at once
CLEAR_AHEAD = 130.0  # m ahead of an arriving vehicle
CLEAR_ASIDE = 2.5  # m to either side of its line
JAM = 25.0  # s of waiting behind a driven vehicle after which a background vehicle is moved elsewhere


class BackgroundActors:
    """The background traffic and pedestrians.

    The rows of ``traffic`` and ``walkers`` are the actors whose ids ``vehicles`` and ``people`` list.
    """

    def __init__(
        self,
        network: Network,
        ground: Ground,
        blueprints: Mapping[str, Blueprint],
        registry: ActorRegistry,
        rng: np.random.Generator,
        vehicles: int,
        walkers: int,
    ) -> None:
        """Create the actors; ``rng`` draws kinds, colours and positions."""
        self._actors, self._registry, self._rng = registry.actors, registry, rng
        self._blueprints = blueprints
        self.vehicles: list[int] = []
        self.people: list[int] = []
        self.traffic = self._populate_roads(LaneTable(network), vehicles)
        self.walkers = self._populate_pavements(ground, network, walkers)

    def _add(self, name: str, colour: str, mesh: str) -> Actor:
        blueprint = self._blueprints[name]
        values = {attribute.id: attribute.value for attribute in blueprint.attributes}
        return self._registry.add(blueprint, values | {"color": colour}, Transform(), mesh=mesh)

    def _populate_roads(self, table: LaneTable, count: int) -> Traffic:
        """Create ``count`` vehicles of random types on random lanes."""
        rng, book = self._rng, templates()
        base = {name: blueprint_library.BASE_TYPES.get(name, "car") for name in book.vehicles}
        share = {"car": 1.0, "van": 1.3, "truck": 0.8, "bus": 0.8, "motorcycle": 0.35, "bicycle": 0.2}
        if table.on_motorways:
            share |= {"truck": 2.5, "bicycle": 0.0}
        names = list(base)
        weights = np.array([share[base[name]] * blueprint_library.TYPE_SHARES.get(name, 1.0) for name in names])
        chosen = [names[k] for k in rng.choice(len(names), count, p=weights / weights.sum())]
        for name in chosen:
            self.vehicles.append(self._add(name, str(rng.choice(blueprint_library.STREET_COLOURS)), name).id)
        sizes = np.array([self._actors[k].extent for k in self.vehicles]).reshape(-1, 3) * 2
        spread = np.array([SPECS[base[name]].wheelbase for name in chosen])
        traffic = Traffic(table, sizes[:, 0], sizes[:, 1], sizes[:, 0] * spread)
        traffic.fastest = np.array([CRUISE[base[name]] for name in chosen])
        slow = np.array([0.4 if base[name] == "bicycle" else 1.0 for name in chosen])
        traffic.scatter(rng, slow)
        for k in reversed(traffic.without_room()):
            traffic.remove(k)
            del self._actors[self.vehicles.pop(k)]
        return traffic

    def _populate_pavements(self, ground: Ground, network: Network, count: int) -> Walkers:
        """Create up to ``count`` pedestrians on random pavements."""
        rng, kinds = self._rng, blueprint_library.TOWNSPEOPLE
        picked = [kinds[k] for k in rng.choice(len(kinds), count, p=np.array(SHARES))]
        scale = np.array([KINDS[blueprint_library.WALKERS[name]].scale for name in picked])
        walkers = Walkers(ground, count, scale, rng, network.crosswalks)
        for name in picked[: len(walkers)]:
            colour = ",".join(map(str, COLOURS.coats[int(rng.integers(30, 200, 3).sum()) % len(COLOURS.coats)]))
            self.people.append(self._add(name, colour, f"{blueprint_library.WALKERS[name]} 0").id)
        return walkers

    def release(self, actor_id: int) -> None:
        """Remove an actor that was destroyed or taken over from the background traffic, if it belongs to it."""
        if actor_id in self.vehicles:
            self.traffic.remove(self.vehicles.index(actor_id))
            self.vehicles.remove(actor_id)
        if actor_id in self.people:
            self.walkers.remove(self.people.index(actor_id))
            self.people.remove(actor_id)

    def drive_of(self, actor_id: int) -> VehicleState:
        """Return the state of one of the vehicles. Raises ValueError for other actors."""
        if actor_id not in self.vehicles:
            raise ValueError(f"actor {actor_id} is not a vehicle of the background traffic")
        actor, k = self._actors[actor_id], self.vehicles.index(actor_id)
        x, y, _, yaw, _ = self.traffic.poses[k].tolist()
        spec = SPECS[blueprint_library.BASE_TYPES.get(actor.blueprint.id, "car")]
        return VehicleState(spec, 2 * actor.extent[0], x, y, yaw, float(self.traffic.speed[k]))

    def make_way(self, arrivals: Sequence[tuple[float, float, float]], drives: Sequence[VehicleState]) -> None:
        """Move vehicles away from arrivals (x, y, half length, m), to places that are not near ``drives`` either."""
        if not self.vehicles:
            return
        here = np.array(arrivals, np.float64).reshape(-1, 3)
        keep_off = np.concatenate([np.array([(drive.x, drive.y) for drive in drives]).reshape(-1, 2), here[:, :2]])
        away = np.hypot(*(self.traffic.poses[:, None, :2] - here[None, :, :2]).transpose(2, 0, 1))
        for k in np.flatnonzero((away < 16.0 + here[:, 2]).any(axis=1)):
            self.traffic.replace(int(k), self._rng, keep_off)

    def clear_lane(self, drive: VehicleState) -> None:
        """Move vehicles out of the lane straight ahead of ``drive``, which has just arrived."""
        forward = np.array([np.cos(drive.yaw), np.sin(drive.yaw)])
        ahead = np.array([drive.x, drive.y]) + np.arange(0.0, CLEAR_AHEAD + 1.0, 10.0)[:, None] * forward
        away = np.hypot(*(self.traffic.poses[:, None, :2] - ahead[None]).transpose(2, 0, 1)).min(axis=1)
        in_lane = Focus(ahead[0], forward, 0.0, is_hidden=False).is_ahead(self.traffic.poses, CLEAR_ASIDE)
        for k in np.flatnonzero(in_lane & (away < 10.0)):
            self.traffic.replace(int(k), self._rng, ahead)

    def gather(self, drives: Sequence[VehicleState], turn: int, at_once: bool = False) -> None:
        """Keep traffic near the driven vehicles: actors left far behind reappear ahead.

        ``turn``: number of the step, which picks one actor, unless all are moved ``at_once``.
        """
        if not drives:
            return
        places = np.array([(drive.x, drive.y) for drive in drives])
        for crowd, far in ((self.traffic, self.traffic.far), (self.walkers, WALKERS_WITHIN)):
            count = len(crowd)
            for i in range(count) if at_once else (turn % count,) if count else ():
                away = np.hypot(*(crowd.poses[i, :2] - places).T)
                nearest = int(away.argmin())
                drive, place = drives[nearest], places[nearest]
                forward = np.array([np.cos(drive.yaw), np.sin(drive.yaw)])
                behind = -float((crowd.poses[i, :2] - place) @ forward)
                if crowd is self.traffic:
                    is_left = behind > 25.0 and self.traffic.waited[i] > JAM
                else:
                    is_left = behind > 0.6 * far
                if away[nearest] > far + 15.0 or is_left:
                    least = 25.0 if at_once else 0.45 * far
                    crowd.bring(i, self._rng, Focus(place, forward, least, is_hidden=not at_once))

    def gather_walkers(self, drive: VehicleState, rng: np.random.Generator) -> None:
        """Move all walkers to pavements around ``drive``, as they are when a driver has been on his way a while."""
        forward = np.array([np.cos(drive.yaw), np.sin(drive.yaw)])
        focus = Focus(np.array((drive.x, drive.y)), forward, _NEAREST_WALKER, is_hidden=False)
        for i in range(len(self.walkers)):
            self.walkers.bring(i, rng, focus)
        self.walkers.step(0.0, np.zeros((0, 7)))  # turns them along their ways

    def show(self, delta: float, dark: bool) -> None:
        """Write the state after ``delta`` seconds into the actors. ``dark``: lamps are on."""
        crowd, beams = self.traffic, LOW_BEAM if dark else 0
        for actor_id, (x, y, z, yaw, pitch), v, brakes, blinks in zip(
            self.vehicles,
            crowd.poses.tolist(),
            crowd.speed.tolist(),
            crowd.braking.tolist(),
            crowd.blinker.tolist(),
            strict=True,
        ):
            actor = self._actors[actor_id]
            place = actor.transform
            turned = (np.degrees(yaw) - place.yaw + 180.0) % 360.0 - 180.0
            place.x, place.y, place.z = x, y, z
            place.yaw, place.pitch = float(np.degrees(yaw)), float(np.degrees(pitch))
            vx, vy = v * float(np.cos(yaw)), v * float(np.sin(yaw))
            if delta > 0.0:
                actor.acceleration[:2] = (vx - actor.velocity[0]) / delta, (vy - actor.velocity[1]) / delta
                actor.angular_velocity[2] = turned / delta
            actor.velocity[:2] = vx, vy
            lamps = beams | (BRAKE_LIGHT if brakes else 0) | BLINKERS[blinks]
            actor.light_state = actor.light_state & ~(LOW_BEAM | BRAKE_LIGHT | BLINKERS[1] | BLINKERS[-1]) | lamps
        for actor_id, (x, y, z, yaw), v, phase in zip(
            self.people,
            self.walkers.poses.tolist(),
            self.walkers.speed.tolist(),
            self.walkers.phase.tolist(),
            strict=True,
        ):
            actor = self._actors[actor_id]
            place = actor.transform
            place.x, place.y, place.z, place.yaw = x, y, z, float(np.degrees(yaw))
            actor.velocity[:2] = v * float(np.cos(yaw)), v * float(np.sin(yaw))
            actor.template = templates().walkers[blueprint_library.WALKERS[actor.blueprint.id]] + phase
