"""Read-only queries about a town: its map, objects and their boxes, lamps, navigation mesh."""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ET
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from neuralsim.town.assets.templates import templates
from neuralsim.town.carla_server.compat import navigation_mesh
from neuralsim.town.carla_server.compat.level_objects import EnvironmentObject, objects

if TYPE_CHECKING:
    from neuralsim.town.world import World

LAMPS = {"lamp": 5000.0, "lantern": 2000.0}  # lumen, by prop
STREET = 2  # carla.LightGroup.Street
WARM = [255, 214, 170]
NO_PAINT = {"sOffset": "0", "type": "none", "material": "standard", "color": "white", "laneChange": "none"}
BEFORE_ROAD_MARK = ("link", "width", "border")  # what a lane lists before its road marks


class StaticScene:
    """Answers about one world, each worked out when it is first asked for."""

    def __init__(self, world: World) -> None:
        self.world = world

    @cached_property
    def opendrive(self) -> str:
        """The map as clients get it."""
        return with_marks(str(self.world.opendrive))

    @cached_property
    def navigation_mesh(self) -> bytes:
        """The navigation mesh of CARLA's walkers, empty for a map without pavements."""
        return navigation_mesh.build(self.world.ground, self.world.map.get_crosswalks())

    @cached_property
    def navigation_file(self) -> str:
        """The mesh's file name, unique per town since clients cache such files; "" without pavements."""
        if not navigation_mesh.walkable(self.world.ground):
            return ""
        mark = hashlib.sha256(f"{navigation_mesh.EDITION} {self.world.opendrive}".encode()).hexdigest()[:12]
        return f"Carla/Maps/Nav/{self.world.name}-{mark}.bin"

    @cached_property
    def things(self) -> list[EnvironmentObject]:
        """Everything in the town that stands still."""
        scene, props, _ = self.world.shapes()
        return objects(scene, props, self.world.network.lanes)

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


def with_marks(opendrive: str) -> str:
    """The same map with a road mark at the beginning of every lane that has none there.

    The official client's lane-invasion sensor reads the road marks of both lanes that a wheel has crossed without
    asking whether there are any, and dies on a lane without (``LibCarla``'s
    ``road/element/LaneCrossingCalculator.cpp``). Every lane of CARLA's own maps has one from its beginning; so has
    every lane here, of type "none" where the file has no paint, over which as in CARLA's maps nobody changes lanes.
    """
    root = ET.fromstring(opendrive.encode())
    for lane in root.iter("lane"):
        if any(float(mark.get("sOffset", "0")) < 1e-3 for mark in lane.findall("roadMark")):
            continue
        place = sum(child.tag in BEFORE_ROAD_MARK for child in lane)
        lane.insert(place, ET.Element("roadMark", NO_PAINT))
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode")
