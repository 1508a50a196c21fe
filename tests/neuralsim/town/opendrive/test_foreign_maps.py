"""OpenDRIVE files of other programs: they are read, repaired where that is safe, and get sensible traffic lights."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hostile.corpus import roads

from neuralsim.town.carla_server.actor_states import ActorStates
from neuralsim.town.opendrive import towns
from neuralsim.town.opendrive.network import Network
from neuralsim.town.world import World


@pytest.fixture
def root() -> ET.Element:
    return ET.fromstring(towns.generate("hamlet", 0))


def network_of(root: ET.Element, tmp_path: Path) -> Network:
    path = tmp_path / "theirs.xodr"
    ET.ElementTree(root).write(path, encoding="utf-8")
    return Network(*towns.load(str(path)))


def test_errors_that_crash_carlas_reader_are_repaired(root: ET.Element, tmp_path: Path) -> None:
    whole = Network("hamlet", ET.tostring(root, encoding="unicode"))
    for road in root.iter("road"):
        for crosswalk in [element for element in road.iter("object") if element.get("type") == "crosswalk"][:1]:
            crosswalk.set("s", str(float(road.get("length", "0")) + 1e-4))
    controller = root.find("controller")
    assert controller is not None
    ET.SubElement(controller, "control", signalId="no such signal", type="0")
    theirs = network_of(root, tmp_path)
    assert len(theirs.crosswalks) == len(whole.crosswalks) > 0
    assert [signal.id for signal in theirs.signals] == [signal.id for signal in whole.signals]


def test_a_light_before_the_start_of_its_lane_has_a_stop_line(tmp_path: Path) -> None:
    path = tmp_path / "theirs.xodr"
    light = '<signal s="0" t="4" id="7" name="" dynamic="yes" orientation="+" zOffset="2" type="1000001" subtype="-1"/>'
    path.write_text(roads(1).replace("</lanes>", f"</lanes><signals>{light}</signals>"), encoding="utf-8")
    world = World(str(path), 0, 0, 0)
    assert [signal.id for signal in world.network.signals] == ["7"]
    assert ActorStates(world).lights


def test_lights_above_the_lanes_are_moved_to_the_kerb_and_only_one_direction_is_green(
    root: ET.Element, tmp_path: Path
) -> None:
    """SUMO's netconvert writes a light per lane or arrow, above it, and one controller for the whole junction."""
    for controller in root.findall("controller"):
        root.remove(controller)
    box = ET.SubElement(root, "controller", id="box")
    for signals in root.iter("signals"):
        for signal in signals.findall("signal"):
            right = signal.get("orientation") == "+"
            for number in range(2):
                arrow = ET.SubElement(signals, "signal", signal.attrib | {"id": f"{signal.get('id')}_{number}"})
                arrow.attrib.update(type="1000011", subtype="30", t="-1.6" if right else "1.6", zOffset="5")
                ET.SubElement(box, "control", signalId=str(arrow.get("id")))
            signals.remove(signal)
    network = network_of(root, tmp_path)
    assert len(network.signals) == 4
    for signal in network.signals:
        for lane in network.lanes:
            away = np.hypot(*(lane.centre[:, :2] - signal.position[:2]).T)
            assert (away > lane.width / 2).all()
    groups: dict[int, list[float]] = {}
    for signal in network.signals:
        groups.setdefault(signal.group, []).append(signal.yaw)
    assert len(groups) == 2
    for yaws in groups.values():
        assert all(abs((yaw - yaws[0] + 90.0) % 180.0 - 90.0) < 45.0 for yaw in yaws)
