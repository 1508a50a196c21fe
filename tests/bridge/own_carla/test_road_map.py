"""The project's own reader of OpenDRIVE maps, against ``carla.Map``."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import numpy as np
import pytest

from bridge import own_carla
from bridge.own_carla.road_map import Map
from neuralsim.town.opendrive import towns

carla = pytest.importorskip("carla")
LEFT_HAND = (
    '<OpenDRIVE><header/><road id="1" length="80" junction="-1" rule="LHT"><planView>'
    '<geometry s="0" x="0" y="0" hdg="0.3" length="80"><line/></geometry></planView><elevationProfile>'
    '<elevation s="0" a="1" b="0.02" c="0" d="0"/></elevationProfile><lanes><laneSection s="0"><left>'
    '<lane id="1" type="driving"><width sOffset="0" a="3" b="0.01" c="0" d="0"/>'
    '<roadMark sOffset="0" type="solid" color="yellow" width="0.2"/></lane></left><center><lane id="0">'
    '<roadMark sOffset="0" type="broken" color="white" width="0.1"/></lane></center><right>'
    '<lane id="-1" type="driving"><width sOffset="0" a="3" b="0" c="0" d="0"/></lane></right></laneSection>'
    "</lanes></road></OpenDRIVE>"
)


@pytest.fixture(scope="module", params=["hamlet", "village", "left hand"])
def maps(request: pytest.FixtureRequest) -> tuple[Any, Map]:
    name = request.param
    text = LEFT_HAND if name == "left hand" else towns.load(name)[1]
    return carla.Map(name, text), Map(name, text)


def pairs(real: Any, own: Map) -> list[tuple[Any, Any]]:
    """Return the same places of both maps, on all lanes."""
    found = []
    for road in own.roads.values():
        for section, s in itertools.product(road.sections, (0.01, 0.4, 0.99)):
            at = section.start + s * (section.end - section.start)
            found += [
                (real.get_waypoint_xodr(road.id, k, at), own.get_waypoint_xodr(road.id, k, at))
                for k in section.lanes
                if k
            ]
    assert found
    assert all(theirs is not None and ours is not None for theirs, ours in found)
    return found


def place(way: Any) -> tuple[float, float, float]:
    at = way.transform.location
    return at.x, at.y, at.z


def names(ways: list[Any]) -> list[tuple[int, int, int, float]]:
    return sorted((way.road_id, way.section_id, way.lane_id, pytest.approx(way.s, abs=0.01)) for way in ways)


def test_waypoints_are_where_carla_has_them(maps: tuple[Any, Map]) -> None:
    for theirs, ours in pairs(*maps):
        assert math.dist(place(theirs), place(ours)) < 1e-3
        for name in ("yaw", "pitch"):
            angles = (getattr(way.transform.rotation, name) for way in (theirs, ours))
            assert abs((next(angles) - next(angles) + 180.0) % 360.0 - 180.0) < 1e-2
        assert ours.lane_width == pytest.approx(theirs.lane_width, abs=1e-5)
        assert (ours.is_junction, int(ours.lane_type)) == (theirs.is_junction, int(theirs.lane_type))


def test_lanes_have_the_same_neighbours_and_markings(maps: tuple[Any, Map]) -> None:
    for theirs, ours in pairs(*maps):
        for metres in (0.5, 25.0):
            assert names(ours.next(metres)) == names(theirs.next(metres))
            assert names(ours.previous(metres)) == names(theirs.previous(metres))
        for side in ("left", "right"):
            beside = [getattr(way, f"get_{side}_lane")() for way in (theirs, ours)]
            assert len({None if way is None else way.lane_id for way in beside}) == 1
            marks = [getattr(way, f"{side}_lane_marking") for way in (theirs, ours)]
            looks = [None if m is None else (str(m.type), int(m.color), round(m.width, 4)) for m in marks]
            assert looks[0] == looks[1]


def test_places_project_to_the_same_lane(maps: tuple[Any, Map]) -> None:
    real, own = maps
    chance, away, other = random.Random(1), [], 0
    for way in real.generate_waypoints(9.0):
        x, y, z = (value + chance.uniform(-1.0, 1.0) for value in place(way))
        theirs, ours = real.get_waypoint(carla.Location(x, y, z)), own.get_waypoint(own_carla.Location(x, y, z))
        away.append(math.dist(place(theirs), place(ours)))
        other += (theirs.road_id, theirs.lane_id) != (ours.road_id, ours.lane_id)
    assert np.median(away) < 0.05  # CARLA projects to coarser segments
    assert other <= 0.03 * len(away)  # where lanes of a junction overlap
    nowhere = own_carla.Location(5000.0, 5000.0, 0.0)
    assert own.get_waypoint(nowhere, project_to_road=False) is None


def test_landmarks_crosswalks_and_coordinates_are_the_same(maps: tuple[Any, Map]) -> None:
    real, own = maps
    corners = sorted((at.x, at.y, at.z) for at in real.get_crosswalks())
    assert np.allclose(corners, sorted((at.x, at.y, at.z) for at in own.get_crosswalks()), atol=0.01)

    def described(mark: Any) -> tuple[Any, ...]:
        lanes = sorted(mark.get_lane_validities())
        return mark.id, mark.road_id, mark.type, mark.sub_type, int(mark.orientation), lanes, round(mark.value, 3)

    both = [sorted(each.get_all_landmarks(), key=lambda mark: (mark.id, mark.road_id)) for each in (real, own)]
    assert [described(mark) for mark in both[0]] == [described(mark) for mark in both[1]]
    assert all(math.dist(place(a), place(b)) < 0.05 for a, b in zip(*both, strict=True))
    theirs = real.transform_to_geolocation(carla.Location(10.0, 20.0, 3.0))
    ours = own.transform_to_geolocation(own_carla.Location(10.0, 20.0, 3.0))
    assert (ours.latitude, ours.longitude) == pytest.approx((theirs.latitude, theirs.longitude), abs=1e-6)


@pytest.mark.parametrize("text", ["", "<OpenDRIVE", '<OpenDRIVE><road id="x"/></OpenDRIVE>', "<OpenDRIVE/>"])
def test_what_is_no_map_is_refused(text: str) -> None:
    with pytest.raises(RuntimeError, match="map"):
        Map("broken", text)


def test_values_are_those_of_carla() -> None:
    for name in ("LaneType", "LaneMarkingType", "TrafficLightState", "CityObjectLabel", "LightGroup", "AttachmentType"):
        theirs = {key: int(value) for key, value in getattr(carla, name).names.items() if key != "Any"}
        assert {each.name: int(each) for each in getattr(own_carla, name)} == theirs
    presets = [name for name in dir(carla.WeatherParameters) if name[0].isupper()]
    fields = [name for name in dir(carla.WeatherParameters) if name[0].islower()]
    for preset in presets:
        theirs, ours = (getattr(each.WeatherParameters, preset) for each in (carla, own_carla))
        assert [getattr(ours, n) for n in fields] == pytest.approx([getattr(theirs, n) for n in fields], abs=1e-6)


def test_poses_transform_as_those_of_carla() -> None:
    numbers = (1.0, -2.0, 3.0), (10.0, 120.0, -20.0)
    theirs = carla.Transform(carla.Location(*numbers[0]), carla.Rotation(*numbers[1]))
    ours = own_carla.Transform(own_carla.Location(*numbers[0]), own_carla.Rotation(*numbers[1]))
    for name in ("transform", "inverse_transform"):
        a, b = (
            getattr(theirs, name)(carla.Location(4.0, 5.0, 6.0)),
            getattr(ours, name)(own_carla.Location(4.0, 5.0, 6.0)),
        )
        assert (b.x, b.y, b.z) == pytest.approx((a.x, a.y, a.z), abs=1e-4)
    for name in ("get_forward_vector", "get_right_vector"):
        a, b = getattr(theirs, name)(), getattr(ours, name)()
        assert (b.x, b.y, b.z) == pytest.approx((a.x, a.y, a.z), abs=1e-5)
