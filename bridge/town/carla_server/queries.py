"""What can be asked about a town as a whole: its map, its objects and their boxes, its lamps, its navigation mesh."""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bridge.tags import Tag
from bridge.town.assets.templates import templates
from bridge.town.dynamics import navigation
from bridge.town.render.raster import Placements, Scene

ANY = 255  # carla.CityObjectLabel.Any
LAMPS = {"lamp": 5000.0, "lantern": 2000.0}  # lumen, by prop
STREET = 2  # carla.LightGroup.Street
WARM = [255, 214, 170]
NO_PAINT = {"sOffset": "0", "type": "none", "material": "standard", "color": "white", "laneChange": "both"}
BEFORE = ("link", "width", "border")  # what a lane lists before its road marks


@dataclass
class Thing:
    """Something that stands in the town and is no actor."""

    ident: int
    name: str
    tag: int
    place: list[list[float]]  # carla.Transform
    box: list[Any]  # carla.BoundingBox in the world


class Queries:
    """Answers about one world, each worked out when it is first asked for."""

    def __init__(self, world: Any) -> None:
        self.world = world

    @cached_property
    def opendrive(self) -> str:
        """The map as clients get it."""
        return with_marks(str(self.world.opendrive))

    @cached_property
    def navigation_mesh(self) -> bytes:
        """What CARLA's walkers find their ways by, empty where nobody can walk."""
        return navigation.build(self.world.ground, self.world.map.get_crosswalks())

    @cached_property
    def navigation_file(self) -> str:
        """Its name, "" where nobody can walk. It tells towns apart, for clients keep such files."""
        if not navigation.walkable(self.world.ground):
            return ""
        mark = hashlib.sha256(f"{navigation.EDITION} {self.world.opendrive}".encode()).hexdigest()[:12]
        return f"Carla/Maps/Nav/{self.world.name}-{mark}.bin"

    @cached_property
    def things(self) -> list[Thing]:
        """Everything in the town that stands still."""
        scene, props, _ = self.world.shapes()
        return _buildings(scene) + _props(props)

    @cached_property
    def lamps(self) -> dict[int, list[Any]]:
        """``rpc::LightState`` of the street lamps by id: id, place, lumen, group, colour, whether it is on."""
        _, props, _ = self.world.shapes()
        book = templates()
        found: dict[int, list[Any]] = {}
        for kind, lumen in LAMPS.items():
            for k in np.flatnonzero(props.template == book.index[kind]).tolist():
                high = float(book.meshes[book.index[kind]].bounds[1][2])
                place = props.pose[k] @ (0.0, 0.0, high, 1.0)
                found[k + 1] = [k + 1, place[:3].tolist(), lumen, STREET, list(WARM), False]
        return found


def _props(props: Placements) -> list[Thing]:
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
        things.append(Thing(ident, f"{kind}_{seen[kind]}", tags[template], [pose[:3, 3].tolist(), rotation], box))
    return things


def _buildings(scene: Scene) -> list[Thing]:
    """The numbered parts of the static mesh."""
    last = int(scene.parts[scene.chunks - 1, 7]) if scene.chunks else 0
    owner = scene.instances[:last].astype(np.int64)
    chosen = np.flatnonzero(owner > 0)
    if not len(chosen):
        return []
    idents, row = np.unique(owner[chosen], return_inverse=True)
    corners = scene.vertices.T[scene.triangles[chosen]].astype(np.float64)
    low, high = np.full((len(idents), 3), np.inf), np.full((len(idents), 3), -np.inf)
    np.minimum.at(low, row, corners.min(1))
    np.maximum.at(high, row, corners.max(1))
    counts = np.zeros((len(idents), 256), np.int64)
    np.add.at(counts, (row, scene.tags[chosen]), 1)
    things = []
    for ident, a, b, tag in zip(idents.tolist(), low, high, counts.argmax(1).tolist(), strict=True):
        centre, half = ((a + b) / 2.0).tolist(), ((b - a) / 2.0).tolist()
        place = [[centre[0], centre[1], float(a[2])], [0.0, 0.0, 0.0]]
        box = [centre, half, [0.0, 0.0, 0.0], 0]
        things.append(Thing(ident, f"{Tag(tag).name.lower()}_{ident}", tag, place, box))
    return things


def _main_tag(tags: np.ndarray) -> int:
    return int(np.bincount(tags).argmax()) if len(tags) else 0


def with_marks(opendrive: str) -> str:
    """The same map with a road mark at the beginning of every lane that has none there.

    The official client's lane-invasion sensor reads the road marks of both lanes that a wheel has crossed without
    asking whether there are any, and dies on a lane without (``LibCarla``'s
    ``road/element/LaneCrossingCalculator.cpp``). Every lane of CARLA's own maps has one from its beginning; so has
    every lane here, of type "none" where the file has no paint.
    """
    root = ET.fromstring(opendrive.encode())
    for lane in root.iter("lane"):
        if any(float(mark.get("sOffset", "0")) < 1e-3 for mark in lane.findall("roadMark")):
            continue
        place = sum(child.tag in BEFORE for child in lane)
        lane.insert(place, ET.Element("roadMark", NO_PAINT))
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode")
