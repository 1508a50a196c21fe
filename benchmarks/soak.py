"""Endurance test: a long drive in the town's traffic that watches for stuck vehicles, lane departures, memory growth.

    python -m benchmarks.soak --minutes 60 --vehicles 30 --walkers 20

Simulated time runs as fast as it can, and no client drives: near one, who is left behind reappears elsewhere, which
would hide a jam. The last line is one JSON object: ``minutes`` simulated, ``longest_stop_s`` (the longest that any
vehicle stood still), ``stuck`` (how often one stood longer than ``LONGEST``), ``off_road`` (samples of vehicles with
their middle on no asphalt), ``samples``, ``memory_mb`` after the first tenth and at the end, ``ticks_per_s``. The exit
code is 1 when a vehicle was stuck, off the road, or memory has grown by more than ``GROWTH``.
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
LONGEST = 60.0  # s, longer than any red phase
MOVING = 0.1  # m/s
GROWTH = 0.05  # share of the memory after the first tenth
EVERY = 10  # ticks between two samples of the road


class Watch:
    """What has been seen so far."""

    def __init__(self) -> None:
        self.since: dict[int, float] = {}  # when each vehicle last moved, s
        self.longest = 0.0
        self.stuck = self.off_road = self.samples = 0

    def look(self, world: World, sample: bool) -> None:
        """Take note of the present moment; ``sample``: of the road too."""
        for actor in world.actors.values():
            if not actor.blueprint.id.startswith("vehicle."):
                continue
            if float(np.linalg.norm(actor.velocity)) > MOVING:
                self.since[actor.id] = world.time
            stood = world.time - self.since.setdefault(actor.id, world.time)
            self.longest = max(self.longest, stood)
            if stood > LONGEST:
                self.stuck += 1
                self.since[actor.id] = world.time
            if sample:
                self.samples += 1
                self.off_road += not world.ground.asphalt(actor.transform.x, actor.transform.y)


class SoakOptions(Options):
    """A long drive in the town's traffic: deadlocks, vehicles off the road, memory."""

    minutes: Count = 60
    """Of simulated time."""
    town: Town = "oldtown"
    """Name of a town, or an OpenDRIVE file (.xodr)."""
    seed: Count = 0
    """Of the town and everything that moves in it."""
    vehicles: Crowd = 30
    """Vehicles that drive by themselves."""
    walkers: Crowd = 20
    """Pedestrians."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = parse(SoakOptions, argv, "soak")
    try:
        world = World(options.town, options.seed, options.vehicles, options.walkers)
    except ValueError as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1
    watch, ticks, begin = Watch(), int(options.minutes * 60 / STEP), time.monotonic()
    early = 0.0
    for tick in range(ticks):
        world.tick(STEP)
        watch.look(world, tick % EVERY == 0)
        if tick == ticks // 10:
            early = memory()
        if tick % (ticks // 20 + 1) == 0:
            done = f"{tick * STEP / 60:.0f} of {options.minutes} min"
            print(f"{done}, longest stop {watch.longest:.0f} s, {memory():.0f} MB", file=sys.stderr, flush=True)
    late = memory()
    report = {
        "minutes": options.minutes,
        "longest_stop_s": round(watch.longest, 1),
        "stuck": watch.stuck,
        "off_road": watch.off_road,
        "samples": watch.samples,
        "memory_mb": [round(early, 1), round(late, 1)],
        "ticks_per_s": round(ticks / max(time.monotonic() - begin, 1e-9), 1),
    }
    print(json.dumps(report))
    return int(watch.stuck > 0 or watch.off_road > 0 or late > early * (1.0 + GROWTH))


def memory() -> float:
    """Megabytes that this process holds now; its peak where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * resource.getpagesize() / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    sys.exit(main())
