"""The compiled shading of vehicles and people: paint and glass with reflections of sky and street, lamps, clothes."""

from typing import NamedTuple

import numpy as np
from numba import njit

from neuralsim.town.assets.lit_bodies import (
    BELT,
    BRAKE,
    COWL,
    HALF_WIDTH,
    IS_VAN,
    LAMP_Y,
    LAMP_Z,
    LEFT,
    LENGTH,
    LIT,
    LOW_BEAM,
    NOSE,
    NUMBER,
    PLATE_FRONT,
    PLATE_REAR,
    RADIUS,
    RIGHT,
    SILL,
    TAIL,
)
from neuralsim.town.assets.looks import PLATE
from neuralsim.town.assets.vehicles.lamps import HEADLAMP_BELOW_NOSE
from neuralsim.town.render.raster_arrays import BODY, CLOTH, TRIM, WINDOW
from neuralsim.town.render.raster_arrays import lean_options as options
from neuralsim.town.render.shading.edge_kernels import inside
from neuralsim.town.render.shading.fitting_kernels import fittings, wiper
from neuralsim.town.render.shading.person_kernels import Person, clothes, folds, standing_point
from neuralsim.town.render.shading.plate_kernels import plate as plate_at
from neuralsim.town.render.shading.vehicle_detail_kernels import (
    Patch,
    details,
    occlusion,
    relief,
    smooth_normal,
    through_glass,
    through_windscreen,
    wheel_tone,
)

LENS_FLOOR = 0.35  # least light of the glass of a lamp that is on
REFLECTOR_RADIUS = 0.16  # m
INDICATOR_START = 0.68  # of the half width, where the indicator along the foot of a headlamp begins
INDICATOR_TOP = 0.175  # m below the bonnet, its upper edge
RETURNED = 12.0  # times the light of headlamps that signs, plates and reflectors return, over that of a white surface
LEDGE_SHARE = 0.2  # of the upward part of its normal that the ledge along side windows keeps
BUMPER_SIZE = 0.4, 0.26  # m, a van's front bumper: its length along the side, its height above the sill
BOWL_LIGHT = 0.5  # brightness of a headlamp beside its reflectors
#: Of 255: the sky's light that the fibres of cloth, and the down of skin, scatter at a grazing angle (Estevez and
#: Kulla, "Production Friendly Microfacet Sheen BRDF", SIGGRAPH 2017). Without it, clothes look like plastic.
FUZZ_LIGHT = 70.0
PLASTIC = 26.0  # of 255
PLATE_ALBEDO = 216.0, 216.0, 208.0  # of 255
BAND_ALBEDO = 14.0, 44.0, 138.0  # of 255, the blue band of plates
CHROME = 172.0  # of 255, of badges and trim


@njit(forceinline=True, **options)
def _reflection(rx, ry, rz, place, light):
    """Return the RGB that a ray in the world's direction ``rx``, ``ry``, ``rz`` hits: sky over houses, street below.

    ``place``: shifts the houses; ``light``: ``Light``.
    """
    sun, ambient, horizon, zenith = light.sun, light.ambient, light.horizon, light.zenith
    turn = ry / (abs(rx) + abs(ry) + 1e-9)  # -1..1 forwards, 1..3 backwards: like an angle, but cheaper
    around = 6.0 * (turn if rx > 0.0 else 2.0 - turn) + 0.13 * place
    house = np.floor(around)
    inner = around - house
    chance = 0.754877666 * house  # a low-discrepancy sequence (Roberts 2018)
    chance -= np.floor(chance)
    beside = 0.754877666 * (house + (1.0 if inner > 0.5 else -1.0))
    beside -= np.floor(beside)
    step = max(abs(inner - 0.5) - 0.3, 0.0) * 2.5  # to half of the way, at the edge
    skyline = 0.1 + 0.3 * (chance + (beside - chance) * step) - 0.05 * abs(inner - 0.5)
    share = min(max((rz - skyline) * 5.0, 0.0), 1.0)
    high = min(max(rz * 1.6, 0.0), 1.0)
    near = 58.0 - 16.0 * min(-4.0 * rz, 1.0)
    if rz > 0.0:  # a front with windows
        front = 2.0 * chance - np.floor(2.0 * chance)
        near = 38.0 + 62.0 * front
        across, up = 3.0 * inner, 8.0 * rz
        pane = min(0.3 - abs(across - np.floor(across) - 0.5), 0.3 - abs(up - np.floor(up) - 0.5))
        near *= 1.0 - 0.35 * min(max(8.0 * pane, 0.0), 1.0)
    c0 = near * ambient[0] * 1.1 + sun[0] * 12.0
    c1 = near * ambient[1] * 1.08 + sun[1] * 12.0
    c2 = near * ambient[2] * 1.02 + sun[2] * 11.0
    s0 = horizon[0] + (zenith[0] - horizon[0]) * high
    s1 = horizon[1] + (zenith[1] - horizon[1]) * high
    s2 = horizon[2] + (zenith[2] - horizon[2]) * high
    # clouds and haze, which the gradient lacks, make it greyer; and it is brighter than an image can show
    grey = 1.3 * (0.3 * s0 + 0.6 * s1 + 0.1 * s2)
    s0, s1, s2 = 0.9 * s0 + grey, 0.9 * s1 + grey, 0.9 * s2 + grey
    return c0 + (s0 - c0) * share, c1 + (s1 - c1) * share, c2 + (s2 - c2) * share


@njit(forceinline=True, **options)
def _rear(body, x, y, z, footprint):
    """Return the share of a pixel that a rear lamp covers."""
    if x > 0.3 - body[LENGTH]:
        return 0.0
    soft = footprint + 0.015
    aside = abs(y)
    return inside(aside, body[LAMP_Y] - 0.16, body[LAMP_Y] + 0.2, soft) * inside(
        z, body[LAMP_Z] - 0.1, body[LAMP_Z] + 0.12, soft
    )


@njit(forceinline=True, **options)
def _front_lamp(body, x, y, z, footprint):
    """Return the share of a pixel that a headlamp covers."""
    if x < body[LENGTH] - 0.5:
        return 0.0
    soft = footprint + 0.015
    return inside(abs(y), 0.5 * body[HALF_WIDTH], 0.96 * body[HALF_WIDTH], soft) * inside(
        z, body[NOSE] - 0.25, body[NOSE] - 0.07, soft
    )


@njit(forceinline=True, **options)
def _around(bulb_y, bulb_z, y, z):
    """Return how bright the glass of a lamp is at a point (m), ``LENS_FLOOR`` to 1: brightest before its bulb."""
    away = (y - bulb_y) * (y - bulb_y) + (z - bulb_z) * (z - bulb_z)
    return LENS_FLOOR + (1.0 - LENS_FLOOR) * max(1.0 - away / (REFLECTOR_RADIUS * REFLECTOR_RADIUS), 0.0)


@njit(forceinline=True, **options)
def _reflector(bulb_y, bulb_z, radius, y, z, footprint):
    """Return the share of a pixel that a round reflector covers, with a dark bulb in its middle."""
    away = np.sqrt((y - bulb_y) * (y - bulb_y) + (z - bulb_z) * (z - bulb_z))
    soft = footprint + 0.015
    return inside(away, -1.0, radius, soft) * (1.0 - 0.5 * inside(away, -1.0, 0.25 * radius, soft))


@njit(forceinline=True, **options)
def _lamps(c0, c1, c2, body, x, y, z, footprint):
    """Return the albedo with lamps at a point of a body, the light that they emit there, RGB each, and the share of a
    pixel that is a reflector: the foot of a rear lamp but for the reversing light."""
    h0, h1, h2, reflector = 0.0, 0.0, 0.0, 0.0
    lit = int(body[LIT])
    is_blinking = (lit & LEFT and y < 0.0) or (lit & RIGHT and y > 0.0)
    rear, front = _rear(body, x, y, z, footprint), _front_lamp(body, x, y, z, footprint)
    if rear > 0.0:
        clear = inside(z, body[LAMP_Z] - 0.075, body[LAMP_Z] - 0.02, footprint + 0.015)  # of the reversing light
        clear *= inside(abs(y), -1.0, body[LAMP_Y] + 0.06, footprint + 0.015)
        frame = 1.0 - 0.45 * inside(abs(z - body[LAMP_Z] + 0.013), -1.0, 0.006, footprint + 0.012)
        reflector = rear * (1.0 - clear) * inside(z, -1.0, body[LAMP_Z] - 0.02, footprint + 0.015)
        clear *= 0.75
        red = 1.0 - 0.35 * min(max(8.0 * (body[LAMP_Z] + 0.08 - z), 0.0), 1.0)  # darker towards the foot
        a0, a1, a2 = red * 132.0, red * 14.0, red * 16.0
        a0, a1, a2 = a0 + clear * (168.0 - a0), a1 + clear * (150.0 - a1), a2 + clear * (146.0 - a2)
        c0 += (a0 * frame - c0) * rear
        c1 += (a1 * frame - c1) * rear
        c2 += (a2 * frame - c2) * rear
        strength = 255.0 if lit & BRAKE else 150.0 if lit & LOW_BEAM else 0.0
        if strength > 0.0:
            strength *= rear * (1.0 - clear) * _around(body[LAMP_Y] - 0.06, body[LAMP_Z] + 0.04, abs(y), z)
            h0, h1, h2 = strength, 0.16 * strength, 0.1 * strength
        if is_blinking and abs(y) > body[LAMP_Y] + 0.03:
            shine = rear * (1.0 - clear) * _around(body[LAMP_Y] + 0.11, body[LAMP_Z], abs(y), z)
            h0, h1, h2 = 255.0 * shine, 160.0 * shine * shine, 30.0 * shine * shine
    if front > 0.0:
        # a dark bowl with the reflectors of low and high beam
        low = _reflector(0.64 * body[HALF_WIDTH], body[NOSE] - HEADLAMP_BELOW_NOSE, 0.085, abs(y), z, footprint)
        high = _reflector(0.84 * body[HALF_WIDTH], body[NOSE] - 0.155, 0.06, abs(y), z, footprint)
        shine = BOWL_LIGHT + (1.0 - BOWL_LIGHT) * max(low, 0.85 * high)
        rim = (0.6 + 0.4 * front) * shine
        c0 = c0 + (205.0 * rim - c0) * front
        c1 = c1 + (210.0 * rim - c1) * front
        c2 = c2 + (216.0 * rim - c2) * front
        if lit & LOW_BEAM:
            shine = front * _around(0.64 * body[HALF_WIDTH], body[NOSE] - 0.16, abs(y), z)
            h0, h1, h2 = 250.0 * shine, 245.0 * shine, 225.0 * shine
        if is_blinking and abs(y) > INDICATOR_START * body[HALF_WIDTH] and z < body[NOSE] - INDICATOR_TOP:
            shine = front * _around(0.88 * body[HALF_WIDTH], body[NOSE] - 0.21, abs(y), z)
            h0, h1, h2 = 255.0 * shine, 160.0 * shine * shine, 30.0 * shine * shine
    return c0, c1, c2, h0, h1, h2, reflector


@njit(forceinline=True, **options)
def _plate_colour(bright, blue):
    """Return the albedo of a plate that is so ``bright``, with that share of ``blue``."""
    c0, c1, c2 = PLATE_ALBEDO[0] * bright, PLATE_ALBEDO[1] * bright, PLATE_ALBEDO[2] * bright
    return c0 + (BAND_ALBEDO[0] - c0) * blue, c1 + (BAND_ALBEDO[1] - c1) * blue, c2 + (BAND_ALBEDO[2] - c2) * blue


@njit(forceinline=True, **options)
def _material(finish, body, albedo, point, normal, way, footprint, ambient):
    """Return albedo RGB, the RGB that the surface emits or lets through, its gloss, the share of sky it sees, and how
    many times the light of a headlamp it returns that a white surface would.

    Args:
        finish: BODY, WINDOW, TRIM or CLOTH.
        body: f32 (K,), see ``assets.lit_bodies``.
        albedo: RGB of the triangle, 0..255.
        point: Position in the body's axes, m; ``normal`` and ``way``, the direction of the ray, likewise.
        normal: Unit normal.
        way: Unit direction from the camera.
        footprint: Size of a pixel, m.
        ambient: That of ``Light``.
    """
    c0, c1, c2 = albedo
    x, y, z = point
    h0, h1, h2 = 0.0, 0.0, 0.0
    gloss, open_, returned = 0.0, 1.0, 1.0
    if finish == WINDOW:
        gloss = 0.1
        if body[BELT] > 0.0:
            tone = 105.0 * through_glass(body, x, y, z, way[0], way[1], way[2])
        else:  # a lorry's cab
            tone = 105.0 * through_windscreen(y, z, footprint)
        rubber = wiper(body, y, z, normal[0], footprint) if body[BELT] > 0.0 else 0.0
        tone, gloss = tone * (1.0 - rubber), gloss * (1.0 - rubber)
        c0, c1, c2 = 0.1 * c0, 0.1 * c1, 0.1 * c2
        h0, h1, h2 = tone * ambient[0] * 0.94, tone * ambient[1], tone * ambient[2] * 0.98
    elif finish == CLOTH:
        open_ = min(max(0.55 + 0.5 * z, 0.6), 1.0)
    elif finish == TRIM:
        if body[RADIUS] > 0.0 and c0 > 100.0 and abs(normal[1]) > 0.3:
            tone, is_tyre = wheel_tone(body, x, z, footprint)
            gloss = 0.0 if is_tyre else 0.12 * tone
            c0, c1, c2 = (30.0, 30.0, 31.0) if is_tyre else (c0 * tone, c1 * tone, c2 * tone)
        elif body[PLATE_REAR] > 0.0 and c0 == PLATE[0] and c2 == PLATE[2] and abs(normal[0]) > 0.9:
            is_rear = x < 0.0
            middle = body[PLATE_REAR] if is_rear else body[PLATE_FRONT]
            across = y if is_rear else -y
            _, bright, blue = plate_at(int(body[NUMBER]), across, z - middle, body[HALF_WIDTH] < 0.7, footprint)
            c0, c1, c2 = _plate_colour(bright, blue)
            returned = RETURNED
        else:
            gloss = 0.03
        open_ = occlusion(body, x, y, z) if body[BELT] > 0.0 else 0.8
    else:
        gloss = 0.06
        if body[BELT] > 0.0:
            left, black, plate, bright, blue = details(body, x, y, z, normal[0], normal[1], footprint)
            if body[IS_VAN] > 0.0 and x > body[LENGTH] - BUMPER_SIZE[0]:
                black = max(black, inside(z, -1.0, body[SILL] + BUMPER_SIZE[1], footprint + 0.01))
            dust = 0.3 * min(max(1.0 - 3.0 * (z - body[SILL]), 0.0), 1.0)
            c0, c1, c2 = c0 + dust * (84.0 - c0), c1 + dust * (80.0 - c1), c2 + dust * (74.0 - c2)
            open_ = occlusion(body, x, y, z)
            kept = left * (1.0 - black)
            c0, c1, c2 = c0 * kept + PLASTIC * black, c1 * kept + PLASTIC * black, c2 * kept + PLASTIC * black
            p0, p1, p2 = _plate_colour(bright, blue)
            c0, c1, c2 = c0 + (p0 - c0) * plate, c1 + (p1 - c1) * plate, c2 + (p2 - c2) * plate
            gloss *= left * (1.0 - 0.7 * black) * (1.0 - 0.8 * plate)
            chrome, trim = fittings(body, x, y, z, normal[0], normal[1], footprint)
            trim *= 1.0 - plate
            c0, c1, c2 = c0 + (PLASTIC - c0) * trim, c1 + (PLASTIC - c1) * trim, c2 + (PLASTIC - c2) * trim
            c0, c1, c2 = c0 + (CHROME - c0) * chrome, c1 + (CHROME - c1) * chrome, c2 + (CHROME - c2) * chrome
            gloss = gloss * (1.0 - 0.7 * trim) + 0.2 * chrome
            c0, c1, c2, h0, h1, h2, reflector = _lamps(c0, c1, c2, body, x, y, z, footprint)
            returned += (RETURNED - 1.0) * max(plate, reflector)
    return (c0, c1, c2), (h0, h1, h2), gloss, open_, returned


class BodyTriangle(NamedTuple):
    """A triangle of a vehicle or a person."""

    finish: int  # BODY, WINDOW, TRIM or CLOTH
    body: np.ndarray  # f32 (K,), see ``assets.lit_bodies``
    inverse: np.ndarray  # f64 (3, 4), local <- camera
    surface: np.ndarray  # f32 (9,), its row of ``VisibilityBuffer.surface``
    patch: Patch
    person: Person


@njit(forceinline=True, **options)
def bodywork(triangle, pose, ray, light, shone, around, footprint):
    """Return albedo RGB (0..255), shares of sun and sky, the RGB of reflections, sheen and lit lamps at a point, and
    how many times the light of a headlamp it returns that a white surface would.

    Args:
        triangle: ``BodyTriangle``.
        pose: f64 (4, 4), world <- camera.
        ray: Depth d (m), right and up: the point is d * (1, right, up) in camera space.
        light: ``Light``.
        shone: Share of the sun that reaches the point.
        around: Share of the sky's light that does.
        footprint: Size of a pixel, m.
    """
    finish, body, inverse, surface, patch, person = triangle
    d, right, up = ray
    to_sun, sun, ambient = light.to_sun, light.sun, light.ambient
    wx0 = inverse[0, 0] + inverse[0, 1] * right + inverse[0, 2] * up
    wy0 = inverse[1, 0] + inverse[1, 1] * right + inverse[1, 2] * up
    wz0 = inverse[2, 0] + inverse[2, 1] * right + inverse[2, 2] * up
    x, y, z = d * wx0 + inverse[0, 3], d * wy0 + inverse[1, 3], d * wz0 + inverse[2, 3]
    size = 1.0 / np.sqrt(wx0 * wx0 + wy0 * wy0 + wz0 * wz0)
    way = wx0 * size, wy0 * size, wz0 * size
    a, b, c = surface[6], surface[7], surface[8]
    nx = inverse[0, 0] * a + inverse[0, 1] * b + inverse[0, 2] * c
    ny = inverse[1, 0] * a + inverse[1, 1] * b + inverse[1, 2] * c
    nz = inverse[2, 0] * a + inverse[2, 1] * b + inverse[2, 2] * c
    mx, my, mz = smooth_normal(patch, x, y, z, nx, ny, nz)
    if finish == BODY and body[BELT] > 0.0:
        mz += relief(body, z, my)
        if mz > 0.5 and abs(z - body[BELT]) < 0.15 and body[TAIL] < x < body[COWL]:
            # the ledge along the side windows: mostly narrower than a pixel, it would be a line of bright dashes
            my, mz = 1.0 if y > 0.0 else -1.0, LEDGE_SHARE * mz
    standing = x, y, z
    albedo = surface[0], surface[1], surface[2]
    if finish == CLOTH:
        standing = standing_point(person, patch, x, y, z)
        bump = folds(person, standing, footprint)
        my, mz, around = my + bump[0], mz + bump[1], around * (1.0 - bump[2])
    size = 1.0 / np.sqrt(mx * mx + my * my + mz * mz)
    mx, my, mz = mx * size, my * size, mz * size
    a = inverse[0, 0] * mx + inverse[1, 0] * my + inverse[2, 0] * mz
    b = inverse[0, 1] * mx + inverse[1, 1] * my + inverse[2, 1] * mz
    c = inverse[0, 2] * mx + inverse[1, 2] * my + inverse[2, 2] * mz
    wx = pose[0, 0] * a + pose[0, 1] * b + pose[0, 2] * c
    wy = pose[1, 0] * a + pose[1, 1] * b + pose[1, 2] * c
    wz = pose[2, 0] * a + pose[2, 1] * b + pose[2, 2] * c
    albedo, shines, gloss, open_, returned = _material(
        finish, body, albedo, (x, y, z), (mx, my, mz), way, footprint, ambient
    )
    if finish == CLOTH:
        albedo, seen = clothes(person, albedo, standing, footprint)
        open_ *= seen
    around *= open_
    h0, h1, h2 = shines
    if finish == TRIM and surface[5] > 0.0:  # lamps of lorries and motorcycles
        h0, h1, h2 = surface[5] * surface[0], surface[5] * surface[1], surface[5] * surface[2]
    if finish == CLOTH:
        grazing = 1.0 - min(abs(way[0] * mx + way[1] * my + way[2] * mz), 1.0)
        fuzz = FUZZ_LIGHT * grazing * grazing * grazing * around
        h0, h1, h2 = h0 + fuzz * ambient[0], h1 + fuzz * ambient[1], h2 + fuzz * ambient[2]
    kept = 1.0
    if gloss > 0.0:
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
        gloss += (0.75 if finish == WINDOW else 8.0 * gloss) * grazing
        gloss *= 0.1 + 0.9 * around
        hot = rx * to_sun[0] + ry * to_sun[1] + rz * to_sun[2] - 0.965
        highlight = 0.0
        if hot > 0.0 and shone > 0.0:
            hot = hot * (1.0 / 0.035)
            highlight = 210.0 * hot * hot * shone * min(1.0, 12.0 * gloss)
        kept = 1.0 - gloss
        if finish == WINDOW:
            h0, h1, h2 = h0 * kept, h1 * kept, h2 * kept
        h0 += m0 * gloss + highlight * sun[0]
        h1 += m1 * gloss + highlight * sun[1]
        h2 += m2 * gloss + highlight * sun[2]
    shone *= max(wx * to_sun[0] + wy * to_sun[1] + wz * to_sun[2], 0.0)
    around *= 0.7 + 0.3 * wz  # the street, too, is bright
    c0, c1, c2 = albedo
    return (c0 * kept, c1 * kept, c2 * kept), shone, around, (h0, h1, h2), returned
