"""The simulated town: actors in, ticks, pictures out. It knows nothing of sockets or CARLA's wire."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from bridge import jitter
from bridge.jitter import Jitter
from neuralsim.town.assets.people_meshes import KINDS, PHASES
from neuralsim.town.assets.prop_meshes import traffic_light_bulbs
from neuralsim.town.assets.templates import ARM, templates
from neuralsim.town.core import blueprint_library
from neuralsim.town.core.sensor_blueprints import Picture, picture_of
from neuralsim.town.core.types import Actor, Blueprint, Transform, matrices_of
from neuralsim.town.dynamics.background_actors import BackgroundActors
from neuralsim.town.dynamics.driven_vehicles import SUNK, CollisionEvent, DrivenVehicles, Patch
from neuralsim.town.dynamics.sensor_mounts import Mounts, assign
from neuralsim.town.dynamics.traffic_lights import TrafficLight, TrafficLights, sign_actors, trigger_of
from neuralsim.town.dynamics.vehicle_dynamics import GRAVITY, SPECS, VehicleState, overlap
from neuralsim.town.dynamics.walkers import STRIDE
from neuralsim.town.ground.blocks import KERB
from neuralsim.town.raycasting.rays import Rays
from neuralsim.town.render.actor_poses import Poses
from neuralsim.town.render.daylight import DEFAULT_WEATHER, Atmosphere
from neuralsim.town.render.raster import Planes
from neuralsim.town.render.scene import Placements, Scene
from neuralsim.town.render.view_cache import ViewCache, ViewKey
from neuralsim.town.static_town import land_of

BLOCKED = "Spawn failed because of collision at spawn position"  # in CARLA's words: its programs look for them
NEAR = 20.0  # m, boxes of actors further apart do not touch
STEP = 0.4  # m that people on foot step up or down
FASTEST = 40.96  # m/s, of a walker that a client leads: CARLA's own limit (CarlaWalkerController.h)
TAKE_OFF = 0.5  # m/s upwards that lift a vehicle off the ground
MAX_STEP = 0.1  # s, longest step of the traffic's decisions


class World:
    """A town with its traffic. The same arguments and sequence of calls give the same state and planes, bit for bit.
    ``seed``: of the scenery and, unless ``traffic`` is given, of what moves.

    Raises:
        ValueError: unknown town, or a file that is no drivable OpenDRIVE map.
    """

    def __init__(
        self, town: str = "oldtown", seed: int = 0, vehicles: int = 20, walkers: int = 12, traffic: int | None = None
    ) -> None:
        self.seed, self.land = seed, land_of(town, seed)
        self.name, self.opendrive = self.land.name, self.land.opendrive
        self.network, self.ground, self.props = self.land.network, self.land.ground, self.land.kinds
        self.map = self.network.map
        self.frame, self.time, self.delta = 0, 0.0, 0.0
        self.weather = dict(DEFAULT_WEATHER)
        self.actors: dict[int, Actor] = {}
        self.light_of: dict[int, TrafficLight] = {}  # by actor id
        self._blueprints = blueprint_library.blueprints(list(templates().vehicles))
        self._rng = np.random.default_rng([seed if traffic is None else traffic, 1])
        self._next_id, self._steps = 1, 0  # the next actor's id; parts of ticks so far
        self._strides: dict[int, float] = {}  # metres walked by walkers that a client moves
        self._carried: set[int] = set()  # those of them that the client itself puts where they are
        self._falls: dict[int, float] = {}  # m/s upwards of walkers and props in the air
        self._events: list[CollisionEvent] = []  # of the last tick
        self._mounts = Mounts(self.actors)
        self._arrivals: list[tuple[float, float, float]] | None = None  # who came during `together`: place, half length
        self._solid = self.land.solid
        self._driven = DrivenVehicles(self.actors, self.ground, self._solid)
        self._drives = self._driven.drives
        self._stage = ViewCache(self.land.scene, self.land.props, lambda: self.land.backdrops)
        self.spectator = self._add(blueprint_library.SPECTATOR, {}, self._overview())
        self.signs = sign_actors(self.network, self.land.signs)  # by id; nothing about them ever changes
        self.lights = TrafficLights(self.network, self._make_lights(), self._rng)
        self.residents = BackgroundActors(
            self.network, self.ground, self._blueprints, self.actors, self._resident, self._rng, vehicles, walkers
        )
        self.traffic, self.walkers = self.residents.traffic, self.residents.walkers
        self._refresh()
        self._stage.remember(self._poses())

    # Actors -------------------------------------------------------------------------------------------------------

    def blueprints(self) -> list[Blueprint]:
        """All blueprints that can be spawned."""
        return list(self._blueprints.values())

    def spawn_points(self) -> list[Transform]:
        """Poses in driving lanes outside junctions, more than 8 m apart, the same for every world of this town: every
        vehicle has room there."""
        return self.land.spawn_points

    def spawn(
        self, blueprint_id: str, attributes: dict[str, str], transform: Transform, parent: int = 0, arm: bool = False
    ) -> Actor:
        """A new actor; with a ``parent``, ``transform`` is relative to it, and ``arm`` holds it with a spring arm.

        Traffic makes way for driven vehicles.

        Raises:
            ValueError: unknown blueprint or parent, or something solid is there.

        ``blueprint_id``: from the library; ``attributes``: overrides of its defaults; ``transform``: metres, degrees.
        """
        blueprint = self._blueprints.get(blueprint_id)
        if blueprint is None:
            raise ValueError(f"unknown blueprint {blueprint_id!r}: ask the blueprint library for those there are")
        if parent and parent not in self.actors:
            raise ValueError(f"cannot attach to actor {parent}: there is none with this id")
        values = {attribute.id: attribute.value for attribute in blueprint.attributes} | attributes
        if blueprint_id.startswith("vehicle."):
            return self._spawn_vehicle(blueprint, values, transform)
        if blueprint_id.startswith("walker."):
            return self._spawn_walker(blueprint, values, transform)
        actor = self._add(blueprint, values, transform, parent)
        if blueprint_id in blueprint_library.PROPS:
            self._shaped(actor, blueprint_library.body(blueprint_id))
        if blueprint_id == blueprint_library.FRICTION:
            self._driven.patches[actor.id] = Patch.of(actor)
        self._mounts.add(actor, transform, arm)
        self._place_sensors()
        return actor

    def destroy(self, actor_id: int) -> bool:
        """Remove an actor and what is attached to it; False when there is none. Lights and the spectator stay."""
        actor = self.actors.get(actor_id)
        if actor is None or actor_id in self.light_of or actor is self.spectator:
            return False
        for child in [other.id for other in self.actors.values() if other.parent == actor_id]:
            self.destroy(child)
        self.residents.release(actor_id)
        self._driven.remove(actor_id)
        self._strides.pop(actor_id, None)
        self._carried.discard(actor_id)
        self._falls.pop(actor_id, None)
        self._mounts.remove(actor_id)
        del self.actors[actor_id]
        self._stage.changed()
        return True

    def set_transform(self, actor_id: int, transform: Transform) -> None:
        """Put an actor somewhere else at once. Raises ValueError for an unknown id."""
        actor = self._get(actor_id)
        drive = self.take_over(actor_id) if actor_id in self.residents.vehicles else self._drives.get(actor_id)
        if actor_id in self.residents.people:
            self.lead(actor_id)
        if actor_id in self._mounts:
            self._mounts.move(actor, transform)
        assign(actor.transform, transform)
        if drive is not None:
            drive.x, drive.y, drive.yaw = transform.x, transform.y, float(np.radians(transform.yaw))
            self._driven.add(actor_id, drive)
            self._arrive(actor)
        self._falls.pop(actor_id, None)
        self._mounts.turn(actor)
        self._place_sensors()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Many actors come or are put somewhere in here: the town makes way for all of them at once, at its end."""
        self._arrivals = []
        try:
            yield
        finally:
            arrivals, self._arrivals = self._arrivals, None
            if arrivals:
                self._make_way(arrivals)

    def _arrive(self, actor: Actor) -> None:
        """A driven vehicle is at a new place."""
        arrival = (actor.transform.x, actor.transform.y, actor.extent[0])
        if self._arrivals is None:
            self._make_way([arrival])
        else:
            self._arrivals.append(arrival)

    def _make_way(self, arrivals: list[tuple[float, float, float]]) -> None:
        drives = list(self._drives.values())
        self.residents.make_way(arrivals, drives)
        self.residents.gather(drives, self._steps, at_once=True)
        self._refresh()

    def set_velocity(self, actor_id: int, velocity: np.ndarray | tuple[float, float, float]) -> None:
        """Give an actor a velocity (m/s, world); a driven vehicle goes on turning as it did. Raises ValueError for an
        unknown id."""
        actor = self._get(actor_id)
        actor.velocity[:] = velocity
        drive = self._drives.get(actor_id)
        if drive is not None:
            drive.push(float(velocity[0]), float(velocity[1]))
            if drive.airborne or velocity[2] > TAKE_OFF:
                drive.airborne, drive.rise = True, float(velocity[2])

    @property
    def drives(self) -> dict[int, VehicleState]:
        """The state of the driven vehicles, by id."""
        return self._drives

    def drive_of(self, actor_id: int) -> VehicleState:
        """The moving state of a vehicle, which obeys its ``control`` from now on if it did not before.

        Raises ValueError for other actors.
        """
        drive = self._drives.get(actor_id)
        return self.take_over(actor_id) if drive is None else drive

    def set_physics(self, actor_id: int, enabled: bool) -> None:
        """Whether a vehicle moves by its control and the ground, a walker by its own and a prop by gravity, or each
        stays where it is put."""
        actor = self._get(actor_id)
        (self._driven.held.discard if enabled else self._driven.held.add)(actor.id)
        if enabled and actor.blueprint.id in blueprint_library.PROPS:
            self._falls.setdefault(actor.id, 0.0)

    def friction_at(self, actor: Actor) -> float | None:
        """``tire_friction`` where an actor is, None where tyres hold as they do everywhere."""
        return self._driven.patch_at(actor)

    def set_gravity(self, actor_id: int, enabled: bool) -> None:
        """Whether an actor falls."""
        (self._driven.weightless.discard if enabled else self._driven.weightless.add)(self._get(actor_id).id)

    def set_collisions(self, actor_id: int, enabled: bool) -> None:
        """Whether an actor and driven vehicles collide."""
        (self._driven.ghosts.discard if enabled else self._driven.ghosts.add)(self._get(actor_id).id)

    def set_light(self, actor_id: int, state: str) -> None:
        """Set a traffic light to "red", "yellow" or "green". Raises ValueError for other states and other actors."""
        if actor_id not in self.light_of:
            raise ValueError(f"actor {actor_id} is not a traffic light")
        self.lights.set(self.light_of[actor_id], state)
        self._show_lights()

    def walk(self, actor_id: int, direction: tuple[float, float, float], speed: float, carried: bool = False) -> None:
        """Let a walker go until the next call, ``speed`` in m/s; whom a client carries only moves its legs."""
        actor = self._get(actor_id)
        if actor_id in self.residents.people:
            self.lead(actor_id)
        if actor_id not in self._strides:
            raise ValueError(f"actor {actor_id} is not a walker")
        (self._carried.add if carried else self._carried.discard)(actor_id)
        size = max(float(np.linalg.norm(direction)), 1e-6)
        actor.velocity[:] = np.array(direction) / size * float(np.clip(speed, 0.0, FASTEST)) * (size > 1e-3)

    # Time ---------------------------------------------------------------------------------------------------------

    def tick(self, delta: float) -> None:
        """One step of ``delta`` seconds of everything there is; a long one is taken in parts of ``LONGEST`` at most."""
        self._stage.remember(self._poses(), self._driven.held)
        parts = max(1, math.ceil(delta / MAX_STEP - 1e-9))
        self._events = []
        for _ in range(parts):
            self._step(delta / parts)
            self._steps += 1
            self._events += self._driven.events
        self._driven.forget_controls()
        self.frame += 1
        self.time += delta
        self.delta = delta

    def _step(self, delta: float) -> None:
        self.lights.step(delta)
        self._driven.step(delta)
        self.residents.gather(list(self._drives.values()), self._steps)
        others = self._bodies()
        people = np.concatenate([others, self.walkers.on_road])
        self.traffic.step(delta, self.lights.state, people, self._rng, self.walkers.crossed)
        closed = self.traffic.table.closed_crosswalks(self.lights.state, len(self.walkers.crossed))
        self.walkers.step(delta, np.concatenate([others, self.traffic.bodies]), closed)
        for actor_id, walked in self._strides.items():
            actor = self.actors[actor_id]
            speed = float(np.hypot(actor.velocity[0], actor.velocity[1]))
            self._strides[actor_id] = walked + speed * delta
            if actor_id in self._carried:
                continue
            actor.transform.x += float(actor.velocity[0]) * delta
            actor.transform.y += float(actor.velocity[1]) * delta
            if actor_id not in self._driven.held:
                self._settle(actor, delta, STEP)
            if speed > 0.1:
                actor.transform.yaw = float(np.degrees(np.arctan2(actor.velocity[1], actor.velocity[0])))
        for actor_id in [ident for ident in self._falls if ident not in self._strides]:
            if actor_id not in self._driven.held:
                self._settle(self.actors[actor_id], delta, 0.0)
        self._refresh(delta)

    def _settle(self, actor: Actor, delta: float, step: float) -> None:
        """Height of a pedestrian or of a falling prop; ``step``: metres that it goes up or down by itself."""
        place = actor.transform
        level = self.ground.level(place.x, place.y, place.z)
        above, speed = place.z - level, self._falls.get(actor.id, 0.0)
        if actor.id in self._driven.weightless:
            return
        if -SUNK < above <= step and speed <= 0.0:
            place.z = level
            self._falls.pop(actor.id, None)
        else:
            self._falls[actor.id] = speed = speed - GRAVITY * delta
            place.z += speed * delta
            if above > 0.0 and place.z <= level:
                place.z = level
                self._falls.pop(actor.id, None)
        actor.velocity[2] = self._falls.get(actor.id, 0.0)

    def events(self) -> list[CollisionEvent]:
        """Collisions of the last tick."""
        return self._events

    def capture(self, camera_id: int, picture: Picture = "", shift: Jitter | None = None) -> Planes:
        """What a camera sees now; motion is towards the previous tick.

        Cameras of equal size, field of view and pose share one view per tick. ``Planes.rgb`` is the ``picture``, by
        default that of the camera: an rgb camera's own, at half the size by its attribute ``half_size``, and none of
        others. ``shift``: of the picture by parts of a pixel; None: the camera's own, by its attribute ``jitter`` and
        the number of this frame. Planes are valid until the next tick. Raises ValueError for other actors.
        """
        return self.exposure(camera_id, picture, shift)()

    def exposure(self, camera_id: int, picture: Picture = "", shift: Jitter | None = None) -> Callable[[], Planes]:
        """``capture`` for later: what is returned draws this moment, in any thread, one picture at a time, until the
        next tick."""
        actor = self._get(camera_id)
        view = self._view(actor)
        if view is None:
            raise ValueError(f"actor {camera_id} is not a camera")
        wanted = picture or picture_of(actor)
        if shift is not None:
            view = (*view[:4], shift)
        lit = any(picture_of(other) and self._view(other) == view for other in self.actors.values())
        hide = 0
        if actor.parent:  # a car is not seen from its own seat or bonnet, but from a camera that follows it
            hide = 0 if self._mounts.follows(actor) else actor.parent
        return self._stage.exposure(self._poses(), camera_id, view, Atmosphere.of(self.weather), hide, lit, wanted)

    def shapes(self) -> tuple[Scene, Placements, Poses]:
        """What rays can meet: the scene, its props, and where all actors are now."""
        return self.land.scene, self.land.props, self._poses()

    def rays(self) -> Rays:
        """What casts rays at the town; the first time its trees are built. It needs no lock."""
        return self.land.rays

    # Inside -------------------------------------------------------------------------------------------------------

    def _get(self, actor_id: int) -> Actor:
        if actor_id not in self.actors:
            raise ValueError(f"there is no actor {actor_id}: it was destroyed or never spawned")
        return self.actors[actor_id]

    def _add(self, blueprint: Blueprint, attributes: dict[str, str], transform: Transform, parent: int = 0) -> Actor:
        actor = Actor(self._next_id, blueprint, attributes, replace(transform), parent=parent)
        self._next_id += 1
        self.actors[actor.id] = actor
        self._stage.changed()
        return actor

    def _shaped(self, actor: Actor, template: str) -> Actor:
        actor.template = templates().index[template]
        actor.extent, actor.box_offset = templates().extent(template)
        return actor

    def _resident(self, blueprint: Blueprint, attributes: dict[str, str], template: str) -> Actor:
        return self._shaped(self._add(blueprint, attributes, Transform()), template)

    def _overview(self) -> Transform:
        middle = (self.ground.low + self.ground.high) / 2
        return Transform(float(middle[0]), float(middle[1]), 120.0, -60.0, 0.0, 0.0)

    def _make_lights(self) -> list[TrafficLight]:
        lights = []
        for signal in self.network.signals:
            arm = ARM if len(signal.lanes) > 1 else 0.0
            x, y, z = signal.position.tolist()
            pose = Transform(x, y, z + (0.0 if self.ground.asphalt(x, y) else KERB), 0.0, signal.yaw + 180.0)
            actor = self._shaped(self._add(blueprint_library.TRAFFIC_LIGHT, {}, pose), f"light {arm:g} red")
            if signal.lanes:
                actor.trigger = trigger_of(self.network, signal, pose)
            matrix = pose.matrix()
            bulbs = {
                state: np.array(places) @ matrix[:3, :3].T + matrix[:3, 3]
                for state, places in traffic_light_bulbs(arm).items()
            }
            lights.append(
                TrafficLight(actor.id, signal.id, signal.group, signal.cycle, signal.lanes, signal.stop, bulbs)
            )
            self.light_of[actor.id] = lights[-1]
        return lights

    def _spawn_vehicle(self, blueprint: Blueprint, values: dict[str, str], transform: Transform) -> Actor:
        half, middle = templates().extent(blueprint_library.body(blueprint.id))
        x, y, yaw = transform.x, transform.y, float(np.radians(transform.yaw))
        if self._solid.hit(x, y, yaw, half[0], half[1], transform.z)[0] >= 0:
            raise ValueError(BLOCKED)
        for other in self.actors.values():
            place = other.transform
            if abs(place.x - x) > NEAR or abs(place.y - y) > NEAR or other.template < 0:
                continue
            if other.id in self.residents.vehicles or other.id in self.light_of:
                continue
            apart = abs((place.z + other.box_offset[2]) - (transform.z + middle[2]))
            if apart >= half[2] + other.extent[2]:
                continue
            depth, _, _ = overlap(
                x, y, yaw, half[0], half[1],
                place.x, place.y, np.radians(place.yaw), other.extent[0], other.extent[1],
            )  # fmt: skip
            if depth > 0.0:
                raise ValueError(BLOCKED)
        actor = self._shaped(self._add(blueprint, values, transform), blueprint_library.body(blueprint.id))
        spec = SPECS[blueprint_library.BASE_TYPES.get(blueprint.id, "car")]
        self._driven.add(actor.id, VehicleState(spec, 2 * half[0], x, y, yaw))
        if values.get("sticky_control", "").lower() == "false":
            self._driven.fleeting.add(actor.id)
        self._arrive(actor)
        return actor

    def take_over(self, actor_id: int) -> VehicleState:
        """Detach a vehicle from the background traffic, to follow its ``control``. Raises ValueError for others."""
        drive = self.residents.drive_of(actor_id)
        self._driven.add(actor_id, drive)
        self.residents.release(actor_id)
        return drive

    def lead(self, actor_id: int) -> None:
        """Detach a pedestrian from the background traffic, to be controlled. Raises ValueError for other actors."""
        if actor_id not in self.residents.people:
            raise ValueError(f"actor {actor_id} is not a walker of the town's own")
        self.residents.release(actor_id)
        self._strides[actor_id] = 0.0

    def _spawn_walker(self, blueprint: Blueprint, values: dict[str, str], transform: Transform) -> Actor:
        if self._solid.hit(transform.x, transform.y, 0.0, 0.25, 0.25, transform.z)[0] >= 0:
            raise ValueError(BLOCKED)
        actor = self._shaped(self._add(blueprint, values, transform), f"{blueprint_library.WALKERS[blueprint.id]} 0")
        self._strides[actor.id] = 0.0
        return actor

    def _bodies(self) -> np.ndarray:
        """What the town's traffic must heed besides itself: f64 (B, 7) as in ``lanes.look_ahead``."""
        rows = []
        for actor_id in (*self._drives, *self._strides):
            actor = self.actors[actor_id]
            drive = self._drives.get(actor_id)
            yaw = drive.yaw if drive else float(np.radians(actor.transform.yaw))
            speed = drive.speed if drive else float(np.hypot(actor.velocity[0], actor.velocity[1]))
            place = actor.transform
            rows.append((place.x, place.y, yaw, actor.extent[0], actor.extent[1], speed, place.z))
        return np.array(rows, np.float64).reshape(-1, 7)

    def _refresh(self, delta: float = 0.0) -> None:
        """Write what moves by itself back into its actors, then what is attached to anything."""
        self.residents.show(delta, self._dark())
        for actor_id, walked in self._strides.items():
            actor = self.actors[actor_id]
            kind = blueprint_library.WALKERS[actor.blueprint.id]
            moving = float(np.hypot(actor.velocity[0], actor.velocity[1])) > 0.1
            phase = int(walked / (STRIDE * KINDS[kind].scale) * PHASES) % PHASES if moving else 0
            actor.template = templates().walkers[kind] + phase
        self._show_lights()
        self._mounts.swing(delta)
        self._place_sensors()

    def _dark(self) -> bool:
        """Whether vehicles drive with their lamps on: in the dusk, in fog, in heavy rain."""
        sky = self.weather
        return sky["sun_altitude_angle"] < 4.0 or sky["fog_density"] > 35.0 or sky["precipitation"] > 55.0

    def _show_lights(self) -> None:
        for light in self.lights.all:
            actor = self.actors[light.actor]
            actor.traffic_light_state = light.state
            arm = ARM if len(light.lanes) > 1 else 0.0
            actor.template = templates().index[f"light {arm:g} {light.state}"]
        self._stage.changed()

    def _place_sensors(self) -> None:
        self._mounts.place()
        self._stage.changed()

    def _poses(self) -> Poses:
        """Poses of all actors now."""
        if self._stage.fresh is None:
            actors = list(self.actors.values())
            matrices = matrices_of([actor.transform for actor in actors])
            self._mounts.poses(actors, matrices)
            steer = {ident: drive.steer for ident, drive in self._drives.items()}
            self._stage.fresh = Poses.of(actors, matrices, steer)
        return self._stage.fresh

    def _view(self, actor: Actor) -> ViewKey | None:
        if not actor.blueprint.id.startswith("sensor.camera."):
            return None
        values = actor.attributes
        size = int(values["image_size_x"]), int(values["image_size_y"])
        shift = jitter.of_frame(self.frame) if values.get("jitter") == "true" else jitter.NONE
        return (*size, float(values["fov"]), self._mounts.pose(actor).tobytes(), shift)
