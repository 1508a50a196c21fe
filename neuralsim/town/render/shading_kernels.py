"""The compiled inner loops of the shaded view: colour of each pixel from its triangle, its finish and the light.

Everything is anchored to the world or to the body that it is on, and is read from ever smaller copies as a pixel covers
more of it (Williams, SIGGRAPH 1983), so that nothing swims and little flickers. Lengths are metres, colours 0..255.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from neuralsim.facades import HEIGHT, LEVELS, TEXEL, WIDTH
from neuralsim.town.render.raster_kernels import (
    ASPHALT,
    BODY,
    GRASS,
    LEAF,
    MARKING,
    PAVING,
    PLAIN,
    ROOF,
    WALL,
    WINDOW,
    lean_options,
)
from neuralsim.town.render.vehicle_shading_kernels import bodywork

options = {**lean_options, "fastmath": {"contract", "arcp", "nsz", "afn", "reassoc"}}

NOISE_SIZE, NOISE_LEVELS = 512, 8
_GRAIN = 0.03  # m, texel of the noise on the ground
_LEAVES = 0.045  # m, the same in crowns
_CONTRAST_OF_LEAVES, _DARKEST_LEAF = 1.9, 0.15  # of the colour of a crown: between leaves one looks into its shade
_SLAB = 0.6  # m, side of a paving slab
_COURSE = 0.24  # m of height from one course of tiles to the next
_LEAST_SUN = 0.5 / 255.0
_GRAZING = 0.1  # cosine below which surfaces are hardly lit by the sun anyway
_SHADOW_NEAR, _SHADOW_FAR = 40.0, 100.0  # m, between which the sun's shadows fade: single pixels of them would flicker


class Textures(NamedTuple):
    """What surfaces are textured with."""

    noise: np.ndarray  # u8, ``NOISE_LEVELS`` periodic squares one after the other, each half as wide as the last
    fronts: np.ndarray  # u8, ``LEVELS`` copies of ``neuralsim.facades.drawn``
    rooms: np.ndarray  # u8, ``neuralsim.facades.rooms``
    houses: np.ndarray  # f32 (65536, 5), ``neuralsim.facades.table`` by instance
    strips: int  # how many storeys there are to choose from


class Backdrop(NamedTuple):
    """What stands still of a town, as the light sees it."""

    low: np.ndarray  # f64 (2,), m, the corner of ``tone`` and ``lamps``
    cell: float  # m, their texel
    tone: np.ndarray  # u8 (h, w): 128 = as the ground's colour, 0 = black: wear, dirt, dark corners
    lamps: np.ndarray  # u8 (h / 4, w / 4): light of street lamps
    sun: np.ndarray  # f64 (3, 4): texel right, texel down and height (m) towards the sun <- world
    shadow: np.ndarray  # f32 (h, w): height towards the sun of what it meets first
    houses: np.ndarray  # f32 (65536, 2): heights of the foot and of the eaves of each house, by instance


class Light(NamedTuple):
    """The light of a moment; colours f64 (3,)."""

    to_sun: np.ndarray  # f64 (3,), in the world
    sun: np.ndarray
    ambient: np.ndarray
    horizon: np.ndarray
    zenith: np.ndarray
    haze: float  # m at which half of what one sees is haze
    wet: float  # 0..1
    dark: float  # 0 by day .. 1 at night


@njit(forceinline=True, **options)
def _texel(flat, first, size, x, y):  # type: ignore[no-untyped-def]
    """A periodic square at texel ``x``, ``y``, bilinear, -1..1."""
    fx, fy = np.floor(x), np.floor(y)
    u, v = x - fx, y - fy
    mask = size - 1
    i0, j0 = int(fx) & mask, int(fy) & mask
    i1, j1 = (i0 + 1) & mask, (j0 + 1) & mask
    row0, row1 = first + j0 * size, first + j1 * size
    above = flat[np.uint64(row0 + i0)] * (1.0 - u) + flat[np.uint64(row0 + i1)] * u
    below = flat[np.uint64(row1 + i0)] * (1.0 - u) + flat[np.uint64(row1 + i1)] * u
    return (above * (1.0 - v) + below * v - 128.0) * (1.0 / 128.0)


@njit(forceinline=True, **options)
def _level(footprint, texel, last):  # type: ignore[no-untyped-def]
    """Which copy of a texture suits pixels that cover so many metres."""
    bits = np.float32(footprint / (1.5 * texel)).view(np.int32)
    return min(max((bits >> 23) - 126, 0), last)  # its exponent


@njit(forceinline=True, **options)
def _noise(noise, x, y, texel, level):  # type: ignore[no-untyped-def]
    """Noise at ``x``, ``y`` m, from the copy ``level``."""
    size = NOISE_SIZE >> level
    first = (NOISE_SIZE * NOISE_SIZE - size * size) * 4 // 3  # of the larger copies, a geometric series
    scale = 1.0 / (texel * (1 << level))
    return _texel(noise, first, size, x * scale, y * scale)


@njit(forceinline=True, **options)
def _map(plane, x, y):  # type: ignore[no-untyped-def]
    """A plane at texel ``x``, ``y``, bilinear; its rim beyond its rim."""
    high, wide = plane.shape
    x, y = min(max(x, 0.0), wide - 1.001), min(max(y, 0.0), high - 1.001)
    i, j = np.uint64(x), np.uint64(y)
    u, v = x - i, y - j
    right, down = i + np.uint64(1), j + np.uint64(1)
    above = plane[j, i] * (1.0 - u) + plane[j, right] * u
    return above * (1.0 - v) + (plane[down, i] * (1.0 - u) + plane[down, right] * u) * v


@njit(forceinline=True, **options)
def _sunlit(shadow, sun, slack, x, y, z):  # type: ignore[no-untyped-def]
    """Share of the sun that reaches a point, 0..1: of the four nearest texels (Reeves et al., SIGGRAPH 1987).

    ``slack``: m by which what is nearer to the sun has to be so.
    """
    high, wide = shadow.shape
    u = sun[0, 0] * x + sun[0, 1] * y + sun[0, 2] * z + sun[0, 3]
    v = sun[1, 0] * x + sun[1, 1] * y + sun[1, 2] * z + sun[1, 3]
    if u < 0.0 or v < 0.0 or u >= wide - 1.0 or v >= high - 1.0:
        return 1.0
    w = sun[2, 0] * x + sun[2, 1] * y + sun[2, 2] * z + sun[2, 3] + slack
    i, j = np.uint64(u), np.uint64(v)
    fu, fv = u - i, v - j
    right, down = i + np.uint64(1), j + np.uint64(1)
    above = (1.0 - fu) * (shadow[j, i] < w) + fu * (shadow[j, right] < w)
    below = (1.0 - fu) * (shadow[down, i] < w) + fu * (shadow[down, right] < w)
    return above * (1.0 - fv) + below * fv


@njit(forceinline=True, **options)
def _slack(sun, facing):  # type: ignore[no-untyped-def]
    """M for ``_sunlit``, of a triangle whose normal has the cosine ``facing`` to the sun.

    The more grazing, the more differ points that share a texel in how near to the sun they are: each would shade the
    other, in a pattern of teeth.
    """
    texel = 1.0 / np.sqrt(sun[0, 0] * sun[0, 0] + sun[0, 1] * sun[0, 1] + sun[0, 2] * sun[0, 2])
    return 0.25 + texel * np.sqrt(1.0 - min(facing * facing, 1.0)) / max(facing, _GRAZING)


@njit(forceinline=True, **options)
def _front(fronts, rooms, table, strips, code, foot, eaves, along, height, footprint, dark):  # type: ignore[no-untyped-def]
    """Sketch of a front, -1..1, and whether a light burns behind its window (``neuralsim.models.facade_sketch``).

    ``fronts``, ``rooms``, ``table``, ``strips``: of ``Textures``; ``code``: row of the table; ``foot``, ``eaves``:
    their heights.
    """
    storey, ground, number = table[code, 0], table[code, 1], table[code, 4]
    height -= foot
    below = height < ground
    floors = 0.0 if below else np.floor((height - ground) / storey)
    if not below and foot + ground + (floors + 1.0) * storey > eaves + 0.35:
        return 0.2, False  # no room for one more storey
    share = height / ground if below else (height - ground) / storey - floors
    down = 1.0 - (share - np.floor(share))
    place = along / (table[code, 2] * (TEXEL * WIDTH)) + table[code, 3]
    across = 1.0 - abs(place - 2.0 * np.floor(place * 0.5) - 1.0)
    strip = int(number * strips) + (strips if below else 0)
    level = _level(footprint, TEXEL, LEVELS - 1)
    wide, high = WIDTH >> level, HEIGHT >> level
    first = 2 * strips * (WIDTH * HEIGHT - wide * high) * 4 // 3
    x = min(max(across * wide - 0.5, 0.0), wide - 1.001)
    y = min(max(down * high - 0.5, 0.0), high - 1.001)
    i, j = np.uint64(x), np.uint64(y)
    u, v = x - i, y - j
    at = np.uint64(first) + (np.uint64(strip * high) + j) * np.uint64(wide) + i
    below_it = at + np.uint64(wide)
    tone = (fronts[at] * (1.0 - u) + fronts[at + np.uint64(1)] * u) * (1.0 - v)
    tone += (fronts[below_it] * (1.0 - u) + fronts[below_it + np.uint64(1)] * u) * v
    burns = False
    if dark > 0.0:
        i, j = np.uint64(min(int(across * WIDTH), WIDTH - 1)), np.uint64(min(int(down * HEIGHT), HEIGHT - 1))
        room = int(rooms[(np.uint64(strip * HEIGHT) + j) * np.uint64(WIDTH) + i])
        if room:  # one in three of those that are at home
            room += 31 * int(floors + 2.0) + 17 * int(np.floor(place)) + int(number * 4096.0)
            burns = (room * 2654435761 >> 8) % 9 < 3
    return tone * (1.0 / 127.5) - 1.0, burns


@njit(forceinline=True, **options)
def _line(away, half, footprint):  # type: ignore[no-untyped-def]
    """Share of a pixel that a line of half width ``half`` covers, whose middle is ``away`` m from the pixel's."""
    return min(max((half + 0.5 * footprint - abs(away)) / footprint, 0.0), 1.0) * min(1.0, 2.0 * half / footprint)


@njit(forceinline=True, **options)
def _to_joint(x):  # type: ignore[no-untyped-def]
    """M from ``x`` to the nearest joint between slabs."""
    part = x / _SLAB
    return (part - np.floor(part + 0.5)) * _SLAB


@njit(forceinline=True, **options)
def _texture(arrays, west, south, texels, wet, dark, finish, axis, code, oz, footprint, wx, wy, wz, d):  # type: ignore[no-untyped-def]
    """Factor of a triangle's colour and whether a window is lit, at a point of the world ``d`` m ahead.

    ``arrays``: of ``Textures`` and ``Backdrop``; ``west``, ``south``: where its map begins, ``texels`` a metre of it;
    ``axis``: of x, y and z, 0..2, the one nearest to its normal; ``code``: instance; ``oz``: height of the camera;
    ``footprint``: m that two pixels cover.
    """
    noise, fronts, rooms, table, strips, tone, houses = arrays
    factor, own = 1.0, False
    if finish <= GRASS:
        slant = footprint * np.sqrt(min(d / max(abs(wz - oz), 0.3), 36.0))
        grain = _noise(noise, wx, wy, _GRAIN, _level(0.5 * slant, _GRAIN, NOISE_LEVELS - 1))
        if tone.shape[0] > 1:
            factor = _map(tone, (wx - west) * texels, (wy - south) * texels) * (1.0 / 128.0)
        if finish == ASPHALT:
            factor *= 1.0 + 0.25 * grain
        elif finish == MARKING:
            factor = (0.5 + 0.5 * factor) * (0.92 - 0.7 * max(grain - 0.12, 0.0) + 0.1 * grain)
        elif finish == PAVING:
            if slant < _SLAB:
                joint = max(_line(_to_joint(wx), 0.012, slant), _line(_to_joint(wy), 0.012, slant))
                factor *= 1.0 - 0.4 * joint
            factor *= 1.0 + 0.16 * grain
        else:
            factor *= 1.0 + 0.7 * grain
        factor *= 1.0 - 0.45 * wet
    elif finish == WALL:
        foot, eaves = houses[code, 0], houses[code, 1]
        along = wx if axis == 1 else wy
        bright, own = _front(fronts, rooms, table, strips, code, foot, eaves, along, wz, footprint, dark)
        factor = 1.0 + 0.72 * (bright - 0.2)
        eaves, foot = eaves - wz, wz - foot
        if 0.0 < eaves < 0.7:  # less of the sky under the eaves and down at the ground
            factor *= 0.5 + 0.7 * eaves
        if 0.0 < foot < 0.6:
            factor *= 0.8 + 0.33 * foot
    elif finish == ROOF:
        course = wz / _COURSE
        fade = min(max(1.6 - footprint * 7.0, 0.0), 1.0)
        grain = _noise(noise, wx + 0.6 * wy, wz * 1.4, _GRAIN, _level(footprint, _GRAIN, NOISE_LEVELS - 1))
        factor = (1.0 + 0.3 * fade * (course - np.floor(course) - 0.5)) * (1.0 + 0.3 * grain)
    elif finish == LEAF:
        level = _level(footprint, _LEAVES, NOISE_LEVELS - 1)
        across, along = wy if axis == 0 else wx, wy if axis == 2 else wz
        factor = max(1.0 + _CONTRAST_OF_LEAVES * _noise(noise, across, along, _LEAVES, level), _DARKEST_LEAF)
    return factor, own


@njit(forceinline=True, **options)
def _received(still, shines, glows, dark, slack, d, wx, wy, wz, oz):  # type: ignore[no-untyped-def]
    """Share of the sun and light of street lamps at a point of the world ``d`` m ahead.

    ``still``: low, cell, lamps, sun and shadow of the ``Backdrop``; ``slack``: of ``_sunlit``; ``oz``: height of the
    camera.
    """
    low, cell, lamps, sun, shadow = still
    reached, pool = 1.0, 0.0
    if shines and d < _SHADOW_FAR:
        reached = _sunlit(shadow, sun, slack, wx, wy, wz)
        reached += (0.8 - reached) * max((d - _SHADOW_NEAR) / (_SHADOW_FAR - _SHADOW_NEAR), 0.0)
    if glows:
        pool = _map(lamps, (wx - low[0]) * 0.25 / cell, (wy - low[1]) * 0.25 / cell)
        pool *= dark * (1.0 / 255.0) * min(max(1.2 - 0.16 * (wz - oz + 1.5), 0.2), 1.0)
    return reached, pool


@njit(forceinline=True, **options)
def _surface(run, above, arrays, still, finish, look, n, code, axis, ray, light, depth, cast, beams, fine, out, over):  # type: ignore[no-untyped-def]
    """Write a run of pixels of triangle ``n``: worked out at even rows and columns, and at its outline, the others are
    as their neighbours; all if the picture is to be ``fine``.

    ``run``: row, first and end; ``above`` i32 (W,): triangles of the row above, whose pixels are ``over``;
    ``arrays`` .. ``axis``: of ``_texture``; ``still``: of ``_received``; ``ray``: the principal column, 1 / focal
    length, the camera's place, and the ray of this row's principal pixel with what each pixel to the right adds, in the
    world; ``light``: numbers, loaded once, for the compiler cannot know that ``out`` u8 (W, 3) is not where they are.
    """
    i, start, stop = run
    sun0, sun1, sun2, sky0, sky1, sky2, far0, far1, far2, haze, wet, dark, west, south, texels = light
    cx, per_pixel, ox, oy, oz, ax, ay, az, bx, by, bz = ray
    odd, first, one = i & 1 == 1, np.uint64(start), np.uint64(1)
    shines = sun1 > _LEAST_SUN and look[n, 3] > 0.0
    glows = dark > 0.0 and still[2].shape[0] > 1
    r, g, b = np.float64(look[n, 0]), np.float64(look[n, 1]), np.float64(look[n, 2])
    slack = _slack(still[3], look[n, 3])
    facing, sky, glow = look[n, 3] * (1.0 / 255.0), look[n, 4] * (1.0 / 255.0), np.float64(look[n, 5])
    for x in range(first, np.uint64(stop)):
        if not fine and odd and np.uint32(above[x]) == n:
            out[x, 0], out[x, 1], out[x, 2] = over[x, 0], over[x, 1], over[x, 2]
            continue
        if not fine and x & one and x > first:
            k = x - one
            out[x, 0], out[x, 1], out[x, 2] = out[k, 0], out[k, 1], out[k, 2]
            continue
        d, aside = np.float64(depth[x]), np.float64(x) + 0.5 - cx
        wx, wy, wz = ox + d * (ax + bx * aside), oy + d * (ay + by * aside), oz + d * (az + bz * aside)
        share, burns = 1.0, False
        if finish != PLAIN:
            size = (1.0 if fine else 2.0) * d * per_pixel
            share, burns = _texture(
                arrays, west, south, texels, wet, dark, finish, axis, code, oz, size, wx, wy, wz, d
            )  # fmt: skip
        reached, pool = _received(still, shines, glows, dark, slack, d, wx, wy, wz, oz)
        k = x >> one
        shone, around = facing * reached * cast[k, 0], sky * cast[k, 1]
        l0, l1, l2 = sun0 * shone + sky0 * around, sun1 * shone + sky1 * around, sun2 * shone + sky2 * around
        if dark > 0.0:
            beam = dark * beams[k] * (1.0 / 255.0)
            l0, l1, l2 = l0 + 0.95 * pool + beam, l1 + 0.74 * pool + 0.93 * beam, l2 + 0.44 * pool + 0.78 * beam
        c0, c1, c2 = max(share * r * l0, glow * r), max(share * g * l1, glow * g), max(share * b * l2, glow * b)
        if burns:
            c0, c1, c2 = max(c0, 236.0 * dark), max(c1, 186.0 * dark), max(c2, 110.0 * dark)
        veil = d / (d + haze)
        out[x, 0] = np.uint8(np.int32(min(c0 + (far0 - c0) * veil, 255.0)))
        out[x, 1] = np.uint8(np.int32(min(c1 + (far1 - c1) * veil, 255.0)))
        out[x, 2] = np.uint8(np.int32(min(c2 + (far2 - c2) * veil, 255.0)))


@njit(**options)
def _sky(i, start, stop, pose, noise, horizon, zenith, dark, lens, fine, out, above, out_above):  # type: ignore[no-untyped-def]
    """A run of the sky: from the horizon's colour to the zenith's, with clouds on a dome."""
    rz = -(i + 0.5 - lens.cy) / lens.focal
    cloud = share = 0.0
    for x in range(start, stop):
        if not fine and i & 1 and above[x] == 0:
            out[x, 0], out[x, 1], out[x, 2] = out_above[x, 0], out_above[x, 1], out_above[x, 2]
            continue
        if fine or x == start or x & 1 == 0:
            ry = (x + 0.5 - lens.cx) / lens.focal
            up = (pose[2, 0] + pose[2, 2] * rz + pose[2, 1] * ry) / np.sqrt(1.0 + ry * ry + rz * rz)
            share = 1.0 - min(max(up * 1.6, 0.0), 1.0)
            cloud = 0.0
            if up > 0.0:
                dome = 900.0 / (up + 0.12)
                east = pose[0, 0] + pose[0, 2] * rz + pose[0, 1] * ry
                north = pose[1, 0] + pose[1, 2] * rz + pose[1, 1] * ry
                cloud = max(_noise(noise, east * dome, north * dome, 14.0, 1) - 0.05, 0.0)
                cloud *= 100.0 * (1.0 - dark) * min(up * 6.0, 1.0)
        out[x, 0] = np.uint8(min(zenith[0] + (horizon[0] - zenith[0]) * share + cloud, 255.0))
        out[x, 1] = np.uint8(min(zenith[1] + (horizon[1] - zenith[1]) * share + cloud, 255.0))
        out[x, 2] = np.uint8(min(zenith[2] + (horizon[2] - zenith[2]) * share + 0.8 * cloud, 255.0))


@njit(**options)
def _vehicle(run, glass, look, n, of, pose, light, still, lens, depth, cast, beams, out):  # type: ignore[no-untyped-def]
    """A run of a vehicle's paint or glass."""
    i, start, stop = run
    body, inverse = of
    to_sun, sun, ambient, horizon, zenith, haze, _, dark = light
    rz = -(i + 0.5 - lens.cy) / lens.focal
    shines = sun[1] > _LEAST_SUN
    glows = dark > 0.0 and still[2].shape[0] > 1
    slack = _slack(still[3], look[n, 3])
    for x in range(start, stop):
        d = float(depth[x])
        ry = (x + 0.5 - lens.cx) / lens.focal
        wx = pose[0, 3] + d * (pose[0, 0] + pose[0, 1] * ry + pose[0, 2] * rz)
        wy = pose[1, 3] + d * (pose[1, 0] + pose[1, 1] * ry + pose[1, 2] * rz)
        wz = pose[2, 3] + d * (pose[2, 0] + pose[2, 1] * ry + pose[2, 2] * rz)
        reached, pool = _received(still, shines, glows, dark, slack, d, wx, wy, wz, pose[2, 3])
        shone = reached * cast[x >> 1, 0] * (1.0 / 255.0)
        around = cast[x >> 1, 1] * (1.0 / 255.0)
        c0, c1, c2, shone, around, g0, g1, g2 = bodywork(
            glass, body, inverse, pose, d, ry, rz, look, n, to_sun, sun, ambient, horizon, zenith, shone, around,
            d / lens.focal,
        )  # fmt: skip
        beam = dark * beams[x >> 1] * (1.0 / 255.0)
        c0 = c0 * (sun[0] * shone + ambient[0] * around + 0.95 * pool + beam) + g0
        c1 = c1 * (sun[1] * shone + ambient[1] * around + 0.74 * pool + 0.93 * beam) + g1
        c2 = c2 * (sun[2] * shone + ambient[2] * around + 0.44 * pool + 0.78 * beam) + g2
        veil = d / (d + haze)
        out[x, 0] = np.uint8(min(c0 + (horizon[0] - c0) * veil, 255.0))
        out[x, 1] = np.uint8(min(c1 + (horizon[1] - c1) * veil, 255.0))
        out[x, 2] = np.uint8(min(c2 + (horizon[2] - c2) * veil, 255.0))


@njit(**options)
def shade(ids, buffer, bodies, inverses, pose, textures, backdrop, light, lens, cast, beams, fine, first, last, planes):  # type: ignore[no-untyped-def]
    """Write the rows of ``planes.rgb`` from ``first``, which is even, to before ``last``.

    ``buffer``: ``VisibilityBuffer`` that was drawn, its ``ids`` i32 (H, W) first; ``bodies`` f32 (N, K): of each
    object, row 0 the world (``assets.lit_bodies``); ``inverses`` f64 (N, 3, 4), local <- camera; ``pose`` f64
    (4, 4), world <- camera; ``textures``, ``backdrop``, ``light``: as their types say; ``lens``: ``Lens``; ``cast`` u8
    (H / 2, W / 2, 2) and ``beams`` u8 (H / 2, W / 2): of ``cast_shadows``; ``fine``: sky and surfaces are worked out at
    each pixel, not at every second one of every second row; ``planes``: ``Planes``, of which depth is read.
    """
    width = lens.width
    noise = textures.noise
    arrays = noise, textures.fronts, textures.rooms, textures.houses, textures.strips, backdrop.tone, backdrop.houses
    still = backdrop.low, backdrop.cell, backdrop.lamps, backdrop.sun, backdrop.shadow
    look, label, owner = buffer.shaded, buffer.label, buffer.owner
    sun, ambient, horizon, zenith, haze, wet, dark = light[1:]
    numbers_of_light = (
        sun[0], sun[1], sun[2], ambient[0], ambient[1], ambient[2], horizon[0], horizon[1], horizon[2], haze, wet, dark,
        backdrop.low[0], backdrop.low[1], 1.0 / backdrop.cell,
    )  # fmt: skip
    cx, cy, per_pixel = lens.cx, lens.cy, 1.0 / lens.focal
    f0, f1, f2, r0, r1, r2 = pose[0, 0], pose[1, 0], pose[2, 0], pose[0, 1], pose[1, 1], pose[2, 1]
    u0, u1, u2, o0, o1, o2 = pose[0, 2], pose[1, 2], pose[2, 2], pose[0, 3], pose[1, 3], pose[2, 3]
    for i in range(first, last):
        up = -(i + 0.5 - cy) * per_pixel
        ray = (
            cx, per_pixel, o0, o1, o2, f0 + u0 * up, f1 + u1 * up, f2 + u2 * up, r0 * per_pixel, r1 * per_pixel,
            r2 * per_pixel,
        )  # fmt: skip
        before = max(i - 1, 0)
        numbers, above, out, out_above, depth = ids[i], ids[before], planes.rgb[i], planes.rgb[before], planes.depth[i]
        shadows, beam = cast[i >> 1], beams[i >> 1]
        start = 0
        while start < width:
            n = np.uint32(numbers[np.uint64(start)])
            stop = start + 1
            while stop < width and np.uint32(numbers[np.uint64(stop)]) == n:
                stop += 1
            run = i, start, stop
            if n == 0:
                _sky(i, start, stop, pose, noise, horizon, zenith, dark, lens, fine, out, above, out_above)
            else:
                mark = label[n]
                finish, code = mark >> np.uint32(24), np.uint64(mark & np.uint32(0xFFFF))
                if finish in (BODY, WINDOW):
                    o, glass = owner[n], finish == WINDOW
                    of = bodies[o], inverses[o]
                    _vehicle(run, glass, look, n, of, pose, light, still, lens, depth, shadows, beam, out)
                else:
                    east, north, high = look[n, 6], look[n, 7], look[n, 8]
                    to_x = abs(f0 * east + r0 * north + u0 * high)
                    to_y = abs(f1 * east + r1 * north + u1 * high)
                    to_z = abs(f2 * east + r2 * north + u2 * high)
                    axis = 2 if to_z > max(to_x, to_y) else 1 if to_y > to_x else 0
                    _surface(
                        run, above, arrays, still, finish, look, n, code, axis, ray, numbers_of_light, depth, shadows,
                        beam, fine, out, out_above,
                    )  # fmt: skip
            start = stop
