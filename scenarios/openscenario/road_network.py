"""The map of an OpenSCENARIO file."""

from __future__ import annotations

import os
import re
from pathlib import Path

from bridge.process.presets import PLAIN, TOWNS
from bridge.untrusted import files, limits
from scenarios.openscenario.elements import Element


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


def keeps_left(folder: Path, town: str) -> bool:
    """Return whether traffic on the scenario's map keeps left."""
    if not town.endswith(".xodr"):
        return False
    text = files.read_bytes(folder / town, limits.OPENDRIVE_SIZE)
    return re.search(rb"""<road\b[^>]*\brule\s*=\s*["']LHT["']""", text) is not None
