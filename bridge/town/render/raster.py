"""Software rasteriser: tag, instance, depth, backward motion and a shaded picture of a scene, in one pass.

The scene is a static mesh, cut into chunks that are culled by view and by occlusion, and templates that placements put
into the world each frame. Everything per pixel and per triangle runs compiled (``raster_kernels``), on one core.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bridge.tags import Tag
from bridge.town.assets.meshes import ALWAYS, FAR, NEAR, PAINT, Mesh
from bridge.town.render import raster_kernels as kernels
from bridge.town.render.daylight import LAMPS, SIGNALS, Air, daylight

CHUNK = 24.0  # m, side of a chunk of the static mesh
FAR_LEVEL = 8.0  # pixels per metre, below which parts are drawn in their FAR level of detail
FAR_PLANE = 1000.0  # m, depth of the sky


@dataclass
class Placements:
    """Things that move, as a structure of arrays of length N.

    ``template`` i32 (N,), index into the scene's templates; ``previous_template`` likewise for the frame before, which
    differs for bodies that change shape and must have the same topology; ``pose`` and ``previous_pose`` f64 (N, 4, 4),
    world <- local; ``instance`` u16 (N,); ``colour`` u8 (N, 3), RGB of the ``PAINT`` triangles.
    """

    template: np.ndarray
    previous_template: np.ndarray
    pose: np.ndarray
    previous_pose: np.ndarray
    instance: np.ndarray
    colour: np.ndarray

    @staticmethod
    def empty(count: int = 0) -> Placements:
        """``count`` placements of template 0 at the origin, to be filled in."""
        eye = np.tile(np.eye(4), (count, 1, 1))
        zeros = np.zeros(count, np.int32)
        return Placements(
            zeros, zeros.copy(), eye, eye.copy(), np.zeros(count, np.uint16), np.full((count, 3), 128, np.uint8)
        )

    def __len__(self) -> int:
        return len(self.template)


@dataclass
class Planes:
    """What a camera sees.

    ``tag`` u8 (H, W); ``instance`` u16 (H, W); ``depth`` f32 (H, W), metres along the camera's axis, 1000 for the sky;
    ``motion`` f32 (H, W, 2), pixels, to where the surface point was in the previous frame, minus the pixel's centre;
    ``rgb`` u8 (H, W, 3) or None.
    """

    tag: np.ndarray
    instance: np.ndarray
    depth: np.ndarray
    motion: np.ndarray
    rgb: np.ndarray | None


class Scene:
    """What can be drawn: the static world and the templates of moving things.

    ``static`` has world coordinates; its triangles are grouped by the ``CHUNK`` cell of their centre. Triangles larger
    than a chunk are welcome but weaken culling.
    """

    def __init__(self, static: Mesh, templates: Sequence[Mesh]) -> None:
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
        self.paint = (self.colours == np.array(PAINT, np.uint8)).all(axis=1)
        self.sizes = self.parts[self.chunks :, 7] - self.parts[self.chunks :, 4]  # triangles per template
        self.most_vertices = int((self.parts[:, 3] - self.parts[:, 0]).max(initial=1))


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
        self.focal = width / (2.0 * float(np.tan(np.radians(fov) / 2.0)))
        self._planes = Planes(
            np.empty((height, width), np.uint8),
            np.empty((height, width), np.uint16),
            np.empty((height, width), np.float32),
            np.empty((height, width, 2), np.float32),
            np.empty((height, width, 3), np.uint8),
        )
        self._nearness = np.empty((height, width), np.float32)
        self._ids = np.empty((height, width), np.int32)
        self._tiles = np.zeros((-(-height // kernels.TILE), -(-width // kernels.TILE)), np.float32)
        self._rows = np.empty((2, width), np.float32)
        self._grow(1, 1, 1)

    def _grow(self, triangles: int, vertices: int, candidates: int) -> None:
        self._source = np.empty(triangles, np.int32)
        self._owner = np.empty(triangles, np.int32)
        self._label = np.empty(triangles, np.uint32)
        self._label[0] = Tag.SKY << 16
        self._owner[0] = 0
        self._shaded = np.empty((3, triangles), np.float32)
        self._shaded[:, 0] = 0.0
        self._points = np.empty((5, vertices))
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
    ) -> Planes:
        """Planes seen from ``pose`` (f64 (4, 4), world <- camera), motion towards ``previous_pose``.

        ``sun``: altitude and azimuth in degrees, or all of an ``Air``; ``hide``: instance of placements that are not
        drawn (0: none). Planes belong to the rasteriser and are overwritten by its next call. Raises ValueError for
        templates that do not exist or change topology between the frames.
        """
        count = len(placements)
        camera, before = _inverse(pose), _inverse(previous_pose)
        matrices, previous, warps = _object_matrices(placements, camera, before, pose)
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
            triangles >= len(self._source)
            or scene.most_vertices > self._points.shape[1]
            or len(part_of) > len(self._chosen)
        ):
            # With room for some more: what comes and goes is no reason to begin with cold memory in every other frame.
            self._grow(
                max(triangles * 5 // 4 + 1, len(self._source)),
                max(scene.most_vertices, self._points.shape[1]),
                max(len(part_of) * 5 // 4, len(self._chosen)),
            )
        kept = kernels.select(
            scene.boxes, part_of, matrices, object_of,
            self.width / 2.0 / self.focal, self.height / 2.0 / self.focal, FAR_PLANE, self._chosen, self._keys,
        )  # fmt: skip
        order = np.argsort(self._keys[:kept], kind="stable")
        colours = np.zeros((count + 1, 3), np.uint8)
        colours[1:] = placements.colour
        instances = np.zeros(count + 1, np.uint16)
        instances[1:] = placements.instance
        light, sky = daylight(Air(*sun), camera)
        self._nearness.fill(0.0)
        self._ids.fill(0)
        self._tiles.fill(0.0)
        kernels.draw(
            scene.vertices, scene.triangles, scene.tags, scene.instances, scene.solid, scene.colours, scene.paint,
            scene.glow, scene.parts, scene.boxes, part_of, matrices, object_of, colours, instances,
            self._chosen[:kept][order], self._keys[:kept][order], self.focal / FAR_LEVEL, self.focal, light,
            self.width, self.height, self._nearness.reshape(-1), self._ids.reshape(-1), self._tiles,
            self._points, self._source, self._owner, self._label, self._shaded, rgb,
        )  # fmt: skip
        planes = self._planes
        kernels.resolve(
            self._nearness, self._ids, self._source, self._owner, self._label, self._shaded, scene.vertices,
            scene.triangles, shift, matrices, previous, warps, self.focal, sky, camera[:3, 2].copy(), self._rows,
            planes.tag, planes.instance, planes.depth, planes.motion, planes.rgb, rgb,
        )  # fmt: skip
        return planes if rgb else Planes(planes.tag, planes.instance, planes.depth, planes.motion, None)

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
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Camera <- local, previous camera <- local, previous camera <- camera; f64 (N + 1, 3, 4), entry 0 static."""
    count = len(placements)
    now, then, warps = np.empty((count + 1, 4, 4)), np.empty((count + 1, 4, 4)), np.empty((count + 1, 4, 4))
    now[0], then[0], warps[0] = camera, before, before @ pose
    if count:
        now[1:] = camera @ placements.pose
        then[1:] = before @ placements.previous_pose
        warps[1:] = then[1:] @ np.linalg.inv(now[1:])
    return tuple(np.ascontiguousarray(m[:, :3]) for m in (now, then, warps))  # type: ignore[return-value]
