"""Latitude and longitude of a point of a UTM or another transverse Mercator projection of the earth (WGS 84).

Krüger's series up to the third power of the flattening: a millimetre within 1,000 km of the central meridian.
"""

import math
import re

_A, _F = 6378137.0, 1.0 / 298.257223563  # m, equatorial radius, and flattening
_N = _F / (2.0 - _F)
_RADIUS = _A / (1.0 + _N) * (1.0 + _N**2 / 4.0 + _N**4 / 64.0)  # m, of the meridian
_ALPHA = _N / 2 - 2 * _N**2 / 3 + 5 * _N**3 / 16, 13 * _N**2 / 48 - 3 * _N**3 / 5, 61 * _N**3 / 240
_BETA = _N / 2 - 2 * _N**2 / 3 + 37 * _N**3 / 96, _N**2 / 48 + _N**3 / 15, 17 * _N**3 / 480
_DELTA = 2 * _N - 2 * _N**2 / 3 - 2 * _N**3, 7 * _N**2 / 3 - 8 * _N**3 / 5, 56 * _N**3 / 15
_PARAMETER = re.compile(r"\+(\w+)(?:=([^\s+]*))?")


def to_latitude_and_longitude(projection: str, east: float, north: float) -> tuple[float, float] | None:
    """Return the latitude and longitude, degrees, of the point (``east``, ``north``), m, of a PROJ string's plane.

    None for other projections than ``utm`` and ``tmerc``, and for damaged strings.
    """
    values = dict(_PARAMETER.findall(projection))
    try:
        if values.get("proj") == "utm":
            meridian, latitude, scale = 6.0 * int(values["zone"]) - 183.0, 0.0, 0.9996
            at = 500_000.0, 10_000_000.0 if "south" in values else 0.0
        elif values.get("proj") == "tmerc":
            meridian, latitude = float(values.get("lon_0", 0.0)), float(values.get("lat_0", 0.0))
            scale = float(values.get("k") or values.get("k_0") or 1.0)
            at = float(values.get("x_0", 0.0)), float(values.get("y_0", 0.0))
        else:
            return None
        return _inverse((east - at[0]) / scale, (north - at[1]) / scale + _meridian_arc(latitude), meridian)
    except (KeyError, ValueError, OverflowError, ZeroDivisionError):
        return None


def _meridian_arc(latitude: float) -> float:
    """Return the length of the meridian from the equator to a latitude (degrees), m."""
    sine, e = math.sin(math.radians(latitude)), 2.0 * math.sqrt(_N) / (1.0 + _N)
    xi = math.atan(math.sinh(math.atanh(sine) - e * math.atanh(e * sine)))
    return _RADIUS * (xi + sum(a * math.sin(2 * j * xi) for j, a in enumerate(_ALPHA, 1)))


def _inverse(x: float, y: float, meridian: float) -> tuple[float, float]:
    """Return the latitude and longitude (degrees) of a point ``x`` m east of a meridian, ``y`` m from the equator."""
    xi, eta = y / _RADIUS, x / _RADIUS
    terms = list(enumerate(_BETA, 1))
    straight = xi - sum(b * math.sin(2 * j * xi) * math.cosh(2 * j * eta) for j, b in terms)
    aside = eta - sum(b * math.cos(2 * j * xi) * math.sinh(2 * j * eta) for j, b in terms)
    chi = math.asin(math.sin(straight) / math.cosh(aside))
    latitude = chi + sum(d * math.sin(2 * j * chi) for j, d in enumerate(_DELTA, 1))
    return math.degrees(latitude), meridian + math.degrees(math.atan2(math.sinh(aside), math.cos(straight)))
