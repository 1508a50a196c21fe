"""One form for what OpenDRIVE lets its writers say in several ways: the one that ``carla.Map`` reads.

Namespaces go, ids become numbers, borders become widths, new types of lanes the nearest of CARLA's; what crashes its
reader is repaired. A map far from the origin moves to it, as positions are float32 in CARLA, and its geo-reference
becomes the latitude and longitude of the new origin.
"""

from __future__ import annotations

import contextlib
import math
import re
import xml.etree.ElementTree as ET
from bisect import bisect_right
from operator import itemgetter

from bridge.opendrive import local_origin, numbers_for
from bridge.reference_line import number
from neuralsim.town.opendrive.transverse_mercator import to_latitude_and_longitude

#: Types of lanes that ``carla.Map`` does not know, and what they are driven as.
LANE_TYPES = {"slipLane": "driving", "shared": "driving", "connectingRamp": "onRamp", "walking": "sidewalk"}
LEAST_CHANGE = 1e-8  # 1/m between the ends of a spiral, below which ``carla.Map`` loses its place
#: Where ids of roads and junctions are: element, attribute and, by the link's ``elementType``, what it names.
_REFERENCES = (
    ("road", "id", "road"),
    ("junction", "id", "junction"),
    ("road", "junction", "junction"),
    ("predecessor", "elementId", ""),
    ("successor", "elementId", ""),
    ("connection", "incomingRoad", "road"),
    ("connection", "connectingRoad", "road"),
    ("connection", "linkedRoad", "road"),
    ("junctionReference", "junction", "junction"),
)
_Cubic = tuple[float, float, float, float]
_Pieces = list[tuple[float, _Cubic]]  # begin of each piece, m, and its polynomial from there


def strip_namespaces(root: ET.Element) -> bool:
    """Remove the namespaces of all elements and attributes; return whether there were any."""
    found = False
    for element in root.iter():
        if "}" in element.tag:
            element.tag, found = element.tag.rpartition("}")[2], True
        for name in [name for name in element.attrib if "}" in name]:
            element.set(name.rpartition("}")[2], element.attrib.pop(name))
            found = True
    return found


def normalise(root: ET.Element) -> int:
    """Rewrite the tree of an OpenDRIVE file without namespaces; return the number of changes."""
    changes = _number_ids(root) + _widths_of_borders(root) + _repair(root) + _to_local_origin(root)
    for lane in root.iter("lane"):
        if lane.get("type") in LANE_TYPES:
            lane.set("type", LANE_TYPES[lane.get("type", "")])
            changes += 1
    return changes


def _repair(root: ET.Element) -> int:
    """Correct what some map editors write and ``carla.Map`` crashes on; return the number of corrections.

    Objects and signals beyond the end of their road (mostly by rounding) are moved to it. Controllers and references of
    signals that are not in the file are removed. Spirals of one curvature, through which it divides, become arcs.
    """
    changes = 0
    for geometry in root.iter("geometry"):
        spiral = geometry.find("spiral")
        if spiral is None or abs(number(spiral, "curvStart") - number(spiral, "curvEnd")) > LEAST_CHANGE:
            continue
        curvature = number(spiral, "curvStart")
        geometry.remove(spiral)
        if abs(curvature) > LEAST_CHANGE:
            ET.SubElement(geometry, "arc", curvature=repr(curvature))
        else:
            ET.SubElement(geometry, "line")
        changes += 1
    for road in root.iter("road"):
        for kind in ("object", "signal", "signalReference"):
            for element in road.iter(kind):
                with contextlib.suppress(ValueError):  # ``carla.Map`` reports text
                    s, length = float(element.get("s", "0")), float(road.get("length", "0"))
                    if not 0.0 <= s <= length:
                        element.set("s", repr(min(max(s, 0.0), length)))
                        changes += 1
    known = {signal.get("id") for signal in root.iter("signal")}
    for parent, kind, name in (("signals", "signalReference", "id"), ("controller", "control", "signalId")):
        for group in root.iter(parent):
            for element in [element for element in group.findall(kind) if element.get(name) not in known]:
                group.remove(element)
                changes += 1
    return changes


def _number_ids(root: ET.Element) -> int:
    """Give roads and junctions whose ids are not small numbers some, and rename references; return how many."""
    changes = 0
    for kind in ("road", "junction"):
        new = numbers_for([element.get("id", "-1") for element in root.findall(kind)])
        changes += len(new)
        for tag, attribute, target in _REFERENCES if new else ():
            for element in root.iter(tag):
                if (target or element.get("elementType")) == kind and element.get(attribute) in new:
                    element.set(attribute, new[element.get(attribute, "")])
    return changes


def _widths_of_borders(root: ET.Element) -> int:
    """Replace the ``<border>`` elements of lanes without widths by ``<width>``; return how many lanes had them."""
    changes = 0
    for road in root.iter("road"):
        offsets = _pieces(road.findall("./lanes/laneOffset"), "s")
        for section in road.iter("laneSection"):
            if section.find(".//border") is None:
                continue
            start = number(section, "s")
            for side, sign in (("left", 1.0), ("right", -1.0)):
                edge = _from(offsets, start)  # of the lane before, as t along the section
                lanes = section.findall(f"./{side}/lane")
                for lane in sorted(lanes, key=lambda lane: abs(number(lane, "id"))):
                    widths = _pieces(lane.findall("width"), "sOffset")
                    borders = _pieces(lane.findall("border"), "sOffset")
                    if borders and not widths:
                        for s, factors in _sum(borders, edge, -1.0):
                            values = {"sOffset": s} | dict(zip("abcd", (sign * each for each in factors), strict=True))
                            ET.SubElement(lane, "width", {name: repr(value) for name, value in values.items()})
                        for border in lane.findall("border"):
                            lane.remove(border)
                        changes += 1
                    edge = borders if borders and not widths else _sum(edge, widths, sign)
    return changes


def _pieces(elements: list[ET.Element], begin: str) -> _Pieces:
    pieces = ((number(e, begin), (number(e, "a"), number(e, "b"), number(e, "c"), number(e, "d"))) for e in elements)
    return sorted(pieces)


def _at(pieces: _Pieces, s: float) -> _Cubic:
    """Return the polynomial that holds at ``s``, from there; 0 before the first one."""
    k = bisect_right(pieces, s, key=itemgetter(0))
    if not k:
        return 0.0, 0.0, 0.0, 0.0
    begin, (a, b, c, d) = pieces[k - 1]
    x = s - begin
    return a + x * (b + x * (c + x * d)), b + x * (2.0 * c + 3.0 * x * d), c + 3.0 * x * d, d


def _from(pieces: _Pieces, start: float) -> _Pieces:
    """Return the polynomials from ``start`` on, relative to it."""
    return [(0.0, _at(pieces, start)), *((s - start, factors) for s, factors in pieces if s > start)]


def _sum(one: _Pieces, other: _Pieces, factor: float) -> _Pieces:
    """Return ``one`` plus ``factor`` times ``other``."""
    begins = sorted({s for s, _ in one} | {s for s, _ in other})
    pairs = ((s, _at(one, s), _at(other, s)) for s in begins)
    return [(s, tuple(a + factor * b for a, b in zip(p, q, strict=True))) for s, p, q in pairs]  # type: ignore[misc]


def _to_local_origin(root: ET.Element) -> int:
    """Move a map to an origin near it, and its geo-reference with it; return whether anything changed."""
    header = root.find("header")
    header = ET.SubElement(root, "header") if header is None else header
    places = root.findall("./road/planView/geometry")
    x, y = local_origin((number(place, "x"), number(place, "y")) for place in places)
    moved = bool(x or y)
    for place in places if moved else ():
        place.set("x", repr(number(place, "x") - x))
        place.set("y", repr(number(place, "y") - y))
    reference, offset = header.find("geoReference"), header.find("offset")
    text = (reference.text or "") if reference is not None else ""
    dx, dy = (number(offset, "x"), number(offset, "y")) if offset is not None else (0.0, 0.0)
    if math.hypot(x + dx, y + dy) < 0.01 * math.hypot(x, y):
        dx = dy = 0.0  # the other sign, which some programs write: the offset to a local origin
    elif "+proj=utm" in text and not 1e5 < x + dx < 9e5 and 1e5 < x - dx < 9e5:
        dx, dy = -dx, -dy  # the same
    place_of_origin = to_latitude_and_longitude(text, x + dx, y + dy)
    if place_of_origin is None:
        return int(moved)
    assert reference is not None
    latitude, longitude = place_of_origin
    known = dict(re.findall(r"\+(lat_0|lon_0)=([-.\d]+)", text))
    unchanged = (float(known.get(name, "nan")) for name in ("lat_0", "lon_0"))
    if math.dist(place_of_origin, tuple(unchanged)) < 1e-7:  # a centimetre; false for nan
        return int(moved)
    reference.text = f"+proj=tmerc +lat_0={latitude:.10f} +lon_0={longitude:.10f} +k=1 +x_0=0 +y_0=0"
    return 1
