"""Throughput of the town: ``python -m benchmarks.town`` prints one JSON line with medians.

``raster_512x256_ms``, ``raster_1024x512_ms``: time for all planes, including rgb, of a street with 40 vehicles and 30
walkers from a moving car; ``world_ticks_per_s``: ticks of that world alone, without sockets and images. One core.
``ticks_per_s``: ticks of the server over the network. A separate process serves the town with 30 vehicles; CARLA's
official client ticks it in synchronous mode and awaits the tag, instance, depth and flow images of each tick, 512x256.
"""

from __future__ import annotations

import contextlib
import json
import queue
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import carla
import numpy as np

from bridge.process.json_lines import parse_message
from bridge.process.option_types import Positive
from bridge.process.options import Options, parse
from bridge.tags import Tag
from neuralsim.town.assets.meshes import Mesh, box, merge, prism, quad
from neuralsim.town.assets.people_meshes import PHASES, walker_templates
from neuralsim.town.assets.plant_meshes import tree
from neuralsim.town.assets.prop_meshes import street_lamp
from neuralsim.town.assets.vehicles.vehicle_meshes import vehicle_templates
from neuralsim.town.core.types import Transform
from neuralsim.town.render.raster import Rasteriser
from neuralsim.town.render.scene import Placements, Scene
from neuralsim.town.world import World

VEHICLES, WALKERS = 40, 30
BLOCK = 88.0  # m, distance between the streets of the synthetic town
STREETS = 8
TRAFFIC = 30  # vehicles for the measurement of the server, in addition to the default walkers
CAMERAS = ("semantic_segmentation", "instance_segmentation", "depth", "optical_flow")
SERVER = (sys.executable, "-m", "neuralsim.town.carla_server")
TIMEOUT = 60.0  # s, for a call to the server and for an image


def synthetic_town(seed: int = 0) -> Mesh:
    """Return a static town of 0.5 km2 for measurements: a grid of streets with houses, 1000 trees and lamps."""
    rng = np.random.default_rng(seed)
    side = BLOCK * STREETS
    parts = []
    tiles = int(side // 22) + 2
    for i in range(tiles):
        for j in range(tiles):
            x, y = 22.0 * i - 22.0, 22.0 * j - 22.0
            corners = [(x, y, 0), (x + 22, y, 0), (x + 22, y + 22, 0), (x, y + 22, 0)]
            parts.append(quad(corners, Tag.ROAD, (84, 84, 86)))
    trees = [tree(kind, seed) for kind in ("lime", "plane", "birch", "young") for seed in range(2)]
    lamp = street_lamp()
    instance = 10001
    for i in range(STREETS):
        for j in range(STREETS):
            x0, y0 = BLOCK * i + 6.0, BLOCK * j + 6.0
            inner = BLOCK - 12.0
            ring = np.array([(0, 0), (inner, 0), (inner, inner), (0, inner)]) + np.array([x0, y0])
            parts.append(prism(ring, 0.0, 0.13, Tag.SIDEWALK, (150, 148, 144)))
            for edge in range(4):
                a, b = ring[edge], ring[(edge + 1) % 4]
                along = (b - a) / inner
                inward = np.array([-along[1], along[0]])
                at = 3.5
                while at < inner - 16.0:
                    width, depth = rng.uniform(7, 14), rng.uniform(8, 13)
                    p = a + along * at + inward * rng.uniform(3.0, 4.5)
                    base = [p, p + along * width, p + along * width + inward * depth, p + inward * depth]
                    tint = tuple(int(v) for v in rng.integers(120, 220, 3))
                    house = prism(
                        base, 0.1, rng.uniform(6, 17), Tag.BUILDING, (tint[0], tint[1], tint[2]), (120, 70, 60)
                    )
                    parts.append(house.with_instance(instance))
                    instance += 1
                    at += width + (rng.random() < 0.2) * rng.uniform(1, 5)
                for post in range(6, int(inner), 13):
                    p = a + along * post + inward * 0.9
                    prop = trees[rng.integers(len(trees))] if rng.random() < 0.6 else lamp
                    parts.append(prop.moved(p[0], p[1], 0.13, float(rng.uniform(0, 360))))
    parts.append(box((0.1, 0.1, 0.1), (0, 0, 0.05), Tag.STATIC, (90, 90, 90)))
    return merge(parts)


def synthetic_street(frames: int, seed: int = 0) -> tuple[Scene, list[Placements], list[np.ndarray]]:
    """Return scene, placements and camera pose per frame of a drive along a street full of vehicles and walkers."""
    rng = np.random.default_rng(seed)
    vehicles = list(vehicle_templates().values())
    scene = Scene(synthetic_town(seed), vehicles + walker_templates("man") + walker_templates("woman"))
    count = VEHICLES + WALKERS
    kind = rng.integers(0, len(vehicles), VEHICLES)
    body = rng.integers(0, 2, WALKERS)
    x = rng.uniform(3 * BLOCK - 20, 3 * BLOCK + 150, count)
    lane = rng.choice([-4.6, -1.8, 1.8, 4.6], VEHICLES)
    y = np.concatenate([lane, rng.choice([-7.5, 7.5], WALKERS)]) + 3 * BLOCK
    speed = np.concatenate([np.where(np.abs(lane) < 3, np.sign(lane) * 8.0, 0.0), rng.uniform(-1.6, 1.6, WALKERS)])
    colour = rng.integers(40, 230, (count, 3)).astype(np.uint8)
    sequence, cameras = [], []
    for frame in range(frames):
        p = Placements.empty(count)
        for now, at in ((True, frame / 20.0), (False, (frame - 1) / 20.0)):
            pose = p.pose if now else p.previous_pose
            heading = np.where(np.concatenate([lane, speed[VEHICLES:]]) >= 0, 1.0, -1.0)
            pose[:, 0, 0] = pose[:, 1, 1] = heading
            pose[:, 0, 3], pose[:, 1, 3] = x + speed * at, y
            phase = (np.floor((at + 1.0) * 10.0).astype(int) + np.arange(WALKERS)) % PHASES
            template = np.concatenate([kind, len(vehicles) + PHASES * body + phase]).astype(np.int32)
            if now:
                p.template = template
            else:
                p.previous_template = template
        p.instance = np.arange(1, count + 1).astype(np.uint16)
        p.colour = colour
        sequence.append(p)
        camera = np.eye(4)
        camera[:3, 3] = (3 * BLOCK - 30.0 + 0.5 * frame, 3 * BLOCK + 1.8, 1.5)
        cameras.append(camera)
    return scene, sequence, cameras


def measure_raster(
    width: int, height: int, scene: Scene, sequence: list[Placements], cameras: list[np.ndarray]
) -> float:
    """Return the median time of one render in milliseconds, without the first two frames.

    Args:
        width: Image width, pixels.
        height: Image height, pixels.
        scene: The scene.
        sequence: Placements of each frame.
        cameras: Camera pose of each frame, f64 (4, 4).
    """
    raster = Rasteriser(width, height, 90.0)
    times = []
    for k in range(1, len(sequence)):
        start = time.perf_counter()
        raster.render(scene, sequence[k], cameras[k], cameras[k - 1])
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times[2:])


def measure_world(frames: int) -> dict[str, float]:
    """Return the same for the town itself, with its own traffic and a camera on the first vehicle, and its ticks."""
    world = World("oldtown", 0, VEHICLES, WALKERS)
    result: dict[str, float] = {}
    transform = Transform(x=0.4, z=1.5)
    ego = next(a for a in world.actors.values() if a.blueprint.id.startswith("vehicle."))
    for width, height in ((512, 256), (1024, 512)):
        size = {"image_size_x": str(width), "image_size_y": str(height), "fov": "90"}
        camera = world.spawn("sensor.camera.rgb", size, transform, ego.id)
        times = []
        for _ in range(frames):
            world.tick(0.05)
            start = time.perf_counter()
            world.capture(camera.id)
            times.append(time.perf_counter() - start)
        world.destroy(camera.id)
        result[f"raster_{width}x{height}_ms"] = 1e3 * statistics.median(times[2:])
    times = []
    for _ in range(frames):
        start = time.perf_counter()
        world.tick(0.05)
        times.append(time.perf_counter() - start)
    result["world_ticks_per_s"] = 1.0 / statistics.median(times)
    return result


@contextlib.contextmanager
def served_town(*arguments: str, command: Sequence[str] = SERVER) -> Iterator[carla.Client]:
    """Yield the official client of a town server, which runs in a separate process: ``command`` with ``arguments``.

    Raises RuntimeError when the server does not start; its error message is on standard error then.
    """
    served = [*command, "--port", "0", "--with-parent", "--json-lines", *arguments]
    with subprocess.Popen(served, stdout=subprocess.PIPE, text=True) as process:
        try:
            messages = (parse_message(line) or {} for line in process.stdout or ())
            ready = next((message["ready"] for message in messages if "ready" in message), None)
            if ready is None:
                raise RuntimeError("the town server did not start")
            host, _, port = ready["server"].rpartition(":")
            client = carla.Client(host, int(port))
            client.set_timeout(TIMEOUT)
            yield client
        finally:
            process.terminate()


class Session:
    """A synchronous client with cameras on a vehicle of the background traffic.

    Args:
        client: Of a server that is its own.
        cameras: Kind, such as "depth", and pose on the vehicle of each camera.
        width: Image width, pixels.
        height: Image height, pixels.
    """

    def __init__(
        self, client: carla.Client, cameras: Sequence[tuple[str, carla.Transform]], width: int, height: int
    ) -> None:
        self._world = client.get_world()
        settings = self._world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
        self._world.apply_settings(settings)
        self._world.tick()  # its first snapshot names the actors
        library = self._world.get_blueprint_library()
        vehicle = min(self._world.get_actors().filter("vehicle.*"), key=lambda actor: actor.id)
        self._images: list[queue.SimpleQueue[carla.Image]] = []
        self._cameras = []
        for kind, mount in cameras:
            blueprint = library.find(f"sensor.camera.{kind}")
            blueprint.set_attribute("image_size_x", str(width))
            blueprint.set_attribute("image_size_y", str(height))
            self._cameras.append(self._world.spawn_actor(blueprint, mount, attach_to=vehicle))
            self._images.append(queue.SimpleQueue())
            self._cameras[-1].listen(self._images[-1].put)

    def tick(self, count: int) -> list[float]:
        """Tick and await the images of all cameras ``count`` times; return how long each took, s."""
        times = []
        for _ in range(count):
            start = time.perf_counter()
            frame = self._world.tick()
            for images in self._images:
                while images.get(timeout=TIMEOUT).frame != frame:
                    pass
            times.append(time.perf_counter() - start)
        return times

    def close(self) -> None:
        """Stop the cameras, and let the server run by itself."""
        for camera in self._cameras:
            camera.stop()
        settings = self._world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = False, None
        self._world.apply_settings(settings)


def measure_server(frames: int, width: int = 512, height: int = 256, town: str = "oldtown") -> float:
    """Return the median ticks per second of the server with the official client, without the first ten ticks.

    The client is synchronous, has ``CAMERAS`` on a vehicle of the background traffic, and awaits all their images.
    """
    mount = carla.Transform(carla.Location(x=0.4, z=1.5))
    with served_town("--town", town, "--vehicles", str(TRAFFIC)) as client:
        session = Session(client, [(kind, mount) for kind in CAMERAS], width, height)
        times = session.tick(10 + frames)
        session.close()
    return 1.0 / statistics.median(times[10:])


class BenchmarkOptions(Options):
    """Throughput of the town: its rasteriser, its world, and its server with the official client."""

    frames: Positive = 120
    """Frames per image size."""
    synthetic: bool = False
    """Measure the rasteriser with a synthetic scene instead of the town."""


def main() -> None:
    """Run the command line."""
    options = parse(BenchmarkOptions, None, "benchmark")
    if options.synthetic:
        scene, sequence, cameras = synthetic_street(options.frames)
        result = {
            f"raster_{w}x{h}_ms": measure_raster(w, h, scene, sequence, cameras) for w, h in ((512, 256), (1024, 512))
        }
    else:
        result = measure_world(options.frames)
        result["ticks_per_s"] = measure_server(options.frames)
    print(json.dumps({name: round(value, 2) for name, value in result.items()}))


if __name__ == "__main__":
    main()
