"""What a camera is shown: poses now and a tick ago, scenery near enough to matter, and pictures shared between
sensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bridge.town.actors import Actor, Transform
from bridge.town.raster import Placements, Planes, Rasteriser, Scene
from bridge.town.site import Prop
from bridge.town.templates import templates

REACH = (60.0, 30.0, 220.0)  # m, props are drawn to this distance: least, and more per metre of their size, at most
View = tuple[int, int, float, bytes]  # width, height, field of view, pose


@dataclass
class Poses:
    """All actors at one moment: ``row`` by actor id; ``matrix`` f64 (N, 4, 4); ``template`` i32 (N,), -1 = unseen."""

    row: dict[int, int]
    ids: np.ndarray
    matrix: np.ndarray
    template: np.ndarray
    colour: np.ndarray

    @staticmethod
    def of(actors: Sequence[Actor], matrix: np.ndarray) -> Poses:
        return Poses(
            row={actor.id: k for k, actor in enumerate(actors)},
            ids=np.array([actor.id for actor in actors], np.int64),
            matrix=matrix,
            template=np.array([actor.template for actor in actors], np.int32),
            colour=np.array([_colour(actor.attributes.get("color", "")) for actor in actors], np.uint8).reshape(-1, 3),
        )


class Stage:
    """The scene, its props and the pictures of this tick. ``fresh``: poses now, None when something has changed."""

    def __init__(self, scene: Scene, props: Sequence[Prop], first_instance: int) -> None:
        self.scene = scene
        self.fresh: Poses | None = None
        self._last: Poses | None = None
        book = templates()
        self.props = Placements.empty(len(props))
        self.props.template = np.array([book.index[prop.kind] for prop in props], np.int32)
        self.props.previous_template = self.props.template
        self.props.pose = matrices_of([Transform(p.x, p.y, p.z, 0.0, p.yaw, 0.0) for p in props])
        self.props.pose[:, :3, :3] *= np.array([prop.scale for prop in props]).reshape(-1, 1, 1)
        self.props.instance = (first_instance + np.arange(len(props))).astype(np.uint16)
        self.props.colour = np.array([prop.colour for prop in props], np.uint8).reshape(-1, 3)
        self._places = np.ascontiguousarray(self.props.pose[:, :3, 3])
        radius = np.array([np.abs(np.stack(mesh.bounds)).max() for mesh in book.meshes])
        self._radius = radius[self.props.template] * np.array([prop.scale for prop in props])
        self._reach = np.minimum(REACH[0] + REACH[1] * self._radius, REACH[2])
        self._slots: dict[tuple[int, int, float], list[Rasteriser]] = {}
        self._used: dict[tuple[int, int, float], int] = {}
        self._pictures: dict[tuple[View, int], Planes] = {}

    def changed(self) -> None:
        """Forget the poses and pictures of now."""
        self.fresh = None
        self._pictures.clear()
        self._used.clear()

    def remember(self, poses: Poses) -> None:
        """Take these as the poses of the previous tick."""
        self._last = poses
        self.changed()

    def picture(self, poses: Poses, camera: int, view: View, sun: tuple[float, ...], hide: int, rgb: bool) -> Planes:
        """Planes of a view, rendered once per moment; cameras that look alike get the same ones."""
        known = self._pictures.get((view, hide))
        if known is not None and (known.rgb is not None or not rgb):
            return known
        lens = view[:3]
        slots, used = self._slots.setdefault(lens, []), self._used.get(lens, 0)
        if used == len(slots):
            slots.append(Rasteriser(*lens))
        self._used[lens] = used + 1
        pose = poses.matrix[poses.row[camera]]
        last = self._last or poses
        before = last.matrix[last.row[camera]] if camera in last.row else pose
        planes = slots[used].render(
            self.scene, self._placements(poses, last, pose, slots[used]), pose, before, sun=sun, hide=hide, rgb=rgb
        )
        self._pictures[view, hide] = planes
        return planes

    def _placements(self, poses: Poses, last: Poses, camera: np.ndarray, eye: Rasteriser) -> Placements:
        seen = np.flatnonzero(poses.template >= 0)
        rows = np.array([last.row.get(int(k), -1) for k in poses.ids[seen]], np.int64)
        known = rows >= 0
        previous, before = poses.matrix[seen], poses.template[seen]
        previous[known], before[known] = last.matrix[rows[known]], last.template[rows[known]]
        away = self._places - camera[:3, 3]
        ahead, aside = away @ camera[:3, 0], np.abs(away @ camera[:3, 1])
        wide = eye.width / 2 / eye.focal
        in_view = (ahead > -self._radius) & (ahead < self._reach) & (aside < wide * ahead + (1.0 + wide) * self._radius)
        near = np.flatnonzero(in_view)
        still = self.props
        return Placements(
            np.concatenate([poses.template[seen], still.template[near]]),
            np.concatenate([before, still.template[near]]),
            np.concatenate([poses.matrix[seen], still.pose[near]]),
            np.concatenate([previous, still.pose[near]]),
            np.concatenate([poses.ids[seen].astype(np.uint16), still.instance[near]]),
            np.concatenate([poses.colour[seen], still.colour[near]]),
        )


def matrices_of(transforms: Sequence[Transform]) -> np.ndarray:
    """``Transform.matrix`` of many at once, f64 (N, 4, 4)."""
    values = np.array([(t.x, t.y, t.z, t.pitch, t.yaw, t.roll) for t in transforms], np.float64).reshape(-1, 6)
    (cp, cy, cr), (sp, sy, sr) = (f(np.radians(values[:, 3:])).T for f in (np.cos, np.sin))
    result = np.zeros((len(values), 4, 4))
    result[:, 0, 0], result[:, 0, 1], result[:, 0, 2] = cp * cy, cy * sp * sr - sy * cr, -cy * sp * cr - sy * sr
    result[:, 1, 0], result[:, 1, 1], result[:, 1, 2] = cp * sy, sy * sp * sr + cy * cr, -sy * sp * cr + cy * sr
    result[:, 2, 0], result[:, 2, 1], result[:, 2, 2] = sp, -cp * sr, cp * cr
    result[:, :3, 3] = values[:, :3]
    result[:, 3, 3] = 1.0
    return result


@lru_cache(maxsize=256)
def _colour(text: str) -> tuple[int, ...]:
    """Paint from an attribute "r,g,b"; grey when it cannot be read."""
    parts = text.split(",")
    if len(parts) == 3 and all(part.strip().isdigit() for part in parts):
        return tuple(min(int(part), 255) for part in parts)
    return (128, 128, 128)
