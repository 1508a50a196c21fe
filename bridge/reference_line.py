"""Reference lines of OpenDRIVE roads: positions of road coordinates (s, t) (ASAM OpenDRIVE 1.7, chapters 7 and 8)."""

import math
import xml.etree.ElementTree as ET
from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)


def number(element: ET.Element, name: str, default: float = 0.0) -> float:
    """Return an attribute as a finite number, ``default`` where it is missing or not a number."""
    try:
        value = float(element.get(name, default))
    except ValueError:
        return default
    return value if math.isfinite(value) else default


class RoadPoint(NamedTuple):
    """A point in Unreal Engine's axes, metres; ``yaw``: heading of the road there, degrees."""

    x: float
    y: float
    z: float
    yaw: float


class Profile:
    """A quantity along a road: one cubic polynomial from the ``s`` of each element on.

    ``origin``: what the elements' attribute ``offset`` counts from, m.
    """

    def __init__(self, elements: Iterable[ET.Element], offset: str = "s", origin: float = 0.0) -> None:
        parts = sorted((origin + number(part, offset), [number(part, k) for k in "abcd"]) for part in elements)
        self._starts, self._factors = [start for start, _ in parts], [factors for _, factors in parts]

    def at(self, s: float) -> tuple[float, float]:
        """Return value and slope at ``s``; both are 0 before the first element."""
        k = bisect_right(self._starts, s) - 1
        return _cubic(self._factors[k], s - self._starts[k]) if k >= 0 else (0.0, 0.0)


class ReferenceLine:
    """The reference line of one ``<road>``: its plan view, elevation and superelevation."""

    def __init__(self, road: ET.Element) -> None:
        self.length = number(road, "length")
        self._plan = sorted(road.findall("./planView/geometry"), key=lambda part: number(part, "s"))
        self._starts = [number(part, "s") for part in self._plan]
        self.height = Profile(road.findall("./elevationProfile/elevation"))
        self._bank = Profile(road.findall("./lateralProfile/superelevation"))

    def at(self, s: float, t: float = 0.0) -> RoadPoint:
        """Return the point ``t`` metres to the left of the line at ``s``, which is clamped to the road.

        For a road without a plan view this is the origin.
        """
        s = min(max(s, 0.0), self.length)
        x, y, heading = self._point(s)
        bank, _ = self._bank.at(s)
        x, y = x - t * math.sin(heading), y + t * math.cos(heading)
        return RoadPoint(x, -y, self.height.at(s)[0] + t * math.tan(bank), -math.degrees(heading))

    def _point(self, s: float) -> tuple[float, float, float]:
        if not self._plan:
            return 0.0, 0.0, 0.0
        part = self._plan[max(bisect_right(self._starts, s) - 1, 0)]
        d = s - number(part, "s")
        u, v, turned = _along(part, d)
        heading = number(part, "hdg")
        c, k = math.cos(heading), math.sin(heading)
        return number(part, "x") + c * u - k * v, number(part, "y") + k * u + c * v, heading + turned


def _along(part: ET.Element, d: float) -> tuple[float, float, float]:
    """Return point and heading ``d`` metres along a ``<geometry>``, in its own axes."""
    length = max(number(part, "length"), 1e-9)
    shape = part[0] if len(part) else part
    if shape.tag in ("arc", "spiral"):
        first = number(shape, "curvature" if shape.tag == "arc" else "curvStart")
        last = first if shape.tag == "arc" else number(shape, "curvEnd")
        step = 0.5 * d * (_NODES + 1.0)  # the heading is quadratic in d; Gauss-Legendre for the point
        angle = first * step + 0.5 * (last - first) / length * step**2
        u, v = (float(0.5 * d * (_WEIGHTS @ f(angle))) for f in (np.cos, np.sin))
        return u, v, first * d + 0.5 * (last - first) / length * d * d
    if shape.tag == "paramPoly3":
        p = d if shape.get("pRange") == "arcLength" else d / length
        (u, du), (v, dv) = (_cubic([number(shape, k + axis) for k in "abcd"], p) for axis in "UV")
        return u, v, math.atan2(dv, du)
    if shape.tag == "poly3":
        v, dv = _cubic([number(shape, k) for k in "abcd"], d)
        return d, v, math.atan(dv)
    return d, 0.0, 0.0


def _cubic(factors: list[float], p: float) -> tuple[float, float]:
    """Return value and slope of a cubic polynomial."""
    a, b, c, d = factors
    return a + p * (b + p * (c + p * d)), b + p * (2.0 * c + p * 3.0 * d)
