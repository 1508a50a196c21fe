"""The finishes of surfaces: which procedural shading a triangle gets, by its tag, colour and slope; their textures."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from bridge.tags import Tag
from neuralsim.facades import LEVELS, draw_fronts, house_parameters, house_row, label_rooms
from neuralsim.town.assets.car_shapes import CARS
from neuralsim.town.assets.houses import BRICK, CHURCH_WALL, ROOFS, SIGNBOARDS, WALLS
from neuralsim.town.assets.meshes import RGB
from neuralsim.town.assets.plant_meshes import INSIDE, TRUNK, TRUNK_COLOUR
from neuralsim.town.assets.prop_meshes import STEEL
from neuralsim.town.assets.vehicles.car_bodies import GLASS
from neuralsim.town.assets.vehicles.motorcycles import LACQUERED
from neuralsim.town.assets.vehicles.vehicle_meshes import LORRY_BOX
from neuralsim.town.render.raster_arrays import (
    ASPHALT,
    BARK,
    BOARD,
    BODY,
    CLOTH,
    GRASS,
    LEAF,
    MARKING,
    MASONRY,
    PAVING,
    PLAIN,
    ROOF,
    SIGN,
    TRIM,
    WALL,
    WINDOW,
)
from neuralsim.town.render.shading.lettering_kernels import names
from neuralsim.town.render.shading.surface_kernels import NOISE_LEVELS, NOISE_SIZE, Textures

_BY_TAG = {
    Tag.ROAD: ASPHALT,
    Tag.ROAD_LINE: MARKING,
    Tag.SIDEWALK: PAVING,
    Tag.TERRAIN: GRASS,
    Tag.GROUND: GRASS,
    Tag.VEGETATION: LEAF,
    Tag.WALL: MASONRY,
}
_PAINTS = (*{shape.colour for shape in CARS.values()}, LORRY_BOX)
_VEHICLES = (Tag.CAR, Tag.TRUCK, Tag.BUS, Tag.MOTORCYCLE, Tag.BICYCLE)
_WAVE_LIMIT = 28.0  # texels; longer waves have no larger amplitude, or the ground would look like clouds
_UPRIGHT = 0.2  # largest vertical component of a wall's normal


def finishes(vertices: np.ndarray, triangles: np.ndarray, tags: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Return the finish (see ``raster_arrays``) of each triangle, u8 (T,).

    ``vertices`` f32 (V, 3), m; ``triangles`` i32 (T, 3); ``tags`` u8 (T,); ``colours`` u8 (T, 3), RGB.
    """
    of_tag = np.full(256, PLAIN, np.uint8)
    for tag, finish in _BY_TAG.items():
        of_tag[tag] = finish
    out = of_tag[tags]
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    up = np.abs(normal[:, 2]) / np.maximum(np.linalg.norm(normal, axis=1), 1e-12)
    house = tags == Tag.BUILDING
    out[house & (up < _UPRIGHT) & _among(colours, (*WALLS, CHURCH_WALL))] = WALL
    out[house & (up < _UPRIGHT) & _among(colours, (BRICK,))] = MASONRY
    out[house & (up < _UPRIGHT) & _among(colours, SIGNBOARDS)] = BOARD
    out[house & (up > _UPRIGHT) & (up < 0.99) & _among(colours, ROOFS)] = ROOF
    out[(tags == Tag.TRAFFIC_SIGN) & ~_among(colours, (STEEL,))] = SIGN  # but for its back
    out[(tags == Tag.VEGETATION) & _among(colours, (INSIDE,))] = PLAIN
    out[(tags == TRUNK) & _among(colours, (TRUNK_COLOUR,))] = BARK
    vehicle = np.isin(tags, _VEHICLES)
    out[np.isin(tags, (Tag.PEDESTRIAN, Tag.RIDER))] = CLOTH
    out[vehicle] = TRIM
    out[vehicle & (tags != Tag.BICYCLE) & _among(colours, _PAINTS)] = BODY
    out[vehicle & _among(colours, (GLASS,))] = WINDOW
    out[np.isin(tags, (Tag.MOTORCYCLE, Tag.RIDER)) & _among(colours, LACQUERED)] = BODY
    return out


def _among(colours: np.ndarray, these: tuple[RGB, ...]) -> np.ndarray:
    """Return which of ``colours`` u8 (T, 3) are among ``these``, bool (T,)."""
    packed = colours.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    return np.isin(packed, np.array(these, np.int64) @ np.array([1 << 16, 1 << 8, 1]))


@lru_cache(maxsize=1)
def textures(seed: int = 5) -> Textures:
    """Return the textures of all surfaces. They do not depend on the town."""
    drawn = draw_fronts()
    return Textures(
        noise=np.concatenate([level.ravel() for level in _noise(seed)]),
        fronts=_levels(drawn.tone),
        glass=_levels(drawn.glass),
        trim=_levels(drawn.trim),
        rooms=label_rooms(drawn.tone, drawn.glass).reshape(-1),
        houses=house_parameters()[house_row(np.arange(1 << 16))],
        strips=drawn.tone.shape[1],
        signboards=drawn.signboards,
        names=names(),
    )


def _levels(strips: np.ndarray) -> np.ndarray:
    """Return ``LEVELS`` copies of ``strips`` u8 (2, N, H, W) end to end, each half as wide as the one before."""
    levels = [strips]
    for _ in range(LEVELS - 1):
        last = levels[-1].astype(np.uint16)
        mean = (last[..., ::2, ::2] + last[..., ::2, 1::2] + last[..., 1::2, ::2] + last[..., 1::2, 1::2] + 2) // 4
        levels.append(mean.astype(np.uint8))
    return np.concatenate([level.ravel() for level in levels])


def _noise(seed: int) -> list[np.ndarray]:
    """Return the mip levels of periodic noise, u8 squares with mean 128 and standard deviation 42.

    Its amplitude is inversely proportional to frequency, as in natural images (Field, J. Opt. Soc. Am. A 1987).
    """
    rng = np.random.default_rng(seed)
    fx, fy = np.meshgrid(np.fft.fftfreq(NOISE_SIZE), np.fft.rfftfreq(NOISE_SIZE), indexing="ij")
    frequency = np.hypot(fx, fy)
    frequency[0, 0] = 1.0
    spectrum = np.fft.rfft2(rng.standard_normal((NOISE_SIZE, NOISE_SIZE))) / np.maximum(frequency, 1.0 / _WAVE_LIMIT)
    spectrum[0, 0] = 0.0
    field = np.fft.irfft2(spectrum, (NOISE_SIZE, NOISE_SIZE))
    levels = [field / field.std()]
    for _ in range(NOISE_LEVELS - 1):
        last = levels[-1]
        levels.append((last[::2, ::2] + last[::2, 1::2] + last[1::2, ::2] + last[1::2, 1::2]) / 4.0)
    return [np.asarray((128.0 + 42.0 * level).clip(0.0, 255.0).round(), np.uint8) for level in levels]
