"""Half an hour of dense traffic with a driver who misbehaves: no junction stands for longer than two minutes."""

from __future__ import annotations

import os

import numpy as np
import pytest

from neuralsim.drive.settings import CROWDS
from neuralsim.town.core.types import Actor, VehicleControl
from neuralsim.town.world import World

MINUTES = float(os.environ.get("NEURALSIM_TRAFFIC_MINUTES", "30"))
STEP = 0.1  # s
NEAR = 25.0  # m from the middle of a junction's lanes
MOVES = 0.5  # m/s


class BadDriver:
    """Drives at full throttle anywhere, stands in the way, reverses, and respawns now and then."""

    def __init__(self, world: World, car: Actor, seed: int) -> None:
        self.world, self.car, self.rng = world, car, np.random.default_rng(seed)
        self.left = 0.0

    def step(self, seconds: float) -> None:
        self.left -= seconds
        if self.left > 0.0:
            return
        rng, kind = self.rng, int(self.rng.integers(8))
        steer = float(rng.uniform(-0.6, 0.6))
        if kind < 4:
            self.car.control, self.left = VehicleControl(throttle=1.0, steer=steer * 0.4), float(rng.uniform(3, 12))
        elif kind < 6:  # in the way, wherever that is
            self.car.control, self.left = VehicleControl(brake=1.0, hand_brake=True), float(rng.uniform(20, 100))
        elif kind < 7:
            self.car.control, self.left = VehicleControl(throttle=0.7, steer=steer, reverse=True), 4.0
        else:
            points = self.world.spawn_points()
            self.world.set_transform(self.car.id, points[int(rng.integers(len(points)))])
            self.left = 0.0


def junctions(world: World) -> np.ndarray:
    """Return the middles of the junctions, f64 (J, 2), m."""
    table = world.traffic.table
    numbers = np.unique(table.junction[table.junction >= 0])
    on = table.junction[table.lane]
    return np.array([table.points[on == number, :2].mean(axis=0) for number in numbers])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("town", ["oldtown", "suburb"])
def test_no_junction_stands_while_somebody_misbehaves(town: str):
    vehicles, walkers = CROWDS["dense"]
    world = World(town, seed=5, vehicles=vehicles, walkers=walkers)
    car = world.spawn("vehicle.tesla.model3", {}, world.spawn_points()[0])
    driver, middles = BadDriver(world, car, 7), junctions(world)
    standing, longest, waited, hits, moved = np.zeros(len(middles)), 0.0, 0.0, 0, 0.0
    for _ in range(round(MINUTES * 60 / STEP)):
        driver.step(STEP)
        world.tick(STEP)
        hits += len(world.events())
        traffic = world.traffic
        near = np.hypot(*(traffic.poses[:, None, :2] - middles[None]).transpose(2, 0, 1)) < NEAR
        moves = (traffic.speed > MOVES)[:, None] & near
        jammed = (near.sum(axis=0) >= 2) & ~moves.any(axis=0)  # two or more, and nobody moves
        standing = np.where(jammed, standing + STEP, 0.0)
        longest, waited = max(longest, float(standing.max())), max(waited, float(traffic.waited.max()))
        moved += float(traffic.speed.mean()) * STEP
    seconds = MINUTES * 60
    print(f"{town}: {MINUTES:g} min, {hits} collisions of the ego, a junction stood for {longest:.0f} s at most, ")
    print(f"a vehicle for {waited:.0f} s, mean speed {moved / seconds:.1f} m/s")
    assert longest < 120.0
    assert waited < 120.0
    assert moved / seconds > 1.0  # traffic flows on the whole
