"""Towns as OpenDRIVE text: the generated ones, and any other file by its path.

Coordinates in the text are OpenDRIVE's (x east, y north, right-handed); ``carla.Map`` mirrors y when it reads them.
"""

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from bridge.process import presets
from neuralsim.town.opendrive.dialects import normalise
from neuralsim.town.opendrive.probe import read, try_map

#: Every town that can be generated, by name.
TOWNS = presets.TOWNS

#: Further towns that stand in for CARLA's.
STANDINS = (presets.PLAIN, "borough", "crossways", "squares")

#: CARLA's towns, and the generated town that stands in for each: the most similar one.
AS_CARLA = {
    "Town01": "borough",
    "Town02": "hamlet",
    "Town03": "crossways",
    "Town04": "suburb",
    "Town05": "squares",
    "Town06": "motorway",
    "Town07": "village",
    "Town10HD": "oldtown",
}
OPT = "_Opt"  # suffix of CARLA's layered version of a map


def load(town: str, seed: int = 0) -> tuple[str, str]:
    """Return name and OpenDRIVE text of a town: one of ``TOWNS``, or the path of an ``.xodr`` file.

    Raises:
        ValueError: There is no such town or file, or the file contains no OpenDRIVE roads.
    """
    if town in TOWNS or town in STANDINS:
        return town, generate(town, seed)
    path = Path(presets.town(town))
    text, root = read(town, path)
    if normalise(root):
        text = ET.tostring(root, encoding="unicode")
    try_map(town, text)
    return map_name(path), text


def map_name(path: Path) -> str:
    """Return the name of a map's file without its suffix, as clients have it: bytes that are no UTF-8 are replaced."""
    return path.stem.encode(errors="surrogateescape").decode(errors="replace")


@lru_cache(maxsize=4)
def generate(name: str, seed: int = 0) -> str:
    """Return the OpenDRIVE text of a generated town; the same name and seed give the same text."""
    from neuralsim.town.opendrive import generators

    return generators.generate(name, seed)


def maps(places: Sequence[str], as_carla: bool = False) -> dict[str, str]:
    """Return the maps that clients may load: the argument of `load` for each name, the default map first.

    ``places`` are names of towns, ``.xodr`` files and folders of such files, which are sorted by name. With
    ``as_carla`` CARLA's names are added, each for the most similar town unless there is a file of that name; with
    ``as_carla`` and no places the default is CARLA's.

    Raises:
        ValueError: A folder contains no ``.xodr`` files.
    """
    known: dict[str, str] = {}
    for place in places:
        path = Path(place)
        if place in TOWNS or not path.is_dir():
            known.setdefault(place if place in TOWNS else map_name(path), place)
            continue
        files = sorted(each for each in path.iterdir() if each.suffix.lower() == ".xodr")
        if not files:
            raise ValueError(f"{place}: no .xodr files in this folder")
        for each in files:
            known.setdefault(map_name(each), str(each))
    if as_carla:
        standins = {name: known.get(name, town) for name, town in AS_CARLA.items()}
        if not places:
            known["Town10HD" + OPT] = standins["Town10HD"]  # CARLA begins with this one
        for name, town in standins.items():
            known.setdefault(name, town)
            known.setdefault(name + OPT, town)
    for name in sorted(TOWNS):
        known.setdefault(name, name)
    return known


def find(name: str, known: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the argument of `load` for a name that a client requests and the name of its map; None if unknown.

    A path before the name is ignored. ``Town01_Opt`` is the same map as ``Town01``.
    """
    name = name.rsplit("/", 1)[-1]
    place = known.get(name) or (known.get(name.removesuffix(OPT)) if name.endswith(OPT) else None)
    return (place, name) if place else None
