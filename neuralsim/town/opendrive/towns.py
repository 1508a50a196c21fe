"""Towns as OpenDRIVE text: the generated ones, and any other file by its path.

Coordinates in here are OpenDRIVE's (x east, y north, right-handed); ``carla.Map`` mirrors y when it reads them.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from bridge.process import presets
from neuralsim.town.opendrive.probe import mend, read, try_map

#: Every town that can be generated, by name.
TOWNS = presets.TOWNS

#: Towns that are there to stand in for CARLA's.
STANDINS = (presets.PLAIN, "crossways", "squares")

#: Which town answers to the name of one of CARLA's: the one that is most like it.
AS_CARLA = {
    "Town01": "hamlet",
    "Town02": "hamlet",
    "Town03": "crossways",
    "Town04": "suburb",
    "Town05": "squares",
    "Town06": "motorway",
    "Town07": "village",
    "Town10HD": "oldtown",
}
OPT = "_Opt"  # how CARLA ends the name of the same map in layers


def load(town: str, seed: int = 0) -> tuple[str, str]:
    """Name and OpenDRIVE text of a town: one of ``TOWNS``, or the path of an ``.xodr`` file.

    Raises:
        ValueError: no such town or file, or the file holds no OpenDRIVE roads.
    """
    if town in TOWNS or town in STANDINS:
        return town, generate(town, seed)
    path = Path(presets.town(town))
    text, root = read(town, path)
    if mend(root):
        text = ET.tostring(root, encoding="unicode")
    try_map(town, text)
    return path.stem, text


@lru_cache(maxsize=4)
def generate(name: str, seed: int = 0) -> str:
    """OpenDRIVE text of a generated town; the same name and seed give the same text."""
    from neuralsim.town.opendrive import generators

    return generators.generate(name, seed)


def maps(places: Sequence[str], as_carla: bool = False) -> dict[str, str]:
    """The maps that clients may load: what `load` takes, by the name that clients use, the first one first.

    ``places``: names of towns, ``.xodr`` files and folders of such files, which are in the order of their names.
    ``as_carla``: CARLA's names are answered too, by the town that is most like each, unless there is a file of that
    name; with ``as_carla`` and no places the first is CARLA's own first one.

    Raises:
        ValueError: a folder without ``.xodr`` files.
    """
    found: dict[str, str] = {}
    for place in places:
        path = Path(place)
        if place in TOWNS or not path.is_dir():
            found.setdefault(place if place in TOWNS else path.stem, place)
            continue
        files = sorted(each for each in path.iterdir() if each.suffix.lower() == ".xodr")
        if not files:
            raise ValueError(f"{place}: no .xodr file in this folder")
        for each in files:
            found.setdefault(each.stem, str(each))
    if as_carla:
        standins = {name: found.get(name, town) for name, town in AS_CARLA.items()}
        if not places:
            found["Town10HD" + OPT] = standins["Town10HD"]  # CARLA begins with this one
        for name, town in standins.items():
            found.setdefault(name, town)
            found.setdefault(name + OPT, town)
    for name in sorted(TOWNS):
        found.setdefault(name, name)
    return found


def find(name: str, known: Mapping[str, str]) -> tuple[str, str] | None:
    """What `load` takes for a name that a client asks for, and the name that its map then has; None where there is
    none. A path before the name is ignored; what CARLA calls ``Town01_Opt`` is the same map as ``Town01``."""
    name = name.rsplit("/", 1)[-1]
    place = known.get(name) or (known.get(name.removesuffix(OPT)) if name.endswith(OPT) else None)
    return (place, name) if place else None
