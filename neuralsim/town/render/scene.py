"""The scene to draw: a static mesh, cut into chunks for frustum and occlusion culling, and templates.

Placements put templates into the world in each frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bridge.tags import Tag
from neuralsim.town.assets.lit_bodies import COLUMNS
from neuralsim.town.assets.meshes import ALWAYS, END, FAR, NEAR, PALETTE, Mesh
from neuralsim.town.render.raster_arrays import SceneArrays
from neuralsim.town.render.shading.daylight import HEADLAMPS, LAMPS, SIGNALS, TAIL_LAMPS
from neuralsim.town.render.shading.finishes import finishes

CHUNK = 24.0  # m, side of a chunk of the static mesh
#: Over the distances of the lens, the ones at which levels of detail end are shorter by this for vehicles and people.
_DETAIL = {Tag.CAR: 1.9, Tag.TRUCK: 1.7, Tag.BUS: 1.7} | dict.fromkeys(
    (Tag.PEDESTRIAN, Tag.RIDER, Tag.MOTORCYCLE, Tag.BICYCLE), 2.5
)


@dataclass
class Placements:
    """Placed templates (props and moving objects), as a structure of arrays of length N.

    ``template`` i32 (N,), index into the scene's templates; ``previous_template`` likewise for the frame before, which
    differs for bodies that change shape and must have the same topology; ``pose`` and ``previous_pose`` f64 (N, 4, 4),
    world <- local; ``instance`` u16 (N,), which also chooses the colours of clothes, hair and skin; ``colour`` u8
    (N, 3), RGB of the ``PAINT`` triangles;
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
        """Return ``count`` placements of template 0 at the origin, to be filled in."""
        eye = np.tile(np.eye(4), (count, 1, 1))
        zeros = np.zeros(count, np.int32)
        return Placements(
            zeros,
            zeros.copy(),
            eye,
            eye.copy(),
            np.zeros(count, np.uint16),
            np.full((count, 3), 128, np.uint8),
            zeros.copy(),
        )

    def chosen(self, rows: np.ndarray) -> Placements:
        """Return the placements in ``rows``, bool (N,) or indices."""
        return Placements(*(values[rows] for values in vars(self).values()))

    def __len__(self) -> int:
        return len(self.template)


class Scene:
    """The geometry: the static world and the templates of props and actors. ``arrays``: that for kernels.

    ``static`` has world coordinates; its triangles are grouped by the ``CHUNK`` cell of their centre. Triangles larger
    than a chunk are allowed but weaken culling.
    """

    def __init__(
        self,
        static: Mesh,
        templates: Sequence[Mesh],
        bodies: np.ndarray | None = None,
        normals: Sequence[np.ndarray] | None = None,
    ) -> None:
        """``bodies`` f32 (templates, K): see ``assets.lit_bodies``. None: moving bodies cast no shadows.

        ``normals`` i8 (T, 9) of each template, or (0, 9): see ``assets.meshes.corner_normals``. Without them, all
        triangles look flat.
        """
        fixed = _Stack([_Block(static, group) for group in _chunks(static)])
        moved = _template_stack(templates)
        self.chunks, self.templates = len(fixed.blocks), len(moved.blocks)
        vertices, self.static_triangles = len(fixed.vertices), len(fixed.triangles)  # these come first
        self.vertex_spans, self.triangle_spans, self.boxes, self.detail = (
            np.concatenate(parts)
            for parts in (
                (fixed.vertex_spans, moved.vertex_spans + np.int32(vertices)),
                (fixed.triangle_spans, moved.triangle_spans + np.int32(self.static_triangles)),
                (fixed.boxes, moved.boxes),
                (fixed.detail, moved.detail),
            )
        )
        self.vertices = np.ascontiguousarray(np.concatenate([fixed.vertices, moved.vertices]).T)  # (3, V)
        self.triangles = np.concatenate([fixed.triangles, moved.triangles + np.int32(vertices)])
        self.tags, self.instances, self.solid, self.colours, self.glow, self.finish, self.paint = (
            np.concatenate([getattr(fixed, name), getattr(moved, name)])
            for name in ("tags", "instances", "solid", "colours", "glow", "finish", "paint")
        )
        self.bodies = np.zeros((len(templates), COLUMNS), np.float32) if bodies is None else bodies
        self.normals = np.zeros((len(moved.triangles), 9), np.int8)
        for block, (first, end), mine in zip(
            moved.blocks, moved.triangle_spans[:, [NEAR, END]], normals or (), strict=False
        ):
            if len(mine):
                self.normals[first:end] = mine[block.source]
        self.sizes = np.diff(moved.triangle_spans[:, [NEAR, END]])[:, 0]  # triangles per template
        self.most_vertices = int(np.diff(self.vertex_spans[:, [NEAR, END]]).max(initial=1))
        self.arrays = SceneArrays(*(getattr(self, name) for name in SceneArrays._fields))

    def finest(self, part: int) -> np.ndarray:
        """Return the triangles of a part at the finest detail (levels ``NEAR`` and ``ALWAYS``), i64 (n,)."""
        return np.arange(self.triangle_spans[part, NEAR], self.triangle_spans[part, FAR])

    def finest_static(self) -> np.ndarray:
        """Return the triangles of the whole static mesh at the finest detail, i64 (n,)."""
        return np.concatenate([np.arange(0), *(self.finest(chunk) for chunk in range(self.chunks))])


class _Block:
    """One part of the scene. Triangles are sorted by level of detail, vertices by the levels that use them."""

    def __init__(self, mesh: Mesh, chosen: np.ndarray) -> None:
        levels = np.asarray(mesh.levels)[chosen]
        single = bool((levels == ALWAYS).all())  # true of most chunks: nothing needs sorting
        if not single:
            chosen = chosen[np.argsort(levels, kind="stable")]
            levels = np.sort(levels)
        used, corners = np.unique(mesh.triangles[chosen], return_inverse=True)
        corners = corners.astype(np.int32).reshape(-1, 3)
        group = np.full(len(used), ALWAYS)
        if not single:
            marks = np.zeros((END, len(used)), bool)  # which levels use a vertex
            for level in range(END):
                marks[level, corners[levels == level]] = True
            single_level = marks.sum(axis=0) == 1
            group[single_level] = marks.argmax(axis=0)[single_level]
            order = np.argsort(group, kind="stable")
            place = np.empty(len(used), np.int32)
            place[order] = np.arange(len(used))
            used, corners = used[order], place[corners]
        self.vertices = mesh.vertices[used]
        self.triangles = corners
        self.source = chosen
        self.detail = min((_DETAIL.get(Tag(tag), 1.0) for tag in np.unique(mesh.tags[chosen])), default=1.0)
        self.tags, self.colours = mesh.tags[chosen], mesh.colours[chosen]
        self.instances = np.asarray(mesh.instances)[chosen]
        self.solid = np.asarray(mesh.solid)[chosen]
        self.vertex_levels = _level_bounds(group)
        self.triangle_levels = _level_bounds(levels)
        low, high = (self.vertices.min(0), self.vertices.max(0)) if len(used) else (np.zeros(3), np.zeros(3))
        self.box = np.concatenate([(low + high) / 2.0, (high - low) / 2.0 + 1e-4]).astype(np.float64)


class _Stack:
    """Parts of the scene one after the other; triangles and spans count from the first vertex and triangle of these."""

    def __init__(self, blocks: list[_Block]) -> None:
        self.blocks = blocks
        vertices, triangles = (
            np.cumsum([0, *(len(getattr(block, name)) for block in blocks)]) for name in ("vertices", "triangles")
        )
        self.vertex_spans = _spans(vertices, [block.vertex_levels for block in blocks])
        self.triangle_spans = _spans(triangles, [block.triangle_levels for block in blocks])
        self.boxes = np.array([block.box for block in blocks], np.float64).reshape(-1, 6)
        self.detail = np.array([block.detail for block in blocks], np.float64)
        stacked = blocks or [_Block(Mesh.empty(), np.arange(0))]
        self.vertices, self.tags, self.instances, self.solid, self.colours = (
            np.concatenate([getattr(block, name) for block in stacked])
            for name in ("vertices", "tags", "instances", "solid", "colours")
        )
        self.triangles = np.concatenate(
            [block.triangles + np.int32(first) for first, block in zip(vertices, stacked, strict=False)]
        )
        self.glow, self.paint = (np.zeros(len(self.colours), np.uint8) for _ in range(2))
        for kind, shining in enumerate((SIGNALS, LAMPS, TAIL_LAMPS, HEADLAMPS), 1):
            for colour in shining:
                self.glow[(self.colours == np.array(colour, np.uint8)).all(axis=1)] = kind
        for k, colour in enumerate(PALETTE):
            self.paint[(self.colours == np.array(colour, np.uint8)).all(axis=1)] = k + 1
        self.finish = finishes(self.vertices, self.triangles, self.tags, self.colours)


def _spans(begins: np.ndarray, levels: list[list[int]]) -> np.ndarray:
    """Return where the levels of each part begin and end in the stack, i32 (N, END + 1)."""
    return np.array(levels, np.int32).reshape(-1, END + 1) + begins[: len(levels), None].astype(np.int32)


_last: list[tuple[list[Mesh], _Stack]] = []


def _template_stack(templates: Sequence[Mesh]) -> _Stack:
    """Return the stack of these templates. All towns of a process have the same: the last one is kept."""
    if not _last or [*map(id, _last[0][0])] != [*map(id, templates)]:
        stack = _Stack([_Block(mesh, np.arange(len(mesh.triangles))) for mesh in templates])
        _last[:] = [(list(templates), stack)]
    return _last[0][1]


def _level_bounds(levels: np.ndarray) -> list[int]:
    """Return the start of each level in sorted ``levels``, and the end."""
    return [*(int((levels < level).sum()) for level in range(END)), len(levels)]


def _chunks(mesh: Mesh) -> list[np.ndarray]:
    """Return the triangle indices of each non-empty cell of a grid on the ground."""
    if not len(mesh.triangles):
        return []
    cell = np.floor(mesh.vertices[mesh.triangles, :2].mean(axis=1) / CHUNK).astype(np.int64)
    key = (cell[:, 0] - cell[:, 0].min()) * (np.ptp(cell[:, 1]) + 1) + cell[:, 1] - cell[:, 1].min()
    order = np.argsort(key, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(key[order])) + 1)
