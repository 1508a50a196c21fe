"""An autopilot that has run into something gets free, and traffic dissolves a jam."""

from __future__ import annotations

from math import radians

import numpy as np
import pytest

from bridge.carla_client.routing.autopilot import Pedals, RoadUser
from bridge.carla_client.routing.unstuck import RANGE, Unstuck, _outline
from bridge.carla_client.vehicle_geometry import VehicleGeometry
from bridge.messages import Ego
from neuralsim.drive.stuck import Stuck
from neuralsim.town.core.types import VehicleControl
from neuralsim.town.world import World

STEP = 0.1


CAR = VehicleGeometry(2.4, 0.95, 2.87, radians(40.0))
AHEAD = Pedals(0.5, 0.0, 0.0)


def wall(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    """Points of a wall between two places, f64 (N, 2), m."""
    count = int(np.hypot(x1 - x0, y1 - y0) / 0.3) + 2
    return np.linspace((x0, y0), (x1, y1), count)


def parked(x: float, y: float) -> np.ndarray:
    """Points on the outline of a car that stands along x."""
    return _outline(RoadUser(x, y, 0.0, 2.2, 0.9, 0.0, 0.0))


class Street:
    """A car with an autopilot that wants straight on, among things that stop it, on a road of friction only."""

    def __init__(self, *things: np.ndarray) -> None:
        self.things = np.concatenate(things)
        self.x = self.y = self.yaw = self.speed = 0.0
        self.unstuck = Unstuck(CAR)
        self.touched: list[float] = []  # s, when a moving car was stopped

    def drive(self, seconds: float) -> None:
        for k in range(int(seconds / STEP)):
            pilot = Pedals(0.5, float(np.clip(-0.3 * self.y - self.yaw, -1.0, 1.0)), 0.0)
            place = self.x, self.y, self.yaw
            pedals, is_reverse = self.unstuck.drive(pilot, place, self.speed, STEP, [], self.look)
            push = 3.0 * pedals.throttle * (-1.0 if is_reverse else 1.0)
            slow = np.sign(self.speed) * min(abs(self.speed) / STEP, 8.0 * pedals.brake + 0.3)
            self.speed += STEP * (push - slow)
            turn = self.speed * np.tan(pedals.steer * CAR.steering_lock) / CAR.wheelbase
            before = self.x, self.y, self.yaw
            self.yaw += STEP * turn
            self.x += STEP * self.speed * np.cos(self.yaw)
            self.y += STEP * self.speed * np.sin(self.yaw)
            if self.inside():
                self.x, self.y, self.yaw = before
                if abs(self.speed) > 0.5:
                    self.touched.append(STEP * k)
                self.speed = 0.0

    def look(self) -> np.ndarray:
        return self.things[np.hypot(*(self.things - (self.x, self.y)).T) < RANGE]

    def inside(self) -> bool:
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        local = (self.things - (self.x, self.y)) @ np.array([(c, -s), (s, c)])
        return bool((np.abs(local) < (CAR.half_length, CAR.half_width)).all(axis=1).any())


@pytest.mark.parametrize("across", [-1.4, -0.7, 0.0, 0.7, 1.4])
@pytest.mark.parametrize("behind", [4.2, 6.0, 30.0])
def test_it_gets_round_what_it_ran_into_without_touching_what_is_behind(across: float, behind: float):
    street = Street(parked(4.65, across), wall(-behind, -9.0, -behind, 9.0), wall(-40.0, 9.0, 60.0, 9.0))
    street.drive(45.0)
    assert street.x > 9.0 or (street.unstuck.is_helpless and behind < 5.0)  # no room to get past
    assert not street.touched


@pytest.mark.parametrize(("across", "apart"), [(1.2, 5.5), (0.8, 9.0), (0.8, 14.0)])
def test_it_does_not_run_into_the_next_ones_of_a_row(across: float, apart: float):
    """The autopilot sees none of them, and the last ones cannot be seen from where it gets stuck."""
    street = Street(*(parked(4.65 + apart * k, across) for k in range(4)), wall(-10.0, -4.5, 80.0, -4.5))
    street.drive(45.0)
    assert not street.touched
    assert street.x > 4.65 + 2.0 * apart or street.unstuck.is_helpless


def test_without_room_it_stands_and_says_so():
    street = Street(wall(2.5, -2.0, 2.5, 2.0), wall(-2.5, -2.0, -2.5, 2.0), *(wall(-3, y, 3, y) for y in (-1.2, 1.2)))
    street.drive(20.0)
    assert street.unstuck.is_helpless
    assert max(street.touched) < 1.0  # by the autopilot, before it was stuck
    assert street.unstuck.drive(AHEAD, (0.0, 0.0, 0.0), 0.0, STEP, [], lambda: street.things)[0].brake == 1.0
    street.unstuck.reset()
    assert not street.unstuck.is_helpless


def test_it_waits_for_a_car_that_comes_from_behind():
    unstuck, reversed_for = Unstuck(CAR), 0.0
    comes = RoadUser(-5.0, 0.0, 0.0, 2.2, 0.9, 3.0, 0.0)  # 0.4 m behind
    for _ in range(100):
        _, is_reverse = unstuck.drive(AHEAD, (0.0, 0.0, 0.0), 0.0, STEP, [comes], lambda: wall(2.5, -3.0, 2.5, 3.0))
        reversed_for += STEP * is_reverse
    assert reversed_for == 0.0


def test_waiting_at_a_light_is_not_being_stuck():
    unstuck, waiting = Unstuck(CAR), Pedals(0.0, 0.0, 1.0)
    for _ in range(600):
        assert unstuck.drive(waiting, (0.0, 0.0, 0.0), 0.0, STEP, [], lambda: parked(4.65, 0.0)) == (waiting, False)


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
