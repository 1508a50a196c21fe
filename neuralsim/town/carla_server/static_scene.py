"""Read-only queries about a town: map, objects and their boxes, lamps, navigation mesh."""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ET
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bridge.tags import MOVERS
from neuralsim.town.carla_server.compat import level_objects, navigation_mesh
from neuralsim.town.carla_server.compat.level_objects import EnvironmentObject
from neuralsim.town.core.types import Transform
from neuralsim.town.scenery.town_styles import is_carlas

if TYPE_CHECKING:
    from neuralsim.town.world import World

LAMPS = {"lamp": 5000.0, "lantern": 2000.0}  # lumen, by prop
STREET = 2  # carla.LightGroup.Street
WARM_WHITE = [255, 214, 170]
NO_MARKING = {"sOffset": "0", "type": "none", "material": "standard", "color": "white", "laneChange": "none"}
BEFORE_ROAD_MARK = ("link", "width", "border")  # elements of a lane that precede its road marks


class StaticScene:
    """The static content of a world; each property is computed on first use."""

    def __init__(self, world: World) -> None:
        self.world = world

    @cached_property
    def opendrive(self) -> str:
        """The map in the form that clients receive."""
        return with_road_marks(str(self.world.opendrive))

    @property
    def spawn_points(self) -> list[Transform]:
        """Where clients may spawn vehicles: on a map with one of CARLA's names as close as in CARLA's."""
        return self.world.spawn_points(close=True) if is_carlas(self.world.name) else self.world.spawn_points()

    @cached_property
    def navigation_mesh(self) -> bytes:
        """The navigation mesh of CARLA's walkers, empty for a map without pavements."""
        return navigation_mesh.build(self.world.ground, self.world.map.get_crosswalks())

    @cached_property
    def navigation_file(self) -> str:
        """The file name of the mesh, unique per town since clients cache such files; "" without pavements."""
        if not navigation_mesh.walkable(self.world.ground):
            return ""
        digest = hashlib.sha256(f"{navigation_mesh.EDITION} {self.world.opendrive}".encode()).hexdigest()[:12]
        return f"Carla/Maps/Nav/{self.world.name}-{digest}.bin"

    @cached_property
    def objects(self) -> list[EnvironmentObject]:
        """All static objects of the town."""
        return level_objects.objects(self.world.shapes()[0], self.world.all_props, self.world.network.lanes)

    def labelled(self, label: int) -> list[EnvironmentObject]:
        """Return the static objects with one of CARLA's labels. Vehicles are found at once, others in seconds."""
        found = level_objects.vehicles(self.world.all_props) if label in MOVERS else self.objects
        return [each for each in found if level_objects.matches(each.tag, label)]

    @cached_property
    def lamps(self) -> dict[int, list[Any]]:
        """Each street lamp's ``rpc::LightState`` by id: id, place, lumen, group, colour, whether it is switched on.

        By night all of them are on.
        """
        lamps: dict[int, list[Any]] = {}
        for k, (kind, place) in self.world.static_town.street_lamps.items():
            lamps[k + 1] = [k + 1, list(place), LAMPS[kind], STREET, list(WARM_WHITE), False]
        return lamps


def with_road_marks(opendrive: str) -> str:
    """Return the map with a road mark added at the start of every lane that has none there.

    The official client's lane-invasion sensor reads the road marks of both lanes that a wheel has crossed without
    checking that there are any, and crashes on a lane without (``LibCarla``'s
    ``road/element/LaneCrossingCalculator.cpp``). Every lane of CARLA's own maps has one from its start. So has every
    lane here: of type "none" where the file has no marking, across which, as in CARLA's maps, nobody changes lanes.
    """
    root = ET.fromstring(opendrive.encode())
    for lane in root.iter("lane"):
        if any(float(mark.get("sOffset", "0")) < 1e-3 for mark in lane.findall("roadMark")):
            continue
        index = sum(child.tag in BEFORE_ROAD_MARK for child in lane)
        lane.insert(index, ET.Element("roadMark", NO_MARKING))
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode")
