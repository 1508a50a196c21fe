"""Plays a scenario inside the bridge's process: called before and after each tick, through the official client alone.

Everybody is spawned before the cameras warm up, in the order of the file, so that they have the same ids every time;
scenario time begins with the first frame. Decisions come from the snapshot of the tick before and from seeded
generators: the same file on the same server plays the same.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from math import radians
from pathlib import Path
from typing import Any

import carla

from bridge.carla_client.autopilot import Halt
from bridge.carla_client.rig import mark
from bridge.carla_client.surroundings import Surroundings
from scenarios.engine.assertions import Watcher
from scenarios.engine.drivers import Script, VehicleDriver, WalkerDriver, body
from scenarios.engine.lights import LightSwitch
from scenarios.engine.loader import Loaded, ScenarioError, load
from scenarios.engine.road import LaneWatch, Places
from scenarios.engine.routes import Guide
from scenarios.engine.snapshot import STANDING, Invasion, Moment, State, Touch, holds
from scenarios.language.schema import EGO, Actor, Camera, Ego, Spawn

LIFT = {"vehicle": 0.3, "walker": 1.0}  # m above the road at which actors are spawned
SAME = 0.5  # s: touching the same thing again within is still the same collision


class Director:
    """One play of one scenario file. Raises ``ScenarioError``."""

    def __init__(self, path: str | Path) -> None:
        self.loaded: Loaded = load(path)
        self.scenario = self.loaded.scenario
        self.actors: list[Any] = []  # all that was spawned beside the ego
        self.over = False
        self._drivers: dict[str, VehicleDriver] = {}
        self._walkers: dict[str, WalkerDriver] = {}
        self._watchers = [Watcher(assertion) for assertion in self.scenario.asserts]
        self._sensors: list[Any] = []
        self._heard: list[tuple[int, str, int, str]] = []  # (tick, name, other's id, other's blueprint)
        self._hearing = threading.Lock()
        self._touches: list[Touch] = []
        self._last_touch: dict[tuple[str, int], float] = {}
        self._names: dict[int, str] = {}
        self._ids: dict[str, int] = {}
        self._half: dict[str, tuple[float, float]] = {}
        self._now: Moment | None = None
        self._zero = 0.0  # simulated time at the beginning, s
        self._ended = ""
        self._ending: dict[int, float] = {}  # which of the ends have come, and when they count
        self._steps: dict[str, str] = {}  # named steps that have begun: "begun" or "done"
        self._invasions: list[Invasion] = []
        self._told = (0, 0)  # collisions and invasions that reports have told of
        self._handed_over = False
        self._route_done: tuple[float, float] | None = None  # of the last route that there was

    def settings(self) -> dict[str, Any]:
        """What the scenario wants of the bridge, as ``CarlaBridge``'s arguments."""
        scenario = self.scenario
        first = scenario.camera
        return {
            "size": first.pixels,
            "fov": first.fov,
            "fps": scenario.fps,
            "seed": scenario.seed,
            "scenario": self.loaded.id,
            "mount": _mount(first),
            "more_cameras": {c.name: (c.pixels, c.fov, _mount(c)) for c in scenario.cameras},
        }

    # Called by the bridge, in this order

    def spawn(self, world: carla.World, town: carla.Map) -> Any:
        """Set the weather and spawn everybody; returns the ego."""
        self._map = town
        self._places = Places(town, self.loaded)
        self._lanes = LaneWatch(town)
        self._set_weather(world)
        scenario = self.scenario
        library = world.get_blueprint_library()
        start = self._places.find(scenario.ego.spawn, "ego", "spawn")
        self._places.begin_at(start)
        guide = Guide(town, self._places, self.loaded)
        guide.check()
        self._lights = [
            LightSwitch(world, self.loaded, light, self._places.find(light.at, "lights", k, "at"), k)
            for k, light in enumerate(scenario.lights)
        ]
        ego = self._spawn_one(world, library, scenario.ego, EGO, scenario.ego.spawn, start, "ego")
        self._drivers[EGO] = VehicleDriver(
            ego, town, self._script(EGO, scenario.ego), scenario.ego.spawn, start, scenario.seed, guide
        )
        for k, actor in enumerate(scenario.actors):
            way = self._places.find(actor.spawn, "actors", k, "spawn")
            made = self._spawn_one(world, library, actor, actor.name, actor.spawn, way, "actors", k)
            self.actors.append(made)
            script = self._script(actor.name, actor)
            if actor.walks:
                side = -90.0 if actor.spawn.across > 0.0 else 90.0  # back over the lane it stands beside
                over = radians(way.transform.rotation.yaw + side)
                self._walkers[actor.name] = WalkerDriver(made, script, over, guide)
            else:
                self._drivers[actor.name] = VehicleDriver(
                    made, town, script, actor.spawn, way, scenario.seed + 7919 * (k + 1), guide
                )
        for name, driver in self._drivers.items():
            driver.actor.apply_control(carla.VehicleControl(hand_brake=True, brake=1.0))
            self._listen(world, library, name, driver.actor)
        return ego

    def begin(self, snapshot: carla.WorldSnapshot) -> None:
        """The cameras deliver: time begins, who is to begin moving does."""
        self._zero = snapshot.timestamp.elapsed_seconds
        with self._hearing:
            self._heard.clear()
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
        """Before a tick: control everybody; returns the ego's pedals, which the bridge applies, or None when it has
        been handed over."""
        now = self._now
        assert now is not None, "begin() comes first"
        halts: Sequence[Halt] = surroundings.halts()
        ego = body(now.states[EGO])
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
            if k not in self._ending and holds(when, now):
                self._ending[k] = now.time + when.delay
            if not self._ended and k in self._ending and now.time >= self._ending[k] - 1e-6:
                self._ended = f"end[{k}]"
        self.over = bool(self._ended)

    def hand_over(self) -> None:
        """From here on somebody else drives the ego; the others go on by their steps, and nothing ends it."""
        self._handed_over, self.over = True, False

    def report(self) -> str:
        """What was seen at this tick, as JSON for the frame: who was where, what has happened since the one before."""
        now = self._now
        assert now is not None
        touches, invasions = self._touches[self._told[0] :], self._invasions[self._told[1] :]
        self._told = len(self._touches), len(self._invasions)
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
        """What came of it, ready for JSON: assertions, collisions, seconds and metres of the ego."""
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

    def _script(self, name: str, actor: Ego | Actor) -> Script:
        return Script(name, actor.do, actor.events, self._steps)

    def _spawn_one(
        self,
        world: carla.World,
        library: carla.BlueprintLibrary,
        actor: Ego | Actor,
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
        place, right = way.transform, way.transform.get_right_vector()
        if spawn.x is not None and spawn.y is not None:
            place.location = carla.Location(spawn.x, spawn.y, place.location.z if spawn.z is None else spawn.z)
            place.rotation.yaw = place.rotation.yaw if spawn.yaw is None else spawn.yaw
        place.location += carla.Location(
            spawn.across * right.x, spawn.across * right.y, LIFT[actor.blueprint.partition(".")[0]]
        )
        place.rotation.yaw += spawn.turned
        made = world.try_spawn_actor(blueprint, place)
        if made is None:
            at = f"x {place.location.x:.1f}, y {place.location.y:.1f}"
            raise self.loaded.error(f"something is in the way at {at}; choose another place", *key, "spawn")
        extent = made.bounding_box.extent
        self._half[name] = extent.x, extent.y
        self._names[made.id], self._ids[name] = name, made.id
        return made

    def _set_weather(self, world: carla.World) -> None:
        wanted = self.scenario.weather
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
            with self._hearing:
                self._heard.append(
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
                raise ScenarioError(f"{self.loaded.path}: {name} is gone: somebody destroyed it or loaded another map")
            pose, velocity = found.get_transform(), found.get_velocity()
            at, old = pose.location, before.get(name)
            gone = old.travelled + ((at.x - old.x) ** 2 + (at.y - old.y) ** 2) ** 0.5 if old else 0.0
            stands = old is not None and old.speed < STANDING and velocity.length() < STANDING
            stood = old.stood + time - self._now.time if stands and old and self._now else 0.0
            states[name] = State(
                at.x, at.y, at.z, radians(pose.rotation.yaw), velocity.x, velocity.y, *self._half[name], gone, stood
            )
        self._take_touches(snapshot.frame, time)
        invasion = self._lanes.look(time, states[EGO])
        self._invasions += [invasion] if invasion is not None else []
        progress = self._drivers[EGO].script.progress
        route = (progress.metres, progress.length) if progress is not None else None
        self._now = Moment(
            time, states, self._touches, self._road_of, self._invasions, route or self._route_done, self._steps
        )
        self._route_done = self._now.route

    def _take_touches(self, frame: int, time: float) -> None:
        """Collisions of the tick before this one: those of this tick may still be on their way to us."""
        with self._hearing:
            come = sorted(event for event in self._heard if event[0] < frame)
            self._heard = [event for event in self._heard if event[0] >= frame]
        for _, name, ident, blueprint in come:
            if time - self._last_touch.get((name, ident), -9.0) > SAME:
                self._touches.append(Touch(time, name, self._names.get(ident, blueprint)))
            self._last_touch[name, ident] = time

    def _road_of(self, name: str) -> int:
        assert self._now is not None
        state = self._now.states[name]
        way = self._map.get_waypoint(carla.Location(state.x, state.y, state.z))
        return way.road_id if way is not None else -1


def _mount(camera: Camera) -> carla.Transform:
    at = camera.mount
    return carla.Transform(carla.Location(at.x, at.y, at.z), carla.Rotation(at.pitch, at.yaw))


def _invasion(invasion: Invasion) -> dict[str, Any]:
    return {"time": round(invasion.time, 3), "side": invasion.side, "marking": invasion.marking}


def _touch(touch: Touch) -> dict[str, Any]:
    return {"time": round(touch.time, 3), "of": touch.of, "with": touch.by}
