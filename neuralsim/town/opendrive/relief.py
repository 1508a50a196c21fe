"""Hills under the roads of a generated town, and the elevation profiles that follow them."""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

BLEND = 60.0  # m over which a hill fades into the level ground of a junction
KNOT = 15.0  # m between the knots of an elevation profile


class Hills:
    """A smooth height field, f64 (N,) metres of points (N, 2), level at the ``junctions`` (centre, radius)."""

    def __init__(
        self, height: float, wavelength: float, junctions: Sequence[tuple[np.ndarray, float]], rng: np.random.Generator
    ) -> None:
        bearing = rng.uniform(0.0, 2.0 * np.pi) + np.array([0.0, 1.1, 2.3])
        length = wavelength * np.array([1.0, 0.78, 0.61])
        self._waves = 2.0 * np.pi / length * np.stack([np.cos(bearing), np.sin(bearing)])  # (2, 3)
        self._phases = rng.uniform(0.0, 2.0 * np.pi, 3)
        self._amplitudes = height * np.array([0.5, 0.32, 0.18])
        self._junctions = [(place, radius, float(self._raw(place[None])[0])) for place, radius in junctions]

    def _raw(self, places: np.ndarray) -> np.ndarray:
        result: np.ndarray = np.sin(places @ self._waves + self._phases) @ self._amplitudes
        return result

    def __call__(self, places: np.ndarray) -> np.ndarray:
        """Return the heights f64 (N,), m, at ``places`` f64 (N, 2), m."""
        height = self._raw(places)
        for middle, radius, level in self._junctions:
            away = np.hypot(*(places - middle).T)
            share = np.clip(1.0 - (away - radius) / BLEND, 0.0, 1.0)
            height += (level - height) * share * share * (3.0 - 2.0 * share)
        return height


def apply_elevation(root: ET.Element, height: Callable[[np.ndarray], np.ndarray], max_slope: float) -> None:
    """Set the elevation of every road of an OpenDRIVE document from a height field (see ``Hills``).

    The field is scaled down so that no road is steeper than ``max_slope`` (rise over run).
    """
    courses = [(road, *sample_reference_line(road, KNOT)) for road in root.iter("road")]
    heights = [height(places) for _, _, places in courses]
    slope = max(float(np.abs(np.gradient(z, at)).max()) for (_, at, _), z in zip(courses, heights, strict=True))
    for (road, at, _), z in zip(courses, heights, strict=True):
        set_elevation(road, at, z * min(1.0, max_slope / slope))


def set_elevation(road: ET.Element, at: ArrayLike, height: ArrayLike) -> None:
    """Set the elevation of a road to a C1 cubic spline through ``height`` (m) at the ascending distances ``at`` (m)."""
    s, z = np.asarray(at, float), np.asarray(height, float)
    slope = np.gradient(z, s)
    slope[[0, -1]] = 0.0  # roads meet in level junctions
    profile = ET.Element("elevationProfile")
    for k in range(len(s) - 1):
        step, rise = s[k + 1] - s[k], z[k + 1] - z[k]
        c = (3.0 * rise / step - 2.0 * slope[k] - slope[k + 1]) / step
        d = (slope[k] + slope[k + 1] - 2.0 * rise / step) / step**2
        values = {"s": s[k], "a": z[k], "b": slope[k], "c": c, "d": d}
        ET.SubElement(profile, "elevation", {name: f"{value:.12g}" for name, value in values.items()})
    for old in road.findall("elevationProfile"):
        road.remove(old)
    road.insert([child.tag for child in road].index("planView") + 1, profile)


def sample_reference_line(road: ET.Element, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Return distances (N,) about ``step`` metres apart along a road's reference line, and the points (N, 2) there.

    Both ends are included. Supported are lines, arcs and parametric cubics over [0, 1], as in the generated towns.
    """
    ends: list[tuple[float, np.ndarray]] = []
    for geometry in road.iter("geometry"):
        s, x, y, heading, length = (float(geometry.get(name, "0")) for name in ("s", "x", "y", "hdg", "length"))
        at = np.linspace(0.0, length, max(2, int(np.ceil(length / step)) + 1))
        shape = geometry[0]
        if shape.tag == "arc":
            curvature = float(shape.get("curvature", "0"))
            local = np.stack([np.sin(curvature * at), 1.0 - np.cos(curvature * at)], 1) / curvature
        elif shape.tag == "paramPoly3":
            p = (at / length)[:, None] ** np.arange(4)
            u, v = (p @ [float(shape.get(f"{name}{axis}", "0")) for name in "abcd"] for axis in "UV")
            local = np.stack([u, v], 1)
        else:
            local = np.stack([at, np.zeros(len(at))], 1)
        cos, sin = np.cos(heading), np.sin(heading)
        places = local @ np.array([[cos, sin], [-sin, cos]]) + [x, y]
        ends += list(zip((s + at).tolist(), places, strict=True))
    kept = [ends[k] for k in range(len(ends)) if k == 0 or ends[k][0] - ends[k - 1][0] > 1e-6]
    return np.array([at for at, _ in kept]), np.array([place for _, place in kept])
