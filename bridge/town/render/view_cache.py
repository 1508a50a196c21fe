"""What a camera is shown: poses now and a tick ago, scenery near enough to matter, and pictures shared between
sensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bridge.town.assets.templates import templates
from bridge.town.assets.wheels import Rolled
from bridge.town.core.types import Actor, Transform
from bridge.town.render.raster import FAR_PLANE, Placements, Planes, Rasteriser, Scene
from bridge.town.scenery.site import Prop

REACH = (60.0, 30.0, 220.0)  # m, props are drawn to this distance: least, and more per metre of their size, at most
VEHICLE = 7.0  # m, no part of a vehicle is further from its centre
View = tuple[int, int, float, bytes]  # width, height, field of view, pose


@dataclass
class Poses:
    """All actors at one moment: ``row`` by actor id; ``matrix`` f64 (N, 4, 4); ``template`` i32 (N,), -1 = unseen;
    ``steer`` f64 (N,), radians to the right at the front wheels, nan where only the way tells."""

    row: dict[int, int]
    ids: np.ndarray
    matrix: np.ndarray
    template: np.ndarray
    colour: np.ndarray
    steer: np.ndarray

    @staticmethod
    def of(actors: Sequence[Actor], matrix: np.ndarray, steer: Mapping[int, float] | None = None) -> Poses:
        """``steer``: of those vehicles whose steering is known, by actor id."""
        return Poses(
            row={actor.id: k for k, actor in enumerate(actors)},
            ids=np.array([actor.id for actor in actors], np.int64),
            matrix=matrix,
            template=np.array([actor.template for actor in actors], np.int32),
            colour=np.array([_colour(actor.attributes.get("color", "")) for actor in actors], np.uint8).reshape(-1, 3),
            steer=np.array([(steer or {}).get(actor.id, np.nan) for actor in actors], np.float64),
        )


class Stage:
    """The scene, its props and the pictures of this tick. ``fresh``: poses now, None when something has changed."""

    def __init__(self, scene: Scene, props: Sequence[Prop], first_instance: int) -> None:
        self.scene = scene
        self.fresh: Poses | None = None
        self._last: Poses | None = None
        self._rolled = Rolled.still(np.zeros(0))  # of the actors of the previous tick
        self._onward: tuple[Poses, np.ndarray, Rolled] | None = None  # since then
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
        self._rolled = self._since(poses)[1]
        self._last, self._onward = poses, None
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
            self.scene, self._placements(poses, pose, slots[used]), pose, before, sun=sun, hide=hide, rgb=rgb
        )
        self._pictures[view, hide] = planes
        return planes

    def _since(self, poses: Poses) -> tuple[np.ndarray, Rolled]:
        """Rows of the actors among the poses of the previous tick (-1: new), and how their wheels have rolled since."""
        if self._onward is None or self._onward[0] is not poses:
            last = self._last
            row: np.ndarray = np.arange(len(poses.ids))
            if last is None:
                rolled = Rolled.still(poses.steer)
            else:
                if not np.array_equal(last.ids, poses.ids):
                    row = np.array([last.row.get(ident, -1) for ident in poses.ids.tolist()], np.int64)
                base = templates().wheels.base[poses.template]
                rolled = self._rolled.onward(last.matrix, row, poses.matrix, base, poses.steer)
            self._onward = poses, row, rolled
        return self._onward[1], self._onward[2]

    def _placements(self, poses: Poses, camera: np.ndarray, eye: Rasteriser) -> Placements:
        book = templates().wheels
        row, rolled = self._since(poses)
        seen = np.flatnonzero(poses.template >= 0)
        matrix, template = poses.matrix[seen], book.body[poses.template[seen]]
        previous, before = matrix, template
        rolling = np.flatnonzero(poses.template[seen] < len(templates().vehicles))
        rolling = rolling[self._in_view(matrix[rolling, :3, 3], VEHICLE, FAR_PLANE, camera, eye)]
        owner, wheel = book.of(poses.template[seen][rolling])
        owner = rolling[owner]
        gone, steer = rolled.gone[seen], rolled.steer[seen]
        was, steered = gone, steer
        if self._last is not None:
            old = row[seen]
            known = old >= 0
            previous = np.where(known[:, None, None], self._last.matrix[old], matrix)
            before = np.where(known, book.body[self._last.template[old]], template)
            was = np.where(known, self._rolled.gone[old], gone)
            steered = np.where(known, self._rolled.steer[old], steer)
        near = self._in_view(self._places, self._radius, self._reach, camera, eye)
        now, then = np.split(  # of the wheels
            book.placed(
                np.concatenate([matrix[owner], previous[owner]]), np.concatenate([wheel, wheel]),
                np.concatenate([gone[owner], was[owner]]), np.concatenate([steer[owner], steered[owner]]),
            ),
            2,
        )  # fmt: skip
        still = self.props
        return Placements(
            np.concatenate([template, still.template[near], book.template[wheel]]),
            np.concatenate([before, still.template[near], book.template[wheel]]),
            np.concatenate([matrix, still.pose[near], now]),
            np.concatenate([previous, still.pose[near], then]),
            np.concatenate([poses.ids[seen], still.instance[near], poses.ids[seen[owner]]]).astype(np.uint16),
            np.concatenate([poses.colour[seen], still.colour[near], poses.colour[seen[owner]]]),
        )

    @staticmethod
    def _in_view(
        places: np.ndarray, radius: np.ndarray | float, reach: np.ndarray | float, camera: np.ndarray, eye: Rasteriser
    ) -> np.ndarray:
        """Which of the balls at places f64 (N, 3) may be seen within ``reach`` metres."""
        away = places - camera[:3, 3]
        ahead, aside = away @ camera[:3, 0], np.abs(away @ camera[:3, 1])
        wide = eye.width / 2 / eye.focal
        return np.flatnonzero((ahead > -radius) & (ahead < reach) & (aside < wide * ahead + (1.0 + wide) * radius))


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
