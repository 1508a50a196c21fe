"""The embedded simulator as a process.

python -m bridge.town.carla_server.server --port 2000 --town oldtown --seed 0
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from bridge.process.lifetime import Lifetime
from bridge.town.carla_server import handlers, structs
from bridge.town.carla_server.compiled import Stamp
from bridge.town.carla_server.options import parse
from bridge.town.carla_server.town_server import RATE, TownServer
from bridge.town.sensors.rays import Rays
from bridge.untrusted import limits
from bridge.untrusted.memory import bounded

__all__ = ["TownServer", "handlers", "main"]


def _compile(world: Any) -> None:
    """Never run here before: compile what ticks, pictures and rays need now, not while a client waits for an answer."""
    car = world.spawn("vehicle.tesla.model3", {}, world.spawn_points()[0])
    lens = {"image_size_x": "64", "image_size_y": "32"}
    camera = world.spawn("sensor.camera.rgb", lens, structs.Transform(z=1.5), car.id)
    world.tick(1.0 / RATE)
    world.capture(camera.id)
    scene, props, poses = world.shapes()
    Rays(scene, props).cast(np.zeros(3), np.eye(3)[:1], 1.0, poses)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code. Prints one line when the town is ready."""
    options = parse(argv)

    lifetime = Lifetime(options.with_parent)
    # Threads that wait for each other's lock get it within half a millisecond, not five.
    sys.setswitchinterval(0.0005)
    # carla.Map talks to the standard output, which belongs to our one line.
    console = os.fdopen(os.dup(1), "w")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.close(quiet)
    from bridge.town.opendrive.probe import too_large
    from bridge.town.opendrive.towns import TOWNS
    from bridge.town.world import World

    def make_world(town: str) -> World:
        if town in TOWNS:
            return World(town, options.seed, options.vehicles, options.walkers)
        try:
            with bounded(limits.MAP_MEMORY):
                return World(town, options.seed, options.vehicles, options.walkers)
        except MemoryError:
            raise ValueError(too_large(town)) from None

    compiled = Stamp()
    if not compiled.is_set:
        _compile(World("hamlet", 0, 2, 1))
        compiled.set()
    try:
        server = TownServer(make_world, options.town, sorted(TOWNS), options.host, options.port, options.streaming_port)
    except OSError as error:
        print(f"town: {error.strerror or error}: choose another --host or port", file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"town: {error}", file=sys.stderr)
        return 1
    server.start()
    print(f"town: {server.world.name} ready on {options.host}:{server.port}", file=console, flush=True)
    lifetime.wait()
    server.close()
    return 0


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # not held up by a thread that is still drawing a picture
