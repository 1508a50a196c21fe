"""Drives the vehicle that a scenario leaves to an outside controller, by this project's autopilot.

    python tools/hero.py --port 2000

ScenarioRunner's OpenSCENARIO files have an ego under ``external_control``: for ``compatibility.py`` this is the one who
controls it, an attentive driver that stays in its lane, stops for road users and red lights, and goes slowly round what
stands in the lane while there is room. It goes on from one hero to the next until it is ended.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, hypot, radians, sin

import carla

from bridge.carla_client.routing.autopilot import Autopilot, Halt
from bridge.carla_client.surroundings import Surroundings
from bridge.carla_client.vehicle_geometry import VehicleGeometry, read_physics

HEROES = ("hero", "ego_vehicle")  # role names
AHEAD = 16.0  # m within which things in the lane are heeded
LOW = 0.2  # m, one drives over what is lower
SLOW = 1.2  # m/s next to them
EARLY = 1.0  # m before its rear has passed a thing that it moves over again: the rear swings out to the other side
CLEAR = 0.07  # m between the vehicle and what it goes round
OVER = 3.0  # m on which it moves over
SEEN = 60.0  # m from which lights are heeded
ROLL = 12.0  # s that the way to a red light is to take, at any moment
CREEP = 0.2  # m/s, slowest of that
LONGEST = 0.2  # s, longest step of the driver
BACKING, STANDING = 3.0, 0.1  # m/s backwards, and below which it stands
AGAIN = 40  # ticks after which keeping to the right is requested again


@dataclass(frozen=True)
class Thing:
    """Something that stands in a lane: metres in the world, and across the lane from its centre to the right."""

    x: float
    y: float
    across: float
    half_width: float  # across the lane
    half_length: float  # along it


class Driver:
    """The driver of one vehicle.

    ``speed``: m/s on a free road; ``lights``: whether it heeds traffic lights; ``right``: m that it keeps to the right
    of its lane's middle; ``back``: m that it backs up before it drives.
    """

    def __init__(
        self,
        world: carla.World,
        vehicle: carla.Vehicle,
        speed: float,
        lights: bool = True,
        right: float = 0.0,
        back: float = 0.0,
    ) -> None:
        self.vehicle, self._speed, self._lights, self._right = vehicle, speed, lights, right
        self._back, self._start = back, vehicle.get_location()
        self._surroundings = Surroundings(world, vehicle)
        extent = vehicle.bounding_box.extent
        self._half_length, self._half_width = extent.x, extent.y
        self._world = world
        self._autopilot = self._laid_out()
        self._across = 0.0
        self._then = world.get_snapshot().timestamp.elapsed_seconds
        self._ticks, self._things = 0, list[Thing]()

    def _laid_out(self) -> Autopilot:
        geometry = VehicleGeometry.of(self.vehicle, read_physics(self.vehicle))
        autopilot = Autopilot(self._world.get_map(), geometry, cruise=self._speed)
        autopilot.turn = "straight"
        return autopilot

    def drive(self, snapshot: carla.WorldSnapshot) -> None:
        """One step: look, decide, control."""
        state = snapshot.find(self.vehicle.id)
        if state is None:
            return
        self._surroundings.update(snapshot)
        if self._ticks % 20 == 0:
            self._things = [_thing(self._world.get_map(), each) for each in _props(self._world)]
        self._ticks += 1
        now = snapshot.timestamp.elapsed_seconds
        delta, self._then = min(now - self._then, LONGEST), now
        pose, velocity = state.get_transform(), state.get_velocity()
        forward = pose.get_forward_vector()
        if self._back and pose.location.distance_2d(self._start) < self._back:
            gas = 0.4 if velocity.length() < BACKING else 0.0
            self.vehicle.apply_control(carla.VehicleControl(throttle=gas, reverse=True))
            return
        if self._back and velocity.length() > STANDING:
            self.vehicle.apply_control(carla.VehicleControl(brake=1.0))
            return
        if self._back:
            self._back, self._autopilot = 0.0, self._laid_out()  # from here on
        halts = self._surroundings.halts() if self._lights else []
        self._go_round(pose.location, forward)
        self._approach(pose.location, forward, halts)
        pedals = self._autopilot.drive(
            pose.location.x, pose.location.y, pose.location.z, radians(pose.rotation.yaw),
            velocity.x * forward.x + velocity.y * forward.y, self._surroundings.bodies(), halts, delta,
        )  # fmt: skip
        self.vehicle.apply_control(carla.VehicleControl(pedals.throttle, pedals.steer, pedals.brake))

    def _go_round(self, at: carla.Location, forward: carla.Vector3D) -> None:
        """Move over within the lane for the next thing that stands in it."""
        across, slow = self._right, False
        for thing in sorted(self._things, key=lambda each: hypot(each.x - at.x, each.y - at.y)):
            ahead = (thing.x - at.x) * forward.x + (thing.y - at.y) * forward.y
            aside = abs((thing.x - at.x) * forward.y - (thing.y - at.y) * forward.x)
            passed = ahead < EARLY - self._half_length - thing.half_length
            if passed or ahead > AHEAD or aside > 3.0:
                continue
            least = thing.half_width + self._half_width + CLEAR
            slow = slow or abs(thing.across) < least + 1.0
            if abs(thing.across) < least:
                across = thing.across + (least if thing.across < 0.0 else -least)
                break
        self._autopilot.cruise = SLOW if slow else self._speed
        lost = (
            across == self._right != 0.0 and self._ticks % AGAIN == 0
        )  # a path that was planned again lies in the middle
        if (abs(across - self._across) > 0.02 or lost) and self._autopilot.shift(across, OVER):
            self._across = across

    def _approach(self, at: carla.Location, forward: carla.Vector3D, halts: Sequence[Halt]) -> None:
        """Roll slowly towards a red light ahead, so as to be rolling still when it turns green."""
        for halt in halts:
            ahead = (halt.x - at.x) * forward.x + (halt.y - at.y) * forward.y
            aside = abs((halt.x - at.x) * forward.y - (halt.y - at.y) * forward.x)
            same = cos(halt.yaw) * forward.x + sin(halt.yaw) * forward.y > 0.7
            if same and aside < 3.0 and 0.0 < ahead < SEEN:
                self._autopilot.cruise = min(self._autopilot.cruise, max((ahead - self._half_length) / ROLL, CREEP))


def _props(world: carla.World) -> list[carla.Actor]:
    things = [each for each in world.get_actors() if each.type_id.startswith("static.prop.")]
    return [each for each in things if 2.0 * each.bounding_box.extent.z > LOW]


def _thing(town: carla.Map, prop: carla.Actor) -> Thing:
    place, half = prop.get_transform(), prop.bounding_box.extent
    lane = town.get_waypoint(place.location).transform
    right, turned = lane.get_right_vector(), radians(place.rotation.yaw - lane.rotation.yaw)
    dx, dy = place.location.x - lane.location.x, place.location.y - lane.location.y
    wide = half.x * abs(sin(turned)) + half.y * abs(cos(turned))
    long = half.x * abs(cos(turned)) + half.y * abs(sin(turned))
    return Thing(place.location.x, place.location.y, dx * right.x + dy * right.y, wide, long)


def find(world: carla.World) -> carla.Vehicle | None:
    """The vehicle that waits for a driver, if there is one."""
    vehicles = world.get_actors().filter("vehicle.*")
    return next((each for each in vehicles if each.attributes.get("role_name") in HEROES), None)


def main() -> None:
    parser = argparse.ArgumentParser(description="Drive the vehicle whose role is hero.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=2000)
    parser.add_argument("--speed", type=float, default=8.0, help="m/s on a free road (default: 8)")
    parser.add_argument("--ignore-lights", action="store_true", help="drive on at red lights")
    parser.add_argument("--keep-right", type=float, default=0.0, help="m to the right of the lane's middle")
    parser.add_argument("--back", type=float, default=0.0, help="m to back up before it drives")
    options = parser.parse_args()
    client = carla.Client(options.host, options.port)
    client.set_timeout(30.0)
    driver: Driver | None = None
    while True:
        try:
            world = client.get_world()
            if driver is None or not driver.vehicle.is_alive:
                vehicle = find(world)
                manner = options.speed, not options.ignore_lights, options.keep_right, options.back
                driver = None if vehicle is None else Driver(world, vehicle, *manner)
            if driver is None:
                time.sleep(0.1)
            else:
                driver.drive(world.wait_for_tick(5.0))
        except RuntimeError:  # the world, or the vehicle in it, has just been replaced
            driver = None
            time.sleep(0.1)


if __name__ == "__main__":
    main()
