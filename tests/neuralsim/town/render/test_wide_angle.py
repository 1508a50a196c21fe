"""Wide-angle lenses: where pixels look, by formulas of this file alone, and what is seen there, by rays."""

from __future__ import annotations

import re
from math import cos, degrees, pi, radians, sin, tan

import numpy as np
import pytest

from bridge.tags import Tag
from neuralsim.town.core.types import Transform
from neuralsim.town.render.wide_angle import MODELS, WideAngle
from neuralsim.town.world import World

K = (0.083092, 0.011121, 0.008587, 0.000854)


def distance(model: str, angle: float) -> float:
    """Return the distance from the principal point, in focal lengths: the table of ``CameraModelCommon.ush``."""
    return {
        "perspective": lambda: tan(angle),
        "stereographic": lambda: 2 * tan(angle / 2),
        "equidistant": lambda: angle,
        "equisolid": lambda: 2 * sin(angle / 2),
        "orthographic": lambda: sin(angle),
        "kannala-brandt": lambda: angle + sum(k * angle ** (2 * n + 3) for n, k in enumerate(K)),
    }[model]()


def angle_at(model: str, wanted: float, widest: float) -> float:
    """Return the angle whose ray lies at ``wanted``, by bisection; NaN beyond ``widest``."""
    low, high = 0.0, widest
    if wanted > distance(model, widest):
        return float("nan")
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if distance(model, middle) < wanted else (low, middle)
    return low


@pytest.mark.parametrize("model", MODELS)
def test_pixels_look_where_the_model_says(model: str) -> None:
    fov = 120.0 if model == "perspective" else 170.0
    lens = WideAngle(61, 40, model, fov, K)
    rays, light = lens.rays()
    focal = 20.0 / distance(model, radians(fov) / 2)
    widest = {"perspective": pi / 2 - 1e-9, "orthographic": pi / 2}.get(model, pi - 1e-9)
    for row, column in ((20, 30), (0, 30), (39, 30), (20, 0), (3, 50), (33, 11)):
        right, down = column - 30, row - 20  # the middle of 61 x 40 pixels is that of column 30, row 20
        angle = angle_at(model, float(np.hypot(right, down)) / focal, widest)
        if np.isnan(angle):
            assert light[row, column] == 0
            continue
        aside = np.array([right, -down]) / max(np.hypot(right, down), 1e-12) * sin(angle)
        np.testing.assert_allclose(rays[row, column], (cos(angle), *aside), atol=1e-6)
    assert degrees(np.arccos(rays[0, 30, 0])) == pytest.approx(fov / 2, abs=1e-4)  # the upper edge: fov is vertical


def test_a_focal_length_replaces_the_field_of_view() -> None:
    rays, _ = WideAngle(40, 40, "equidistant", 90.0, focal_length=20.0).rays()
    assert np.arccos(rays[20, 30, 0]) == pytest.approx(10 / 20)


def test_the_other_projections() -> None:
    around = WideAngle(80, 40, equirectangular=True, longitude_offset=-90.0)
    ahead, behind, above = (around.rays()[0][place] for place in ((20, 40), (20, 0), (0, 40)))
    np.testing.assert_allclose([ahead, behind, above], [(1, 0, 0), (-1, 0, 0), (0, 0, 1)], atol=1e-9)
    np.testing.assert_allclose(WideAngle(80, 40, equirectangular=True).rays()[0][20, 40], (0, 1, 0), atol=1e-9)
    pinhole, light = WideAngle(80, 40, "equidistant", 120.0, perspective=True).rays()
    right = 10 / (20 / tan(radians(60)))
    np.testing.assert_allclose(pinhole[20, 50], np.array([1, right, 0]) / np.hypot(1, right), atol=1e-9)
    assert light[0, 0] == 1  # the diagonal of the pinhole image is within that of the lens


def test_the_mask_is_black_outside_and_fades() -> None:
    focal = 20 / (pi / 2)
    sharp = WideAngle(60, 40, fov_mask=True).rays()[1]
    assert (sharp[20, 30 + 19], sharp[20, 30 + 21], sharp[1, 1]) == (1, 0, 0)
    fading = WideAngle(60, 40, fov_mask=True, fade=1.0).rays()[1]
    for place in (12, 16, 19):
        over = min(max((2 * place / focal - pi + 1.0) / 1.0, 0.0), 1.0)
        assert fading[20, 30 + place] == pytest.approx(1 - over * over * (3 - 2 * over), abs=1e-5)


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ({"camera_model": "pinhole"}, "camera_model is 'pinhole': choose one of perspective, stereographic, "),
        ({"fov": "180"}, "fov is 180: choose 1 to 179 degrees, the most that perspective can show"),
        ({"camera_model": "orthographic", "fov": "181"}, "choose 1 to 180 degrees, the most that orthographic can"),
        ({"camera_model": "equidistant", "fov": "361"}, "choose 1 to 360 degrees"),
        ({"camera_model": "equidistant", "fov": "nan"}, "fov is nan: choose a finite number"),
        ({"camera_model": "equisolid", "fov": "190", "perspective": "true"}, "most that with perspective=true can"),
        ({"camera_model": "kannala-brandt", "fov": "180", "k0": "-0.3"}, "k0 to k3 bend rays back within a fov of 180"),
        ({"focal_length": "-3"}, "focal_length is negative"),
        ({"fov_mask": "true", "fov_fade_size": "-1"}, "fov_fade_size is negative"),
    ],
)
def test_what_a_lens_cannot_show_is_refused_in_one_line(attributes: dict[str, str], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)) as error:
        WideAngle.of(attributes)
    assert len(str(error.value).splitlines()) == 1


def test_generated_faces_blend_without_a_seam() -> None:
    """Faces that are painted by direction give the image that the directions themselves give."""
    lens = WideAngle(96, 96, fov_mask=True)
    cube, (rays, light) = lens.cube(generated=True), lens.rays()
    assert len(cube.faces) == 5
    assert cube.weight.sum(0).max() == pytest.approx(1, abs=1e-5)

    def paint(ways: np.ndarray) -> np.ndarray:
        return np.asarray(127 + 100 * ways, np.uint8)

    side = cube.faces[0].side
    at = ((np.arange(side) + 0.5) / side * 2 - 1) * tan(radians(cube.faces[0].fov) / 2)
    ways = np.stack([np.ones((side, side)), np.tile(at, (side, 1)), -np.tile(at[:, None], side)], -1)
    ways /= np.linalg.norm(ways, axis=2, keepdims=True)
    views = np.stack([paint(ways @ face.turn[:3, :3].T) for face in cube.faces])
    image = np.zeros((96 * 96, 3), np.uint8)
    cube.blend(views, image)
    inside = light.reshape(-1) > 0
    error = np.abs(image[inside].astype(int) - paint(rays).reshape(-1, 3)[inside])
    assert error.max() <= 3
    assert image[~inside].max() == 0
    np.testing.assert_allclose(cube.gains(views), 1.0, atol=0.02)
    views[-1] = views[-1] * 0.8  # a face that the generator makes darker is as bright as the one ahead
    np.testing.assert_allclose(cube.gains(views)[-1], 1.23, atol=0.03)


def test_a_narrow_lens_has_one_view_of_what_it_sees() -> None:
    for generated in (False, True):
        cube = WideAngle(96, 96, "equidistant", 20.0).cube(generated)
        (face,) = cube.faces
        assert 20 < face.fov < 30
        assert cube.weight.min() == 1
        assert face.side == (80 if generated else 192)


@pytest.mark.usefixtures("whole_leaves")
def test_labels_of_180_degrees_agree_with_rays() -> None:
    world = World("hamlet", vehicles=3, walkers=6, seed=1)
    car = next(actor for actor in world.actors.values() if actor.blueprint.id.startswith("vehicle."))
    camera = world.spawn("sensor.camera.depth.wide_angle_lens", {}, Transform(x=1.2, z=2.4), car.id)
    world.tick(0.05)
    size, pose = 512, camera.transform.matrix()
    rows, columns = np.mgrid[:size, :size] - size // 2
    angle = np.hypot(rows, columns) * (pi / 2) / (size / 2)  # equidistant
    bearing = np.arctan2(rows, columns)
    ways = np.stack([np.cos(angle), np.sin(angle) * np.cos(bearing), -np.sin(angle) * np.sin(bearing)], -1)
    inside = angle.reshape(-1) < pi / 2
    hits = world.rays().cast(
        pose[:3, 3], ways.reshape(-1, 3)[inside] @ pose[:3, :3].T, 1000.0, world.shapes()[2], ignore=car.id
    )
    expected = np.where(np.isinf(hits.distance), Tag.SKY, hits.tag)
    cube = WideAngle(size, size, fov_mask=True).cube()
    tag, depth = np.zeros(size * size, np.uint8), np.zeros(size * size)
    for face, target, source in zip(cube.faces, cube.targets, cube.sources, strict=True):
        planes = world.exposure(camera.id, face=face)()
        tag[target], depth[target] = planes.tag.ravel()[source], planes.depth.ravel()[source]
    same = tag[inside] == expected
    assert same.mean() > 0.995
    # the depth is that along the axis of the face: the largest of the ray's components
    straight = hits.distance * np.abs(ways.reshape(-1, 3)[inside]).max(1)
    near = same & np.isfinite(straight) & (straight < 100)
    assert np.median(np.abs(depth[inside][near] / straight[near] - 1)) < 0.005
    with pytest.raises(ValueError, match="captured by faces"):
        world.capture(camera.id)
