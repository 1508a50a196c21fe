"""The lens in front of a town, with the unmodified official client: what it changes, and that it leaves nothing."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from helpers.wire_client import ONE_CAR, RawClient, finish, run_client, serving, start_client

from bridge.carla_wire import Address
from neuralsim.lens import leftovers
from neuralsim.lens import run as lens_run
from neuralsim.lens.rig_renderer import RigRenderer
from neuralsim.lens.run import LensServer
from neuralsim.town.carla_server.compat.strictness import Strictness
from neuralsim.town.carla_server.process import TownServer
from neuralsim.town.core.types import Transform
from neuralsim.town.world import World

DRIVE = (
    ONE_CAR
    + """
small = {"image_size_x": 96, "image_size_y": 64}
def sensors():
    return sorted(actor.type_id for actor in world.get_actors().filter("sensor.*"))
"""
)

KNOCK = """
print("refused", flush=True)
for _ in range(100):
    try:
        client.get_world()
        break
    except RuntimeError:
        time.sleep(0.1)
else:
    raise SystemExit("still refused")
"""
ONE_IMAGE = """
sensor, images = camera(world, "rgb", car, **small)
frame = world.tick()
assert images.get(timeout=90).frame == frame
"""


@pytest.fixture(scope="module")
def town() -> Iterator[TownServer]:
    with serving(TownServer(lambda name: World(name, vehicles=0, walkers=0), "hamlet", port=0)) as server:
        yield server


@pytest.fixture
def lens(town: TownServer, rig: RigRenderer) -> Iterator[LensServer]:
    server = LensServer(Address("127.0.0.1", town.port), rig)
    server.start()
    yield server
    server.close()


def sensors_of(town: TownServer) -> list[str]:
    with town.lock:
        return sorted(actor.blueprint.id for actor in town.world.actors.values() if "sensor" in actor.blueprint.id)


def wait_for_sensors(town: TownServer, count: int) -> None:
    deadline = time.monotonic() + 15.0
    while len(sensors_of(town)) != count and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(sensors_of(town)) == count


def test_a_client_sees_generated_images_and_nothing_else_that_is_new(town: TownServer, lens: LensServer) -> None:
    client = start_client(
        lens.port,
        DRIVE
        + """
sensor, images = camera(world, "rgb", car, **small)
plain, own = camera(world, "rgb", car, **small, neuralsim_style="off")
labelled, tags = camera(world, "semantic_segmentation", car, **small)
assert sensor.attributes["neuralsim_style"] == "auto" and plain.attributes["neuralsim_style"] == "off"
for k in range(5):
    frame = world.tick()
    views = [each.get(timeout=90) for each in (images, own, tags)]
    assert [view.frame for view in views] == [frame] * 3
    generated, simulated, labels = (pixels(view).astype(int)[..., :3] for view in views)
    assert abs(generated - simulated).mean() > 4 and labels[..., 2].max() > 0
    assert views[0].transform == views[1].transform == sensor.get_transform()
assert sensors() == ["sensor.camera.rgb"] * 2 + ["sensor.camera.semantic_segmentation"], sensors()
print("seen", flush=True); sys.stdin.readline()
# the cameras next to it follow: a free-standing one that is moved sees what the simulator's own image shows
for actor in (sensor, plain): actor.stop(); actor.destroy()
labelled.stop(); labelled.destroy()
blueprint = library.find("sensor.camera.rgb")
for name, value in small.items(): blueprint.set_attribute(name, str(value))
place = world.get_map().get_spawn_points()[0]; place.location.z += 40
done = client.apply_batch_sync([carla.command.SpawnActor(blueprint, place)])
free = world.get_actor(done[0].actor_id); images = queue.Queue(); free.listen(images.put)
frame = world.tick(); high = pixels(images.get(timeout=90)).astype(int)
place.location.z -= 38; free.set_transform(place)
world.tick(); images.get(timeout=90); world.tick(); low = pixels(images.get(timeout=90)).astype(int)
assert abs(high - low).mean() > 10
raises(lambda: camera(world, "rgb", car, neuralsim_style="baroque"), "choose one of auto, off")
assert client.apply_batch_sync([carla.command.DestroyActor(free.id)])[0].error == ""
car.destroy(); world.tick()
assert sensors() == []
""",
        stdin=subprocess.PIPE,
    )
    assert client.stdout is not None
    assert client.stdout.readline() == "seen\n"
    companions = [actor for actor in sensors_of(town) if actor not in ("sensor.camera.rgb",)]
    assert len(companions) == 3  # the client's labels, and the two cameras of the lens
    assert client.stdin is not None
    client.stdin.write("\n")
    client.stdin.flush()
    finish(client)
    wait_for_sensors(town, 0)


def test_calls_that_concern_no_camera_pass_unchanged(town: TownServer, lens: LensServer) -> None:
    direct, through = RawClient(town.port), RawClient(lens.port)
    for name, *arguments in (
        ("version",), ("get_available_maps",), ("get_map_data",), ("get_weather_parameters",), ("nonsense", 1, [2]),
        ("get_actor_bounding_box", 1), ("get_actors_by_id", []), ("apply_batch", [], False),
        ("apply_batch", [[[1]]], False), ("get_sensor_token", "x"), ("spawn_actor", 5),
        ("spawn_actor", [0, "sensor.camera.rgb", [["fov", 2, "x"]]], []),
    ):  # fmt: skip
        assert through.call(name, *arguments) == direct.call(name, *arguments), name


def test_a_strict_server_gets_its_own_numbers_and_types(rig: RigRenderer, capsys: pytest.CaptureFixture[str]) -> None:
    """CARLA's server chooses what it spawns by the number alone, and ignores attributes of another type."""
    make = lambda name: World(name, vehicles=0, walkers=0)  # noqa: E731
    with serving(TownServer(make, "plain", port=0, strict=Strictness(0.1))) as town:
        lens = LensServer(Address("127.0.0.1", town.port), rig)
        lens.start()
        try:
            run_client(
                lens.port,
                """
world = client.get_world()
synchronous(world)
size = {"image_size_x": 96, "image_size_y": 64, "fov": 70}
cameras = [camera(world, "rgb", **size), camera(world, "rgb", **size, neuralsim_style="off")]
for _ in range(4):  # nobody waits for cameras that have just been listened to
    frame = world.tick(); time.sleep(0.5)
def newest(images):
    while True:
        image = images.get(timeout=30)
        if image.frame == frame:
            return pixels(image).astype(int)
generated, simulated = (newest(images) for _, images in cameras)
assert generated.shape == (64, 96, 4)
assert abs(generated - simulated).mean() > 4, "the simulator's image"
for sensor, _ in cameras: sensor.stop(); sensor.destroy()
""",
            )
        finally:
            lens.close()
    assert "simulator's image" not in capsys.readouterr().err


LISTENING = (
    DRIVE
    + """
sensor, images = camera(world, "rgb", car, **small)
while images.empty():
    world.tick(); time.sleep(0.05)
print("seen", flush=True); sys.stdin.readline()
"""
)


def listening(town: TownServer) -> tuple[subprocess.Popen[str], subprocess.Popen[str]]:
    """Return the processes of a lens and of a synchronous client that has seen an image through it."""
    command = [sys.executable, "-m", "neuralsim", "lens", "--carla", f"127.0.0.1:{town.port}", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    ready = re.search(r":(\d+) shows", process.stdout.readline())
    assert ready is not None
    client = start_client(int(ready[1]), LISTENING, stdin=subprocess.PIPE)
    assert client.stdout is not None
    assert client.stdout.readline() == "seen\n"
    assert len(sensors_of(town)) == 3
    return process, client


@pytest.mark.slow
def test_a_killed_lens_leaves_no_camera_on_a_strict_server() -> None:
    """Its world stands still when the synchronous client is gone, too."""
    make = lambda name: World(name, vehicles=0, walkers=0)  # noqa: E731
    with serving(TownServer(make, "hamlet", port=0, strict=Strictness(0.1))) as town:
        process, client = listening(town)
        process.kill()
        client.kill()
        process.wait()
        client.communicate()
        wait_for_sensors(town, 1)


@pytest.mark.slow
def test_a_killed_lens_leaves_no_camera_on_the_server(town: TownServer) -> None:
    for kills_watchdog in (False, True):
        process, client = listening(town)
        if kills_watchdog:
            children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
            for child in children.stdout.split():
                os.kill(int(child), signal.SIGKILL)
        process.kill()
        client.kill()
        process.wait()
        client.communicate()
        if kills_watchdog:
            assert len(sensors_of(town)) == 3
            assert leftovers.remove(Address("127.0.0.1", town.port)) == 2
        wait_for_sensors(town, 1)  # the client's own, which CARLA keeps
        with town.lock:
            for ident in [ident for ident, actor in town.world.actors.items() if "sensor" in actor.blueprint.id]:
                town.world.destroy(ident)


def test_a_world_that_stands_still_keeps_no_camera_of_a_lens_that_is_gone(rig: RigRenderer) -> None:
    """It sends no list of actors: the watchdog was told the ids, and a new lens waits for the first tick."""
    make = lambda name: World(name, vehicles=0, walkers=0)  # noqa: E731
    with serving(TownServer(make, "plain", port=0, strict=Strictness(0.1))) as town:
        address = Address("127.0.0.1", town.port)
        with town.lock:
            cameras = "sensor.camera.depth", {"role_name": f"neuralsim-lens:{socket.gethostname()}:999999999:1"}
            first, *_ = [town.world.spawn(*cameras, Transform(z=5.0)).id for _ in range(3)]
            town.world.spawn("sensor.camera.depth", {"role_name": "hero"}, Transform(z=5.0))
        town.settings.synchronous_mode, town.settings.fixed_delta_seconds = True, 0.05
        run_client(town.port, "assert client.get_world().get_settings().synchronous_mode")
        with pytest.raises(TimeoutError):
            leftovers.remove(address)
        assert len(sensors_of(town)) == 4
        with pytest.raises(TimeoutError):
            leftovers.remove(address, known=(first,))
        assert len(sensors_of(town)) == 1
        with town.lock:
            town.world.spawn(*cameras, Transform(z=5.0))
        lens = LensServer(address, rig)
        assert len(sensors_of(town)) == 2
        town.settings.synchronous_mode = False
        town._clock.resume()
        wait_for_sensors(town, 1)
        lens.close()


def test_without_a_server_there_is_one_line() -> None:
    command = [sys.executable, "-m", "neuralsim", "lens", "--carla", "127.0.0.1:1", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "no CARLA server at 127.0.0.1:1: connection refused" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_server_that_goes_away_is_an_error_of_the_client_and_not_of_the_lens(rig: RigRenderer) -> None:
    with serving(TownServer(lambda name: World(name, vehicles=0, walkers=0), "plain", port=0)) as town:
        lens = LensServer(Address("127.0.0.1", town.port), rig)
        lens.start()
        run_client(lens.port, "client.get_world()")
    try:
        run_client(lens.port, 'raises(client.get_world, "no CARLA server at 127.0.0.1")')
    finally:
        lens.close()


def test_a_server_that_comes_back_is_found_again(
    rig: RigRenderer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lens_run, "_LOOK", 0.05)
    over = threading.Event()
    with serving(TownServer(lambda name: World(name, vehicles=0, walkers=0), "plain", port=0)) as town:
        lens = LensServer(Address("127.0.0.1", town.port), rig)
        lens.start()
        assert lens.lens.rpc.is_open
    follower = threading.Thread(target=lens_run._follow, args=(lens.lens, over))
    follower.start()
    try:
        patient = start_client(lens.port, 'raises(client.get_world, "no CARLA server")' + KNOCK)
        assert patient.stdout is not None
        assert patient.stdout.readline() == "refused\n"
        with serving(TownServer(lambda name: World(name, vehicles=0, walkers=0), "plain", port=town.port)):
            finish(patient)
            deadline = time.monotonic() + 15.0
            while not lens.lens.rpc.is_open and time.monotonic() < deadline:
                time.sleep(0.05)
            run_client(lens.port, DRIVE + ONE_IMAGE)
            over.set()
            follower.join()  # before the second town ends, which it would report as well
    finally:
        over.set()
        follower.join()
        lens.close()
    lines = capsys.readouterr().err.splitlines()
    assert "connection refused; waiting for it" in lines[0]
    assert "is back" in lines[-1]
