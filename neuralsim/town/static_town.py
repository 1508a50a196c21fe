"""What stands still of a town: its map, ground and scenery, built once and shared by the worlds that load it again."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bridge.tags import Tag
from neuralsim.town.assets.meshes import Mesh, merge
from neuralsim.town.assets.templates import templates
from neuralsim.town.core.types import Transform, matrices_of
from neuralsim.town.disk_cache import kept
from neuralsim.town.dynamics.vehicle_dynamics import Obstacles, overlap
from neuralsim.town.ground.blocks import Ground
from neuralsim.town.ground.roads import ground_mesh
from neuralsim.town.opendrive import towns
from neuralsim.town.opendrive.network import Network
from neuralsim.town.opendrive.signs import Sign, listed
from neuralsim.town.raycasting.rays import Rays
from neuralsim.town.render.daylight import FIRST_SUN
from neuralsim.town.render.scene import Placements, Scene
from neuralsim.town.render.static_lighting import Backdrops
from neuralsim.town.scenery import placement
from neuralsim.town.scenery.furniture import SIGNS
from neuralsim.town.scenery.site import Prop
from neuralsim.town.scenery.town_styles import look_of

FIRST_SCENERY = 10_001  # instances of scenery begin here; those of actors are their ids
APART = 8.0  # m, least distance of two spawn points
NEAR_BOX = 0.3  # m around an obstacle's box in which that stands which it is
#: Tags of what is built and can be run into.
SOLID = (Tag.BUILDING, Tag.WALL, Tag.FENCE, Tag.POLE, Tag.GUARD_RAIL, Tag.BRIDGE, Tag.STATIC, Tag.VEGETATION, Tag.OTHER)
KEPT = 2  # towns: a client that goes from one to another and back waits for nothing


class Land:
    """``scene`` and ``props``: what is drawn; ``solid``: what one can run into. Nothing here changes once it is built.

    Raises:
        ValueError: unknown town, or a file that is no drivable OpenDRIVE map.
    """

    def __init__(self, town: str, seed: int) -> None:
        self.name, self.opendrive = towns.load(town, seed)
        self.network = Network(self.name, self.opendrive)
        look = look_of(self.name)
        self.ground = Ground(self.network, look.hills, seed)
        things = placement.dress(self.network, self.ground, np.random.default_rng([seed, 2]), FIRST_SCENERY, look)
        self.solid = Obstacles(things.boxes, things.levels)
        static = merge([ground_mesh(self.network, self.ground), things.mesh])
        self.scene = Scene(static, templates().meshes, templates().bodies)
        self.kinds = things.props
        self._bodies = _Bodies(things.mesh)
        self._tags: dict[int, Tag] = {}  # of obstacles, by their index
        self.signs = [*self.network.signs, *self._placed_signs(things)]
        self.opendrive = listed(self.opendrive, self.network.map, self.signs, self.network.lanes)
        self.props = _placed(things.props, FIRST_SCENERY + things.buildings)
        self._fronts, self._seed = things.fronts, seed
        self._kept_as: tuple[object, ...] | None = None  # what it depends on besides our sources, if it is kept
        self._rays: Rays | None = None
        self._building = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """What is kept between starts: not the rays' hierarchies, which are built with the first ray."""
        return {name: value for name, value in vars(self).items() if name not in ("_rays", "_building", "backdrops")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _rays=None, _building=threading.Lock())

    def _placed_signs(self, things: placement.Scenery) -> list[Sign]:
        """The signs for lanes that the scenery has put up."""
        used = [int(ident) for ident in re.findall(r'<signal\b[^>]*?\bid="(\d{1,9})"', self.opendrive)]
        first = max(used, default=0) + 1
        found = []
        for number, (prop, k, before_end) in enumerate(things.signs, first):
            place, lane = things.props[prop], self.network.lanes[k]
            kind = SIGNS[place.kind]
            if kind == "speed_limit":
                kind += f".{round(3.6 * lane.speed)}"
            position = np.array([place.x, place.y, place.z])
            found.append(Sign(str(number), kind, position, place.yaw - 180.0, (k,), before_end, given=False))
        return found

    @cached_property
    def spawn_points(self) -> list[Transform]:
        """Poses in driving lanes outside junctions, more than `APART` apart, always the same for a town. Every vehicle
        there is has room at each of them, also when others as long stand at all the others."""
        bodies = [templates().extent(name)[0] for name in templates().vehicles]
        length, width = (max(half[axis] for half in bodies) for axis in (0, 1))
        chosen: list[Transform] = []
        around: dict[tuple[int, int], list[Transform]] = {}  # those chosen, in and next to each cell of this size:
        cell = 4.0 * length
        for point in self.network.berths():
            yaw = float(np.radians(point.yaw))
            if self.solid.hit(point.x, point.y, yaw, length, width, point.z)[0] >= 0:
                continue
            i, j = int(point.x // cell), int(point.y // cell)
            if all(
                (point.x - p.x) ** 2 + (point.y - p.y) ** 2 > APART**2
                and overlap(point.x, point.y, yaw, length, width, p.x, p.y, np.radians(p.yaw), length, width)[0] <= 0.0
                for p in around.get((i, j), ())
            ):
                chosen.append(point)
                for a, b in itertools.product((i - 1, i, i + 1), (j - 1, j, j + 1)):
                    around.setdefault((a, b), []).append(point)
        return chosen

    def tag_of(self, obstacle: int) -> Tag:
        """What an obstacle of ``solid`` is: the tag of the prop that stands there, else of what is built there.

        Boxes know no tags, so it is looked up where the box is, the first time a car runs into it.
        """
        if obstacle not in self._tags:
            x, y, yaw, half_length, half_width = self.solid.boxes[obstacle]
            away = self.props.pose[:, :2, 3] - (x, y)
            c, s = np.cos(yaw), np.sin(yaw)
            inside = np.abs(away @ ((c, -s), (s, c))) <= (half_length + NEAR_BOX, half_width + NEAR_BOX)
            near = np.flatnonzero(inside.all(axis=1))
            if len(near):
                closest = near[np.argmin(np.hypot(*away[near].T))]
                tags = templates().meshes[self.props.template[closest]].tags
                self._tags[obstacle] = Tag(int(np.bincount(tags).argmax()))
            else:
                self._tags[obstacle] = self._bodies.tag_at(self.solid.boxes[obstacle])
        return self._tags[obstacle]

    @cached_property
    def backdrops(self) -> Backdrops:
        """What the light of the shaded view looks up."""
        lamps = np.array([(p.x, p.y, p.z) for p in self.kinds if p.kind in ("lamp", "lantern")]).reshape(-1, 3)

        def make() -> Backdrops:
            made = Backdrops(self.scene, self.props, self.network.lanes, self._fronts, lamps, self._seed)
            made.at(*FIRST_SUN)
            return made

        if self._kept_as is None:
            return make()
        return kept(f"backdrop-{Path(str(self._kept_as[0])).stem[:40]}", self._kept_as, make).of(self.scene, self.props)

    @property
    def rays(self) -> Rays:
        """The ray caster over all of it; the first caller builds its hierarchies, others wait for them."""
        with self._building:
            if self._rays is None:
                self._rays = Rays(self.scene, self.props)
            return self._rays


class _Bodies:
    """Where the built triangles of a mesh are that one can run into: middles f32 (N, 2), m, and tags u8 (N,)."""

    def __init__(self, mesh: Mesh) -> None:
        solid = np.isin(mesh.tags, SOLID)
        self._middles = mesh.vertices[mesh.triangles[solid], :2].mean(axis=1, dtype=np.float32)
        self._tags = mesh.tags[solid]

    def tag_at(self, box: np.ndarray) -> Tag:
        """The commonest tag in a box as in ``Obstacles``; ``Tag.BUILDING`` where nothing says otherwise."""
        x, y, yaw, half_length, half_width = box
        c, s = np.cos(yaw), np.sin(yaw)
        inside = np.abs((self._middles - (x, y)) @ ((c, -s), (s, c)))
        tags = self._tags[(inside <= (half_length + NEAR_BOX, half_width + NEAR_BOX)).all(axis=1)]
        return Tag(int(np.bincount(tags).argmax())) if len(tags) else Tag.BUILDING


def land_of(town: str, seed: int) -> Land:
    """The land of a town, one that is at hand if there is. Raises ``ValueError`` as `Land` does."""
    try:
        stat = Path(town).stat()
        edition = stat.st_mtime_ns, stat.st_size  # of a file, which may have changed
    except OSError:
        edition = 0, 0
    return _land(town, seed, edition)


@lru_cache(maxsize=KEPT)
def _land(town: str, seed: int, edition: tuple[int, int]) -> Land:
    def build() -> Land:
        land = Land(town, seed)
        _ = land.spawn_points  # so that they are kept, too
        return land

    facts = town, seed, edition
    land = kept(f"land-{Path(town).stem[:40]}", facts, build)
    land._kept_as = facts
    return land


def _placed(props: Sequence[Prop], first_instance: int) -> Placements:
    book = templates()
    placed = Placements.empty(len(props))
    placed.template = np.array([book.index[prop.kind] for prop in props], np.int32)
    placed.previous_template = placed.template
    placed.pose = matrices_of([Transform(p.x, p.y, p.z, 0.0, p.yaw, 0.0) for p in props])
    placed.pose[:, :3, :3] *= np.array([prop.scale for prop in props]).reshape(-1, 1, 1)
    placed.instance = (first_instance + np.arange(len(props))).astype(np.uint16)
    placed.colour = np.array([prop.colour for prop in props], np.uint8).reshape(-1, 3)
    return placed
