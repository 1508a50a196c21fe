"""ASAM OpenSCENARIO 1.x (.xosc) as a scenario: what CARLA's ScenarioRunner examples and esmini's basic ones use.

Speeds are exactly what actions say; the steering is this project's own drivers'. Whoever the file leaves to a
controller outside of it is driven by them altogether. As in ScenarioRunner, positions are CARLA's (left-handed) where
the description begins with ``CARLA:``; else they are the standard's, and y and headings change their sign.
Whatever is not understood is refused by its name and line; nothing is passed over that would change what happens.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from math import degrees
from pathlib import Path
from typing import Any

import yaml

from bridge.process.presets import TOWNS
from scenarios.language.conditions import EGO
from scenarios.language.problems import Key
from scenarios.openscenario.actions import CRUISE, WALK, Actions
from scenarios.openscenario.catalogs import Catalogs
from scenarios.openscenario.conditions import Trigger, Triggers
from scenarios.openscenario.elements import Element, parameters, parse
from scenarios.openscenario.places import Positions

DURATION = 60.0  # s, where no stop trigger says another time

#: Vehicle and pedestrian categories -> the blueprint that stands for them.
BLUEPRINTS = {
    "car": "vehicle.tesla.model3",
    "van": "vehicle.volkswagen.t2",
    "truck": "vehicle.carlamotors.european_hgv",
    "semitrailer": "vehicle.carlamotors.european_hgv",
    "bus": "vehicle.mitsubishi.fusorosa",
    "motorbike": "vehicle.yamaha.yzf",
    "bicycle": "vehicle.diamondback.century",
    "pedestrian": "walker.pedestrian.0001",
    "walker": "walker.pedestrian.0001",
}
#: Words in the name of a catalog's entry -> R,G,B.
COLORS = {
    "white": "240,240,240", "black": "20,20,20", "red": "180,20,20", "blue": "30,60,160", "green": "30,110,50",
    "yellow": "220,180,30", "orange": "220,110,20", "grey": "120,120,120", "gray": "120,120,120",
}  # fmt: skip
_CRITERIA: dict[str, dict[str, Any]] = {
    "CollisionTest": {"no_collision": EGO},
    "KeepLaneTest": {"lane_invasions": {"most": 0}},
}


def translate(path: Path, raw: bytes) -> tuple[str, dict[str, Any], Mapping[Key, int]]:
    """The scenario in an .xosc text: as YAML, as data, and the line of its keys. Raises ``ScenarioError``."""
    data, lines = _Translation(path, parse(path, raw)).scenario()
    text = f"# from {path.name}\n" + yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    return text, data, lines


class _Actor:
    """An entity on its way to be the ego or an actor."""

    def __init__(self, element: Element, name: str, blueprint: str, color: str | None) -> None:
        self.element, self.name, self.blueprint, self.color = element, name, blueprint, color
        self.spawn: dict[str, Any] | None = None
        self.speed = 0.0
        self.told: dict[str, Any] = {}  # the same as a `set_speed`
        self.events: list[dict[str, Any]] = []
        self.commanded = False  # has a controller of its own, which may be activated
        self.controlled = False  # by something outside of the file, instead of which our own driver is there
        self.paths = False  # has a trajectory somewhere

    @property
    def walks(self) -> bool:
        return self.blueprint.startswith("walker.")

    def as_data(self, ego: bool) -> dict[str, Any]:
        """As the scenario language has it."""
        if self.spawn is None:
            raise self.element.error(f"{self.name} has no TeleportAction in Init: it is nowhere")
        do: list[dict[str, Any]] = []
        if self.walks and self.speed:
            do.append({"cross": {"speed": min(self.speed, 6.0), "distance": WALK}})
        elif self.controlled:
            leaves = all("shift" in step or "change_lane" in step for step in self.events)  # the speed to the driver
            speed = self.speed or (CRUISE if ego and leaves else 0.0)
            do += [{"follow_lane": {"speed": speed}}] if speed else []
        elif not self.walks:
            across = self.spawn.get("across", 0.0)
            do += [{"shift": {"across": across, "length": 0.0}}] if across else []
            do += [{"set_speed": self.told or {"speed": 0.0}}] if self.told or (ego and not self.events) else []
        spawn = self.spawn if self.walks else {**self.spawn, "speed": self.speed}
        result: dict[str, Any] = {"blueprint": self.blueprint, "spawn": spawn}
        if self.color:
            result["color"] = self.color
        if do:
            result["do"] = do
        if self.events:
            result["events"] = self.events
        return result if ego else {"name": self.name, **result}


class _Translation:
    """One file."""

    def __init__(self, path: Path, root: Element) -> None:
        self._path = path
        declared = parameters(root.find("ParameterDeclarations"))
        self._root = root = root.within(declared)
        header = root.get("FileHeader")
        if header.text("revMajor") != "1":
            raise header.error(f"version {header.text('revMajor')}.{header.text('revMinor', '0')}; only 1.x is read")
        root.only(
            "FileHeader", "ParameterDeclarations", "CatalogLocations", "RoadNetwork", "Entities", "Storyboard",
        )  # fmt: skip
        described = header.text("description", "")
        self._title = described.removeprefix("CARLA:").strip() or path.stem
        self._mirror = 1.0 if described.startswith("CARLA:") else -1.0
        self._seed = int(declared["seed"]) if re.fullmatch("[0-9]{1,9}", declared.get("seed", "")) else 0
        self._steps: dict[str, list[str]] = {}  # element of the storyboard -> names of the steps that it is
        self._acts: dict[str, dict[str, Any] | None] = {}  # act -> when it begins
        self._lines: dict[Key, int] = {}
        self._event_lines: dict[tuple[str, int], int] = {}  # of an actor's events
        self._catalogs = Catalogs(path, root.find("CatalogLocations"))
        self._positions = Positions(self._catalogs, self._mirror)
        self._actors = self._entities(root.get("Entities"))
        self._ego = self._find_ego()
        names = {actor.element.text("name"): actor.name for actor in self._actors.values()}
        self._triggers = Triggers(names, self._state, self._positions)
        self._actions = Actions(self._entity, self._positions, self._mirror)

    def scenario(self) -> tuple[dict[str, Any], Mapping[Key, int]]:
        board = self._root.get("Storyboard")
        board.only("Init", "Story", "StopTrigger")
        town = self._town(self._root.get("RoadNetwork"))
        weather = self._init(board.get("Init"))
        ends: list[dict[str, Any]] = []
        for story in board.all("Story"):
            self._story(story, ends)
        stop = self._triggers.read(board.find("StopTrigger"))
        duration = DURATION
        if stop.when is not None and stop.when.keys() == {"time"}:
            duration = min(max(stop.when["time"] + stop.delay, 0.5), 3600.0)
        elif stop.when is not None:
            ends.append({**stop.when, "delay": stop.delay})
        asserts, unjudged = self._asserts(stop)
        others = [actor for actor in self._actors.values() if actor is not self._ego]
        data: dict[str, Any] = {
            "title": self._title[:80],
            "description": f"From {self._path.name}.{unjudged}",
            "town": town,
            "seed": self._seed,
            "weather": weather,
            "duration": duration,
            "ego": self._ego.as_data(ego=True),
            "actors": [actor.as_data(ego=False) for actor in others],
            "end": ends,
            "assert": asserts,
        }
        keys: dict[str, Key] = {actor.name: ("actors", k) for k, actor in enumerate(others)}
        keys[EGO] = ("ego",)
        for actor in self._actors.values():
            self._lines[keys[actor.name]] = actor.element.line
        for (name, n), line in self._event_lines.items():
            key: Key = (*keys[name], "events", n)
            self._lines[key] = line
        self._lines[("town",)] = self._root.get("RoadNetwork").line
        return data, self._lines

    # Who and where

    def _town(self, network: Element) -> str:
        logic = network.find("LogicFile")
        if logic is None:
            raise network.error("has no LogicFile: a scenario needs a map")
        name = logic.text("filepath")
        plain = Path(name.replace("\\", "/"))
        candidates = [plain, Path(plain.name)] if plain.suffix.lower() == ".xodr" else [Path(f"{plain.name}.xodr")]
        if plain.name.endswith("_Opt"):
            candidates.append(Path(f"{plain.name.removesuffix('_Opt')}.xodr"))
        for candidate in candidates:
            if os.path.isfile(self._path.parent / candidate):  # no error for what cannot be a path
                return str(candidate)
        if name in TOWNS:
            return name
        raise logic.error(f"there is no map {name}; put {candidates[-1]} beside the scenario")

    def _entities(self, entities: Element) -> dict[str, _Actor]:
        entities.only("ScenarioObject")
        found: dict[str, _Actor] = {}
        for each in entities:
            each.only("Vehicle", "Pedestrian", "CatalogReference", "ObjectController")
            kind, color = each.one("ObjectController"), None
            name = each.text("name")
            if name in found:
                raise each.error(f"there is another {name!r}")
            if kind.name == "CatalogReference":
                entry = kind.text("entryName").lower()
                color = next((COLORS[word] for word in COLORS if word in entry), None)
                kind = self._catalogs.find(kind) or kind
            found[name] = _Actor(each, _word(name), _blueprint(kind), _property(kind, "color") or color)
            found[name].controlled = _property(kind, "type") == "ego_vehicle"
            found[name].commanded = each.find("ObjectController") is not None
        if not found:
            raise entities.error("is empty")
        return found

    def _find_ego(self) -> _Actor:
        vehicles = [actor for actor in self._actors.values() if not actor.walks]
        if not vehicles:
            raise self._root.get("Entities").error("has no vehicle that could be the ego")
        told = [a for a in vehicles if a.controlled] or [a for a in vehicles if a.name.lower() in ("ego", "hero")]
        ego = (told or vehicles)[0]
        ego.name = EGO
        return ego

    def _init(self, init: Element) -> dict[str, Any]:
        """Everybody's place and speed; returns the weather."""
        actions = init.get("Actions")
        actions.only("GlobalAction", "Private")
        weather: dict[str, Any] = {}
        for action in actions.all("GlobalAction"):
            kind = action.one()
            if kind.name != "EnvironmentAction":
                raise kind.refuse()
            weather |= _weather(kind.get("Environment"))
        private = actions.all("Private")
        # The ego first: places may be relative to it.
        for each in sorted(private, key=lambda one: self._entity(one) is not self._ego):
            actor = self._entity(each)
            each.only("PrivateAction")
            for action in each:
                for kind in action:
                    self._begin(actor, kind)
        return weather

    def _begin(self, actor: _Actor, kind: Element) -> None:
        if kind.name == "TeleportAction":
            places = {name: (each.spawn or {}, each is self._ego) for name, each in self._actors.items()}
            actor.spawn = self._positions.spawn(kind.get("Position").one(), places)
        elif kind.name == "LongitudinalAction" and kind.one().name == "SpeedAction":
            target = kind.one().get("SpeedActionTarget").one()
            actor.speed = self._actions.target(target)
            keeps = target.text("continuous", "false") == "true"
            actor.told = self._actions.told(target) if keeps else {"speed": actor.speed}
        elif kind.name in ("ControllerAction", "ActivateControllerAction"):
            actor.controlled = actor.controlled or _takes_over(kind, actor.commanded)
        elif kind.name == "RoutingAction" or (kind.name == "LateralAction" and kind.one().name == "LaneOffsetAction"):
            actor.events.append({"when": {"time": 0}, **self._actions.step(actor, kind)})
        else:
            raise (kind.one() if kind.name in ("LongitudinalAction", "LateralAction") else kind).refuse()

    def _entity(self, reference: Element) -> _Actor:
        name = reference.text("entityRef")
        if name not in self._actors:
            raise reference.error(f"there is no entity {name!r}; there are {', '.join(self._actors)}")
        return self._actors[name]

    # What happens

    def _story(self, story: Element, ends: list[dict[str, Any]]) -> None:
        story = story.within(parameters(story.find("ParameterDeclarations")))
        story.only("ParameterDeclarations", "Act")
        acts = story.all("Act")
        for act in acts:
            act.only("ManeuverGroup", "StartTrigger", "StopTrigger")
            begins = self._triggers.read(act.find("StartTrigger"))
            self._acts[act.text("name", "")] = begins.when
            for group in act.all("ManeuverGroup"):
                self._group(group, begins)
            stops = self._triggers.read(act.find("StopTrigger"))
            if stops.when is not None:
                if len(acts) > 1:
                    raise act.get("StopTrigger").error("of one act among several is not supported")
                ends.append({**stops.when, "delay": stops.delay})

    def _group(self, group: Element, begins: Trigger) -> None:
        group.only("Actors", "Maneuver", "CatalogReference")
        if group.number("maximumExecutionCount", 1) > 1:
            raise group.error("maximumExecutionCount above 1 is not supported")
        who = group.get("Actors")
        who.only("EntityRef")
        actors = [self._entity(each) for each in who]
        for actor in actors:
            actor.paths = actor.paths or group.holds("FollowTrajectoryAction")
        names: list[str] = []
        for maneuver in group:
            if maneuver.name == "Actors":
                continue
            if maneuver.name == "CatalogReference":
                maneuver = self._catalogs.get(maneuver)
                if maneuver.name != "Maneuver":
                    raise maneuver.refuse()
            else:
                maneuver = maneuver.within(parameters(maneuver.find("ParameterDeclarations")))
            maneuver.only("ParameterDeclarations", "Event")
            made: list[str] = []
            for event in maneuver.all("Event"):
                for actor in actors:
                    made += self._event(event, actor, begins)
            self._steps[maneuver.text("name", "")] = made
            names += made
        self._steps[group.text("name", "")] = names

    def _event(self, event: Element, actor: _Actor, begins: Trigger) -> list[str]:
        """Add an event's actions to an actor's; returns the names of the steps."""
        event.only("Action", "StartTrigger")
        if event.number("maximumExecutionCount", 1) > 1:
            raise event.error("maximumExecutionCount above 1 is not supported")
        if event.text("priority", "overwrite") not in ("overwrite", "override", "parallel"):
            raise event.error(f"priority {event.text('priority')} is not supported")
        trigger = self._triggers.read(event.find("StartTrigger"))
        names = []
        for action in event.all("Action"):
            private = action.one()
            if private.name != "PrivateAction":
                raise private.refuse()
            count = sum(len(each) for each in self._steps.values())
            step: dict[str, Any] = {
                "name": f"{_word(action.text('name', 'step'))[:30]}_{count}",
                "when": trigger.when or {"time": 0},
            }
            if begins.when is not None:
                step["armed_by"] = begins.when
            if trigger.delay + begins.delay:
                step["delay"] = trigger.delay + begins.delay
            self._event_lines[actor.name, len(actor.events)] = action.line
            actor.events.append({**step, **self._actions.step(actor, private.one())})
            self._steps[action.text("name", "")] = [step["name"]]
            names.append(step["name"])
        self._steps[event.text("name", "")] = names
        return names

    def _state(self, asked: Element) -> dict[str, Any]:
        """What stands for a StoryboardElementStateCondition."""
        name, state = asked.text("storyboardElementRef"), asked.text("state")
        begun = state in ("startTransition", "runningState")
        if not begun and state not in ("endTransition", "completeState"):
            raise asked.error(f"state {state} is not supported")
        if begun and name in self._acts:
            return self._acts[name] or {"time": 0}
        steps = self._steps.get(name)
        if not steps:
            raise asked.error(f"{name!r} is no element that comes before this one")
        held: dict[str, Any] = {"step": {"step": steps[-1], "state": "begun" if begun else "done"}}
        return held

    def _asserts(self, stop: Trigger) -> tuple[list[dict[str, Any]], str]:
        """ScenarioRunner's criteria as assertions, and which of them are not judged."""
        # An ego that does just what the file says cannot help what comes of it.
        asserts: list[dict[str, Any]] = [{"no_collision": EGO}] if self._ego.controlled else []
        unjudged = []
        for name, condition in stop.criteria:
            if name == "DrivenDistanceTest":
                asked = condition.get("ByValueCondition").one()
                asserts.append({"travels": {"least": asked.number("value")}})
            elif name in _CRITERIA:
                asserts += [_CRITERIA[name]] if _CRITERIA[name] not in asserts else []
            else:
                unjudged.append(name)
        return asserts, f" Not judged: {', '.join(unjudged)}." if unjudged else ""


def _word(name: str) -> str:
    """A name as the scenario language wants it."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name if name[:1].isalpha() else f"_{name}")[:41]


def _blueprint(kind: Element) -> str:
    if kind.name not in ("Vehicle", "Pedestrian", "CatalogReference"):
        raise kind.refuse()
    if kind.name == "CatalogReference":
        entry = kind.text("entryName")
        found = next((BLUEPRINTS[word] for word in BLUEPRINTS if word in entry.lower()), None)
        if found is None:
            raise kind.error(f"{entry!r} does not say what it is: name it after one of {', '.join(BLUEPRINTS)}")
        return found
    for name in (kind.text("name", ""), kind.text("model", "")):
        if re.fullmatch(r"(vehicle|walker)\.[\w.-]+", name):
            return name
    category = kind.text("vehicleCategory" if kind.name == "Vehicle" else "pedestrianCategory")
    if category not in BLUEPRINTS:
        raise kind.error(f"category {category} is not supported; known are {', '.join(BLUEPRINTS)}")
    return BLUEPRINTS[category]


def _takes_over(action: Element, commanded: bool) -> bool:
    """Whether an action of Init leaves somebody to a controller that is not in the file."""
    if action.name == "ActivateControllerAction":
        return commanded and action.text("longitudinal", "true").lower() == "true"
    for each in action:
        if each.name == "AssignControllerAction" and (given := each.find("Controller")) is not None:
            # ScenarioRunner's other modules do what the file says.
            if _property(given, "module") in (None, "external_control"):
                return True
        elif each.name == "ActivateControllerAction" and _takes_over(each, commanded):
            return True
    return False


def _property(kind: Element, name: str) -> str | None:
    properties = kind.find("Properties")
    for each in properties.all("Property") if properties is not None else []:
        if each.text("name") == name:
            return each.text("value")
    return None


def _weather(environment: Element) -> dict[str, Any]:
    environment.only("TimeOfDay", "Weather", "RoadCondition", "ParameterDeclarations")
    weather = environment.find("Weather")
    if weather is None:
        return {}
    weather.only("Sun", "Fog", "Precipitation", "Wind", "DomeImage")
    clouds = {"free": 0.0, "zeroOktas": 0.0, "cloudy": 60.0, "overcast": 90.0, "rainy": 90.0, "skyOff": 0.0}
    told = weather.text("cloudState", weather.text("fractionalCloudCover", "free"))
    result: dict[str, Any] = {"cloudiness": clouds.get(told, 40.0)}
    if (sun := weather.find("Sun")) is not None:
        result["sun_azimuth_angle"] = degrees(sun.number("azimuth")) % 360.0
        result["sun_altitude_angle"] = min(max(degrees(sun.number("elevation")), -90.0), 90.0)
    if (rain := weather.find("Precipitation")) is not None and rain.text("precipitationType") == "rain":
        amount = min(max(rain.number("intensity", rain.number("precipitationIntensity", 0.5)), 0.0), 1.0)
        result |= {"precipitation": 100.0 * amount, "precipitation_deposits": 100.0 * amount, "wetness": 100.0 * amount}
    if (fog := weather.find("Fog")) is not None:
        result["fog_density"] = min(max(100.0 * (1.0 - fog.number("visualRange") / 500.0), 0.0), 100.0)
    return result
