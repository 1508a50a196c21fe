"""Motorcycles without their wheels, with or without a fairing, and who rides them.

The origin is on the ground halfway between the axles, x forward; metres.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bridge.tags import Tag
from neuralsim.town.assets.looks import HEADLAMP, PLATE, TAILLAMP
from neuralsim.town.assets.meshes import FAR, NEAR, PAINT, RGB, SHIRT, Mesh, box, loft, merge, quad, sphere, tube
from neuralsim.town.assets.people_meshes import VISOR, Body, Posture, joints, person

BLACK: RGB = (26, 26, 28)
STEEL: RGB = (140, 142, 146)
AMBER: RGB = (186, 98, 22)
LEATHER: RGB = (31, 32, 35)
HELMETS: tuple[RGB, ...] = ((198, 198, 194), (120, 24, 28), (40, 42, 46))
#: What is as glossy as paint though it has a colour of its own.
LACQUERED: tuple[RGB, ...] = (*HELMETS, VISOR)

_ENGINE: RGB = (58, 58, 61)
_BOOTS: RGB = (24, 24, 26)
_TAG = Tag.MOTORCYCLE

Vector = tuple[float, float, float]


class MotorcycleShape(NamedTuple):
    """The sizes of a motorcycle, metres; ``lean`` of its rider, degrees; and the RGB of the helmet."""

    radius: float  # of a wheel
    wheelbase: float
    seat: float  # height
    lean: float
    is_cruiser: bool  # a low seat and a wide handlebar; the others have a fairing
    helmet: RGB


class _Points(NamedTuple):
    """Where the parts of a motorcycle meet, metres."""

    front: float  # x of the axles
    rear: float
    radius: float  # of the wheels
    seat: float  # height
    head: tuple[float, float]  # x and z of the upper end of the fork
    grip: Vector  # middle of the right grip
    tail: tuple[float, float]  # x and z of the tail lamp


def _points(shape: MotorcycleShape) -> _Points:
    front, seat = shape.wheelbase / 2, shape.seat
    head, grip, tail = (front - 0.34, seat + 0.16), (front - 0.4, 0.32, seat + 0.19), (-front - 0.24, seat)
    if shape.is_cruiser:
        head, grip, tail = (front - 0.38, seat + 0.24), (front - 0.6, 0.34, seat + 0.36), (-front - 0.32, seat - 0.05)
    return _Points(front, -front, shape.radius, seat, head, grip, tail)


def motorcycle(shape: MotorcycleShape) -> Mesh:
    """Return a motorcycle without wheels and rider."""
    at = _points(shape)
    levels = []
    for level, sides in ((NEAR, 12), (FAR, 5)):
        fine = level == NEAR
        parts = [*_chassis(at, fine), *_tail(at, fine)]
        parts += _cruiser(at, sides, fine) if shape.is_cruiser else _sports_bike(at, sides, fine)
        levels.append(merge(parts).with_level(level))
    return merge(levels)


def _hull(stations: ArrayLike, colour: RGB, sides: int, power: float = 0.75) -> Mesh:
    """Return a body whose cross-sections across x are rounded rectangles.

    ``stations`` f64 (S, 4): x, half width, height of the lower and of the upper edge, metres; ``power``: 1 = ellipses.
    """
    x, wide, low, high = np.asarray(stations, float).T[..., None]
    angle = 2.0 * np.pi * (np.arange(sides) + 0.5) / sides
    aside, up = (np.sign(wave) * np.abs(wave) ** power for wave in (np.cos(angle), np.sin(angle)))
    rings = [np.broadcast_to(x, (len(x), sides)), wide * aside, (low + high) / 2.0 + (high - low) / 2.0 * up]
    return loft(np.stack(rings, -1), _TAG, colour)


def _rod(path: ArrayLike, radii: ArrayLike, colour: RGB, fine: bool) -> Mesh:
    return tube(path, radii, _TAG, colour, 7 if fine else 3)


def _mudguard(x: float, radius: float, wide: float, span: tuple[float, float], colour: RGB, fine: bool) -> Mesh:
    """Return a mudguard over a wheel at ``x`` of ``radius``; ``span``: degrees from straight ahead, upwards."""
    angle = np.radians(np.linspace(*span, 9 if fine else 4))[:, None]
    across = np.array([-1.0, -0.85, 0.0, 0.85, 1.0] if fine else [-1.0, 0.0, 1.0])
    reach = radius + 0.035 - 0.05 * np.abs(across) ** 3
    rings = [x + reach * np.cos(angle), np.broadcast_to(wide * across, (len(angle), len(across)))]
    return loft(np.stack([*rings, radius + reach * np.sin(angle)], -1), _TAG, colour, closed=False, caps=False)


def _lens(at: Vector, size: float, fine: bool) -> Mesh:
    """Return the round lens of a headlamp that looks forwards."""
    return sphere((0.03, size, size), at, _TAG, HEADLAMP, 12 if fine else 5, 6 if fine else 3)


def _chassis(at: _Points, fine: bool) -> list[Mesh]:
    """Return fork, swing arm, handlebar, mirrors, indicators in front and foot pegs."""
    (head_x, head_z), (grip_x, grip_y, grip_z) = at.head, at.grip
    slider = np.array([at.front, 0.0, at.radius]) + 0.45 * np.array([head_x - at.front, 0.0, head_z - at.radius])
    parts = [_rod([(head_x, -0.12, head_z - 0.02), (head_x, 0.12, head_z - 0.02)], 0.028, BLACK, fine)]  # fork bridge
    for side in (-1, 1):
        y = 0.1 * side
        leg = [(at.front, y, at.radius), (slider[0], y, slider[2])]
        parts.append(_rod(leg, [0.034, 0.03], STEEL, fine))
        parts.append(_rod([leg[1], (head_x, y, head_z)], 0.024, (96, 98, 102), fine))
        arm = [(at.rear, 0.12 * side, at.radius), (at.rear + 0.5, 0.11 * side, at.radius + 0.1)]
        parts.append(_rod(arm, 0.036, _ENGINE, fine))
        inner = grip_x + 0.015, side * (grip_y - 0.07), grip_z
        bar = [inner, (grip_x - 0.02, side * (grip_y + 0.075), grip_z)]
        mirror = grip_x + 0.06, side * 0.35, grip_z + 0.21
        parts.append(_rod(bar, 0.021, BLACK, fine))
        parts.append(sphere((0.028, 0.07, 0.042), mirror, _TAG, BLACK, 10 if fine else 4, 6 if fine else 3))
        if fine:
            parts.append(
                _rod([(head_x, 0.07 * side, head_z), (head_x, 0.13 * side, grip_z), inner], 0.015, BLACK, fine)
            )
            stalk = [
                (grip_x + 0.03, side * (grip_y - 0.09), grip_z),
                (grip_x + 0.09, side * 0.3, grip_z + 0.14),
                mirror,
            ]
            parts.append(_rod(stalk, 0.01, BLACK, fine))
            glass = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (0.042, 0.024)
            x, y, z = mirror
            parts.append(quad([(x - 0.029, y + a, z + b) for a, b in glass], _TAG, (150, 156, 162)))
            lever = [(grip_x + 0.05, side * (grip_y - 0.07), grip_z), (grip_x + 0.045, side * grip_y, grip_z - 0.01)]
            parts.append(_rod(lever, 0.008, STEEL, fine))
            winker = head_x + 0.08, side * 0.24, head_z - 0.1
            parts.append(_rod([(head_x, side * 0.1, head_z - 0.1), winker], 0.008, BLACK, fine))
            parts.append(sphere((0.03, 0.032, 0.022), winker, _TAG, AMBER, 8, 5))
    return parts


def _tail(at: _Points, fine: bool) -> list[Mesh]:
    """Return number plate, tail lamp and indicators behind."""
    x, z = at.tail
    parts = [sphere((0.035, 0.08, 0.026), (x, 0.0, z), _TAG, TAILLAMP, 10 if fine else 5, 6 if fine else 3)]
    parts.append(_rod([(x + 0.11, 0.0, z - 0.03), (x + 0.01, 0.0, z - 0.24)], 0.03, BLACK, fine))
    parts.append(box((0.012, 0.2, 0.2), (x - 0.006, 0.0, z - 0.17), _TAG, BLACK))
    parts.append(box((0.012, 0.18, 0.18), (x - 0.014, 0.0, z - 0.17), _TAG, PLATE))
    if fine:
        for side in (-1, 1):
            winker = x + 0.05, side * 0.17, z - 0.055
            parts.append(_rod([(x + 0.08, side * 0.03, z - 0.045), winker], 0.008, BLACK, fine))
            parts.append(sphere((0.03, 0.032, 0.022), winker, _TAG, AMBER, 8, 5))
    return parts


def _sports_bike(at: _Points, sides: int, fine: bool) -> list[Mesh]:
    """Return what only a sports motorcycle has: a fairing with a screen, and a tail that rises."""
    f, r, s = at.front, at.rear, at.seat
    nose = [
        (f - 0.02, 0.06, s - 0.04, s + 0.05),
        (f - 0.07, 0.125, s - 0.08, s + 0.11),
        (f - 0.17, 0.18, s - 0.1, s + 0.2),
        (f - 0.31, 0.205, s - 0.12, s + 0.22),
    ]
    screen = [
        (f - 0.1, 0.05, s + 0.11, s + 0.16),
        (f - 0.2, 0.12, s + 0.12, s + 0.25),
        (f - 0.31, 0.145, s + 0.14, s + 0.35),
        (f - 0.4, 0.12, s + 0.16, s + 0.37),
    ]
    flanks = [
        (f - 0.3, 0.17, s - 0.34, s + 0.08),
        (f - 0.38, 0.2, s - 0.45, s + 0.04),
        (f - 0.55, 0.205, s - 0.52, s - 0.03),
        (f - 0.78, 0.17, s - 0.52, s - 0.12),
        (f - 0.9, 0.13, s - 0.5, s - 0.22),
    ]
    belly = [
        (f - 0.37, 0.1, s - 0.5, s - 0.38),
        (f - 0.5, 0.185, s - 0.56, s - 0.4),
        (f - 0.8, 0.18, s - 0.58, s - 0.42),
        (f - 1.0, 0.1, s - 0.56, s - 0.46),
    ]
    tank = [
        (f - 0.36, 0.09, s - 0.06, s + 0.08),
        (f - 0.44, 0.14, s - 0.1, s + 0.16),
        (f - 0.6, 0.165, s - 0.1, s + 0.18),
        (f - 0.76, 0.13, s - 0.08, s + 0.1),
        (f - 0.86, 0.09, s - 0.06, s + 0.04),
    ]
    saddle = [
        (f - 0.8, 0.1, s - 0.1, s + 0.03),
        (f - 1.0, 0.145, s - 0.1, s + 0.02),
        (r + 0.22, 0.12, s - 0.06, s + 0.05),
    ]
    tail = [
        (r + 0.3, 0.125, s - 0.1, s + 0.04),
        (r + 0.15, 0.12, s - 0.06, s + 0.1),
        (r - 0.08, 0.09, s - 0.01, s + 0.11),
        (r - 0.26, 0.045, s + 0.02, s + 0.085),
    ]
    parts = [_hull(stations, PAINT, sides) for stations in (nose, flanks, tank, tail)]
    parts += [_hull(screen, VISOR, sides), _hull(belly, BLACK, sides), _hull(saddle, BLACK, sides)]
    parts.append(sphere((0.07, 0.148, 0.058), (f - 0.075, 0.0, s + 0.03), _TAG, VISOR, sides, 6 if fine else 3))
    parts.append(box((0.02, 0.26, 0.26), (f - 0.292, 0.0, s - 0.16), _TAG, BLACK))  # radiator
    for side in (-1, 1):
        parts.append(_lens((f - 0.03, side * 0.072, s + 0.03), 0.039, fine))
    parts.append(_mudguard(f, at.radius, 0.082, (25.0, 150.0), PAINT, fine))
    parts.append(_mudguard(r, at.radius, 0.085, (40.0, 120.0), BLACK, fine))
    exhaust = [
        (f - 0.7, 0.1, s - 0.53),
        (f - 1.02, 0.17, s - 0.46),
        (f - 1.1, 0.19, s - 0.43),
        (r - 0.1, 0.22, s - 0.26),
    ]
    parts.append(_rod(exhaust, [0.03, 0.03, 0.056, 0.06], STEEL, fine))
    parts.append(_rod([exhaust[-1], (r - 0.13, 0.223, s - 0.246)], [0.05, 0.045], BLACK, fine))
    if fine:  # intakes
        parts.append(sphere((0.05, 0.05, 0.02), (f - 0.06, 0.0, s - 0.055), _TAG, BLACK, 8, 5))
        for side in (-1, 1):
            parts.append(sphere((0.12, 0.014, 0.06), (f - 0.58, side * 0.198, s - 0.2), _TAG, BLACK, 8, 5))
    return parts


def _cruiser(at: _Points, sides: int, fine: bool) -> list[Mesh]:
    """Return what only a cruiser has: one large headlamp, an engine with two cylinders in sight, chrome."""
    f, r, s = at.front, at.rear, at.seat
    tank = [
        (f - 0.46, 0.05, s + 0.1, s + 0.2),
        (f - 0.54, 0.13, s + 0.03, s + 0.25),
        (f - 0.7, 0.16, s + 0.0, s + 0.25),
        (f - 0.88, 0.12, s + 0.0, s + 0.19),
        (f - 1.0, 0.06, s + 0.01, s + 0.1),
    ]
    saddle = [
        (f - 0.92, 0.08, s - 0.04, s + 0.06),
        (f - 1.08, 0.16, s - 0.06, s + 0.03),
        (f - 1.3, 0.17, s - 0.04, s + 0.07),
        (r + 0.1, 0.12, s + 0.0, s + 0.1),
        (r - 0.06, 0.08, s + 0.02, s + 0.08),
    ]
    crank = [
        (f - 0.6, 0.1, 0.22, 0.42),
        (f - 0.72, 0.15, 0.18, 0.48),
        (f - 1.05, 0.15, 0.2, 0.46),
        (f - 1.12, 0.1, 0.24, 0.4),
    ]
    parts = [_hull(tank, PAINT, sides), _hull(saddle, BLACK, sides), _hull(crank, _ENGINE, sides)]
    lamp_x, lamp_z = at.head[0] + 0.1, at.head[1] - 0.08
    shell = [(lamp_x - 0.14, 0.04, lamp_z - 0.04, lamp_z + 0.04), (lamp_x, 0.085, lamp_z - 0.085, lamp_z + 0.085)]
    parts += [_hull(shell, STEEL, sides, 1.0), _lens((lamp_x + 0.005, 0.0, lamp_z), 0.068, fine)]
    parts.append(_rod([(lamp_x - 0.01, 0.0, lamp_z), (lamp_x + 0.008, 0.0, lamp_z)], 0.076, BLACK, fine))  # its ring
    for x, top in ((f - 0.68, f - 0.58), (f - 0.9, f - 1.0)):  # cylinders
        parts.append(_rod([(x, 0.0, 0.4), (top, 0.0, s - 0.02)], 0.085, _ENGINE, fine))
        if fine:
            for share in (0.35, 0.55, 0.75):
                middle = np.array([x + share * (top - x), 0.0, 0.4 + share * (s - 0.42)])
                along = 0.012 * np.array([top - x, 0.0, s - 0.42])
                parts.append(_rod([middle - along, middle + along], 0.11, STEEL, fine))
    for low in (0.0, 0.09):
        pipe = [
            (f - 0.6, 0.12, s - 0.2),
            (f - 0.5, 0.17, s - 0.38),
            (f - 0.75, 0.19, 0.2 + low),
            (r - 0.15, 0.2, 0.23 + low),
        ]
        parts.append(_rod(pipe, [0.024, 0.026, 0.034, 0.046], STEEL, fine))
    parts.append(_mudguard(f, at.radius, 0.085, (15.0, 165.0), PAINT, fine))
    parts.append(_mudguard(r, at.radius, 0.095, (40.0, 165.0), PAINT, fine))
    return parts


def motorcyclist(shape: MotorcycleShape) -> Mesh:
    """Return who rides a motorcycle, with both hands on its grips: helmet, gloves, boots and a leather jacket."""
    x, y, z = _points(shape).grip
    wrists = (x - 0.06, -y, z + 0.045), (x - 0.06, y, z + 0.045)
    knee, foot = ((52.0, 52.0), None) if shape.is_cruiser else ((92.0, 92.0), (-8.0, -8.0))
    posture = Posture(
        (-0.26, 0.0, shape.seat + 0.12), shape.lean, (62.0, 62.0), knee, straddle=13.0, foot=foot, wrists=wrists
    )
    body = Body(girth=1.06, upper=LEATHER, chest=SHIRT, helmet=shape.helmet, gloves=BLACK, shoes=_BOOTS, tag=Tag.RIDER)
    boots = []
    for limb in joints(posture).sides:
        shaft = [limb.ankle - 0.24 * limb.shank, limb.ankle - 0.1 * limb.shank, limb.ankle]
        boots.append(tube(shaft, [0.078, 0.07, 0.06], Tag.RIDER, _BOOTS, 8).with_level(NEAR))
    return merge([person(body, posture), *boots])
