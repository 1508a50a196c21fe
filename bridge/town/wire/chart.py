"""The map as clients get it: the town's OpenDRIVE text, made safe for the official client.

Its lane-invasion sensor reads the road marks of both lanes that a wheel has crossed without asking whether there are
any, and dies on a lane without (``LibCarla``'s ``road/element/LaneCrossingCalculator.cpp``). Every lane of CARLA's own
maps has one from its beginning; so has every lane here, of type "none" where the file has no paint.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

NO_PAINT = {"sOffset": "0", "type": "none", "material": "standard", "color": "white", "laneChange": "both"}
BEFORE = ("link", "width", "border")  # what a lane lists before its road marks


def with_marks(opendrive: str) -> str:
    """The same map with a road mark at the beginning of every lane that has none there."""
    root = ET.fromstring(opendrive.encode())
    for lane in root.iter("lane"):
        if any(float(mark.get("sOffset", "0")) < 1e-3 for mark in lane.findall("roadMark")):
            continue
        place = sum(child.tag in BEFORE for child in lane)
        lane.insert(place, ET.Element("roadMark", NO_PAINT))
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode")
