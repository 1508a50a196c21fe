"""Camera views: poses of this and the previous tick, nearby scenery, and pictures shared between sensors."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from bridge.jitter import Jitter
from neuralsim.town.assets.templates import templates
from neuralsim.town.assets.wheels import WheelAngles
from neuralsim.town.core.sensor_blueprints import Picture
from neuralsim.town.render.actor_poses import Poses
from neuralsim.town.render.raster import FAR_PLANE, Planes, Rasteriser
from neuralsim.town.render.scene import Placements, Scene
from neuralsim.town.render.static_lighting import Backdrops

REACH = (60.0, 30.0, 220.0)  # m, props are drawn to this distance: least, and more per metre of their size, at most
LED = 5.0  # m, further apart are not two places of the same motion
VEHICLE = 7.0  # m, no part of a vehicle is further from its centre
ViewKey = tuple[int, int, float, bytes, Jitter]  # width, height, field of view, pose, shift


@dataclass
class _Seen:
    """A view that was drawn; its picture is shaded when it is asked for."""

    eye: Rasteriser
    planes: Planes
    lit: bool  # may it be shaded?
    half: Planes | None = None  # with the picture at half the size


@dataclass
class _Moment:
    """What is seen at one moment, by view and hidden instance, and how many rasterisers of a lens that took."""

    seen: dict[tuple[ViewKey, int], _Seen] = field(default_factory=dict)
    used: dict[tuple[int, int, float], int] = field(default_factory=dict)


class ViewCache:
    """The scene, its props and the pictures of this tick. ``fresh``: poses now, None when something has changed.
    ``backdrops``: called when a picture is shaded for the first time."""

    def __init__(self, scene: Scene, props: Placements, backdrops: Callable[[], Backdrops]) -> None:
        self.scene, self.props, self._backdrops = scene, props, backdrops
        self.fresh: Poses | None = None
        self._last: Poses | None = None
        self._rolled = WheelAngles.still(np.zeros(0))  # of the actors of the previous tick
        self._led: dict[int, np.ndarray] = {}  # f64 (4, 4) by actor
        self._onward: tuple[Poses, np.ndarray, WheelAngles] | None = None  # since then
        self._places = np.ascontiguousarray(self.props.pose[:, :3, 3])
        radius = np.array([np.abs(np.stack(mesh.bounds)).max() for mesh in templates().meshes])
        self._radius = radius[self.props.template] * np.linalg.norm(self.props.pose[:, :3, 0], axis=1)
        self._reach = np.minimum(REACH[0] + REACH[1] * self._radius, REACH[2])
        self._slots: dict[tuple[int, int, float], list[Rasteriser]] = {}
        self._moment = _Moment()

    def changed(self) -> None:
        """Forget the poses and pictures of now."""
        self.fresh = None
        self._moment = _Moment()

    def remember(self, poses: Poses, led: Collection[int] = ()) -> None:
        """Take these as the poses of the previous tick; of the actors ``led``, which clients put from place to place
        between ticks, those at the call before, unless they have come from elsewhere."""
        rows = {ident: poses.row[ident] for ident in led if ident in poses.row}
        now = {ident: poses.matrix[row] for ident, row in rows.items()}
        if rows:
            matrix = poses.matrix.copy()
            for ident, row in rows.items():
                before = self._led.get(ident, now[ident])
                if np.abs(before[:3, 3] - now[ident][:3, 3]).max() < LED:
                    matrix[row] = before
            poses = replace(poses, matrix=matrix)
        self._led = now
        self._rolled = self._since(poses)[1]
        self._last, self._onward = poses, None
        self.changed()

    def exposure(
        self, poses: Poses, camera: int, view: ViewKey, sun: tuple[float, ...], hide: int, lit: bool, picture: Picture
    ) -> Callable[[], Planes]:
        """What renders the planes of a view, once per moment: cameras that look alike get the same ones.

        It may be called in another thread, one of them at a time, until ``remember`` is.

        ``poses``: of this tick; ``camera``: actor id; ``view``: size, field of view, pose; ``sun``: see
        ``Rasteriser.draw``; ``hide``: instance not drawn; ``lit``: whether a camera that looks alike may want a
        picture; ``picture``: that this one wants.
        """
        return partial(self._planes, self._moment, poses, camera, view, sun, hide, lit, picture)

    def _planes(
        self,
        moment: _Moment,
        poses: Poses,
        camera: int,
        view: ViewKey,
        sun: tuple[float, ...],
        hide: int,
        lit: bool,
        picture: Picture,
    ) -> Planes:
        seen = moment.seen.get((view, hide))
        if seen is None or (picture and not seen.lit):
            seen = moment.seen[view, hide] = self._draw(moment, poses, camera, view, sun, hide, lit or bool(picture))
        if picture == "rgb_half" and seen.half is None:
            rgb = seen.eye.picture(self._backdrops().at(sun[0], sun[1]), half=True)
            seen.half = seen.planes._replace(rgb=rgb)
        elif picture == "rgb" and seen.planes.rgb is None:
            seen.planes = seen.planes._replace(rgb=seen.eye.picture(self._backdrops().at(sun[0], sun[1])))
        return seen.half if picture == "rgb_half" and seen.half else seen.planes

    def _draw(
        self, moment: _Moment, poses: Poses, camera: int, view: ViewKey, sun: tuple[float, ...], hide: int, lit: bool
    ) -> _Seen:
        lens = view[:3]
        slots, used = self._slots.setdefault(lens, []), moment.used.get(lens, 0)
        if used == len(slots):
            slots.append(Rasteriser(*lens))
        moment.used[lens] = used + 1
        pose = poses.matrix[poses.row[camera]]
        last = self._last or poses
        before = last.matrix[last.row[camera]] if camera in last.row else pose
        placed, jitter = self._placements(poses, pose, slots[used]), view[4]
        planes = slots[used].draw(self.scene, placed, pose, before, sun=sun, hide=hide, lit=lit, jitter=jitter)
        return _Seen(slots[used], planes, lit)

    def _since(self, poses: Poses) -> tuple[np.ndarray, WheelAngles]:
        """Rows of the actors among the poses of the previous tick (-1: new), and how their wheels have rolled since."""
        if self._onward is None or self._onward[0] is not poses:
            last = self._last
            row: np.ndarray = np.arange(len(poses.ids))
            if last is None:
                rolled = WheelAngles.still(poses.steer)
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
        metres, steer = rolled.rolled[seen], rolled.steer[seen]
        was, steered = metres, steer
        if self._last is not None:
            old = row[seen]
            known = old >= 0
            previous = np.where(known[:, None, None], self._last.matrix[old], matrix)
            before = np.where(known, book.body[self._last.template[old]], template)
            was = np.where(known, self._rolled.rolled[old], metres)
            steered = np.where(known, self._rolled.steer[old], steer)
        near = self._in_view(self._places, self._radius, self._reach, camera, eye)
        now, then = np.split(  # of the wheels
            book.placed(
                np.concatenate([matrix[owner], previous[owner]]), np.concatenate([wheel, wheel]),
                np.concatenate([metres[owner], was[owner]]), np.concatenate([steer[owner], steered[owner]]),
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
            np.concatenate([poses.lights[seen], still.lights[near], poses.lights[seen[owner]]]),
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
