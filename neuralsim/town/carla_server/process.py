"""The server process of the embedded simulator.

python -m neuralsim.town.carla_server --port 2000 --town oldtown --seed 0
"""

import math
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import NoReturn

import numpy as np

from bridge.process.lifetime import Lifetime, end
from bridge.process.options import parse
from neuralsim.base.threads import switch_threads_early
from neuralsim.town.carla_server import handlers, structs
from neuralsim.town.carla_server.clock import FIRST_CLIENT_TIMEOUT, RATE
from neuralsim.town.carla_server.compat.strictness import Strictness
from neuralsim.town.carla_server.compile_stamp import CompiledStamp
from neuralsim.town.carla_server.generated_cameras import ImageGenerator
from neuralsim.town.carla_server.options import TownOptions
from neuralsim.town.carla_server.plane_memory import PlaneMemory
from neuralsim.town.carla_server.town_server import TownServer
from neuralsim.town.ground.blocks import points_in_polygon
from neuralsim.town.opendrive.towns import STANDINS, TOWNS, maps
from neuralsim.town.own_maps import build_within_limits
from neuralsim.town.world import World

_GOODBYE = 1.5  # s that clients have to leave a town whose parent process has ended

__all__ = ["TownServer", "handlers", "main"]


def compile_kernels(world: World) -> None:
    """Compile the kernels of ticks, images and rays now rather than while a client waits for an answer."""
    car = world.spawn("vehicle.tesla.model3", {}, world.spawn_points()[0])
    lens = {"image_size_x": "64", "image_size_y": "32"}
    camera = world.spawn("sensor.camera.rgb", lens, structs.Transform(z=1.5), car.id)
    world.tick(1.0 / RATE)
    PlaneMemory(("tag",)).put(world.capture(camera.id))
    world.rays().cast(np.zeros(3), np.eye(3)[:1], 1.0, world.shapes()[2])


def serve(options: TownOptions, make_generator: Callable[[], ImageGenerator] | None = None) -> int:
    """Serve the town until asked to stop; return the exit code. Print one line when ready.

    ``make_generator``: returns what generates the images of rgb cameras, or raises ValueError; None: nothing does.
    """
    lifetime = Lifetime(options.with_parent)
    switch_threads_early()
    # carla.Map prints to standard output, which is reserved for our one line.
    console = os.fdopen(os.dup(1), "w")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.close(quiet)

    def make_world(town: str) -> World:
        build = partial(World, town, options.seed, options.vehicles, options.walkers, damage=options.damage)
        return build() if town in TOWNS or town in STANDINS else build_within_limits(town, build)

    compiled = CompiledStamp()
    if not compiled.is_set:
        options.announce_step("Compiling the simulator: once on this machine, a minute or two", console)
        compile_kernels(World("hamlet", 0, 2, 1))
        compiled.set()
    try:
        available = maps(options.maps, bool(options.as_carla))
        first = next(iter(available))
        options.announce_step(f"Building {first}: the first time takes longer", console)
        strict = Strictness(options.loading) if options.strict else None
        # The client of a drive becomes synchronous in any case, but on a busy machine that may take long.
        others = FIRST_CLIENT_TIMEOUT if options.vehicles or options.walkers else 0.0
        patience = 0.0 if strict else math.inf if options.with_parent else others
        address = options.host, options.port, options.streaming_port
        generator = make_generator() if make_generator is not None else None
        rays = not options.with_parent  # the sensors of a drive cast none
        dialect = structs.DIALECTS[options.as_carla or structs.VERSION]
        server = TownServer(make_world, first, available, *address, patience, strict, generator, rays, dialect)
    except OSError as error:
        print(f"town: {error.strerror or error}: choose another --host or port", file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"town: {error}", file=sys.stderr)
        return 1
    server.start()
    where, name = f"{options.host}:{server.port}", server.world.name
    options.announce("ready", {"server": where, "town": name}, f"town: {name} ready on {where}", console)
    lifetime.wait()
    if lifetime.is_orphaned:  # so is the bridge, which says goodbye: its calls hang if nobody answers
        lifetime.grace += _GOODBYE
        server.rpc.wait_until_left(_GOODBYE)
    server.close()
    return 0


def run(options: TownOptions, make_generator: Callable[[], ImageGenerator] | None = None) -> NoReturn:
    """Call :func:`serve`, then end this process without waiting for a thread that is still rendering an image."""
    try:
        code = serve(options, make_generator)
    except BrokenPipeError:  # the process that started this one is gone before it was ready
        code = 1
    end(code)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line, then end this process, with exit code 2 for wrong usage."""
    # Loads what all kernels need before options are parsed: a spare process waits for its options at that point.
    points_in_polygon(np.zeros((1, 2)), np.eye(3)[:, :2])
    run(parse(TownOptions, arguments, "town"))
