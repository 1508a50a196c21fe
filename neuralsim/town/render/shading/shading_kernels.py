"""The compiled shading kernels: the colour of each pixel from its triangle, its finish and the light.

Textures are anchored to the world or to the body that they are on, and are mip-mapped (Williams, SIGGRAPH 1983), so
that nothing swims and little flickers. Lengths are metres, colours 0..255.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from neuralsim.town.render.raster_arrays import (
    BARK,
    BOARD,
    BODY,
    CLOTH,
    LEAF,
    PLAIN,
    SIGN,
    TRIM,
    WALL,
    WINDOW,
    Lens,
)
from neuralsim.town.render.shading.person_kernels import person_of
from neuralsim.town.render.shading.surface_kernels import (
    Textures,
    has_name,
    map_at,
    name_at,
    noise_at,
    options,
    seen_behind_glass,
    texture_at,
)
from neuralsim.town.render.shading.vehicle_detail_kernels import Smooth, patch_of
from neuralsim.town.render.shading.vehicle_shading_kernels import RETURNED, BodyTriangle, bodywork

WALL_FOOTPRINT = 0.04  # m, size of a pixel up to which each pixel of walls and bark is computed
WALL_ROW_FOOTPRINT = 0.06  # m, the same in every second row of walls, since the bars of windows are upright
LEAF_FOOTPRINT = 0.02  # m, the same of leaves
BEAM_LIGHT = 1.5  # of headlamps on the ground where it is brightest, over sun and sky together by day
BODY_BEAM_LIGHT = 0.7  # the same on bodies: a camera exposes for a white car before it, not for the road
RETURN_LIMIT = 205.0  # of 255, the most light that a plate returns: brighter ones would be taken for lamps
#: The light of street lamps and lit windows where it is brightest, over sun and sky by day, RGB: warm white.
POOL_LIGHT = 1.0, 0.84, 0.6
TUBE_SHARE = 0.9  # at most, of the way from warm white light to that of a fluorescent tube
TRIM_RGB = 225.0, 222.0, 214.0  # RGB of painted frames and sills
NAMES_BOTTOM = 2.0  # m above the foot of a house, from which on there are names of shops
NAMES_TOP = 4.5  # m, up to which there are
BOARD_SUM = 380.0  # of red, green and blue, below which a signboard has light letters
#: RGB of light letters (white, cream, gold) and of dark ones (black, dark red).
LIGHT_INKS = ((226.0, 224.0, 216.0), (222.0, 206.0, 166.0), (226.0, 224.0, 216.0), (204.0, 168.0, 96.0))
DARK_INKS = ((36.0, 36.0, 38.0), (36.0, 36.0, 38.0), (96.0, 30.0, 28.0), (36.0, 36.0, 38.0))
#: Share of sunlight on leaves whatever their direction: they are of all directions, and let light through.
LEAF_TRANSMISSION = 0.65
LEAF_ALBEDO = 0.6  # share of the sun's light that leaves return: they shade each other
SUN_FLOOR = 0.5 / 255.0
GRAZING_COSINE = 0.1  # of the sun's incidence, below which surfaces are hardly lit anyway
SHADOW_FADE = 40.0  # m, from where on static shadows fade out: single pixels would flicker
SHADOW_END = 100.0  # m, where they have gone


class Backdrop(NamedTuple):
    """Precomputed lighting of the static town."""

    low: np.ndarray  # f64 (2,), m, corner of ``tone`` and ``lamps``
    cell: float  # m, texel of ``tone``; that of ``lamps`` is 4 times as wide
    tone: np.ndarray  # u8 (h, w), wear, dirt and ambient occlusion of the ground: 128 = its own colour, 0 = black
    lamps: np.ndarray  # u8 (h / 4, w / 4), light of street lamps and lit windows
    sun: np.ndarray  # f64 (3, 4), shadow map <- world: texel right, texel down, height (m) towards the sun
    shadow: np.ndarray  # f32 (h, w), shadow map: height towards the sun of what it hits first
    #: f32 (65536, 8), of each house by instance, m: heights of the foot and the eaves; x and y of the left end of its
    #: street front and of the unit vector to the right one, width; height of the middle of its signboard, or -1e6
    houses: np.ndarray


class Light(NamedTuple):
    """The light of one moment; colours are f64 (3,)."""

    to_sun: np.ndarray  # f64 (3,), in the world
    sun: np.ndarray
    ambient: np.ndarray
    horizon: np.ndarray
    zenith: np.ndarray
    fog_distance: float  # m at which fog makes up half of the light
    wet: float  # 0..1
    dark: float  # 0 by day .. 1 at night


class Shot(NamedTuple):
    """A camera with the light and the bodies before it: N objects, of which number 0 is the world."""

    pose: np.ndarray  # f64 (4, 4), world <- camera
    lens: Lens
    light: Light
    bodies: np.ndarray  # f32 (N, K), see ``assets.lit_bodies``
    inverses: np.ndarray  # f64 (N, 3, 4), local <- camera
    colours: np.ndarray  # u8 (N, 7, 3), RGB of the palette of each, see ``assets.meshes.PALETTE``


class MovingLight(NamedTuple):
    """Shadows and headlamp beams of moving bodies, for every second pixel of every second row."""

    shares: np.ndarray  # u8 (H / 2, W / 2, 2), share of sunlight and of skylight, 255 = all
    beams: np.ndarray  # u8 (H / 2, W / 2), light of headlamps


class ShadingSources(NamedTuple):
    """What shading reads besides the triangles and the light of a moment."""

    smooth: Smooth
    textures: Textures
    backdrop: Backdrop
    moving: MovingLight


class _Row(NamedTuple):
    """One row of the image: what shading reads and writes there."""

    i: int
    is_fine: bool  # every pixel is computed, not only every second one of every second row
    above: np.ndarray  # i32 (W,), triangles of the row above
    depth: np.ndarray  # f32 (W,)
    shares: np.ndarray  # u8 (W / 2, 2), of ``MovingLight``
    beams: np.ndarray  # u8 (W / 2,)
    out: np.ndarray  # u8 (W, 3), written
    out_above: np.ndarray  # u8 (W, 3)


class _Triangle(NamedTuple):
    """The triangle of a run of pixels."""

    number: int
    finish: int
    code: int  # instance
    axis: int  # of x, y and z (0..2), the one nearest to its normal
    is_brick: bool  # a wall as red as one of bricks


class _Point(NamedTuple):
    """The surface point of a pixel."""

    x: float  # m in the world
    y: float
    z: float
    depth: float  # m
    footprint: float  # m that a shaded pixel covers


class _LightValues(NamedTuple):
    """``Light`` as numbers, and the origin and texels per metre of ``Backdrop.tone``.

    They are loaded once per call: the compiler cannot know that the image written is not where the arrays are.
    """

    sun0: float
    sun1: float
    sun2: float
    sky0: float
    sky1: float
    sky2: float
    far0: float
    far1: float
    far2: float
    fog_distance: float
    wet: float
    dark: float
    west: float
    south: float
    texels: float


@njit(forceinline=True, **options)
def _sunlit(shadow, sun, slack, x, y, z):
    """Return the share of the sun that reaches a point, 0..1 (percentage-closer filtering, Reeves et al. 1987).

    ``slack``: bias in m by which an occluder must be nearer to the sun.
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
def _slack(sun, facing):
    """Return the shadow bias (m) of a triangle whose normal has the cosine ``facing`` to the sun.

    The more grazing the light, the more points in one texel differ in height towards the sun: without a bias they
    would shade each other (shadow acne).
    """
    texel = 1.0 / np.sqrt(sun[0, 0] * sun[0, 0] + sun[0, 1] * sun[0, 1] + sun[0, 2] * sun[0, 2])
    return 0.25 + texel * np.sqrt(1.0 - min(facing * facing, 1.0)) / max(facing, GRAZING_COSINE)


@njit(forceinline=True, **options)
def _received(backdrop, is_sunny, has_lamps, dark, slack, point, camera_height):
    """Return the share of the sun and the light of lamps and windows at a ``_Point``.

    ``backdrop``: ``Backdrop``; ``is_sunny``: the sun shines on the surface; ``has_lamps``: street lamps are on;
    ``slack``: that of ``_sunlit``; ``camera_height``: m.
    """
    reached, pool = 1.0, 0.0
    if is_sunny and point.depth < SHADOW_END:
        reached = _sunlit(backdrop.shadow, backdrop.sun, slack, point.x, point.y, point.z)
        reached += (0.8 - reached) * max((point.depth - SHADOW_FADE) / (SHADOW_END - SHADOW_FADE), 0.0)
    if has_lamps:
        low, cell = backdrop.low, backdrop.cell
        pool = map_at(backdrop.lamps, (point.x - low[0]) * 0.25 / cell, (point.y - low[1]) * 0.25 / cell)
        pool *= dark * (1.0 / 255.0) * min(max(1.2 - 0.16 * (point.z - camera_height + 1.5), 0.2), 1.0)
    return reached, pool


@njit(forceinline=True, **options)
def _surface(row, start, stop, triangle, surface, textures, backdrop, light, ray):
    """Write the pixels ``start`` <= x < ``stop`` of a ``_Row``, all of one ``_Triangle``.

    Unless the row is fine, pixels of all but near walls, bark and leaves are computed at even rows and columns, those
    of walls farther away at even rows, and all at the triangle's outline; the others copy their neighbours.

    Args:
        row: ``_Row``.
        start: First pixel.
        stop: End of the pixels.
        triangle: ``_Triangle``.
        surface: f32 (9,), its row of ``VisibilityBuffer.surface``.
        textures: ``Textures``.
        backdrop: ``Backdrop``.
        light: ``_LightValues``.
        ray: Principal column, 1 / focal length, the camera's position, the ray of this row's principal pixel in the
            world, and what it gains per pixel to the right: 11 numbers.
    """
    above, depth, shares, beams, out, out_above = row.above, row.depth, row.shares, row.beams, row.out, row.out_above
    sun0, sun1, sun2, sky0, sky1, sky2, far0, far1, far2, fog_distance, _, dark, _, _, _ = light
    cx, per_pixel, ox, oy, oz, ax, ay, az, bx, by, bz = ray
    is_odd, first, one = row.i & 1 == 1, np.uint64(start), np.uint64(1)
    nearest = min(depth[first], depth[np.uint64(stop - 1)])
    is_fine = row.is_fine or (triangle.finish in (WALL, BARK, BOARD) and nearest * per_pixel < WALL_FOOTPRINT)
    is_fine = is_fine or (triangle.finish == LEAF and nearest * per_pixel < LEAF_FOOTPRINT)
    is_dense = is_fine or (triangle.finish == WALL and nearest * per_pixel < WALL_ROW_FOOTPRINT)
    is_sunny = sun1 > SUN_FLOOR and (surface[3] > 0.0 or triangle.finish == LEAF)
    has_lamps = dark > 0.0 and backdrop.lamps.shape[0] > 1
    red, green, blue = np.float64(surface[0]), np.float64(surface[1]), np.float64(surface[2])
    slack = _slack(backdrop.sun, surface[3])
    facing, sky, glow = surface[3] * (1.0 / 255.0), surface[4] * (1.0 / 255.0), np.float64(surface[5])
    if triangle.finish == LEAF:
        facing = (LEAF_TRANSMISSION + (1.0 - LEAF_TRANSMISSION) * surface[3]) * (LEAF_ALBEDO / 255.0)
    front = backdrop.houses[triangle.code]
    is_named = has_name(textures, front, triangle)
    for x in range(first, np.uint64(stop)):
        if not is_fine and is_odd and np.uint32(above[x]) == triangle.number:
            out[x, 0], out[x, 1], out[x, 2] = out_above[x, 0], out_above[x, 1], out_above[x, 2]
            continue
        if not is_dense and x & one and x > first:
            k = x - one
            out[x, 0], out[x, 1], out[x, 2] = out[k, 0], out[k, 1], out[k, 2]
            continue
        d, aside = np.float64(depth[x]), np.float64(x) + 0.5 - cx
        wx, wy, wz = ox + d * (ax + bx * aside), oy + d * (ay + by * aside), oz + d * (az + bz * aside)
        step = 1.0 if is_dense else 2.0  # px to the next one in the row; in the column 2, unless the row is fine
        point = _Point(wx, wy, wz, d, (1.0 if is_fine else 0.5 * (step + 2.0)) * d * per_pixel)
        lit, lamp, r, g, b = 0.0, 0.0, red, green, blue
        if triangle.finish != PLAIN:
            seen = texture_at(textures, backdrop, light, triangle, point, oz)
            share, lit, glass, bright, mirror, lamp, trim = seen
            r, g, b = share * r, share * g, share * b
            if trim > 0.0:
                r, g, b = r + (TRIM_RGB[0] - r) * trim, g + (TRIM_RGB[1] - g) * trim, b + (TRIM_RGB[2] - b) * trim
            if is_named and NAMES_BOTTOM < wz - front[0] < NAMES_TOP:
                k = x + one if x + one < np.uint64(stop) else max(x, first + one) - one
                away, beyond = np.float64(depth[k]), np.float64(k) + 0.5 - cx
                east, north = ox + away * (ax + bx * beyond) - wx, oy + away * (ay + by * beyond) - wy
                deeper = step * (away - d)
                ink = name_at(textures, front, triangle, point, step * east, step * north, deeper)
                if ink > 0.0:
                    lit *= 1.0 - ink  # letters of a lit signboard stay dark
                    is_dark = r + g + b < BOARD_SUM if triangle.finish == BOARD else bright < 0.0
                    colour = LIGHT_INKS[triangle.code % 4] if is_dark else DARK_INKS[triangle.code % 4]
                    r, g, b = r + (colour[0] - r) * ink, g + (colour[1] - g) * ink, b + (colour[2] - b) * ink
            if glass != 0.0:
                along = wx if triangle.axis == 1 else wy
                up, size = wz - backdrop.houses[triangle.code, 0], point.footprint
                pane = seen_behind_glass(textures.noise, along, up, size, bright, glass < 0.0, mirror)
                glass = abs(glass)
                r, g, b = r + (pane[0] - r) * glass, g + (pane[1] - g) * glass, b + (pane[2] - b) * glass
        reached, pool = _received(backdrop, is_sunny, has_lamps, dark, slack, point, oz)
        k = x >> one
        shone, around = facing * reached * shares[k, 0], sky * shares[k, 1]
        l0, l1, l2 = sun0 * shone + sky0 * around, sun1 * shone + sky1 * around, sun2 * shone + sky2 * around
        if dark > 0.0:
            beam = BEAM_LIGHT * dark * beams[k] * (1.0 / 255.0) * (RETURNED if triangle.finish == SIGN else 1.0)
            l0, l1, l2 = (
                l0 + POOL_LIGHT[0] * pool + beam,
                l1 + POOL_LIGHT[1] * pool + 0.93 * beam,
                l2 + POOL_LIGHT[2] * pool + 0.78 * beam,
            )
        c0, c1, c2 = max(r * l0, glow * red), max(g * l1, glow * green), max(b * l2, glow * blue)
        if lit > 0.0:
            cold = TUBE_SHARE * max(2.0 * lamp - 1.0, 0.0)  # half of the rooms have warm light
            green_of, blue_of = 146.0 + 42.0 * cold, 78.0 + 118.0 * cold
            c0, c1, c2 = max(c0, 200.0 * dark * lit), max(c1, green_of * dark * lit), max(c2, blue_of * dark * lit)
        fog = d / (d + fog_distance)
        out[x, 0] = np.uint8(np.int32(min(c0 + (far0 - c0) * fog, 255.0)))
        out[x, 1] = np.uint8(np.int32(min(c1 + (far1 - c1) * fog, 255.0)))
        out[x, 2] = np.uint8(np.int32(min(c2 + (far2 - c2) * fog, 255.0)))


@njit(**options)
def _sky(row, start, stop, pose, lens, light, noise):
    """Write the sky at pixels ``start`` <= x < ``stop`` of a ``_Row``: horizon to zenith, with clouds on a dome.

    ``pose``, ``lens``, ``light``: those of ``Shot``; ``noise``: that of ``Textures``.
    """
    above, out, out_above = row.above, row.out, row.out_above
    horizon, zenith, dark = light.horizon, light.zenith, light.dark
    rz = -(row.i + 0.5 - lens.cy) / lens.focal
    cloud = share = 0.0
    for x in range(start, stop):
        if not row.is_fine and row.i & 1 and above[x] == 0:
            out[x, 0], out[x, 1], out[x, 2] = out_above[x, 0], out_above[x, 1], out_above[x, 2]
            continue
        if row.is_fine or x == start or x & 1 == 0:
            ry = (x + 0.5 - lens.cx) / lens.focal
            up = (pose[2, 0] + pose[2, 2] * rz + pose[2, 1] * ry) / np.sqrt(1.0 + ry * ry + rz * rz)
            share = 1.0 - min(max(up * 1.6, 0.0), 1.0)
            cloud = 0.0
            if up > 0.0:
                dome = 900.0 / (up + 0.12)
                east = pose[0, 0] + pose[0, 2] * rz + pose[0, 1] * ry
                north = pose[1, 0] + pose[1, 2] * rz + pose[1, 1] * ry
                cloud = max(noise_at(noise, east * dome, north * dome, 14.0, 1) - 0.05, 0.0)
                cloud *= 100.0 * (1.0 - dark) * min(up * 6.0, 1.0)
        out[x, 0] = np.uint8(min(zenith[0] + (horizon[0] - zenith[0]) * share + cloud, 255.0))
        out[x, 1] = np.uint8(min(zenith[1] + (horizon[1] - zenith[1]) * share + cloud, 255.0))
        out[x, 2] = np.uint8(min(zenith[2] + (horizon[2] - zenith[2]) * share + 0.8 * cloud, 255.0))


@njit(**options)
def _body(row, start, stop, triangle, shot, backdrop):
    """Write a ``BodyTriangle`` at pixels ``start`` <= x < ``stop`` of a ``_Row`` of the ``Shot``, before the
    ``Backdrop``."""
    pose, lens, light = shot.pose, shot.lens, shot.light
    depth, shares, beams, out = row.depth, row.shares, row.beams, row.out
    sun, ambient, horizon, dark = light.sun, light.ambient, light.horizon, light.dark
    rz = -(row.i + 0.5 - lens.cy) / lens.focal
    is_sunny = sun[1] > SUN_FLOOR
    has_lamps = dark > 0.0 and backdrop.lamps.shape[0] > 1
    slack = _slack(backdrop.sun, triangle.surface[3])
    for x in range(start, stop):
        d = float(depth[x])
        ry = (x + 0.5 - lens.cx) / lens.focal
        wx = pose[0, 3] + d * (pose[0, 0] + pose[0, 1] * ry + pose[0, 2] * rz)
        wy = pose[1, 3] + d * (pose[1, 0] + pose[1, 1] * ry + pose[1, 2] * rz)
        wz = pose[2, 3] + d * (pose[2, 0] + pose[2, 1] * ry + pose[2, 2] * rz)
        point = _Point(wx, wy, wz, d, d / lens.focal)
        reached, pool = _received(backdrop, is_sunny, has_lamps, dark, slack, point, pose[2, 3])
        shone = reached * shares[x >> 1, 0] * (1.0 / 255.0)
        around = shares[x >> 1, 1] * (1.0 / 255.0)
        albedo, shone, around, added, returned = bodywork(
            triangle, pose, (d, ry, rz), light, shone, around, point.footprint
        )
        c0, c1, c2 = albedo
        g0, g1, g2 = added
        beam = BODY_BEAM_LIGHT * dark * beams[x >> 1] * (1.0 / 255.0)
        lit = beam
        if returned > 1.0 and beam > 0.0:  # up to what no lamp is as dark as
            most = RETURN_LIMIT / max(c0, c1, c2, 1.0)
            lit = max(min(returned * beam, most), beam)
        c0 = c0 * (sun[0] * shone + ambient[0] * around + POOL_LIGHT[0] * pool + lit) + g0
        c1 = c1 * (sun[1] * shone + ambient[1] * around + POOL_LIGHT[1] * pool + 0.93 * lit) + g1
        c2 = c2 * (sun[2] * shone + ambient[2] * around + POOL_LIGHT[2] * pool + 0.78 * lit) + g2
        fog = d / (d + light.fog_distance)
        out[x, 0] = np.uint8(min(c0 + (horizon[0] - c0) * fog, 255.0))
        out[x, 1] = np.uint8(min(c1 + (horizon[1] - c1) * fog, 255.0))
        out[x, 2] = np.uint8(min(c2 + (horizon[2] - c2) * fog, 255.0))


@njit(**options)
def shade(ids, buffer, shot, sources, is_fine, first, last, planes):
    """Write the rows ``first`` <= i < ``last`` of ``planes.rgb``.

    Args:
        ids: i32 (H, W), triangle of each pixel.
        buffer: ``VisibilityBuffer`` that was drawn.
        shot: ``Shot``.
        sources: ``ShadingSources``.
        is_fine: Whether sky and all surfaces are computed at each pixel, as near walls, bark and leaves are, not at
            every second one of every second row.
        first: First row, even.
        last: End of the rows.
        planes: ``Planes``, of which depth is read and rgb written.
    """
    smooth, textures, backdrop, moving = sources
    pose, lens, light = shot.pose, shot.lens, shot.light
    width = lens.width
    attributes, label, owner = buffer.surface, buffer.label, buffer.owner
    sun, ambient, horizon = light.sun, light.ambient, light.horizon
    values = _LightValues(
        sun[0],
        sun[1],
        sun[2],
        ambient[0],
        ambient[1],
        ambient[2],
        horizon[0],
        horizon[1],
        horizon[2],
        light.fog_distance,
        light.wet,
        light.dark,
        backdrop.low[0],
        backdrop.low[1],
        1.0 / backdrop.cell,
    )
    cx, cy, per_pixel = lens.cx, lens.cy, 1.0 / lens.focal
    f0, f1, f2, r0, r1, r2 = pose[0, 0], pose[1, 0], pose[2, 0], pose[0, 1], pose[1, 1], pose[2, 1]
    u0, u1, u2, o0, o1, o2 = pose[0, 2], pose[1, 2], pose[2, 2], pose[0, 3], pose[1, 3], pose[2, 3]
    for i in range(first, last):
        up = -(i + 0.5 - cy) * per_pixel
        ray = (
            cx,
            per_pixel,
            o0,
            o1,
            o2,
            f0 + u0 * up,
            f1 + u1 * up,
            f2 + u2 * up,
            r0 * per_pixel,
            r1 * per_pixel,
            r2 * per_pixel,
        )
        before = max(i - 1, 0)
        numbers = ids[i]
        row = _Row(
            i,
            is_fine,
            ids[before],
            planes.depth[i],
            moving.shares[i >> 1],
            moving.beams[i >> 1],
            planes.rgb[i],
            planes.rgb[before],
        )
        start = np.int64(0)  # a literal would be a type of its own, for which all is compiled twice
        while start < width:
            n = np.uint32(numbers[np.uint64(start)])
            stop = start + 1
            while stop < width and np.uint32(numbers[np.uint64(stop)]) == n:
                stop += 1
            if n == 0:
                _sky(row, start, stop, pose, lens, light, textures.noise)
            else:
                mark, surface = label[n], attributes[n]
                finish, code = mark >> np.uint32(24), np.uint64(mark & np.uint32(0xFFFF))
                if finish in (BODY, WINDOW, TRIM, CLOTH):
                    o, t = owner[n], buffer.source[n]
                    body, patch = shot.bodies[o], patch_of(smooth, t)
                    person = person_of(smooth, t, body, code, shot.colours[o], finish == CLOTH)
                    part = BodyTriangle(finish, body, shot.inverses[o], surface, patch, person)
                    _body(row, start, stop, part, shot, backdrop)
                else:
                    east, north, high = surface[6], surface[7], surface[8]
                    to_x = abs(f0 * east + r0 * north + u0 * high)
                    to_y = abs(f1 * east + r1 * north + u1 * high)
                    to_z = abs(f2 * east + r2 * north + u2 * high)
                    axis = 2 if to_z > max(to_x, to_y) else 1 if to_y > to_x else 0
                    triangle = _Triangle(n, finish, code, axis, surface[0] > 1.7 * surface[2])
                    _surface(row, start, stop, triangle, surface, textures, backdrop, values, ray)
            start = stop
