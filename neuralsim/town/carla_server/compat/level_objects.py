"""The static objects of a town as CARLA's level lists them: props, buildings and pieces of the ground.

In CARLA, roads, pavements and markings are meshes per road. Here they are divided the same way into pieces of at most
`PIECE` metres, and the land between them by the chunks that it is rendered in.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from bridge.tags import MOVERS, Tag
from neuralsim.town.assets.meshes import END
from neuralsim.town.assets.prop_meshes import LAMP_HEADS
from neuralsim.town.assets.templates import templates
from neuralsim.town.opendrive.lane import Lane
from neuralsim.town.render.scene import Placements, Scene

ANY = 255  # carla.CityObjectLabel.Any
MIN_HALF_HEIGHT = 0.05  # m, of a piece, so that its box includes what lies on it
PIECE = 50.0  # m, maximum length of a piece along its road
#: Divided by road; all other tags of the ground are divided by chunk.
ROAD_TAGS = (Tag.ROAD, Tag.ROAD_LINE, Tag.SIDEWALK)
#: Further tags of CARLA's labels. It labels the land between streets as either; here all of it is terrain.
ALIASES: dict[int, tuple[Tag, ...]] = {Tag.GROUND: (Tag.TERRAIN,)}


class MapLayer(IntFlag):
    """``carla.MapLayer``."""

    BUILDINGS = 0x1
    DECALS = 0x2
    FOLIAGE = 0x4
    GROUND = 0x8
    PARKED_VEHICLES = 0x10
    PARTICLES = 0x20
    PROPS = 0x40
    STREET_LIGHTS = 0x80
    WALLS = 0x100


ALL_LAYERS = sum(MapLayer)
PROP_LAYERS = MapLayer.FOLIAGE | MapLayer.PARKED_VEHICLES | MapLayer.PROPS | MapLayer.STREET_LIGHTS | MapLayer.WALLS
#: By the tag of most of a prop's mesh; street lamps aside, all others are props.
_LAYERS = {
    Tag.VEGETATION: MapLayer.FOLIAGE,
    Tag.TERRAIN: MapLayer.FOLIAGE,
    Tag.WALL: MapLayer.WALLS,
    Tag.FENCE: MapLayer.WALLS,
    **dict.fromkeys(MOVERS, MapLayer.PARKED_VEHICLES),
}


@dataclass
class EnvironmentObject:
    """A static object that is not an actor."""

    ident: int
    name: str
    tag: int
    place: list[list[float]]  # carla.Transform
    box: list[Any]  # carla.BoundingBox in the world


def matches(tag: int, label: int) -> bool:
    """Return whether an object with this tag has CARLA's ``label``."""
    return label in (ANY, tag) or tag in ALIASES.get(label, ())


def objects(scene: Scene, props: Placements, lanes: Sequence[Lane]) -> list[EnvironmentObject]:
    """Return all static objects of a town, each with a unique id; what has no instance is part of a road."""
    numbered = _buildings(scene) + _props(props)
    first = max((each.ident for each in numbered), default=0) + 1
    return numbered + _pieces(scene, lanes, first)


def in_layers(props: Placements, layers: int) -> set[int]:
    """Return the instances of the props in ``layers``, a sum of ``MapLayer``: buildings and ground are no props."""
    catalogue = templates()
    layer = np.zeros(len(catalogue.meshes), int)
    for k in np.unique(props.template).tolist():
        layer[k] = _LAYERS.get(Tag(_main_tag(catalogue.meshes[k].tags)), MapLayer.PROPS)
    layer[[catalogue.index[kind] for kind in LAMP_HEADS]] = MapLayer.STREET_LIGHTS
    return set(props.instance[layer[props.template] & layers > 0].tolist()) - {0}


def vehicles(props: Placements) -> list[EnvironmentObject]:
    """Return the parked vehicles of a town, which ``objects`` contains, too."""
    return _props(props, MOVERS)


def _props(props: Placements, only: Sequence[Tag] = tuple(Tag)) -> list[EnvironmentObject]:
    catalogue = templates()
    names = {index: name.replace(" ", "_") for name, index in catalogue.index.items()}
    tags = {k: _main_tag(catalogue.meshes[k].tags) for k in np.unique(props.template).tolist()}
    props = props.chosen((props.instance > 0) & np.isin(props.template, [k for k, tag in tags.items() if tag in only]))
    bounds = {k: np.array(catalogue.meshes[k].bounds, float) for k in np.unique(props.template).tolist()}
    low, high = np.array([bounds[k] for k in props.template.tolist()]).reshape(-1, 2, 3).swapaxes(0, 1)
    poses = props.pose.astype(float)
    places = poses[:, :3, 3]
    centres = (poses[:, :3, :3] @ ((low + high) / 2.0)[..., None])[..., 0] + places
    halves = (high - low) / 2.0 * np.linalg.norm(poses[:, :3, 0], axis=1)[:, None]
    yaws = np.degrees(np.arctan2(poses[:, 1, 0], poses[:, 0, 0]))
    columns = (each.tolist() for each in (props.template, props.instance, places, centres, halves, yaws))
    counts: Counter[int] = Counter()
    entries = []
    for template, ident, place, centre, half, yaw in zip(*columns, strict=True):
        counts[template] += 1
        name, rotation = f"{names[template]}_{counts[template]}", [0.0, yaw, 0.0]
        box = [centre, half, rotation, 0]
        entries.append(EnvironmentObject(ident, name, tags[template], [place, rotation], box))
    return entries


def _main_tag(tags: np.ndarray) -> int:
    return int(np.bincount(tags).argmax()) if len(tags) else 0


def _buildings(scene: Scene) -> list[EnvironmentObject]:
    """Return the numbered parts of the static mesh."""
    owners = scene.instances[: scene.static_triangles].astype(np.int64)
    chosen = np.flatnonzero(owners > 0)
    if not len(chosen):
        return []
    idents, row = np.unique(owners[chosen], return_inverse=True)
    counts = np.zeros((len(idents), 256), np.int64)
    np.add.at(counts, (row, scene.tags[chosen]), 1)
    low, high = _bounds(_corners(scene, chosen), row, len(idents))
    entries = []
    for ident, a, b, tag in zip(idents.tolist(), low, high, counts.argmax(1).tolist(), strict=True):
        place = [[*((a + b) / 2.0)[:2].tolist(), float(a[2])], [0.0, 0.0, 0.0]]
        box = [((a + b) / 2.0).tolist(), ((b - a) / 2.0).tolist(), [0.0, 0.0, 0.0], 0]
        entries.append(EnvironmentObject(ident, f"{Tag(tag).name.lower()}_{ident}", tag, place, box))
    return entries


def _pieces(scene: Scene, lanes: Sequence[Lane], first: int) -> list[EnvironmentObject]:
    """Return the pieces of the ground, the unnumbered part of the static mesh. ``first``: id of the first piece."""
    chosen = np.flatnonzero(scene.instances[: scene.static_triangles] == 0)
    if not len(chosen):
        return []
    tags = scene.tags[chosen].astype(np.int64)
    corners = _corners(scene, chosen)
    chunk = np.searchsorted(scene.triangle_spans[: scene.chunks, END], chosen, side="right")
    keys = np.stack([tags, np.full_like(tags, -1), chunk], axis=1)  # tag, road, piece of the road
    yaws = np.zeros(len(chosen))
    on_road = np.flatnonzero(np.isin(tags, ROAD_TAGS))
    keys[on_road, 1:], yaws[on_road] = _nearest_road_pieces(corners[on_road].mean(axis=1), lanes)
    unique, piece = np.unique(keys, axis=0, return_inverse=True)
    yaw = np.zeros(len(unique))
    yaw[piece] = yaws  # the yaw of any of its triangles: a box lies along its piece
    cos, sin = np.cos(yaw), np.sin(yaw)
    c, s = cos[piece][:, None], sin[piece][:, None]
    local = np.stack([c * corners[..., 0] + s * corners[..., 1], c * corners[..., 1] - s * corners[..., 0]], axis=2)
    low, high = _bounds(np.concatenate([local, corners[..., 2:]], axis=2), piece, len(unique))
    middle, half = (low + high) / 2.0, np.maximum((high - low) / 2.0, MIN_HALF_HEIGHT)
    entries = []
    for k, (tag, road, part) in enumerate(unique.tolist()):
        u, v, z = middle[k].tolist()
        centre = [float(cos[k] * u - sin[k] * v), float(sin[k] * u + cos[k] * v), z]
        rotation = [0.0, float(np.degrees(yaw[k])), 0.0]
        kind = Tag(tag).name.lower()
        name = f"{kind}_{road}_{part}" if road >= 0 else f"{kind}_{part}"
        entries.append(
            EnvironmentObject(first + k, name, tag, [centre, rotation], [centre, half[k].tolist(), rotation, 0])
        )
    return entries


def _nearest_road_pieces(points: np.ndarray, lanes: Sequence[Lane]) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest road and its nearest piece, i64 (N, 2), and the piece's heading, radians f64 (N,).

    ``points``: f64 (N, 3), m.
    """
    places, keys, headings = [], [], []
    for lane in lanes:
        centre = lane.centre if lane.id < 0 else lane.centre[::-1]  # in the direction of the road, not of its traffic
        at = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(centre, axis=0), axis=1))])
        count = max(int(np.ceil(at[-1] / PIECE)), 1)
        part = np.minimum((at / at[-1] * count).astype(np.int64), count - 1)
        ends = np.array(
            [[np.interp(at[-1] * k / count, at, centre[:, axis]) for axis in (0, 1)] for k in range(count + 1)]
        )
        heading = np.arctan2(*np.diff(ends, axis=0).T[::-1])
        places.append(centre)
        keys.append(np.stack([np.full(len(at), lane.road), lane.section * 1000 + part], axis=1))
        headings.append(heading[part])
    _, nearest = cKDTree(np.concatenate(places)).query(points)
    return np.concatenate(keys)[nearest], np.concatenate(headings)[nearest]


def _corners(scene: Scene, triangles: np.ndarray) -> np.ndarray:
    """Return the corners of triangles, f64 (N, 3, 3), metres in the world."""
    return scene.vertices.T[scene.triangles[triangles]].astype(np.float64)


def _bounds(corners: np.ndarray, row: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return minimum and maximum of ``count`` groups, f64 (count, 3) each; ``row``: the group of each triangle."""
    low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
    np.minimum.at(low, row, corners.min(1))
    np.maximum.at(high, row, corners.max(1))
    return low, high
