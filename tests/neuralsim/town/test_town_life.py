"""Life in the towns: traffic, pedestrians, performance of driven vehicles, weather and time of day."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.tags import Tag
from neuralsim.town.core.types import Transform, VehicleControl
from neuralsim.town.dynamics.vehicle_dynamics import SPECS, VehicleState, overlap
from neuralsim.town.opendrive import towns
from neuralsim.town.town_drive import TownDrive
from neuralsim.town.world import World

STEP = 1.0 / 20.0


# Life -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "town", [name if name == "suburb" else pytest.param(name, marks=pytest.mark.slow) for name in sorted(towns.TOWNS)]
)
def test_traffic_flows_without_contact_or_jams(town: str) -> None:
    world = World(town, seed=1, vehicles=24, walkers=12)
    traffic = world.traffic
    longest = 0.0
    for tick in range(40 * 20):
        world.tick(STEP)
        longest = max(longest, float(traffic.waited.max()))
        if tick % 20 == 0:
            for i, (x, y, z, yaw, _) in enumerate(traffic.poses):
                near = np.hypot(traffic.poses[:, 0] - x, traffic.poses[:, 1] - y) < 14.0
                for j in np.flatnonzero(near & (np.abs(traffic.poses[:, 2] - z) < 3.0)):
                    if j > i:
                        o = traffic.poses[j]
                        assert overlap(
                            x, y, yaw, traffic.half[i] - 0.1, traffic.wide[i] - 0.1,
                            o[0], o[1], o[3], traffic.half[j] - 0.1, traffic.wide[j] - 0.1,
                        )[0] < 0.1  # fmt: skip
    assert longest < 35.0
    assert traffic.speed.mean() > 2.0


@pytest.mark.slow
def test_motorway_traffic_is_fast_and_changes_lanes() -> None:
    world = World("motorway", 3, 30, 0)
    changes, fast, blinking = 0, 0.0, 0
    for _ in range(60 * 20):
        world.tick(STEP)
        begun = world.traffic._changed == 0.0
        changes += int(begun.sum())
        blinking += int((world.traffic.blinker[begun] != 0).sum())
        fast = max(fast, float(np.percentile(world.traffic.speed, 80)))
    assert changes >= 5
    assert blinking == changes
    assert fast > 24.0


def test_a_ride_among_people_has_some_in_sight_and_the_same_traffic() -> None:
    drives, frames = [TownDrive(128, 64, seed=2) for _ in range(2)], []
    people = np.zeros(2)
    for k, drive in enumerate(drives):
        for _ in range(6):
            drive.ride(among_people=k == 1)
            frame = drive.next_frame()
            people[k] += (frame.planes["tag"] == Tag.PEDESTRIAN).mean()
        frames.append(frame)
    assert people[1] > 4.0 * people[0]
    assert np.array_equal(*(frame.camera.pose for frame in frames))


def test_people_cross_at_crosswalks_and_traffic_yields() -> None:
    world = World("hamlet", 2, 10, 30)
    crossed, stopped = 0, 0
    for _ in range(90 * 20):
        world.tick(STEP)
        on = (world.walkers._crowd.crossing >= 0) & (world.walkers._crowd.done > 0.5)
        crossed += int(on.any())
        for person in world.walkers.on_road:
            for i, (x, y, _, yaw, _) in enumerate(world.traffic.poses):
                inside = overlap(
                    person[0], person[1], 0.0, 0.25, 0.25, x, y, yaw, world.traffic.half[i], world.traffic.wide[i]
                )
                assert inside[0] == 0.0 or world.traffic.speed[i] == 0.0, "somebody was run over"
        if on.any():
            stopped += int((world.traffic.speed < 0.2).any())
    assert crossed > 100
    assert stopped > 0


def test_people_come_along_the_street_that_a_driver_follows() -> None:
    """They wait for nobody at the other streets around: most of them are on the pavements of his own."""
    world = World("oldtown", 0, 20, 24)
    follower = next(actor for actor in world.actors.values() if actor.id in world.background_actors.vehicles)
    ahead, behind = 0, 0
    for tick in range(60 * 20):
        world.tick(STEP)
        yaw = float(np.radians(follower.transform.yaw))
        place = np.array([follower.transform.x, follower.transform.y])
        world.background_actors.gather([VehicleState(SPECS["car"], 4.5, *place, yaw)], tick)
        if tick > 400 and tick % 20 == 0:
            forward = np.array([np.cos(yaw), np.sin(yaw)])
            away = world.walkers.poses[:, :2] - place
            is_beside = np.abs(away @ (forward[::-1] * (-1.0, 1.0))) < 14.0
            ahead += int((is_beside & (away @ forward > 0.0)).sum())
            behind += int((away @ forward < -80.0).sum())
    assert ahead > 40 * 24 * 0.2
    assert behind < 40 * 24 * 0.1


# Vehicle --------------------------------------------------------------------------------------------------------------


def at_speed(kind: str, speed: float, control: VehicleControl, seconds: float = 2.0) -> VehicleState:
    state = VehicleState(SPECS[kind], 4.5, 0.0, 0.0, 0.0, speed)
    for _ in range(round(seconds * 60)):
        state.speed = speed
        state.step(control, 1.0 / 60.0)
    return state


def test_a_long_step_is_many_short_ones() -> None:
    def drive(steps: int, delta: float) -> tuple[World, list[int]]:
        world = World("hamlet", 2, 10, 6)
        world.spawn("vehicle.tesla.model3", {}, world.spawn_points()[0]).control = VehicleControl(throttle=0.8)
        hits = []
        for _ in range(steps):
            world.tick(delta)
            hits += [event.other for event in world.events()]
        return world, hits

    (long, hits), (short, hits_in_short_steps) = drive(3, 3.0), drive(90, 0.1)
    assert (long.frame, short.frame) == (3, 90)
    assert long.time == pytest.approx(short.time)
    assert [a.transform for a in long.actors.values()] == [a.transform for a in short.actors.values()]
    assert len(hits) > 0  # it has hit something in the middle of a step
    assert hits == hits_in_short_steps


def test_performance_of_a_compact_car_and_of_a_truck() -> None:
    """A compact car of 88 kW and 1350 kg: 0 to 100 km/h in 9 to 10.5 s, 185 to 200 km/h, 36 to 40 m from 100 km/h, 0.85
    to 0.95 g lateral (data sheets and ADAC tests); a laden truck brakes at 5 to 7 m/s^2 and corners at 0.4 g."""
    car = VehicleState(SPECS["car"], 4.5, 0.0, 0.0, 0.0)
    seconds = 0.0
    while car.speed < 100 / 3.6:
        car.step(VehicleControl(throttle=1.0), 1 / 60)
        seconds += 1 / 60
    assert 8.8 < seconds < 10.5
    for _ in range(60 * 80):
        car.step(VehicleControl(throttle=1.0), 1 / 60)
    assert 180.0 < car.speed * 3.6 < 205.0
    for kind, low, high in (("car", 36.0, 40.0), ("van", 38.0, 46.0), ("truck", 50.0, 68.0)):
        stopping = VehicleState(SPECS[kind], 4.5, 0.0, 0.0, 0.0, 100 / 3.6)
        while stopping.speed > 0.0:
            stopping.step(VehicleControl(brake=1.0), 1 / 60)
        assert low < stopping.x < high, kind
    for speed in (12.0, 20.0, 33.3):
        assert 0.84 < abs(at_speed("car", speed, VehicleControl(steer=1.0)).turn) * speed / 9.81 < 0.96
        assert abs(at_speed("truck", speed, VehicleControl(steer=1.0)).turn) * speed / 9.81 < 0.5


def test_steering_is_direct_in_town_and_calm_on_the_motorway() -> None:
    slow = at_speed("car", 10 / 3.6, VehicleControl(steer=1.0), 3.0)
    assert 3.0 < slow.speed / slow.turn < 5.5, "a turning circle of about eleven metres between kerbs"
    fast = at_speed("car", 120 / 3.6, VehicleControl(steer=0.1))
    assert 0.15 < fast.turn * fast.speed / 9.81 < 0.5
    turned = at_speed("car", 10.0, VehicleControl(steer=1.0), 0.1)
    assert 0.0 < np.degrees(turned.steer) < 12.0, "the steering rate is limited"


def test_slopes_accelerate_and_brakes_hold() -> None:
    uphill, downhill = (VehicleState(SPECS["car"], 4.5, 0.0, 0.0, 0.0, 10.0) for _ in range(2))
    held = VehicleState(SPECS["car"], 4.5, 0.0, 0.0, 0.0)
    for _ in range(120):
        uphill.step(VehicleControl(), 1 / 60, np.radians(5.0))
        downhill.step(VehicleControl(), 1 / 60, np.radians(-5.0))
        held.step(VehicleControl(brake=0.4), 1 / 60, np.radians(5.0))
    assert downhill.speed - uphill.speed == pytest.approx(4.0 * 9.81 * np.sin(np.radians(5.0)), rel=0.1)
    assert held.speed == 0.0


# Weather --------------------------------------------------------------------------------------------------------------


def test_weather_and_time_change_the_image() -> None:
    world = World("hamlet", 0, 6, 0)
    lens = {"image_size_x": "320", "image_size_y": "160", "fov": "90"}
    camera = world.spawn("sensor.camera.rgb", lens, Transform())

    def sees(p: Transform) -> int:
        world.set_transform(camera.id, Transform(p.x, p.y, p.z + 1.3, 0.0, p.yaw))
        planes = world.capture(camera.id)
        return int(((planes.depth > 25.0) & (planes.tag == Tag.BUILDING)).sum())

    sees(max(world.spawn_points()[:15], key=sees))

    def look(**weather: float) -> tuple[np.ndarray, np.ndarray]:
        kept = dict(world.weather)
        world.weather.update(weather)
        world.tick(STEP)
        planes = world.capture(camera.id)
        world.weather.clear()
        world.weather.update(kept)
        assert planes.rgb is not None
        return planes.rgb.astype(float), planes.tag.copy()

    day, tags = look()
    road = tags == Tag.ROAD
    wet, wet_tags = look(wetness=90.0)
    assert wet[road & (wet_tags == Tag.ROAD)].mean() < 0.9 * day[road].mean()
    far = (world.capture(camera.id).depth > 25.0) & (tags == Tag.BUILDING)
    fog, _ = look(fog_density=80.0)
    assert fog[far].std() < 0.75 * day[far].std()
    night, night_tags = look(sun_altitude_angle=-30.0)
    assert night.mean() < 0.3 * day.mean()
    walls = night_tags == Tag.BUILDING
    assert night[walls].max() > 150.0, "some windows are lit"
    assert any(actor.light_state & 2 for actor in world.actors.values())
    dusk, _ = look(sun_altitude_angle=2.0)
    assert night.mean() < dusk.mean() < day.mean()
