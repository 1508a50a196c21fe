"""Precomputed lighting of the static town: wear of the ground, light of lamps and windows, the sun's shadow map.

It is computed once per town, and the shadow map once per position of the sun, for shading to look up.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numba import njit

from bridge.tags import Tag
from neuralsim.base import kernels
from neuralsim.town.assets.houses import HouseFront
from neuralsim.town.assets.meshes import ALWAYS, DISTANT
from neuralsim.town.opendrive.lane import Lane
from neuralsim.town.render.raster_arrays import WALL
from neuralsim.town.render.scene import Placements, Scene
from neuralsim.town.render.shading.finishes import textures
from neuralsim.town.render.shading.shading_kernels import Backdrop
from neuralsim.town.render.shading.shadow_kernels import project
from neuralsim.town.render.shading.surface_kernels import NO_SIGNBOARD, sample_front

_TEXELS = 14_000_000  # most texels of a map
_CELL = 0.2  # m, smallest texel of the ground
_SHADE = 0.25  # m, smallest texel of the shadow map
_HEIGHTS = -8.0, 30.0  # m, range of heights of the shadow map
_MARGIN = 40.0  # m around the lanes
_LAMPS_REACH = 3.2  # heights of a street lamp
_LAMP_LIGHT = 112.0  # light right below one
_WINDOW_LIGHT = 8.0  # light that half a metre of a lit window at the height of the eyes adds right before it
_EYES = 1.5  # m, above the foot of a house
_WINDOWS_REACH = 8.0  # m
_STEP = 2.0  # degrees between two positions of the sun


def empty() -> Backdrop:
    """Return the backdrop of a scene without a town: no wear, no shadows."""
    return Backdrop(
        np.zeros(2),
        1.0,
        np.full((1, 1), 128, np.uint8),
        np.zeros((1, 1), np.uint8),
        np.zeros((3, 4)),
        _nothing(),
        _houses({}),
    )


def _nothing() -> np.ndarray:
    """Return a shadow map without shadows."""
    return np.full((1, 1), -1e9, np.float32)


def _houses(fronts: dict[int, HouseFront]) -> np.ndarray:
    """Return ``Backdrop.houses`` of the fronts of houses by instance."""
    out = np.zeros((1 << 16, 8), np.float32)
    out[:, 1] = 1e9
    for instance, front in fronts.items():
        foot = front.foot if abs(front.foot) > 0.5 else 0.0
        signboard = NO_SIGNBOARD if front.signboard is None else front.signboard
        out[instance] = foot, front.eaves, *front.origin, *front.along, front.width, signboard
    return out


class Backdrops:
    """The backdrops of a town by the sun's position. The last one is kept."""

    def __init__(
        self,
        scene: Scene,
        props: Placements,
        lanes: Sequence[Lane],
        fronts: dict[int, HouseFront],
        lamps: np.ndarray,
        seed: int,
    ) -> None:
        """Compute the maps that do not depend on the sun.

        Args:
            scene: The static geometry.
            props: The props in it.
            lanes: Driving lanes.
            fronts: Fronts of the houses, by instance.
            lamps: f64 (N, 3), x and y of street lamps and their heights above the ground, m.
            seed: Seed of the wear.
        """
        self._scene, self._props = scene, props
        points = np.concatenate([lane.centre[:, :2] for lane in lanes])
        self._low, self._high = points.min(0) - _MARGIN, points.max(0) + _MARGIN
        size = self._high - self._low
        self._cell = max(_CELL, float(np.sqrt(size.prod() / _TEXELS)))
        shape = np.ceil(size / self._cell).astype(int)[::-1] + 1
        self._tone = self._worn(lanes, (int(shape[0]), int(shape[1])), np.random.default_rng([seed, 7]))
        self._houses = _houses(fronts)
        self._light = self._lit(lamps, (int(shape[0]) // 4 + 1, int(shape[1]) // 4 + 1))
        self._known: tuple[tuple[float, float], Backdrop] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what is cached on disk: the maps, without the geometry."""
        return {name: value for name, value in vars(self).items() if name not in ("_scene", "_props")}

    def of(self, scene: Scene, props: Placements) -> Backdrops:
        """Attach the geometry again after loading from the disk cache; return self."""
        self._scene, self._props = scene, props
        return self

    def with_props(self, props: Placements) -> Backdrops:
        """Return the same maps with the shadows of other props."""
        backdrops = copy.copy(self).of(self._scene, props)
        backdrops._known = None
        return backdrops

    def at(self, altitude: float, azimuth: float) -> Backdrop:
        """Return the backdrop under a sun at these angles (degrees), rounded to multiples of 2."""
        place = round(altitude / _STEP) * _STEP, round(azimuth / _STEP) * _STEP % 360.0
        if place[0] < _STEP:
            place = 0.0, 0.0
        if self._known is None or self._known[0] != place:
            sun, shadow = self._shadow(*place) if place[0] > 0.0 else (np.zeros((3, 4)), _nothing())
            drop = Backdrop(self._low, self._cell, self._tone, self._light, sun, shadow, self._houses)
            self._known = place, drop
        return self._known[1]

    def _shadow(self, altitude: float, azimuth: float) -> tuple[np.ndarray, np.ndarray]:
        """Return ``sun`` and ``shadow`` of ``Backdrop`` for a position of the sun, degrees."""
        a, b = np.radians(altitude), np.radians(azimuth)
        to_sun = np.array([np.cos(a) * np.cos(b), np.cos(a) * np.sin(b), np.sin(a)])
        across = np.array([-np.sin(b), np.cos(b), 0.0])
        axes = np.stack([across, np.cross(to_sun, across), to_sun])
        west, east, south, north = self._low[0], self._high[0], self._low[1], self._high[1]
        corners = np.array([(x, y, z) for x in (west, east) for y in (south, north) for z in _HEIGHTS])
        seen = corners @ axes[:2].T
        low, size = seen.min(0), np.ptp(seen, axis=0)
        texel = max(_SHADE, float(np.sqrt(size.prod() / _TEXELS)))
        matrix = np.concatenate([axes, np.zeros((3, 1))], axis=1)
        matrix[:2, 3] = -low
        matrix[:2] /= texel
        wide, high = (np.ceil(size / texel).astype(int) + 1).tolist()
        top = np.full((high, wide), -1e9, np.float32)
        for vertices, triangles in self._casters():
            project(vertices, triangles, matrix, top)
        return matrix, top

    def _casters(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the geometry that casts shadows: vertices f32 (3, V), world, and triangles i32 (T, 3)."""
        scene, static = self._scene, self._scene.finest_static()
        flat = (Tag.ROAD, Tag.ROAD_LINE, Tag.SIDEWALK, Tag.TERRAIN)
        casters = [(scene.vertices, scene.triangles[static[~np.isin(scene.tags[static], flat)]])]
        for template in np.unique(self._props.template).tolist():
            spans, corners_of = (of[scene.chunks + template] for of in (scene.triangle_spans, scene.vertex_spans))
            corners = scene.vertices[:, corners_of[ALWAYS] : corners_of[DISTANT]].astype(
                np.float64
            )  # in their coarse form
            shape = scene.triangles[spans[ALWAYS] : spans[DISTANT]] - corners_of[ALWAYS]
            pose = self._props.pose[self._props.template == template]
            world = np.einsum("nij,jv->niv", pose[:, :3, :3], corners) + pose[:, :3, 3:]
            triangles = shape + np.arange(len(pose))[:, None, None] * corners.shape[1]
            vertices = np.ascontiguousarray(world.transpose(1, 0, 2).reshape(3, -1), np.float32)
            casters.append((vertices, np.ascontiguousarray(triangles.reshape(-1, 3), np.int32)))
        return casters

    def _texels(self, points: np.ndarray) -> np.ndarray:
        """Return world points f64 (N, 2+) as texels for OpenCV, i32 (N, 2), with 4 fractional bits."""
        return np.asarray(np.round((points[:, :2] - self._low) / self._cell * 16.0), np.int32)

    def _worn(self, lanes: Sequence[Lane], shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        """Return wear and dirt of the ground with ambient occlusion at walls and kerbs, u8 ``shape``, 128 = none."""
        tone: np.ndarray = np.full(shape, 128, np.uint8)
        for lane in lanes:
            self._wear(tone, lane, rng)
        tone = np.asarray(cv2.GaussianBlur(tone, (3, 3), 0.0), np.uint8)
        for tags, reach, depth in (((Tag.BUILDING, Tag.WALL, Tag.VEGETATION), 1.6, 0.75), ((Tag.SIDEWALK,), 0.5, 0.15)):
            mask = self._footprint(tags, shape)
            side = max(3, int(reach / self._cell) | 1)
            near = cv2.blur(cv2.blur(mask, (side, side)), (side, side))
            edge = np.where(mask > 0, 255 - near, near)  # darkest along the outline
            kept = 255 - (edge.astype(np.float32) * depth).astype(np.uint8)
            tone = np.asarray(cv2.multiply(tone, kept, scale=1.0 / 255.0), np.uint8)
        return tone

    def _wear(self, tone: np.ndarray, lane: Lane, rng: np.random.Generator) -> None:
        """Draw the wear of a lane: tyre tracks, oil, sealed cracks."""
        across = (lane.right - lane.left) / np.maximum(lane.width, 0.1)[:, None]

        def stripe(aside: float, wide: float, value: int) -> None:
            line = [self._texels(lane.centre + across * aside).reshape(-1, 1, 2)]
            cv2.polylines(tone, line, False, value, max(1, round(wide / self._cell)), cv2.LINE_AA, 4)

        stripe(0.0, 3.4, 126)
        stripe(0.0, 0.7, 116)
        for side in (-0.85, 0.85):
            stripe(side, 0.5, 139)
        stripe(-float(lane.width.mean()) / 2.0, 0.1, 104)
        length = lane.length
        at = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(lane.centre, axis=0), axis=1))])

        def spot(where: float, aside: float) -> np.ndarray:
            return np.array([np.interp(where, at, lane.centre[:, k] + across[:, k] * aside) for k in (0, 1)])

        for _ in range(rng.poisson(length / 22.0)):  # sealed cracks
            start, middle = rng.uniform(0.0, length), rng.uniform(-1.4, 1.4)
            along = start + np.cumsum(rng.uniform(0.3, 1.0, 9))
            aside = middle + np.cumsum(rng.normal(0.0, 0.25, 9))
            path = np.stack([spot(w, a) for w, a in zip(along, aside, strict=True)])
            cv2.polylines(tone, [self._texels(path)], False, 80, 1, cv2.LINE_AA, 4)

    def _footprint(self, tags: tuple[int, ...], shape: tuple[int, int]) -> np.ndarray:
        """Return a mask u8 ``shape``, 255 where the static mesh has triangles with one of ``tags``."""
        scene = self._scene
        last = scene.static_triangles
        triangles = scene.triangles[:last][np.isin(scene.tags[:last], tags)]
        mask = np.zeros(shape, np.uint8)
        flat = scene.vertices[:2].T
        points = self._texels(flat[triangles.ravel()]).reshape(-1, 3, 2)
        for corners in points:
            cv2.fillConvexPoly(mask, corners, 255, cv2.LINE_8, 4)
        return mask

    def _lit(self, lamps: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Return the light of street lamps and of windows on the ground, u8 ``shape``."""
        cell = 4.0 * self._cell
        light = self._window_light(cell, shape)
        for height in np.unique(lamps[:, 2]):
            reach = int(_LAMPS_REACH * height / cell)
            y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1] * cell
            pool = _light_below(np.hypot(x, y), height)
            for place in lamps[lamps[:, 2] == height, :2]:
                j, i = np.round((place - self._low) / cell).astype(int).tolist()
                top, left = i - reach, j - reach
                rows = slice(max(top, 0), min(i + reach + 1, shape[0]))
                columns = slice(max(left, 0), min(j + reach + 1, shape[1]))
                if rows.start < rows.stop and columns.start < columns.stop:
                    part = pool[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
                    light[rows, columns] += part
        return np.asarray(light.clip(0.0, 255.0), np.uint8)

    def _window_light(self, cell: float, shape: tuple[int, int]) -> np.ndarray:
        """Return the light of ground-floor windows that are lit by night, f32 ``shape``, cells ``cell`` m wide."""
        scene, static = self._scene, self._scene.finest_static()
        walls = static[scene.finish[static] == WALL]
        corners = scene.vertices.T[scene.triangles[walls]].astype(np.float64)
        corners = np.take_along_axis(corners, np.argsort(corners[..., 2:], axis=1), axis=1)  # the lowest first
        codes = scene.instances[walls].astype(np.int64)
        foot, eaves = self._houses[codes, :2].T.astype(np.float64)
        upright = np.abs(corners[:, 1, 2] - corners[:, 0, 2]) < 0.5
        stands = upright & (corners[:, 0, 2] < foot + 0.5) & (corners[:, 2, 2] > foot + _EYES)
        light = np.zeros(shape, np.float32)
        _mark_windows(corners[stands], codes[stands], foot[stands], eaves[stands], textures(), self._low, cell, light)
        reach = int(_WINDOWS_REACH / cell)
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1] * cell
        spread = (_WINDOW_LIGHT * (1.0 + (x * x + y * y) / 6.0) ** -1.5).astype(np.float32)
        return cv2.filter2D(light, cv2.CV_32F, spread)


@njit(**kernels.EXACT)
def _mark_windows(corners, codes, foot, eaves, drawings, low, cell, out):  # type: ignore[no-untyped-def]
    """Count in ``out`` f32 (h, w) each half metre of a wall's lower edge above which there is a lit window.

    Args:
        corners: f64 (N, 3, 3), m, of walls, the two lower ones first.
        codes: i64 (N,), instances of their houses.
        foot: f64 (N,), m, heights of the feet of the houses.
        eaves: f64 (N,), m, heights of their eaves.
        drawings: ``Textures``.
        low: f64 (2,), m, corner of ``out``, whose cells are ``cell`` wide.
        cell: m.
        out: Counted in.
    """
    for n in range(len(corners)):
        a, b, low_z = corners[n, 0], corners[n, 1], foot[n]
        east, north = b[0] - a[0], b[1] - a[1]
        length = np.hypot(east, north)
        for k in range(int(length / 0.5)):
            share = (k + 0.5) * 0.5 / length
            x, y = a[0] + share * east, a[1] + share * north
            along = x if abs(east) > abs(north) else y
            _, lamp, _, _, _ = sample_front(drawings, codes[n], low_z, eaves[n], along, low_z + _EYES, 0.05, 1.0)
            i, j = int((y - low[1]) / cell + 0.5), int((x - low[0]) / cell + 0.5)
            if lamp >= 0.0 and 0 <= i < out.shape[0] and 0 <= j < out.shape[1]:
                out[i, j] += 1.0


def _light_below(distance: np.ndarray, height: float) -> np.ndarray:
    """Return the light on the ground at a distance (m) from the foot of a lamp, f32, 255 the brightest.

    By the inverse-square and the cosine law, a bare lamp's would be 1 / slant**1.5. A reflector sends the more light
    the farther it goes, here slant**0.4 times as much, so that there are pools of light on the street; beyond 1.9
    heights its light fades out, up to ``_LAMPS_REACH``.
    """
    slant = 1.0 + (distance / height) ** 2
    edge = np.clip((_LAMPS_REACH - distance / height) / (0.4 * _LAMPS_REACH), 0.0, 1.0)
    return (_LAMP_LIGHT * slant**-1.1 * edge * edge * (3.0 - 2.0 * edge)).astype(np.float32)
