"""A trial parse of a map file in a separate process.

``carla.Map`` is native code that crashes on some damaged files (a controller of a missing signal, for instance). The
town must not crash, so another process tries first: ``python -m neuralsim.town.opendrive.probe NAME < FILE`` exits with
0 when the map is usable. Numbers that would exhaust the memory (an endless road) are refused before that.
"""

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
from bridge.untrusted.memory import memory_limit
from bridge.untrusted.names import printable
from neuralsim.town.opendrive.dialects import strip_namespaces

TIMEOUT = 60.0  # s of wall-clock time, as the processor may be shared
LARGEST = 1e7  # limit of any number: metres from the origin, coefficients
_NUMBERS = {*"abcdstxyz", "sOffset", "hdg", "length", "curvature", "curvStart", "curvEnd"}


def read(town: str, path: Path) -> tuple[str, ET.Element]:
    """Return text and root element of the OpenDRIVE file of a ``town``, without reading it as a map.

    Raises ValueError with a one-line message for a file that is not a map or exceeds the limits.
    """
    try:
        text = untrusted_xml.decode(files.read_bytes(path, limits.OPENDRIVE_SIZE))
        root = untrusted_xml.parse(text, limits.OPENDRIVE_ELEMENTS, limits.OPENDRIVE_DEPTH, limits.OPENDRIVE_MOST)
    except OSError as error:
        raise ValueError(f"cannot read {town}: {(error.strerror or str(error)).lower()}") from None
    except files.FileTooLarge as error:
        raise ValueError(f"{town}: {error}: choose a smaller map") from None
    except files.FileRefused as error:
        raise ValueError(f"{town} is damaged, not OpenDRIVE: {error}") from None
    is_rewritten = strip_namespaces(root)
    if root.tag != "OpenDRIVE":
        raise ValueError(f"{town} is not OpenDRIVE: its root element is <{printable(root.tag)[1:-1]}>")
    check_numbers(town, root)
    check_size(town, root)
    return ET.tostring(root, encoding="unicode") if is_rewritten else text, root


def check_size(name: str, root: ET.Element) -> float:
    """Return the length of all lanes, m.

    Raises ValueError if the roads or lanes are too long in total, a lane is too wide or an outline too detailed.
    """
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
        for element in road.iter("object"):
            if sum(corner.tag in ("cornerLocal", "cornerRoad") for corner in element.iter()) > limits.OPENDRIVE_CORNERS:
                number, limit = element.get("id"), limits.OPENDRIVE_CORNERS
                raise ValueError(f"{name} is damaged: object {number!r} has over {limit} corners")
    if not lanes <= limits.OPENDRIVE_LANES:
        raise ValueError(f"{name}: over {limits.OPENDRIVE_LANES / 1000:.0f} km of lanes: choose a smaller map")
    return lanes


def _widest(width: ET.Element, length: float) -> float:
    """Return the maximum width of a lane along one piece of it, estimated at three points, m."""
    a, b, c, d = (_number(width, term) for term in "abcd")
    return max(abs(a + x * (b + x * (c + x * d))) for x in (0.0, 0.5 * max(length, 0.0), max(length, 0.0)))


def _number(element: ET.Element, attribute: str) -> float:
    """Return an attribute as a number, 0 where it is not a number: `carla.Map` reports that."""
    try:
        return float(element.get(attribute, "0"))
    except ValueError:
        return 0.0


def check_numbers(name: str, root: ET.Element) -> None:
    """Raise ValueError for a number that no map has: not finite, or larger than `LARGEST`."""
    for element in root.iter():
        for attribute, text in element.items():
            if attribute not in _NUMBERS:
                continue
            try:
                value = float(text)
            except ValueError:
                continue  # ``carla.Map`` reports text
            if not abs(value) <= LARGEST:  # true for nan, too
                raise ValueError(
                    f"{name} is damaged: a <{printable(element.tag)[1:-1]}> has {attribute}={printable(text)}"
                )


def try_map(name: str, text: str) -> None:
    """Read a map in another process. Raises ValueError if that fails, takes too long or crashes."""
    root = str(Path(__file__).resolve().parents[3])
    known = os.environ.get("PYTHONPATH")
    environment = dict(os.environ, PYTHONPATH=root + (os.pathsep + known if known else ""))
    slow = f"{name}: CARLA's map reader takes more than {limits.MAP_READING} s: choose a smaller map"
    command = [sys.executable, "-m", "neuralsim.town.opendrive.probe", name]
    try:
        result = subprocess.run(
            command, env=environment, input=text.encode(), capture_output=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise ValueError(slow) from None
    output = result.stdout.decode(errors="replace").strip()
    if result.returncode == 1 and output:
        raise ValueError(output.splitlines()[-1])
    if result.returncode == -getattr(signal, "SIGXCPU", 0):
        raise ValueError(slow)
    if result.returncode:
        raise ValueError(
            f"{name}: CARLA's map reader crashes on this file: repair it (roads, links, signal references)"
        )


def too_large(name: str) -> str:
    """Return the message for a map that exceeds the memory limit."""
    return f"{name}: takes more than {limits.MAP_MEMORY // limits.MIB} MiB of memory: choose a smaller map"


def main(name: str) -> int:
    """Parse the map on standard input under CPU limits; return the exit code."""
    with contextlib.suppress(ImportError):  # a limit of its own, as the town may be gone and not end this process
        import resource

        used = int(time.process_time())
        resource.setrlimit(resource.RLIMIT_CPU, (used + limits.MAP_READING, used + 2 * limits.MAP_READING))
    import numpy as np

    from neuralsim.town.opendrive.network import Network  # here, so that ``try_map`` does not load it

    try:
        with memory_limit(limits.MAP_MEMORY):
            network = Network(Path(name).stem, sys.stdin.buffer.read().decode())
        x, y, z = np.ptp(np.concatenate([lane.centre for lane in network.lanes]), axis=0).tolist()
        if not z <= limits.OPENDRIVE_CLIMB:
            print(f"{name}: roads climb over {limits.OPENDRIVE_CLIMB:.0f} m: choose a smaller map")
            return 1
        if not x * y <= limits.OPENDRIVE_AREA:
            print(f"{name}: roads extend over {x / 1000:.0f} km x {y / 1000:.0f} km: choose a smaller map")
            return 1
    except MemoryError:
        print(too_large(name))
        return 1
    except ValueError as error:
        message = str(error).partition(": value has")[0]  # without Python's advice on long numbers
        print(message if Path(name).stem in message else f"{name} is damaged: {message}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
