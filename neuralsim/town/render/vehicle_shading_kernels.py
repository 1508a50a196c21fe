"""The compiled shading of vehicles: paint and glass with reflections of sky and street, seams, lamps, wheel arches."""

from __future__ import annotations

import numpy as np
from numba import njit

from neuralsim.town.assets.lit_bodies import (
    BELT,
    BRAKE,
    COWL,
    FRONT_AXLE,
    HALF_WIDTH,
    LAMP_Y,
    LAMP_Z,
    LEFT,
    LENGTH,
    LIT,
    LOW_BEAM,
    NONE,
    NOSE,
    PILLAR,
    RADIUS,
    REAR_AXLE,
    RIGHT,
    SILL,
)
from neuralsim.town.render.raster_kernels import lean_options as options

_FLAT = 0.78  # component of a normal from which on the whole panel is taken to face that axis


@njit(forceinline=True, **options)
def _inside(value, low, high, soft):
    """Return 1 between ``low`` and ``high`` and 0 outside, with ramps of width ``soft``."""
    return min(max(min(value - low, high - value) / soft + 0.5, 0.0), 1.0)


@njit(forceinline=True, **options)
def _seam(away, footprint):
    """Return the share of a pixel that a 14 mm seam covers, ``away`` m from the pixel's centre."""
    return min(max((0.007 + 0.5 * footprint - abs(away)) / footprint, 0.0), 1.0) * min(1.0, 0.014 / footprint)


@njit(forceinline=True, **options)
def _reflection(rx, ry, rz, place, light):
    """Return the RGB that a ray in the world's direction ``rx``, ``ry``, ``rz`` hits: sky over a skyline, street below.

    ``place``: shifts the skyline; ``light``: ``Light``.
    """
    sun, ambient, horizon, zenith = light.sun, light.ambient, light.horizon, light.zenith
    skyline = 0.17 + 0.07 * np.sin(5.0 * rx + 0.23 * place) + 0.05 * np.sin(9.0 * ry - 0.31 * place)
    share = min(max((rz - skyline) * 9.0, 0.0), 1.0)
    high = min(max(rz * 1.6, 0.0), 1.0)
    near = 62.0 if rz > 0.0 else 62.0 - 14.0 * min(-4.0 * rz, 1.0)
    c0 = near * ambient[0] * 1.1 + sun[0] * 12.0
    c1 = near * ambient[1] * 1.08 + sun[1] * 12.0
    c2 = near * ambient[2] * 1.02 + sun[2] * 11.0
    s0 = horizon[0] + (zenith[0] - horizon[0]) * high
    s1 = horizon[1] + (zenith[1] - horizon[1]) * high
    s2 = horizon[2] + (zenith[2] - horizon[2]) * high
    return c0 + (s0 - c0) * share, c1 + (s1 - c1) * share, c2 + (s2 - c2) * share


@njit(forceinline=True, **options)
def _trim(body, x, y, z, nx, ny, footprint):
    """Return the brightness of the paint at a point of a body, 0..1: seams, handles, arches and sills are dark."""
    soft = footprint + 0.02
    left = 1.0
    if z < body[BELT] + 0.02 and abs(ny) > 0.5:  # a side
        high = _inside(z, body[SILL] + 0.12, body[BELT] - 0.015, soft)
        seams = _seam(x - (body[COWL] - 0.12), footprint)
        for k in range(3):
            pillar = body[PILLAR + k]
            if pillar > NONE:
                seams = max(seams, _seam(x - pillar, footprint))
                handle = _inside(x, pillar + 0.07, pillar + 0.27, soft) * _inside(
                    z, body[BELT] - 0.17, body[BELT] - 0.12, soft
                )
                left *= 1.0 - 0.55 * handle * min(1.0, 0.05 / footprint)
        left *= 1.0 - 0.75 * seams * high
        left *= 1.0 - 0.12 * _inside(z, body[BELT] - 0.3, body[BELT] - 0.22, 0.06)  # a crease in the doors
    elif abs(nx) > 0.5 and x < 0.0 and z < body[BELT]:  # the tail
        left *= 1.0 - 0.6 * _seam(z - (body[LAMP_Z] + 0.17), footprint)
        left *= 1.0 - 0.7 * _seam(z - (body[SILL] + 0.45), footprint)
        left *= 1.0 - 0.45 * _inside(abs(y), -0.4, 0.4, soft) * _inside(z, body[SILL] + 0.22, body[SILL] + 0.5, soft)
    elif abs(nx) > 0.4 and z < body[NOSE] - 0.02:  # the nose: a grille and an air intake
        wide = 0.52 * body[HALF_WIDTH]
        left *= 1.0 - 0.75 * _inside(abs(y), -1.0, wide, soft) * _inside(z, body[NOSE] - 0.36, body[NOSE] - 0.2, soft)
        left *= 1.0 - 0.7 * _inside(abs(y), -1.0, 1.2 * wide, soft) * _inside(
            z, body[SILL] + 0.05, body[SILL] + 0.16, soft
        )
    else:
        left *= 1.0 - 0.6 * _seam(abs(y) - 0.8 * body[HALF_WIDTH], footprint) * _inside(x, body[COWL], 99.0, soft)
    for axle in (body[FRONT_AXLE], body[REAR_AXLE]):
        away = np.sqrt((x - axle) ** 2 + (z - body[RADIUS]) ** 2) / body[RADIUS]
        left *= 1.0 - 0.6 * min(max((1.34 - away) * 8.0, 0.0), 1.0)
    left *= 1.0 - 0.6 * _inside(z, -1.0, body[SILL] + 0.1, 0.08)
    return left


@njit(forceinline=True, **options)
def _rear(body, x, y, z, footprint):
    """Return the share of a pixel that a rear lamp covers."""
    if x > 0.3 - body[LENGTH]:
        return 0.0
    soft = footprint + 0.015
    aside = abs(y)
    return _inside(aside, body[LAMP_Y] - 0.16, body[LAMP_Y] + 0.2, soft) * _inside(
        z, body[LAMP_Z] - 0.1, body[LAMP_Z] + 0.12, soft
    )


@njit(forceinline=True, **options)
def _front_lamp(body, x, y, z, footprint):
    """Return the share of a pixel that a headlamp covers."""
    if x < body[LENGTH] - 0.5:
        return 0.0
    soft = footprint + 0.015
    return _inside(abs(y), 0.5 * body[HALF_WIDTH], 0.96 * body[HALF_WIDTH], soft) * _inside(
        z, body[NOSE] - 0.25, body[NOSE] - 0.07, soft
    )


@njit(forceinline=True, **options)
def _panel_normal(nx, ny, nz, z, is_glass, body):
    """Return the smooth normal of the panel that a facet with normal ``nx``, ``ny``, ``nz`` stands for, local."""
    mx, my, mz = nx, ny, nz
    if not is_glass:  # panels are smooth where facets are not: their normals lean towards the axes
        mx, my, mz = nx * nx * nx, ny * ny * ny, nz * nz * nz
        if abs(ny) > _FLAT:
            mx = mz = 0.0
        elif abs(nx) > _FLAT:
            my = mz = 0.0
        size = 1.0 / np.sqrt(mx * mx + my * my + mz * mz)
        mx, my, mz = mx * size, my * size, mz * size
    flat = 1.0 - mz * mz  # panels are curved: their upper halves face the sky, their lower halves the street
    mz += flat * (0.3 * (z - body[BELT]) if is_glass else min(max((z - 0.58 * max(body[BELT], 0.9)) * 1.5, -0.35), 0.4))
    size = 1.0 / np.sqrt(mx * mx + my * my + mz * mz)
    return mx * size, my * size, mz * size


@njit(forceinline=True, **options)
def _lamps(c0, c1, c2, body, x, y, z, footprint):
    """Return the albedo with lamps at a point of a body, and the light that they emit there, RGB each."""
    h0, h1, h2 = 0.0, 0.0, 0.0
    lit = int(body[LIT])
    rear, front = _rear(body, x, y, z, footprint), _front_lamp(body, x, y, z, footprint)
    if rear > 0.0:
        is_blinking = (lit & LEFT and y < 0.0) or (lit & RIGHT and y > 0.0)
        c0, c1, c2 = c0 + (126.0 - c0) * rear, c1 + (16.0 - c1) * rear, c2 + (18.0 - c2) * rear
        strength = 255.0 if lit & BRAKE else 150.0 if lit & LOW_BEAM else 0.0
        if strength > 0.0:
            h0, h1, h2 = rear * strength, 0.16 * rear * strength, 0.1 * rear * strength
        if is_blinking and abs(y) > body[LAMP_Y] + 0.03:
            h0, h1, h2 = 255.0 * rear, 150.0 * rear, 20.0 * rear
    if front > 0.0:
        rim = 0.6 + 0.4 * front
        c0 = c0 + (205.0 * rim - c0) * front
        c1 = c1 + (210.0 * rim - c1) * front
        c2 = c2 + (216.0 * rim - c2) * front
        if lit & LOW_BEAM:
            h0, h1, h2 = 250.0 * front, 245.0 * front, 225.0 * front
        if (lit & LEFT and y < 0.0) or (lit & RIGHT and y > 0.0):
            h0, h1, h2 = 255.0 * front, 150.0 * front, 20.0 * front
    return c0, c1, c2, h0, h1, h2


@njit(forceinline=True, **options)
def bodywork(is_glass, body, inverse, pose, ray, surface, light, shone, around, footprint):
    """Return albedo RGB (0..255), shares of sun and sky, and the RGB of reflections and lit lamps at a point.

    Args:
        is_glass: Whether it is glass, not paint.
        body: f32 (K,), see ``assets.lit_bodies``.
        inverse: f64 (3, 4), local <- camera.
        pose: f64 (4, 4), world <- camera.
        ray: Depth d (m), right and up: the point is d * (1, right, up) in camera space.
        surface: f32 (9,), the triangle's row of ``VisibilityBuffer.surface``.
        light: ``Light``.
        shone: Share of the sun that reaches the point.
        around: Share of the sky's light that does.
        footprint: Size of a pixel, m.
    """
    d, right, up = ray
    to_sun, sun = light.to_sun, light.sun
    x = d * (inverse[0, 0] + inverse[0, 1] * right + inverse[0, 2] * up) + inverse[0, 3]
    y = d * (inverse[1, 0] + inverse[1, 1] * right + inverse[1, 2] * up) + inverse[1, 3]
    z = d * (inverse[2, 0] + inverse[2, 1] * right + inverse[2, 2] * up) + inverse[2, 3]
    a, b, c = surface[6], surface[7], surface[8]
    nx = inverse[0, 0] * a + inverse[0, 1] * b + inverse[0, 2] * c
    ny = inverse[1, 0] * a + inverse[1, 1] * b + inverse[1, 2] * c
    nz = inverse[2, 0] * a + inverse[2, 1] * b + inverse[2, 2] * c
    mx, my, mz = _panel_normal(nx, ny, nz, z, is_glass, body)
    a = inverse[0, 0] * mx + inverse[1, 0] * my + inverse[2, 0] * mz
    b = inverse[0, 1] * mx + inverse[1, 1] * my + inverse[2, 1] * mz
    c = inverse[0, 2] * mx + inverse[1, 2] * my + inverse[2, 2] * mz
    wx = pose[0, 0] * a + pose[0, 1] * b + pose[0, 2] * c
    wy = pose[1, 0] * a + pose[1, 1] * b + pose[1, 2] * c
    wz = pose[2, 0] * a + pose[2, 1] * b + pose[2, 2] * c
    dx = pose[0, 0] + pose[0, 1] * right + pose[0, 2] * up
    dy = pose[1, 0] + pose[1, 1] * right + pose[1, 2] * up
    dz = pose[2, 0] + pose[2, 1] * right + pose[2, 2] * up
    size = 1.0 / np.sqrt(dx * dx + dy * dy + dz * dz)
    dx, dy, dz = dx * size, dy * size, dz * size
    towards = dx * wx + dy * wy + dz * wz
    rx, ry, rz = dx - 2.0 * towards * wx, dy - 2.0 * towards * wy, dz - 2.0 * towards * wz
    grazing = 1.0 - min(max(-towards, 0.0), 1.0)
    grazing = grazing * grazing
    grazing = grazing * grazing  # Schlick's approximation (1994), with the fourth power
    m0, m1, m2 = _reflection(rx, ry, rz, pose[0, 3] + pose[1, 3] + x, light)
    gloss = (0.2 + 0.7 * grazing) if is_glass else (0.07 + 0.45 * grazing)
    gloss *= 0.35 + 0.65 * around
    hot = rx * to_sun[0] + ry * to_sun[1] + rz * to_sun[2] - 0.965
    highlight = 0.0
    if hot > 0.0 and shone > 0.0:
        hot = hot * (1.0 / 0.035)
        highlight = 210.0 * hot * hot * shone
    shone *= max(wx * to_sun[0] + wy * to_sun[1] + wz * to_sun[2], 0.0)
    around *= 0.62 + 0.38 * wz
    c0, c1, c2 = surface[0], surface[1], surface[2]
    h0, h1, h2 = 0.0, 0.0, 0.0
    if is_glass:
        c0, c1, c2 = 0.6 * c0, 0.6 * c1, 0.6 * c2
    elif body[BELT] > 0.0:
        left = _trim(body, x, y, z, nx, ny, footprint)
        gloss *= left
        c0, c1, c2, h0, h1, h2 = _lamps(c0 * left, c1 * left, c2 * left, body, x, y, z, footprint)
    kept = 1.0 - gloss
    r0, r1, r2 = h0 + m0 * gloss, h1 + m1 * gloss, h2 + m2 * gloss
    added = r0 + highlight * sun[0], r1 + highlight * sun[1], r2 + highlight * sun[2]
    return (c0 * kept, c1 * kept, c2 * kept), shone, around, added
