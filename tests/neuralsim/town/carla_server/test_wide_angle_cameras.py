"""Cameras with a wide-angle lens, through the official client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.wire_client import ONE_CAR, run_client, serving

from neuralsim.town.carla_server.compat.strictness import Strictness
from neuralsim.town.carla_server.process import TownServer
from neuralsim.town.world import World


@pytest.fixture(scope="module", params=["kind", "strict"])
def town(request: pytest.FixtureRequest) -> Iterator[TownServer]:
    strict = Strictness() if request.param == "strict" else None
    with serving(
        TownServer(lambda name: World(name, vehicles=0, walkers=0), "hamlet", port=0, strict=strict)
    ) as server:
        yield server


def test_all_kinds_show_the_same_pixels_and_other_lenses_are_refused(
    town: TownServer, capfd: pytest.CaptureFixture[str]
) -> None:
    printed = run_client(
        town.port,
        ONE_CAR
        + """
lens = {"image_size_x": 96, "image_size_y": 64, "fov": 180, "camera_model": "equidistant", "fov_mask": "true"}
kinds = ("rgb", "depth", "semantic_segmentation", "instance_segmentation", "normals")
defined = library.find("sensor.camera.depth.wide_angle_lens")
assert set(defined.tags) == {"sensor", "camera", "depth", "wide_angle_lens"}
assert defined.get_attribute("camera_model").as_str() == "perspective"
assert abs(defined.get_attribute("k0").as_float() - 0.083092) < 1e-6
cameras = [camera(world, kind + ".wide_angle_lens", car, **lens) for kind in kinds]
frame = world.tick()
views = [images.get(timeout=60) for _, images in cameras]
assert [view.frame for view in views] == [frame] * 5 and all(isinstance(view, carla.Image) for view in views)
rgb, depth, tags, instances, normals = (pixels(view).astype(int)[..., 2::-1] for view in views)
rows, columns = np.mgrid[:64, :96] - np.array([32, 48])[:, None, None]
inside = np.hypot(rows, columns) <= 31.5
for view in (rgb, depth, tags, instances, normals):
    assert view.shape == (64, 96, 3) and (view[np.hypot(rows, columns) > 32.5] == 0).all()
tag = tags[..., 0]
if (tag == 11).any():  # CARLA's instance cameras have no tag for the sky
    assert (instances[..., 0] == tag)[inside & (tag != 11)].all()
metres = (depth @ [1, 256, 65536])[inside] / (2**24 - 1) * 1000
assert (metres[tag[inside] == 11] > 999).all() and (metres[tag[inside] == 1] < 400).all()
assert len(np.unique(tag[inside])) > 4 and rgb[inside].std() > 20
assert abs(np.linalg.norm(normals[inside & (tag == 1)] / 127.5 - 1, axis=1) - 1).max() < 0.03

def refused(text, **attributes):
    raises(lambda: camera(world, "depth.wide_angle_lens", car, **attributes), text)
refused("choose one of perspective, stereographic, equidistant, equisolid, orthographic, kannala-brandt",
        camera_model="fisheye")
refused("fov is 200: choose 1 to 179 degrees, the most that perspective can show", fov=200)
refused("image_size is 0x600", image_size_x=0)
shown, _ = camera(world, "rgb.wide_angle_lens", car)
distorted = camera(world, "rgb", car, lens_circle_multiplier=2.0, lens_k=-1.0)
print(shown.id)
""",
        timeout=200,
    )
    assert (
        "sensor.camera.rgb: no lens distorts here, without effect: lens_circle_multiplier=2.0" in capfd.readouterr().err
    )
    with pytest.raises(ValueError, match="has no G-buffer"):
        town.sensing.gbuffer_token(int(printed), 0, None)
