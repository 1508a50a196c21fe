"""The map of an OpenSCENARIO file."""

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import unescape

from bridge.opendrive import local_origin, numbers_for
from bridge.process.presets import PLAIN, TOWNS
from bridge.untrusted import files, limits
from bridge.untrusted.xml import decode
from scenarios.openscenario.elements import Element

_START = re.compile(r"<(?:\w+:)?geometry\b[^>]*")
_ID = re.compile(r"""<(?:\w+:)?road\b[^>]*?\sid\s*=\s*["']([^"']*)""")
_LEFT = re.compile(r"""<(?:\w+:)?road\b[^>]*\srule\s*=\s*["']LHT["']""")


def town_of(network: Element, folder: Path) -> str:
    """Return the town of a RoadNetwork: a path relative to ``folder``, the scenario's, or a name."""
    logic = network.find("LogicFile")
    if logic is None:
        return PLAIN
    name = logic.text("filepath")
    path = Path(name.replace("\\", "/"))
    candidates = [path, Path(path.name)] if path.suffix.lower() == ".xodr" else [Path(f"{path.name}.xodr")]
    if path.name.endswith("_Opt"):
        candidates.append(Path(f"{path.name.removesuffix('_Opt')}.xodr"))
    # Try the tails of the path, too, relative to the scenario's folder and to its parent folder.
    parts = path.parts
    candidates[1:1] = [Path(up, *parts[k:]) for k in range(1, len(parts)) for up in ("", "..")]
    for candidate in candidates:
        if os.path.isfile(folder / candidate):  # unlike Path.is_file, False for an invalid path
            return str(candidate)
    if name in TOWNS:
        return name
    raise logic.error(f"there is no map {name}; put {candidates[-1]} in the scenario's folder")


class Frame(NamedTuple):
    """How a map lies in the world: the world's origin in the map's coordinates, m, whether traffic keeps left, and the
    numbers of roads whose ids are none."""

    x: float = 0.0
    y: float = 0.0
    keeps_left: bool = False
    numbers: Mapping[str, str] = {}


def frame_of(folder: Path, town: str) -> Frame:
    """Return the frame of a scenario's map, without reading all of it."""
    if not town.endswith(".xodr"):
        return Frame()
    try:
        text = decode(files.read_bytes(folder / town, limits.OPENDRIVE_SIZE))
    except files.FileRefused:
        return Frame()  # refused when it is loaded
    starts = _START.findall(text)
    places = (tuple(_coordinate(start, axis) for axis in "xy") for start in starts)
    ids = [unescape(ident, {"&quot;": '"', "&apos;": "'"}) for ident in _ID.findall(text)]
    return Frame(*local_origin((x, y) for x, y in places), _LEFT.search(text) is not None, numbers_for(ids))


def _coordinate(start: str, axis: str) -> float:
    with contextlib.suppress(ValueError):
        found = re.search(rf"""\s{axis}\s*=\s*["']([^"']*)""", start)
        return float(found[1]) if found else 0.0
    return 0.0
