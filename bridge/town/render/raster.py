"""Software rasteriser: tag, instance, depth, backward motion and a shaded picture of a scene, in one pass.

The scene is a static mesh, cut into chunks that are culled by view and by occlusion, and templates that placements put
into the world each frame. Everything per pixel and per triangle runs compiled (``raster_kernels``), on one core.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bridge.geometry import focal_length
from bridge.jitter import NONE, Jitter
from bridge.tags import Tag
from bridge.town.assets.bodies import COLUMNS, LENGTH, LIT, LOW_BEAM
from bridge.town.assets.meshes import ALWAYS, FAR, NEAR, PAINT, Mesh
from bridge.town.render import backdrop as backdrops
from bridge.town.render import raster_kernels as kernels
from bridge.town.render.cast_kernels import cast_shadows, mirror
from bridge.town.render.daylight import LAMPS, SIGNALS, Atmosphere, daylight
from bridge.town.render.finishes import finishes, textures
from bridge.town.render.raster_kernels import Planes
from bridge.town.render.shading_kernels import Backdrop, Light, shade

CHUNK = 24.0  # m, side of a chunk of the static mesh
FAR_LEVEL = 8.0  # pixels per metre, below which parts are drawn in their FAR level of detail
FAR_PLANE = 1000.0  # m, depth of the sky
_CASTS_WITHIN, _CASTS_AHEAD = 70.0, 12.0  # m before and behind the camera, of bodies that cast shadows as they move
_LEAST_SUN = 0.02  # of its light, below which it casts no shadows that can be seen
_LEAST_WET = 0.05
_REFLECTS = np.zeros(256, np.float32)
_REFLECTS[[Tag.ROAD, Tag.ROAD_LINE, Tag.SIDEWALK]] = 0.55, 0.4, 0.3
_EMPTY = backdrops.empty()


@dataclass
class Placements:
    """Placed templates (props and moving objects), as a structure of arrays of length N.

    ``template`` i32 (N,), index into the scene's templates; ``previous_template`` likewise for the frame before, which
    differs for bodies that change shape and must have the same topology; ``pose`` and ``previous_pose`` f64 (N, 4, 4),
    world <- local; ``instance`` u16 (N,); ``colour`` u8 (N, 3), RGB of the ``PAINT`` triangles;
    ``lights`` i32 (N,), bits of ``carla.VehicleLightState``.
    """

    template: np.ndarray
    previous_template: np.ndarray
    pose: np.ndarray
    previous_pose: np.ndarray
    instance: np.ndarray
    colour: np.ndarray
    lights: np.ndarray

    @staticmethod
    def empty(count: int = 0) -> Placements:
        """``count`` placements of template 0 at the origin, to be filled in."""
        eye = np.tile(np.eye(4), (count, 1, 1))
        zeros = np.zeros(count, np.int32)
        return Placements(
            zeros, zeros.copy(), eye, eye.copy(), np.zeros(count, np.uint16), np.full((count, 3), 128, np.uint8),
            zeros.copy(),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.template)


class Scene:
    """The drawable geometry: the static world and the templates of props and actors. ``arrays``: for kernels.

    ``static`` has world coordinates; its triangles are grouped by the ``CHUNK`` cell of their centre. Triangles larger
    than a chunk are allowed but weaken culling.
    """

    def __init__(self, static: Mesh, templates: Sequence[Mesh], bodies: np.ndarray | None = None) -> None:
        """``bodies`` f32 (templates, K): ``bridge.town.assets.bodies``, None: nothing casts shadows as it moves."""
        blocks = [_Block(static, group) for group in _chunks(static)]
        self.chunks = len(blocks)
        blocks += [_Block(mesh, np.arange(len(mesh.triangles))) for mesh in templates]
        self.templates = len(templates)
        vertex = triangle = 0
        parts = []
        for block in blocks:
            parts.append([vertex + v for v in block.vertex_levels] + [triangle + t for t in block.triangle_levels])
            block.triangles += vertex
            vertex += len(block.vertices)
            triangle += len(block.triangles)
        none = _Block(Mesh.empty(), np.arange(0))
        stacked = blocks or [none]
        self.parts = np.array(parts, np.int32).reshape(-1, 8)
        self.boxes = np.array([block.box for block in blocks], np.float64).reshape(-1, 6)
        self.vertices = np.ascontiguousarray(np.concatenate([block.vertices for block in stacked]).T)  # (3, V)
        self.triangles = np.concatenate([block.triangles for block in stacked])
        self.tags = np.concatenate([block.tags for block in stacked])
        self.instances = np.concatenate([block.instances for block in stacked])
        self.solid = np.concatenate([block.solid for block in stacked])
        self.colours = np.concatenate([block.colours for block in stacked])
        self.glow = np.zeros(len(self.colours), np.uint8)  # 1 always, 2 when it is dark
        for kind, shining in ((1, SIGNALS), (2, LAMPS)):
            for colour in shining:
                self.glow[(self.colours == np.array(colour, np.uint8)).all(axis=1)] = kind
        self.finish = finishes(self.vertices.T, self.triangles, self.tags, self.colours)
        self.bodies = np.zeros((len(templates), COLUMNS), np.float32) if bodies is None else bodies
        self.paint = (self.colours == np.array(PAINT, np.uint8)).all(axis=1)
        self.sizes = self.parts[self.chunks :, 7] - self.parts[self.chunks :, 4]  # triangles per template
        self.most_vertices = int((self.parts[:, 3] - self.parts[:, 0]).max(initial=1))
        self.arrays = kernels.SceneArrays(*(getattr(self, name) for name in kernels.SceneArrays._fields))


class _Block:
    """One part of the scene: its triangles sorted by level of detail, its vertices by the levels that need them."""

    def __init__(self, mesh: Mesh, chosen: np.ndarray) -> None:
        levels = np.asarray(mesh.levels)[chosen]
        chosen = chosen[np.argsort(levels, kind="stable")]
        levels = np.sort(levels)
        used, corners = np.unique(mesh.triangles[chosen], return_inverse=True)
        corners = corners.reshape(-1, 3)
        group = np.full(len(used), ALWAYS)
        marks = np.zeros((3, len(used)), bool)  # which levels need a vertex
        for level in (NEAR, ALWAYS, FAR):
            marks[level, corners[levels == level]] = True
        for level in (NEAR, FAR):
            group[marks[level] & (marks.sum(axis=0) == 1)] = level
        order = np.argsort(group, kind="stable")
        place = np.empty(len(used), np.int32)
        place[order] = np.arange(len(used))
        self.vertices = mesh.vertices[used[order]]
        self.triangles = place[corners].astype(np.int32).reshape(-1, 3)
        self.tags, self.colours = mesh.tags[chosen], mesh.colours[chosen]
        self.instances = np.asarray(mesh.instances)[chosen]
        self.solid = np.asarray(mesh.solid)[chosen]
        self.vertex_levels = _level_bounds(group)
        self.triangle_levels = _level_bounds(levels)
        low, high = (self.vertices.min(0), self.vertices.max(0)) if len(used) else (np.zeros(3), np.zeros(3))
        self.box = np.concatenate([(low + high) / 2.0, (high - low) / 2.0 + 1e-4]).astype(np.float64)


def _level_bounds(levels: np.ndarray) -> list[int]:
    return [0, int((levels < ALWAYS).sum()), int((levels <= ALWAYS).sum()), len(levels)]


def _chunks(mesh: Mesh) -> list[np.ndarray]:
    """Triangle indices of each non-empty cell of the ground grid."""
    if not len(mesh.triangles):
        return []
    cell = np.floor(mesh.vertices[mesh.triangles, :2].mean(axis=1) / CHUNK).astype(np.int64)
    key = (cell[:, 0] - cell[:, 0].min()) * (np.ptp(cell[:, 1]) + 1) + cell[:, 1] - cell[:, 1].min()
    order = np.argsort(key, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(key[order])) + 1)


class Rasteriser:
    """A pinhole camera of fixed size: focal length width / (2 tan(fov / 2)), principal point (width / 2, height / 2).

    ``fov`` is horizontal, degrees. Raises ValueError for sizes below 1 or a field of view outside (0, 180).
    """

    def __init__(self, width: int, height: int, fov: float) -> None:
        if width < 1 or height < 1 or not 0.0 < fov < 180.0:
            raise ValueError(f"camera {width}x{height} with fov {fov}: give sizes of 1 or more and 0 < fov < 180")
        self.width, self.height, self.fov = width, height, fov
        self.focal = focal_length(width, fov)
        self._lens = kernels.Lens(width, height, self.focal, width / 2.0, height / 2.0, self.focal / FAR_LEVEL)
        self._planes = Planes(
            np.empty((height, width), np.uint8),
            np.empty((height, width), np.uint16),
            np.empty((height, width), np.float32),
            np.empty((height, width, 2), np.float32),
            np.empty((height, width, 3), np.uint8),
        )
        self._row = np.empty(width, np.float32)
        half = (height + 1) // 2, (width + 1) // 2
        self._cast, self._beams = np.empty((*half, 2), np.uint8), np.empty(half, np.uint8)
        self._grow(1, 1, 1)

    def _grow(self, triangles: int, vertices: int, candidates: int) -> None:
        self._buffer = kernels.VisibilityBuffer(
            nearness=np.empty(self.height * self.width, np.float32),
            ids=np.empty(self.height * self.width, np.int32),
            tiles=np.zeros((-(-self.height // kernels.TILE), -(-self.width // kernels.TILE)), np.float32),
            source=np.empty(triangles, np.int32),
            owner=np.empty(triangles, np.int32),
            label=np.empty(triangles, np.uint32),
            shaded=np.empty((triangles, 9), np.float32),
            points=np.empty((5, vertices)),
        )
        self._buffer.label[0] = Tag.SKY << 16
        self._buffer.owner[0] = 0
        self._buffer.shaded[0] = 0.0
        self._chosen = np.empty(candidates, np.int64)
        self._keys = np.empty(candidates)

    def render(
        self,
        scene: Scene,
        placements: Placements,
        pose: np.ndarray,
        previous_pose: np.ndarray,
        *,
        sun: tuple[float, ...] = (45.0, 30.0),
        hide: int = 0,
        rgb: bool = True,
        jitter: Jitter = NONE,
        backdrop: Backdrop | None = None,
    ) -> Planes:
        """Planes seen from ``pose`` (f64 (4, 4), world <- camera), motion towards ``previous_pose``.

        ``jitter``: pixels (right, down) by which the principal point, and with it the whole picture, is shifted; motion
        is what it is without jitter in either frame. ``scene`` with ``placements`` in it; ``sun``: altitude and azimuth
        in degrees, or all of an ``Atmosphere``; ``hide``: instance of placements that are not drawn (0: none); ``rgb``:
        whether to shade; ``backdrop``: of the town, None: nothing that stands still casts shadows. Planes belong to the
        rasteriser and are overwritten by its next call. Raises ValueError for templates that do not exist or change
        topology between the frames.
        """
        count = len(placements)
        camera, before = _inverse(pose), _inverse(previous_pose)
        matrices, previous, warps, inverses = _object_matrices(placements, camera, before, pose)
        shift = np.zeros(count + 1, np.int32)
        seen = np.arange(count)
        if count:
            self._check(scene, placements)
            first = scene.parts[scene.chunks :, 4]
            shift[1:] = first[placements.previous_template] - first[placements.template]
            if hide:
                seen = seen[placements.instance != hide]
        part_of = np.concatenate([np.arange(scene.chunks), scene.chunks + placements.template[seen]]).astype(np.int32)
        object_of = np.concatenate([np.zeros(scene.chunks, np.int64), seen + 1]).astype(np.int32)

        triangles = (
            len(scene.triangles) + int(scene.sizes[placements.template[seen]].sum()) if count else len(scene.triangles)
        )
        if (
            triangles >= len(self._buffer.source)
            or scene.most_vertices > self._buffer.points.shape[1]
            or len(part_of) > len(self._chosen)
        ):
            # With room for some more: what comes and goes is no reason to begin with cold memory in every other frame.
            self._grow(
                max(triangles * 5 // 4 + 1, len(self._buffer.source)),
                max(scene.most_vertices, self._buffer.points.shape[1]),
                max(len(part_of) * 5 // 4, len(self._chosen)),
            )
        colours = np.zeros((count + 1, 3), np.uint8)
        colours[1:] = placements.colour
        instances = np.zeros(count + 1, np.uint16)
        instances[1:] = placements.instance
        listed = kernels.DrawList(part_of, object_of, matrices, colours, instances)
        lens = self._lens._replace(cx=self.width / 2.0 + jitter[0], cy=self.height / 2.0 + jitter[1])
        kept = kernels.select(scene.boxes, listed, lens, FAR_PLANE, self._chosen, self._keys)
        order = np.argsort(self._keys[:kept], kind="stable")
        light = daylight(Atmosphere(*sun))
        buffer, planes = self._buffer, self._planes
        buffer.nearness.fill(0.0)
        buffer.ids.fill(0)
        buffer.tiles.fill(0.0)
        chosen, keys = self._chosen[:kept][order], self._keys[:kept][order]
        towards = np.concatenate([camera[:3, :3] @ light.to_sun, camera[:3, 2], [light.dark]])
        kernels.draw(scene.arrays, listed, chosen, keys, lens, towards, buffer, rgb)
        motions = kernels.Motions(shift, previous, warps)
        kernels.resolve(buffer, scene.arrays, matrices, motions, lens, self._row, planes)
        if rgb:
            self._shade(scene, placements, listed, inverses, pose, towards, light, lens, hide, backdrop or _EMPTY)
        return planes if rgb else planes._replace(rgb=None)

    def _shade(
        self,
        scene: Scene,
        placements: Placements,
        listed: kernels.DrawList,
        inverses: np.ndarray,
        pose: np.ndarray,
        towards: np.ndarray,
        light: Light,
        lens: kernels.Lens,
        hide: int,
        backdrop: Backdrop,
    ) -> None:
        """The picture, from the planes and the buffer that were just drawn; arguments as in ``render``."""
        planes, cast, beams = self._planes, self._cast, self._beams
        assert planes.rgb is not None
        bodies = np.zeros((len(placements) + 1, COLUMNS), np.float32)
        bodies[1:] = scene.bodies[placements.template]
        bodies[1:, LIT] = placements.lights
        if hide and light.dark > 0.0:  # who drives has no key for headlamps
            bodies[1:, LIT] += LOW_BEAM * ((placements.instance == hide) & (placements.lights & LOW_BEAM == 0))
        cast.fill(255)
        beams.fill(0)
        ahead = listed.matrices[:, 0, 3]
        near = np.flatnonzero((bodies[:, LENGTH] > 0.0) & (ahead > -_CASTS_AHEAD) & (ahead < _CASTS_WITHIN))
        shining = bool(light.sun[1] > _LEAST_SUN)
        seen = planes.depth, planes.instance
        cast_shadows(bodies, near, listed, inverses, towards[:3], shining, light.dark, lens, *seen, cast, beams)
        ids = self._buffer.ids.reshape(self.height, self.width)
        shade(
            ids, self._buffer, bodies, inverses, pose, textures(), backdrop, light, lens, cast, beams,
            planes,
        )  # fmt: skip
        if light.wet > _LEAST_WET:
            mirror(planes.rgb, planes.tag, light.wet, _REFLECTS)

    @staticmethod
    def _check(scene: Scene, placements: Placements) -> None:
        both = np.concatenate([placements.template, placements.previous_template])
        if both.min() < 0 or both.max() >= scene.templates:
            raise ValueError(f"placement of template {both.max()}: the scene has {scene.templates}")
        if (scene.sizes[placements.template] != scene.sizes[placements.previous_template]).any():
            raise ValueError("a placement's previous template has another topology: use phases of the same body")


def _inverse(pose: np.ndarray) -> np.ndarray:
    """Inverse of a rigid 4x4 pose."""
    result = np.eye(4)
    result[:3, :3] = pose[:3, :3].T
    result[:3, 3] = -pose[:3, :3].T @ pose[:3, 3]
    return result


def _object_matrices(
    placements: Placements, camera: np.ndarray, before: np.ndarray, pose: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Camera <- local, previous camera <- local, previous camera <- camera, local <- camera; f64 (N + 1, 3, 4), entry 0
    static."""
    count = len(placements)
    now, then, warps = np.empty((count + 1, 4, 4)), np.empty((count + 1, 4, 4)), np.empty((count + 1, 4, 4))
    inverse = np.empty((count + 1, 4, 4))
    now[0], then[0], warps[0], inverse[0] = camera, before, before @ pose, pose
    if count:
        now[1:] = camera @ placements.pose
        then[1:] = before @ placements.previous_pose
        inverse[1:] = np.linalg.inv(now[1:])
        warps[1:] = then[1:] @ inverse[1:]
    return tuple(np.ascontiguousarray(m[:, :3]) for m in (now, then, warps, inverse))  # type: ignore[return-value]
