"""Road marks as programs that plan ways read them: where lanes may be changed."""

from __future__ import annotations

import carla
import pytest

from neuralsim.town.carla_server.static_scene import with_marks
from neuralsim.town.opendrive import towns


@pytest.mark.parametrize("name", ["oldtown", "squares", "motorway"])
def test_marks_let_nobody_turn_round_over_the_middle_of_a_road(name: str) -> None:
    """CARLA's agents plan a change of lanes wherever a mark permits it, into oncoming traffic too."""
    chart = carla.Map(name, with_marks(towns.generate(name)))
    beside = 0
    for here in chart.generate_waypoints(10.0):
        for mark, lane, way in (
            (here.left_lane_marking, here.get_left_lane(), carla.LaneChange.Left),
            (here.right_lane_marking, here.get_right_lane(), carla.LaneChange.Right),
        ):
            if here.is_junction or lane is None or lane.lane_type != carla.LaneType.Driving:
                continue
            permitted = mark is not None and bool(mark.lane_change & way)
            assert not permitted or here.lane_id * lane.lane_id > 0, (here.road_id, here.lane_id, here.s)
            beside += permitted
    assert beside > 0 or name != "motorway", "lanes beside each other may be changed"
