"""The names of a storyboard's elements: conditions refer to stories, acts, events and actions by them."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from scenarios.openscenario.catalogs import Catalogs
from scenarios.openscenario.conditions import Triggers
from scenarios.openscenario.elements import Element, parameters
from scenarios.openscenario.entity_draft import EntityDraft


class StoryboardNames:
    """Which steps of the scenario each element of the storyboard becomes, by its name.

    Args:
        declared: The file's parameters and variables with their values.
        catalogs: Resolves references to manoeuvres.
        entity: Returns the entity that an element refers to.
    """

    def __init__(
        self, declared: Mapping[str, str], catalogs: Catalogs, entity: Callable[[Element], EntityDraft]
    ) -> None:
        self._declared, self._catalogs, self._entity = declared, catalogs, entity
        self._steps: dict[str, list[str]] = {}  # storyboard element -> names of its steps
        self._acts: dict[str, Element] = {}  # storyboard element -> its act
        self._unused_names: list[str] = []  # of steps that have not been created yet, in the order of the storyboard
        self._sets: list[tuple[str, str, str]] = []  # parameter that is set, its new value, name of the step

    def next_name(self) -> str:
        """Return the name of the next step, in the order of the storyboard; each is returned once."""
        return self._unused_names.pop(0)

    def survey(self, story: Element) -> None:
        """Name all steps of a story before it is read: conditions may refer to later elements."""
        story = story.within(parameters(story.find("ParameterDeclarations")))
        story_steps: list[str] = []
        for act in story.all("Act"):
            act_steps: list[str] = []
            for group in act.all("ManeuverGroup"):
                group_steps: list[str] = []
                count = len(self.group_actors(group))
                for maneuver in self.maneuvers(group):
                    steps: list[str] = []
                    for event in maneuver.all("Event"):
                        event_steps: list[str] = []
                        for action in event.all("Action"):
                            action_steps = []
                            for _ in range(count if action.find("PrivateAction") is not None else 1):
                                name = identifier(action.text("name", "step"))[:30]
                                action_steps.append(f"{name}_{len(self._unused_names)}")
                                self._unused_names.append(action_steps[-1])
                            self._register(action_steps, act, action, event)
                            event_steps += action_steps
                            self._register_set(action, action_steps)
                        self._register(event_steps, act, event, maneuver)
                        steps += event_steps
                    self._register(steps, act, maneuver, group)
                    group_steps += steps
                self._register(group_steps, act, group, act)
                act_steps += group_steps
            self._register(act_steps, act, act, story)
            story_steps += act_steps
        self._steps.setdefault(story.text("name", ""), story_steps)

    def _register(self, steps: list[str], act: Element, element: Element, parent: Element) -> None:
        """Register the steps of a storyboard element, by its own name and qualified by its parent's."""
        name = element.text("name", "")
        for key in (name, f"{parent.text('name', '')}::{name}"):
            self._steps[key] = steps
            self._acts[key] = act

    def _register_set(self, action: Element, steps: list[str]) -> None:
        change = action.find("GlobalAction")
        if change is None or (what := change.one()).name not in ("ParameterAction", "VariableAction"):
            return
        if (value := what.find("SetAction")) is None:
            raise what.one().refuse()
        name = what.name_of("parameterRef" if what.name == "ParameterAction" else "variableRef")
        self._sets.append((name, value.text("value"), steps[0]))

    def maneuvers(self, group: Element) -> list[Element]:
        """Return the manoeuvres of a group with their parameters replaced, those of catalogs included."""
        maneuvers = []
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
            maneuvers.append(maneuver)
        return maneuvers

    def group_actors(self, group: Element) -> list[EntityDraft]:
        """Return the entities that a group's manoeuvres are for."""
        who = group.get("Actors")
        who.only("EntityRef")
        return [self._entity(each) for each in who]

    def state(self, asked: Element, triggers: Triggers) -> dict[str, Any]:
        """Translate a StoryboardElementStateCondition; ``triggers`` reads the start triggers of acts."""
        name, state = asked.text("storyboardElementRef"), asked.text("state")
        begun = state in ("startTransition", "runningState", "standbyState")
        if not begun and state not in ("endTransition", "completeState", "stopTransition", "skipTransition"):
            raise asked.error(f"state {state} is not supported")
        steps = self._steps.get(name)
        if steps is None:
            raise asked.error(f"there is no {name!r} in the storyboard")
        if begun and asked.text("storyboardElementType", "") not in ("event", "action"):
            act = self._acts.get(name)  # None for a story, which begins at once
            return (triggers.read(act.find("StartTrigger")).when if act is not None else None) or {"time": 0}
        if not steps:
            raise asked.error(f"{name!r} has no action, so it neither begins nor ends")
        conditions = [{"step": {"step": step, "state": "begun" if begun else "done"}} for step in steps]
        if len(conditions) == 1:
            return conditions[0]
        return {"any_of": conditions} if begun else {"all_of": conditions}

    def value(self, asked: Element) -> dict[str, Any]:
        """Translate a condition on a parameter or variable: it holds at once, or when a step has set it."""
        name = asked.name_of("parameterRef" if asked.name == "ParameterCondition" else "variableRef")
        rule, value = asked.text("rule"), asked.text("value")
        if name not in self._declared:
            raise asked.error(f"there is no parameter {name}")
        if _compares(self._declared[name], rule, value):
            return {"time": 0}
        steps = [step for set_, to, step in self._sets if set_ == name and _compares(to, rule, value)]
        if not steps:
            raise asked.error(f"nothing sets {name} to a value that satisfies this condition")
        return {"any_of": [{"step": {"step": step, "state": "done"}} for step in steps]}


def identifier(name: str) -> str:
    """Return a name that is valid in the scenario language."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name if name[:1].isalpha() else f"_{name}")[:41]


def _compares(known: str, rule: str, value: str) -> bool:
    """Return whether a value satisfies a rule; texts that are not numbers can only be equal or not."""
    try:
        a, b = float(known), float(value)
    except ValueError:
        return (known == value) == (rule == "equalTo") if rule in ("equalTo", "notEqualTo") else False
    return {
        "equalTo": a == b, "notEqualTo": a != b, "greaterThan": a > b, "lessThan": a < b, "greaterOrEqual": a >= b,
        "lessOrEqual": a <= b,
    }.get(rule, False)  # fmt: skip
