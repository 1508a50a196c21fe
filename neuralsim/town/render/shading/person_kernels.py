"""The compiled details of people: faces, hair, and the cut, seams and folds of clothes.

They are functions of where a point is on the same body when it stands, in metres of a body of 1.75 m, so that they move
with the limbs. Edges are as soft as a pixel is large, so that nothing flickers.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from neuralsim.town.assets.lit_bodies import IS_MAN, SCALE, TO_STANDING, TOP
from neuralsim.town.assets.meshes import HAIR, LOWER, PAINT, PALETTE, SKIN, SLEEVE
from neuralsim.town.assets.people_meshes import TOPS, gait, joints
from neuralsim.town.render.raster_arrays import lean_options as options
from neuralsim.town.render.shading.edge_kernels import inside, line

COAT = TOPS.index("coat")
JACKET = TOPS.index("jacket")
_STANDING = joints(gait(0))
HEAD_X = float(_STANDING.head[0])  # m, ahead
HEAD_Z = float(_STANDING.head[2])  # m, height
THROAT_Z = float(_STANDING.neck[2])  # m, height at which a top ends
ELBOW_Z = float(_STANDING.sides[0].elbow[2])  # m
KNEE_Z = float(_STANDING.sides[0].knee[2])  # m
TOP_PAINT = PALETTE.index(PAINT) + 1  # paints of triangles
LOWER_PAINT = PALETTE.index(LOWER) + 1
HAIR_PAINT = PALETTE.index(HAIR) + 1
SKIN_PAINT = PALETTE.index(SKIN) + 1
SLEEVE_PAINT = PALETTE.index(SLEEVE) + 1
HOOP_PITCH = 0.085  # m from hoop to hoop
EYE_COLOUR = (38.0, 31.0, 28.0)  # RGB
_TIES = np.array([(74, 24, 30), (30, 36, 66), (44, 46, 50), (58, 70, 62)], np.float64)


class Person(NamedTuple):
    """A triangle of a person."""

    part: int  # place of its colour in ``assets.meshes.PALETTE``, from 1 on; 0: shoes, bags and the like
    traits: int  # bits that choose beard, glasses, tie and patterns
    top: int  # of ``TOPS``
    is_man: bool
    scale: float  # of the body; 0: a rider, of whom only the folds are known
    shirt: tuple[float, float, float]  # RGB
    hair: tuple[float, float, float]  # RGB
    corner: tuple[float, float, float]  # of the triangle when the body stands, m
    second: tuple[float, float, float]  # the second corner less that one
    third: tuple[float, float, float]


@njit(forceinline=True, **options)
def person_of(smooth, t, body, number, colours, is_person):
    """Return the ``Person`` of triangle ``t`` of ``Smooth``.

    ``body``: its row, see ``assets.lit_bodies``; ``number``: its instance; ``colours`` u8 (7, 3): its palette;
    ``is_person``: whether it is one; else the result is of no use.
    """
    none = 0.0, 0.0, 0.0
    if not is_person or body[SCALE] == 0.0:
        return Person(0, 0, 0, False, 0.0, none, none, none, none, none)
    vertices, at = smooth.vertices, t + np.int64(body[TO_STANDING])
    a, b, c = smooth.triangles[at, 0], smooth.triangles[at, 1], smooth.triangles[at, 2]
    per = 1.0 / body[SCALE]
    ox, oy, oz = vertices[0, a] * per, vertices[1, a] * per, vertices[2, a] * per
    second = vertices[0, b] * per - ox, vertices[1, b] * per - oy, vertices[2, b] * per - oz
    third = vertices[0, c] * per - ox, vertices[1, c] * per - oy, vertices[2, c] * per - oz
    shirt = float(colours[2, 0]), float(colours[2, 1]), float(colours[2, 2])
    hair = float(colours[3, 0]), float(colours[3, 1]), float(colours[3, 2])
    traits = np.int64((np.int64(number) * 2246822519 >> 7) & 0xFFFF)
    return Person(
        np.int64(smooth.paint[t]),
        traits,
        int(body[TOP]),
        body[IS_MAN] > 0.0,
        np.float64(body[SCALE]),
        shirt,
        hair,
        (float(ox), float(oy), float(oz)),
        second,
        third,
    )


@njit(forceinline=True, **options)
def standing_point(person, patch, x, y, z):
    """Return where a point of a ``Person``'s triangle, m in its axes, is on the body of 1.75 m when it stands.

    ``patch``: the triangle's ``Patch``. Of a rider it is the same point.
    """
    if person.scale == 0.0:
        return x, y, z
    u, v, origin = patch.u, patch.v, patch.origin
    x, y, z = x - origin[0], y - origin[1], z - origin[2]
    s, t = u[0] * x + u[1] * y + u[2] * z, v[0] * x + v[1] * y + v[2] * z
    a, b, c = person.corner, person.second, person.third
    return a[0] + s * b[0] + t * c[0], a[1] + s * b[1] + t * c[1], a[2] + s * b[2] + t * c[2]


@njit(forceinline=True, **options)
def _near(value, middle, reach):
    """Return 1 at ``middle``, falling smoothly to 0 at ``reach`` from it."""
    away = (value - middle) / reach
    left = max(1.0 - away * away, 0.0)
    return left * left


@njit(forceinline=True, **options)
def _waves(person, point):
    """Return how far out cloth is, -1..1, and how deep its folds are, 0..1."""
    x, y, z = point
    aside, turn = abs(y), 0.7 * (person.traits & 7)
    # folds of cloth are uneven: waves of two directions that come and go
    slow = np.sin(9.0 * z + 7.0 * y + 11.0 * x + turn)
    wave = 0.6 * np.sin(24.0 * z + 17.0 * y - 13.0 * x + 2.0 * slow) + 0.4 * np.sin(31.0 * y - 11.0 * z + 3.0 * slow)
    depth = 0.35
    if person.scale == 0.0:
        return wave, depth
    pull, at_joint = 0.0, 0.0
    if person.part == SLEEVE_PAINT:
        at_joint = _near(z, ELBOW_Z + 0.02, 0.15) * (0.6 - 0.4 * slow)
        pull = np.sin(72.0 * z + 45.0 * x + 2.5 * slow)
    elif person.part == TOP_PAINT:
        at_joint = _near(z, 1.04, 0.2) * (0.5 - 0.5 * slow)
        pull = np.sin(55.0 * z + 38.0 * aside + 2.5 * slow)
    elif person.part == LOWER_PAINT:
        at_joint = max(_near(z, KNEE_Z, 0.13), _near(z, 0.12, 0.1)) * (0.7 - 0.3 * slow)
        pull = np.sin(66.0 * z + 21.0 * (x + y) + 3.0 * slow)
        at_hip = _near(z, 0.84, 0.13) * (1.0 - min(aside * 4.0, 0.6))
        if at_hip > at_joint:
            at_joint, pull = at_hip, np.sin(60.0 * z - 52.0 * aside + 2.0 * slow)
    return wave + (pull - wave) * at_joint, depth + 0.45 * at_joint


@njit(forceinline=True, **options)
def folds(person, point, footprint):
    """Return what folds add to the unit normal of cloth at a standing ``point`` to the right and upwards, and the share
    of the sky's light that they take. ``footprint``: m."""
    fine = max(1.0 - 33.0 * footprint, 0.0)
    if fine == 0.0 or (person.scale > 0.0 and person.part not in (TOP_PAINT, LOWER_PAINT, SLEEVE_PAINT)):
        return 0.0, 0.0, 0.0
    x, y, z = point
    here, depth = _waves(person, point)
    above, _ = _waves(person, (x, y, z + 0.01))
    beside, _ = _waves(person, (x, y + 0.01, z))
    strength = 0.55 * fine * depth
    taken = 0.2 * fine * depth * (0.5 - 0.5 * here) if person.scale > 0.0 else 0.0
    return strength * (here - beside), strength * (here - above), taken


@njit(forceinline=True, **options)
def _band(value, low, high, soft):
    """Return ``inside``, the fainter the narrower it is than ``soft``: its share of the pixel."""
    return inside(value, low, high, soft) * min(1.0, (high - low) / soft)


@njit(forceinline=True, **options)
def _middle(aside, half, soft):
    """Return the same for what is within ``half`` of the middle of the body."""
    return inside(aside, -1.0, half, soft) * min(1.0, 2.0 * half / soft)


@njit(forceinline=True, **options)
def _face(person, c0, c1, c2, y, z, footprint):
    """Return the albedo RGB of the front of a head, ``y`` and ``z`` m from its middle."""
    aside, soft, traits = abs(y), footprint + 0.004, person.traits
    tone = 1.0 - 0.24 * _near(aside, 0.032, 0.03) * _near(z, 0.015, 0.026)  # sockets
    tone *= 1.0 - 0.22 * _near(aside, 0.016, 0.012) * inside(z, -0.03, 0.012, 0.02)  # beside the nose
    tone *= 1.0 - 0.2 * _middle(aside, 0.014, soft) * _band(z, -0.046, -0.036, soft)  # below it
    tone *= 1.0 - 0.14 * _near(z, -0.088, 0.012) * inside(aside, -1.0, 0.02, 0.02)
    brow = _band(aside, 0.015, 0.05, soft) * line(z - 0.037 + 0.12 * abs(aside - 0.03), 0.008, footprint)
    tone *= 1.0 - 0.55 * brow
    c0, c1, c2 = c0 * tone, c1 * tone, c2 * tone
    blush = 0.1 * _near(aside, 0.042, 0.03) * _near(z, -0.03, 0.03)
    lips = 0.55 * _middle(aside, 0.023, soft) * _band(z, -0.075, -0.056, soft)
    gap = 0.45 * _middle(aside, 0.024, soft) * line(z + 0.064, 0.004, footprint)
    c0 *= (1.0 - 0.12 * lips) * (1.0 - gap)
    c1 *= (1.0 - 0.5 * lips) * (1.0 - gap) * (1.0 - blush)
    c2 *= (1.0 - 0.45 * lips) * (1.0 - gap) * (1.0 - blush)
    if person.is_man and traits & 24:  # stubble or a beard
        full = traits & 24 == 24
        edge = -0.034 - 0.7 * max(0.05 - aside, 0.0) if not full else -0.03 - 0.5 * max(0.045 - aside, 0.0)
        hairy = inside(z, -1.0, edge, soft + 0.012) * (1.0 - 0.8 * min(lips * 2.0, 1.0))
        share = (0.75 if full else 0.22) * hairy
        h0, h1, h2 = person.hair
        c0, c1, c2 = c0 + (0.8 * h0 - c0) * share, c1 + (0.8 * h1 - c1) * share, c2 + (0.8 * h2 - c2) * share
    across, high = (aside - 0.032) / 0.017, (z - 0.012) / 0.008
    away = (1.0 - np.sqrt(across * across + high * high)) * 0.008
    eye = 0.9 * min(max(away / soft + 0.5, 0.0), 1.0) * min(1.0, 0.011 / soft)  # its area, when it is blurred
    c0, c1, c2 = c0 + (EYE_COLOUR[0] - c0) * eye, c1 + (EYE_COLOUR[1] - c1) * eye, c2 + (EYE_COLOUR[2] - c2) * eye
    if traits & 224 == 224:  # glasses, every second pair of them against the sun
        across, high = (aside - 0.032) / 0.025, (z - 0.01) / 0.019
        away = 0.022 * (np.sqrt(across * across + high * high) - 1.0)
        rim = max(line(away, 0.004, footprint), inside(aside, -1.0, 0.009, soft) * line(z - 0.016, 0.004, footprint))
        if traits & 256:
            rim = max(rim, 0.9 * min(max(-away / soft + 0.5, 0.0), 1.0))
        c0, c1, c2 = c0 + (24.0 - c0) * rim, c1 + (24.0 - c1) * rim, c2 + (26.0 - c2) * rim
    return c0, c1, c2


@njit(forceinline=True, **options)
def _upper(person, c0, c1, c2, x, y, z, footprint):
    """Return the albedo RGB of a top."""
    aside, soft, traits = abs(y), footprint + 0.004, person.traits
    tone = 1.0
    front = x > 0.02 and person.part == TOP_PAINT
    if person.part == SLEEVE_PAINT:  # cuffs
        tone -= 0.3 * line(z - ELBOW_Z + 0.2, 0.006, footprint)
    if person.top == COAT or person.top == JACKET:
        button = 1.3 if person.top == COAT else 1.13
        is_open = person.top == JACKET and traits & 3 == 3
        wide = 0.068 * max(z - button, 0.0) / (THROAT_Z - button)
        if is_open:
            wide = max(wide, 0.035 + 0.05 * max(1.1 - z, 0.0))
        if front:
            shirt = inside(aside, -1.0, wide, soft) * min(wide * 100.0, 1.0)
            lapel = wide + 0.042 * inside(z, button, button + 0.22, 0.06)
            tone += 0.07 * inside(aside, wide, lapel, soft)
            tone -= 0.4 * line(aside - wide - 0.004, 0.007, footprint)
            tone -= 0.3 * line(aside - lapel, 0.005, footprint) * inside(z, button, button + 0.24, soft)
            pocket = inside(aside, 0.065, 0.15, soft) * line(
                z - (0.86 if person.top == COAT else 0.93), 0.008, footprint
            )
            tone -= 0.4 * pocket
            if not is_open:
                row = (z - 0.6) / 0.115
                dot = (row - np.floor(row) - 0.5) * 0.115
                dot = np.sqrt(dot * dot + (y - 0.012) * (y - 0.012))
                tone -= (
                    0.4 * inside(dot, -1.0, 0.01, soft) * min(1.0, (0.02 / soft) ** 2) * inside(z, 0.7, button, soft)
                )
            s0, s1, s2 = person.shirt
            if person.is_man and traits & 12288 == 12288:
                tie = inside(aside, -1.0, 0.016 + 0.04 * max(1.4 - z, 0.0), soft)
                choice = _TIES[traits >> 9 & 3]
                s0, s1, s2 = s0 + (choice[0] - s0) * tie, s1 + (choice[1] - s1) * tie, s2 + (choice[2] - s2) * tie
            shade = 1.0 - 0.35 * _near(aside, wide, 0.02)  # below the lapels
            c0, c1, c2 = c0 + (shade * s0 - c0) * shirt, c1 + (shade * s1 - c1) * shirt, c2 + (shade * s2 - c2) * shirt
        elif person.part == TOP_PAINT:
            tone -= 0.3 * line(y, 0.005, footprint)  # the seam of the back
        if person.top == COAT and person.part == TOP_PAINT and not person.is_man:  # a belt
            tone -= 0.35 * max(line(z - 1.0, 0.007, footprint), line(z - 1.05, 0.007, footprint))
    else:
        pattern = traits & 7
        if pattern < 2:  # hoops
            row = z / HOOP_PITCH
            pale = min(max((0.21 - abs(row - np.floor(row) - 0.5)) * (HOOP_PITCH / soft) + 0.5, 0.0), 1.0)
            pale = 0.42 + min(max(2.0 - 4.0 * footprint / HOOP_PITCH, 0.0), 1.0) * (pale - 0.42)
            s0, s1, s2 = person.shirt
            c0, c1, c2 = c0 + (s0 - c0) * pale, c1 + (s1 - c1) * pale, c2 + (s2 - c2) * pale
        elif pattern < 4 and front:  # a print on the chest
            shown = inside(aside, -1.0, 0.085, soft) * inside(z, 1.2, 1.34, soft)
            fine = min(max(1.5 - 50.0 * footprint, 0.0), 1.0)
            shown *= 0.55 + 0.45 * fine * np.sin(70.0 * y + 5.0 * np.sin(50.0 * z + pattern))
            s0, s1, s2 = person.shirt
            c0, c1, c2 = c0 + (s0 - c0) * shown, c1 + (s1 - c1) * shown, c2 + (s2 - c2) * shown
        elif pattern == 4 and front:  # a zip
            tone -= 0.4 * line(y, 0.009, footprint)
        tone -= 0.25 * line(z - 0.9, 0.008, footprint)  # ribbing
    tone -= 0.3 * line(z - THROAT_Z + 0.005, 0.008, footprint)
    return tone * c0, tone * c1, tone * c2


@njit(forceinline=True, **options)
def clothes(person, albedo, point, footprint):
    """Return the albedo RGB of a ``Person`` at a standing ``point``, and the share of the sky's light that reaches it.

    ``albedo``: RGB of the triangle, 0..255; ``footprint``: size of a pixel, m.
    """
    c0, c1, c2 = albedo
    if person.scale == 0.0:
        return (c0, c1, c2), 1.0
    x, y, z = point
    aside, seen = abs(y), 1.0
    size = footprint / person.scale
    fine = min(max(1.5 - 60.0 * size, 0.0), 1.0)
    if person.part == SKIN_PAINT:
        high = z - HEAD_Z
        if high > -0.125:
            if x - HEAD_X > 0.03:
                c0, c1, c2 = _face(person, c0, c1, c2, y, high, size)
            seen = 0.85
        elif z > 1.4:
            seen = 0.6  # the neck, below the chin
    elif person.part == HAIR_PAINT:
        turn = np.arctan2(y, x - HEAD_X + 0.02)
        strand = np.sin(19.0 * turn + 3.0 * np.sin(31.0 * z + turn)) * np.sin(47.0 * turn + 40.0 * z)
        tone = 0.94 + 0.16 * min(max(1.6 - 200.0 * size, 0.0), 1.0) * strand
        c0, c1, c2 = tone * c0, tone * c1, tone * c2
        seen = min(max(1.0 + 3.0 * (z - HEAD_Z - 0.03), 0.6), 1.0)
    elif person.part == TOP_PAINT or person.part == SLEEVE_PAINT:
        c0, c1, c2 = _upper(person, c0, c1, c2, x, y, z, size)
        between = (aside - 0.13) * 20.0 if person.part == TOP_PAINT else (0.2 - aside) * 16.0  # arms and body
        seen = 1.0 - 0.4 * min(max(between, 0.0), 1.0) * inside(z, 0.8, 1.26, 0.16)
        if person.traits & 2048:  # wool
            c = 1.0 + 0.03 * fine * np.sin(210.0 * y + 170.0 * x) * np.sin(230.0 * z)
            c0, c1, c2 = c * c0, c * c1, c * c2
    elif person.part == LOWER_PAINT:
        tone = 1.0
        if c2 > 1.15 * c0:  # denim, worn at the thighs
            tone += 0.22 * _near(aside, 0.09, 0.06) * inside(z, 0.5, 0.85, 0.15)
            tone -= 0.12 * inside(z, -1.0, 0.3, 0.2)
        tone -= 0.25 * line(aside - 0.165 - 0.1 * min(z - 0.85, 0.0), 0.006, size)
        if x < -0.03:  # pockets
            pocket = max(
                line(z - 0.92, 0.006, size) * inside(aside, 0.045, 0.13, size),
                max(line(aside - 0.045, 0.005, size), line(aside - 0.13, 0.005, size)) * inside(z, 0.8, 0.92, size),
            )
            tone -= 0.3 * pocket
        tone -= 0.3 * line(z - 0.085, 0.006, size)
        c0, c1, c2 = tone * c0, tone * c1, tone * c2
        seen = 1.0 - 0.5 * _near(aside, 0.0, 0.06) * inside(z, 0.25, 1.0, 0.2)  # between the legs
        seen *= 1.0 - 0.4 * inside(z, 0.78, 2.0, 0.1)  # below the hem
    elif z < 0.12:  # shoes
        sole = inside(z, -1.0, 0.02, size + 0.003)
        tone = 1.0 - 0.55 * sole if c0 < 100.0 else 1.0 + 0.2 * sole - 0.35 * line(z - 0.022, 0.005, size)
        if x > 0.1:
            tone -= 0.2 * line(x - 0.13, 0.006, size)
        c0, c1, c2 = tone * c0, tone * c1, tone * c2
    elif z > 0.6:  # bags
        tone = 1.0 - 0.3 * max(
            line(z - 1.0, 0.007, size), max(line(z - 1.35, 0.007, size), line(z - 0.62, 0.007, size))
        )
        c0, c1, c2 = tone * c0, tone * c1, tone * c2
    return (c0, c1, c2), seen
