"""The motion of the lens's frames: from depth and poses, on a server whose optical flow is as coarse as CARLA's."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import pytest
from helpers.wire_client import run_client, serving

from bridge.carla_wire import Address
from bridge.link.motion import reproject
from bridge.messages import Frame
from bridge.tags import Tag
from neuralsim.lens.lens_camera import COMPANIONS
from neuralsim.lens.moving_actors import NOBODY, Bodies, Instances
from neuralsim.lens.run import LensServer
from neuralsim.town.carla_server.compat import strictness
from neuralsim.town.carla_server.compat.strictness import Strictness
from neuralsim.town.carla_server.process import TownServer
from neuralsim.town.world import World

FLOW = "sensor.camera.optical_flow"
DRIVEN = """
client.set_timeout(60.0)
world = client.get_world()
synchronous(world)
world.tick()
library = world.get_blueprint_library()
lane = world.get_map().get_waypoint(world.get_map().get_spawn_points()[0].location)
def spawn(kind, along, up=0.5):
    place = lane.next(along)[0].transform
    place.location.z += up
    return world.spawn_actor(library.find(kind), place)
car, ahead = spawn("vehicle.tesla.model3", 1.0), spawn("vehicle.audi.tt", 12.0)
world.tick()
size = dict(image_size_x=256, image_size_y=128, fov=70)
flow, rgb = camera(world, "optical_flow", car, **size), camera(world, "rgb", car, **size)
for _ in range(4):  # nobody waits for cameras that have just been listened to
    world.tick(); time.sleep(0.4)
for k in range(24):
    car.apply_control(carla.VehicleControl(throttle=0.5, steer=0.1))
    ahead.apply_control(carla.VehicleControl(throttle=1.0))
    frame = world.tick()
    while rgb[1].get(timeout=30).frame < frame: pass
for sensor, _ in (flow, rgb): sensor.stop(); sensor.destroy()
"""


class Keeper:
    """An image generator that keeps frames and sends the simulator's images."""

    styles: Collection[str] = ()

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    def open(self, width: int, height: int, style: str, *, is_face: bool = False) -> Keeper:
        return self

    def is_ready(self) -> bool:
        return True

    is_idle = is_ready

    def submit(self, frame: Frame, deliver: Callable[[np.ndarray], None]) -> None:
        self.frames.append(frame)
        deliver(frame.planes["rgb"])

    def close(self) -> None:
        pass


@pytest.mark.parametrize("shift", [0, 5000])
def test_motion_is_exact_although_the_servers_flow_is_coarse(monkeypatch: pytest.MonkeyPatch, shift: int) -> None:
    """``shift``: by how much instance values differ from actors' ids, as on CARLA's large maps."""
    truth: list[tuple[np.ndarray, np.ndarray]] = []  # pose and motion of the client's own flow camera
    degrade = strictness.degrade

    def noted(kind: str, planes: Any, pixels: np.ndarray, focal: float, pose: np.ndarray) -> None:
        if kind == FLOW:
            truth.append((pose.copy(), planes.motion.astype(np.float32)))
        degrade(kind, planes, pixels, focal, pose)
        if kind == COMPANIONS[0]:
            words = pixels.view(np.uint32)
            is_car = (words >> 16 & 255) == Tag.CAR
            value = (words[is_car] >> 8 & 255) + ((words[is_car] & 255) << 8) + shift
            words[is_car] = 0xFF000000 | int(Tag.CAR) << 16 | (value & 255) << 8 | value >> 8

    monkeypatch.setattr(strictness, "degrade", noted)
    make = lambda name: World(name, vehicles=0, walkers=0)  # noqa: E731
    generator: Any = Keeper()
    with serving(TownServer(make, "hamlet", port=0, strict=Strictness(0.1))) as town:
        lens = LensServer(Address("127.0.0.1", town.port), generator)
        lens.start()
        try:
            run_client(lens.port, DRIVEN, timeout=120.0)
        finally:
            lens.close()
    errors: dict[str, list[float]] = {"scenery": [], "car": [], "car as scenery": []}
    for before, frame in zip(generator.frames[-16:], generator.frames[-15:], strict=False):
        motion = min(truth, key=lambda each: np.abs(each[0] - frame.camera.pose).max())[1]
        planes = frame.planes
        is_car = planes["tag"] == Tag.CAR
        static = reproject(planes["depth"], frame.camera, before.camera.pose).astype(np.float32)
        assert before.sim_frame == frame.sim_frame - 1
        error = np.abs(planes["motion"].astype(np.float32) - motion).max(-1)
        errors["scenery"].append(float(error[~is_car & (planes["depth"] < 200.0)].mean()))
        errors["car"].append(float(error[is_car].mean()))
        errors["car as scenery"].append(float(np.abs(static - motion).max(-1)[is_car].mean()))
    means = {name: float(np.mean(values)) for name, values in errors.items()}
    assert means["scenery"] < 0.004, means
    assert means["car"] < 0.05, means
    assert means["car as scenery"] > 0.2, means


def test_actors_that_were_not_there_before_are_at_rest() -> None:
    poses = np.repeat(np.eye(4)[None], 2, 0)
    moved = poses.copy()
    moved[:, 0, 3] = 1.0
    now = Bodies(np.array([70_000, 5]), moved, np.ones((2, 3)), np.zeros((2, 4, 4)))
    movers = now.since(NOBODY, Instances())
    assert movers.instance.tolist() == [70_000 & 0xFFFF, 5]
    assert (movers.previous == movers.pose).all()
    movers = now.since(now._replace(ids=np.array([5, 6]), poses=poses), Instances())
    assert (movers.previous[0] == moved[0]).all()
    assert (movers.previous[1] == poses[0]).all()
