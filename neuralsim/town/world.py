"""The simulated world: a town with its actors, its clock and its cameras. It knows no sockets and no wire format."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from bridge.jitter import Jitter
from bridge.weather import FAIR_WEATHER, needs_headlamps
from neuralsim.town.assets.templates import templates
from neuralsim.town.core import blueprint_library
from neuralsim.town.core.blueprint_library import CLEARS_LANE, CLEARS_PLACE
from neuralsim.town.core.sensor_blueprints import ColourPlane
from neuralsim.town.core.types import Actor, Blueprint, Transform
from neuralsim.town.dynamics.actor_registry import ActorRegistry
from neuralsim.town.dynamics.background_actors import BackgroundActors
from neuralsim.town.dynamics.client_walkers import ClientWalkers
from neuralsim.town.dynamics.driven_vehicles import CollisionEvent, DrivenVehicles, Patch
from neuralsim.town.dynamics.sensor_mounts import Mounts, assign
from neuralsim.town.dynamics.traffic_lights import TrafficLights, sign_actors, spawn_traffic_lights
from neuralsim.town.dynamics.vehicle_dynamics import SPECS, VehicleState
from neuralsim.town.raycasting.rays import Rays
from neuralsim.town.render.actor_poses import Poses
from neuralsim.town.render.cameras import Cameras
from neuralsim.town.render.dented_bodies import DentedBodies
from neuralsim.town.render.raster import Planes
from neuralsim.town.render.scene import Placements, Scene
from neuralsim.town.render.view_cache import Instant, ViewCache
from neuralsim.town.render.wide_angle import Face
from neuralsim.town.scenery.site import Prop
from neuralsim.town.static_town import load_static_town

BLOCKED = "Spawn failed because of collision at spawn position"  # CARLA's own message, which its programs look for
TAKE_OFF = 0.5  # m/s, upward speed from which on a vehicle leaves the ground
MAX_STEP = 0.1  # s, longest step of the simulation


class World:
    """A town with its traffic. The same arguments and sequence of calls give the same state and planes, bit for bit."""

    def __init__(
        self,
        town: str = "oldtown",
        seed: int = 0,
        vehicles: int = 20,
        walkers: int = 12,
        traffic: int | None = None,
        damage: bool = False,
    ) -> None:
        """Build a world.

        Args:
            town: Name of a town, or path of an OpenDRIVE map.
            seed: Seed of the scenery and, unless ``traffic`` is given, of the background actors.
            vehicles: Number of background vehicles.
            walkers: Number of background pedestrians.
            traffic: Seed of the background actors.
            damage: Whether collisions leave dents in bodies, break lamps and glass, and weaken driven vehicles.

        Raises:
            ValueError: The town is unknown, or the file is not a drivable OpenDRIVE map.
        """
        self.seed, self.static_town = seed, load_static_town(town, seed)
        self._whole_town = self.static_town  # with the props that clients hide
        self._hidden: set[int] = set()
        self.name, self.opendrive = self.static_town.name, self.static_town.opendrive
        self.network, self.ground = self.static_town.network, self.static_town.ground
        self.map = self.network.map
        self.frame, self.time, self.delta = 0, 0.0, 0.0
        self.weather = dict(FAIR_WEATHER)
        self._blueprints = blueprint_library.blueprints(list(templates().vehicles))
        self._rng = np.random.default_rng([seed if traffic is None else traffic, 1])
        self._steps = 0  # parts of ticks so far
        self._events: list[CollisionEvent] = []  # of the last tick
        self._arrivals: list[tuple[float, float, float]] | None = None  # during `together`: x, y, half length (m)
        self._views = ViewCache(self.static_town.scene, self.static_town.placements, lambda: self.static_town.backdrops)
        self._registry = ActorRegistry(self._views.changed)
        self.actors = self._registry.actors
        self._mounts = Mounts(self.actors)
        self._driven = DrivenVehicles(self.actors, self.ground, self.static_town.solid)
        self._drives = self._driven.drives
        self._dented: DentedBodies | None = None  # from the first dent on: a copy of the scene
        if damage:
            self._driven.damages = {}
        self._client_walkers = ClientWalkers(self.actors, self.ground, self._driven.no_physics, self._driven.no_gravity)
        self._cameras = Cameras(self.actors, self._mounts, self._drives, self._views, lambda: self.weather)
        self.spectator = self._registry.add(blueprint_library.SPECTATOR, {}, self._overview())
        self.signs = sign_actors(self.network, self.static_town.signs)  # by id; they never change
        self.light_of = spawn_traffic_lights(self.network, self.ground, self._registry)  # by actor id
        self.lights = TrafficLights(self.network, list(self.light_of.values()), self._rng)
        self.background_actors = BackgroundActors(
            self.network, self.ground, self._blueprints, self._registry, self._rng, vehicles, walkers
        )
        self.traffic, self.walkers = self.background_actors.traffic, self.background_actors.walkers
        self._refresh()
        self._views.remember(self._cameras.poses())

    @property
    def props(self) -> list[Prop]:
        """Parked cars, trees and furniture."""
        return self.static_town.props

    # Actors -------------------------------------------------------------------------------------------------------

    def blueprints(self) -> list[Blueprint]:
        """Return all blueprints that can be spawned."""
        return list(self._blueprints.values())

    def spawn_points(self, close: bool = False) -> list[Transform]:
        """Return poses in driving lanes outside junctions with room for any vehicle, the same in each world of a town.

        They are more than 8 m apart, or, if ``close``, as near to each other as in CARLA's maps, with room for cars.
        """
        return self.static_town.close_spawn_points if close else self.static_town.spawn_points

    def spawn(
        self, blueprint_id: str, attributes: dict[str, str], transform: Transform, parent: int = 0, arm: bool = False
    ) -> Actor:
        """Create an actor. Traffic makes way for a new vehicle.

        Args:
            blueprint_id: Id of a blueprint of the library.
            attributes: Overrides of its default attributes.
            transform: Pose (metres, degrees), relative to the parent if there is one.
            parent: Id of the actor that it is attached to, 0 = none.
            arm: Whether it is attached by a spring arm.

        Raises:
            ValueError: The blueprint or the parent is unknown, or something solid is there.
        """
        blueprint = self._blueprints.get(blueprint_id)
        if blueprint is None:
            raise ValueError(f"unknown blueprint {blueprint_id!r}: see the blueprint library")
        if parent and parent not in self.actors:
            raise ValueError(f"cannot attach to actor {parent}: no actor has this id")
        values = {attribute.id: attribute.value for attribute in blueprint.attributes} | attributes
        if blueprint_id.startswith("vehicle."):
            return self._spawn_vehicle(blueprint, values, transform)
        if blueprint_id.startswith("walker."):
            return self._spawn_walker(blueprint, values, transform)
        mesh = blueprint_library.mesh_name(blueprint_id) if blueprint_id in blueprint_library.PROPS else ""
        actor = self._registry.add(blueprint, values, transform, parent, mesh)
        if blueprint_id == blueprint_library.FRICTION:
            self._driven.patches[actor.id] = Patch.of(actor)
        self._mounts.add(actor, transform, arm)
        self._place_sensors()
        return actor

    def destroy(self, actor_id: int, with_attached: bool = True) -> bool:
        """Remove an actor; return whether there was one. Lights and the spectator stay.

        ``with_attached``: also what is attached to it, which else stays where it is.
        """
        actor = self.actors.get(actor_id)
        if actor is None or actor_id in self.light_of or actor is self.spectator:
            return False
        for child in [other for other in self.actors.values() if other.parent == actor_id]:
            if with_attached:
                self.destroy(child.id)
            else:
                self._mounts.detach(child)
        self.background_actors.release(actor_id)
        self._driven.remove(actor_id)
        self.repair(actor_id)
        self._client_walkers.remove(actor_id)
        self._mounts.remove(actor_id)
        del self.actors[actor_id]
        self._views.changed()
        return True

    def set_transform(self, actor_id: int, transform: Transform) -> None:
        """Teleport an actor. Raises ValueError for an unknown id."""
        actor = self._get(actor_id)
        drive = self.take_over(actor_id) if actor_id in self.background_actors.vehicles else self._drives.get(actor_id)
        if actor_id in self.background_actors.people:
            self.lead(actor_id)
        if actor_id in self._mounts:
            self._mounts.move(actor, transform)
        assign(actor.transform, transform)
        if drive is not None:
            drive.x, drive.y, drive.yaw = transform.x, transform.y, float(np.radians(transform.yaw))
            self._driven.add(actor_id, drive)
            self._arrive(actor)
        self._client_walkers.stop_falling(actor_id)
        self._mounts.turn(actor)
        self._place_sensors()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let traffic make way only once, at the end, for all vehicles spawned or teleported in this context."""
        self._arrivals = []
        try:
            yield
        finally:
            arrivals, self._arrivals = self._arrivals, None
            if arrivals:
                self._make_way(arrivals)

    def _arrive(self, actor: Actor) -> None:
        """Let traffic make way for a driven vehicle at a new position, at once or at the end of ``together``."""
        arrival = (actor.transform.x, actor.transform.y, actor.extent[0])
        if self._arrivals is None:
            self._make_way([arrival])
            if actor.attributes.get(CLEARS_LANE.id) == "true":
                self.background_actors.clear_lane(self._drives[actor.id])
                self._refresh()
        else:
            self._arrivals.append(arrival)

    def _make_way(self, arrivals: list[tuple[float, float, float]]) -> None:
        """Move background vehicles away from arrivals (x, y, half length, m), and gather them around the vehicles."""
        drives = list(self._drives.values())
        self.background_actors.make_way(arrivals, drives)
        self.background_actors.gather(drives, self._steps, at_once=True)
        self._refresh()

    def set_velocity(self, actor_id: int, velocity: np.ndarray | tuple[float, float, float]) -> None:
        """Give an actor a velocity (m/s, world). A driven vehicle keeps its angular velocity.

        Raises:
            ValueError: The id is unknown.
        """
        actor = self._get(actor_id)
        actor.velocity[:] = velocity
        drive = self._drives.get(actor_id)
        if drive is not None:
            drive.push(float(velocity[0]), float(velocity[1]))
            if drive.airborne or velocity[2] > TAKE_OFF:
                drive.airborne, drive.rise = True, float(velocity[2])

    @property
    def drives(self) -> dict[int, VehicleState]:
        """The states of the driven vehicles, by id."""
        return self._drives

    def drive_of(self, actor_id: int) -> VehicleState:
        """Return the state of a vehicle, which obeys its ``control`` now. Raises ValueError for other actors."""
        drive = self._drives.get(actor_id)
        return self.take_over(actor_id) if drive is None else drive

    def set_physics(self, actor_id: int, enabled: bool) -> None:
        """Set whether physics moves a vehicle, a walker or a prop; without, it stays where it is put."""
        actor = self._get(actor_id)
        (self._driven.no_physics.discard if enabled else self._driven.no_physics.add)(actor.id)
        if enabled and actor.blueprint.id in blueprint_library.PROPS:
            self._client_walkers.start_falling(actor.id)

    def friction_at(self, actor: Actor) -> float | None:
        """Return the ``tire_friction`` of the patch that an actor is in, None outside of all patches."""
        return self._driven.patch_at(actor)

    def set_gravity(self, actor_id: int, enabled: bool) -> None:
        """Set whether an actor falls."""
        (self._driven.no_gravity.discard if enabled else self._driven.no_gravity.add)(self._get(actor_id).id)

    def set_collisions(self, actor_id: int, enabled: bool) -> None:
        """Set whether an actor and driven vehicles collide."""
        (self._driven.no_collisions.discard if enabled else self._driven.no_collisions.add)(self._get(actor_id).id)

    def set_light(self, actor_id: int, state: str) -> None:
        """Set a traffic light to "red", "yellow" or "green". Raises ValueError for other states and other actors."""
        if actor_id not in self.light_of:
            raise ValueError(f"actor {actor_id} is not a traffic light")
        self.lights.set(self.light_of[actor_id], state)
        self.lights.show(self.actors)
        self._views.changed()

    def walk(self, actor_id: int, direction: tuple[float, float, float], speed: float, carried: bool = False) -> None:
        """Let a walker walk until the next call, at ``speed`` m/s.

        ``carried``: the client sets its position itself, so it only moves its legs. Raises ValueError for other actors.
        """
        actor = self._get(actor_id)
        if actor_id in self.background_actors.people:
            self.lead(actor_id)
        self._client_walkers.walk(actor, direction, speed, carried)

    # Time ---------------------------------------------------------------------------------------------------------

    def tick(self, delta: float) -> None:
        """Advance everything by ``delta`` seconds, in parts of ``MAX_STEP`` at most."""
        self._views.remember(self._cameras.poses(), self._driven.no_physics)
        parts = max(1, math.ceil(delta / MAX_STEP - 1e-9))
        self._events = []
        for _ in range(parts):
            self._step(delta / parts)
            self._steps += 1
            self._events += self._driven.events
            self._show_dents()
        self._driven.forget_controls()
        self.frame += 1
        self.time += delta
        self.delta = delta

    def _step(self, delta: float) -> None:
        self.lights.step(delta)
        self._driven.step(delta)
        self.background_actors.gather(list(self._drives.values()), self._steps)
        others = np.concatenate([self._driven.bodies, self._client_walkers.bodies])  # that background traffic avoids
        people = np.concatenate([others, self.walkers.on_road])
        self.traffic.step(delta, self.lights.state, people, self._rng, self.walkers.crossed)
        closed = self.traffic.table.closed_crosswalks(self.lights.state, len(self.walkers.crossed))
        self.walkers.step(delta, np.concatenate([others, self.traffic.bodies]), closed)
        self._client_walkers.step(delta)
        self._refresh(delta)

    def repair(self, actor_id: int) -> None:
        """Make a damaged vehicle whole again."""
        self._driven.repair(actor_id)
        if self._dented is not None and self._dented.template.pop(actor_id, None) is not None:
            self._views.changed()

    def _show_dents(self) -> None:
        """Show what the last step has dented: actors, and vehicles parked among the props."""
        if self._driven.damages is None or not self._driven.dented:
            return
        if self._dented is None:
            self._dented = self._views.let_bodies_be_dented()
        whole, book, props = len(templates().vehicles), templates().wheels, self.static_town.placements
        for key in sorted(self._driven.dented):
            dents = self._driven.damages[key].dents
            if key >= 0:
                template = self.actors[key].template
                if 0 <= template < whole:
                    self._dented.show(key, int(book.body[template]), dents)
                continue
            place = self._driven.solid.boxes[-1 - key, :2]
            for prop in np.flatnonzero(np.abs(props.pose[:, :2, 3] - place).max(axis=1) < 1e-6).tolist():
                if props.template[prop] < whole:
                    self._dented.show(-1 - prop, int(props.template[prop]), dents)
        self._views.set_props(props)

    def events(self) -> list[CollisionEvent]:
        """Return the collisions of the last tick."""
        return self._events

    def capture(self, camera_id: int, picture: ColourPlane = "", shift: Jitter | None = None) -> Planes:
        """Return what a camera sees now. Motion is relative to the previous tick.

        Cameras of equal size, field of view and pose share one view per tick. The planes are valid until the next tick.

        Args:
            camera_id: Id of a camera.
            picture: What ``Planes.rgb`` is. By default, an rgb camera gets its own image, at half the size with its
                attribute ``half_size``, and other cameras none.
            shift: Jitter of the image in pixels. None: that of this frame if the camera has the attribute ``jitter``.

        Raises:
            ValueError: The actor is not a camera.
        """
        return self.exposure(camera_id, picture, shift)()

    def exposure(
        self,
        camera_id: int,
        picture: ColourPlane = "",
        shift: Jitter | None = None,
        since: Instant | None = None,
        face: Face | None = None,
    ) -> Callable[[], Planes]:
        """Return a deferred ``capture`` of this moment, with the motion since another one (None: the previous tick).

        It may be called in any thread, one image at a time, until the next tick. ``face``: the view of a wide-angle
        camera, which has several.
        """
        return self._cameras.exposure(self._get(camera_id), picture, shift, self.frame, since, face)

    def instant(self) -> Instant:
        """Return this moment, for ``exposure`` in a later tick."""
        return self._cameras.instant()

    def shapes(self) -> tuple[Scene, Placements, Poses]:
        """Return what rays can hit: the scene, its props, and the poses of all actors now."""
        return self.static_town.scene, self.static_town.placements, self._cameras.poses()

    def rays(self) -> Rays:
        """Return the ray caster of the town. The first call builds its hierarchies. It needs no lock."""
        return self.static_town.rays

    # Internals -------------------------------------------------------------------------------------------------------

    def _get(self, actor_id: int) -> Actor:
        return self._registry.get(actor_id)

    def _overview(self) -> Transform:
        """Return the pose of the spectator: above the middle of the town."""
        middle = (self.ground.low + self.ground.high) / 2
        return Transform(float(middle[0]), float(middle[1]), 120.0, -60.0, 0.0, 0.0)

    def _spawn_vehicle(self, blueprint: Blueprint, values: dict[str, str], transform: Transform) -> Actor:
        """Create a driven vehicle. Raises ValueError if there is no room for it."""
        mesh = blueprint_library.mesh_name(blueprint.id)
        self._claim(values, transform, templates().extent(mesh)[0])
        if self._driven.is_blocked(
            transform, *templates().extent(mesh), {*self.background_actors.vehicles, *self.light_of}
        ):
            raise ValueError(BLOCKED)
        actor = self._registry.add(blueprint, values, transform, mesh=mesh)
        spec = SPECS[blueprint_library.BASE_TYPES.get(blueprint.id, "car")]
        yaw = float(np.radians(transform.yaw))
        self._driven.add(actor.id, VehicleState(spec, 2 * actor.extent[0], transform.x, transform.y, yaw))
        if values.get("sticky_control", "").lower() == "false":
            self._driven.one_tick_controls.add(actor.id)
        self._arrive(actor)
        return actor

    def _claim(self, values: dict[str, str], place: Transform, half: tuple[float, float, float]) -> None:
        """Clear the place of a new actor with the attribute ``clears_place``; ``half``: half its sizes, m."""
        if values.get(CLEARS_PLACE.id) != "true":
            return
        self._whole_town = self._whole_town.cleared(place, half[:2])
        self._update_props()

    @property
    def all_props(self) -> Placements:
        """The props, hidden ones too."""
        return self._whole_town.placements

    def show_props(self, instances: set[int], shown: bool) -> None:
        """Show or hide props: nobody sees hidden ones or collides with them."""
        hidden = self._hidden - instances if shown else self._hidden | instances
        if hidden != self._hidden:
            self._hidden = hidden
            self._update_props()

    def _update_props(self) -> None:
        self.static_town = self._whole_town.without(self._hidden)
        self._driven.solid = self.static_town.solid
        if self._dented is not None and self._driven.damages is not None:  # props get other numbers
            self._dented.template = {key: slot for key, slot in self._dented.template.items() if key >= 0}
            self._driven.damages = {key: damage for key, damage in self._driven.damages.items() if key >= 0}
        self._views.set_props(self.static_town.placements)

    def take_over(self, actor_id: int) -> VehicleState:
        """Detach a vehicle from the background traffic to obey its ``control``. Raises ValueError for other actors."""
        drive = self.background_actors.drive_of(actor_id)
        self._driven.add(actor_id, drive)
        self.background_actors.release(actor_id)
        return drive

    def lead(self, actor_id: int) -> None:
        """Detach a pedestrian from the background traffic: clients move it. Raises ValueError for other actors."""
        if actor_id not in self.background_actors.people:
            raise ValueError(f"actor {actor_id} is not a background pedestrian")
        self.background_actors.release(actor_id)
        self._client_walkers.add(actor_id)

    def _spawn_walker(self, blueprint: Blueprint, values: dict[str, str], transform: Transform) -> Actor:
        self._claim(values, transform, (0.25, 0.25, 1.0))
        if self._driven.solid.hit(transform.x, transform.y, 0.0, 0.25, 0.25, transform.z)[0] >= 0:
            raise ValueError(BLOCKED)
        mesh = f"{blueprint_library.WALKERS[blueprint.id]} 0"
        actor = self._registry.add(blueprint, values, transform, mesh=mesh)
        self._client_walkers.add(actor.id)
        return actor

    def _refresh(self, delta: float = 0.0) -> None:
        """Write the new state into the actors, then into those attached to them."""
        self.background_actors.show(delta, needs_headlamps(self.weather))
        self._client_walkers.animate()
        self.lights.show(self.actors)
        self._mounts.swing(delta)
        self._place_sensors()

    def _place_sensors(self) -> None:
        self._mounts.place()
        self._views.changed()
