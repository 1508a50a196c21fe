"""ASAM OpenSCENARIO 1.x (.xosc) as a scenario, in the scope of CARLA's ScenarioRunner examples and esmini's basic ones.

Speeds are exactly those of the actions; steering is by this project's autopilot. Entities that the file leaves to an
external controller are driven by it altogether. As in ScenarioRunner, positions are CARLA's (left-handed) where the
description begins with ``CARLA:``; else they are the standard's, and y and headings change their sign.
Unsupported elements are refused by name and line; nothing that would change the outcome is ignored.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from math import atan2, degrees
from pathlib import Path
from typing import Any

import yaml

from bridge.process.presets import PLAIN, TOWNS
from bridge.process.settings import Key
from bridge.untrusted import files, limits
from scenarios.language.conditions import EGO
from scenarios.openscenario.actions import Actions
from scenarios.openscenario.catalogs import Catalogs
from scenarios.openscenario.conditions import Trigger, Triggers
from scenarios.openscenario.elements import Element, parameters, parse
from scenarios.openscenario.entity_draft import EntityDraft
from scenarios.openscenario.places import Positions
from scenarios.openscenario.stand_ins import COLORS, blueprint_of, paint, property_of, weather_of
from scenarios.openscenario.traffic_signals import set_by

MOST_TIMES = 100_000  # that an event begins
DURATION = 60.0  # s, where there is no stop trigger
LONGEST = 300.0  # s until a stop trigger that asks for something else than a time is given up

_CRITERIA: dict[str, dict[str, Any]] = {
    "CollisionTest": {"no_collision": EGO},
    "KeepLaneTest": {"lane_invasions": {"most": 0}},
}


def translate(path: Path, raw: bytes) -> tuple[str, dict[str, Any], Mapping[Key, int]]:
    """The scenario in an .xosc text: as YAML, as data, and the line of its keys. Raises ``ScenarioError``."""
    data, lines = _Translation(path, parse(path, raw)).scenario()
    text = f"# from {path.name}\n" + yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    return text, data, lines


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
            "FileHeader", "ParameterDeclarations", "VariableDeclarations", "CatalogLocations", "RoadNetwork",
            "Entities", "Storyboard",
        )  # fmt: skip
        described = header.text("description", "")
        self._title = described.removeprefix("CARLA:").strip() or path.stem
        self._mirror = 1.0 if described.startswith("CARLA:") else -1.0
        self._seed = int(declared["seed"]) if re.fullmatch("[0-9]{1,9}", declared.get("seed", "")) else 0
        self._steps: dict[str, list[str]] = {}  # element of the storyboard -> names of the steps that it is
        self._acts: dict[str, Element] = {}  # act, and what belongs to one -> that act
        self._unused: list[str] = []  # names of steps that are still to be made, in the order of the storyboard
        self._declared = declared | parameters(root.find("VariableDeclarations"))
        self._sets: list[tuple[str, str, str]] = []  # parameter that is set, its new value, name of that step
        self._lines: dict[Key, int] = {}
        self._changes: list[dict[str, Any]] = []  # of the weather
        self._lights: list[dict[str, Any]] = []  # what signals show from the beginning
        self._event_lines: dict[tuple[str, int], int] = {}  # of an actor's events
        self._catalogs = Catalogs(path, root.find("CatalogLocations"))
        self._town_name = self._town(root.get("RoadNetwork"))
        self._positions = Positions(self._catalogs, self._mirror, self._keeps_left())
        self._actors = self._entities(root.get("Entities"))
        self._ego = self._find_ego()
        names = {actor.element.text("name"): actor.name for actor in self._actors.values()}
        self._positions.names = names
        self._triggers = Triggers(names, self._state, self._value, self._positions)
        self._actions = Actions(self._entity, self._positions, self._mirror)

    def scenario(self) -> tuple[dict[str, Any], Mapping[Key, int]]:
        board = self._root.get("Storyboard")
        board.only("Init", "Story", "StopTrigger")
        for story in board.all("Story"):
            self._survey(story)
        weather = self._init(board.get("Init"))
        ends: list[dict[str, Any]] = []
        for story in board.all("Story"):
            self._story(story, ends)
        stop = self._triggers.read(board.find("StopTrigger"))
        duration = DURATION
        if stop.when is not None and stop.when.keys() == {"time"}:
            duration = min(max(stop.when["time"] + stop.delay, 0.5), 3600.0)
        elif stop.when is not None:
            times = [one["time"] for one in stop.when.get("any_of", ()) if one.keys() == {"time"}]
            duration = min([*(max(time + stop.delay, 0.5) for time in times), 3600.0]) if times else LONGEST
            ends.append(_end(stop))
        asserts, unjudged = self._asserts(stop)
        others = [actor for actor in self._actors.values() if actor is not self._ego]
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
            return PLAIN
        name = logic.text("filepath")
        plain = Path(name.replace("\\", "/"))
        candidates = [plain, Path(plain.name)] if plain.suffix.lower() == ".xodr" else [Path(f"{plain.name}.xodr")]
        if plain.name.endswith("_Opt"):
            candidates.append(Path(f"{plain.name.removesuffix('_Opt')}.xodr"))
        # Elsewhere it may be as much of the path's end as there is beside the scenario or its folder.
        parts = plain.parts
        candidates[1:1] = [Path(up, *parts[k:]) for k in range(1, len(parts)) for up in ("", "..")]
        for candidate in candidates:
            if os.path.isfile(self._path.parent / candidate):  # no error for what cannot be a path
                return str(candidate)
        if name in TOWNS:
            return name
        raise logic.error(f"there is no map {name}; put {candidates[-1]} beside the scenario")

    def _keeps_left(self) -> bool:
        """Whether traffic of the scenario's map keeps left."""
        if not self._town_name.endswith(".xodr"):
            return False
        text = files.read_bytes(self._path.parent / self._town_name, limits.OPENDRIVE_SIZE)
        return re.search(rb"""<road\b[^>]*\brule\s*=\s*["']LHT["']""", text) is not None

    def _entities(self, entities: Element) -> dict[str, EntityDraft]:
        entities.only("ScenarioObject")
        found: dict[str, EntityDraft] = {}
        for each in entities:
            each.only("Vehicle", "Pedestrian", "MiscObject", "CatalogReference", "ObjectController")
            kind, color = each.one("ObjectController"), None
            name = each.text("name")
            if name in found:
                raise each.error(f"there is another {name!r}")
            if kind.name == "CatalogReference":
                entry = kind.text("entryName").lower()
                color = next((COLORS[word] for word in COLORS if word in entry), None)
                kind = self._catalogs.find(kind) or kind
            painted = property_of(kind, "color") or color
            blueprint = blueprint_of(kind)
            found[name] = EntityDraft(each, _word(name), blueprint, paint(kind, painted))
            if (performance := kind.find("Performance")) is not None:
                most = performance.number("maxAcceleration", 0.0)
                found[name].acceleration = most if 0.0 < most <= 1000.0 else None
            found[name].controlled = property_of(kind, "type") == "ego_vehicle"
            found[name].commanded = each.find("ObjectController") is not None
        if not found:
            raise entities.error("is empty")
        return found

    def _find_ego(self) -> EntityDraft:
        vehicles = [actor for actor in self._actors.values() if not actor.walks and not actor.stands]
        if not vehicles:
            raise self._root.get("Entities").error("has no vehicle that could be the ego")
        named = [a for a in vehicles if a.controlled] or [a for a in vehicles if a.name.lower() in ("ego", "hero")]
        ego = (named or vehicles)[0]
        ego.name = EGO
        return ego

    def _init(self, init: Element) -> dict[str, Any]:
        """Read the initial places and speeds of all entities; returns the weather."""
        actions = init.get("Actions")
        actions.only("GlobalAction", "Private")
        weather: dict[str, Any] = {}
        for action in actions.all("GlobalAction"):
            kind = action.one()
            if kind.name == "EntityAction":
                self._appears(kind)
                continue
            if kind.name in ("ParameterAction", "VariableAction"):
                continue  # its value is what is declared, until something in the story sets it
            if kind.name == "InfrastructureAction":
                self._lights.append(set_by(kind))
                continue
            if kind.name != "EnvironmentAction":
                raise kind.refuse()
            weather |= weather_of(self._environment(kind))
        private = actions.all("Private")
        # The ego first: places may be relative to it.
        for each in sorted(private, key=lambda one: self._entity(one) is not self._ego):
            actor = self._entity(each)
            each.only("PrivateAction")
            for action in each:
                for kind in action:
                    self._begin(actor, kind)
        return weather

    def _environment(self, action: Element) -> Element:
        given = action.one()
        return self._catalogs.get(given) if given.name == "CatalogReference" else given

    def _appears(self, action: Element) -> dict[str, Any]:
        """Somebody comes into being, or is no more."""
        what = action.one()
        if what.name == "AddEntityAction":
            return {"teleport": self._positions.later(what.get("Position").one())}
        if what.name != "DeleteEntityAction":
            raise what.refuse()
        return {"vanish": True}

    def _begin(self, actor: EntityDraft, kind: Element) -> None:
        if kind.name == "TeleportAction":
            places = {name: (each.spawn or {}, each is self._ego) for name, each in self._actors.items()}
            actor.spawn = self._positions.spawn(kind.get("Position").one(), places)
        elif kind.name == "LongitudinalAction" and kind.one().name == "SpeedAction":
            target = kind.one().get("SpeedActionTarget").one()
            actor.speed = self._actions.target(target)
            keeps = target.text("continuous", "false") == "true"
            actor.initial = self._actions.set_speed(target) if keeps else {"speed": actor.speed}
        elif kind.name in ("ControllerAction", "ActivateControllerAction"):
            actor.controlled = actor.controlled or _takes_over(kind, actor.commanded)
        else:
            follows = kind.name == "RoutingAction" and kind.one().name == "FollowTrajectoryAction"
            actor.paths = actor.paths or follows
            step = self._actions.step(actor, kind)
            actor.events.append({"when": {"time": 0}, **step})
            if follows and actor.spawn is None and step["follow_path"].get("frame") is None:
                first, then = step["follow_path"]["points"][:2]
                actor.spawn = {key: value for key, value in first.items() if key != "at"}
                if "x" in first and "x" in then:
                    actor.spawn["yaw"] = degrees(atan2(then["y"] - first["y"], then["x"] - first["x"]))

    def _entity(self, reference: Element) -> EntityDraft:
        name = reference.text("entityRef")
        if name not in self._actors:
            raise reference.error(f"there is no entity {name!r}; there are {', '.join(self._actors)}")
        return self._actors[name]

    # What happens

    def _survey(self, story: Element) -> None:
        """Note what there is in a story before it is read: conditions ask for what comes later, too."""
        story = story.within(parameters(story.find("ParameterDeclarations")))
        mine: list[str] = []
        for act in story.all("Act"):
            made: list[str] = []
            for group in act.all("ManeuverGroup"):
                names: list[str] = []
                count = len(self._group_actors(group))
                for maneuver in self._maneuvers(group):
                    steps: list[str] = []
                    for event in maneuver.all("Event"):
                        of_event: list[str] = []
                        for action in event.all("Action"):
                            of_action = []
                            for _ in range(1 if action.find("GlobalAction") is not None else count):
                                of_action.append(f"{_word(action.text('name', 'step'))[:30]}_{len(self._unused)}")
                                self._unused.append(of_action[-1])
                            self._note(of_action, act, action, event)
                            of_event += of_action
                            self._note_set(action, of_action)
                        self._note(of_event, act, event, maneuver)
                        steps += of_event
                    self._note(steps, act, maneuver, group)
                    names += steps
                self._note(names, act, group, act)
                made += names
            self._note(made, act, act, story)
            mine += made
        self._steps.setdefault(story.text("name", ""), mine)

    def _note(self, steps: list[str], act: Element, element: Element, parent: Element) -> None:
        """These steps are an element of the storyboard, by its own name and by its parent's before it."""
        name = element.text("name", "")
        for known in (name, f"{parent.text('name', '')}::{name}"):
            self._steps[known] = steps
            self._acts[known] = act

    def _note_set(self, action: Element, steps: list[str]) -> None:
        change = action.find("GlobalAction")
        if change is None or (what := change.one()).name not in ("ParameterAction", "VariableAction"):
            return
        if (value := what.find("SetAction")) is None:
            raise what.one().refuse()
        name = what.name_of("parameterRef" if what.name == "ParameterAction" else "variableRef")
        self._sets.append((name, value.text("value"), steps[0]))

    def _maneuvers(self, group: Element) -> list[Element]:
        found = []
        for maneuver in group:
            if maneuver.name == "CatalogReference":
                maneuver = self._catalogs.get(maneuver)
                if maneuver.name != "Maneuver":
                    raise maneuver.refuse()
            elif maneuver.name == "Maneuver":
                maneuver = maneuver.within(parameters(maneuver.find("ParameterDeclarations")))
            else:
                continue
            maneuver.only("ParameterDeclarations", "Event")
            found.append(maneuver)
        return found

    def _group_actors(self, group: Element) -> list[EntityDraft]:
        who = group.get("Actors")
        who.only("EntityRef")
        return [self._entity(each) for each in who]

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
                    raise act.get("StopTrigger").error("of one act among several is not supported")
                ends.append(_end(stops))

    def _group(self, group: Element, begins: Trigger) -> None:
        group.only("Actors", "Maneuver", "CatalogReference")
        actors = self._group_actors(group)
        for actor in actors:
            actor.paths = actor.paths or group.holds("FollowTrajectoryAction")
        repeats = max(int(group.number("maximumExecutionCount", 1)), 1)
        for maneuver in self._maneuvers(group):
            for event in maneuver.all("Event"):
                self._event(event, actors, begins, repeats)

    def _event(self, event: Element, actors: list[EntityDraft], begins: Trigger, repeats: int) -> None:
        """Add an event's actions to its actors'."""
        event.only("Action", "StartTrigger")
        if event.text("priority", "overwrite") not in ("overwrite", "override", "parallel"):
            raise event.error(f"priority {event.text('priority')} is not supported")
        repeats = min(repeats * max(int(event.number("maximumExecutionCount", 1)), 1), MOST_TIMES)
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
            what = action.one()
            if what.name == "GlobalAction":
                self._global(what.one(), {"name": self._unused.pop(0), **step}, action.line)
                continue
            if what.name == "UserDefinedAction":
                raise what.refuse()
            for actor in actors:
                named = {"name": self._unused.pop(0), **step}
                self._add(actor, {**named, **self._actions.step(actor, what.one())}, action.line)

    def _global(self, action: Element, step: dict[str, Any], line: int) -> None:
        """What happens to the world, as a step of the ego or of whom it is about."""
        if action.name == "EnvironmentAction":
            self._changes.append({"when": step["when"], "weather": weather_of(self._environment(action))})
            self._add(self._ego, {**step, "mark": True}, line)
        elif action.name in ("ParameterAction", "VariableAction"):
            self._add(self._ego, {**step, "mark": True}, line)
        elif action.name == "InfrastructureAction":
            self._add(self._ego, {**step, "set_light": set_by(action)}, line)
        elif action.name == "EntityAction":
            self._add(self._entity(action), {**step, **self._appears(action)}, line)
        else:
            raise action.refuse()

    def _add(self, actor: EntityDraft, step: dict[str, Any], line: int) -> None:
        self._event_lines[actor.name, len(actor.events)] = line
        actor.events.append(step)

    def _state(self, asked: Element) -> dict[str, Any]:
        """What stands for a StoryboardElementStateCondition."""
        name, state = asked.text("storyboardElementRef"), asked.text("state")
        begun = state in ("startTransition", "runningState", "standbyState")
        if not begun and state not in ("endTransition", "completeState", "stopTransition", "skipTransition"):
            raise asked.error(f"state {state} is not supported")
        steps = self._steps.get(name)
        if steps is None:
            raise asked.error(f"there is no {name!r} in the storyboard")
        if begun and asked.text("storyboardElementType", "") not in ("event", "action"):
            act = self._acts.get(name)  # of a story: it begins with the first moment
            return (self._triggers.read(act.find("StartTrigger")).when if act is not None else None) or {"time": 0}
        if not steps:
            raise asked.error(f"{name!r} has no action, so nothing of it begins or ends")
        held = [{"step": {"step": step, "state": "begun" if begun else "done"}} for step in steps]
        return held[0] if len(held) == 1 else {"any_of": held} if begun else {"all_of": held}

    def _value(self, asked: Element) -> dict[str, Any]:
        """What stands for a condition about a parameter or variable: now, never, or from when it is set."""
        name = asked.name_of("parameterRef" if asked.name == "ParameterCondition" else "variableRef")
        rule, value = asked.text("rule"), asked.text("value")
        if name not in self._declared:
            raise asked.error(f"there is no parameter {name}")
        if _compares(self._declared[name], rule, value):
            return {"time": 0}
        steps = [step for set_, to, step in self._sets if set_ == name and _compares(to, rule, value)]
        if not steps:
            raise asked.error(f"nothing sets {name} to what is asked for")
        return {"any_of": [{"step": {"step": step, "state": "done"}} for step in steps]}

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


def _end(trigger: Trigger) -> dict[str, Any]:
    """A trigger as an ``end``."""
    return {**(trigger.when or {}), "delay": trigger.delay, **({"rising": True} if trigger.rising else {})}


def _word(name: str) -> str:
    """A name as the scenario language wants it."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name if name[:1].isalpha() else f"_{name}")[:41]


def _compares(known: str, rule: str, value: str) -> bool:
    """Whether a value is equal to, more or less than another one; words can but be equal."""
    try:
        a, b = float(known), float(value)
    except ValueError:
        return (known == value) == (rule == "equalTo") if rule in ("equalTo", "notEqualTo") else False
    return {
        "equalTo": a == b, "notEqualTo": a != b, "greaterThan": a > b, "lessThan": a < b, "greaterOrEqual": a >= b,
        "lessOrEqual": a <= b,
    }.get(rule, False)  # fmt: skip


def _takes_over(action: Element, commanded: bool) -> bool:
    """Whether an action of Init assigns the entity to a controller that is not in the file."""
    if action.name == "ActivateControllerAction":
        return commanded and action.text("longitudinal", "true").lower() == "true"
    for each in action:
        if each.name == "AssignControllerAction" and (given := each.find("Controller")) is not None:
            # ScenarioRunner's other modules do what the file says.
            if property_of(given, "module") in (None, "external_control"):
                return True
        elif each.name == "ActivateControllerAction" and _takes_over(each, commanded):
            return True
    return False
