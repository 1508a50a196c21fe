"""A trial parse of a map file in a separate process.

``carla.Map`` is native code that does not survive every damaged file (a controller of a signal that is not there, for
one). The town must: it lets another process try first. ``python -m neuralsim.town.opendrive.probe NAME < FILE`` exits 0
when the map is usable. Numbers that would make it fill all memory (a road without end) are refused before that.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

from bridge.untrusted import files, limits
from bridge.untrusted import xml as untrusted_xml
from bridge.untrusted.memory import bounded
from bridge.untrusted.names import shown

TIMEOUT = 60.0  # s on a clock, for a processor that others use too
LARGEST = 1e7  # of any number: metres from the origin, coefficients
_NUMBERS = frozenset(
    (
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
)


def read(town: str, path: Path) -> tuple[str, ET.Element]:
    """Text and root of the OpenDRIVE file of a ``town``, as far as one can tell without reading it as a map.

    Raises ValueError, one line, for what is no map or more of one than can be read.
    """
    try:
        text = files.read_text(path, limits.OPENDRIVE_SIZE)
        root = untrusted_xml.parse(text, limits.OPENDRIVE_ELEMENTS, limits.OPENDRIVE_DEPTH, limits.OPENDRIVE_MOST)
    except OSError as error:
        raise ValueError(f"cannot read {town}: {(error.strerror or str(error)).lower()}") from None
    except files.FileTooLarge as error:
        raise ValueError(f"{town}: {error}: choose a smaller map") from None
    except files.FileRefused as error:
        raise ValueError(f"{town} is damaged, not OpenDRIVE: {error}") from None
    if root.tag != "OpenDRIVE":
        raise ValueError(f"{town} is not OpenDRIVE: its root element is <{shown(root.tag)[1:-1]}>")
    check_numbers(town, root)
    check_size(town, root)
    return text, root


def check_size(name: str, root: ET.Element) -> None:
    """Raises ValueError for more road or lane in all, or wider lanes or finer outlines, than a town can have."""
    roads = root.findall("road")
    if not sum(abs(_number(road, "length")) for road in roads) <= limits.OPENDRIVE_LENGTH:
        raise ValueError(f"{name}: over {limits.OPENDRIVE_LENGTH / 1000:.0f} km of roads: choose a smaller map")
    lanes = 0.0
    for road in roads:
        sections = [(_number(section, "s"), section) for section in road.iter("laneSection")]
        ends_at = [*(begin for begin, _ in sections[1:]), _number(road, "length")]
        for (start, section), stop in zip(sections, ends_at, strict=False):
            for lane in section.iter("lane"):
                if lane.get("id") != "0" and lane.get("type", "none") != "none":
                    lanes += max(stop - start, 0.0)
                widths = [(_number(width, "sOffset"), width) for width in lane.iter("width")]
                ends = [*(begin for begin, _ in widths[1:]), stop - start]
                if any(
                    _widest(width, end - begin) > limits.LANE_WIDTH
                    for (begin, width), end in zip(widths, ends, strict=False)
                ):
                    number, widest = road.get("id"), limits.LANE_WIDTH
                    raise ValueError(f"{name} is damaged: a lane of road {number!r} is over {widest:g} m wide")
        for thing in road.iter("object"):
            if sum(corner.tag in ("cornerLocal", "cornerRoad") for corner in thing.iter()) > limits.OPENDRIVE_CORNERS:
                number, most = thing.get("id"), limits.OPENDRIVE_CORNERS
                raise ValueError(f"{name} is damaged: object {number!r} has over {most} corners")
    if not lanes <= limits.OPENDRIVE_LANES:
        raise ValueError(f"{name}: over {limits.OPENDRIVE_LANES / 1000:.0f} km of lanes: choose a smaller map")


def _widest(width: ET.Element, length: float) -> float:
    """The widest of a lane along a piece of it, m."""
    a, b, c, d = (_number(width, term) for term in "abcd")
    return max(abs(a + x * (b + x * (c + x * d))) for x in (0.0, 0.5 * max(length, 0.0), max(length, 0.0)))


def _number(element: ET.Element, attribute: str) -> float:
    """An attribute as a number, 0 where it is none: `carla.Map` says what it thinks of text."""
    try:
        return float(element.get(attribute, "0"))
    except ValueError:
        return 0.0


def check_numbers(name: str, root: ET.Element) -> None:
    """Raises ValueError for a number that no map has: not finite, or larger than a town can be."""
    for element in root.iter():
        for attribute, text in element.items():
            if attribute not in _NUMBERS:
                continue
            try:
                value = float(text)
            except ValueError:
                continue  # ``carla.Map`` says what it thinks of text
            if not abs(value) <= LARGEST:  # nor is what is no number
                raise ValueError(f"{name} is damaged: a <{shown(element.tag)[1:-1]}> has {attribute}={shown(text)}")


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
    slow = f"{name}: CARLA's map reader needs more than {limits.MAP_READING} s for it: choose a smaller map"
    command = [sys.executable, "-m", "neuralsim.town.opendrive.probe", name]
    try:
        result = subprocess.run(
            command, env=environment, input=text.encode(), capture_output=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise ValueError(slow) from None
    said = result.stdout.decode(errors="replace").strip()
    if result.returncode == 1 and said:
        raise ValueError(said.splitlines()[-1])
    if result.returncode == -getattr(signal, "SIGXCPU", 0):
        raise ValueError(slow)
    if result.returncode:
        raise ValueError(
            f"{name}: CARLA's map reader breaks down over it: repair the file (roads, links, signal references)"
        )


def too_large(name: str) -> str:
    """What to say of a map that does not fit into the memory there is for one."""
    return f"{name}: takes more than {limits.MAP_MEMORY // limits.MIB} MiB of memory: choose a smaller map"


def too_slow(name: str) -> str:
    """What to say of a map whose town is not built within the time there is for one."""
    return f"{name}: takes more than {limits.MAP_BUILDING:.0f} s to build: choose a smaller map"


def main(name: str) -> int:
    """Parse the map on standard input under CPU limits; returns the exit code."""
    with contextlib.suppress(ImportError):  # where there are limits: the town may not be there any more to end this
        import resource

        used = int(time.process_time())
        resource.setrlimit(resource.RLIMIT_CPU, (used + limits.MAP_READING, used + 2 * limits.MAP_READING))
    import numpy as np

    from neuralsim.town.opendrive.network import Network  # here, so that ``try_map`` does not load it

    try:
        with bounded(limits.MAP_MEMORY):
            network = Network(Path(name).stem, sys.stdin.buffer.read().decode())
        x, y, z = np.ptp(np.concatenate([lane.centre for lane in network.lanes]), axis=0).tolist()
        if not z <= limits.OPENDRIVE_CLIMB:
            print(f"{name}: roads that climb over {limits.OPENDRIVE_CLIMB:.0f} m: choose a smaller map")
            return 1
        if not x * y <= limits.OPENDRIVE_AREA:
            print(f"{name}: roads over {x / 1000:.0f} km x {y / 1000:.0f} km: choose a smaller map")
            return 1
    except MemoryError:
        print(too_large(name))
        return 1
    except ValueError as error:
        said = str(error).partition(": value has")[0]  # Python's advice on long numbers
        print(said if Path(name).stem in said else f"{name} is damaged: {said}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
