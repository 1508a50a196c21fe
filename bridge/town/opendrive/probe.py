"""A trial parse of a map file in a separate process.

``carla.Map`` is native code that does not survive every damaged file (a controller of a signal that is not there, for
one). The town must: it lets another process try first. ``python -m bridge.town.opendrive.probe NAME < FILE`` exits 0
when the map is usable. Numbers that would make it fill all memory (a road without end) are refused before that.
"""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

TIMEOUT = 120.0  # s
LONGEST = 100_000.0  # m, of one road: ``carla.Map`` samples them all
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
                continue  # ``carla.Map`` says what it thinks of text
            limit = LONGEST if (element.tag, attribute) == ("road", "length") else LARGEST
            if not (math.isfinite(value) and abs(value) <= limit):
                raise ValueError(f"{name} is damaged: a <{element.tag}> has {attribute}={element.get(attribute)!r}")


def mend(root: ET.Element) -> int:
    """Correct what generators write and ``carla.Map`` does not survive; returns how many things that were.

    Objects and signals behind their road's end (rounding, mostly) are put at it; controllers and references that name
    a signal which is not in the file are left out.
    """
    count = 0
    for road in root.iter("road"):
        for kind in ("object", "signal", "signalReference"):
            for thing in road.iter(kind):
                with contextlib.suppress(ValueError):  # ``carla.Map`` says what it thinks of text
                    place, length = float(thing.get("s", "0")), float(road.get("length", "0"))
                    if not 0.0 <= place <= length:
                        thing.set("s", repr(min(max(place, 0.0), length)))
                        count += 1
    known = {signal.get("id") for signal in root.iter("signal")}
    for parent, kind, name in (("signals", "signalReference", "id"), ("controller", "control", "signalId")):
        for group in root.iter(parent):
            for thing in [thing for thing in group.findall(kind) if thing.get(name) not in known]:
                group.remove(thing)
                count += 1
    return count


def try_map(name: str, text: str) -> None:
    """Read a map elsewhere. Raises ValueError with the reason when that fails, takes too long or kills the reader."""
    root = str(Path(__file__).resolve().parents[3])
    known = os.environ.get("PYTHONPATH")
    environment = dict(os.environ, PYTHONPATH=root + (os.pathsep + known if known else ""))
    command = [sys.executable, "-m", "bridge.town.opendrive.probe", name]
    try:
        result = subprocess.run(
            command, env=environment, input=text.encode(), capture_output=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise ValueError(
            f"{name}: CARLA's map reader needs more than {TIMEOUT:.0f} s for it: choose a smaller map"
        ) from None
    said = result.stdout.decode(errors="replace").strip()
    if result.returncode == 1 and said:
        raise ValueError(said.splitlines()[-1])
    if result.returncode:
        raise ValueError(
            f"{name}: CARLA's map reader breaks down over it: repair the file (roads, links, signal references)"
        )


def main(name: str) -> int:
    """Parse the map on standard input under CPU limits; returns the exit code."""
    with contextlib.suppress(ImportError):  # where there are limits: the town may not be there any more to end this
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (int(TIMEOUT), int(TIMEOUT)))
    from bridge.town.opendrive.network import Network  # here, so that ``try_map`` does not load it

    try:
        Network(Path(name).stem, sys.stdin.buffer.read().decode())
    except ValueError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
