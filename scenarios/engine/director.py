"""The scenario director: called before and after each tick in the bridge's process, using the official client alone.

All actors are spawned before the cameras warm up, in the order of the file, so that they have the same ids every time;
scenario time begins with the first frame. Decisions come from the snapshot of the tick before and from seeded
generators: the same file on the same server plays the same.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from math import hypot, radians
from pathlib import Path
from typing import Any

import carla
import numpy as np
from pydantic import BaseModel

from bridge.carla_client.camera_rig import mark
from bridge.carla_client.routing.autopilot import Halt
from bridge.carla_client.routing.route_planner import RoutePoint, way_ahead
from bridge.carla_client.surroundings import Surroundings
from scenarios.engine.assertions import AssertionMonitor
from scenarios.engine.executors import Script, Thing, VehicleDriver, WalkerDriver, road_user
from scenarios.engine.lights import LightSwitch, Signals
from scenarios.engine.loader import LoadedScenario, ScenarioError, load
from scenarios.engine.road import LaneInvasionDetector, PlaceFinder
from scenarios.engine.routes import RouteResolver
from scenarios.engine.snapshot import STANDING, ActorState, CollisionRecord, Invasion, Snapshot, gap, holds
from scenarios.language.conditions import Astray, At
from scenarios.language.schema import EGO, ActorSpec, CameraSpec, Change, EgoSpec, Spawn, WeatherSpec

LIFT = {"vehicle": 0.3, "walker": 1.0, "static": 0.0}  # m above the road at which actors are spawned
ABOVE = 30.0  # m above the road for each actor that is spawned in the air
END = 2.0  # m between the front of a vehicle and the end of its road, which it has reached
LEVEL = 2.5  # m between the heights of actors that may collide
SAME = 0.5  # s: touching the same thing again within is still the same collision


class Director:
    """One play of one scenario file. Raises ``ScenarioError``."""

    drives_ego = True

    def __init__(self, path: str | Path) -> None:
        self.loaded: LoadedScenario = load(path)
        self.scenario = self.loaded.scenario
        self.actors: list[Any] = []  # all that was spawned beside the ego
        self.over = False
        self._drivers: dict[str, VehicleDriver] = {}
        self._walkers: dict[str, WalkerDriver] = {}
        self._things: list[Thing] = []
        self._changes: list[Change] = list(self.scenario.changes)  # of the weather, still to come
        self._watchers = [AssertionMonitor(assertion) for assertion in self.scenario.asserts]
        self._sensors: list[Any] = []
        self._collision_events: list[tuple[int, str, int, str]] = []  # (tick, name, other's id, other's blueprint)
        self._event_lock = threading.Lock()
        self._touches: list[CollisionRecord] = []
        self._last_touch: dict[tuple[str, int], float] = {}
        self._names: dict[int, str] = {}
        self._on_rails: list[str] = []
        #: Whether actors may begin in the midst of others, as those on rails pass through them.
        self._through = self.scenario.ego.rails or any(actor.rails for actor in self.scenario.actors)
        self._meeting: set[tuple[str, str]] = set()  # who on rails overlaps with whom
        self._strays = set(_strays(self.scenario, EGO))  # whose lanes are watched
        self._ids: dict[str, int] = {}
        self._half: dict[str, tuple[float, float]] = {}
        self._now: Snapshot | None = None
        self._zero = 0.0  # simulated time at the beginning, s
        self._ended = ""
        self._ceased: set[int] = set()  # ends whose conditions have not held at least once
        self._ending: dict[int, float] = {}  # which of the ends have come, and when they count
        self._steps: dict[str, str] = {}  # named steps that have begun: "begun" or "done"
        self._invasions: list[Invasion] = []
        self._reported = (0, 0)  # collisions and invasions in earlier reports
        self._handed_over = False
        self._route_done: tuple[float, float] | None = None  # of the last route that there was

    def settings(self) -> dict[str, Any]:
        """The bridge settings that the scenario asks for, as ``CarlaBridge``'s arguments."""
        scenario = self.scenario
        first = scenario.camera
        return {
            "size": first.size,
            "fov": first.fov,
            "fps": scenario.fps,
            "seed": scenario.seed,
            "scenario": self.loaded.id,
            "mount": _mount(first),
            "more_cameras": {c.name: (c.size, c.fov, _mount(c)) for c in scenario.cameras},
        }

    # Called by the bridge, in this order

    def spawn(self, world: carla.World, town: carla.Map) -> Any:
        """Set the weather and spawn all actors; returns the ego."""
        self._map = town
        self._places = PlaceFinder(town, self.loaded)
        self._lanes = LaneInvasionDetector(town)
        scenario = self.scenario
        self._set_weather(world, scenario.weather)
        library = world.get_blueprint_library()
        start = self._places.find(scenario.ego.spawn, "ego", "spawn")
        self._places.begin_at(start)
        self._signals = Signals(world, town)
        guide = self._guide = RouteResolver(town, self._places, self._signals, self.loaded)
        self._world = world
        guide.check()
        self._lights = [
            LightSwitch(world, self._signals, self.loaded, self._places, light, k)
            for k, light in enumerate(scenario.lights)
        ]
        ego = self._spawn_one(world, library, scenario.ego, EGO, scenario.ego.spawn, start, "ego")
        self._drivers[EGO] = VehicleDriver(
            ego, town, self._script(EGO, scenario.ego), scenario.ego, start, scenario.seed, guide
        )
        for k, actor in enumerate(scenario.actors):
            way = self._places.find(actor.spawn, "actors", k, "spawn")
            made = self._spawn_one(world, library, actor, actor.name, actor.spawn, way, "actors", k)
            self.actors.append(made)
            script = self._script(actor.name, actor)
            if actor.walks:
                side = -90.0 if actor.spawn.across > 0.0 else 90.0  # back over the lane it stands beside
                over = radians(way.transform.rotation.yaw + side)
                self._walkers[actor.name] = WalkerDriver(made, script, over, guide, actor.rails)
            elif actor.stands:
                self._things.append(Thing(made, script, guide))
            else:
                self._drivers[actor.name] = VehicleDriver(
                    made, town, script, actor, way, scenario.seed + 7919 * (k + 1), guide
                )
        for name, driver in self._drivers.items():
            driver.actor.apply_control(carla.VehicleControl(hand_brake=True, brake=1.0))
            self._listen(world, library, name, driver.actor)
        return ego

    def begin(self, snapshot: carla.WorldSnapshot) -> None:
        """Begin scenario time, once the cameras deliver; actors with an initial speed start moving."""
        self._zero = snapshot.timestamp.elapsed_seconds
        with self._event_lock:
            self._collision_events.clear()
        spawns = {EGO: self.scenario.ego.spawn, **{actor.name: actor.spawn for actor in self.scenario.actors}}
        for name, driver in self._drivers.items():
            speed = spawns[name].speed
            if speed > 0.0:
                state = snapshot.find(driver.actor.id)
                forward = state.get_transform().get_forward_vector()
                driver.actor.set_target_velocity(
                    carla.Vector3D(speed * forward.x, speed * forward.y, speed * forward.z)
                )
        self._look(snapshot)

    def drive(self, surroundings: Surroundings, delta: float) -> carla.VehicleControl | None:
        """Before a tick: control all actors; returns the ego's pedals for the bridge, None once it is handed over."""
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
        for thing in self._things:
            thing.update(now)
        for change in [change for change in self._changes if holds(change.when, now)]:
            self._changes.remove(change)
            self._set_weather(self._world, change.weather)
        return pedals

    def observe(self, snapshot: carla.WorldSnapshot) -> None:
        """After a tick: judge, and see whether it is over."""
        self._look(snapshot)
        now = self._now
        assert now is not None
        if self._handed_over:
            return
        for watcher in self._watchers:
            watcher.watch(now)
        if now.time >= self.scenario.duration - 1e-6:
            self._ended = "duration"
        for k, when in enumerate(self.scenario.end):
            held = k not in self._ending and holds(when, now)
            if not held:
                self._ceased.add(k)
            elif not when.rising or k in self._ceased:
                self._ending[k] = now.time + when.delay
            if not self._ended and k in self._ending and now.time >= self._ending[k] - 1e-6:
                self._ended = f"end[{k}]"
        self.over = bool(self._ended)

    def hand_over(self) -> None:
        """Hand the ego over to another driver; the other actors continue their steps, and nothing ends the scenario."""
        self._handed_over, self.over = True, False

    def ego_route(self, metres: float) -> list[RoutePoint]:
        """The way that the scenario means the ego to take from where it is, for who drives it instead: to the places of
        its first ``follow_route``, else along its lane, ``metres`` of it, turning as its first ``follow_lane`` says."""
        assert self._now is not None, "begin() comes first"
        here = self._now.states[EGO]
        step = next((step for step in self.scenario.ego.do if step.follow_route or step.follow_lane), None)
        if step is not None and step.follow_route is not None:
            return self._guide.route(step, here)
        turn = step.follow_lane.turn if step is not None and step.follow_lane is not None else "straight"
        random = np.random.default_rng(self.scenario.seed)
        return way_ahead(self._map, (here.x, here.y, here.z), metres, turn, random)

    def report(self) -> str:
        """The state of all actors at this tick, and the events since the previous one, as JSON for the frame."""
        now = self._now
        assert now is not None
        touches, invasions = self._touches[self._reported[0] :], self._invasions[self._reported[1] :]
        self._reported = len(self._touches), len(self._invasions)
        report = {
            "time": round(now.time, 6),
            "actors": {name: [round(value, 4) for value in state.numbers()] for name, state in now.states.items()},
            "collisions": [_touch(each) for each in touches],
            "lane_invasions": [_invasion(each) for each in invasions],
            "route": now.route,
        }
        return json.dumps(report, separators=(",", ":"))

    def stop(self) -> None:
        """Stop listening; the bridge destroys ``actors``."""
        for sensor in self._sensors:
            sensor.stop()

    def result(self) -> dict[str, Any]:
        """The result, ready for JSON: assertions, collisions, seconds and metres of the ego."""
        assertions = [watcher.result() for watcher in self._watchers]
        now = self._now
        return {
            "scenario": self.loaded.id,
            "title": self.scenario.title,
            "ended": self._ended or "early",
            "passed": bool(self._ended) and all(each["passed"] for each in assertions),
            "assertions": assertions,
            "collisions": [_touch(each) for each in self._touches],
            "lane_invasions": [_invasion(each) for each in self._invasions],
            "route": self._route_done,
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
        found = list(library.filter(actor.blueprint))
        if len(found) != 1:
            raise self.loaded.error(f"this server has no blueprint {actor.blueprint}", *key, "blueprint")
        blueprint = found[0]
        for attribute, value in (("role_name", "hero" if name == EGO else name), ("color", actor.color)):
            if value is not None and blueprint.has_attribute(attribute):
                blueprint.set_attribute(attribute, value)
        if blueprint.has_attribute("is_invincible"):
            blueprint.set_attribute("is_invincible", "false")
        place = self._guide.pose(spawn, *key, "spawn")
        place.location.z += LIFT[actor.blueprint.partition(".")[0]]
        made = world.try_spawn_actor(blueprint, place)
        if made is None and self._through:  # spawned where there is room, then put there
            above = carla.Transform(place.location + carla.Location(z=ABOVE * (1 + len(self.actors))), place.rotation)
            made = world.try_spawn_actor(blueprint, above)
            if made is not None:
                made.set_transform(place)
        if made is None:
            at = f"x {place.location.x:.1f}, y {place.location.y:.1f}"
            raise self.loaded.error(f"something is in the way at {at}; choose another place", *key, "spawn")
        if actor.rails:  # nothing pushes it off its path; what it meets is seen from where all are
            made.set_collisions(False)
            self._on_rails.append(name)
        extent = made.bounding_box.extent
        self._half[name] = extent.x, extent.y
        self._names[made.id], self._ids[name] = name, made.id
        return made

    def _set_weather(self, world: carla.World, wanted: WeatherSpec) -> None:
        weather = getattr(carla.WeatherParameters, wanted.preset) if wanted.preset else world.get_weather()
        for name in type(wanted).model_fields:
            value = getattr(wanted, name)
            if name != "preset" and value is not None:
                setattr(weather, name, value)
        world.set_weather(weather)

    # Looking

    def _listen(self, world: carla.World, library: carla.BlueprintLibrary, name: str, actor: Any) -> None:
        def hear(event: Any) -> None:
            other = event.other_actor
            with self._event_lock:
                self._collision_events.append(
                    (event.frame, name, other.id if other else 0, other.type_id if other else "static.scenery")
                )

        blueprint = library.find("sensor.other.collision")
        mark(blueprint)
        sensor = world.spawn_actor(blueprint, carla.Transform(), attach_to=actor)
        self.actors.append(sensor)
        self._sensors.append(sensor)
        sensor.listen(hear)

    def _look(self, snapshot: carla.WorldSnapshot) -> None:
        time = snapshot.timestamp.elapsed_seconds - self._zero
        before = self._now.states if self._now else {}
        states = {}
        for ident, name in self._names.items():
            found = snapshot.find(ident)
            if found is None:
                raise ScenarioError(
                    f"{self.loaded.path}: {name} no longer exists: it was destroyed or another map was loaded"
                )
            pose, velocity = found.get_transform(), found.get_velocity()
            at, old = pose.location, before.get(name)
            travelled = old.travelled + ((at.x - old.x) ** 2 + (at.y - old.y) ** 2) ** 0.5 if old else 0.0
            stands = old is not None and old.speed < STANDING and velocity.length() < STANDING
            stood = old.stood + time - self._now.time if stands and old and self._now else 0.0
            passed = time - self._now.time if self._now else 0.0
            change = (hypot(velocity.x, velocity.y) - old.speed) / passed if old and passed > 0.0 else 0.0
            astray, ended = self._lost(name, carla.Location(at.x, at.y, at.z))
            states[name] = ActorState(
                at.x, at.y, at.z, radians(pose.rotation.yaw), velocity.x, velocity.y, *self._half[name], travelled,
                stood, change, old.astray + passed if old and astray else 0.0,
                old.ended + passed if old and ended else 0.0,
            )  # fmt: skip
        self._places.look(states)
        self._take_touches(snapshot.frame, time)
        self._meet(states, time)
        invasion = self._lanes.look(time, states[EGO])
        self._invasions += [invasion] if invasion is not None else []
        progress = self._drivers[EGO].script.progress
        route = (progress.metres, progress.length) if progress is not None else None
        self._now = Snapshot(
            time, states, self._touches, self._road_of, self._invasions, route or self._route_done, self._steps,
            self._lane_of, self._place_of, self._signals.state,
        )  # fmt: skip
        self._route_done = self._now.route

    def _take_touches(self, frame: int, time: float) -> None:
        """Collisions of the tick before this one: those of this tick may still be on their way to us."""
        with self._event_lock:
            come = sorted(event for event in self._collision_events if event[0] < frame)
            self._collision_events = [event for event in self._collision_events if event[0] >= frame]
        for _, name, ident, blueprint in come:
            if time - self._last_touch.get((name, ident), -9.0) > SAME:
                self._touches.append(CollisionRecord(time, name, self._names.get(ident, blueprint)))
            self._last_touch[name, ident] = time

    def _meet(self, states: Mapping[str, ActorState], time: float) -> None:
        """Collisions of actors on rails, once each time that two begin to overlap."""
        met = {
            (name, other)
            for name in self._on_rails
            for other in states
            if other != name
            and abs(states[name].z - states[other].z) < LEVEL
            and gap(states[name], states[other]) == 0.0
        }
        self._touches += [CollisionRecord(time, *pair) for pair in sorted(met - self._meeting)]
        self._meeting = met

    def _lost(self, name: str, at: carla.Location) -> tuple[bool, bool]:
        """Whether an actor is beside every lane, and where the road ends; looked up where a condition asks for it."""
        if name not in self._strays:
            return False, False
        way = self._map.get_waypoint(at, project_to_road=False, lane_type=carla.LaneType.Any)
        lane = self._map.get_waypoint(at)
        return way is None, lane is not None and not lane.next(END + self._half[name][0])

    def _lane_of(self, name: str, lanes: int) -> tuple[int, int] | None:
        """Road and lane of an actor, or of a lane to its left."""
        assert self._now is not None
        state = self._now.states[name]
        way = self._map.get_waypoint(carla.Location(state.x, state.y, state.z))
        return (way.road_id, self._guide.lane_of(state, lanes)) if way is not None else None

    def _place_of(self, at: At) -> tuple[float, float] | None:
        """The position of a place that is relative to an actor."""
        assert at.place is not None
        try:
            location = self._places.find(at.place).transform.location
        except ScenarioError:
            return None  # the road does not go on that far
        return location.x, location.y

    def _road_of(self, name: str) -> int:
        assert self._now is not None
        state = self._now.states[name]
        way = self._map.get_waypoint(carla.Location(state.x, state.y, state.z))
        return way.road_id if way is not None else -1


def _strays(model: BaseModel, me: str) -> Iterator[str]:
    """Who conditions ask about whether they have left the road."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        who = getattr(model, "name", None) if isinstance(model, ActorSpec) else me
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Astray):
                yield one.of or who or EGO
            elif isinstance(one, BaseModel):
                yield from _strays(one, who or EGO)


def _mount(camera: CameraSpec) -> carla.Transform:
    at = camera.mount
    return carla.Transform(carla.Location(at.x, at.y, at.z), carla.Rotation(at.pitch, at.yaw))


def _invasion(invasion: Invasion) -> dict[str, Any]:
    return {"time": round(invasion.time, 3), "side": invasion.side, "marking": invasion.marking}


def _touch(touch: CollisionRecord) -> dict[str, Any]:
    return {"time": round(touch.time, 3), "of": touch.of, "with": touch.by}
