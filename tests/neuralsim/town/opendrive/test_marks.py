"""Road marks as route planners read them: where lane changes are permitted."""

from __future__ import annotations

import carla
import pytest

from neuralsim.town.carla_server.static_scene import with_road_marks
from neuralsim.town.opendrive import towns


@pytest.mark.parametrize("name", ["oldtown", "squares", "motorway"])
def test_marks_permit_no_lane_change_into_oncoming_lanes(name: str) -> None:
    """CARLA's agents plan a lane change wherever a mark permits it, even into oncoming traffic."""
    chart = carla.Map(name, with_road_marks(towns.generate(name)))
    adjacent = 0
    for here in chart.generate_waypoints(10.0):
        for mark, lane, way in (
            (here.left_lane_marking, here.get_left_lane(), carla.LaneChange.Left),
            (here.right_lane_marking, here.get_right_lane(), carla.LaneChange.Right),
        ):
            if here.is_junction or lane is None or lane.lane_type != carla.LaneType.Driving:
                continue
            permitted = mark is not None and bool(mark.lane_change & way)
            assert not permitted or here.lane_id * lane.lane_id > 0, (here.road_id, here.lane_id, here.s)
            adjacent += permitted
    assert adjacent > 0 or name != "motorway", "changes between adjacent lanes are permitted"
