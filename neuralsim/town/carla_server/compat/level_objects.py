"""What stands still in a town and is no actor, as CARLA's level lists it: things, houses, and the pieces of the ground.

CARLA's roads, pavements and markings are meshes of a road each; here they are cut the same way, at most `PIECE` metres
long, and the land between them by the chunks that it is drawn in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from bridge.tags import Tag
from neuralsim.town.assets.meshes import END
from neuralsim.town.assets.templates import templates
from neuralsim.town.opendrive.lane import Lane
from neuralsim.town.render.scene import Placements, Scene

ANY = 255  # carla.CityObjectLabel.Any
THICK = 0.05  # m, least half height of a piece: what lies on it is in its box
PIECE = 50.0  # m along a road, greatest length of its pieces
#: Cut by roads; all other tags of the ground by chunks.
OF_ROADS = (Tag.ROAD, Tag.ROAD_LINE, Tag.SIDEWALK)
#: CARLA labels the land between its streets as either; here all of it is terrain.
ALSO: dict[int, tuple[Tag, ...]] = {Tag.GROUND: (Tag.TERRAIN,)}


@dataclass
class EnvironmentObject:
    """Something that stands in the town and is no actor."""

    ident: int
    name: str
    tag: int
    place: list[list[float]]  # carla.Transform
    box: list[Any]  # carla.BoundingBox in the world


def wanted(tag: int, label: int) -> bool:
    """Whether a thing with this tag is among those with CARLA's ``label``."""
    return label in (ANY, tag) or tag in ALSO.get(label, ())


def objects(scene: Scene, props: Placements, lanes: Sequence[Lane]) -> list[EnvironmentObject]:
    """Everything of a town, each with an id of its own."""
    named = _buildings(scene) + _props(props)
    first = max((thing.ident for thing in named), default=0) + 1
    return named + _pieces(scene, lanes, first)


def _props(props: Placements) -> list[EnvironmentObject]:
    book = templates()
    names = {index: name for name, index in book.index.items()}
    tags = {k: _main_tag(book.meshes[k].tags) for k in np.unique(props.template).tolist()}
    seen: Counter[str] = Counter()
    things = []
    for template, pose, ident in zip(props.template.tolist(), props.pose, props.instance.tolist(), strict=True):
        low, high = (np.asarray(bound, float) for bound in book.meshes[template].bounds)
        scale = float(np.linalg.norm(pose[:3, 0]))
        yaw = float(np.degrees(np.arctan2(pose[1, 0], pose[0, 0])))
        centre = pose[:3, :3] @ ((low + high) / 2.0) + pose[:3, 3]
        half = (high - low) / 2.0 * scale
        kind = names[template].replace(" ", "_")
        seen[kind] += 1
        rotation = [0.0, yaw, 0.0]
        box = [centre.tolist(), half.tolist(), rotation, 0]
        things.append(
            EnvironmentObject(ident, f"{kind}_{seen[kind]}", tags[template], [pose[:3, 3].tolist(), rotation], box)
        )
    return things


def _main_tag(tags: np.ndarray) -> int:
    return int(np.bincount(tags).argmax()) if len(tags) else 0


def _buildings(scene: Scene) -> list[EnvironmentObject]:
    """The numbered parts of the static mesh."""
    owner = scene.instances[: scene.static_triangles].astype(np.int64)
    chosen = np.flatnonzero(owner > 0)
    if not len(chosen):
        return []
    idents, row = np.unique(owner[chosen], return_inverse=True)
    counts = np.zeros((len(idents), 256), np.int64)
    np.add.at(counts, (row, scene.tags[chosen]), 1)
    low, high = _bounds(_corners(scene, chosen), row, len(idents))
    things = []
    for ident, a, b, tag in zip(idents.tolist(), low, high, counts.argmax(1).tolist(), strict=True):
        place = [[*((a + b) / 2.0)[:2].tolist(), float(a[2])], [0.0, 0.0, 0.0]]
        box = [((a + b) / 2.0).tolist(), ((b - a) / 2.0).tolist(), [0.0, 0.0, 0.0], 0]
        things.append(EnvironmentObject(ident, f"{Tag(tag).name.lower()}_{ident}", tag, place, box))
    return things


def _pieces(scene: Scene, lanes: Sequence[Lane], first: int) -> list[EnvironmentObject]:
    """The ground: what of the static mesh belongs to nothing that is numbered. ``first``: id of the first piece."""
    chosen = np.flatnonzero(scene.instances[: scene.static_triangles] == 0)
    if not len(chosen):
        return []
    tags = scene.tags[chosen].astype(np.int64)
    corners = _corners(scene, chosen)
    chunk = np.searchsorted(scene.triangle_spans[: scene.chunks, END], chosen, side="right")
    keys = np.stack([tags, np.full_like(tags, -1), chunk], axis=1)  # tag, road, which piece of it
    yaws = np.zeros(len(chosen))
    near = np.flatnonzero(np.isin(tags, OF_ROADS))
    keys[near, 1:], yaws[near] = _roads(corners[near].mean(axis=1), lanes)
    unique, which = np.unique(keys, axis=0, return_inverse=True)
    yaw = np.zeros(len(unique))
    yaw[which] = yaws  # one of its own: a box lies along its piece
    cos, sin = np.cos(yaw), np.sin(yaw)
    c, s = cos[which][:, None], sin[which][:, None]
    local = np.stack([c * corners[..., 0] + s * corners[..., 1], c * corners[..., 1] - s * corners[..., 0]], axis=2)
    low, high = _bounds(np.concatenate([local, corners[..., 2:]], axis=2), which, len(unique))
    middle, half = (low + high) / 2.0, np.maximum((high - low) / 2.0, THICK)
    things = []
    for k, (tag, road, part) in enumerate(unique.tolist()):
        u, v, z = middle[k].tolist()
        centre = [float(cos[k] * u - sin[k] * v), float(sin[k] * u + cos[k] * v), z]
        rotation = [0.0, float(np.degrees(yaw[k])), 0.0]
        kind = Tag(tag).name.lower()
        name = f"{kind}_{road}_{part}" if road >= 0 else f"{kind}_{part}"
        things.append(
            EnvironmentObject(first + k, name, tag, [centre, rotation], [centre, half[k].tolist(), rotation, 0])
        )
    return things


def _roads(points: np.ndarray, lanes: Sequence[Lane]) -> tuple[np.ndarray, np.ndarray]:
    """For places f64 (N, 3): the road that each is nearest to and which piece of it, i64 (N, 2), and the heading of
    that piece, radians f64 (N,)."""
    places, keys, headings = [], [], []
    for lane in lanes:
        centre = lane.centre if lane.id < 0 else lane.centre[::-1]  # along the road, whichever way vehicles go
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
    """f64 (N, 3, 3), metres in the world."""
    return scene.vertices.T[scene.triangles[triangles]].astype(np.float64)


def _bounds(corners: np.ndarray, row: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest corner of ``count`` groups, f64 (count, 3) each; ``row``: the group of each triangle."""
    low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
    np.minimum.at(low, row, corners.min(1))
    np.maximum.at(high, row, corners.max(1))
    return low, high
