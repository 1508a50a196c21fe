"""OpenSCENARIO's triggers as conditions of a scenario."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scenarios.openscenario.elements import Element
from scenarios.openscenario.places import Positions

_MORE = ("greaterThan", "greaterOrEqual")
_LESS = ("lessThan", "lessOrEqual")
SAME = 0.1  # m/s within which speeds are equal
CRITERIA = "criteria_"  # how ScenarioRunner's parameters begin that ask for a judgement, not for a time


@dataclass
class Trigger:
    """What a trigger asks for: a ``when`` of the scenario (None: nothing), and how long after it holds."""

    when: dict[str, Any] | None = None
    delay: float = 0.0
    criteria: list[tuple[str, Element]] = field(default_factory=list)


class Triggers:
    """Translates triggers. ``names`` are the entities' names in the scenario, ``states`` what stands for "this element
    of the storyboard has begun" or "is done"."""

    def __init__(
        self, names: dict[str, str], states: Callable[[Element], dict[str, Any]], positions: Positions
    ) -> None:
        self._names, self._states, self._positions = names, states, positions

    def read(self, trigger: Element | None) -> Trigger:
        """A StartTrigger or StopTrigger. Raises ``ScenarioError``."""
        result = Trigger()
        if trigger is None:
            return result
        trigger.only("ConditionGroup")
        groups = []
        for group in trigger:
            group.only("Condition")
            held = []
            for condition in group:
                if condition.text("name", "").startswith(CRITERIA):
                    result.criteria.append((condition.text("name")[len(CRITERIA) :], condition))
                    continue
                if condition.text("conditionEdge", "none") not in ("none", "rising", "risingOrFalling"):
                    raise condition.error(f"conditionEdge {condition.text('conditionEdge')} is not supported")
                result.delay = max(result.delay, condition.number("delay", 0.0))
                held.append(self._condition(condition))
            if held:
                groups.append(_all_of(held))
        if groups:
            result.when = groups[0] if len(groups) == 1 else {"any_of": groups}
        return result

    def _condition(self, condition: Element) -> dict[str, Any]:
        kind = condition.one()
        if kind.name == "ByValueCondition":
            return self._by_value(kind.one())
        if kind.name != "ByEntityCondition":
            raise kind.refuse()
        kind.only("TriggeringEntities", "EntityCondition")
        who = kind.get("TriggeringEntities")
        who.only("EntityRef")
        entities = [self.entity(each) for each in who]
        asked = kind.get("EntityCondition").one()
        each_ = [self._by_entity(asked, name) for name in entities]
        if not each_:
            raise who.error("is empty")
        if len(each_) == 1:
            return each_[0]
        return _all_of(each_) if who.text("triggeringEntitiesRule") == "all" else {"any_of": each_}

    def entity(self, reference: Element, attribute: str = "entityRef") -> str:
        """The scenario's name of an entity."""
        name = reference.text(attribute)
        if name not in self._names:
            raise reference.error(f"there is no entity {name!r}; there are {', '.join(self._names)}")
        return self._names[name]

    def _by_value(self, asked: Element) -> dict[str, Any]:
        if asked.name == "SimulationTimeCondition":
            if asked.text("rule") in _LESS:
                raise asked.error(f"rule {asked.text('rule')} is not supported")
            return {"time": max(asked.number("value"), 0.0)}
        if asked.name == "StoryboardElementStateCondition":
            return self._states(asked)
        raise asked.refuse()

    def _by_entity(self, asked: Element, of: str) -> dict[str, Any]:
        name = asked.name
        if name == "TraveledDistanceCondition":
            return {"travelled": {"of": of, "above": asked.number("value")}}
        if name == "StandStillCondition":
            return {"standing": {"of": of, "least": asked.number("duration")}}
        if name == "CollisionCondition":
            other = asked.find("EntityRef")
            if other is None and list(asked):
                raise asked.one().refuse()
            return {"collision": {"of": of, **({"with": self.entity(other)} if other is not None else {})}}
        if name == "SpeedCondition":
            if asked.text("rule") == "equalTo":
                value = asked.number("value")
                return {"speed": {"of": of, "above": max(value - SAME, 0.0), "below": value + SAME}}
            return {"speed": {"of": of, **self._bound(asked)}}
        if name == "RelativeDistanceCondition":
            return {"distance": {"of": of, "to": self.entity(asked), **self._bound(asked)}}
        if name == "TimeHeadwayCondition":
            return {"headway": {"of": of, "to": self.entity(asked), **self._bound(asked)}}
        if name == "TimeToCollisionCondition":
            target = asked.get("TimeToCollisionConditionTarget").one()
            if target.name != "EntityRef":
                raise target.refuse()
            bound = self._bound(asked)
            if "below" not in bound:
                raise asked.error(f"rule {asked.text('rule')} is not supported")
            return {"time_to_collision": {"of": of, "to": self.entity(target), **bound}}
        if name in ("ReachPositionCondition", "DistanceCondition"):
            if name == "DistanceCondition" and asked.text("rule") not in _LESS:
                raise asked.error(f"rule {asked.text('rule')} is not supported")
            within = asked.number("tolerance" if name == "ReachPositionCondition" else "value")
            place = self._positions.on_map(asked.get("Position").one())
            return {"position": {"of": of, **(place if "x" in place else {"place": place}), "within": within}}
        raise asked.refuse()

    @staticmethod
    def _bound(asked: Element) -> dict[str, float]:
        rule = asked.text("rule")
        if rule not in (*_MORE, *_LESS):
            raise asked.error(f"rule {rule} is not supported")
        return {"above" if rule in _MORE else "below": asked.number("value")}


def _all_of(conditions: list[dict[str, Any]]) -> dict[str, Any]:
    """One condition out of several that must all hold; two of a kind are put into each other."""
    merged: dict[str, Any] = {}
    rest: list[dict[str, Any]] = []
    for condition in conditions:
        if merged.keys() & condition.keys():
            rest.append(condition)
        else:
            merged |= condition
    if rest:
        if "any_of" in merged:  # each of these alternatives must hold together with the rest
            both = _all_of(rest)
            return {**merged, "any_of": [_all_of([one, both]) for one in merged["any_of"]]}
        merged["any_of"] = [_all_of(rest)]
    return merged
