"""The detail planes of a generator, outlines and sketch, compiled: every other pixel of a frame.

The same arithmetic as ``neuralsim/models/input_planes.py`` and ``facade_sketch.py``. Most pixels take their sketch from
the guide, and only the others are computed; a graph computes all of them.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from bridge.ego_camera import EGO_CAMERA
from neuralsim.base import kernels
from neuralsim.facades import HEIGHT, LEVELS, TEXEL, WIDTH
from neuralsim.models.classes import MOVERS, Channel
from neuralsim.models.surface_texture import CAMERA_FLOOR, CELL_SIZE, CELLS, TEXTURE_LIMIT, VARIANCE
from neuralsim.models.surfaces import is_level, is_textured

_F = np.float32
_EYE = _F(EGO_CAMERA.z)
_OUTLINE = _F(0.7)
_CROWN = _F(0.6)
_BRIGHTEST_LEAF = _F(0.4)  # the largest noise of a crown
_SLANT, _LARGEST_SLANT = _F(0.25), _F(4.0)
_SKY_FOOTPRINT, _DOME, _HORIZON = _F(1.2), _F(40.0), _F(0.12)
_STEEPEST = _F(20.0)  # from which on a sigmoid is 0 in f32; its exponential must not overflow
_STRIP = _F(TEXEL * WIDTH)
_WEIGHTS = tuple(_F(weight) for _, weight in CELLS)
_UNIT = _F(VARIANCE**-0.5)

_BUILDING, _VEGETATION, _SKY = int(Channel.BUILDING), int(Channel.VEGETATION), int(Channel.SKY)
_VEHICLE, _PERSON = int(Channel.VEHICLE), int(Channel.PERSON)
_CHANNELS = np.arange(len(Channel))
_IS_LEVEL, _IS_TEXTURED = is_level(_CHANNELS), is_textured(_CHANNELS)
_IS_FLAT = _IS_LEVEL | (_CHANNELS == Channel.ROAD_LINE)
_HAS_SHAPE = np.isin(np.arange(len(Channel)), (_BUILDING, _VEHICLE, _PERSON))
_IS_MOVER = np.isin(np.arange(len(Channel)), MOVERS)


class SketchTables(NamedTuple):
    """The constants of a graph that its sketch is computed from, f32."""

    texture: np.ndarray  # (129, 129), of the noise
    amplitude: np.ndarray  # (classes,), of the noise
    atlas: np.ndarray  # (rows, columns), strips of fronts
    houses: np.ndarray  # (256, 5)


@njit(**kernels.FASTEST)
def draw_detail(
    first, last, tag, instance, depth, guide,
    camera, channel, tables, of_image, detail,
):  # fmt: skip
    """Write the rows from ``first`` to before ``last`` of ``detail``.

    Args:
        first: Row of the detail.
        last: Row of the detail.
        tag: u8 (H, W).
        instance: u16 (H, W).
        depth: f32 (H, W), m.
        guide: u8 (H, W, 4); the last channel is the sketch, 1..255 for -1..1, 0: none.
        camera: f32 (20,), as of the graph.
        channel: u8 (256,), class by tag.
        tables: Of the graph.
        of_image: Whether a guide with a sketch is an image, to whose crowns nothing is added.
        detail: f32 (H/2, W/2, 2), written: outlines and sketch.
    """
    height, width = detail.shape[:2]
    point, other = np.empty((3, width), _F), np.empty((3, width), _F)  # of this row and of the next one, world, m
    along = np.empty(width, _F)
    for y in range(first, last):
        is_traced = False
        below = y + 1 if y + 1 < height else y - 1
        for x in range(width):
            kind = channel[tag[2 * y, 2 * x]]
            detail[y, x, 0] = _OUTLINE if _IS_MOVER[kind] and _is_outline(instance, y, x, height, width) else _F(0)
            given = guide[2 * y, 2 * x, 3]
            guided = (_F(given) - _F(128)) * _F(1.0 / 127.0)
            if given > 0 and (of_image or kind != _VEGETATION):
                detail[y, x, 1] = guided
                continue
            if not is_traced:
                is_traced = True
                _trace(y, depth, camera, point)
                _trace(below, depth, camera, other)
                _coordinates(point, along)
            sketch = _noise(x, y, kind, depth[2 * y, 2 * x], camera, point, along[x], tables)
            if _HAS_SHAPE[kind]:
                steps = (abs(other[0, x] - point[0, x]), abs(other[1, x] - point[1, x]), abs(other[2, x] - point[2, x]))
                code = (np.int64(instance[2 * y, 2 * x]) * 97 + 31) % 256
                if kind != _BUILDING:
                    sketch += _body(kind, code, point[2, x] - (camera[11] - _EYE), steps)
                elif steps[2] > steps[0] + steps[1]:
                    beside = x if x + 1 < width else x - 1
                    slant = abs(along[beside + 1] - along[beside])
                    footprint = depth[2 * y, 2 * x] * (_F(2) / camera[16])
                    sketch += _front(tables.houses[code], along[x], point[2, x], slant, footprint, tables.atlas)
            if given > 0:
                sketch = _CROWN * (sketch + guided)
            is_number = sketch == sketch  # else depth or camera is none
            detail[y, x, 1] = min(max(sketch, _F(-1)), _F(1)) if is_number else _F(0)


@njit(**kernels.FASTEST)
def draw_texture(first, last, tag, depth, camera, channel, texture, detail):  # type: ignore[no-untyped-def]
    """Write the textures of the rows from ``first`` to before ``last`` of ``detail``, in place of outlines.

    Args:
        first: Row of the detail.
        last: Row of the detail.
        tag: u8 (H, W).
        depth: f32 (H, W), m.
        camera: f32 (20,), as of the graph.
        channel: u8 (256,), class by tag.
        texture: f32 (129, 129), of the noise.
        detail: f32 (H/2, W/2, 2), its first plane is written.
    """
    width = detail.shape[1]
    point, along = np.empty((3, width), _F), np.empty(width, _F)
    for y in range(first, last):
        _trace(y, depth, camera, point)
        _coordinates(point, along)
        for x in range(width):
            kind = channel[tag[2 * y, 2 * x]]
            if not _IS_TEXTURED[kind]:
                detail[y, x, 0] = _F(0)
                continue
            size = depth[2 * y, 2 * x] * (_F(2) / camera[16])
            a, b = along[x], point[2, x]
            if _IS_LEVEL[kind]:
                a, b = point[0, x], point[1, x]
                below = max(camera[11] - point[2, x], _F(CAMERA_FLOOR))
                size *= np.sqrt(max(depth[2 * y, 2 * x] / below, _F(1)))
            value = _pattern(texture, a, b, size)
            detail[y, x, 0] = value if value == value else _F(0)  # else depth or camera is no number


@njit(**kernels.FASTEST)
def _pattern(texture, a, b, size):
    """Return noise of unit contrast whose finest cells are ``size`` or so, m."""
    level = np.log2(max(_F(CELL_SIZE) * size, _F(1e-3)))
    low = np.floor(level)
    share = level - low
    scale = np.exp2(-low) * _F(1.0 / 128.0)
    a, b = a * scale, b * scale
    total, finer = _F(0), _texel(texture, a, b)
    for octave in range(len(_WEIGHTS)):
        a, b = a * _F(0.5), b * _F(0.5)
        coarser = _texel(texture, a, b)
        total += _WEIGHTS[octave] * ((_F(1) - share) * finer + share * coarser)
        finer = coarser
    total *= _UNIT / np.sqrt(share * share + (_F(1) - share) * (_F(1) - share))
    return min(max(total, -_F(TEXTURE_LIMIT)), _F(TEXTURE_LIMIT))


@njit(**kernels.FASTEST)
def _is_outline(instance, y, x, height, width):
    """Return whether any of the eight pixels around is of another instance."""
    here = instance[2 * y, 2 * x]
    for j in range(max(y - 1, 0), min(y + 2, height)):
        for i in range(max(x - 1, 0), min(x + 2, width)):
            if instance[2 * j, 2 * i] != here:
                return True
    return False


@njit(inline="always")
def _ray(k, x, y, camera):
    """Return coordinate ``k`` of the ray, of unit forward length, of a pixel of the detail."""
    right = (_F(2 * x) + _F(0.5) - camera[18]) / camera[16]
    down = (_F(2 * y) + _F(0.5) - camera[19]) / camera[17]
    return camera[4 * k] + camera[4 * k + 1] * right - camera[4 * k + 2] * down


@njit(**kernels.FASTEST)
def _trace(y, depth, camera, point):
    for k in range(3):
        for x in range(point.shape[1]):
            point[k, x] = camera[4 * k + 3] + depth[2 * y, 2 * x] * _ray(k, x, y, camera)


@njit(**kernels.FASTEST)
def _coordinates(point, along):
    """Write whether the surface runs along world x rather than y, and its coordinate in that direction.

    Of a pixel's steps to its left and right, the smaller ones count: one may lead to another surface.
    """
    width = point.shape[1]
    for x in range(width):
        left, right = max(x - 1, 0), min(x, width - 2)
        step_x = min(abs(point[0, left + 1] - point[0, left]), abs(point[0, right + 1] - point[0, right]))
        step_y = min(abs(point[1, left + 1] - point[1, left]), abs(point[1, right + 1] - point[1, right]))
        along[x] = point[0, x] if step_x > step_y else point[1, x]


@njit(**kernels.FASTEST)
def _noise(x, y, kind, depth, camera, point, along, tables):
    """Return value noise on world lattices whose cells are about 2, 4 and 16 footprints."""
    amplitude = tables.amplitude[kind]
    if amplitude == 0:
        return _F(0)
    footprint = depth * (_F(2) / camera[16])
    if kind == _SKY:
        dome = _DOME / (max(_ray(2, x, y, camera), _F(0)) + _HORIZON)
        a, b = _ray(0, x, y, camera) * dome, _ray(1, x, y, camera) * dome
        footprint = _SKY_FOOTPRINT
    elif _IS_FLAT[kind]:
        a, b = point[0, x], point[1, x]
    else:
        a, b = along, point[2, x]
    level = np.log2(max(footprint, _F(1e-3)) * _F(2))
    low = np.floor(level)
    share = level - low
    scale = np.exp2(-low) * _F(1.0 / 128.0)
    a, b = a * scale, b * scale
    gain = amplitude / np.sqrt(share * share + (_F(1) - share) * (_F(1) - share))
    octave0, octave1 = _texel(tables.texture, a, b), _texel(tables.texture, a * _F(0.5), b * _F(0.5))
    octave2 = _texel(tables.texture, a * _F(0.25), b * _F(0.25))
    octave3 = _texel(tables.texture, a * _F(0.125), b * _F(0.125))
    octave4 = _texel(tables.texture, a * _F(0.0625), b * _F(0.0625))
    finer = _F(0.4) * (octave0 + octave1) + _F(0.8) * octave3
    coarser = _F(0.4) * (octave1 + octave2) + _F(0.8) * octave4
    value = gain * ((_F(1) - share) * finer + share * coarser)
    return min(value, _BRIGHTEST_LEAF) if kind == _VEGETATION else value


@njit(**kernels.FASTEST)
def _texel(texture, a, b):
    """Return the periodic ``texture`` at (a, b), in periods, bilinear."""
    size = texture.shape[0] - 1
    x, y = (a - np.floor(a)) * _F(size), (b - np.floor(b)) * _F(size)
    i, j = min(max(np.int32(x), 0), size - 1), min(max(np.int32(y), 0), size - 1)  # also if x is not a number
    u, v = x - _F(i), y - _F(j)
    above = texture[j, i] * (_F(1) - u) + texture[j, i + 1] * u
    return above * (_F(1) - v) + (texture[j + 1, i] * (_F(1) - u) + texture[j + 1, i + 1] * u) * v


@njit(**kernels.FASTEST)
def _front(house, along, height, slant, footprint, atlas):
    """Return the sketch of a house's front at a point of its wall."""
    count = _F(atlas.shape[0] // (2 * HEIGHT))
    storey, ground, stretch, begin, number = house[0], house[1], house[2], house[3], house[4]
    is_ground = height < ground
    row = height / ground if is_ground else (height - ground) / storey
    down = _F(1) - (row - np.floor(row))
    place = along / (stretch * _STRIP) + begin
    across = _F(1) - abs(place - _F(2) * np.floor(place * _F(0.5)) - _F(1))
    strip = np.floor(number * count) + (count if is_ground else _F(0))
    size = max(footprint, _SLANT * min(slant, _LARGEST_SLANT))
    level = min(np.log2(max(size / _F(TEXEL), _F(1))), _F(LEVELS - 1.001))
    low = np.floor(level)
    share = level - low
    fine, coarse = _strip_texel(atlas, strip, across, down, low), _strip_texel(atlas, strip, across, down, low + _F(1))
    return (_F(1) - share) * fine + share * coarse


@njit(**kernels.FASTEST)
def _strip_texel(atlas, strip, across, down, level):
    """Return a strip at ``across`` and ``down`` (0..1) from the copies of ``level``, bilinear, without its
    neighbours."""
    scale = np.exp2(-level)
    columns, rows = _F(WIDTH) * scale, _F(HEIGHT) * scale
    x = _F(2) * (_F(WIDTH) - columns) + min(max(across * columns, _F(0.5)), columns - _F(0.5)) - _F(0.5)
    y = strip * rows + min(max(down * rows, _F(0.5)), rows - _F(0.5)) - _F(0.5)
    i, j = min(max(np.int32(x), 0), atlas.shape[1] - 2), min(max(np.int32(y), 0), atlas.shape[0] - 2)
    u, v = x - _F(i), y - _F(j)
    above = atlas[j, i] * (_F(1) - u) + atlas[j, i + 1] * u
    return above * (_F(1) - v) + (atlas[j + 1, i] * (_F(1) - u) + atlas[j + 1, i + 1] * u) * v


@njit(**kernels.FASTEST)
def _body(kind, code, height, steps):
    """Return the sketch of a car or a person at a height over the ground (m), ``steps`` to the pixel below (m)."""
    if kind == _VEHICLE:
        steep = steps[2] / (steps[0] + steps[1] + steps[2] + _F(1e-6))  # 1: upright, 0: level
        glass = _sigmoid((height - _F(0.93)) * _F(40)) * _sigmoid((_F(1.38) - height) * _F(40))
        glass *= _sigmoid((steep - _F(0.14)) * _F(30))
        return _F(0.35) * (_F(1) - steep) - glass - _F(0.6) * _sigmoid((_F(0.34) - height) * _F(25)) + _F(0.1)
    shade = _F(code) * _F(1.2 / 255.0) - _F(0.6)
    return shade * _sigmoid((_F(0.9) - height) * _F(20)) + _F(0.35) * _sigmoid((height - _F(1.5)) * _F(30))


@njit(inline="always")
def _sigmoid(value):
    return _F(1) / (_F(1) + np.exp(min(-value, _STEEPEST)))
