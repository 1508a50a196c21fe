"""OpenSCENARIO's positions as places of a scenario."""

from __future__ import annotations

from collections.abc import Mapping
from math import degrees
from typing import Any

from scenarios.openscenario.catalogs import Catalogs
from scenarios.openscenario.elements import Element


class Positions:
    """Translates positions. ``mirror`` is 1 for CARLA's axes, -1 for the standard's; ``keeps_left``: the map's traffic
    does."""

    def __init__(self, catalogs: Catalogs, mirror: float, keeps_left: bool) -> None:
        self._catalogs, self.mirror, self._keeps_left = catalogs, mirror, keeps_left
        self.names: Mapping[str, str] = {}  # of the entities, in the scenario

    def backwards(self, lane: int) -> bool:
        """Whether a lane leads against its road's reference line."""
        return (lane > 0) != self._keeps_left

    def _name_of(self, position: Element) -> str:
        name = position.text("entityRef")
        if name not in self.names:
            raise position.error(f"there is no entity {name!r}; there are {', '.join(self.names)}")
        return self.names[name]

    def spawn(self, position: Element, others: Mapping[str, tuple[dict[str, Any], bool]]) -> dict[str, Any]:
        """A position as the language's ``spawn``.

        ``others`` are the entities' places so far, and which is the ego. Raises ``ScenarioError``.
        """
        if position.name == "RoutePosition":
            return self._on_route(position)
        return self._place_of(position, others)

    def on_map(self, position: Element, *, across: bool = False) -> dict[str, Any]:
        """A position as a place on the map, with ``across`` also beside a lane. What is relative to an entity is so to
        where that is when the place is asked for."""
        place = self.later(position)
        known = ("road", "lane", "s", "t", "x", "y", "ahead", "of", *(["across", "lanes"] if across else []))
        if not across and ("lanes" in place or (position.name.startswith("Relative") and "across" in place)):
            raise position.error("beside another actor's lane is not supported here")
        return {key: value for key, value in place.items() if key in known}

    def later(self, position: Element) -> dict[str, Any]:
        """A position as the language's ``spawn`` for an actor that goes there while others move."""
        if not position.name.startswith("Relative"):
            return self.spawn(position, {})
        name = self._name_of(position)
        if position.name == "RelativeWorldPosition":
            raise position.refuse()
        place = self._place_of(position, {position.text("entityRef"): ({"ahead": 0.0}, True)})
        return {**place, "of": name}

    def waypoints(self, route: Element) -> list[Element]:
        """The positions of a Route, or of one in a catalog."""
        if route.name == "CatalogReference":
            route = self._catalogs.get(route)
        if route.name != "Route":
            raise route.refuse()
        found = [point.get("Position").one() for point in route.all("Waypoint")]
        if not found:
            raise route.error("has no Waypoint")
        return found

    def _on_route(self, position: Element) -> dict[str, Any]:
        """So many metres along the road where a route begins."""
        position.only("RouteRef", "InRoutePosition", "Orientation")
        first = self.waypoints(position.get("RouteRef").one())[0]
        if first.name != "LanePosition":
            raise position.error(f"of a route that begins at a {first.name} is not supported")
        within = position.get("InRoutePosition").one()
        if within.name != "FromLaneCoordinates":
            raise within.refuse()
        place = self._place_of(first, {})
        along = within.number("pathS")
        lane = _whole(within, "laneId") if within.text("laneId", "") else place["lane"]
        return {**place, "lane": lane, "s": place["s"] + (-along if self.backwards(place["lane"]) else along)}

    def _place_of(self, position: Element, others: Mapping[str, tuple[dict[str, Any], bool]]) -> dict[str, Any]:
        """``others`` are the entities' places so far, and which is the ego."""
        mirror = self.mirror
        turn = position.find("Orientation")
        h = turn.number("h", 0.0) if turn is not None else 0.0
        name = position.name
        if name == "WorldPosition":
            yaw = degrees(mirror * position.number("h", 0.0))
            place: dict[str, Any] = {"x": position.number("x"), "y": mirror * position.number("y")}
            return place | {"yaw": (yaw + 180.0) % 360.0 - 180.0}
        if name == "LanePosition":
            lane = _whole(position, "laneId")
            place = {"road": _whole(position, "roadId"), "lane": lane, "s": position.number("s")}
            across = mirror * position.number("offset", 0.0)  # to the left in the standard, else to the right
            if mirror < 0.0 and self.backwards(lane):
                across = -across  # the standard's offset is the reference line's, whichever way the lane goes
            return _adjusted(place, across, mirror * h)
        if name == "RoadPosition":
            place = {"road": _whole(position, "roadId"), "s": position.number("s")}
            return {**place, "t": -mirror * position.number("t")}
        if name in ("RelativeLanePosition", "RelativeRoadPosition", "RelativeObjectPosition"):
            return self._relative(position, name, others, h)
        raise position.refuse()

    def _relative(
        self, position: Element, name: str, others: Mapping[str, tuple[dict[str, Any], bool]], h: float
    ) -> dict[str, Any]:
        mirror = self.mirror
        reference = position.text("entityRef")
        if reference not in others:
            raise position.error(f"there is no entity {reference!r}; there are {', '.join(others)}")
        base, is_ego = others[reference]
        if not base:
            raise position.error(f"{reference} has no place yet; give it one before")
        against = -1.0 if "lane" in base and self.backwards(base["lane"]) else 1.0
        if name == "RelativeObjectPosition":
            ahead, across = position.number("dx"), mirror * position.number("dy", 0.0)
        elif name == "RelativeRoadPosition":
            ahead, across = against * position.number("ds"), mirror * against * position.number("dt", 0.0)
        else:
            ahead, across = against * position.number("ds", 0.0), mirror * position.number("offset", 0.0)
        lanes = int(-against * position.number("dLane", 0.0)) if name == "RelativeLanePosition" else 0
        if is_ego:
            place: dict[str, Any] = {"ahead": ahead}
        elif "ahead" in base:
            place = {"ahead": base["ahead"] + ahead}
            lanes += base.get("lanes", 0)
        elif "s" in base and "lane" in base:
            place = {"road": base["road"], "lane": base["lane"], "s": base["s"] + against * ahead}
        else:
            raise position.error(f"relative to {reference}, whose own place is a {position.name}, is not supported")
        if lanes:
            place["lanes"] = lanes
        return _adjusted(place, across, mirror * h)


def _adjusted(place: dict[str, Any], across: float, heading: float) -> dict[str, Any]:
    if across:
        place["across"] = across
    if heading:
        place["turned"] = (degrees(heading) + 180.0) % 360.0 - 180.0
    return place


def _whole(position: Element, attribute: str) -> int:
    value = position.number(attribute)
    if value != int(value):
        raise position.error(f"{attribute} is {value:g}, not a whole number")
    return int(value)
