"""CARLA's own Traffic Manager, which runs in the official client, drives the town's vehicles."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.wire_client import run_client, run_traffic_manager, serving

from neuralsim.town.carla_server.process import TownServer
from neuralsim.town.world import World


@pytest.fixture(scope="module")
def town() -> Iterator[TownServer]:
    with serving(TownServer(lambda town: World(town, seed=2, vehicles=3, walkers=0), "hamlet", port=0)) as server:
        yield server


TRAFFIC = """
client.set_timeout(60.0)
world = client.get_world()
synchronous(world)
manager = client.get_trafficmanager(unused_port())
manager.set_synchronous_mode(True)
manager.set_random_device_seed(1)
library, C, town_map = world.get_blueprint_library(), carla.command, world.get_map()
def drive(vehicles, ticks):
    driven, overhang, last = dict.fromkeys(vehicles, 0.0), 0.0, {}  # m by vehicle; m beyond the lane
    for tick in range(ticks):
        world.tick()
        for actor in world.get_actors(vehicles) if tick % 10 == 0 else ():
            here = actor.get_location()
            driven[actor.id] += last.get(actor.id, here).distance(here)
            last[actor.id] = here
            lane = town_map.get_waypoint(here)
            there = lane.transform.location
            overhang = max(overhang, np.hypot(there.x - here.x, there.y - here.y) - lane.lane_width / 2)
    return driven, overhang
"""


def test_autopilot_drives_in_its_lane(town: TownServer) -> None:
    run_traffic_manager(
        town.port,
        TRAFFIC
        + """
points = town_map.get_spawn_points()
cars = [library.find(name) for name in ("vehicle.tesla.model3", "vehicle.lincoln.mkz_2020", "vehicle.audi.tt")]
batch = [C.SpawnActor(car, point).then(C.SetAutopilot(C.FutureActor, True, manager.get_port()))
         for car, point in zip(cars, points[::3])]
answers = client.apply_batch_sync(batch, True)
vehicles = [answer.actor_id for answer in answers if not answer.error]
assert len(vehicles) == 3, [answer.error for answer in answers]
manager.global_percentage_speed_difference(-10.0)
driven, overhang = drive(vehicles, 250)
assert sum(length > 30.0 for length in driven.values()) >= 2, driven
assert overhang < 0.6, overhang
client.apply_batch_sync([C.DestroyActor(vehicle) for vehicle in vehicles], True)
manager.shut_down()
""",
        timeout=90.0,
    )


def test_it_takes_over_and_releases_the_towns_own_traffic(town: TownServer) -> None:
    run_traffic_manager(
        town.port,
        TRAFFIC
        + """
own = world.get_actors().filter("vehicle.*")[0]
own.set_autopilot(True, manager.get_port())
driven, overhang = drive([own.id], 100)
assert driven[own.id] > 5.0 and own.get_control().throttle + own.get_control().brake > 0.0
own.set_autopilot(False, manager.get_port())
own.apply_control(carla.VehicleControl(brake=1.0))
driven, overhang = drive([own.id], 120)
assert own.get_velocity().length() < 0.1
manager.shut_down()
""",
        timeout=60.0,
    )


def test_the_port_is_released_when_its_client_disconnects(town: TownServer) -> None:
    run_client(town.port, "client.set_timeout(60.0); client.get_world(); client.get_trafficmanager(8413)")
    run_client(
        town.port,
        """
        client.set_timeout(60.0)
        world = client.get_world()
        manager = client.get_trafficmanager(8413)  # would hang if it called a Traffic Manager that is gone
        manager.set_global_distance_to_leading_vehicle(3.0)
        assert manager.get_port() == 8413
        """,
    )
    assert set(town.traffic_managers) <= {8413}
