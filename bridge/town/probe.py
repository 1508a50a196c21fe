"""A trial reading of a map file in a process of its own.

`carla.Map` is native code that does not survive every damaged file (a controller of a signal that is not there, for
one). The town must: it lets another process try first. ``python -m bridge.town.probe FILE`` exits 0 when the map is
usable. Numbers that would make it fill all memory (a road without end) are refused before that.
"""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

PATIENCE = 120.0  # s
LONGEST = 100_000.0  # m, of one road: `carla.Map` samples them all
LARGEST = 1e7  # of any number: metres from the origin, coefficients
_NUMBERS = (
    "s",
    "sOffset",
    "t",
    "x",
    "y",
    "z",
    "hdg",
    "length",
    "a",
    "b",
    "c",
    "d",
    "curvature",
    "curvStart",
    "curvEnd",
)


def check_numbers(name: str, root: ET.Element) -> None:
    """Raises ValueError for a number that no map has: not finite, or larger than a town can be."""
    for element in root.iter():
        for attribute in _NUMBERS:
            try:
                value = float(element.get(attribute, "0"))
            except ValueError:
                continue  # `carla.Map` says what it thinks of text
            limit = LONGEST if (element.tag, attribute) == ("road", "length") else LARGEST
            if not (math.isfinite(value) and abs(value) <= limit):
                raise ValueError(f"{name} is damaged: a <{element.tag}> has {attribute}={element.get(attribute)!r}")


def try_map(path: Path) -> None:
    """Read a map elsewhere. Raises ValueError with the reason when that fails, takes too long or kills the reader."""
    root = str(Path(__file__).resolve().parents[2])
    known = os.environ.get("PYTHONPATH")
    environment = dict(os.environ, PYTHONPATH=root + (os.pathsep + known if known else ""))
    command = [sys.executable, "-m", "bridge.town.probe", str(path)]
    try:
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise ValueError(
            f"{path}: CARLA's map reader needs more than {PATIENCE:.0f} s for it: choose a smaller map"
        ) from None
    if result.returncode == 1 and result.stdout.strip():
        raise ValueError(result.stdout.strip().splitlines()[-1])
    if result.returncode:
        raise ValueError(
            f"{path}: CARLA's map reader breaks down over it: repair the file (roads, links, signal references)"
        )


def main(path: Path) -> int:
    with contextlib.suppress(ImportError):  # where there are limits: the town may not be there any more to end this
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (int(PATIENCE), int(PATIENCE)))
    from bridge.town.network import Network  # here, so that `try_map` does not load it

    try:
        Network(path.stem, path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
