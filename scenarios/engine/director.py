"""The scenario director: called before and after each tick in the bridge's process; uses the official client only.

All actors are spawned before the cameras warm up, in the order of the file, so that they have the same ids every time;
scenario time begins with the first frame. Decisions depend on the snapshot of the previous tick and on seeded
generators only: the same file on the same server always plays the same.
"""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import hypot, radians
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from bridge.carla_client.camera_rig import RigSpec, set_sensor_role
from bridge.carla_client.routing.autopilot import Halt
from bridge.carla_client.routing.route_planner import RoutePoint, route_ahead
from bridge.carla_client.surroundings import Surroundings
from bridge.carla_client.weather import preset_weather
from bridge.carla_library import carla
from scenarios.engine.assertion_monitor import AssertionMonitor
from scenarios.engine.lights import LightSwitch, Signals
from scenarios.engine.loader import LoadedScenario, ScenarioError
from scenarios.engine.rigs import load_with_rig
from scenarios.engine.road import LaneInvasionDetector, PlaceFinder
from scenarios.engine.routes import RouteResolver
from scenarios.engine.script import Script
from scenarios.engine.snapshot import STANDING, ActorState, CollisionRecord, Invasion, Snapshot, gap, holds
from scenarios.engine.vehicle_driver import VehicleDriver, road_user
from scenarios.engine.walker_driver import PropDriver, WalkerDriver
from scenarios.language.conditions import EGO, Astray, At
from scenarios.language.schema import ActorSpec, CameraSpec, Change, EgoSpec, Spawn, WeatherSpec

LIFT = {"vehicle": 0.3, "walker": 1.0, "static": 0.0}  # m above the road at which actors are spawned
SPAWN_HEIGHT = 30.0  # m above the road, per actor that is spawned in the air
ROAD_END = 2.0  # m from the front of a vehicle to the end of its road, within which it has reached the end
MAX_HEIGHT_DIFFERENCE = 2.5  # m between actors that may collide
CONTACT_TIMEOUT = 0.5  # s within which another contact with the same actor is still the same collision


class Director:
    """Plays a scenario file once. Raises ``ScenarioError``."""

    drives_ego = True

    def __init__(self, path: str | Path, rig: Path | None = None) -> None:
        """``rig``: a file with cameras in place of the scenario's. Raises ``ScenarioError``."""
        self.loaded: LoadedScenario = load_with_rig(path, rig)
        self.scenario = self.loaded.scenario
        self.actors: list[Any] = []  # all spawned actors except the ego
        self.over = False
        self._drivers: dict[str, VehicleDriver] = {}
        self._walkers: dict[str, WalkerDriver] = {}
        self._props: list[PropDriver] = []
        self._changes: list[Change] = list(self.scenario.changes)  # of the weather, still to come
        self._monitors = [AssertionMonitor(assertion) for assertion in self.scenario.asserts]
        self._sensors: list[Any] = []
        self._collision_events: list[tuple[int, str, int, str]] = []  # (tick, name, other's id, other's blueprint)
        self._event_lock = threading.Lock()
        self._collisions: list[CollisionRecord] = []
        self._last_contact: dict[tuple[str, int], float] = {}
        self._names: dict[int, str] = {}
        self._on_rails: list[str] = []
        #: Whether actors may be spawned inside others, since actors on rails pass through them.
        self._may_overlap = self.scenario.ego.rails or any(actor.rails for actor in self.scenario.actors)
        self._overlapping: set[tuple[str, str]] = set()  # pairs of an actor on rails and another one
        self._watched_for_road = set(_actors_watched_for_road(self.scenario, EGO))
        self._ids: dict[str, int] = {}
        self._half: dict[str, tuple[float, float]] = {}
        self._now: Snapshot | None = None
        self._zero = 0.0  # simulated time at the beginning, s
        self._ended = ""
        self._ceased: set[int] = set()  # ends whose conditions have been false at least once
        self._ending: dict[int, float] = {}  # ends whose conditions have held, and when they take effect, s
        self._steps: dict[str, str] = {}  # named steps that have begun: "begun" or "done"
        self._invasions: list[Invasion] = []
        self._reported = (0, 0)  # numbers of collisions and invasions in earlier reports
        self._handed_over = False
        self._last_route: tuple[float, float] | None = None  # progress and length of the ego's last route, m

    def settings(self) -> dict[str, Any]:
        """Return the fields of ``bridge.carla_client.ego_bridge.BridgeSettings`` that the scenario sets."""
        scenario = self.scenario
        first = scenario.camera
        return {
            "size": first.size,
            "fov": first.fov,
            "fps": scenario.fps,
            "seed": scenario.seed,
            "scenario": self.loaded.id,
            "mount": _mount(first),
            "more_cameras": {c.name: RigSpec(c.size, c.fov, _mount(c)) for c in scenario.cameras},
        }

    # Called by the bridge, in this order

    def spawn(self, world: carla.World, town: carla.Map) -> Any:
        """Set the weather and spawn all actors; return the ego."""
        self._map = town
        self._places = PlaceFinder(town, self.loaded)
        self._lanes = LaneInvasionDetector(town)
        scenario = self.scenario
        self._set_weather(world, scenario.weather)
        library = world.get_blueprint_library()
        start = self._places.find(scenario.ego.spawn, "ego", "spawn")
        self._places.begin_at(start)
        self._signals = Signals(world, town)
        resolver = self._resolver = RouteResolver(town, self._places, self._signals, self.loaded)
        self._world = world
        resolver.check()
        self._lights = [
            LightSwitch(world, self._signals, self.loaded, self._places, light, k)
            for k, light in enumerate(scenario.lights)
        ]
        ego = self._spawn_one(world, library, scenario.ego, EGO, scenario.ego.spawn, start, "ego")
        self._drivers[EGO] = VehicleDriver(
            ego, town, self._script(EGO, scenario.ego), scenario.ego, start, scenario.seed, resolver
        )
        for k, actor in enumerate(scenario.actors):
            way = self._places.find(actor.spawn, "actors", k, "spawn")
            spawned = self._spawn_one(world, library, actor, actor.name, actor.spawn, way, "actors", k)
            self.actors.append(spawned)
            script = self._script(actor.name, actor)
            if actor.walks:
                side = -90.0 if actor.spawn.across > 0.0 else 90.0  # towards the lane that it stands next to
                across_road = radians(way.transform.rotation.yaw + side)
                self._walkers[actor.name] = WalkerDriver(spawned, script, across_road, resolver, actor.rails)
            elif actor.stands:
                self._props.append(PropDriver(spawned, script, 0.0, resolver))
            else:
                self._drivers[actor.name] = VehicleDriver(
                    spawned, town, script, actor, way, scenario.seed + 7919 * (k + 1), resolver
                )
        for name, driver in self._drivers.items():
            driver.actor.apply_control(carla.VehicleControl(hand_brake=True, brake=1.0))
            self._listen(world, library, name, driver.actor)
        return ego

    def begin(self, snapshot: carla.WorldSnapshot) -> None:
        """Start scenario time, once the cameras deliver; actors with an initial speed start moving."""
        self._zero = snapshot.timestamp.elapsed_seconds
        with self._event_lock:
            self._collision_events.clear()
        spawns = {EGO: self.scenario.ego.spawn, **{actor.name: actor.spawn for actor in self.scenario.actors}}
        self._update(snapshot)
        assert self._now is not None
        states = dict(self._now.states)
        for name, driver in self._drivers.items():
            speed = spawns[name].speed
            if speed > 0.0:
                forward = snapshot.find(driver.actor.id).get_transform().get_forward_vector()
                velocity = carla.Vector3D(speed * forward.x, speed * forward.y, speed * forward.z)
                driver.actor.set_target_velocity(velocity)
                states[name] = replace(states[name], vx=velocity.x, vy=velocity.y)
        self._now = replace(self._now, states=states)  # the snapshot is from before; steps may ask for these speeds

    def drive(self, surroundings: Surroundings, delta: float) -> carla.VehicleControl | None:
        """Control all actors before a tick; return the ego's pedals for the bridge, None after hand-over."""
        now = self._now
        assert now is not None, "begin() comes first"
        halts: Sequence[Halt] = surroundings.halts()
        ego = road_user(now.states[EGO])
        pedals: carla.VehicleControl | None = None
        for switch in self._lights:
            switch.update(now)
        for name, driver in self._drivers.items():
            if name == EGO and self._handed_over:
                continue
            if name == EGO:
                pedals = driver.control(now, surroundings.bodies(), halts, delta)
            else:
                others = [*surroundings.bodies(but=self._ids[name]), ego]
                driver.actor.apply_control(driver.control(now, others, halts, delta))
        for walker in self._walkers.values():
            walker.actor.apply_control(walker.control(now, delta))
        for prop in self._props:
            prop.move(now, delta)
        for change in [change for change in self._changes if holds(change.when, now)]:
            self._changes.remove(change)
            self._set_weather(self._world, change.weather)
        return pedals

    def observe(self, snapshot: carla.WorldSnapshot) -> None:
        """Update assertions and end conditions after a tick."""
        self._update(snapshot)
        now = self._now
        assert now is not None
        if self._handed_over:
            return
        for monitor in self._monitors:
            monitor.watch(now)
        if now.time >= self.scenario.duration - 1e-6:
            self._ended = "duration"
        for k, when in enumerate(self.scenario.end):
            is_met = k not in self._ending and holds(when, now)
            if not is_met:
                self._ceased.add(k)
            elif not when.rising or k in self._ceased:
                self._ending[k] = now.time + when.delay
            if not self._ended and k in self._ending and now.time >= self._ending[k] - 1e-6:
                self._ended = f"end[{k}]"
        self.over = bool(self._ended)

    def hand_over(self) -> None:
        """Hand the ego over to another driver; the other actors continue, and the scenario no longer ends."""
        self._handed_over, self.over = True, False

    def ego_route(self, metres: float) -> list[RoutePoint]:
        """Return the route that the scenario intends for the ego from its present position, for another driver.

        It leads to the places of its first ``follow_route``, else along its lane for ``metres``, with the turns of its
        first ``follow_lane``.
        """
        assert self._now is not None, "begin() comes first"
        here = self._now.states[EGO]
        step = next((step for step in self.scenario.ego.do if step.follow_route or step.follow_lane), None)
        if step is not None and step.follow_route is not None:
            return self._resolver.route(step, here)
        turn = step.follow_lane.turn if step is not None and step.follow_lane is not None else "straight"
        random = np.random.default_rng(self.scenario.seed)
        return route_ahead(self._map, (here.x, here.y, here.z), metres, turn, random)

    def report(self) -> str:
        """Return all actors' states at this tick, and the events since the previous one, as JSON for the frame."""
        now = self._now
        assert now is not None
        collisions, invasions = self._collisions[self._reported[0] :], self._invasions[self._reported[1] :]
        self._reported = len(self._collisions), len(self._invasions)
        report = {
            "time": round(now.time, 6),
            "actors": {name: [round(value, 4) for value in state.numbers()] for name, state in now.states.items()},
            "collisions": [_collision_json(each) for each in collisions],
            "lane_invasions": [_invasion_json(each) for each in invasions],
            "route": now.route,
        }
        return json.dumps(report, separators=(",", ":"))

    def stop(self) -> None:
        """Stop listening to sensors; the bridge destroys ``actors``."""
        for sensor in self._sensors:
            sensor.stop()

    def result(self) -> dict[str, Any]:
        """Return the result, ready for JSON: assertions, collisions, the ego's seconds and metres."""
        assertions = [monitor.result() for monitor in self._monitors]
        now = self._now
        return {
            "scenario": self.loaded.id,
            "title": self.scenario.title,
            "ended": self._ended or "early",
            "passed": bool(self._ended) and all(each["passed"] for each in assertions),
            "assertions": assertions,
            "collisions": [_collision_json(each) for each in self._collisions],
            "lane_invasions": [_invasion_json(each) for each in self._invasions],
            "route": self._last_route,
            "sim_seconds": round(now.time, 3) if now else 0.0,
            "distance": round(now.states[EGO].travelled, 3) if now else 0.0,
        }

    # Places and actors

    def _script(self, name: str, actor: EgoSpec | ActorSpec) -> Script:
        return Script(name, actor.do, actor.events, self._steps)

    def _spawn_one(
        self,
        world: carla.World,
        library: carla.BlueprintLibrary,
        actor: EgoSpec | ActorSpec,
        name: str,
        spawn: Spawn,
        way: carla.Waypoint,
        *key: str | int,
    ) -> Any:
        blueprints = list(library.filter(actor.blueprint))
        if len(blueprints) != 1:
            raise self.loaded.error(f"this server has no blueprint {actor.blueprint}", *key, "blueprint")
        blueprint = blueprints[0]
        for attribute, value in (("role_name", "hero" if name == EGO else name), ("color", actor.color)):
            if value is not None and blueprint.has_attribute(attribute):
                blueprint.set_attribute(attribute, value)
        # The embedded town's: where a scenario places an actor, no car is parked and no tree stands.
        for attribute, text in (("is_invincible", "false"), ("clears_place", "true")):
            if blueprint.has_attribute(attribute):
                blueprint.set_attribute(attribute, text)
        place = self._resolver.pose(spawn, *key, "spawn")
        place.location.z += LIFT[actor.blueprint.partition(".")[0]]
        spawned = world.try_spawn_actor(blueprint, place)
        if spawned is None and self._may_overlap:  # spawn it where there is room, then move it
            height = carla.Location(z=SPAWN_HEIGHT * (1 + len(self.actors)))
            spawned = world.try_spawn_actor(blueprint, carla.Transform(place.location + height, place.rotation))
            if spawned is not None:
                spawned.set_transform(place)
        if spawned is None:
            at = f"x {place.location.x:.1f}, y {place.location.y:.1f}"
            raise self.loaded.error(f"something is in the way at {at}; choose another place", *key, "spawn")
        if actor.rails:  # nothing may push it off its path; its collisions are computed from the poses
            spawned.set_collisions(False)
            self._on_rails.append(name)
        extent = spawned.bounding_box.extent
        self._half[name] = extent.x, extent.y
        self._names[spawned.id], self._ids[name] = name, spawned.id
        return spawned

    def _set_weather(self, world: carla.World, spec: WeatherSpec) -> None:
        weather = preset_weather(spec.preset) if spec.preset else world.get_weather()
        for name in type(spec).model_fields:
            value = getattr(spec, name)
            if name != "preset" and value is not None:
                setattr(weather, name, value)
        world.set_weather(weather)

    # Observation

    def _listen(self, world: carla.World, library: carla.BlueprintLibrary, name: str, actor: Any) -> None:
        def on_collision(event: Any) -> None:
            other = event.other_actor
            with self._event_lock:
                self._collision_events.append(
                    (event.frame, name, other.id if other else 0, other.type_id if other else "static.scenery")
                )

        blueprint = library.find("sensor.other.collision")
        set_sensor_role(blueprint)
        sensor = world.spawn_actor(blueprint, carla.Transform(), attach_to=actor)
        self.actors.append(sensor)
        self._sensors.append(sensor)
        sensor.listen(on_collision)

    def _update(self, snapshot: carla.WorldSnapshot) -> None:
        time = snapshot.timestamp.elapsed_seconds - self._zero
        before = self._now.states if self._now else {}
        states = {}
        for ident, name in self._names.items():
            actor = snapshot.find(ident)
            if actor is None:
                raise ScenarioError(
                    f"{self.loaded.path}: {name} no longer exists: it was destroyed or another map was loaded"
                )
            states[name] = self._state_of(name, actor, before.get(name), time)
        self._places.update(states)
        self._collect_sensed_collisions(snapshot.frame, time)
        self._detect_overlaps(states, time)
        invasion = self._lanes.look(time, states[EGO])
        self._invasions += [invasion] if invasion is not None else []
        progress = self._drivers[EGO].script.progress
        route = (progress.metres, progress.length) if progress is not None else None
        self._now = Snapshot(
            time, states, self._collisions, self._road_of, self._invasions, route or self._last_route, self._steps,
            self._lane_of, self._place_of, self._signals.state,
        )  # fmt: skip
        self._last_route = self._now.route

    def _state_of(self, name: str, actor: Any, old: ActorState | None, time: float) -> ActorState:
        """Return an actor's state at ``time`` from its ``carla.ActorSnapshot`` and its state at the previous tick."""
        pose, velocity = actor.get_transform(), actor.get_velocity()
        at = pose.location
        travelled = old.travelled + ((at.x - old.x) ** 2 + (at.y - old.y) ** 2) ** 0.5 if old else 0.0
        stands = old is not None and old.speed < STANDING and velocity.length() < STANDING
        stood = old.stood + time - self._now.time if stands and old and self._now else 0.0
        elapsed = time - self._now.time if self._now else 0.0
        acceleration = (hypot(velocity.x, velocity.y) - old.speed) / elapsed if old and elapsed > 0.0 else 0.0
        is_off_road, is_at_road_end = self._leaves_road(name, carla.Location(at.x, at.y, at.z))
        return ActorState(
            at.x, at.y, at.z, radians(pose.rotation.yaw), velocity.x, velocity.y, *self._half[name], travelled, stood,
            acceleration, old.off_road + elapsed if old and is_off_road else 0.0,
            old.at_road_end + elapsed if old and is_at_road_end else 0.0,
        )  # fmt: skip

    def _collect_sensed_collisions(self, frame: int, time: float) -> None:
        """Record the collisions of earlier ticks; events of this tick may not have arrived yet."""
        with self._event_lock:
            arrived = sorted(event for event in self._collision_events if event[0] < frame)
            self._collision_events = [event for event in self._collision_events if event[0] >= frame]
        for _, name, ident, blueprint in arrived:
            if time - self._last_contact.get((name, ident), -9.0) > CONTACT_TIMEOUT:
                self._collisions.append(CollisionRecord(time, name, self._names.get(ident, blueprint)))
            self._last_contact[name, ident] = time

    def _detect_overlaps(self, states: Mapping[str, ActorState], time: float) -> None:
        """Record the collisions of actors on rails, once each time that two begin to overlap."""
        overlapping = {
            (name, other)
            for name in self._on_rails
            for other in states
            if other != name
            and abs(states[name].z - states[other].z) < MAX_HEIGHT_DIFFERENCE
            and gap(states[name], states[other]) == 0.0
        }
        self._collisions += [CollisionRecord(time, *pair) for pair in sorted(overlapping - self._overlapping)]
        self._overlapping = overlapping

    def _leaves_road(self, name: str, at: carla.Location) -> tuple[bool, bool]:
        """Return whether an actor is outside all lanes, and whether it is at its road's end, if a condition uses it."""
        if name not in self._watched_for_road:
            return False, False
        way = self._map.get_waypoint(at, project_to_road=False, lane_type=carla.LaneType.Any)
        lane = self._map.get_waypoint(at)
        return way is None, lane is not None and not lane.next(ROAD_END + self._half[name][0])

    def _lane_of(self, name: str, lanes: int) -> tuple[int, int] | None:
        """Return road and lane of an actor, or of a lane to its left."""
        assert self._now is not None
        state = self._now.states[name]
        way = self._map.get_waypoint(carla.Location(state.x, state.y, state.z))
        return (way.road_id, self._resolver.lane_of(state, lanes)) if way is not None else None

    def _place_of(self, at: At) -> tuple[float, float] | None:
        """Return the position of a place that is relative to an actor."""
        assert at.place is not None
        try:
            location = self._places.find(at.place).transform.location
        except ScenarioError:
            return None  # the road is not that long
        return location.x, location.y

    def _road_of(self, name: str) -> int:
        assert self._now is not None
        state = self._now.states[name]
        way = self._map.get_waypoint(carla.Location(state.x, state.y, state.z))
        return way.road_id if way is not None else -1


def _actors_watched_for_road(model: BaseModel, me: str) -> Iterator[str]:
    """Yield the names of actors for which a condition asks whether they have left the road."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        actor = getattr(model, "name", None) if isinstance(model, ActorSpec) else me
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, Astray):
                yield child.of or actor or EGO
            elif isinstance(child, BaseModel):
                yield from _actors_watched_for_road(child, actor or EGO)


def _mount(camera: CameraSpec) -> carla.Transform:
    at = camera.mount
    return carla.Transform(carla.Location(at.x, at.y, at.z), carla.Rotation(at.pitch, at.yaw))


def _invasion_json(invasion: Invasion) -> dict[str, Any]:
    return {"time": round(invasion.time, 3), "side": invasion.side, "marking": invasion.marking}


def _collision_json(collision: CollisionRecord) -> dict[str, Any]:
    return {"time": round(collision.time, 3), "of": collision.of, "with": collision.by}
