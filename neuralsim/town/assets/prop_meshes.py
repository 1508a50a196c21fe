"""Street furniture. The origin is the centre of the foot on the ground, and fronts face +x; metres.

The meshes contain their levels of detail, so they can be merged into the static mesh unchanged. Plants are in
``plant_meshes``, props that are mere boxes in ``prop_boxes``, small objects on pavements in ``pavement_meshes``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from bridge.tags import Tag
from neuralsim.town.assets.meshes import (
    DISTANT,
    FAR,
    MIDDLE,
    NEAR,
    RGB,
    Mesh,
    box,
    cylinder,
    flat,
    merge,
    prism,
    quad,
    sphere,
    tube,
)

STEEL: RGB = (118, 122, 124)
DARK: RGB = (46, 48, 50)
WOOD: RGB = (122, 88, 58)
WEATHERED_WOOD: RGB = (104, 91, 75)
STATES = ("red", "yellow", "green")  # of a traffic light
#: z of the lamps of a traffic light, relative to the centre of its head, metres.
LAMPS: dict[str, float] = {"red": 0.29, "yellow": 0.0, "green": -0.29}
HEAD_X = 0.19  # m
HEAD_Z = 2.75  # m


def _head(tag: int) -> Mesh:
    """Return a head with three lamps facing +x, with hoods and backing board; the origin is its centre."""
    parts = [box((0.2, 0.3, 0.92), (0, 0, 0), tag, DARK), box((0.03, 0.5, 1.12), (-0.06, 0, 0), tag, (30, 30, 32))]
    dim = {"red": (96, 24, 20), "yellow": (98, 78, 22), "green": (22, 84, 40)}
    for name, z in LAMPS.items():
        for level, sides, rings in ((NEAR, 10, 4), (FAR, 6, 2)):
            parts.append(sphere((0.02, 0.1, 0.1), (0.105, 0, z), tag, dim[name], sides, rings).with_level(level))
        parts.append(box((0.16, 0.24, 0.02), (0.17, 0, z + 0.125), tag, DARK))
    return merge(parts)


def _mast(path: Sequence[tuple[float, float, float]], radii: Sequence[float], sides: int = 8) -> Mesh:
    """Return a thin tube that is about a pixel thick at any distance: an arm that covers no pixel's centre here and
    there would be a row of dashes."""
    levels = (NEAR, 0.055, sides), (MIDDLE, 0.07, 5), (DISTANT, 0.11, 4)
    return merge(
        [tube(path, np.maximum(radii, least), Tag.POLE, STEEL, count).with_level(of) for of, least, count in levels]
    )


def traffic_light(arm: float = 0.0) -> Mesh:
    """Return a traffic light facing +x: a head at the pole and, unless ``arm`` is 0, another one ``arm`` m towards +y.

    For drivers facing it, +y is left: above the road where traffic keeps right.
    """
    parts = [
        cylinder(0.06, 0, 3.35 if not arm else 5.6, Tag.POLE, STEEL, 8),
        cylinder(0.12, 0, 0.35, Tag.POLE, DARK, 8),
    ]
    parts.append(_head(Tag.TRAFFIC_LIGHT).moved(HEAD_X, 0, HEAD_Z))
    if arm:
        parts.append(_mast([(0, 0, 5.4), (0, 0.3 * arm, 5.65), (0, arm, 5.7)], [0.06, 0.05, 0.04], 7))
        parts.append(_head(Tag.TRAFFIC_LIGHT).moved(HEAD_X, arm, 5.35))
    return merge(parts)


def traffic_light_bulbs(arm: float = 0.0) -> dict[str, list[tuple[float, float, float]]]:
    """Return the centres of the lamps of ``traffic_light(arm)`` by state, one per head, metres."""
    heads = [(0.0, HEAD_Z)] + ([(arm, 5.35)] if arm else [])
    return {name: [(HEAD_X + 0.125, y, z + dz) for y, z in heads] for name, dz in LAMPS.items()}


def street_lamp(height: float = 7.5, arm: float = 1.6) -> Mesh:
    """Return a street lamp whose arm extends towards +x (the road)."""
    path = [(0, 0, 0), (0, 0, height * 0.9), (arm * 0.3, 0, height), (arm, 0, height + 0.12)]
    mast = _mast(path, [0.09, 0.06, 0.045, 0.04])
    return merge(
        [
            mast,
            cylinder(0.13, 0, 0.9, Tag.POLE, STEEL, 8),
            box((0.7, 0.26, 0.12), (arm + 0.25, 0, height + 0.1), Tag.POLE, (200, 204, 206)),
        ]
    )


#: Centres of the shining heads of ``street_lamp()`` and ``lantern()`` by the names of their templates, metres.
LAMP_HEADS = {"lamp": (1.85, 0.0, 7.6), "lantern": (0.0, 0.0, 4.3)}


def lantern(height: float = 4.0) -> Mesh:
    """Return an old-town lantern: a post with a lamp housing on top."""
    post = tube([(0, 0, 0), (0, 0, 0.8), (0, 0, 0.85), (0, 0, height)], [0.12, 0.1, 0.06, 0.05], Tag.POLE, DARK, 8)
    lamp = tube(
        [(0, 0, height), (0, 0, height + 0.5), (0, 0, height + 0.55), (0, 0, height + 0.72)],
        [0.11, 0.21, 0.24, 0.03],
        Tag.POLE,
        (190, 184, 150),
        6,
    )
    return merge([post, lamp])


#: km/h: the speed limits that there are signs for.
LIMITS = (5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130)
_RED = (196, 26, 30)
_BLUE = (24, 78, 168)
_WHITE = (240, 240, 236)
_BLACK = (24, 24, 26)


def nearest_limit(speed: float) -> int:
    """Return the speed limit, km/h, of the sign that comes nearest to ``speed``, 50 where that is not positive."""
    speed = min(speed, LIMITS[-1])
    return min(LIMITS, key=lambda limit: abs(limit - speed)) if speed > 0.0 else 50


class _Sign(NamedTuple):
    """A sign's plate: its corners and where they begin, radius (m), the colours of rim and field, the field's share of
    the radius, and what is written on it: colour, height in shares of the radius, text."""

    corners: int
    start: float
    radius: float
    rim: RGB
    field: RGB
    share: float
    ink: RGB = _WHITE
    high: float = 1.0
    text: str = ""


_SIGNS = {
    "stop": _Sign(8, np.pi / 8, 0.36, _WHITE, (190, 22, 28), 0.92, _WHITE, 0.42, "STOP"),
    "yield": _Sign(3, -np.pi / 2, 0.42, _RED, _WHITE, 0.7),
    "warning": _Sign(3, np.pi / 2, 0.42, _RED, _WHITE, 0.74, _BLACK, 0.62, "!"),
    "parking": _Sign(4, np.pi / 4, 0.42, _WHITE, _BLUE, 0.94, _WHITE, 0.95, "P"),
    "priority": _Sign(4, 0.0, 0.36, _WHITE, (238, 190, 30), 0.72),
    "crossing": _Sign(4, np.pi / 4, 0.42, _WHITE, _BLUE, 0.94),
} | {f"limit {limit}": _Sign(20, 0.0, 0.3, _RED, _WHITE, 0.8, _BLACK, 0.72, str(limit)) for limit in LIMITS}
SIGN_KINDS = tuple(_SIGNS)
_FRONT = 0.05  # m, x of a sign's back


def sign(kind: str = "limit 50", height: float = 2.5) -> Mesh:
    """Return a sign on a post, facing +x, as in Germany's catalogue (StVO).

    Raises KeyError for a kind that is not among ``SIGN_KINDS``.
    """
    look = _SIGNS[kind]
    angle = look.start + 2.0 * np.pi * np.arange(look.corners) / look.corners
    plate = look.radius * np.column_stack([np.cos(angle), np.sin(angle)])
    # rotate the upright prism, z to x
    middle = height - look.radius
    turn = np.array([[0, 0, 1, _FRONT], [1, 0, 0, 0], [0, 1, 0, middle], [0, 0, 0, 1.0]])
    board = [
        prism(plate, 0.0, 0.025, Tag.TRAFFIC_SIGN, look.rim),
        prism(plate * look.share, 0.02, 0.03, Tag.TRAFFIC_SIGN, look.field),
        flat(plate, -0.004, Tag.TRAFFIC_SIGN, STEEL),
    ]
    parts = [cylinder(0.035, 0, height + 0.05, Tag.POLE, STEEL, 6), *[each.transformed(turn) for each in board]]
    ahead = _FRONT + 0.036
    if look.text:
        parts.append(lettering(look.text, look.radius * look.high, (ahead, 0.0, middle), look.ink))
    if kind == "crossing":
        picture = turn @ np.diag([-look.radius, look.radius, 1.0, 1.0])  # u to the right of who sees it, v up
        picture[0, 3] = ahead
        white = flat([(-0.59, -0.5), (0.59, -0.5), (0.0, 0.52)], 0.0, Tag.TRAFFIC_SIGN, _WHITE)
        black = merge([flat(part, 0.006, Tag.TRAFFIC_SIGN, _BLACK) for part in _walker()]).with_level(NEAR)
        parts.append(merge([white, black]).transformed(picture))
    return merge(parts)


#: What direction signs name, the upper line first.
DESTINATIONS = (
    ("Zentrum", "Bahnhof"),
    ("Rathaus", "Klinikum"),
    ("Altstadt", "Museum"),
    ("Hafen", "Messe"),
    ("Stadion", "Zoo"),
)


def direction_sign(
    names: tuple[str, str] = DESTINATIONS[0], width: float = 2.2, tall: float = 1.1, height: float = 3.4
) -> Mesh:
    """Return a direction sign on two posts, facing +x, with the ``names`` of two places."""
    middle = height - tall / 2
    parts = [
        box((0.015, width, tall), (-0.0275, 0, middle), Tag.TRAFFIC_SIGN, STEEL),
        box((0.05, width, tall), (0.005, 0, middle), Tag.TRAFFIC_SIGN, _WHITE),
        box((0.06, width - 0.08, tall - 0.08), (0.01, 0, middle), Tag.TRAFFIC_SIGN, (28, 84, 170)),
    ]
    for name, z in zip(names, (0.22, -0.22), strict=True):
        parts.append(lettering(name, 0.27, (0.046, -0.18, middle + z), _WHITE))
    arrow = np.zeros((24, 24), np.uint8)
    cv2.fillPoly(arrow, [np.array([(12, 1), (20, 11), (14, 9), (14, 23), (10, 23), (10, 9), (4, 11)])], 1)
    parts.append(ink(arrow > 0, 0.6, (0.046, 0.36 * width, middle), _WHITE))
    posts = [cylinder(0.05, 0, height, Tag.POLE, STEEL, 6).moved(-0.09, s * width * 0.32) for s in (-1, 1)]
    return merge([*parts, *posts])


def lettering(
    text: str, high: float, centre: tuple[float, float, float], colour: RGB, tag: int = Tag.TRAFFIC_SIGN
) -> Mesh:
    """Return ``text`` as flat letters, ``high`` metres high, around ``centre``, facing +x; only near by."""
    font, scale, fine = cv2.FONT_HERSHEY_DUPLEX, 5.0, 6  # drawn large, then reduced by `fine`
    bold = 15
    (width, height), below = cv2.getTextSize(text, font, scale, bold)
    canvas: np.ndarray = np.zeros((height + below + 2 * bold, width + 2 * bold), np.uint8)
    cv2.putText(canvas, text, (bold, height + bold), font, scale, 255, bold)
    rows, columns = (np.flatnonzero(canvas.any(axis=axis)) for axis in (1, 0))
    canvas = canvas[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    size = max(canvas.shape[1] // fine, 1), max(canvas.shape[0] // fine, 1)
    return ink(cv2.resize(canvas, size, interpolation=cv2.INTER_AREA) > 127, high, centre, colour, tag)


#: The limbs of a pedestrian who walks to the left over stripes: u and v of their joints, and their widths there.
_LIMBS: tuple[tuple[tuple[float, float, float], ...], ...] = (
    ((0.0, 0.12, 0.14), (0.005, -0.03, 0.12), (0.01, -0.13, 0.11)),  # trunk
    ((-0.005, -0.11, 0.09), (-0.06, -0.22, 0.07), (-0.15, -0.37, 0.05)),  # legs and feet
    ((-0.13, -0.365, 0.032), (-0.205, -0.355, 0.026)),
    ((0.02, -0.11, 0.09), (0.065, -0.23, 0.07), (0.165, -0.345, 0.05)),
    ((0.16, -0.33, 0.032), (0.125, -0.385, 0.026)),
    ((-0.03, 0.1, 0.055), (-0.105, 0.0, 0.05), (-0.175, -0.025, 0.036)),  # arms
    ((0.035, 0.1, 0.055), (0.105, 0.0, 0.05), (0.135, -0.085, 0.036)),
    *(((u, -0.41, 0.05), (1.16 * u, -0.47, 0.055)) for u in (-0.36, -0.24, -0.12, 0.0, 0.12, 0.24, 0.36)),  # stripes
)


def _walker() -> list[np.ndarray]:
    """Return the outlines, f64 (N, 2), of a pedestrian on a sign, in shares of its radius: head and limbs."""
    angle = 2.0 * np.pi * np.arange(12) / 12
    outlines = [np.column_stack([0.055 * np.cos(angle) - 0.005, 0.06 * np.sin(angle) + 0.2])]
    for limb in _LIMBS:
        joints, half = np.array(limb)[:, :2], 0.5 * np.array(limb)[:, 2:]
        along = np.gradient(joints, axis=0)
        aside = half * np.column_stack([-along[:, 1], along[:, 0]]) / np.linalg.norm(along, axis=1, keepdims=True)
        outlines.append(np.concatenate([joints + aside, (joints - aside)[::-1]]))
    return outlines


def ink(
    bitmap: np.ndarray,
    high: float,
    centre: tuple[float, float, float],
    colour: RGB,
    tag: int = Tag.TRAFFIC_SIGN,
) -> Mesh:
    """Return what is set in ``bitmap``, bool (H, W), as rectangles ``high`` metres high in all, around ``centre``,
    facing +x; only near by."""
    cell = high / len(bitmap)
    x, middle, top = centre[0], centre[1] + cell * bitmap.shape[1] / 2, centre[2] + high / 2
    rectangles: list[tuple[int, int, int, int]] = []  # first column, end, first row, end
    above: dict[tuple[int, int], int] = {}  # the rectangles that reach the row above, by their columns
    for row, line in enumerate(np.pad(bitmap.astype(np.int8), ((0, 0), (1, 1)))):
        edges = np.flatnonzero(np.diff(line)).reshape(-1, 2)
        first = {(int(a), int(b)): above.get((int(a), int(b)), row) for a, b in edges}
        rectangles += [(*run, begun, row) for run, begun in above.items() if run not in first]
        above = first
    rectangles += [(*run, begun, len(bitmap)) for run, begun in above.items()]
    quads = []
    for left, right, begun, end in rectangles:
        (a, b), (c, d) = (middle - left * cell, middle - right * cell), (top - begun * cell, top - end * cell)
        quads.append(quad([(x, a, d), (x, b, d), (x, b, c), (x, a, c)], tag, colour))
    return merge(quads).with_level(NEAR)


def bollard() -> Mesh:
    """Return a bollard of steel tube with a light band."""
    body = tube([(0, 0, 0), (0, 0, 0.95), (0, 0, 0.98)], [0.051, 0.051, 0.035], Tag.STATIC, DARK, 8)
    return merge([body, cylinder(0.054, 0.78, 0.86, Tag.STATIC, (220, 220, 214), 8)])


def delineator() -> Mesh:
    """Return a delineator of a country road: a white post with a black band and a reflector facing +x."""
    return merge(
        [
            box((0.1, 0.12, 1.0), (0, 0, 0.5), Tag.STATIC, (226, 226, 222)),
            box((0.104, 0.124, 0.22), (0, 0, 0.82), Tag.STATIC, DARK),
            box((0.11, 0.05, 0.16), (0, 0, 0.82), Tag.STATIC, (214, 214, 206)),
        ]
    )


def bench() -> Mesh:
    """Return a bench facing +x."""
    parts = [box((0.13, 1.7, 0.035), (x, 0, 0.45), Tag.STATIC, WOOD) for x in (-0.16, 0.0, 0.16)]
    parts += [box((0.035, 1.7, 0.12), (-0.26 - 0.03 * k, 0, 0.6 + 0.16 * k), Tag.STATIC, WOOD) for k in (0, 1)]
    for y in (-0.7, 0.7):
        parts.append(box((0.45, 0.05, 0.05), (0, y, 0.41), Tag.STATIC, DARK))
        parts += [box((0.05, 0.05, 0.42), (x, y, 0.21), Tag.STATIC, DARK) for x in (-0.18, 0.18)]
        parts.append(tube([(-0.2, y, 0.42), (-0.31, y, 0.85)], 0.025, Tag.STATIC, DARK, 4))
    return merge(parts)


def litter_bin() -> Mesh:
    """Return a round litter bin of sheet steel: below its dome on three struts is an opening all around."""
    tag, steel, trim = Tag.STATIC, (66, 78, 70), (88, 92, 88)
    angle = 2.0 * np.pi * np.arange(3) / 3 + 0.5
    struts = [box((0.03, 0.03, 0.2), (0.19 * np.cos(a), 0.19 * np.sin(a), 0.86), tag, trim) for a in angle.tolist()]
    bands = [cylinder(0.222, z, z + 0.03, tag, trim, 12).with_level(NEAR) for z in (0.1, 0.74)]
    return merge(
        [
            cylinder(0.19, 0.0, 0.06, tag, DARK, 12),
            cylinder(0.215, 0.06, 0.8, tag, steel, 12),
            cylinder(0.17, 0.78, 0.95, tag, (22, 23, 24), 10),
            tube([(0, 0, z) for z in (0.93, 0.97, 1.04, 1.07)], [0.235, 0.235, 0.15, 0.02], tag, steel, 12),
            *struts,
            *bands,
            _plate(0.217, 0.0, 0.5, 0.11, 0.15, tag, (186, 188, 182)).with_level(NEAR),
        ]
    )


def wheeled_bin(colour: RGB = (40, 62, 48)) -> Mesh:
    """Return a household bin with a lid, facing +x."""
    body = tube([(0, 0, 0.06), (0.02, 0, 0.95)], [0.3, 0.36], Tag.STATIC, colour, 4)
    return merge(
        [
            body,
            box((0.62, 0.56, 0.08), (0, 0, 1.0), Tag.STATIC, colour),
            box((0.14, 0.5, 0.16), (-0.24, 0, 0.09), Tag.STATIC, DARK),
        ]
    )


def cabinet() -> Mesh:
    """Return a grey electricity or telephone cabinet on a plinth: either side has doors with vents and a handle."""
    tag, paint, seam = Tag.STATIC, (150, 153, 146), (72, 74, 72)
    lines = [(y, 0.7, 0.014, 1.0) for y in (-0.5, 0.0, 0.5)]  # y and z of their middles, widths, heights
    lines += [(0.0, z, 1.0, 0.014) for z in (0.2, 1.2)]
    lines += [(y, z, 0.28, 0.014) for y in (-0.25, 0.25) for z in (0.28, 0.315, 0.35, 1.06, 1.095, 1.13)]
    doors = [_plate(0.202, *line, tag, seam) for line in lines]
    doors.append(_plate(0.203, 0.25, 0.8, 0.12, 0.12, tag, (196, 176, 84)))
    doors.append(box((0.03, 0.035, 0.17), (0.212, -0.07, 0.72), tag, DARK))
    details = merge(doors).with_level(NEAR)
    return merge(
        [
            box((0.44, 1.14, 0.12), (0, 0, 0.06), tag, (116, 114, 108)),
            box((0.4, 1.1, 1.14), (0, 0, 0.69), tag, paint),
            box((0.47, 1.17, 0.05), (0, 0, 1.28), tag, (122, 125, 119)),
            details,
            details.moved(yaw=180.0),
        ]
    )


def _plate(x: float, y: float, z: float, wide: float, high: float, tag: int, colour: RGB) -> Mesh:
    """Return an upright rectangle around ``y``, ``z`` in the plane ``x``, metres."""
    left, right, low, top = y - wide / 2, y + wide / 2, z - high / 2, z + high / 2
    return quad([(x, left, low), (x, right, low), (x, right, top), (x, left, top)], tag, colour)


def post_box() -> Mesh:
    """Return a yellow post box on a post."""
    return merge(
        [
            box((0.38, 0.46, 0.7), (0, 0, 1.05), Tag.STATIC, (224, 184, 30)),
            box((0.1, 0.1, 0.75), (0, 0, 0.37), Tag.STATIC, DARK),
        ]
    )


def bus_stop() -> Mesh:
    """Return a bus shelter open towards +x, with roof, glass, bench and a sign on a post."""
    tag = Tag.STATIC
    parts = [box((1.5, 3.9, 0.1), (0, 0, 2.45), tag, (90, 94, 98))]
    parts += [box((0.07, 0.07, 2.4), (x, y, 1.2), tag, STEEL) for x in (-0.65, 0.6) for y in (-1.85, 1.85)]
    parts += [
        box((0.03, 3.6, 1.8), (-0.65, 0, 1.35), tag, (120, 140, 150)),
        box((1.1, 0.03, 1.8), (-0.05, -1.85, 1.35), tag, (120, 140, 150)),
    ]
    parts.append(box((0.35, 2.6, 0.05), (-0.42, 0, 0.48), tag, WOOD))
    parts += [box((0.3, 0.05, 0.46), (-0.42, y, 0.23), tag, STEEL) for y in (-1, 1)]
    pole = merge(
        [
            cylinder(0.035, 0, 2.7, Tag.POLE, STEEL, 6),
            box((0.03, 0.42, 0.5), (0.05, 0, 2.4), Tag.TRAFFIC_SIGN, (226, 190, 40)),
            lettering("H", 0.28, (0.071, 0.0, 2.4), (16, 96, 56)),
        ]
    )
    return merge([*parts, pole.moved(0.5, 2.5)])


def fence(length: float, height: float = 1.1) -> Mesh:
    """Return a fence along x, centred: pales on both sides of rails on posts.

    A darker sheet closes the gaps between the pales, as labels of real images do. The rails lie within the pales.
    """
    tag = Tag.FENCE
    rails = [box((length, 0.012, 0.07), (0, 0, height * z), tag, WEATHERED_WOOD) for z in (0.3, 0.85)]
    posts = [box((0.08, 0.08, height), (x, 0, height / 2), tag, WEATHERED_WOOD) for x in _posts(length)]
    at = np.arange(-length / 2 + 0.1, length / 2, 0.2).tolist()
    pales = merge([box((0.1, 0.06, height * 0.95), (x, 0, height / 2), tag, WEATHERED_WOOD) for x in at])
    return merge([*rails, *posts, pales.with_level(NEAR), _sheet(length, 0.05, height * 0.9, (68, 59, 49))])


def railing(length: float, height: float = 1.0) -> Mesh:
    """Return a metal railing along x, centred, of thin bars in front of a sheet (see ``fence``)."""
    tag = Tag.FENCE
    parts = [box((length, 0.05, 0.05), (0, 0, z), tag, DARK) for z in (0.15, height)]
    parts += [box((0.06, 0.06, height), (x, 0, height / 2), tag, DARK) for x in _posts(length)]
    at = np.arange(-length / 2, length / 2 + 1e-6, 0.16).tolist()
    bars = merge([box((0.02, 0.02, height - 0.1), (x, 0, height / 2), tag, DARK) for x in at])
    return merge([*parts, bars.with_level(NEAR), _sheet(length, 0.15, height, (64, 66, 66))])


def _posts(length: float) -> list[float]:
    """Return the positions of posts along x, about two metres apart."""
    ends: list[float] = np.linspace(-length / 2, length / 2, max(int(length / 2.0), 1) + 1).tolist()
    return ends


def _sheet(length: float, low: float, high: float, colour: RGB) -> Mesh:
    half = length / 2
    return quad([(-half, 0, low), (half, 0, low), (half, 0, high), (-half, 0, high)], Tag.FENCE, colour)
