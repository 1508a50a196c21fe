"""The static part of a town: its map, ground and scenery, built once and shared by all worlds that load it."""

from __future__ import annotations

import copy
import itertools
import re
import threading
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from bridge.tags import Tag
from neuralsim.town.assets.meshes import Mesh, merge
from neuralsim.town.assets.prop_meshes import LAMP_HEADS
from neuralsim.town.assets.templates import templates
from neuralsim.town.core.types import Transform, matrices_of
from neuralsim.town.disk_cache import cached
from neuralsim.town.dynamics.vehicle_dynamics import Obstacles, overlap
from neuralsim.town.ground.blocks import Ground
from neuralsim.town.ground.roads import ground_mesh
from neuralsim.town.opendrive import towns
from neuralsim.town.opendrive.network import Network
from neuralsim.town.opendrive.signs import Sign, with_signs
from neuralsim.town.raycasting.rays import Rays
from neuralsim.town.render.scene import Placements, Scene
from neuralsim.town.render.shading.daylight import FIRST_SUN
from neuralsim.town.render.static_lighting import Backdrops
from neuralsim.town.scenery import placement
from neuralsim.town.scenery.furniture import SIGNS
from neuralsim.town.scenery.road_fittings import road_props
from neuralsim.town.scenery.site import Prop
from neuralsim.town.scenery.town_styles import style_of

FIRST_SCENERY = 10_001  # first instance of the scenery; instances of actors are their ids
MIN_SPACING = 8.0  # m, between two spawn points
SPACING, CLOSE_SPACING = 24.0, 16.0  # m along a lane
CAR_ROOM = (3.0, 1.15)  # m, half length and width that all vehicles but lorries and buses have room in
BOX_MARGIN = 0.3  # m around an obstacle's box in which the mesh may lie that it belongs to
#: Tags of built objects that can be collided with.
SOLID = (Tag.BUILDING, Tag.WALL, Tag.FENCE, Tag.POLE, Tag.GUARD_RAIL, Tag.BRIDGE, Tag.STATIC, Tag.VEGETATION, Tag.OTHER)
CLEARANCE = 0.25  # m around a new actor that it claims for itself
CACHED_TOWNS = 2  # in memory, so that a client that switches from one town to another and back does not wait


class StaticTown:
    """A town without actors: ``scene`` and ``placements`` are rendered, ``solid`` are its obstacles. Immutable.

    Raises:
        ValueError: The town is unknown, or the file is not a drivable OpenDRIVE map.
    """

    def __init__(self, town: str, seed: int) -> None:
        self.name, self.opendrive = towns.load(town, seed)
        self.network = Network(self.name, self.opendrive)
        style = style_of(self.name)
        self.ground = Ground(self.network, style.hills, seed)
        rng = np.random.default_rng([seed, 2])
        scenery = placement.place_scenery(self.network, self.ground, rng, FIRST_SCENERY, style)
        self.solid = Obstacles(scenery.boxes, scenery.levels)
        static = merge([ground_mesh(self.network, self.ground), scenery.mesh])
        self.scene = Scene(static, templates().meshes, templates().bodies, templates().normals)
        self.props = [*scenery.props, *road_props(self.network)]
        self._solid_triangles = _SolidTriangles(scenery.mesh)
        self._tags: dict[int, Tag] = {}  # of obstacles, by their index
        self.signs = [*self.network.signs, *self._placed_signs(scenery)]
        self.opendrive = with_signs(self.opendrive, self.network.map, self.signs, self.network.lanes)
        self.placements = _placements(self.props, FIRST_SCENERY + scenery.buildings)
        self._fronts, self._seed = scenery.fronts, seed
        self._cache_key: tuple[object, ...] | None = None  # dependencies apart from our sources; None: not cached
        self._whole: StaticTown | None = None  # this town before places were cleared in it
        self._rays: Rays | None = None
        self._building = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Return what is cached on disk: all but the ray caster's hierarchies, which are built with the first ray."""
        return {name: value for name, value in vars(self).items() if name not in ("_rays", "_building", "backdrops")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _rays=None, _building=threading.Lock())

    def _placed_signs(self, scenery: placement.Scenery) -> list[Sign]:
        """Return the signs for lanes that the scenery has placed."""
        used = [int(ident) for ident in re.findall(r'<signal\b[^>]*?\bid="(\d{1,9})"', self.opendrive)]
        first = max(used, default=0) + 1
        signs = []
        for number, sign in enumerate(scenery.signs, first):
            prop = scenery.props[sign.prop]
            position, yaw = np.array([prop.x, prop.y, prop.z]), prop.yaw - 180.0
            kind, lanes = SIGNS[prop.kind], (sign.lane,)
            signs.append(Sign(str(number), kind, position, yaw, lanes, sign.before_end, in_map=False))
        return signs

    @cached_property
    def spawn_points(self) -> list[Transform]:
        """Poses in driving lanes outside junctions, more than `MIN_SPACING` apart, always the same for a town.

        The longest and widest vehicles fit at all of them at once.
        """
        extents = [templates().extent(name)[0] for name in templates().vehicles]
        length, width = (max(half[axis] for half in extents) for axis in (0, 1))
        return self._spawn_points(SPACING, MIN_SPACING, length, width)

    @cached_property
    def close_spawn_points(self) -> list[Transform]:
        """Poses as in ``spawn_points``, but with the spacing of CARLA's: cars and vans fit at all of them at once."""
        return self._spawn_points(CLOSE_SPACING, 0.0, *CAR_ROOM)

    def _spawn_points(self, spacing: float, apart: float, length: float, width: float) -> list[Transform]:
        chosen: list[Transform] = []
        cell = 4.0 * length
        around: dict[tuple[int, int], list[Transform]] = {}  # the chosen ones in and next to each cell
        for point in self.network.spawn_candidates(spacing):
            yaw = float(np.radians(point.yaw))
            if self.solid.hit(point.x, point.y, yaw, length, width, point.z)[0] >= 0:
                continue
            i, j = int(point.x // cell), int(point.y // cell)
            if all(
                (point.x - p.x) ** 2 + (point.y - p.y) ** 2 > apart**2
                and overlap(point.x, point.y, yaw, length, width, p.x, p.y, np.radians(p.yaw), length, width)[0] <= 0.0
                for p in around.get((i, j), ())
            ):
                chosen.append(point)
                for a, b in itertools.product((i - 1, i, i + 1), (j - 1, j, j + 1)):
                    around.setdefault((a, b), []).append(point)
        return chosen

    def tag_of(self, obstacle: int) -> Tag:
        """Return the tag of an obstacle in ``solid``: that of the prop at its place, else of the static mesh there.

        Boxes have no tags, so the tag is looked up by place the first time that a car collides with the obstacle.
        """
        if obstacle not in self._tags:
            box = self.solid.boxes[obstacle]
            offsets = self.placements.pose[:, :2, 3] - box[:2]
            near = np.flatnonzero(_in_box(offsets, box))
            near = near[np.argsort(np.hypot(*offsets[near].T), kind="stable")]  # the closest first
            meshes = (templates().meshes[template] for template in self.placements.template[near])
            tags = (Tag(int(np.bincount(mesh.tags).argmax())) for mesh in meshes)
            prop = next((tag for tag in tags if tag != Tag.TERRAIN), None)  # weeds grow at the foot of others
            self._tags[obstacle] = self._solid_triangles.tag_at(box) if prop is None else prop
        return self._tags[obstacle]

    @cached_property
    def street_lamps(self) -> dict[int, tuple[str, tuple[float, float, float]]]:
        """The template and the centre of the shining head (m) of every street lamp, by its number among the props."""
        lamps: dict[int, tuple[str, tuple[float, float, float]]] = {}
        for kind, head in LAMP_HEADS.items():
            for k in np.flatnonzero(self.placements.template == templates().index[kind]).tolist():
                x, y, z, _ = (self.placements.pose[k] @ (*head, 1.0)).tolist()
                lamps[k] = kind, (x, y, z)
        return lamps

    @cached_property
    def backdrops(self) -> Backdrops:
        """The precomputed lighting of the shaded view."""
        lamps = np.array(
            [(x, y, round(z - self.placements.pose[k, 2, 3], 1)) for k, (_, (x, y, z)) in self.street_lamps.items()]
        )

        def build() -> Backdrops:
            backdrops = Backdrops(
                self.scene, self.placements, self.network.lanes, self._fronts, lamps.reshape(-1, 3), self._seed
            )
            backdrops.at(*FIRST_SUN)
            return backdrops

        if self._whole is not None:
            return self._whole.backdrops.with_props(self.placements)
        if self._cache_key is None:
            return build()
        backdrops = cached(f"backdrop-{Path(str(self._cache_key[0])).stem[:40]}", self._cache_key, build)
        return backdrops.of(self.scene, self.placements)

    def cleared(self, place: Transform, half: tuple[float, float]) -> StaticTown:
        """Return this town without the parked cars and the furniture that stand where a new actor claims a place.

        Everything else is kept, instance numbers and spawn points too; so do buildings and signs.

        Args:
            place: Pose of the actor.
            half: Half its length and width, m.
        """
        boxes, levels = self.solid.boxes, self.solid.levels
        x, y, yaw = place.x, place.y, float(np.radians(place.yaw))
        length, width = (side + CLEARANCE for side in half)
        near = self.solid.near(x, y, float(np.hypot(length, width)))
        if levels is not None:
            near = near[np.abs(levels[near] - place.z) < Obstacles.STOREY]
        near = near[[overlap(x, y, yaw, length, width, *boxes[k])[0] > 0.0 for k in near.tolist()]]
        positions = self.placements.pose[:, :2, 3]
        gone_props, gone_boxes = np.zeros(len(self.props), bool), np.zeros(len(boxes), bool)
        for k in near.tolist():
            for prop in np.flatnonzero(np.abs(positions - boxes[k, :2]).max(axis=1) < 1e-6).tolist():
                if self.props[prop].kind not in SIGNS:
                    gone_props[prop] = gone_boxes[k] = True
        return self._without(gone_props, gone_boxes)

    def without(self, instances: set[int]) -> StaticTown:
        """Return this town without the props of these ``instances``, and without what collides with them."""
        gone = np.isin(self.placements.instance, list(instances))
        if not gone.any():
            return self
        tree = cKDTree(self.placements.pose[gone, :2, 3])
        return self._without(gone, np.isfinite(tree.query(self.solid.boxes[:, :2], distance_upper_bound=1e-6)[0]))

    def _without(self, gone_props: np.ndarray, gone_boxes: np.ndarray) -> StaticTown:
        """Return this town without these props, bool (N,), and obstacles, bool (M,)."""
        if not (gone_props.any() or gone_boxes.any()):
            return self
        levels = self.solid.levels
        town = copy.copy(self)  # without its rays and backdrops, which are of these props
        town._whole = self._whole or self
        town.props = [prop for prop, is_gone in zip(self.props, gone_props.tolist(), strict=True) if not is_gone]
        town.placements = self.placements.chosen(~gone_props)
        town.solid = Obstacles(self.solid.boxes[~gone_boxes], None if levels is None else levels[~gone_boxes])
        town._tags = {}
        return town

    @property
    def rays(self) -> Rays:
        """The ray caster over the whole town; the first caller builds its hierarchies, others wait for them."""
        with self._building:
            if self._rays is None:
                self._rays = Rays(self.scene, self.placements)
            return self._rays


def _in_box(offsets: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Return bool (N,): which offsets (N, 2) from the centre of a box of ``Obstacles`` lie in it, with `BOX_MARGIN`."""
    yaw, half_length, half_width = box[2:]
    c, s = np.cos(yaw), np.sin(yaw)
    inside = np.abs(offsets @ ((c, -s), (s, c))) <= (half_length + BOX_MARGIN, half_width + BOX_MARGIN)
    return np.asarray(inside.all(axis=1))


class _SolidTriangles:
    """The triangles of a mesh that can be collided with: centres f32 (N, 2), m, and tags u8 (N,)."""

    def __init__(self, mesh: Mesh) -> None:
        solid = np.isin(mesh.tags, SOLID)
        self._centres = mesh.vertices[mesh.triangles[solid], :2].mean(axis=1, dtype=np.float32)
        self._tags = mesh.tags[solid]

    def tag_at(self, box: np.ndarray) -> Tag:
        """Return the most frequent tag in a box of ``Obstacles``; ``Tag.BUILDING`` where there is no triangle."""
        tags = self._tags[_in_box(self._centres - box[:2], box)]
        return Tag(int(np.bincount(tags).argmax())) if len(tags) else Tag.BUILDING


def load_static_town(town: str, seed: int) -> StaticTown:
    """Return the static part of a town, from a cache if possible. Raises ``ValueError`` as `StaticTown` does."""
    try:
        stat = Path(town).stat()
        version = stat.st_mtime_ns, stat.st_size  # a file may have changed
    except OSError:
        version = 0, 0
    return _build_static_town(town, seed, version)


@lru_cache(maxsize=CACHED_TOWNS)
def _build_static_town(town: str, seed: int, version: tuple[int, int]) -> StaticTown:
    def build() -> StaticTown:
        static_town = StaticTown(town, seed)
        _ = static_town.spawn_points, static_town.close_spawn_points  # computed here so that they are cached, too
        return static_town

    key = town, seed, version
    static_town = cached(f"town-{Path(town).stem[:40]}", key, build)
    static_town._cache_key = key
    return static_town


def _placements(props: Sequence[Prop], first_instance: int) -> Placements:
    index = templates().index
    placements = Placements.empty(len(props))
    placements.template = np.array([index[prop.kind] for prop in props], np.int32)
    placements.previous_template = placements.template
    placements.pose = matrices_of([Transform(p.x, p.y, p.z, 0.0, p.yaw, 0.0) for p in props])
    placements.pose[:, :3, :3] *= np.array([prop.scale for prop in props]).reshape(-1, 1, 1)
    placements.instance = (first_instance + np.arange(len(props))).astype(np.uint16)
    placements.instance[[prop.kind.startswith(("cover", "gully")) for prop in props]] = 0  # parts of the road
    placements.colour = np.array([prop.colour for prop in props], np.uint8).reshape(-1, 3)
    return placements
