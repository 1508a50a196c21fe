"""The autopilot on a simple road: lanes, bends, obstacles, lights, and a road that ends."""

from __future__ import annotations

from pathlib import Path

import carla
import numpy as np
import pytest
from helpers.bridge_processes import advance, end, start_town

from bridge.carla_client.connection import connect
from bridge.carla_client.ego_bridge import BridgeSettings, CarlaBridge
from bridge.carla_client.routing.autopilot import Autopilot, Halt, RoadUser
from bridge.carla_client.vehicle_geometry import VehicleGeometry
from bridge.messages import Control


def straight_road(path: Path, length: int) -> tuple[str, str]:
    """Write a straight road with one lane along x; return the options of a town with it."""
    lane = '<lane id="-1" type="driving" level="false"><width sOffset="0" a="3.5" b="0" c="0" d="0"/></lane>'
    path.write_text(
        '<OpenDRIVE><header revMajor="1" revMinor="4"/><road name="r" id="1" junction="-1"'
        f' length="{length}"><link/><planView><geometry s="0" x="0" y="0" hdg="0" length="{length}"><line/></geometry>'
        "</planView><elevationProfile/><lateralProfile/><lanes><laneSection s='0'><center>"
        f"<lane id='0' type='none' level='false'/></center><right>{lane}</right></laneSection></lanes></road>"
        "</OpenDRIVE>"
    )
    return "--town", str(path)


def test_autopilot_respawns_at_the_end_of_the_road(tmp_path):
    town, address = start_town(vehicles=0, walkers=0, more=straight_road(tmp_path / "road.xodr", 90))
    try:
        with CarlaBridge(connect(address), BridgeSettings((64, 32), fps=10.0, autopilot=True)) as bridge:
            places = [0.0]
            while places[-1] > places[-1 - (len(places) > 1)] - 5.0 and len(places) < 500:
                places.append(float(advance(bridge).ego.pose[0, 3]))
            assert places[-2] > 75.0  # it came to the end of the road
            assert places[-1] < 75.0
            assert "The road ends here" in advance(bridge).notice
            assert advance(bridge, 30).notice == ""
    finally:
        end(town)


def test_autopilot_stops_at_its_destination_until_it_is_switched_on_again(tmp_path):
    town, address = start_town(vehicles=0, walkers=0, more=straight_road(tmp_path / "road.xodr", 300))
    try:
        with CarlaBridge(connect(address), BridgeSettings((64, 32), fps=10.0)) as bridge:
            goal = float(advance(bridge).ego.pose[0, 3]) + 120.0
            bridge.apply_control(Control(1, autopilot=True, going=1, goal=True, goal_x=goal, goal_y=0.0))
            notices, speeds = set(), []
            for _ in range(400):
                frame = advance(bridge)
                notices.add(frame.notice)
                speeds.append(frame.ego.speed)
            assert "You have arrived" in notices
            assert max(speeds) > 8.0
            assert max(np.abs(speeds[-50:])) < 0.1
            assert abs(frame.ego.pose[0, 3] - goal) < 6.0
            bridge.apply_control(Control(2, autopilot=False, going=1))
            bridge.apply_control(Control(3, autopilot=True, going=1))
            assert advance(bridge, 40).ego.speed > 2.0
    finally:
        end(town)


class TestAutopilot:
    """The autopilot on a ``carla.Map`` with one straight and one bent road, driving a single-track model."""

    @pytest.fixture(scope="class")
    def road(self) -> carla.Map:
        lane = '<lane id="{0}" type="driving" level="false"><width sOffset="0" a="3.2" b="0" c="0" d="0"/></lane>'
        geometry = (
            '<geometry s="0" x="0" y="0" hdg="0" length="120"><line/></geometry>'
            '<geometry s="120" x="120" y="0" hdg="0" length="47.12"><arc curvature="0.0333333"/></geometry>'
            '<geometry s="167.12" x="150" y="30" hdg="1.5707963" length="100"><line/></geometry>'
        )
        return carla.Map(
            "road",
            '<OpenDRIVE><header revMajor="1" revMinor="4"/><road name="r" length="267.12" id="1" junction="-1"><link/>'
            f"<planView>{geometry}</planView><elevationProfile/><lateralProfile/><lanes><laneSection s='0'>"
            f'<left>{lane.format(1)}</left><center><lane id="0" type="none" level="false"/></center>'
            f"<right>{lane.format(-1)}</right></laneSection></lanes></road></OpenDRIVE>",
        )

    def drive(self, road, seconds, bodies=(), halts=(), at=5.0, speed=8.0) -> list[tuple[float, float, float]]:
        """Return x, y and speed of a car over time; its steering lock is 60 degrees, the autopilot assumes 40."""
        pilot = Autopilot(road, VehicleGeometry(2.4, 0.95, 2.87, np.radians(40.0)))
        begin = road.get_waypoint_xodr(1, -1, at).transform
        x, y, yaw = begin.location.x, begin.location.y, np.radians(begin.rotation.yaw)
        track, delta = [], 1 / 30
        for _ in range(int(seconds / delta)):
            pedals = pilot.drive(x, y, 0.0, yaw, speed, bodies, halts, delta)
            speed = max(0.0, speed + delta * (4.5 * pedals.throttle - 8.0 * pedals.brake - 0.2 * (speed > 0)))
            yaw += delta * speed * np.tan(pedals.steer * np.radians(60.0)) / 2.87
            x, y = x + delta * speed * np.cos(yaw), y + delta * speed * np.sin(yaw)
            track.append((x, y, speed))
        return track

    def test_keeps_its_lane_and_slows_down_for_the_bend(self, road):
        track = self.drive(road, 36.0)
        for x, y, _ in track:
            way = road.get_waypoint(carla.Location(x, y, 0.0))
            assert np.hypot(way.transform.location.x - x, way.transform.location.y - y) < 0.6
        straight = max(speed for x, _, speed in track if x < 90)
        bend = [speed for x, y, speed in track if x > 125 and abs(y) < 28]
        assert straight > 9.0
        assert max(bend) ** 2 / 28.0 < 3.0
        assert track[-1][2] < 0.5  # the road ends

    def test_stops_behind_a_stationary_vehicle(self, road):
        ahead = road.get_waypoint_xodr(1, -1, 80.0).transform.location
        track = self.drive(road, 30.0, [RoadUser(ahead.x, ahead.y, 0.0, 2.2, 0.9, 0.0, 0.0)])
        for at, most in ((14.0, 6.0), (30.0, 2.0)):  # after a while it comes closer, to see whether it can pass
            x, _, speed = track[int(30 * at) - 1]
            assert speed < 0.3
            assert 0.5 < ahead.x - 2.2 - (x + 2.4) < most

    def test_passes_a_vehicle_standing_next_to_the_lane(self, road):
        ahead = road.get_waypoint_xodr(1, -1, 80.0).transform.location
        track = self.drive(road, 14.0, [RoadUser(ahead.x, ahead.y * 3.2, 0.0, 2.2, 0.9, 0.0, 0.0)])
        assert track[-1][0] > 100.0

    def test_waits_for_a_walker_who_steps_out(self, road):
        ahead = road.get_waypoint_xodr(1, -1, 40.0).transform.location
        walker = RoadUser(ahead.x, ahead.y * 2.3, 0.0, 0.3, 0.3, 0.0, -np.sign(ahead.y) * 1.3, walks=True)
        assert self.drive(road, 8.0, [walker])[-1][0] < ahead.x - 2.4

    def test_the_quick_test_leaves_out_nobody_who_is_in_the_way(self, road):
        pilot = Autopilot(road, VehicleGeometry(2.4, 0.95, 2.87, np.radians(40.0)))
        begin = road.get_waypoint_xodr(1, -1, 90.0).transform
        x, y = begin.location.x, begin.location.y
        pilot.drive(x, y, 0.0, np.radians(begin.rotation.yaw), 8.0, (), (), 0.1)
        rng, along = np.random.default_rng(0), np.arange(len(pilot._xy), dtype=float)
        bodies = [
            RoadUser(x + dx, y + dy, yaw, long, wide, vx, vy, bool(walks))
            for dx, dy, yaw, long, wide, vx, vy, walks in zip(
                *rng.uniform(-70.0, 70.0, (2, 2000)),
                rng.uniform(-3.0, 3.0, 2000),
                *rng.uniform(0.2, 6.0, (2, 2000)),
                *rng.normal(0.0, 8.0, (2, 2000)),
                rng.integers(0, 2, 2000),
                strict=True,
            )
        ]
        close = pilot._close(bodies, x, y)
        assert 20 < len(close) < 1500
        left_out = [body for body in bodies if body not in close and np.hypot(body.x - x, body.y - y) < 50.0]
        assert len(left_out) > 100
        assert all(np.isinf(pilot._gap(body, along, 0.35, True)[0]) for body in left_out)

    @pytest.mark.parametrize(
        ("distance", "yellow", "stops"), [(75.0, False, True), (75.0, True, True), (12.0, True, False)]
    )
    def test_lights(self, road, distance, yellow, stops):
        line = road.get_waypoint_xodr(1, -1, distance).transform
        halt = Halt(line.location.x, line.location.y, np.radians(line.rotation.yaw), yellow)
        x, _, speed = self.drive(road, 14.0, (), [halt])[-1]
        if stops:
            assert speed < 0.1
            assert 0.0 < line.location.x - (x + 2.4) < 3.0
        else:
            assert x > line.location.x + 20.0
