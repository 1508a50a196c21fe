"""The town whose rgb cameras send generated images, through the official client."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from helpers.wire_client import ONE_CAR, run_client, serving

from bridge.link.motion import reproject
from bridge.messages import Frame
from neuralsim.lens.rig_renderer import MAX_CAMERAS, RigRenderer
from neuralsim.town.carla_server.process import TownServer
from neuralsim.town.core.types import Transform
from neuralsim.town.frames import camera_of, frame_of
from neuralsim.town.world import World

#: A camera by the road and a moving one, of a size that is no multiple of the generator's.
CAMERAS = (
    ONE_CAR
    + """
car.apply_control(carla.VehicleControl(throttle=0.5))
small = {"image_size_x": 90, "image_size_y": 60}
"""
)


@pytest.fixture(scope="module")
def town(rig: RigRenderer) -> Iterator[TownServer]:
    server = TownServer(lambda name: World(name, vehicles=0, walkers=0), "hamlet", port=0, generator=rig)
    with serving(server):
        yield server


def test_each_tick_has_its_generated_image_and_labels_are_untouched(town: TownServer) -> None:
    run_client(
        town.port,
        CAMERAS
        + """
mounted, images = camera(world, "rgb", car, **small)
by_itself, plain = camera(world, "rgb", car, **small, neuralsim_style="off")
by_night, night = camera(world, "rgb", car, **small, neuralsim_style="night")
by_day, day = camera(world, "rgb", car, **small, neuralsim_style="day")
labelled, tags = camera(world, "semantic_segmentation", car, **small)
seldom, rare = camera(world, "rgb", car, **small, sensor_tick=0.1)
blueprint = library.find("sensor.camera.rgb")
blueprint.set_attribute("image_size_x", "64"); blueprint.set_attribute("image_size_y", "64")
place = world.get_map().get_spawn_points()[0]; place.location.z += 2
free = world.spawn_actor(blueprint, place)
elsewhere = queue.Queue(); free.listen(elsewhere.put)
seen = []
for k in range(6):
    frame = world.tick()
    views = [each.get(timeout=20) for each in (images, plain, night, day, tags, elsewhere)]
    assert [view.frame for view in views] == [frame] * 6
    generated, own, dark, bright, labels, other = (pixels(view).astype(int) for view in views)
    assert generated.shape == own.shape == labels.shape == (60, 90, 4) and other.shape == (64, 64, 4)
    assert abs(generated[..., :3] - own[..., :3]).mean() > 4 and dark[..., :3].mean() < bright[..., :3].mean() - 20
    assert labels[..., :2].max() == 0 and len(np.unique(labels[..., 2])) > 2 and other[..., :3].std() > 8
    # an edge between the sky and anything else is one in the generated image, too: they are of one view
    rows, columns = np.nonzero((labels[1:, :, 2] == 11) != (labels[:-1, :, 2] == 11))
    light = generated[..., :3].mean(axis=2)
    assert abs(light[rows + 1, columns] - light[rows, columns]).mean() > 3 * abs(np.diff(light, axis=0)).mean()
assert mounted.attributes["neuralsim_style"] == "auto"
first = rare.get(timeout=5); second = rare.get(timeout=5); third = rare.get(timeout=5)
assert (second.frame - first.frame, third.frame - second.frame) == (2, 2)
for actor in (mounted, free): actor.destroy()
world.tick()
""",
        timeout=60,
    )


def test_what_cannot_be_generated_is_refused_with_a_line_and_disturbs_nobody(town: TownServer) -> None:
    run_client(
        town.port,
        CAMERAS
        + f"""
sensor, images = camera(world, "rgb", car, **small)
raises(lambda: camera(world, "rgb", car, neuralsim_style="baroque"), "neuralsim_style is 'baroque'", "auto, off,")
raises(lambda: camera(world, "rgb", car, image_size_x=4000, image_size_y=3000), "4000x3000", "neuralsim_style=off")
raises(lambda: camera(world, "rgb", car, image_size_x=8, image_size_y=8), "8x8", "32 pixels or more")
large, _ = camera(world, "rgb", car, image_size_x=8, image_size_y=8, neuralsim_style="off")
blueprint = library.find("sensor.camera.rgb")
blueprint.set_attribute("image_size_x", "90"); blueprint.set_attribute("image_size_y", "60")
spawned = []
def fill():
    for _ in range(64): spawned.append(world.spawn_actor(blueprint, carla.Transform(), attach_to=car))
raises(fill, "{MAX_CAMERAS} cameras have generated images already")
assert len(spawned) < {MAX_CAMERAS}
frame = world.tick()
assert images.get(timeout=20).frame == frame
for actor in (*spawned, large): actor.destroy()
again = world.spawn_actor(blueprint, carla.Transform(), attach_to=car)
again.destroy()
""",
        timeout=60,
    )


class _Stuck:
    """A generator that takes one frame of a camera and never comes back."""

    styles = ()

    def __init__(self) -> None:
        self.taken: list[Frame] = []
        self.closed = threading.Event()

    def open(self, width: int, height: int, style: str, *, is_face: bool = False) -> _Stuck:
        return self

    def is_ready(self) -> bool:
        return not self.taken

    is_idle = is_ready

    def submit(self, frame: Frame, deliver: Callable[[np.ndarray], None]) -> None:
        self.taken.append(frame)

    def close(self) -> None:
        self.closed.set()


@pytest.mark.slow
def test_a_slow_generator_does_not_stall_the_ticks_of_an_asynchronous_town() -> None:
    generator = _Stuck()
    server = TownServer(lambda name: World(name, vehicles=0, walkers=0), "plain", port=0, generator=generator)
    with serving(server):
        run_client(
            server.port,
            """
world = client.get_world()
sensor, images = camera(world, "rgb", image_size_x=64, image_size_y=64)
other, plain = camera(world, "rgb", image_size_x=64, image_size_y=64, neuralsim_style="off")
first = plain.get(timeout=20).frame
while plain.get(timeout=20).frame < first + 20: pass
assert images.empty()
sensor.destroy()
""",
            timeout=40,
        )
        assert len(generator.taken) == 1
        assert generator.closed.wait(5.0)


def test_the_motion_of_a_camera_leads_to_its_own_last_frame() -> None:
    world = World("plain", vehicles=0, walkers=0)
    car = world.spawn("vehicle.tesla.model3", {}, world.spawn_points()[0])
    size = {"image_size_x": "96", "image_size_y": "64"}
    camera = world.spawn("sensor.camera.rgb", size, Transform(x=1.0, z=1.6), car.id)
    car.control.throttle = 1.0
    world.drive_of(car.id)
    for _ in range(20):
        world.tick(0.05)
    since, before = world.instant(), camera_of(world, camera.id)
    for _ in range(3):
        world.tick(0.05)
    planes = world.exposure(camera.id, since=since)()
    expected = reproject(planes.depth, camera_of(world, camera.id), before.pose).astype(np.float32)
    assert np.abs(expected).max() > 2.0
    assert np.abs(planes.motion - expected).max() < 0.05
    last_tick = world.capture(camera.id).motion
    assert np.abs(last_tick).max() < 0.5 * np.abs(expected).max()


def test_a_camera_whose_generator_fails_gets_the_simulators_image(rig: RigRenderer) -> None:
    camera = rig.open(96, 64, "auto")
    world = World("plain", vehicles=0, walkers=0)
    size = {"image_size_x": "96", "image_size_y": "64"}
    ident = world.spawn("sensor.camera.rgb", size, Transform(z=2.0)).id
    frame = frame_of(world, ident, "rgb")
    del frame.planes["motion"]
    delivered: list[np.ndarray] = []
    camera.submit(frame, delivered.append)
    deadline = time.monotonic() + 20.0
    while not delivered and time.monotonic() < deadline:
        time.sleep(0.01)
    assert delivered[0] is frame.planes["rgb"]
    camera.close()
