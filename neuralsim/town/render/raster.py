"""Software rasteriser: tag, instance, depth, backward motion and shaded RGB planes of a scene.

All work per pixel and per triangle is compiled (``raster_kernels``, ``resolve_kernels``) and, where a second thread is
free (``bands.second_thread``; else with more than two cores), split into bands of rows. The split changes no byte.
"""

import itertools
from typing import NamedTuple

import numpy as np

from bridge.geometry import focal_length
from bridge.jitter import NONE, Jitter
from bridge.tags import Tag
from neuralsim.base.bands import is_second_free, run_in_bands, run_on_two
from neuralsim.base.machine import cores
from neuralsim.town.assets.lit_bodies import COLUMNS, LENGTH, LIT, NUMBER
from neuralsim.town.assets.looks import palettes
from neuralsim.town.assets.meshes import NEAR, PALETTE
from neuralsim.town.render import static_lighting as backdrops
from neuralsim.town.render.foliage import leaf_masks
from neuralsim.town.render.raster_arrays import TILE, DrawList, Lens, Motions, Planes, VisibilityBuffer
from neuralsim.town.render.raster_kernels import Choice, draw, select
from neuralsim.town.render.resolve_kernels import chain, resolve
from neuralsim.town.render.scene import Placements, Scene
from neuralsim.town.render.shading.daylight import Atmosphere, daylight
from neuralsim.town.render.shading.finishes import textures
from neuralsim.town.render.shading.shading_kernels import Backdrop, MovingLight, ShadingSources, Shot, shade
from neuralsim.town.render.shading.shadow_kernels import cast_shadows, mirror
from neuralsim.town.render.shading.vehicle_detail_kernels import Smooth

FAR_LEVEL = 8.0  # px per m, below which parts are drawn in this level of detail
DISTANT_LEVEL = 5.0  # px per m, the same
FAR_PLANE = 1000.0  # m, depth of the sky
SHADOW_AHEAD = 70.0  # m before the camera, within which moving bodies cast shadows
SHADOW_BEHIND = 12.0  # m behind it
#: Shares of the height at which drawing is split: most triangles lie close to the horizon. What lies on both sides is
#: projected twice, a fifth of the work.
_CUTS = 7 / 16, 1 / 2
SUN_FLOOR = 0.02  # strength of the sun below which its shadows are invisible
WETNESS_FLOOR = 0.05  # below which reflections are invisible
_REFLECTS = np.zeros(256, np.float32)
_REFLECTS[[Tag.ROAD, Tag.ROAD_LINE, Tag.SIDEWALK]] = 0.55, 0.4, 0.3
_EMPTY = backdrops.empty()
_SHADED_BY = ("tag", "instance", "depth")  # planes


class _Drawn(NamedTuple):
    """What shading needs to know about the image that was drawn."""

    listed: DrawList
    shot: Shot
    to_sun: np.ndarray  # f64 (3,), direction to the sun in camera space
    smooth: Smooth


class Rasteriser:
    """A pinhole camera of fixed size: focal length width / (2 tan(fov / 2)), principal point (width / 2, height / 2).

    ``fov`` is horizontal, degrees.

    Raises:
        ValueError: A size is below 1, or the field of view outside (0, 180).
    """

    def __init__(self, width: int, height: int, fov: float) -> None:
        if width < 1 or height < 1 or not 0.0 < fov < 180.0:
            raise ValueError(f"invalid camera {width}x{height} with fov {fov}: expected sizes >= 1 and 0 < fov < 180")
        self.width, self.height, self.fov = width, height, fov
        self.focal = focal_length(width, fov)
        levels = self.focal / FAR_LEVEL, self.focal / DISTANT_LEVEL
        self._lens = Lens(width, height, self.focal, width / 2.0, height / 2.0, *levels)
        self._planes = Planes(
            np.empty((height, width), np.uint8),
            np.empty((height, width), np.uint16),
            np.empty((height, width), np.float32),
            np.empty((height, width, 2), np.float32),
            np.empty((height, width, 3), np.uint8),
        )
        cuts = sorted({0, *(int(share * height) // TILE * TILE for share in _CUTS), height})
        self._bands = list(itertools.pairwise(cuts))
        self._drawn: _Drawn | None = None
        self._grow(1, 1, 1)

    def _grow(self, triangles: int, vertices: int, candidates: int) -> None:
        """Allocate buffers for that many triangles per band, vertices per part and candidates."""
        numbers = 1 + triangles * len(self._bands)
        self._room = triangles, vertices, candidates
        self._buffer = VisibilityBuffer(
            nearness=np.empty(self.height * self.width, np.float32),
            ids=np.empty(self.height * self.width, np.int32),
            tiles=np.zeros((-(-self.height // TILE), -(-self.width // TILE)), np.float32),
            source=np.empty(numbers, np.int32),
            owner=np.empty(numbers, np.int32),
            label=np.empty(numbers, np.uint32),
            surface=np.empty((numbers, 9), np.float32),
            points=np.empty((5, 0)),  # every band has its own
            clipped=np.empty((4, 0)),
        )
        self._buffer.label[0] = Tag.SKY << 16
        self._buffer.owner[0] = 0
        self._buffer.surface[0] = 0.0
        self._parts = [self._rows(first, last) for first, last in self._bands]
        self._whole = self._rows(0, self.height)
        self._chosen = np.empty(candidates, np.int64)
        self._keys = np.empty(candidates)

    def _rows(self, first: int, last: int) -> VisibilityBuffer:
        """Return the view of rows ``first`` to before ``last`` of the buffer, with scratch of its own."""
        whole = self._buffer
        pixels = slice(first * self.width, last * self.width)
        return whole._replace(
            nearness=whole.nearness[pixels],
            ids=whole.ids[pixels],
            tiles=whole.tiles[first // TILE : -(-last // TILE)],
            points=np.empty((5, self._room[1])),
            clipped=np.empty((4, 5)),
        )

    def _make_room(self, triangles: int, vertices: int, candidates: int) -> None:
        """Grow the buffers if needed, with some to spare, so that actors that come and go do not cause it again."""
        room = self._room
        if triangles > room[0] or vertices > room[1] or candidates > room[2]:
            self._grow(max(triangles * 5 // 4, room[0]), max(vertices, room[1]), max(candidates * 5 // 4, room[2]))

    def render(
        self,
        scene: Scene,
        placements: Placements,
        pose: np.ndarray,
        previous_pose: np.ndarray,
        *,
        sun: tuple[float, ...] = (45.0, 30.0),
        hide: int = 0,
        jitter: Jitter = NONE,
        backdrop: Backdrop | None = None,
    ) -> Planes:
        """Draw and shade: return all planes. Arguments are those of ``draw`` and ``shade``."""
        planes = self.draw(scene, placements, pose, previous_pose, sun=sun, hide=hide, jitter=jitter)
        return planes._replace(rgb=self.shade(backdrop))

    def draw(
        self,
        scene: Scene,
        placements: Placements,
        pose: np.ndarray,
        previous_pose: np.ndarray,
        *,
        sun: tuple[float, ...] = (45.0, 30.0),
        hide: int = 0,
        lit: bool = True,
        jitter: Jitter = NONE,
    ) -> Planes:
        """Return all planes but ``rgb``. They belong to the rasteriser, and its next call overwrites them.

        Args:
            scene: The geometry.
            placements: Templates placed in it.
            pose: f64 (4, 4), world <- camera.
            previous_pose: The same of the previous frame, for motion.
            sun: Altitude and azimuth in degrees, or all of an ``Atmosphere``.
            hide: Instance of placements that are not drawn, 0 = none.
            lit: Whether ``shade`` may follow.
            jitter: Pixels (right, down) by which the principal point, and so the whole image, is shifted. Motion is
                that without jitter in either frame.

        Raises:
            ValueError: A template does not exist, or changes topology between the frames.
        """
        count = len(placements)
        camera, before = _inverse(pose), _inverse(previous_pose)
        matrices, previous, warps, inverses = _object_matrices(placements, camera, before, pose)
        shift = np.zeros(count + 1, np.int32)
        seen = np.arange(count)
        if count:
            self._check(scene, placements)
            first = scene.triangle_spans[scene.chunks :, NEAR]
            shift[1:] = first[placements.previous_template] - first[placements.template]
            if hide:
                seen = seen[placements.instance != hide]
        part_of = np.concatenate([np.arange(scene.chunks), scene.chunks + placements.template[seen]]).astype(np.int32)
        object_of = np.concatenate([np.zeros(scene.chunks, np.int64), seen + 1]).astype(np.int32)

        moving = int(scene.sizes[placements.template[seen]].sum()) if count else 0
        self._make_room(len(scene.triangles) + moving, scene.most_vertices, len(part_of))
        colours = np.zeros((count + 1, len(PALETTE), 3), np.uint8)
        colours[1:] = palettes(placements.colour, placements.instance)
        instances = np.zeros(count + 1, np.uint16)
        instances[1:] = placements.instance
        lights = np.zeros(count + 1, np.int32)
        lights[1:] = placements.lights
        listed = DrawList(part_of, object_of, matrices, colours, instances, lights)
        lens = self._lens._replace(cx=self.width / 2.0 + jitter[0], cy=self.height / 2.0 + jitter[1])
        kept = select(scene.boxes, listed, lens, FAR_PLANE, self._chosen, self._keys)
        order = np.argsort(self._keys[:kept], kind="stable")
        light = daylight(Atmosphere(*sun))
        buffer, planes = self._buffer, self._planes
        buffer.nearness.fill(0.0)
        buffer.ids.fill(0)
        buffer.tiles.fill(0.0)
        choice = Choice(listed, self._chosen[:kept][order], self._keys[:kept][order])
        towards = np.concatenate([camera[:3, :3] @ light.to_sun, camera[:3, 2], [light.dark]])

        def draw_rows(part: VisibilityBuffer, first: int, last: int, first_number: int) -> None:
            rows = lens._replace(height=last - first, cy=lens.cy - first)
            draw(scene.arrays, choice, rows, towards, leaf_masks(), part, first_number, lit)

        is_alone = _is_alone()
        if is_alone:
            draw_rows(self._whole, 0, self.height, 1)
        else:
            numbers = [(band, 1 + band * self._room[0]) for band in range(len(self._bands))]
            run_on_two(numbers, lambda band, number: draw_rows(self._parts[band], *self._bands[band], number))
        motions = Motions(shift, previous, warps)
        arrays = scene.arrays
        run_in_bands(self.height, lambda a, b: resolve(buffer, arrays, matrices, motions, lens, a, b, planes), is_alone)
        bodies = np.zeros((count + 1, COLUMNS), np.float32)
        if lit:
            bodies[1:] = scene.bodies[placements.template]
            bodies[:, LIT], bodies[:, NUMBER] = lights, instances
        shot = Shot(pose.copy(), lens, light, bodies, inverses, colours)
        self._drawn = (
            _Drawn(listed, shot, towards[:3], Smooth(arrays.vertices, arrays.triangles, arrays.normals, arrays.paint))
            if lit
            else None
        )
        return planes._replace(rgb=None)

    def shade(self, backdrop: Backdrop | None = None, half: bool = False) -> np.ndarray:
        """Return the image of the last ``draw``, u8 (H, W, 3). The next call overwrites it.

        ``backdrop``: the town's; with None, static things cast no shadows. ``half``: shade every second pixel of every
        second row only, as an image of that size: ((H + 1) / 2, (W + 1) / 2, 3).

        Raises:
            ValueError: Nothing was drawn ``lit``.
        """
        if self._drawn is None:
            raise ValueError("cannot shade: nothing was drawn with lit=True")
        listed, shot, to_sun, smooth = self._drawn
        lens, light, bodies = shot.lens, shot.light, shot.bodies
        planes = self._planes
        ids: np.ndarray = self._buffer.ids.reshape(self.height, self.width)
        if half:  # pixel x lies at 2 x: its x + 0.5 - cx is half of 2 x + 0.5 - cx of the whole image
            ids = np.ascontiguousarray(ids[::2, ::2])
            thinned = {name: np.ascontiguousarray(getattr(planes, name)[::2, ::2]) for name in _SHADED_BY}
            planes = planes._replace(**thinned, rgb=np.empty((*ids.shape, 3), np.uint8))
            centre = lens.cx / 2.0 + 0.25, lens.cy / 2.0 + 0.25
            lens = lens._replace(
                width=ids.shape[1], height=ids.shape[0], focal=lens.focal / 2.0, cx=centre[0], cy=centre[1]
            )
        assert planes.rgb is not None
        quarter = (ids.shape[0] + 1) // 2, (ids.shape[1] + 1) // 2
        moving = MovingLight(np.full((*quarter, 2), 255, np.uint8), np.zeros(quarter, np.uint8))
        shot = shot._replace(lens=lens)
        ahead = listed.matrices[:, 0, 3]
        near = np.flatnonzero((bodies[:, LENGTH] > 0.0) & (ahead > -SHADOW_BEHIND) & (ahead < SHADOW_AHEAD))
        cast_shadows(near, listed, shot, to_sun, bool(light.sun[1] > SUN_FLOOR), planes, moving)
        sources = ShadingSources(smooth, textures(), backdrop or _EMPTY, moving)
        arguments = ids, self._buffer, shot, sources, half
        run_in_bands(ids.shape[0], lambda first, last: shade(*arguments, first, last, planes), _is_alone())
        if light.wet > WETNESS_FLOOR:
            mirror(planes.rgb, planes.tag, light.wet, _REFLECTS)
        return planes.rgb

    @staticmethod
    def _check(scene: Scene, placements: Placements) -> None:
        """Raise ValueError for templates that do not exist or change topology."""
        both = np.concatenate([placements.template, placements.previous_template])
        if both.min() < 0 or both.max() >= scene.templates:
            bad = both.min() if both.min() < 0 else both.max()
            raise ValueError(f"no template {bad}: the scene has templates 0 to {scene.templates - 1}")
        if (scene.sizes[placements.template] != scene.sizes[placements.previous_template]).any():
            raise ValueError("a placement's previous template differs in topology: use phases of the same body")


def _is_alone() -> bool:
    """Return whether one thread renders: of two cores, the second one is the generator's unless it says otherwise."""
    return not is_second_free(default=cores() > 2)


def _inverse(pose: np.ndarray) -> np.ndarray:
    """Return the inverse of a rigid pose f64 (4, 4)."""
    result = np.eye(4)
    result[:3, :3] = pose[:3, :3].T
    result[:3, 3] = -pose[:3, :3].T @ pose[:3, 3]
    return result


def _object_matrices(
    placements: Placements, camera: np.ndarray, before: np.ndarray, pose: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the maps of N placements, f64 (N + 1, 3, 4) each, with those of the static world as number 0.

    These are camera <- local, previous camera <- local, previous camera <- camera, and local <- camera.
    """
    maps = np.empty((4, len(placements) + 1, 3, 4))
    now, then, inverses, warps = maps
    now[0], then[0], inverses[0] = camera[:3], before[:3], pose[:3]
    chain(camera, before, placements.pose, placements.previous_pose, now, then, inverses, warps)
    return now, then, warps, inverses
