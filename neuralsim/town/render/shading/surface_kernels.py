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

NOISE_SIZE, NOISE_LEVELS = 512, 8
_GRAIN = 0.03  # m, texel of the noise on the ground
_LEAVES = 0.03  # m, texel of the noise in crowns
#: Of a crown's colour: its mean (in photographs of summer crowns have .6 of the brightness of walls), its contrast, and
#: the least share: between leaves one sees its shaded inside.
_MEAN_OF_LEAVES, _CONTRAST_OF_LEAVES, _DARKEST_LEAF = 0.87, 1.48, 0.17
#: Texels (m) of the noise of bark around a trunk, how many times as long its ridges are, and its contrast; of its
#: patches of moss and shade, which are as long as wide; and the least share of its colour.
_RIDGE, _RIDGE_RATIO, _CONTRAST_OF_RIDGES = 0.012, 6.0, 0.9
_PATCH, _CONTRAST_OF_PATCHES, _DARKEST_BARK = 0.05, 0.3, 0.3
#: Cracks in asphalt: texels (m) of the noise whose contours they are, its value there, its mean slope (1/m), half their
#: width (m), and how dark they are; texels of the noise that says where a road is old, its least value there and how
#: fast cracks get dark beyond; and the size (m) of a pixel from which on none is seen.
_CRACKS, _CONTOUR, _SLOPE, _HALF_CRACK, _DEPTH_OF_CRACKS = 0.3, 0.05, 0.4, 0.02, 0.45
_OLD, _LEAST_OLD, _ONSET, _LARGEST_CRACK = 1.3, 0.02, 6.0, 0.15
_LESS_BY_NIGHT = 0.8  # share of the wear and grain of a road that headlamps, which shine flat, do not show
_SLAB = 0.6  # m, side of a paving slab
_COURSE = 0.24  # m of height from one course of tiles to the next
_BRICK, _STONE = 0.075, 0.2  # m, height of a course of bricks, and of the stones of other garden walls
_CONTRAST_OF_STONES = 0.25  # of one stone or brick of a garden wall to the next
_PIPE = 0.5  # how much darker than its wall a downpipe is; its shadow is half as dark
_PANE, _FRAME = -0.15, 0.25  # of -1..1: what is darker in a front is a pane; what is by that much brighter, its frame
_WITH_WHITE_TRIM = 0.75  # share of houses
#: Of -1..1: what differs by less from a wall's tone is its grain; and how much of that is shown: near by one would take
#: more for bark, and farther away generators make blotches of it.
_GRAIN_OF_WALLS, _GRAIN_LEFT = 0.3, 0.3
#: Texels (m) of the noise on walls, and its contrast: of rain and soot, and of plaster or brick.
_STAINS, _PLASTER = 0.35, 0.04
_CONTRAST_OF_STAINS, _CONTRAST_OF_PLASTER = 0.04, 0.06
#: Of what is behind glass by day: what a white thing there has of 255 in white light, the share of the room and that of
#: the mirrored street in it, and the texels (m) of the street's shapes. On the ground floor what is brighter than
#: ``_EMPTY``, -1 to 1, is an article, whose colours, warm or cold, have texels of ``_ARTICLE`` m and that contrast.
_INSIDE, _ROOM_SHARE, _MIRRORED, _STREET = 170.0, 0.5, 0.1, 0.25
_EMPTY, _ARTICLE, _COLOURFUL = -0.35, 0.06, 0.25
#: Of what is mirrored on the ground floor, the houses opposite with the sky above them: their mean height there (m
#: above the foot of the wall), how much they differ, how wide they are, how soft their outline is, and how bright
#: the sky is, at least.
_ROOFS, _UNEVEN, _OPPOSITE, _SOFT_OUTLINE, _LEAST_SKY = 1.9, 0.9, 2.3, 0.06, 0.3
#: Share of the windows that mirror no sky, how bright those are that do, at most, and the texels (m) of its outline.
_DULL_PANES, _MIRRORED_SKY, _SKYLINE = 0.45, 0.85, 0.3
_ROOM, _GOODS = 0.8, 0.18  # m, the same behind lit windows: of furniture and curtains, and of what stands before them
#: Of shops: the share of them that have shelves, up to what height (m); metres from shelf to shelf and of a packet.
_WITH_SHELVES, _CEILING, _SHELF, _PACKET = 0.65, 2.3, 0.42, 0.17
_BRIGHT_ROOM, _CONTRAST_OF_ROOMS, _CONTRAST_OF_GOODS = 0.42, 1.7, 1.4  # of their light, 0 to 1

#: m: of a name's cell on a signboard before the wall and on a painted one; margin beside the longest names; how far
#: from the plane of a front its signboards are, at most; the longest name; and the length of front that has one.
_HIGH, _HIGH_PAINTED, _MARGIN, _PROUD, _LONGEST, _REPEATED = 0.56, 0.46, 0.5, 0.25, 6.0, 8.0
_ILLEGIBLE, _LEGIBLE = 8.0, 13.0  # px, height of a name's cell: generators make scribble of smaller letters
_GROOVE = 0.265  # m from the middle of a signboard to the groove that runs along its frame
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
            mirror = max((mixed % 64) * (1.0 / 64.0) - _DULL_PANES, 0.0) * (1.0 / (1.0 - _DULL_PANES))
        coarse = min(max(4.0 * footprint - 0.6, 0.0), 1.0)  # a pixel that shows several windows
        mirror = (1.0 - dark) * (mirror + coarse * (0.5 * (1.0 - _DULL_PANES) - mirror))
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
    old = noise_at(noise, y, x, _OLD, 0) - _LEAST_OLD
    if old <= 0.0:
        return 0.0
    away = abs(noise_at(noise, x, y, _CRACKS, 0) - _CONTOUR)
    half = _HALF_CRACK * _SLOPE
    blurred = half + 0.5 * footprint * _SLOPE
    share = min(max((blurred - away) / (footprint * _SLOPE), 0.0), 1.0) * min(1.0, half / blurred)
    fade = min(max(2.0 - 2.0 * footprint / _LARGEST_CRACK, 0.0), 1.0)
    return _DEPTH_OF_CRACKS * share * fade * min(old * _ONSET, 1.0)


@njit(forceinline=True, **options)
def _to_joint(x):
    """Return the distance (m) from ``x`` to the nearest joint between slabs."""
    part = x / _SLAB
    return (part - np.floor(part + 0.5)) * _SLAB


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
    share = max(_ROOM_SHARE * (0.8 + bright), 0.0)
    r = b = 1.0
    street = noise_at(noise, along, height, _STREET, level_of(footprint, _STREET, NOISE_LEVELS - 1))
    mirrored = max(_MIRRORED * (1.0 + 2.0 * street), 0.0)
    if is_below:
        place = along * (1.0 / _OPPOSITE)
        house = np.floor(place)
        tall = square_at(noise, 0, NOISE_SIZE, 37.0 * house, 53.0 * house)
        roofs = _ROOFS + _UNEVEN * (tall - 0.6 * max(tall, 0.0) * abs(2.0 * (place - house) - 1.0))  # gables
        soft = _SOFT_OUTLINE + footprint
        sky = min(max((height - roofs) / soft + 0.5, 0.0), 1.0)
        mirrored += sky * (_LEAST_SKY + (_MIRRORED_SKY - _LEAST_SKY) * mirror - mirrored)
        if bright > _EMPTY:
            colourful = _COLOURFUL * min((bright - _EMPTY) * 4.0, 1.0)
            warm = noise_at(noise, along, height, _ARTICLE, level_of(footprint, _ARTICLE, NOISE_LEVELS - 1))
            r, b = max(1.0 + colourful * warm, 0.5), max(1.0 - 1.4 * colourful * warm, 0.5)
    elif mirror > 0.0:  # the sky above the houses opposite
        skyline = noise_at(noise, along, 0.5 * height, _SKYLINE, level_of(footprint, _SKYLINE, NOISE_LEVELS - 1))
        mirrored += _MIRRORED_SKY * mirror * min(max(0.6 + 4.0 * skyline, 0.1), 1.0)
    return (
        _INSIDE * (share * r + 0.92 * mirrored),
        _INSIDE * (share + mirrored),
        _INSIDE * (share * b + 1.06 * mirrored),
    )


@njit(forceinline=True, **options)
def _room_light(noise, along, height, footprint, lamp, is_shop):
    """Return how bright (0..1) what is seen in a lit window is: furniture and curtains, or a shop's shelves.

    ``along``: m on the wall; ``height``: m above its foot; ``lamp``: the number of the room, of ``sample_front``.
    """
    level = level_of(footprint, _ROOM, NOISE_LEVELS - 1)
    light = _BRIGHT_ROOM + _CONTRAST_OF_ROOMS * noise_at(noise, along, height, _ROOM, level)
    other = 7.0 * lamp - np.floor(7.0 * lamp)  # a number of the room that its colour does not depend on
    if not is_shop:
        return min(max((0.55 + 0.45 * other) * light, 0.15), 1.0)
    level = level_of(footprint, _GOODS, NOISE_LEVELS - 1)
    light += _CONTRAST_OF_GOODS * noise_at(noise, along, height, _GOODS, level)
    if other < _WITH_SHELVES and height < _CEILING:
        row = height * (1.0 / _SHELF)
        floor = np.floor(row)
        place = along * (1.0 / _PACKET) + 0.37 * floor
        packet = np.floor(place)
        chance = 0.754877666 * packet + 0.569840291 * floor + lamp  # a low-discrepancy sequence (Roberts 2018)
        chance -= np.floor(chance)
        fine = min(max(1.6 - footprint * (1.2 / _PACKET), 0.0), 1.0)
        in_row = row - floor
        shelf = 0.75
        if in_row < 0.1:
            shelf = 0.25
        elif in_row < 0.4 + 0.5 * chance and place - packet > 0.12:
            tone = 7.0 * chance
            shelf = 0.2 + 0.8 * (tone - np.floor(tone))
        light = 0.35 * light + 0.65 * (0.5 + fine * (shelf - 0.5))
    elif height >= _CEILING:
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
    up, high = point.z - front[7], _HIGH
    if triangle.finish != BOARD:
        if abs(front[4] * y - front[5] * x) > _PROUD:
            return 0.0  # it is another wall
        up = point.z - front[0] - textures.houses[code, 1] * (1.0 - 0.5 * (LETTERED[0] + LETTERED[1]) / HEIGHT)
        high = _HIGH_PAINTED
    each = front[6] / max(np.floor(front[6] / _REPEATED), 1.0)
    place = (front[4] * x + front[5] * y) / each
    across, number = (place - np.floor(place) - 0.5) * each, (code * 11) % textures.names.sums.shape[0]
    longest = min(max(each - 2.0 * _MARGIN, 1.0), _LONGEST)
    away = max(1.0 - across * deeper / (step * point.depth), 0.1) if step != 0.0 else 1.0  # its middle, over the pixel
    size = away * max(point.footprint, 0.5 * wide * away)
    tall = min(high, HEIGHT * longest / textures.names.widths[number]) / size
    legible = min((tall - _ILLEGIBLE) / (_LEGIBLE - _ILLEGIBLE), 1.0)
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
        grain = noise_at(noise, wx, wy, _GRAIN, level_of(0.5 * slant, _GRAIN, NOISE_LEVELS - 1))
        if tone.shape[0] > 1:
            factor = map_at(tone, (wx - light.west) * light.texels, (wy - light.south) * light.texels) * (1.0 / 128.0)
        if finish == ASPHALT:
            factor += _LESS_BY_NIGHT * light.dark * (1.0 - factor)
            factor *= 1.0 + 0.25 * (1.0 - _LESS_BY_NIGHT * light.dark) * grain
            if slant < _LARGEST_CRACK:
                factor *= 1.0 - _cracks(noise, wx, wy, slant)
        elif finish == MARKING:
            factor = (0.5 + 0.5 * factor) * (0.92 - 0.7 * max(grain - 0.12, 0.0) + 0.1 * grain)
        elif finish == PAVING:
            if slant < _SLAB:
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
            grain *= 1.0 - (1.0 - _GRAIN_LEFT) * max(1.0 - (grain / _GRAIN_OF_WALLS) ** 2, 0.0)
        factor = 1.0 + grain
        if lamp >= 0.0:
            lit = _room_light(noise, along, wz - foot, footprint, lamp, glass < 0.0)
            outlined = min(max(1.0 - (bright - _PANE) / _FRAME, 0.0), 1.0)
            lit *= max(outlined * (1.0 - trim), abs(glass))  # bars and outlines, anti-aliased; curtains glow
        if bright > _PANE and glass == 0.0:
            stains = noise_at(noise, along, wz, _STAINS, level_of(footprint, _STAINS, NOISE_LEVELS - 1))
            plaster = noise_at(noise, wz, along, _PLASTER, level_of(footprint, _PLASTER, NOISE_LEVELS - 1))
            factor *= 1.0 + _GRAIN_LEFT * (_CONTRAST_OF_STAINS * stains + _CONTRAST_OF_PLASTER * plaster)
            if triangle.is_brick and footprint < _BRICK:
                factor *= 1.0 - 0.4 * _joint(along, wz, _BRICK, 3.2, footprint)
            place = along / (textures.houses[code, 2] * (TEXEL * WIDTH)) + textures.houses[code, 3]
            pipe = (place - 2.0 * np.floor(0.5 * place + 0.5)) * textures.houses[code, 2] * (TEXEL * WIDTH)
            factor *= 1.0 - _PIPE * _line(pipe, 0.05, footprint) - 0.5 * _PIPE * _line(pipe - 0.11, 0.06, footprint)
        number = 61.0 * textures.houses[code, 4]  # one that does not depend on the choice of strips
        if number - np.floor(number) > _WITH_WHITE_TRIM:
            trim = 0.0
        eaves, foot = eaves - wz, wz - foot
        if 0.0 < eaves < 0.7:  # ambient occlusion under the eaves and at the ground
            factor *= 0.5 + 0.7 * eaves
        if 0.0 < foot < 0.6:
            factor *= 0.8 + 0.33 * foot
    elif finish == BOARD:
        along = wx if axis == 1 else wy
        stains = noise_at(noise, along, wz, _STAINS, level_of(footprint, _STAINS, NOISE_LEVELS - 1))
        groove = _line(abs(wz - houses[code, 7]) - _GROOVE, 0.01, footprint)
        factor = (1.0 + 2.0 * _CONTRAST_OF_STAINS * stains) * (1.0 - 0.45 * groove)
    elif finish == MASONRY:
        along, high, ratio = wx if axis == 1 else wy, _STONE, 1.9
        if triangle.is_brick:
            high, ratio = _BRICK, 3.2
        stains = noise_at(noise, along, wz, _STAINS, level_of(footprint, _STAINS, NOISE_LEVELS - 1))
        factor = 1.0 + 3.0 * _CONTRAST_OF_STAINS * stains
        if footprint < high:
            fade, course = min(max(2.0 - 2.0 * footprint / high, 0.0), 1.0), np.floor(wz / high)
            stone = np.floor(along / (ratio * high) + 0.5 * course)
            tone = square_at(noise, 0, NOISE_SIZE, 37.0 * stone, 53.0 * course)  # of each stone its own
            factor *= 1.0 + fade * _CONTRAST_OF_STONES * tone
            factor *= 1.0 - 0.35 * _joint(along, wz, high, ratio, footprint)
    elif finish == ROOF:
        course = wz / _COURSE
        fade = min(max(1.6 - footprint * 7.0, 0.0), 1.0)
        grain = noise_at(noise, wx + 0.6 * wy, wz * 1.4, _GRAIN, level_of(footprint, _GRAIN, NOISE_LEVELS - 1))
        factor = (1.0 + 0.3 * fade * (course - np.floor(course) - 0.5)) * (1.0 + 0.3 * grain)
    elif finish == LEAF:
        across, along = wy if axis == 0 else wx, wy if axis == 2 else wz
        leaves = noise_at(noise, across, along, _LEAVES, level_of(footprint, _LEAVES, NOISE_LEVELS - 1))
        factor = max(_MEAN_OF_LEAVES + _CONTRAST_OF_LEAVES * leaves, _DARKEST_LEAF)
    elif finish == BARK:
        around, along = wy if axis == 0 else wx, wz * (1.0 / _RIDGE_RATIO)
        ridges = noise_at(noise, around, along, _RIDGE, level_of(footprint, _RIDGE, NOISE_LEVELS - 1))
        patches = noise_at(noise, wz, around, _PATCH, level_of(footprint, _PATCH, NOISE_LEVELS - 1))
        factor = max(1.0 + _CONTRAST_OF_RIDGES * ridges + _CONTRAST_OF_PATCHES * patches, _DARKEST_BARK)
    return factor, lit, glass, bright, mirror, lamp, trim
