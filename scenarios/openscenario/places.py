"""Translation of OpenSCENARIO's positions to places of a scenario."""

from collections.abc import Mapping
from math import degrees
from typing import Any

from scenarios.openscenario.catalogs import Catalogs
from scenarios.openscenario.elements import Element
from scenarios.openscenario.road_network import Frame


class Positions:
    """Translates positions.

    ``mirror``: 1 for CARLA's axes, -1 for the standard's; ``frame``: how the map lies in the world.
    """

    def __init__(self, catalogs: Catalogs, mirror: float, frame: Frame) -> None:
        self._catalogs, self.mirror, self._frame = catalogs, mirror, frame
        self.names: Mapping[str, str] = {}  # entity -> its name in the scenario

    def is_backwards(self, lane: int) -> bool:
        """Return whether a lane runs against its road's reference line."""
        return (lane > 0) != self._frame.keeps_left

    def in_world(self, x: float, y: float) -> dict[str, float]:
        """Return a point of the file's coordinates, m, in those of the world."""
        return {"x": x - self._frame.x, "y": self.mirror * y + self._frame.y}

    def _road(self, position: Element) -> int:
        number = self._frame.numbers.get(position.text("roadId"))
        return _integer(position, "roadId") if number is None else int(number)

    def _name_of(self, position: Element) -> str:
        name = position.text("entityRef")
        if name not in self.names:
            raise position.error(f"there is no entity {name!r}; there are {', '.join(self.names)}")
        return self.names[name]

    def spawn(self, position: Element, others: Mapping[str, tuple[dict[str, Any], bool]]) -> dict[str, Any]:
        """Return a position as the language's ``spawn``. Raises ``ScenarioError``.

        ``others``: entity -> its place so far, and whether it is the ego.
        """
        if position.name == "RoutePosition":
            return self._on_route(position)
        return self._place_of(position, others)

    def on_map(self, position: Element, *, across: bool = False) -> dict[str, Any]:
        """Return a position as a place on the map; ``across``: with an offset from a lane.

        A position relative to an entity refers to where that is when the place is needed.
        """
        place = self.later(position)
        keys = ("road", "lane", "s", "t", "x", "y", "ahead", "of", *(["across", "lanes"] if across else []))
        if not across and ("lanes" in place or (position.name.startswith("Relative") and "across" in place)):
            raise position.error("an offset from another actor's lane is not supported here")
        return {key: value for key, value in place.items() if key in keys}

    def later(self, position: Element) -> dict[str, Any]:
        """Return a position as the language's ``spawn`` for an actor that goes there while others move."""
        if not position.name.startswith("Relative"):
            return self.spawn(position, {})
        name = self._name_of(position)
        if position.name == "RelativeWorldPosition":
            raise position.refuse()
        place = self._place_of(position, {position.text("entityRef"): ({"ahead": 0.0}, True)})
        return {**place, "of": name}

    def waypoints(self, route: Element) -> list[Element]:
        """Return the positions of a Route, which may be a reference to a catalog."""
        if route.name == "CatalogReference":
            route = self._catalogs.get(route)
        if route.name != "Route":
            raise route.refuse()
        positions = [point.get("Position").one() for point in route.all("Waypoint")]
        if not positions:
            raise route.error("has no Waypoint")
        return positions

    def _on_route(self, position: Element) -> dict[str, Any]:
        """Return a position along the road on which a route begins."""
        position.only("RouteRef", "InRoutePosition", "Orientation")
        first = self.waypoints(position.get("RouteRef").one())[0]
        if first.name != "LanePosition":
            raise position.error(f"a route that begins at a {first.name} is not supported")
        within = position.get("InRoutePosition").one()
        if within.name != "FromLaneCoordinates":
            raise within.refuse()
        place = self._place_of(first, {})
        along = within.number("pathS")
        lane = _integer(within, "laneId") if within.text("laneId", "") else place["lane"]
        return {**place, "lane": lane, "s": place["s"] + (-along if self.is_backwards(place["lane"]) else along)}

    def _place_of(self, position: Element, others: Mapping[str, tuple[dict[str, Any], bool]]) -> dict[str, Any]:
        """Return a position as a place; ``others`` as in ``spawn``."""
        mirror = self.mirror
        turn = position.find("Orientation")
        h = turn.number("h", 0.0) if turn is not None else 0.0
        name = position.name
        if name == "WorldPosition":
            yaw = degrees(mirror * position.number("h", 0.0))
            place: dict[str, Any] = self.in_world(position.number("x"), position.number("y"))
            return place | {"yaw": (yaw + 180.0) % 360.0 - 180.0}
        if name == "LanePosition":
            lane = _integer(position, "laneId")
            place = {"road": self._road(position), "lane": lane, "s": position.number("s")}
            across = mirror * position.number("offset", 0.0)  # to the left in the standard, else to the right
            if mirror < 0.0 and self.is_backwards(lane):
                across = -across  # the standard's offset refers to the reference line, whatever the lane's direction
            return _adjusted(place, across, mirror * h)
        if name == "RoadPosition":
            place = {"road": self._road(position), "s": position.number("s")}
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
            raise position.error(f"{reference} has no position yet; it must be placed first")
        against = -1.0 if "lane" in base and self.is_backwards(base["lane"]) else 1.0
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
            raise position.error(f"relative to {reference}, which has no lane position, is not supported")
        if lanes:
            place["lanes"] = lanes
        return _adjusted(place, across, mirror * h)


def _adjusted(place: dict[str, Any], across: float, heading: float) -> dict[str, Any]:
    if across:
        place["across"] = across
    if heading:
        place["turned"] = (degrees(heading) + 180.0) % 360.0 - 180.0
    return place


def _integer(position: Element, attribute: str) -> int:
    value = position.number(attribute)
    if value != int(value):
        raise position.error(f"{attribute} is {value:g}, not a whole number")
    return int(value)
