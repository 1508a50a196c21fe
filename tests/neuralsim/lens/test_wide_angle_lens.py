"""Generated images of wide-angle cameras: in the painted town and through the lens, with the official client."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from helpers.wire_client import ONE_CAR, finish, serving, start_client

from bridge.carla_wire import Address
from neuralsim.lens.rig_renderer import RigRenderer
from neuralsim.lens.run import LensServer
from neuralsim.town.carla_server.process import TownServer
from neuralsim.town.world import World


@pytest.fixture(params=["painted", "lens"])
def served(request: pytest.FixtureRequest, rig: RigRenderer) -> Iterator[tuple[int, TownServer]]:
    """Yield the port that clients use, and the town behind it."""
    painted = request.param == "painted"
    generator = rig if painted else None
    server = TownServer(lambda name: World(name, vehicles=0, walkers=0), "hamlet", port=0, generator=generator)
    with serving(server) as town:
        if painted:
            yield town.port, town
            return
        lens = LensServer(Address("127.0.0.1", town.port), rig)
        lens.start()
        yield lens.port, town
        lens.close()


def test_the_image_is_generated_by_faces_and_fits_the_labels(served: tuple[int, TownServer]) -> None:
    port, town = served
    client = start_client(
        port,
        ONE_CAR
        + """
lens = {"image_size_x": 96, "image_size_y": 96, "fov": 180, "camera_model": "equidistant", "fov_mask": "true"}
shown, images = camera(world, "rgb.wide_angle_lens", car, **lens)
own, plain = camera(world, "rgb.wide_angle_lens", car, **lens, neuralsim_style="off")
labelled, labels = camera(world, "semantic_segmentation.wide_angle_lens", car, **lens)
rows, columns = np.mgrid[:96, :96] - 48
inside = np.hypot(rows, columns) < 47
for k in range(3):
    frame = world.tick()
    views = [each.get(timeout=200) for each in (images, plain, labels)]
    assert [view.frame for view in views] == [frame] * 3
    generated, simulated, tags = (pixels(view).astype(int)[..., :3] for view in views)
    assert (generated[np.hypot(rows, columns) > 48.5] == 0).all() and generated[inside].std() > 20
    assert 3 < abs(generated - simulated)[inside].mean() < 60
    sky = tags[..., 2] == 11
    edge = (sky[1:] != sky[:-1]) & inside[1:] & inside[:-1]
    steps = abs(np.diff(generated.mean(axis=2), axis=0))
    assert steps[edge].mean() > 2 * steps[inside[1:] & inside[:-1]].mean()
assert shown.attributes["neuralsim_style"] == "auto"
raises(lambda: camera(world, "rgb.wide_angle_lens", car, **lens | {"fov": 400}), "fov is 400: choose 1 to 360 degrees")
print("seen", flush=True); sys.stdin.readline()
shown.stop(); shown.destroy(); car.destroy(); world.tick()
""",
        stdin=subprocess.PIPE,
    )
    assert client.stdout is not None
    assert client.stdin is not None
    assert client.stdout.readline() == "seen\n"
    with town.lock:
        companions = [actor for actor in town.world.actors.values() if actor.attributes.get("role_name", "") != "front"]
        kinds = [actor.blueprint.id for actor in companions if actor.blueprint.id.startswith("sensor.camera.")]
    # an rgb camera and the two for labels in each of five directions
    assert len(kinds) == (15 if port != town.port else 0)
    client.stdin.write("\n")
    client.stdin.flush()
    finish(client)
