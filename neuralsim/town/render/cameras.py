"""The cameras of a world: their views at this moment, and what they see."""

from collections.abc import Callable, Mapping

from bridge import jitter
from bridge.jitter import Jitter
from bridge.weather import needs_umbrellas
from neuralsim.town.core.sensor_blueprints import ColourPlane, colour_plane_of
from neuralsim.town.core.types import Actor, matrices_of
from neuralsim.town.dynamics.sensor_mounts import Mounts
from neuralsim.town.dynamics.vehicle_dynamics import VehicleState
from neuralsim.town.render.actor_poses import Poses
from neuralsim.town.render.raster import Planes
from neuralsim.town.render.shading.daylight import Atmosphere
from neuralsim.town.render.view_cache import Instant, ViewCache, ViewKey
from neuralsim.town.render.wide_angle import SUFFIX, Face


class Cameras:
    """The cameras among ``actors``, with the view cache that they share."""

    def __init__(
        self,
        actors: Mapping[int, Actor],
        mounts: Mounts,
        drives: Mapping[int, VehicleState],
        views: ViewCache,
        weather: Callable[[], Mapping[str, float]],
    ) -> None:
        """``weather``: returns the one of now."""
        self._actors, self._mounts, self._drives, self._views = actors, mounts, drives, views
        self._weather = weather

    def poses(self) -> Poses:
        """Return the poses of all actors now."""
        if self._views.poses is None:
            actors = list(self._actors.values())
            matrices = matrices_of([actor.transform for actor in actors])
            self._mounts.poses(actors, matrices)
            steer = {ident: drive.steer for ident, drive in self._drives.items()}
            self._views.poses = Poses.of(actors, matrices, steer, needs_umbrellas(self._weather()))
        return self._views.poses

    def exposure(
        self,
        camera: Actor,
        colour_plane: ColourPlane,
        shift: Jitter | None,
        frame: int,
        since: Instant | None = None,
        face: Face | None = None,
    ) -> Callable[[], Planes]:
        """Return what renders a camera's planes: see ``World.exposure``. Raises ValueError for other actors."""
        view = self._view(camera, frame)
        if view is None:
            raise ValueError(f"actor {camera.id} is not a camera")
        if (face is not None) != camera.blueprint.id.endswith(SUFFIX):
            raise ValueError(f"actor {camera.id}: a wide-angle camera is captured by faces, no other one is")
        if shift is not None:
            view = (*view[:4], shift)
        turn = None
        if face is not None:
            turn = face.turn
            view = face.side, face.side, face.fov, (self._mounts.pose(camera) @ turn).tobytes(), view[4]
        lit = any(colour_plane_of(other) and self._view(other, frame) == view for other in self._actors.values())
        # a vehicle is not seen from its own seat or bonnet, but from outside
        hide = 0 if not camera.parent or self._mounts.sees_parent(camera) else camera.parent
        colour_plane = colour_plane or colour_plane_of(camera)
        light = Atmosphere.of(self._weather())
        return self._views.exposure(self.poses(), camera.id, view, light, hide, lit, colour_plane, since, turn)

    def instant(self) -> Instant:
        """Return what ``exposure`` takes as ``since`` in a later tick."""
        return self._views.instant(self.poses())

    def _view(self, actor: Actor, frame: int) -> ViewKey | None:
        """Return the view of a camera, None for other actors."""
        if not actor.blueprint.id.startswith("sensor.camera."):
            return None
        values = actor.attributes
        size = int(values["image_size_x"]), int(values["image_size_y"])
        shift = jitter.frame_jitter(frame) if values.get("jitter") == "true" else jitter.NONE
        return (*size, float(values["fov"]), self._mounts.pose(actor).tobytes(), shift)
