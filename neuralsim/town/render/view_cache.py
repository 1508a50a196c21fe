"""Camera views: poses of this and the previous tick, nearby props, and images shared between sensors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from bridge.jitter import Jitter
from neuralsim.town.assets.templates import templates
from neuralsim.town.assets.vehicles.wheels import WheelAngles
from neuralsim.town.core.sensor_blueprints import ColourPlane
from neuralsim.town.render.actor_poses import Poses
from neuralsim.town.render.dented_bodies import SLOTS, DentedBodies
from neuralsim.town.render.raster import FAR_PLANE, Planes, Rasteriser
from neuralsim.town.render.scene import Placements, Scene
from neuralsim.town.render.shading.shading_kernels import Backdrop
from neuralsim.town.render.static_lighting import Backdrops

REACH = (60.0, 30.0, 220.0)  # m, drawing distance of props: base, per m of their size, limit
TELEPORT = 5.0  # m, longest move of a client-moved actor that counts as motion
VEHICLE = 7.0  # m, radius around the centre of any vehicle
ViewKey = tuple[int, int, float, bytes, Jitter]  # width, height, field of view, pose, shift


class Instant(NamedTuple):
    """Where everything was at the end of a tick."""

    poses: Poses
    rolled: WheelAngles  # of the actors


class _Exposure(NamedTuple):
    """What a camera is to get: the arguments of ``ViewCache.exposure``."""

    poses: Poses
    camera: int
    view: ViewKey
    sun: tuple[float, ...]
    hide: int
    lit: bool
    picture: ColourPlane
    since: Instant | None
    turn: np.ndarray | None


@dataclass
class _Seen:
    """A view that was drawn. Its image is shaded on demand."""

    rasteriser: Rasteriser
    planes: Planes
    lit: bool  # whether it can be shaded
    half: Planes | None = None  # with the image at half the size


class _Props(NamedTuple):
    """The props of the town with their positions f64 (N, 3), radii and drawing distances f64 (N,), m."""

    placements: Placements
    places: np.ndarray
    radius: np.ndarray
    reach: np.ndarray


@dataclass
class _Moment:
    """The views of one moment by view, hidden instance and the id of the instant that motion leads to (None: the
    previous tick), and the number of rasterisers in use by lens."""

    seen: dict[tuple[ViewKey, int, int], _Seen] = field(default_factory=dict)
    locks: dict[tuple[ViewKey, int, int], threading.Lock] = field(default_factory=dict)  # held while it is rendered
    used: dict[tuple[int, int, float], int] = field(default_factory=dict)


class ViewCache:
    """The scene, its props and the views of this tick. ``poses``: those of now, None after a change.

    ``backdrops`` is called when an image is shaded for the first time. ``dented``: bodies of dented vehicles, by
    actor id or, for props, by -1 - their number; None: none ever is.
    """

    def __init__(self, scene: Scene, props: Placements, backdrops: Callable[[], Backdrops]) -> None:
        self.scene, self._backdrops = scene, backdrops
        self.poses: Poses | None = None
        self._last: Poses | None = None
        self._rolled = WheelAngles.at_rest(np.zeros(0))  # of the actors in the previous tick
        self._client_moved: dict[int, np.ndarray] = {}  # f64 (4, 4), last poses by actor id
        self._advanced: tuple[Poses, np.ndarray, WheelAngles] | None = None  # see `_since`, with the poses it is of
        self.dented: DentedBodies | None = None
        radii = [np.abs(np.stack(mesh.bounds)).max() for mesh in templates().meshes]
        self._template_radius = np.array(radii + SLOTS * [VEHICLE])
        self._slots: dict[tuple[int, int, float], list[Rasteriser]] = {}
        self._moment = _Moment()
        self._lock = threading.Lock()
        self.set_props(props)

    def set_props(self, props: Placements) -> None:
        """Draw these props from now on."""
        if self.dented is not None:
            bent = {-1 - key: slot for key, slot in self.dented.template.items() if key < 0}
            template = props.template.copy()
            template[[*bent]] = [*bent.values()]
            props = replace(props, template=template)
        radius = self._template_radius[props.template] * np.linalg.norm(props.pose[:, :3, 0], axis=1)
        reach = np.minimum(REACH[0] + REACH[1] * radius, REACH[2])
        # One attribute: another thread may be drawing a view.
        self._props = _Props(props, np.ascontiguousarray(props.pose[:, :3, 3]), radius, reach)
        self.changed()

    def let_bodies_be_dented(self) -> DentedBodies:
        """Draw a scene of its own from now on, which has room for dented bodies, and return these."""
        whole = np.arange(len(templates().vehicles))
        self.dented = DentedBodies(self.scene, [*whole, *templates().wheels.body[whole]])
        self.scene = self.dented.scene
        return self.dented

    def changed(self) -> None:
        """Forget the poses and views of now."""
        self.poses = None
        self._moment = _Moment()

    def remember(self, poses: Poses, client_moved: Collection[int] = ()) -> None:
        """Take ``poses`` as those of the previous tick.

        Actors that clients move between ticks (``client_moved``) get their poses at the call before, unless they were
        teleported.
        """
        rows = {ident: poses.row[ident] for ident in client_moved if ident in poses.row}
        now = {ident: poses.matrix[row] for ident, row in rows.items()}
        if rows:
            matrix = poses.matrix.copy()
            for ident, row in rows.items():
                before = self._client_moved.get(ident, now[ident])
                if np.abs(before[:3, 3] - now[ident][:3, 3]).max() < TELEPORT:
                    matrix[row] = before
            poses = replace(poses, matrix=matrix)
        self._client_moved = now
        self._rolled = self._since(poses)[1]
        self._last, self._advanced = poses, None
        self.changed()

    def instant(self, poses: Poses) -> Instant:
        """Return what ``exposure`` takes as ``since`` in a later tick. ``poses``: those of now."""
        return Instant(poses, self._since(poses)[1])

    def exposure(
        self,
        poses: Poses,
        camera: int,
        view: ViewKey,
        sun: tuple[float, ...],
        hide: int,
        lit: bool,
        picture: ColourPlane,
        since: Instant | None = None,
        turn: np.ndarray | None = None,
    ) -> Callable[[], Planes]:
        """Return what renders the planes of a view, once per moment: cameras with the same view share them.

        It may be called in any thread until ``remember`` is called.

        Args:
            poses: Those of this tick.
            camera: Actor id.
            view: Size, field of view, pose, jitter.
            sun: See ``Rasteriser.draw``.
            hide: Instance that is not drawn.
            lit: Whether a camera with the same view may ask for an image.
            picture: The image that this camera gets.
            since: When the motion began, None: the previous tick.
            turn: Pose of the view in the axes of the camera, f64 (4, 4), None: as the camera looks.
        """
        if since is not None and self._last is not None and since.poses is self._last:
            since = None
        exposure = _Exposure(poses, camera, view, sun, hide, lit, picture, since, turn)
        return partial(self._planes, self._moment, exposure)

    def _planes(self, moment: _Moment, exposure: _Exposure) -> Planes:
        key = exposure.view, exposure.hide, id(exposure.since)
        with self._lock:
            lock = moment.locks.setdefault(key, threading.Lock())
        with lock:
            seen = moment.seen.get(key)
            if seen is None or (exposure.picture and not seen.lit):
                seen = moment.seen[key] = self._draw(moment, exposure)
            if exposure.picture == "rgb_half" and seen.half is None:
                rgb = seen.rasteriser.shade(self._backdrop(exposure), half=True)
                seen.half = seen.planes._replace(rgb=rgb)
            elif exposure.picture == "rgb" and seen.planes.rgb is None:
                seen.planes = seen.planes._replace(rgb=seen.rasteriser.shade(self._backdrop(exposure)))
            return seen.half if exposure.picture == "rgb_half" and seen.half else seen.planes

    def _backdrop(self, exposure: _Exposure) -> Backdrop:
        with self._lock:
            return self._backdrops().at(*exposure.sun[:2])

    def _draw(self, moment: _Moment, exposure: _Exposure) -> _Seen:
        poses, camera, since = exposure.poses, exposure.camera, exposure.since
        lens = exposure.view[:3]
        lit = exposure.lit or bool(exposure.picture)
        with self._lock:
            slots, used = self._slots.setdefault(lens, []), moment.used.get(lens, 0)
            if used == len(slots):
                slots.append(Rasteriser(*lens))
            moment.used[lens] = used + 1
        pose = poses.matrix[poses.row[camera]]
        last = since.poses if since else self._last or poses
        before = last.matrix[last.row[camera]] if camera in last.row else pose
        if exposure.turn is not None:
            pose, before = pose @ exposure.turn, before @ exposure.turn
        placed = self._placements(poses, pose, slots[used], since)
        planes = slots[used].draw(
            self.scene, placed, pose, before, sun=exposure.sun, hide=exposure.hide, lit=lit, jitter=exposure.view[4]
        )
        return _Seen(slots[used], planes, lit)

    def _since(self, poses: Poses) -> tuple[np.ndarray, WheelAngles]:
        """Return rows of the actors in the poses of the previous tick (-1: new), and the rolled wheel angles."""
        if self._advanced is None or self._advanced[0] is not poses:
            last = self._last
            row: np.ndarray = np.arange(len(poses.ids))
            if last is None:
                rolled = WheelAngles.at_rest(poses.steer)
            else:
                if not np.array_equal(last.ids, poses.ids):
                    row = np.array([last.row.get(ident, -1) for ident in poses.ids.tolist()], np.int64)
                base = templates().wheels.base[poses.template]
                rolled = self._rolled.advanced(last.matrix, row, poses.matrix, base, poses.steer)
            self._advanced = poses, row, rolled
        return self._advanced[1], self._advanced[2]

    def _placements(
        self, poses: Poses, camera: np.ndarray, rasteriser: Rasteriser, since: Instant | None
    ) -> Placements:
        """Return what is placed before a camera at f64 (4, 4): actors, their wheels, and props."""
        book = templates().wheels
        row, rolled = self._since(poses)
        last, last_rolled = (self._last, self._rolled) if since is None else since
        if since is not None and not np.array_equal(since.poses.ids, poses.ids):
            row = np.array([since.poses.row.get(ident, -1) for ident in poses.ids.tolist()], np.int64)
        elif since is not None:
            row = np.arange(len(poses.ids))
        seen = np.flatnonzero(poses.template >= 0)
        matrix, template = poses.matrix[seen], book.body[poses.template[seen]]
        previous, before, sizes = matrix, template, self.scene.sizes
        rolling = np.flatnonzero(poses.template[seen] < len(templates().vehicles))
        rolling = rolling[self._in_view(matrix[rolling, :3, 3], VEHICLE, FAR_PLANE, camera, rasteriser)]
        owner, wheel = book.of(poses.template[seen][rolling])
        owner = rolling[owner]
        metres, steer = rolled.rolled[seen], rolled.steer[seen]
        was, steered = metres, steer
        if last is not None:
            old = row[seen]
            known = old >= 0
            previous = np.where(known[:, None, None], last.matrix[old], matrix)
            before = np.where(known, book.body[last.template[old]], template)
            before = np.where(sizes[before] == sizes[template], before, template)  # not of who opens an umbrella
            was = np.where(known, last_rolled.rolled[old], metres)
            steered = np.where(known, last_rolled.steer[old], steer)
        if self.dented is not None and self.dented.template:
            shown = [self.dented.template.get(ident, -1) for ident in poses.ids[seen].tolist()]
            template, before = (
                np.where(np.array(shown) < 0, body, shown).astype(np.int32) for body in (template, before)
            )
        props, places, radius, reach = self._props
        near = self._in_view(places, radius, reach, camera, rasteriser)
        now, then = np.split(  # of the wheels
            book.poses(
                np.concatenate([matrix[owner], previous[owner]]),
                np.concatenate([wheel, wheel]),
                np.concatenate([metres[owner], was[owner]]),
                np.concatenate([steer[owner], steered[owner]]),
            ),
            2,
        )
        return Placements(
            np.concatenate([template, props.template[near], book.template[wheel]]),
            np.concatenate([before, props.template[near], book.template[wheel]]),
            np.concatenate([matrix, props.pose[near], now]),
            np.concatenate([previous, props.pose[near], then]),
            np.concatenate([poses.ids[seen], props.instance[near], poses.ids[seen[owner]]]).astype(np.uint16),
            np.concatenate([poses.colour[seen], props.colour[near], poses.colour[seen[owner]]]),
            np.concatenate([poses.lights[seen], props.lights[near], poses.lights[seen[owner]]]),
        )

    @staticmethod
    def _in_view(
        places: np.ndarray,
        radius: np.ndarray | float,
        reach: np.ndarray | float,
        camera: np.ndarray,
        rasteriser: Rasteriser,
    ) -> np.ndarray:
        """Return which of the balls at ``places`` f64 (N, 3) may be visible within ``reach`` m, i64 (n,)."""
        away = places - camera[:3, 3]
        ahead, aside = away @ camera[:3, 0], np.abs(away @ camera[:3, 1])
        wide = rasteriser.width / 2 / rasteriser.focal
        return np.flatnonzero((ahead > -radius) & (ahead < reach) & (aside < wide * ahead + (1.0 + wide) * radius))
