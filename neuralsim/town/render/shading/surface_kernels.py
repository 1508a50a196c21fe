"""The compiled kernels of surfaces: ground, fronts with their windows, walls, roofs, leaves, bark.

Textures are anchored to the world and are mip-mapped (Williams, SIGGRAPH 1983), so that nothing swims and little
flickers. Lengths are metres.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from neuralsim.base import kernels
from neuralsim.facades import HEIGHT, LETTERED, LEVELS, TEXEL, WIDTH
from neuralsim.town.render.raster_arrays import (
    ASPHALT,
    BARK,
    BOARD,
    GRASS,
    LEAF,
    MARKING,
    MASONRY,
    PAVING,
    ROOF,
    WALL,
    lean_options,
)
from neuralsim.town.render.shading.lettering_kernels import Names, ink_at

options = lean_options | kernels.FASTEST

NOISE_SIZE = 512  # texels, side of the finest level of the noise
NOISE_LEVELS = 8
GRAIN_TEXEL = 0.03  # m, of the noise on the ground and roofs
CROWN_TEXEL = 0.03  # m, of the noise in crowns
CROWN_MEAN = 0.87  # of a crown's colour; in photographs summer crowns have .6 of the brightness of walls
CROWN_CONTRAST = 1.48
CROWN_FLOOR = 0.17  # least share of its colour: between leaves one sees a crown's shaded inside
RIDGE_TEXEL = 0.012  # m, of the noise of bark around a trunk
RIDGE_RATIO = 6.0  # how many times as long as wide the ridges of bark are
RIDGE_CONTRAST = 0.9
PATCH_TEXEL = 0.05  # m, of patches of moss and shade on bark
PATCH_CONTRAST = 0.3
BARK_FLOOR = 0.3  # least share of bark's colour
CRACK_TEXEL = 0.3  # m, of the noise whose contours are cracks in asphalt
CRACK_CONTOUR = 0.05  # value of that noise on a crack
CRACK_SLOPE = 0.4  # 1/m, mean slope of that noise
CRACK_HALF_WIDTH = 0.02  # m
CRACK_DEPTH = 0.45  # how dark a crack is
AGE_TEXEL = 1.3  # m, of the noise that says where a road is old
AGE_THRESHOLD = 0.02  # value of that noise from which on a road has cracks
AGE_SLOPE = 6.0  # how fast cracks get dark beyond that value
CRACK_FOOTPRINT = 0.15  # m, size of a pixel from which on no crack is seen
NIGHT_WEAR = 0.8  # share of the wear and grain of a road that headlamps, which shine flat, do not show
SLAB_SIDE = 0.6  # m, of a paving slab
TILE_COURSE = 0.24  # m of height from one course of tiles to the next
BRICK_COURSE = 0.075  # m of height, in a wall of bricks
STONE_COURSE = 0.2  # m of height, in other garden walls
STONE_CONTRAST = 0.25  # of one stone or brick of a garden wall to the next
PIPE_SHADE = 0.5  # how much darker than its wall a downpipe is; its shadow is half as dark
PANE_TONE = -0.15  # of -1..1: what is darker in a front is a pane
FRAME_TONE = 0.25  # of -1..1: what is by that much brighter than a pane is its frame
TRIM_SHARE = 0.75  # of houses, with white trim
GRAIN_RANGE = 0.3  # of -1..1: what differs by less from a wall's tone is its grain
GRAIN_SHARE = 0.3  # of the grain that is shown: near by more looks like bark, and generators make blotches of it
STAIN_TEXEL = 0.35  # m, of the noise of rain and soot on walls
STAIN_CONTRAST = 0.04
PLASTER_TEXEL = 0.04  # m, of the noise of plaster or brick
PLASTER_CONTRAST = 0.06
ROOM_WHITE = 170.0  # of 255, what a white thing behind glass has in white light by day
ROOM_SHARE = 0.5  # of what is seen in a pane by day: the room behind it
STREET_SHARE = 0.1  # the same: the mirrored street
STREET_TEXEL = 0.25  # m, of the street's shapes
ARTICLE_TONE = -0.35  # of -1..1: what is brighter behind the glass of a ground floor is an article
ARTICLE_TEXEL = 0.06  # m, of the colours of articles, warm or cold
ARTICLE_CHROMA = 0.25  # contrast of these colours
OPPOSITE_HEIGHT = 1.9  # m above the foot of the wall, mean of the houses opposite as a ground floor mirrors them
OPPOSITE_SPREAD = 0.9  # m, by which these heights differ
OPPOSITE_WIDTH = 2.3  # m, of one of these houses
OPPOSITE_EDGE = 0.06  # m, softness of their outline
SKY_FLOOR = 0.3  # least brightness of the sky above them
DULL_SHARE = 0.45  # of windows, that mirror no sky
PANE_SKY = 0.85  # most brightness of those that do
SKYLINE_TEXEL = 0.3  # m, of the outline of the sky in them
ROOM_TEXEL = 0.8  # m, of furniture and curtains behind lit windows
GOODS_TEXEL = 0.18  # m, of what stands before them
SHELF_SHARE = 0.65  # of shops, that have shelves
SHELF_TOP = 2.3  # m, height up to which they have them
SHELF_PITCH = 0.42  # m from shelf to shelf
PACKET_LENGTH = 0.17  # m
ROOM_LIGHT = 0.42  # 0..1, mean light of a lit room
ROOM_CONTRAST = 1.7
GOODS_CONTRAST = 1.4

NAME_HEIGHT = 0.56  # m, of a name's cell on a signboard before the wall
PAINTED_NAME_HEIGHT = 0.46  # m, the same on a painted one
NAME_MARGIN = 0.5  # m, beside the longest names
BOARD_DEPTH = 0.25  # m from the plane of a front to its signboards, at most
NAME_LENGTH = 6.0  # m, of the longest name
NAME_PITCH = 8.0  # m of front that have one name
NAME_FADE = 8.0  # px, height of a name's cell below which it is left out: generators make scribble of smaller letters
NAME_LEGIBLE = 13.0  # px, height from which on it is drawn in full
GROOVE_OFFSET = 0.265  # m from the middle of a signboard to the groove that runs along its frame
NO_SIGNBOARD = -1e6  # m, height of the signboard of houses without one


class Textures(NamedTuple):
    """The textures of surfaces."""

    noise: np.ndarray  # u8, ``NOISE_LEVELS`` periodic squares end to end, each half as wide as the one before
    #: u8, ``LEVELS`` copies of the tone, glass and trim of ``neuralsim.facades.draw_fronts``
    fronts: np.ndarray
    glass: np.ndarray
    trim: np.ndarray
    rooms: np.ndarray  # u8, ``neuralsim.facades.label_rooms``
    houses: np.ndarray  # f32 (65536, 5), ``neuralsim.facades.house_parameters`` by instance
    strips: int  # number of storey drawings to choose from
    signboards: np.ndarray  # bool (strips,), that of ``draw_fronts``
    names: Names


@njit(forceinline=True, **options)
def square_at(flat, first, size, x, y):
    """Sample a periodic square at texel ``x``, ``y``, bilinearly: -1..1."""
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
def level_of(footprint, texel, last):
    """Return the mip level of a texture for pixels that cover ``footprint`` m."""
    bits = np.float32(footprint / (1.5 * texel)).view(np.int32)
    return min(max((bits >> 23) - 126, 0), last)  # its exponent


@njit(forceinline=True, **options)
def noise_at(noise, x, y, texel, level):
    """Sample noise at ``x``, ``y`` m from mip level ``level``: -1..1."""
    size = NOISE_SIZE >> level
    first = (NOISE_SIZE * NOISE_SIZE - size * size) * 4 // 3  # size of the larger levels, a geometric series
    scale = 1.0 / (texel * (1 << level))
    return square_at(noise, first, size, x * scale, y * scale)


@njit(forceinline=True, **options)
def map_at(plane, x, y):
    """Sample a map at texel ``x``, ``y``, bilinearly, with clamping at its edges."""
    high, wide = plane.shape
    x, y = min(max(x, 0.0), wide - 1.001), min(max(y, 0.0), high - 1.001)
    i, j = np.uint64(x), np.uint64(y)
    u, v = x - i, y - j
    right, down = i + np.uint64(1), j + np.uint64(1)
    above = plane[j, i] * (1.0 - u) + plane[j, right] * u
    return above * (1.0 - v) + (plane[down, i] * (1.0 - u) + plane[down, right] * u) * v


@njit(forceinline=True, **options)
def _between(texels, at, below, u, v):
    """Return what is between two texels from ``at`` on and two from ``below`` on, 0 to 255."""
    above = texels[at] * (1.0 - u) + texels[at + np.uint64(1)] * u
    return above * (1.0 - v) + (texels[below] * (1.0 - u) + texels[below + np.uint64(1)] * u) * v


@njit(forceinline=True, **options)
def sample_front(textures, code, foot, eaves, along, height, footprint, dark):
    """Sample the sketch of a house front (-1..1; ``models.facade_sketch``), a number in 0..1 of the lit room behind the
    window there (-1: none), the share of glass (0..1; -1..0 on the ground floor), how much of the sky that glass
    mirrors (0..1), and the share of painted trim (0..1).

    Args:
        textures: ``Textures``.
        code: Instance, the row of its table of houses.
        foot: Height of the foot of the house, m.
        eaves: Height of its eaves, m.
        along: Position along the wall, m.
        height: Height of the point, m.
        footprint: Size of a pixel, m.
        dark: 0 by day .. 1 at night.
    """
    fronts, rooms, table, strips = textures.fronts, textures.rooms, textures.houses, textures.strips
    storey, ground, number = table[code, 0], table[code, 1], table[code, 4]
    height -= foot
    below = height < ground
    floors = 0.0 if below else np.floor((height - ground) / storey)
    if not below and foot + ground + (floors + 1.0) * storey > eaves + 0.35:
        return 0.2, -1.0, 0.0, 0.0, 0.0  # no room for one more storey
    share = height / ground if below else (height - ground) / storey - floors
    down = 1.0 - (share - np.floor(share))
    place = along / (table[code, 2] * (TEXEL * WIDTH)) + table[code, 3]
    across = 1.0 - abs(place - 2.0 * np.floor(place * 0.5) - 1.0)
    strip = int(number * strips) + (strips if below else 0)
    level = level_of(footprint, TEXEL, LEVELS - 1)
    wide, high = WIDTH >> level, HEIGHT >> level
    first = 2 * strips * (WIDTH * HEIGHT - wide * high) * 4 // 3
    x = min(max(across * wide - 0.5, 0.0), wide - 1.001)
    y = min(max(down * high - 0.5, 0.0), high - 1.001)
    i, j = np.uint64(x), np.uint64(y)
    u, v = x - i, y - j
    at = np.uint64(first) + (np.uint64(strip * high) + j) * np.uint64(wide) + i
    below_it = at + np.uint64(wide)
    tone = _between(fronts, at, below_it, u, v)
    glass = _between(textures.glass, at, below_it, u, v) * (1.0 / 255.0)
    trim = _between(textures.trim, at, below_it, u, v) * (1.0 / 255.0)
    lamp, mirror = -1.0, 0.0
    if glass > 0.0 or dark > 0.0:
        i, j = np.uint64(min(int(across * WIDTH), WIDTH - 1)), np.uint64(min(int(down * HEIGHT), HEIGHT - 1))
        room = int(rooms[(np.uint64(strip * HEIGHT) + j) * np.uint64(WIDTH) + i])
        if room:  # a hash lights one room in three
            room += 31 * int(floors + 2.0) + 17 * int(np.floor(place)) + int(number * 4096.0)
            mixed = room * 2654435761 >> 8
            if dark > 0.0 and mixed % 9 < 3:
                lamp = (mixed // 9 % 64) * (1.0 / 63.0)
            mirror = max((mixed % 64) * (1.0 / 64.0) - DULL_SHARE, 0.0) * (1.0 / (1.0 - DULL_SHARE))
        coarse = min(max(4.0 * footprint - 0.6, 0.0), 1.0)  # a pixel that shows several windows
        mirror = (1.0 - dark) * (mirror + coarse * (0.5 * (1.0 - DULL_SHARE) - mirror))
    return tone * (1.0 / 127.5) - 1.0, lamp, -glass if below else glass, mirror, trim


@njit(forceinline=True, **options)
def _line(away, half, footprint):
    """Return the share of a pixel that a line of half width ``half`` covers, ``away`` m from the pixel's centre."""
    return min(max((half + 0.5 * footprint - abs(away)) / footprint, 0.0), 1.0) * min(1.0, 2.0 * half / footprint)


@njit(forceinline=True, **options)
def _cracks(noise, x, y, footprint):
    """Return how much darker asphalt is in a pixel of ``footprint`` m at ``x``, ``y``: by cracks filled with bitumen,
    which are contours of noise, where the road is old.
    """
    old = noise_at(noise, y, x, AGE_TEXEL, 0) - AGE_THRESHOLD
    if old <= 0.0:
        return 0.0
    away = abs(noise_at(noise, x, y, CRACK_TEXEL, 0) - CRACK_CONTOUR)
    half = CRACK_HALF_WIDTH * CRACK_SLOPE
    blurred = half + 0.5 * footprint * CRACK_SLOPE
    share = min(max((blurred - away) / (footprint * CRACK_SLOPE), 0.0), 1.0) * min(1.0, half / blurred)
    fade = min(max(2.0 - 2.0 * footprint / CRACK_FOOTPRINT, 0.0), 1.0)
    return CRACK_DEPTH * share * fade * min(old * AGE_SLOPE, 1.0)


@njit(forceinline=True, **options)
def _to_joint(x):
    """Return the distance (m) from ``x`` to the nearest joint between slabs."""
    part = x / SLAB_SIDE
    return (part - np.floor(part + 0.5)) * SLAB_SIDE


@njit(forceinline=True, **options)
def _joint(along, height, course, ratio, footprint):
    """Return how much of a pixel of ``footprint`` m is a joint, 0 to 1, of stones ``course`` m high and ``ratio`` times
    as long, every other row of which is shifted by half a stone."""
    row = np.floor(height / course)
    part = along / (ratio * course) + 0.5 * row
    aside = (part - np.floor(part + 0.5)) * (ratio * course)
    return max(_line(height - row * course, 0.006, footprint), _line(aside, 0.006, footprint))


@njit(forceinline=True, **options)
def seen_behind_glass(noise, along, height, footprint, bright, is_below, mirror):
    """Return the red, green and blue, of 255, of what is seen in a pane in white light: a dim room, reflections of the
    street, and on the ground floor goods or curtains of many colours.

    ``along``, ``height``: of the point on the wall, m, the latter above its foot; ``bright``: of the sketch, -1 to 1;
    ``is_below``: it is on the ground floor; ``mirror``: how much of the sky it mirrors, 0 to 1.
    """
    share = max(ROOM_SHARE * (0.8 + bright), 0.0)
    r = b = 1.0
    street = noise_at(noise, along, height, STREET_TEXEL, level_of(footprint, STREET_TEXEL, NOISE_LEVELS - 1))
    mirrored = max(STREET_SHARE * (1.0 + 2.0 * street), 0.0)
    if is_below:
        place = along * (1.0 / OPPOSITE_WIDTH)
        house = np.floor(place)
        tall = square_at(noise, 0, NOISE_SIZE, 37.0 * house, 53.0 * house)
        roofs = OPPOSITE_HEIGHT + OPPOSITE_SPREAD * (
            tall - 0.6 * max(tall, 0.0) * abs(2.0 * (place - house) - 1.0)
        )  # gables
        soft = OPPOSITE_EDGE + footprint
        sky = min(max((height - roofs) / soft + 0.5, 0.0), 1.0)
        mirrored += sky * (SKY_FLOOR + (PANE_SKY - SKY_FLOOR) * mirror - mirrored)
        if bright > ARTICLE_TONE:
            colourful = ARTICLE_CHROMA * min((bright - ARTICLE_TONE) * 4.0, 1.0)
            warm = noise_at(noise, along, height, ARTICLE_TEXEL, level_of(footprint, ARTICLE_TEXEL, NOISE_LEVELS - 1))
            r, b = max(1.0 + colourful * warm, 0.5), max(1.0 - 1.4 * colourful * warm, 0.5)
    elif mirror > 0.0:  # the sky above the houses opposite
        skyline = noise_at(
            noise, along, 0.5 * height, SKYLINE_TEXEL, level_of(footprint, SKYLINE_TEXEL, NOISE_LEVELS - 1)
        )
        mirrored += PANE_SKY * mirror * min(max(0.6 + 4.0 * skyline, 0.1), 1.0)
    return (
        ROOM_WHITE * (share * r + 0.92 * mirrored),
        ROOM_WHITE * (share + mirrored),
        ROOM_WHITE * (share * b + 1.06 * mirrored),
    )


@njit(forceinline=True, **options)
def _room_light(noise, along, height, footprint, lamp, is_shop):
    """Return how bright (0..1) what is seen in a lit window is: furniture and curtains, or a shop's shelves.

    ``along``: m on the wall; ``height``: m above its foot; ``lamp``: the number of the room, of ``sample_front``.
    """
    level = level_of(footprint, ROOM_TEXEL, NOISE_LEVELS - 1)
    light = ROOM_LIGHT + ROOM_CONTRAST * noise_at(noise, along, height, ROOM_TEXEL, level)
    other = 7.0 * lamp - np.floor(7.0 * lamp)  # a number of the room that its colour does not depend on
    if not is_shop:
        return min(max((0.55 + 0.45 * other) * light, 0.15), 1.0)
    level = level_of(footprint, GOODS_TEXEL, NOISE_LEVELS - 1)
    light += GOODS_CONTRAST * noise_at(noise, along, height, GOODS_TEXEL, level)
    if other < SHELF_SHARE and height < SHELF_TOP:
        row = height * (1.0 / SHELF_PITCH)
        floor = np.floor(row)
        place = along * (1.0 / PACKET_LENGTH) + 0.37 * floor
        packet = np.floor(place)
        chance = 0.754877666 * packet + 0.569840291 * floor + lamp  # a low-discrepancy sequence (Roberts 2018)
        chance -= np.floor(chance)
        fine = min(max(1.6 - footprint * (1.2 / PACKET_LENGTH), 0.0), 1.0)
        in_row = row - floor
        shelf = 0.75
        if in_row < 0.1:
            shelf = 0.25
        elif in_row < 0.4 + 0.5 * chance and place - packet > 0.12:
            tone = 7.0 * chance
            shelf = 0.2 + 0.8 * (tone - np.floor(tone))
        light = 0.35 * light + 0.65 * (0.5 + fine * (shelf - 0.5))
    elif height >= SHELF_TOP:
        light = max(light, 0.9)  # lamps below the ceiling
    return min(max(light, 0.15), 1.0)


@njit(forceinline=True, **options)
def has_name(textures, front, triangle):
    """Return whether a ``_Triangle`` has the name of a shop on it: on its signboard, or painted on the wall where no
    signboard is before that. ``front``: the house's row of ``Backdrop.houses``.
    """
    if front[6] <= 0.0 or (triangle.finish != WALL and triangle.finish != BOARD):
        return False
    strip = int(textures.houses[triangle.code, 4] * textures.strips)
    return triangle.finish == BOARD or (front[7] < 0.5 * NO_SIGNBOARD and textures.signboards[strip])


@njit(forceinline=True, **options)
def name_at(textures, front, triangle, point, east, north, deeper):
    """Return the share, 0 to 1, of a pixel of a triangle that ``has_name`` that the letters cover.

    ``front``: the house's row of ``Backdrop.houses``; ``triangle``, ``point``: ``_Triangle``, ``_Point``; ``east``,
    ``north``: m from the pixel's point to that of the next one, which is by ``deeper`` m farther away. Names that are
    too small to read in their middle are left out.
    """
    code, x, y = triangle.code, point.x - front[2], point.y - front[3]
    step = east * front[4] + north * front[5]
    wide = max(abs(step), 0.5 * point.footprint)
    up, high = point.z - front[7], NAME_HEIGHT
    if triangle.finish != BOARD:
        if abs(front[4] * y - front[5] * x) > BOARD_DEPTH:
            return 0.0  # it is another wall
        up = point.z - front[0] - textures.houses[code, 1] * (1.0 - 0.5 * (LETTERED[0] + LETTERED[1]) / HEIGHT)
        high = PAINTED_NAME_HEIGHT
    each = front[6] / max(np.floor(front[6] / NAME_PITCH), 1.0)
    place = (front[4] * x + front[5] * y) / each
    across, number = (place - np.floor(place) - 0.5) * each, (code * 11) % textures.names.sums.shape[0]
    longest = min(max(each - 2.0 * NAME_MARGIN, 1.0), NAME_LENGTH)
    away = max(1.0 - across * deeper / (step * point.depth), 0.1) if step != 0.0 else 1.0  # its middle, over the pixel
    size = away * max(point.footprint, 0.5 * wide * away)
    tall = min(high, HEIGHT * longest / textures.names.widths[number]) / size
    legible = min((tall - NAME_FADE) / (NAME_LEGIBLE - NAME_FADE), 1.0)
    if legible <= 0.0:
        return 0.0
    return legible * ink_at(textures.names, number, across, up, wide, point.footprint, high, longest)


@njit(forceinline=True, **options)
def texture_at(textures, backdrop, light, triangle, point, camera_height):
    """Return the factor of a triangle's colour at a ``_Point``, the light of a window there, 0 to 1, and the share of
    glass, the sketch's brightness, the mirrored sky, the lit room and the share of white trim there, as from
    ``sample_front``.

    ``textures`` .. ``triangle``: ``Textures``, ``Backdrop``, ``_LightValues``, ``_Triangle``; ``camera_height``: m.
    """
    noise, tone, houses = textures.noise, backdrop.tone, backdrop.houses
    finish, code, axis = triangle.finish, triangle.code, triangle.axis
    wx, wy, wz, d, footprint = point
    factor, lit, glass, bright, mirror, lamp, trim = 1.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0
    if finish <= GRASS:
        slant = footprint * np.sqrt(min(d / max(abs(wz - camera_height), 0.3), 36.0))
        grain = noise_at(noise, wx, wy, GRAIN_TEXEL, level_of(0.5 * slant, GRAIN_TEXEL, NOISE_LEVELS - 1))
        if tone.shape[0] > 1:
            factor = map_at(tone, (wx - light.west) * light.texels, (wy - light.south) * light.texels) * (1.0 / 128.0)
        if finish == ASPHALT:
            factor += NIGHT_WEAR * light.dark * (1.0 - factor)
            factor *= 1.0 + 0.25 * (1.0 - NIGHT_WEAR * light.dark) * grain
            if slant < CRACK_FOOTPRINT:
                factor *= 1.0 - _cracks(noise, wx, wy, slant)
        elif finish == MARKING:
            factor = (0.5 + 0.5 * factor) * (0.92 - 0.7 * max(grain - 0.12, 0.0) + 0.1 * grain)
        elif finish == PAVING:
            if slant < SLAB_SIDE:
                joint = max(_line(_to_joint(wx), 0.012, slant), _line(_to_joint(wy), 0.012, slant))
                factor *= 1.0 - 0.4 * joint
            factor *= 1.0 + 0.16 * grain
        else:
            factor *= 1.0 + 0.7 * grain
        factor *= 1.0 - 0.45 * light.wet
    elif finish == WALL:
        foot, eaves = houses[code, 0], houses[code, 1]
        along = wx if axis == 1 else wy
        sketch = sample_front(textures, code, foot, eaves, along, wz, footprint, light.dark)
        bright, lamp, glass, mirror, trim = sketch
        grain = bright - 0.2
        if trim == 0.0 and glass == 0.0:
            grain *= 1.0 - (1.0 - GRAIN_SHARE) * max(1.0 - (grain / GRAIN_RANGE) ** 2, 0.0)
        factor = 1.0 + grain
        if lamp >= 0.0:
            lit = _room_light(noise, along, wz - foot, footprint, lamp, glass < 0.0)
            outlined = min(max(1.0 - (bright - PANE_TONE) / FRAME_TONE, 0.0), 1.0)
            lit *= max(outlined * (1.0 - trim), abs(glass))  # bars and outlines, anti-aliased; curtains glow
        if bright > PANE_TONE and glass == 0.0:
            stains = noise_at(noise, along, wz, STAIN_TEXEL, level_of(footprint, STAIN_TEXEL, NOISE_LEVELS - 1))
            plaster = noise_at(noise, wz, along, PLASTER_TEXEL, level_of(footprint, PLASTER_TEXEL, NOISE_LEVELS - 1))
            factor *= 1.0 + GRAIN_SHARE * (STAIN_CONTRAST * stains + PLASTER_CONTRAST * plaster)
            if triangle.is_brick and footprint < BRICK_COURSE:
                factor *= 1.0 - 0.4 * _joint(along, wz, BRICK_COURSE, 3.2, footprint)
            place = along / (textures.houses[code, 2] * (TEXEL * WIDTH)) + textures.houses[code, 3]
            pipe = (place - 2.0 * np.floor(0.5 * place + 0.5)) * textures.houses[code, 2] * (TEXEL * WIDTH)
            factor *= (
                1.0 - PIPE_SHADE * _line(pipe, 0.05, footprint) - 0.5 * PIPE_SHADE * _line(pipe - 0.11, 0.06, footprint)
            )
        number = 61.0 * textures.houses[code, 4]  # one that does not depend on the choice of strips
        if number - np.floor(number) > TRIM_SHARE:
            trim = 0.0
        eaves, foot = eaves - wz, wz - foot
        if 0.0 < eaves < 0.7:  # ambient occlusion under the eaves and at the ground
            factor *= 0.5 + 0.7 * eaves
        if 0.0 < foot < 0.6:
            factor *= 0.8 + 0.33 * foot
    elif finish == BOARD:
        along = wx if axis == 1 else wy
        stains = noise_at(noise, along, wz, STAIN_TEXEL, level_of(footprint, STAIN_TEXEL, NOISE_LEVELS - 1))
        groove = _line(abs(wz - houses[code, 7]) - GROOVE_OFFSET, 0.01, footprint)
        factor = (1.0 + 2.0 * STAIN_CONTRAST * stains) * (1.0 - 0.45 * groove)
    elif finish == MASONRY:
        along, high, ratio = wx if axis == 1 else wy, STONE_COURSE, 1.9
        if triangle.is_brick:
            high, ratio = BRICK_COURSE, 3.2
        stains = noise_at(noise, along, wz, STAIN_TEXEL, level_of(footprint, STAIN_TEXEL, NOISE_LEVELS - 1))
        factor = 1.0 + 3.0 * STAIN_CONTRAST * stains
        if footprint < high:
            fade, course = min(max(2.0 - 2.0 * footprint / high, 0.0), 1.0), np.floor(wz / high)
            stone = np.floor(along / (ratio * high) + 0.5 * course)
            tone = square_at(noise, 0, NOISE_SIZE, 37.0 * stone, 53.0 * course)  # of each stone its own
            factor *= 1.0 + fade * STONE_CONTRAST * tone
            factor *= 1.0 - 0.35 * _joint(along, wz, high, ratio, footprint)
    elif finish == ROOF:
        course = wz / TILE_COURSE
        fade = min(max(1.6 - footprint * 7.0, 0.0), 1.0)
        grain = noise_at(
            noise, wx + 0.6 * wy, wz * 1.4, GRAIN_TEXEL, level_of(footprint, GRAIN_TEXEL, NOISE_LEVELS - 1)
        )
        factor = (1.0 + 0.3 * fade * (course - np.floor(course) - 0.5)) * (1.0 + 0.3 * grain)
    elif finish == LEAF:
        across, along = wy if axis == 0 else wx, wy if axis == 2 else wz
        leaves = noise_at(noise, across, along, CROWN_TEXEL, level_of(footprint, CROWN_TEXEL, NOISE_LEVELS - 1))
        factor = max(CROWN_MEAN + CROWN_CONTRAST * leaves, CROWN_FLOOR)
    elif finish == BARK:
        around, along = wy if axis == 0 else wx, wz * (1.0 / RIDGE_RATIO)
        ridges = noise_at(noise, around, along, RIDGE_TEXEL, level_of(footprint, RIDGE_TEXEL, NOISE_LEVELS - 1))
        patches = noise_at(noise, wz, around, PATCH_TEXEL, level_of(footprint, PATCH_TEXEL, NOISE_LEVELS - 1))
        factor = max(1.0 + RIDGE_CONTRAST * ridges + PATCH_CONTRAST * patches, BARK_FLOOR)
    return factor, lit, glass, bright, mirror, lamp, trim
