"""Endurance test: a long simulation of the town's traffic that watches for stuck vehicles, road departures and memory.

    python -m benchmarks.soak --minutes 60 --vehicles 30 --walkers 20

Simulated time runs as fast as possible. No client drives, as vehicles left behind by a driven one respawn elsewhere,
which would hide a jam. The last line is one JSON object: ``minutes`` simulated, ``longest_stop_s`` (of any vehicle),
``stuck`` (number of stops longer than ``MAX_STOP``), ``off_road`` (samples of vehicles with their centre off the
asphalt), ``samples``, ``memory_mb`` after the first tenth and at the end, ``ticks_per_s``. The exit code is 1 if a
vehicle was stuck or off the road, or memory has grown by more than ``MAX_GROWTH``.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bridge.process.option_types import Count, Crowd, Town
from bridge.process.options import Options, parse
from neuralsim.town.world import World

STEP = 0.05  # s
MAX_STOP = 60.0  # s, longer than any red phase
MOVING = 0.1  # m/s
MAX_GROWTH = 0.05  # relative to the memory after the first tenth
SAMPLE_INTERVAL = 10  # ticks between two samples of the road


class Statistics:
    """Statistics of the vehicles so far."""

    def __init__(self) -> None:
        self.since: dict[int, float] = {}  # when each vehicle last moved, s
        self.longest = 0.0
        self.stuck = self.off_road = self.samples = 0

    def update(self, world: World, sample_road: bool) -> None:
        """Add the present tick; ``sample_road``: check whether vehicles are on the road, too."""
        for actor in world.actors.values():
            if not actor.blueprint.id.startswith("vehicle."):
                continue
            if float(np.linalg.norm(actor.velocity)) > MOVING:
                self.since[actor.id] = world.time
            stood = world.time - self.since.setdefault(actor.id, world.time)
            self.longest = max(self.longest, stood)
            if stood > MAX_STOP:
                self.stuck += 1
                self.since[actor.id] = world.time
            if sample_road:
                self.samples += 1
                self.off_road += not world.ground.is_asphalt(actor.transform.x, actor.transform.y)


class SoakOptions(Options):
    """A long simulation of the town's traffic: deadlocks, vehicles off the road, memory."""

    minutes: Count = 60
    """Minutes of simulated time."""
    town: Town = "oldtown"
    """Name of a town, or an OpenDRIVE file (.xodr)."""
    seed: Count = 0
    """Seed of the town and of its traffic."""
    vehicles: Crowd = 30
    """Number of vehicles."""
    walkers: Crowd = 20
    """Number of pedestrians."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(SoakOptions, argv, "soak")
    try:
        world = World(options.town, options.seed, options.vehicles, options.walkers)
    except ValueError as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1
    statistics, ticks, begin = Statistics(), int(options.minutes * 60 / STEP), time.monotonic()
    early = 0.0
    for tick in range(ticks):
        world.tick(STEP)
        statistics.update(world, tick % SAMPLE_INTERVAL == 0)
        if tick == ticks // 10:
            early = memory()
        if tick % (ticks // 20 + 1) == 0:
            done = f"{tick * STEP / 60:.0f} of {options.minutes} min"
            print(f"{done}, longest stop {statistics.longest:.0f} s, {memory():.0f} MB", file=sys.stderr, flush=True)
    late = memory()
    report = {
        "minutes": options.minutes,
        "longest_stop_s": round(statistics.longest, 1),
        "stuck": statistics.stuck,
        "off_road": statistics.off_road,
        "samples": statistics.samples,
        "memory_mb": [round(early, 1), round(late, 1)],
        "ticks_per_s": round(ticks / max(time.monotonic() - begin, 1e-9), 1),
    }
    print(json.dumps(report))
    return int(statistics.stuck > 0 or statistics.off_road > 0 or late > early * (1.0 + MAX_GROWTH))


def memory() -> float:
    """Return the resident memory of this process in MB, or its peak where the system does not report it."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * resource.getpagesize() / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    sys.exit(main())
