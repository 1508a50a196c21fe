"""What surfaces are made of, told by their tag, colour and slope: which procedural finish a triangle is shaded with."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from bridge.tags import Tag
from neuralsim.facades import LEVELS, code_of, drawn, rooms, table
from neuralsim.town.assets.car_shapes import CARS
from neuralsim.town.assets.houses import CHURCH_WALL, ROOFS, WALLS
from neuralsim.town.assets.meshes import RGB
from neuralsim.town.assets.vehicle_meshes import GLASS
from neuralsim.town.render import raster_kernels as kernels
from neuralsim.town.render.shading_kernels import NOISE_LEVELS, NOISE_SIZE, Textures

_BY_TAG = {
    Tag.ROAD: kernels.ASPHALT,
    Tag.ROAD_LINE: kernels.MARKING,
    Tag.SIDEWALK: kernels.PAVING,
    Tag.TERRAIN: kernels.GRASS,
    Tag.GROUND: kernels.GRASS,
    Tag.VEGETATION: kernels.LEAF,
}
_PAINTS = tuple({shape.colour for shape in CARS.values()})
_VEHICLES = (Tag.CAR, Tag.TRUCK, Tag.BUS)
_COARSE = 28.0  # texels; longer waves are no stronger, or ground looks like clouds
_UPRIGHT = 0.2  # greatest share of a wall's normal that points up


def finishes(vertices: np.ndarray, triangles: np.ndarray, tags: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """u8 (T,), a finish of ``raster_kernels``, of triangles i32 (T, 3) over ``vertices`` f32 (V, 3), m.

    ``tags`` u8 (T,), ``colours`` u8 (T, 3), RGB.
    """
    of_tag = np.full(256, kernels.PLAIN, np.uint8)
    for tag, finish in _BY_TAG.items():
        of_tag[tag] = finish
    out = of_tag[tags]
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    up = np.abs(normal[:, 2]) / np.maximum(np.linalg.norm(normal, axis=1), 1e-12)
    house = tags == Tag.BUILDING
    out[house & (up < _UPRIGHT) & _among(colours, (*WALLS, CHURCH_WALL))] = kernels.WALL
    out[house & (up > _UPRIGHT) & (up < 0.99) & _among(colours, ROOFS)] = kernels.ROOF
    vehicle = np.isin(tags, _VEHICLES)
    out[vehicle & _among(colours, _PAINTS)] = kernels.BODY
    out[vehicle & _among(colours, (GLASS,))] = kernels.WINDOW
    return out


def _among(colours: np.ndarray, these: tuple[RGB, ...]) -> np.ndarray:
    packed = colours.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    return np.isin(packed, np.array(these, np.int64) @ np.array([1 << 16, 1 << 8, 1]))


@lru_cache(maxsize=1)
def textures(seed: int = 5) -> Textures:
    """Everything that surfaces are textured with; it does not depend on the town."""
    strips = drawn()
    fronts = [strips]
    for _ in range(LEVELS - 1):
        last = fronts[-1].astype(np.uint16)
        mean = (last[..., ::2, ::2] + last[..., ::2, 1::2] + last[..., 1::2, ::2] + last[..., 1::2, 1::2] + 2) // 4
        fronts.append(mean.astype(np.uint8))
    return Textures(
        noise=np.concatenate([level.ravel() for level in _noise(seed)]),
        fronts=np.concatenate([level.ravel() for level in fronts]),
        rooms=rooms(strips).reshape(-1),
        houses=table()[code_of(np.arange(1 << 16))],
        strips=strips.shape[1],
    )


def _noise(seed: int) -> list[np.ndarray]:
    """u8 squares, each half the size of the one before: periodic noise whose amplitude falls as its frequency, as that
    of natural surfaces (Field, J. Opt. Soc. Am. A 1987); 128 + 42 deviations."""
    rng = np.random.default_rng(seed)
    fx, fy = np.meshgrid(np.fft.fftfreq(NOISE_SIZE), np.fft.rfftfreq(NOISE_SIZE), indexing="ij")
    frequency = np.hypot(fx, fy)
    frequency[0, 0] = 1.0
    spectrum = np.fft.rfft2(rng.standard_normal((NOISE_SIZE, NOISE_SIZE))) / np.maximum(frequency, 1.0 / _COARSE)
    spectrum[0, 0] = 0.0
    field = np.fft.irfft2(spectrum, (NOISE_SIZE, NOISE_SIZE))
    levels = [field / field.std()]
    for _ in range(NOISE_LEVELS - 1):
        last = levels[-1]
        levels.append((last[::2, ::2] + last[::2, 1::2] + last[1::2, ::2] + last[1::2, 1::2]) / 4.0)
    return [np.asarray((128.0 + 42.0 * level).clip(0.0, 255.0).round(), np.uint8) for level in levels]
