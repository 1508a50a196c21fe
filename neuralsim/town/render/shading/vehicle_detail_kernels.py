"""The compiled details of moving bodies: smooth normals, seams and grilles of cars, rims, and what glass shows.

They are functions of the position on a body and cost no triangles. Edges are as soft as a pixel is large, so that
nothing flickers.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from neuralsim.town.assets.lit_bodies import (
    BELT,
    COWL,
    FRONT_AXLE,
    GLASS_END,
    HALF_WIDTH,
    IS_DRIVEN,
    IS_VAN,
    LAMP_Z,
    LENGTH,
    NONE,
    NOSE,
    NUMBER,
    PILLAR,
    RADIUS,
    REAR_AXLE,
    SILL,
    STYLE,
    TAIL,
    TALL,
)
from neuralsim.town.render.raster_arrays import lean_options as options
from neuralsim.town.render.shading.edge_kernels import inside, line
from neuralsim.town.render.shading.plate_kernels import HIGH as PLATE_HIGH
from neuralsim.town.render.shading.plate_kernels import plate as plate_at

RIM_RADIUS = 0.66  # of a wheel's radius
INTERIOR_LIGHT = 0.06  # 0..1, how bright the cabin is through glass, and what is in it:
SEAT_LIGHT = 0.08
COAT_LIGHT = 0.2
FACE_LIGHT = 0.46
STREET_LIGHT = 0.58
SEAT_DISTANCE = 1.45  # m behind the cowl, of the front seats
SEAT_PITCH = 0.95  # m to the next row
SEAT_OFFSET = 0.38  # m from the middle


class Smooth(NamedTuple):
    """What smooth normals and clothes are computed from, of ``SceneArrays``."""

    vertices: np.ndarray  # f32 (3, V), m
    triangles: np.ndarray  # i32 (T, 3)
    normals: np.ndarray  # i8 (t, 9), of the last t triangles
    paint: np.ndarray  # u8 (T,)


class Patch(NamedTuple):
    """A triangle whose normal varies: at a point p it is the sum of ``base`` and ``rise`` (p - ``origin``)."""

    origin: tuple[float, float, float]
    base: tuple[float, float, float]
    u: tuple[float, float, float]  # p's first coordinate in the triangle is u (p - origin)
    v: tuple[float, float, float]
    along_u: tuple[float, float, float]  # normal at the second corner less that at the first
    along_v: tuple[float, float, float]  # normal at the third corner less that at the first


@njit(forceinline=True, **options)
def patch_of(smooth, t):
    """Return the ``Patch`` of triangle ``t`` of ``Smooth``; a ``base`` of 0 if it is flat."""
    vertices, triangles = smooth.vertices, smooth.triangles
    a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
    ox, oy, oz = float(vertices[0, a]), float(vertices[1, a]), float(vertices[2, a])
    ex, ey, ez = vertices[0, b] - ox, vertices[1, b] - oy, vertices[2, b] - oz
    fx, fy, fz = vertices[0, c] - ox, vertices[1, c] - oy, vertices[2, c] - oz
    ee, ef, ff = ex * ex + ey * ey + ez * ez, ex * fx + ey * fy + ez * fz, fx * fx + fy * fy + fz * fz
    scale = 1.0 / max(ee * ff - ef * ef, 1e-18)
    u = (ff * ex - ef * fx) * scale, (ff * ey - ef * fy) * scale, (ff * ez - ef * fz) * scale
    v = (ee * fx - ef * ex) * scale, (ee * fy - ef * ey) * scale, (ee * fz - ef * ez) * scale
    k = t - (len(triangles) - len(smooth.normals))
    if k < 0:
        flat = 0.0, 0.0, 0.0
        return Patch((ox, oy, oz), flat, u, v, flat, flat)
    n = smooth.normals[k]
    n0, n1, n2 = float(n[0]), float(n[1]), float(n[2])
    return Patch((ox, oy, oz), (n0, n1, n2), u, v, (n[3] - n0, n[4] - n1, n[5] - n2), (n[6] - n0, n[7] - n1, n[8] - n2))


@njit(forceinline=True, **options)
def smooth_normal(patch, x, y, z, nx, ny, nz):
    """Return the unit normal of a ``Patch`` at a point of its body; ``nx``, ``ny``, ``nz``: that of its plane, towards
    the viewer."""
    base, u, v, p, q = patch.base, patch.u, patch.v, patch.along_u, patch.along_v
    if base[0] == 0.0 and base[1] == 0.0 and base[2] == 0.0:
        return nx, ny, nz
    x, y, z = x - patch.origin[0], y - patch.origin[1], z - patch.origin[2]
    s = min(max(u[0] * x + u[1] * y + u[2] * z, 0.0), 1.0)
    t = min(max(v[0] * x + v[1] * y + v[2] * z, 0.0), 1.0)
    mx, my, mz = base[0] + s * p[0] + t * q[0], base[1] + s * p[1] + t * q[1], base[2] + s * p[2] + t * q[2]
    size = 1.0 / np.sqrt(max(mx * mx + my * my + mz * mz, 1e-12))
    if mx * nx + my * ny + mz * nz < 0.0:
        size = -size
    return mx * size, my * size, mz * size


@njit(forceinline=True, **options)
def _seam(away, footprint):
    """Return the share of a pixel that a 9 mm seam covers, ``away`` m from the pixel's centre."""
    return line(away, 0.009, footprint)


@njit(forceinline=True, **options)
def details(body, x, y, z, nx, ny, footprint):
    """Return what covers the paint at a point of a car: brightness of the paint, mostly 0..1, the share of black
    plastic, the share of a pale plate, its brightness, and the share of its blue band.

    Args:
        body: f32 (K,), see ``assets.lit_bodies``.
        x: Position in the body's axes, m.
        y: The same to the right.
        z: The same upwards.
        nx: Normal, forwards.
        ny: The same to the right.
        footprint: Size of a pixel, m.
    """
    soft = footprint + 0.012
    left, black, plate, tone, blue = 1.0, 0.0, 0.0, 1.0, 0.0
    half, sill, nose, belt, style = body[HALF_WIDTH], body[SILL], body[NOSE], body[BELT], body[STYLE]
    ahead, behind = body[LENGTH] - x, body[LENGTH] + x
    if z > belt and body[IS_VAN] > 0.0:  # its box
        if behind < 0.42 and abs(ny) < 0.75:  # doors with windows
            left = 1.0 - 0.5 * max(_seam(y, footprint), _seam(abs(y) - half + 0.13, footprint))
            pane = inside(abs(y), 0.12, half - 0.28, soft) * inside(z, belt + 0.22, belt + 0.8, soft)
            black = 0.85 * pane
        elif abs(ny) > 0.5:
            door = max(_seam(x - body[PILLAR] + 0.02, footprint), _seam(x - body[PILLAR] + 1.25, footprint))
            left = 1.0 - 0.45 * door * inside(z, belt, body[TALL] - 0.25, soft)
            left *= 1.0 - 0.35 * _seam(z - (belt + 0.12), footprint) * inside(x, body[TAIL], body[PILLAR], soft)
    elif behind < 0.42 and abs(ny) < 0.75 and z < belt + 0.1:  # the tail
        lamp = body[LAMP_Z]
        on_bumper = style < 0.4
        low = sill + 0.22 if on_bumper else min(lamp - 0.2, sill + 0.52)
        seam = _seam(z - (sill + 0.4), footprint) * inside(abs(y), -1.0, half - 0.12, soft)
        seam = max(seam, _seam(abs(y) - 0.72 * half, footprint) * inside(z, sill + 0.4, belt, soft))
        left = 1.0 - 0.5 * seam
        recess = inside(abs(y), -1.0, 0.33, soft) * inside(z, low - 0.035, low + 0.15, soft)
        left *= 1.0 - 0.3 * recess
        black = inside(z, -1.0, sill + 0.13, soft + 0.01)
        plate, tone, blue = plate_at(int(body[NUMBER]), y, z - low - 0.5 * PLATE_HIGH, False, footprint)
    elif ahead < 0.62 and abs(ny) < 0.75 and z < nose + 0.02 and nx > 0.15:  # the nose
        wide = (0.4 + 0.22 * style) * half
        top = nose - 0.09 - 0.05 * style
        tall = 0.09 + 0.1 * (1.0 - style)
        grille = inside(abs(y), -1.0, wide - 0.5 * (top - z), soft) * inside(z, top - tall, top, soft)
        slat = 0.5 + 0.5 * np.sin(z * 190.0)
        fine = min(max(1.4 - 45.0 * footprint, 0.0), 1.0)
        intake = inside(abs(y), -1.0, 0.62 * half, soft) * inside(z, sill + 0.05, sill + 0.17, soft)
        black = max(grille * (0.82 - 0.3 * fine * slat), 0.85 * intake)
        away = np.sqrt((abs(y) - 0.74 * half) ** 2 + (z - sill - 0.13) ** 2)
        black = max(black, 0.8 * inside(away, -1.0, 0.085, soft))
        black = max(black, inside(z, -1.0, sill + 0.05, soft))
        plate, tone, blue = plate_at(int(body[NUMBER]), -y, z - sill - 0.2 - 0.5 * PLATE_HIGH, False, footprint)
        left = 1.0 - 0.45 * _seam(z - (nose - 0.05), footprint) * inside(abs(y), -1.0, 0.7 * half, soft)
    elif z < belt + 0.03 and abs(ny) > 0.5:  # a side
        high = inside(z, sill + 0.12, belt + 0.01, soft)
        seams = _seam(x - (body[COWL] - 0.06), footprint)
        for k in range(3):
            pillar = body[PILLAR + k]
            if pillar > NONE:
                seams = max(seams, _seam(x - pillar, footprint))
                grip = inside(x, pillar + 0.06, pillar + 0.25, soft) * min(1.0, 0.02 / footprint)
                left *= 1.0 - 0.45 * grip * inside(z, belt - 0.195, belt - 0.175, soft)  # the shadow below it
                left *= 1.0 + 0.12 * grip * inside(z, belt - 0.175, belt - 0.15, soft)
        seams = max(seams, _seam(z - (sill + 0.14), footprint) * inside(x, body[REAR_AXLE], body[FRONT_AXLE], soft))
        left *= 1.0 - 0.5 * seams * high
        black = inside(z, -1.0, sill + 0.07, soft + 0.01)
        black = max(black, inside(z, belt - 0.008, belt + 0.1, soft) * inside(x, body[GLASS_END], body[COWL], soft))
    elif ny * ny + nx * nx < 0.6 and x > body[COWL] - 0.3:  # the bonnet
        left = 1.0 - 0.45 * _seam(abs(y) - 0.8 * half, footprint) * inside(ahead, 0.2, 9.0, soft)
    return left, black, plate, tone, blue


@njit(forceinline=True, **options)
def relief(body, z, ny):
    """Return what the creases in the doors add to the upward part of the normal."""
    if abs(ny) < 0.7:
        return 0.0
    upper, lower = (z - body[BELT] + 0.24) * 26.0, (z - body[SILL] - 0.2) * 18.0
    # (1 - x2 / 4)4 is nearly exp(-x2)
    result = 0.0
    if abs(upper) < 2.0:
        high = 1.0 - 0.25 * upper * upper
        result -= 0.3 * upper * high * high * high * high
    if abs(lower) < 2.0:
        low = 1.0 - 0.25 * lower * lower
        result -= 0.22 * lower * low * low * low * low
    return result


@njit(forceinline=True, **options)
def occlusion(body, x, y, z):
    """Return the share of the sky's light that reaches a point of a car: little between the wheels and under it."""
    low = min(max(0.45 + 1.1 * (z - 0.5 * body[SILL]), 0.4), 1.0)
    for axle in (body[FRONT_AXLE], body[REAR_AXLE]):
        dx, dz = x - axle, z - body[RADIUS]
        near = dx * dx + dz * dz
        reach = 1.3 * body[RADIUS]
        if near < reach * reach and abs(y) < body[HALF_WIDTH] - 0.03:
            return 0.16
    return low


@njit(forceinline=True, **options)
def wheel_tone(body, x, z, footprint):
    """Return the brightness (0..1) of a wheel's rim at a point, and whether it is tyre, for a wheel by itself or in its
    vehicle."""
    radius = max(body[RADIUS], 0.2)
    if body[LENGTH] > 0.0:  # part of the whole vehicle
        x -= body[FRONT_AXLE] if x > 0.5 * (body[FRONT_AXLE] + body[REAR_AXLE]) else body[REAR_AXLE]
        z -= radius
    away = np.sqrt(x * x + z * z) / radius
    if away > RIM_RADIUS:
        return 0.0, True
    soft = footprint / radius + 0.03
    count = 5.0 + np.floor(body[STYLE] * 5.99)
    turn = np.arctan2(z, x) * count * (1.0 / (2.0 * np.pi))
    part = abs(turn - np.floor(turn) - 0.5) * 2.0 * np.pi * away / count  # from the middle of a gap, in radii
    spoke = np.pi * away / count - part
    wide = 0.075 + 0.09 * (1.0 - body[STYLE])
    fine = min(max(1.6 - 3.0 * soft * count / 2.0, 0.25), 1.0)
    gap = inside(spoke, wide, 9.0, soft) * inside(away, 0.2, RIM_RADIUS - 0.07, soft) * fine
    nut = inside(away, -1.0, 0.07, soft)
    return (1.0 - 0.8 * gap) * (1.0 - 0.4 * nut) * (0.75 + 0.25 * inside(away, RIM_RADIUS - 0.06, 9.0, soft)), False


@njit(forceinline=True, **options)
def _seats(tone, body, x, y, z, dx, dy, dz, leave):
    """Return ``tone``, how bright what is behind the seats and the driver is, with these before it on a ray.

    The point (x, y, z) and the direction are in the body's axes; ``leave``: where the ray leaves the cabin, in
    multiples of the direction. Outlines are soft, as seen through glass.
    """
    if abs(dx) < 1e-6:
        return tone
    belt = body[BELT]
    for number in range(2):
        row = number if dx > 0.0 else 1 - number  # the farther one first
        at = body[COWL] - SEAT_DISTANCE - row * SEAT_PITCH
        t = (at - x) / dx
        if at < body[TAIL] + 0.35 or t <= 0.0 or t >= leave:
            continue
        across, high = y + t * dy, z + t * dz - belt
        aside = abs(abs(across) - SEAT_OFFSET)
        rest_y, rest_z = aside / 0.135, (high - 0.19) / 0.085
        rest_y, rest_z = rest_y * rest_y, rest_z * rest_z
        cover = min(max(2.0 * (1.0 - rest_y * rest_y - rest_z * rest_z), 0.0), 1.0)  # the headrest
        slope = 0.25 - 0.5 * max(high, 0.0) * max(high, 0.0) / 0.12
        back = min(max((slope - aside) * 22.0, 0.0), 1.0) * min(max((0.135 - high) * 22.0, 0.0), 1.0)
        tone += (SEAT_LIGHT - tone) * max(cover, back)
        if row == 0 and across < 0.0 and body[IS_DRIVEN] > 0.0:
            torso = min(max((0.17 - 1.7 * aside * aside - high) * 18.0, 0.0), 1.0) * min(
                max((0.27 - aside) * 18.0, 0.0), 1.0
            )
            tone += (COAT_LIGHT - tone) * torso
            away = (across + SEAT_OFFSET) * (across + SEAT_OFFSET) / 0.0085 + (high - 0.25) * (high - 0.25) / 0.0176
            head = min(max(2.2 * (1.0 - away), 0.0), 1.0)
            tone += (FACE_LIGHT + (SEAT_LIGHT - FACE_LIGHT) * min(max((high - 0.27) * 14.0, 0.0), 1.0) - tone) * head
    return tone


@njit(forceinline=True, **options)
def through_glass(body, x, y, z, dx, dy, dz):
    """Return how bright (0..1) what is behind a car's glass is: seats, the driver, the street through other windows.

    The point and the direction of the ray are in the body's axes.
    """
    wall, roof, floor = body[HALF_WIDTH] - 0.16, body[TALL] + 0.03, body[BELT] - 0.35
    leave, side = 1e9, 0
    for axis in range(3):
        at, way = (x, dx) if axis == 0 else (y, dy) if axis == 1 else (z, dz)
        low = body[TAIL] if axis == 0 else -wall if axis == 1 else floor
        high = body[COWL] if axis == 0 else wall if axis == 1 else roof
        if abs(way) < 1e-6:
            continue
        t = max(((high if way > 0.0 else low) - at) / way, 0.0)
        if t < leave:
            leave, side = t, axis
    ex, ez = x + leave * dx, z + leave * dz
    open_ = min(max((ez - body[BELT] - 0.01) * 20.0, 0.0), 1.0) * min(max((roof - 0.18 - ez) * 20.0, 0.0), 1.0)
    if side == 2 or (ex < body[GLASS_END] - 0.02 and (side == 1 or body[IS_VAN] > 0.0)):
        open_ = 0.0
    if side == 1:
        for k in range(3):
            if body[PILLAR + k] > NONE:
                open_ *= min(max((abs(ex - body[PILLAR + k]) - 0.03) * 16.0, 0.0), 1.0)
    tone = INTERIOR_LIGHT + (STREET_LIGHT - INTERIOR_LIGHT) * open_
    return _seats(tone, body, x, y, z, dx, dy, dz, leave)


@njit(forceinline=True, **options)
def through_windscreen(y, z, footprint):
    """Return how bright (0..1) the inside of a lorry's cab is behind its windscreen: driver, seats, daylight."""
    soft = footprint + 0.05
    seat = inside(abs(abs(y) - 0.62), -1.0, 0.26, soft) * inside(z, 0.0, 2.15, soft)
    head = inside(np.sqrt((y + 0.62) ** 2 + 0.6 * (z - 2.22) ** 2), -1.0, 0.13, soft)
    tone = 0.2 + 0.3 * inside(z, 1.9, 2.6, 0.3) * inside(abs(y), -1.0, 1.0, 0.4)
    return tone + (0.14 - tone) * seat + (0.6 - tone) * head
