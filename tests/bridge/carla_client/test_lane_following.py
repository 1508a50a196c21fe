"""Following lanes on maps on which the client's own way of doing it does not return, or ends the process."""

from __future__ import annotations

import math

import carla
import pytest
from helpers.wire_world import road

from bridge.carla_client.routing.lane_following import until_lane_end
from bridge.carla_client.routing.navigation import lane_chart

RING = """<?xml version="1.0"?>
<OpenDRIVE>
  <header revMajor="1" revMinor="4" name="ring" version="1" north="0" south="0" east="0" west="0"/>
  <road name="ring" length="{length}" id="1" junction="-1">
    <link>
      <predecessor elementType="road" elementId="1" contactPoint="end"/>
      <successor elementType="road" elementId="1" contactPoint="start"/>
    </link>
    <planView>
      <geometry s="0" x="0" y="-50" hdg="0" length="{length}"><arc curvature="0.02"/></geometry>
    </planView>
    <lanes>
      <laneSection s="0">
        <center><lane id="0" type="none" level="false"/></center>
        <right>
          <lane id="-1" type="driving" level="false">
            <link><predecessor id="-1"/><successor id="-1"/></link>
            <width sOffset="0" a="4" b="0" c="0" d="0"/>
          </lane>
        </right>
      </laneSection>
    </lanes>
  </road>
</OpenDRIVE>"""


@pytest.mark.parametrize(
    ("opendrive", "length"), [(RING.format(length=100.0 * math.pi), 100.0 * math.pi), (road(123.0), 123.0)]
)
def test_lane_is_followed_exactly_to_its_end(opendrive: str, length: float) -> None:
    town = carla.Map("any", opendrive)
    for here, _ in town.get_topology():
        ways = [here, *until_lane_end(here, 4.0)]
        assert all(way.lane_id == here.lane_id for way in ways)
        assert abs(len(ways) - length / 4.0) < 3.0, "once along it"
    chart = lane_chart(town)
    assert len(chart.lines) == len(town.get_topology())
    for line in chart.lines:
        gaps = ((line[1:] - line[:-1]) ** 2).sum(axis=1) ** 0.5
        assert gaps.max() < 6.1, "no line leads across the map"
        assert abs(gaps.sum() - length) < 15.0
