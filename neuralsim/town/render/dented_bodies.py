"""Bodies of their own for vehicles that are dented: copies of their templates in spare room of a scene."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from neuralsim.town.assets.meshes import END, NEAR, Mesh, corner_normals
from neuralsim.town.dynamics.damage import Dent
from neuralsim.town.render.raster_arrays import PLAIN, WINDOW, SceneArrays
from neuralsim.town.render.scene import Scene

SLOTS = 16  # dented bodies at a time; the one dented first looks whole again
_PER_TRIANGLE = "triangles", "tags", "instances", "solid", "colours", "glow", "finish", "paint", "normals"
_PER_PART = "vertex_spans", "triangle_spans", "boxes", "detail"
_FADE_ALONG = 0.3  # m, over which a dent fades along the body, beyond the edge that was hit
_FADE_UP = 0.4  # m, over which it fades in height
_CRUMPLE = 0.35  # of the depth, of creases
_TAIL_LAMP, _HEADLAMP = 3, 4  # of ``SceneArrays.glow``
_DEAD_LAMP = 44, 44, 46  # RGB
_SPLINTER_COLOUR = 168, 174, 176  # RGB of splintered glass
_LAMP_REACH = 0.5  # m from a dent within which lamps break
_LAMP_DEPTH = 0.06  # m of depth from which on they do
_GLASS_REACH = 0.75  # m from a dent within which glass splinters
_GLASS_DEPTH = 0.2  # m of depth from which on it does


class DentedBodies:
    """``scene``: one with room for the dented bodies; ``template``: which of its templates shows a key's body."""

    def __init__(self, scene: Scene, templates: Sequence[int]) -> None:
        """``scene``: it is not changed, but copied. ``templates``: those that may be dented."""
        parts = scene.chunks + np.asarray(templates)
        vertices, triangles = (
            int(np.diff(spans[parts][:, [NEAR, END]]).max()) for spans in (scene.vertex_spans, scene.triangle_spans)
        )
        self._first = scene.templates
        self._room = scene.vertices.shape[1], len(scene.triangles), vertices, triangles
        self.scene = _with_room(scene, SLOTS * vertices, SLOTS * triangles)
        self.template: dict[int, int] = {}

    def show(self, key: int, template: int, dents: Sequence[Dent]) -> None:
        """Show the body of ``template`` with these dents as that of ``key``."""
        if key not in self.template:
            if len(self.template) == SLOTS:
                del self.template[next(iter(self.template))]
            free = set(range(self._first, self._first + SLOTS)) - set(self.template.values())
            self.template[key] = min(free)
        self._write(self.template[key], template, dents)

    def _write(self, slot: int, template: int, dents: Sequence[Dent]) -> None:
        scene, (vertices, triangles, most_vertices, most_triangles) = self.scene, self._room
        source, part = scene.chunks + template, scene.chunks + slot
        v, t = scene.vertex_spans[source, NEAR], scene.triangle_spans[source, NEAR]
        number = slot - self._first
        to_v, to_t = vertices + number * most_vertices - v, triangles + number * most_triangles - t
        bent = np.s_[v : scene.vertex_spans[source, END]], np.s_[t : scene.triangle_spans[source, END]]
        mine = tuple(
            np.s_[each.start + shift : each.stop + shift] for each, shift in zip(bent, (to_v, to_t), strict=True)
        )
        body = scene.vertices[:, bent[0]].T
        moved = _bent(body, dents)
        scene.vertices[:, mine[0]] = moved.T
        for name in _PER_TRIANGLE[:-1]:
            array = getattr(scene, name)
            array[mine[1]] = array[bent[1]]
        scene.triangles[mine[1]] += np.int32(to_v)
        for name in _PER_PART:
            array = getattr(scene, name)
            array[part] = array[source]
        scene.vertex_spans[part] += np.int32(to_v)
        scene.triangle_spans[part] += np.int32(to_t)
        scene.sizes[slot], scene.bodies[slot] = scene.sizes[template], scene.bodies[template]
        local = scene.triangles[bent[1]] - np.int32(v)
        levels = np.repeat(np.arange(END), np.diff(scene.triangle_spans[source]))
        whole = Mesh(moved, local, scene.tags[bent[1]], scene.colours[bent[1]], levels=levels)
        static = scene.static_triangles
        scene.normals[mine[1].start - static : mine[1].stop - static] = corner_normals(whole)
        self._break(mine[1], body[local].mean(axis=1), dents)

    def _break(self, rows: slice, centres: np.ndarray, dents: Sequence[Dent]) -> None:
        """Put out lamps and splinter glass near the dents; ``centres`` f64 (n, 3) of the triangles in ``rows``."""
        scene = self.scene
        away = np.array([np.linalg.norm(centres - dent.place, axis=1) - dent.wide for dent in dents])
        depth = np.array([dent.depth for dent in dents])[:, None]
        dead = ((away < _LAMP_REACH) & (depth > _LAMP_DEPTH)).any(axis=0)
        dead &= np.isin(scene.glow[rows], (_TAIL_LAMP, _HEADLAMP))
        cracked = ((away < _GLASS_REACH) & (depth > _GLASS_DEPTH)).any(axis=0) & (scene.finish[rows] == WINDOW)
        for hit, colour in ((dead, _DEAD_LAMP), (cracked, _SPLINTER_COLOUR)):
            where = rows.start + np.flatnonzero(hit)
            scene.colours[where], scene.glow[where], scene.paint[where], scene.finish[where] = colour, 0, 0, PLAIN


def _with_room(scene: Scene, vertices: int, triangles: int) -> Scene:
    """Return a copy of a scene with room for that many more vertices and triangles, and ``SLOTS`` more templates."""

    def longer(array: np.ndarray, more: int) -> np.ndarray:
        return np.concatenate([array, np.zeros((more, *array.shape[1:]), array.dtype)])

    roomy = copy.copy(scene)
    roomy.vertices = np.concatenate([scene.vertices, np.zeros((3, vertices), scene.vertices.dtype)], axis=1)
    for names, more in ((_PER_TRIANGLE, triangles), (_PER_PART, SLOTS), (("sizes", "bodies"), SLOTS)):
        for name in names:
            setattr(roomy, name, longer(getattr(scene, name), more))
    roomy.templates += SLOTS
    roomy.arrays = SceneArrays(*(getattr(roomy, name) for name in SceneArrays._fields))
    return roomy


def _bent(body: np.ndarray, dents: Sequence[Dent]) -> np.ndarray:
    """Return the vertices f32 (V, 3) of a body with its dents: no surface is pushed through the one behind it."""
    moved = body.astype(np.float64)
    crease = np.sin(23.0 * body[:, 0] + 7.0) * np.sin(19.0 * body[:, 1] + 3.0) * np.sin(29.0 * body[:, 2])
    for dent in dents:
        inwards = np.array([*dent.inwards, 0.0])
        offset = moved - dent.place
        along = offset @ inwards
        aside = np.abs(offset @ (-inwards[1], inwards[0], 0.0))
        beyond = np.maximum(aside - dent.wide, 0.0) / (_FADE_ALONG + dent.depth)
        high = offset[:, 2] / (_FADE_UP + dent.depth)
        depth = dent.depth * np.exp(-(beyond**2) - high**2) * (1.0 + _CRUMPLE * crease)
        inside = np.exp(-np.maximum(along, 0.0) / (1.6 * dent.depth + 0.25))
        moved += (depth * inside)[:, None] * inwards
    return moved.astype(np.float32)
