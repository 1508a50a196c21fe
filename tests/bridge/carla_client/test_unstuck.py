"""An autopilot that has run into something gets free, and traffic dissolves a jam."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.carla_client.routing.autopilot import Pedals
from bridge.carla_client.routing.unstuck import ATTEMPTS, Unstuck
from bridge.messages import Ego
from neuralsim.drive.stuck import Stuck
from neuralsim.town.core.types import VehicleControl
from neuralsim.town.world import World

STEP = 0.1


def test_it_backs_off_and_goes_round_on_alternating_sides():
    unstuck, sides = Unstuck(), []
    for _ in range(ATTEMPTS):
        reversed_for = 0.0
        for _ in range(70):
            pedals, is_reverse = unstuck.drive(Pedals(1.0, 0.0, 0.0), 0.0, STEP)
            reversed_for += STEP * is_reverse
            side = np.sign(pedals.steer) if is_reverse else 0.0
            sides += [side] if side and sides[-1:] != [side] else []
        assert 1.5 < reversed_for < 5.0
    assert unstuck.attempts >= ATTEMPTS
    assert len(sides) >= 3  # left, right, left ...


def test_waiting_at_a_light_is_not_being_stuck():
    unstuck = Unstuck()
    for _ in range(600):
        assert unstuck.drive(Pedals(0.0, 0.0, 1.0), 0.0, STEP) == (Pedals(0.0, 0.0, 1.0), False)


def test_a_respawn_is_offered_to_a_driver_who_presses_the_throttle_in_vain():
    stuck = Stuck()
    offers = [stuck.update(Ego(throttle=1.0), 0.1 * k) for k in range(100)]
    assert sum(offers) == 1
    assert not any(Stuck().update(Ego(throttle=1.0, speed=5.0), 0.1 * k) for k in range(100))


@pytest.mark.slow
def test_a_jam_behind_a_car_that_blocks_a_junction_dissolves():
    """The ego stands across a junction for five minutes of dense traffic: nobody else stands there for two."""
    world = World("oldtown", seed=2, vehicles=40, walkers=10)
    table = world.traffic.table
    lane = int(np.flatnonzero((table.junction >= 0) & (table.length > 12.0))[0])
    middle = table.points[(table.first[lane] + table.first[lane + 1]) // 2]
    place = world.spawn_points()[0]
    place.x, place.y, place.z, place.yaw = float(middle[0]), float(middle[1]), float(middle[2]), 45.0
    car = world.spawn("vehicle.tesla.model3", {}, place)
    car.control = VehicleControl(hand_brake=True, brake=1.0)
    longest = 0.0
    for _ in range(1500):
        world.tick(0.2)
        longest = max(longest, float(world.traffic.waited.max()))
    assert longest < 90.0
