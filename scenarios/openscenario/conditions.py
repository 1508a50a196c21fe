"""Translation of OpenSCENARIO's triggers to conditions of a scenario."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scenarios.openscenario.elements import Element
from scenarios.openscenario.places import Positions
from scenarios.openscenario.traffic_signals import signal_state

_MORE = ("greaterThan", "greaterOrEqual")
_LESS = ("lessThan", "lessOrEqual")
MAX_DURATION = 3600.0  # s, of a scenario
EQUAL = 0.1  # tolerance within which values are equal
CRITERIA = "criteria_"  # prefix of ScenarioRunner's conditions that are assertions, not triggers


@dataclass
class Trigger:
    """A trigger: a ``when`` of the scenario (None: no condition), and a delay after it holds."""

    when: dict[str, Any] | None = None
    delay: float = 0.0
    rising: bool = False  # not if it holds at its first evaluation
    criteria: list[tuple[str, Element]] = field(default_factory=list)


class Triggers:
    """Translates triggers.

    Args:
        names: Entity -> its name in the scenario.
        states: Translates a StoryboardElementStateCondition.
        values: Translates a condition on a parameter or variable.
        positions: Translates positions.
    """

    def __init__(
        self,
        names: dict[str, str],
        states: Callable[[Element], dict[str, Any]],
        values: Callable[[Element], dict[str, Any]],
        positions: Positions,
    ) -> None:
        self._names, self._states, self._values, self._positions = names, states, values, positions

    def read(self, trigger: Element | None) -> Trigger:
        """Translate a StartTrigger or StopTrigger. Raises ``ScenarioError``."""
        result = Trigger()
        if trigger is None:
            return result
        trigger.only("ConditionGroup")
        groups, edges = [], []
        for group in trigger:
            group.only("Condition")
            conditions = []
            for condition in group:
                if condition.text("name", "").startswith(CRITERIA):
                    result.criteria.append((condition.text("name")[len(CRITERIA) :], condition))
                    continue
                result.delay = max(result.delay, condition.number("delay", 0.0))
                conditions.append(self._condition(condition))
                kind = condition.one()
                lasting = kind.name == "ByEntityCondition" or kind.find("TrafficSignalCondition") is not None
                edges.append((lasting, condition.text("conditionEdge", "none")))
            if conditions:
                groups.append(_all_of(conditions))
        # ScenarioRunner ignores edges; conditions on times and the storyboard become true only once anyway.
        result.rising = self._positions.mirror < 0.0 and edges == [(True, "rising")]
        if groups:
            result.when = groups[0] if len(groups) == 1 else {"any_of": groups}
        return result

    def _condition(self, condition: Element) -> dict[str, Any]:
        kind, edge = condition.one(), condition.text("conditionEdge", "none")
        if kind.name == "ByValueCondition":
            return self._by_value(kind.one(), edge)
        if edge == "falling":
            raise condition.error("conditionEdge falling is not supported")
        if kind.name != "ByEntityCondition":
            raise kind.refuse()
        kind.only("TriggeringEntities", "EntityCondition")
        who = kind.get("TriggeringEntities")
        who.only("EntityRef")
        entities = [self.entity(each) for each in who]
        asked = kind.get("EntityCondition").one()
        conditions = [self._by_entity(asked, name) for name in entities]
        if not conditions:
            raise who.error("is empty")
        if len(conditions) == 1:
            return conditions[0]
        return _all_of(conditions) if who.text("triggeringEntitiesRule") == "all" else {"any_of": conditions}

    def entity(self, reference: Element, attribute: str = "entityRef") -> str:
        """Return an entity's name in the scenario."""
        name = reference.text(attribute)
        if name not in self._names:
            raise reference.error(f"there is no entity {name!r}; there are {', '.join(self._names)}")
        return self._names[name]

    def _by_value(self, asked: Element, edge: str) -> dict[str, Any]:
        if asked.name == "SimulationTimeCondition":
            if (asked.text("rule") in _LESS) != (edge == "falling"):
                raise asked.error(f"rule {asked.text('rule')} is not supported")
            # Also for the falling edge of "less than".
            return {"time": min(max(asked.number("value"), 0.0), MAX_DURATION)}
        if edge == "falling":
            raise asked.error("conditionEdge falling is not supported")
        if asked.name == "StoryboardElementStateCondition":
            return self._states(asked)
        if asked.name == "TrafficSignalCondition":
            return {"light": signal_state(asked)}
        if asked.name in ("ParameterCondition", "VariableCondition"):
            return self._values(asked)
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
                return {"speed": {"of": of, "above": max(value - EQUAL, 0.0), "below": value + EQUAL}}
            return {"speed": {"of": of, **self._bound(asked)}}
        if name == "AccelerationCondition":
            return {"acceleration": {"of": of, **self._bound(asked)}}
        if name == "RelativeSpeedCondition":
            return {"faster": {"of": of, "to": self.entity(asked), **self._bound(asked)}}
        if name in ("OffroadCondition", "EndOfRoadCondition"):
            key = "offroad" if name == "OffroadCondition" else "end_of_road"
            return {key: {"of": of, "least": asked.number("duration")}}
        if name == "RelativeClearanceCondition":
            return self._clear(asked, of)
        if name == "RelativeDistanceCondition":
            return {"distance": {"of": of, "to": self.entity(asked), **_apart(asked), **self._bound(asked)}}
        if name == "TimeHeadwayCondition":
            outlines = {} if asked.text("freespace", "true").lower() == "true" else {"outlines": False}
            return {"headway": {"of": of, "to": self.entity(asked), **outlines, **self._bound(asked)}}
        if name == "TimeToCollisionCondition":
            target, bound = asked.get("TimeToCollisionConditionTarget").one(), self._bound(asked)
            if target.name == "Position":
                place = self._positions.on_map(target.one())
                return {"time_to_collision": {"of": of, "there": place if "x" in place else {"place": place}, **bound}}
            return {"time_to_collision": {"of": of, "to": self.entity(target), **bound}}
        if name in ("ReachPositionCondition", "DistanceCondition"):
            far = name == "DistanceCondition" and asked.text("rule") in _MORE
            if name == "DistanceCondition" and not far and asked.text("rule") not in _LESS:
                raise asked.error(f"rule {asked.text('rule')} is not supported")
            within = asked.number("tolerance" if name == "ReachPositionCondition" else "value")
            place = self._positions.on_map(asked.get("Position").one())
            where = place if "x" in place else {"place": place}
            return {"position": {"of": of, **where, "beyond" if far else "within": within}}
        raise asked.refuse()

    @staticmethod
    def _clear(asked: Element, of: str) -> dict[str, Any]:
        """Translate a RelativeClearanceCondition."""
        asked.only("RelativeLaneRange", "EntityRef")
        if asked.find("EntityRef") is not None:
            raise asked.error("clearance to certain entities is not supported")
        near = {
            "of": of,
            "ahead": asked.number("distanceForward", 0.0),
            "behind": asked.number("distanceBackward", 0.0),
        }
        lanes: list[int] = []
        for span in asked.all("RelativeLaneRange"):
            low, high = int(span.number("from", 0.0)), int(span.number("to", 0.0))
            lanes += range(min(low, high), max(low, high) + 1)
        return _all_of([{"clear": {**near, "lanes": lane}} for lane in lanes or [0]])

    @staticmethod
    def _bound(asked: Element) -> dict[str, float]:
        rule = asked.text("rule")
        if rule == "equalTo":
            return {"above": asked.number("value") - EQUAL, "below": asked.number("value") + EQUAL}
        if rule not in (*_MORE, *_LESS):
            raise asked.error(f"rule {rule} is not supported")
        return {"above" if rule in _MORE else "below": asked.number("value")}


def _apart(asked: Element) -> dict[str, Any]:
    """Return how a relative distance is measured, if not straight between the centres."""
    ways = {"longitudinal": {"way": "ahead"}, "lateral": {"way": "aside"}}
    outlines = {"outlines": True} if asked.text("freespace", "false").lower() == "true" else {}
    return {**ways.get(asked.text("relativeDistanceType", ""), {}), **outlines}


def _all_of(conditions: list[dict[str, Any]]) -> dict[str, Any]:
    """Merge conditions that must all hold; a further one of the same kind goes to ``all_of``."""
    merged: dict[str, Any] = {}
    rest: list[dict[str, Any]] = []
    for condition in conditions:
        if merged.keys() & condition.keys():
            rest.append(condition)
        else:
            merged |= condition
    return {**merged, "all_of": [*merged.get("all_of", []), *rest]} if rest else merged
