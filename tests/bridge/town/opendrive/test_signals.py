"""Traffic lights as other programs write them."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from bridge.town.opendrive import towns
from bridge.town.opendrive.network import Network


def test_lights_of_roadrunner_stop_whom_their_references_name() -> None:
    """Its signals stand on a road that need not be theirs and are valid for no lane there; the connecting roads that
    they stop refer to them, by an orientation that is turned round."""
    text = towns.generate("hamlet")
    ours = Network("hamlet", text)
    wanted = {signal.id: signal.lanes for signal in ours.signals}
    assert len(wanted) == 4
    root = ET.fromstring(text)
    roads = {road.get("id"): road for road in root.findall("road")}
    for element in root.iter("signal"):
        ET.SubElement(element, "validity", fromLane="0", toLane="0")
    for signal in ours.signals:
        for lane in (ours.lanes[k] for k in signal.lanes):
            for link in root.findall(f"junction[@id='{signal.cycle}']/connection[@incomingRoad='{lane.road}']"):
                if link.find(f"laneLink[@from='{lane.id}']") is not None:
                    road = roads[link.get("connectingRoad")]
                    holder = road.find("signals")
                    holder = ET.SubElement(road, "signals") if holder is None else holder
                    ET.SubElement(holder, "signalReference", id=signal.id, s="0.5", t="0", orientation="-")
    found = Network("roadrunner", ET.tostring(root, encoding="unicode"))
    assert {signal.id: signal.lanes for signal in found.signals} == wanted
    for before, after in zip(ours.signals, found.signals, strict=True):
        assert abs(before.yaw - after.yaw) < 1e-6
        assert before.cycle == after.cycle
