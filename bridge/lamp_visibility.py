"""Visibility of lit lamps (traffic lights and brake lights), which the tag plane cannot express."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bridge.messages import Camera, Lamp
from bridge.tags import Tag

LAMP_RANGE = 70.0  # m
BULB = 0.11  # m, radius of a traffic light's lamp
_BRAKE_LIGHT = (0.12, 0.07)  # m, half width and half height


def traffic_lamp(
    state: str, bulb: np.ndarray, to_camera: np.ndarray, camera: Camera, planes: Mapping[str, np.ndarray]
) -> Lamp | None:
    """Return the lamp of a traffic light, or None if it is out of view or occluded.

    ``state``: "red", "yellow" or "green"; ``bulb``: centre of the lamp, f64 (3,), m; ``to_camera``: f64 (4, 4),
    camera <- world; ``planes``: tag and depth of ``camera``.
    """
    return _lamp("traffic_light", state, bulb, (BULB, BULB), 0.6, to_camera, camera, planes, Tag.TRAFFIC_LIGHT)


def brake_lamps(
    pose: np.ndarray,
    extent: tuple[float, float, float],
    tag: int,
    to_camera: np.ndarray,
    camera: Camera,
    planes: Mapping[str, np.ndarray],
) -> list[Lamp]:
    """Return a braking vehicle's brake lights that are in view.

    ``pose``: f64 (4, 4), world <- centre of the vehicle's box; ``extent``: half sizes, m; ``tag``: of the vehicle; the
    others as in ``traffic_lamp``.
    """
    if pose[:3, 0] @ (pose[:3, 3] - camera.pose[:3, 3]) <= 0.0:
        return []  # the rear faces away from the camera
    length, width, height = extent
    places = [(-length, side * width, 0.15 * height, 1.0) for side in ((-0.78, 0.78) if width > 0.5 else (0.0,))]
    lamps = [
        _lamp("brake", "on", (pose @ place)[:3], _BRAKE_LIGHT, 0.7, to_camera, camera, planes, tag) for place in places
    ]
    return [lamp for lamp in lamps if lamp is not None]


def _lamp(
    kind: str,
    state: str,
    place: np.ndarray,
    half: tuple[float, float],
    slack: float,
    to_camera: np.ndarray,
    camera: Camera,
    planes: Mapping[str, np.ndarray],
    tag: int,
) -> Lamp | None:
    """Return the lamp of ``kind`` and ``state`` at ``place`` (f64 (3,), world, metres), None if not visible.

    ``half``: its half width and half height, metres; ``slack``: tolerance of the depth test, metres; ``to_camera``: f64
    (4, 4), camera <- world; ``camera`` and its ``planes``; ``tag``: of the surface that carries the lamp.
    """
    x, y, z = to_camera[:3, :3] @ place + to_camera[:3, 3]
    if not 0.5 < x < LAMP_RANGE:
        return None
    u, v = camera.width / 2 + camera.focal * y / x, camera.height / 2 - camera.focal * z / x
    if not (0.0 <= u < camera.width and 0.0 <= v < camera.height):
        return None
    i, j = int(v), int(u)
    around = np.s_[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]  # a small lamp may fall between pixels
    visible = (planes["tag"][around] == tag) & (np.abs(planes["depth"][around] - x) < slack)
    if not visible.any():
        return None
    w, h = camera.focal * half[0] / x, camera.focal * half[1] / x
    return Lamp(kind, state, (float(u - w), float(v - h), float(u + w), float(v + h)), float(x))
