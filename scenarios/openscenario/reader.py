"""Translation of ASAM OpenSCENARIO 1.x (.xosc), in the scope of the examples of CARLA's ScenarioRunner and of esmini.

Speeds are exactly those of the actions; steering is by this project's autopilot, which also drives entities that the
file leaves to an external controller. As in ScenarioRunner, positions are CARLA's (left-handed) if the description
begins with ``CARLA:``; otherwise they are the standard's, and y and headings change their sign. Unsupported elements
are refused by name and line; nothing that would change the outcome is ignored.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bridge.process.settings import Key
from scenarios.language.conditions import EGO
from scenarios.openscenario.actions import Actions
from scenarios.openscenario.catalogs import Catalogs
from scenarios.openscenario.conditions import MAX_DURATION, Trigger, Triggers
from scenarios.openscenario.elements import Element, parameters, parse
from scenarios.openscenario.entity_draft import EntityDraft
from scenarios.openscenario.places import Positions
from scenarios.openscenario.road_network import frame_of, town_of
from scenarios.openscenario.stand_ins import COLORS, blueprint_of, property_of, rgb_color, weather_of
from scenarios.openscenario.storyboard_names import StoryboardNames, identifier
from scenarios.openscenario.traffic_signals import commanded_state

MAX_REPEATS = 100_000  # of an event
DURATION = 60.0  # s, without a stop trigger
LONGEST = 300.0  # s, with a stop trigger that does not depend on time
MAX_TRAFFIC = 200  # vehicles
SUMO_TRAFFIC = 20  # vehicles of the town where SUMO would add its own

_CRITERIA: dict[str, dict[str, Any]] = {
    "CollisionTest": {"no_collision": EGO},
    "KeepLaneTest": {"lane_invasions": {"most": 0}},
}


def translate(
    path: Path, raw: bytes, values: Mapping[str, str] | None = None
) -> tuple[str, dict[str, Any], Mapping[Key, int]]:
    """Translate an .xosc text to a scenario: YAML, data, and the lines of its keys. Raises ``ScenarioError``.

    ``values``: of parameters, instead of those that the file declares.
    """
    data, lines = _Translation(path, parse(path, raw), values or {}).scenario()
    text = f"# from {path.name}\n" + yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    return text, data, lines


class _Translation:
    """The translation of one file."""

    def __init__(self, path: Path, root: Element, values: Mapping[str, str]) -> None:
        self._path = path
        if root.find("ParameterValueDistribution") is not None:
            raise root.error("a distribution of parameters is not one scenario: `neuralsim record` runs its variations")
        declared = parameters(root.find("ParameterDeclarations"), values)
        if unknown := values.keys() - declared.keys():
            raise root.error(f"declares no parameter {min(unknown)}")
        self._root = root = root.within(declared)
        header = root.get("FileHeader")
        if header.text("revMajor") != "1":
            raise header.error(f"version {header.text('revMajor')}.{header.text('revMinor', '0')}; only 1.x is read")
        root.only(
            "FileHeader", "ParameterDeclarations", "VariableDeclarations", "CatalogLocations", "RoadNetwork",
            "Entities", "Storyboard",
        )  # fmt: skip
        described = header.text("description", "")
        self._title = described.removeprefix("CARLA:").strip() or path.stem
        self._mirror = 1.0 if described.startswith("CARLA:") else -1.0
        self._seed = int(declared["seed"]) if re.fullmatch("[0-9]{1,9}", declared.get("seed", "")) else 0
        self._lines: dict[Key, int] = {}
        self._changes: list[dict[str, Any]] = []  # of the weather
        self._lights: list[dict[str, Any]] = []  # initial states of signals
        self._event_lines: dict[tuple[str, int], int] = {}  # (actor, number of the event) -> line
        self._traffic = 0  # vehicles of the town's own
        self._catalogs = Catalogs(path, root.find("CatalogLocations"))
        self._town_name = town_of(root.get("RoadNetwork"), path.parent)
        self._positions = Positions(self._catalogs, self._mirror, frame_of(path.parent, self._town_name))
        self._actors = self._entities(root.get("Entities"))
        self._ego = self._find_ego()
        names = {actor.element.text("name"): actor.name for actor in self._actors.values()}
        self._positions.names = names
        all_declared = declared | parameters(root.find("VariableDeclarations"))
        self._names = StoryboardNames(all_declared, self._catalogs, self._entity)
        self._triggers = Triggers(names, self._state, self._names.value, self._positions)
        self._actions = Actions(self._entity, self._positions, self._mirror)

    def scenario(self) -> tuple[dict[str, Any], Mapping[Key, int]]:
        board = self._root.get("Storyboard")
        board.only("Init", "Story", "StopTrigger")
        for story in board.all("Story"):
            self._names.survey(story)
        weather = self._init(board.get("Init"))
        ends: list[dict[str, Any]] = []
        for story in board.all("Story"):
            self._story(story, ends)
        stop = self._triggers.read(board.find("StopTrigger"))
        duration = DURATION
        if stop.when is not None and stop.when.keys() == {"time"}:
            duration = min(max(stop.when["time"] + stop.delay, 0.5), MAX_DURATION)
        elif stop.when is not None:
            times = [condition["time"] for condition in stop.when.get("any_of", ()) if condition.keys() == {"time"}]
            duration = min([*(max(time + stop.delay, 0.5) for time in times), MAX_DURATION]) if times else LONGEST
            ends.append(_end(stop))
        asserts, unjudged = self._asserts(stop)
        others = [actor for actor in self._actors.values() if actor is not self._ego and not actor.is_never_there]
        data: dict[str, Any] = {
            "title": self._title[:80],
            "description": f"From {self._path.name}.{unjudged}",
            "town": self._town_name,
            "seed": self._seed,
            "weather": weather,
            "duration": duration,
            "ego": self._ego.as_data(ego=True, rails=self._mirror < 0.0),
            "actors": [actor.as_data(ego=False, rails=self._mirror < 0.0) for actor in others],
            "end": ends,
            "assert": asserts,
        }
        if self._changes:
            data["changes"] = self._changes
        if self._lights:
            data["lights"] = self._lights
        if self._traffic:
            data["traffic"] = {"vehicles": self._traffic}
        keys: dict[str, Key] = {actor.name: ("actors", k) for k, actor in enumerate(others)}
        keys[EGO] = ("ego",)
        for actor in self._actors.values():
            if actor.name in keys:
                self._lines[keys[actor.name]] = actor.element.line
        for (name, n), line in self._event_lines.items():
            key: Key = (*keys[name], "events", n)
            self._lines[key] = line
        self._lines[("town",)] = self._root.get("RoadNetwork").line
        return data, self._lines

    # Entities and places

    def _entities(self, entities: Element) -> dict[str, EntityDraft]:
        entities.only("ScenarioObject")
        drafts: dict[str, EntityDraft] = {}
        for each in entities:
            each.only("Vehicle", "Pedestrian", "MiscObject", "CatalogReference", "ObjectController")
            kind, color = each.one("ObjectController"), None
            name = each.text("name")
            if self._is_sumo(each):  # stands for all its vehicles
                self._traffic = SUMO_TRAFFIC
                continue
            if name in drafts:
                raise each.error(f"there is another {name!r}")
            if kind.name == "CatalogReference":
                entry = kind.text("entryName").lower()
                color = next((COLORS[word] for word in COLORS if word in entry), None)
                kind = self._catalogs.find(kind) or kind
            color_text = property_of(kind, "color") or color
            blueprint = blueprint_of(kind)
            draft = drafts[name] = EntityDraft(each, identifier(name), blueprint, rgb_color(kind, color_text))
            if (performance := kind.find("Performance")) is not None:
                maximum = performance.number("maxAcceleration", 0.0)
                draft.acceleration = maximum if 0.0 < maximum <= 1000.0 else None
            draft.controlled = property_of(kind, "type") == "ego_vehicle"
            draft.has_controller = each.find("ObjectController") is not None
        if not drafts:
            raise entities.error("is empty")
        return drafts

    def _is_sumo(self, entity: Element) -> bool:
        """Return whether an entity's controller is SUMO."""
        controllers = [kind for each in entity.all("ObjectController") for kind in each]
        found = [self._catalogs.find(kind) if kind.name == "CatalogReference" else kind for kind in controllers]
        return any(kind is not None and property_of(kind, "esminiController") == "SumoController" for kind in found)

    def _find_ego(self) -> EntityDraft:
        vehicles = [actor for actor in self._actors.values() if not actor.walks and not actor.stands]
        if not vehicles:
            raise self._root.get("Entities").error("has no vehicle that could be the ego")
        likely = [a for a in vehicles if a.controlled] or [a for a in vehicles if a.name.lower() in ("ego", "hero")]
        ego = (likely or vehicles)[0]
        ego.name = EGO
        return ego

    def _init(self, init: Element) -> dict[str, Any]:
        """Read the initial places and speeds of all entities; return the weather."""
        actions = init.get("Actions")
        actions.only("GlobalAction", "Private")
        weather: dict[str, Any] = {}
        existence: list[Element] = []  # actions that add or delete an entity
        for action in actions.all("GlobalAction"):
            kind = action.one()
            if kind.name == "EntityAction":
                existence.append(kind)
                continue
            if kind.name == "TrafficAction":
                self._swarm(kind)
                continue
            if kind.name in ("ParameterAction", "VariableAction"):
                continue  # the declared value applies until something in the story sets it
            if kind.name == "InfrastructureAction":
                self._lights.append(commanded_state(kind))
                continue
            if kind.name != "EnvironmentAction":
                raise kind.refuse()
            weather |= weather_of(self._environment(kind))
        private = actions.all("Private")
        # The ego first, since places may be relative to it.
        for each in sorted([*existence, *private], key=lambda element: self._entity(element) is not self._ego):
            actor = self._entity(each)
            if each.name == "EntityAction":
                self._begin(actor, each.one())
                continue
            each.only("PrivateAction")
            for action in each:
                for kind in action:
                    self._begin(actor, kind)
        return weather

    def _swarm(self, action: Element) -> None:
        """Read a TrafficAction: the town's own traffic from the beginning, wherever the standard's is."""
        kind = action.one()
        if kind.name != "TrafficSwarmAction":
            raise kind.refuse()
        self._traffic = min(max(int(kind.number("numberOfVehicles")), 0), MAX_TRAFFIC)

    def _environment(self, action: Element) -> Element:
        environment = action.one()
        return self._catalogs.get(environment) if environment.name == "CatalogReference" else environment

    def _add_or_delete(self, action: Element) -> dict[str, Any]:
        """Translate an EntityAction, which adds or deletes an entity."""
        what = action.one()
        if what.name == "AddEntityAction":
            return {"teleport": self._positions.later(what.get("Position").one())}
        if what.name != "DeleteEntityAction":
            raise what.refuse()
        return {"vanish": True}

    def _begin(self, actor: EntityDraft, kind: Element) -> None:
        if kind.name == "DeleteEntityAction":
            actor.is_absent = True
        elif kind.name in ("TeleportAction", "AddEntityAction"):
            places = {name: (each.spawn or {}, each is self._ego) for name, each in self._actors.items()}
            actor.spawn = self._positions.spawn(kind.get("Position").one(), places)
        elif kind.name == "LongitudinalAction" and kind.one().name == "SpeedAction":
            target = kind.one().get("SpeedActionTarget").one()
            actor.speed = self._actions.target(target)
            keeps = target.text("continuous", "false") == "true"
            actor.initial = self._actions.set_speed(target) if keeps else {"speed": actor.speed}
        elif kind.name in ("ControllerAction", "ActivateControllerAction"):
            actor.controlled = actor.controlled or _takes_over(kind, actor.has_controller)
        else:
            follows = kind.name == "RoutingAction" and kind.one().name == "FollowTrajectoryAction"
            actor.paths = actor.paths or follows
            actor.events.append({"when": {"time": 0}, **self._actions.step(actor, kind)})
            if follows:
                actor.place_on_path()

    def _entity(self, reference: Element) -> EntityDraft:
        name = reference.text("entityRef")
        if name not in self._actors:
            raise reference.error(f"there is no entity {name!r}; there are {', '.join(self._actors)}")
        return self._actors[name]

    # Story

    def _story(self, story: Element, ends: list[dict[str, Any]]) -> None:
        story = story.within(parameters(story.find("ParameterDeclarations")))
        story.only("ParameterDeclarations", "Act")
        acts = story.all("Act")
        for act in acts:
            act.only("ManeuverGroup", "StartTrigger", "StopTrigger")
            begins = self._triggers.read(act.find("StartTrigger"))
            for group in act.all("ManeuverGroup"):
                self._group(group, begins)
            stops = self._triggers.read(act.find("StopTrigger"))
            if stops.when is not None:
                if len(acts) > 1:
                    raise act.get("StopTrigger").error("in one of several acts is not supported")
                ends.append(_end(stops))

    def _group(self, group: Element, begins: Trigger) -> None:
        group.only("Actors", "Maneuver", "CatalogReference")
        actors = self._names.group_actors(group)
        for actor in actors:
            actor.paths = actor.paths or group.contains("FollowTrajectoryAction")
        repeats = max(int(group.number("maximumExecutionCount", 1)), 1)
        for maneuver in self._names.maneuvers(group):
            for event in maneuver.all("Event"):
                self._event(event, actors, begins, repeats)

    def _event(self, event: Element, actors: list[EntityDraft], begins: Trigger, repeats: int) -> None:
        """Add an event's actions to its actors."""
        event.only("Action", "StartTrigger")
        if event.text("priority", "overwrite") not in ("overwrite", "override", "parallel"):
            raise event.error(f"priority {event.text('priority')} is not supported")
        repeats = min(repeats * max(int(event.number("maximumExecutionCount", 1)), 1), MAX_REPEATS)
        trigger = self._triggers.read(event.find("StartTrigger"))
        step: dict[str, Any] = {"when": trigger.when or {"time": 0}}
        if begins.when is not None:
            step["armed_by"] = begins.when
        if trigger.rising:
            step["rising"] = True
        if trigger.delay + begins.delay:
            step["delay"] = trigger.delay + begins.delay
        if repeats > 1:
            step["repeats"] = repeats
        for action in event.all("Action"):
            what = next(iter(action), None)
            if what is None:  # only waits for its trigger
                self._add(self._ego, {"name": self._names.next_name(), **step, "mark": True}, action.line)
                continue
            what = action.one()
            if what.name == "GlobalAction":
                self._global(what.one(), {"name": self._names.next_name(), **step}, action.line)
                continue
            if what.name == "UserDefinedAction":
                raise what.refuse()
            for actor in actors:
                named = {"name": self._names.next_name(), **step}
                self._add(actor, {**named, **self._actions.step(actor, what.one())}, action.line)

    def _global(self, action: Element, step: dict[str, Any], line: int) -> None:
        """Add a global action as a step of the entity that it concerns, or of the ego."""
        if action.name == "TrafficAction":
            self._swarm(action)
            self._add(self._ego, {**step, "mark": True}, line)
        elif action.name == "EnvironmentAction":
            self._changes.append({"when": step["when"], "weather": weather_of(self._environment(action))})
            self._add(self._ego, {**step, "mark": True}, line)
        elif action.name in ("ParameterAction", "VariableAction"):
            self._add(self._ego, {**step, "mark": True}, line)
        elif action.name == "InfrastructureAction":
            self._add(self._ego, {**step, "set_light": commanded_state(action)}, line)
        elif action.name == "EntityAction":
            self._add(self._entity(action), {**step, **self._add_or_delete(action)}, line)
        else:
            raise action.refuse()

    def _add(self, actor: EntityDraft, step: dict[str, Any], line: int) -> None:
        self._event_lines[actor.name, len(actor.events)] = line
        actor.events.append(step)

    def _state(self, asked: Element) -> dict[str, Any]:
        return self._names.state(asked, self._triggers)

    def _asserts(self, stop: Trigger) -> tuple[list[dict[str, Any]], str]:
        """Return ScenarioRunner's criteria as assertions, and a text that lists those that are not judged."""
        # If the file determines everything that the ego does, the ego is not judged.
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


def _end(trigger: Trigger) -> dict[str, Any]:
    """Return a trigger as an ``end``."""
    return {**(trigger.when or {}), "delay": trigger.delay, **({"rising": True} if trigger.rising else {})}


def _takes_over(action: Element, has_controller: bool) -> bool:
    """Return whether an action in Init assigns the entity to a controller that is external to the file."""
    if action.name == "ActivateControllerAction":
        return has_controller and action.text("longitudinal", "true").lower() == "true"
    for each in action:
        if each.name == "AssignControllerAction" and (controller := each.find("Controller")) is not None:
            # ScenarioRunner's other modules execute the file's actions.
            if property_of(controller, "module") in (None, "external_control"):
                return True
        elif each.name == "ActivateControllerAction" and _takes_over(each, has_controller):
            return True
    return False
